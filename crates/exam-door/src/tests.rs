//! What the door takes and what it refuses. The plugin's own suite holds the same against tokens
//! that it signs.

use std::collections::BTreeMap;

use base64_simd::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;

const NOW: f64 = 1_795_884_600.25;
const SECRET: &[u8] = b"secret";
/// Minted 20 seconds before `NOW`.
const PAGE: &str = "00066158f676a190-0badcafe";
const INSTANCE: &str = "00066158f676a190-0badcafe.01234567";
const MINTED: f64 = 0x0006_6158_f676_a190_u64 as f64 / 1e6;

struct Server(BTreeMap<&'static str, &'static str>);

impl Headers for Server {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(|value| value.as_bytes())
    }
}

fn door() -> Door {
    Door {
        site: "site".to_owned(),
        keys: vec![("1".to_owned(), SECRET.to_vec())],
        limits: Limits {
            body: 1_048_576,
            record: 262_144,
            fields: 1000,
        },
        switches: 63,
        origin: Origin {
            key: b"marks".to_vec(),
            skip: 3,
            proxies: String::new(),
        },
    }
}

fn grant() -> Value {
    json!(["site", 77, 5, 3, 99, PAGE, 1_795_888_000, 0, {"1": 101, "2": 102}, 63])
}

fn signed(key: &str, grant: &[u8], secret: &[u8]) -> String {
    let signed = format!("{key}.{}", URL_SAFE_NO_PAD.encode_to_string(grant));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode_to_string(mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

fn token(grant: &Value) -> String {
    signed("1", grant.to_string().as_bytes(), SECRET)
}

fn knock(body: &str, token: Option<&str>, door: &Door) -> Result<Admitted, Refusal> {
    let server = Server(BTreeMap::from([
        ("REMOTE_ADDR", "192.0.2.7"),
        ("HTTP_USER_AGENT", "Firefox"),
    ]));
    admit(body.as_bytes(), token, [door], &server, NOW).map(|(admitted, _)| admitted)
}

fn answer() -> Value {
    json!({"type": "answer", "page": INSTANCE, "seq": 7, "at": NOW - 1.0, "slot": 1, "qa": 101,
        "status": 1, "fields": {"answer": "frög</script>", ":sequencecheck": "1"}})
}

/// With one record, of which some members are others.
fn with(mut record: Value, more: Value) -> Result<Admitted, Refusal> {
    record
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let body = json!({"token": token(&grant()), "sent": 12.5, "records": [record]});
    knock(&body.to_string(), None, &door())
}

fn lines(admitted: Result<Admitted, Refusal>) -> Vec<Value> {
    let lines = admitted.unwrap().lines;
    lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn refused(admitted: Result<Admitted, Refusal>) -> Refusal {
    admitted.unwrap_err()
}

#[test]
fn an_answer_is_a_line_with_the_envelope_of_its_token() {
    // The fields stay in their order, which json! does not keep.
    let fields = r#"{"answer":"fr\u00f6g<\/script>",":sequencecheck":"1"}"#;
    let mut record = answer();
    for (name, value) in [
        ("site", json!("x")),
        ("student_id", json!(1)),
        ("v", json!(9)),
    ] {
        record[name] = value;
    }
    record["fields"] = json!("FIELDS");
    let records = json!([record]).to_string().replace("\"FIELDS\"", fields);
    let token = token(&grant());
    let body = format!(r#"{{"token":"{token}","sent":12.5,"records":{records}}}"#);
    let admitted = knock(&body, None, &door()).unwrap();
    assert_eq!(
        admitted.lines,
        [format!(
            concat!(
                r#"{{"ts":1795884600.250000,"at":1795884599.250000,"sent":12.500000,"v":1,"#,
                r#""id":"77-{0}-7","type":"answer","site":"site","quiz":3,"attempt":77,"usage":99,"#,
                r#""student_id":5,"page":"{0}","seq":7,"slot":1,"qa":101,"status":1,"#,
                r#""fields":{{"answer":"frög</script>",":sequencecheck":"1"}}}}"#
            ),
            INSTANCE
        )]
    );
    assert_eq!(admitted.grant.attempt, 77);
    assert!(admitted.help.is_none());
}

#[test]
fn the_time_of_an_edit_lies_between_minting_and_receipt() {
    let at = |at: f64| lines(with(answer(), json!({"at": at})))[0]["at"].clone();
    assert!((at(1.0).as_f64().unwrap() - MINTED).abs() < 1e-5);
    assert_eq!(at(NOW + 1e6), json!(NOW));
    assert_eq!(at(NOW - 0.5), json!(NOW - 0.5));
    for none in [json!(null), json!("1"), json!(-1), json!(1e11)] {
        assert!(with(answer(), json!({"at": none})).is_err());
    }
}

#[test]
fn only_a_token_of_ours_whole_and_young_opens() {
    let good = token(&grant());
    let body = json!({"token": good, "records": []}).to_string();
    assert!(knock(&body, None, &door()).unwrap().lines.is_empty());

    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let payload = signed_part.split_once('.').unwrap().1;
    let mut other = grant();
    other[1] = json!(78);
    let forged = URL_SAFE_NO_PAD.encode_to_string(other.to_string());
    let mut foreign = grant();
    foreign[0] = json!("elsewhere");
    let mut expired = grant();
    expired[6] = json!(NOW as i64);
    let tokens = [
        json!(null),
        json!(5),
        json!([]),
        json!(""),
        json!(".."),
        json!("a.b.c"),
        json!(format!("{signed_part}.")),
        json!(format!("1.{forged}.{signature}")),
        json!(format!("99.{payload}.{signature}")),
        json!(format!("{good}A")),
        json!(format!("{good}.x")),
        json!("A".repeat(100_000)),
        json!(token(&foreign)),
        json!(token(&expired)),
        json!(signed(
            "1",
            grant().to_string().as_bytes(),
            b"another secret"
        )),
        json!(signed("1", b"[1]", SECRET)),
    ];
    for token in tokens {
        let body = json!({"token": token, "records": [answer()]}).to_string();
        assert_eq!(
            refused(knock(&body, None, &door())),
            Refusal::Token,
            "{body}"
        );
    }
    // Who is known needs none in the request.
    assert!(knock(r#"{"records":[]}"#, Some(&good), &door()).is_ok());
    let body = json!({"token": token(&foreign), "records": []}).to_string();
    assert!(knock(&body, Some(&good), &door()).is_ok());
}

#[test]
fn a_token_opens_the_door_of_its_site() {
    let other = Door {
        site: "other".to_owned(),
        ..door()
    };
    let server = Server(BTreeMap::new());
    let body = json!({"token": token(&grant()), "records": [answer()]}).to_string();
    let doors = [other.clone(), door()];
    let (_, opened) = admit(body.as_bytes(), None, &doors, &server, NOW).unwrap();
    assert_eq!(opened.site, "site");
    let none = admit(body.as_bytes(), None, [&other], &server, NOW);
    assert_eq!(none.unwrap_err(), Refusal::Token);
    let none = admit::<Door>(body.as_bytes(), None, [], &server, NOW);
    assert_eq!(none.unwrap_err(), Refusal::Token);
}

#[test]
fn a_token_from_before_there_were_switches_has_none() {
    let mut old = grant();
    old.as_array_mut().unwrap().pop();
    let body = json!({"token": token(&old), "records": []}).to_string();
    assert_eq!(knock(&body, None, &door()).unwrap().grant.switches, 0);
}

#[test]
fn what_the_site_never_lets_be_on_is_off() {
    let never = Door {
        switches: switch::CLIPBOARD,
        ..door()
    };
    let body = json!({"token": token(&grant()), "help": "", "records": [{"type": "alive",
        "page": INSTANCE, "seq": 1, "at": NOW, "device": "ab", "counts": {"pasted": 1, "hidden": 2}}]});
    let admitted = knock(&body.to_string(), None, &never).unwrap();
    assert!(admitted.help.is_none());
    assert!(admitted.lines[0].ends_with(r#""counts":{"pasted":1}}"#));
}

#[test]
fn a_request_that_is_none_is_refused_as_a_whole() {
    let none = [
        "",
        "null",
        "[]",
        r#"{"records":1}"#,
        r#"{"records":{}}"#,
        "{",
        "[[[",
        "{}",
    ];
    for body in none {
        let whole = Refusal::Bad {
            index: None,
            message: "The request is not a JSON object with records.".to_owned(),
        };
        assert_eq!(refused(knock(body, Some(&token(&grant())), &door())), whole);
    }
    // A list is no object, though serde would take it for one.
    let list = json!([token(&grant()), 1, null, []]).to_string();
    assert!(knock(&list, None, &door()).is_err());
    let server = Server(BTreeMap::new());
    let body = b"{\"records\":[\"\xff\"]}";
    assert_eq!(
        admit(body, None, [&door()], &server, NOW)
            .unwrap_err()
            .status(),
        400
    );
}

#[test]
fn limits_are_kept() {
    let small = Door {
        limits: Limits {
            body: 100,
            ..door().limits
        },
        ..door()
    };
    let body = json!({"token": token(&grant()), "records": [answer()]}).to_string();
    assert_eq!(refused(knock(&body, None, &small)), Refusal::TooLarge);
    let huge = " ".repeat(MAX_BODY + 1);
    assert_eq!(refused(knock(&huge, None, &door())), Refusal::TooLarge);
    let many = json!({"token": token(&grant()), "records": vec![answer(); MAX_RECORDS + 1]});
    assert_eq!(
        refused(knock(&many.to_string(), None, &door())),
        Refusal::TooLarge
    );
    let large = json!({"fields": {"answer": "x".repeat(262_144)}});
    assert!(matches!(
        refused(with(answer(), large)),
        Refusal::Bad { index: Some(0), message } if message.contains("larger than 262144 bytes")
    ));
}

#[test]
fn a_bad_record_is_named() {
    let future = "ffffffffffffffff-01234567.01234567";
    let fields = |more: Value| {
        let mut fields = json!({"answer": "a", ":sequencecheck": "1"});
        fields
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"fields": fields})
    };
    let many: BTreeMap<String, &str> = (0..1001).map(|i| (format!("f{i}"), "1")).collect();
    let bad = [
        json!({"type": "saved"}),
        json!({"type": null}),
        json!({"page": null}),
        json!({"page": PAGE}),
        json!({"page": future}),
        json!({"page": INSTANCE.to_uppercase()}),
        json!({"page": "é0066158f676a19-0badcafe.01234567"}),
        json!({"seq": -1}),
        json!({"seq": 1.5}),
        json!({"seq": 1_000_000_001}),
        json!({"at": null}),
        json!({"slot": 7}),
        json!({"slot": "1"}),
        json!({"slot": 2}),
        json!({"qa": 1}),
        json!({"qa": null, "slot": 9}),
        json!({"status": 2}),
        json!({"status": true}),
        json!({"fields": []}),
        json!({"fields": {}}),
        json!({"fields": null}),
        json!({"fields": "answer"}),
        json!({"fields": many}),
        fields(json!({"x": 1})),
        fields(json!({"x": {"y": "z"}})),
        fields(json!({"q1:1_answer": "z"})),
        fields(json!({"a\nb": "z"})),
        fields(json!({"a[]": "z"})),
        fields(json!({"": "z"})),
        fields(json!({"a".repeat(129): "z"})),
        json!({"type": "alive", "counts": {"hidden": "often"}}),
        json!({"type": "alive", "counts": {"hidden": -1}}),
        json!({"type": "alive", "counts": {"Hidden": 1}}),
        json!({"type": "alive", "counts": [1]}),
        json!({"type": "alive", "counts": (0..33).map(|i| (format!("c{i}"), 1)).collect::<BTreeMap<_, _>>()}),
        json!({"type": "alive", "device": "Laptop"}),
        json!({"type": "alive", "device": ""}),
        json!({"type": "alive", "device": "a".repeat(33)}),
        json!({"type": "help", "text": 5}),
        json!({"type": "help", "text": "é".repeat(MAX_TEXT + 1)}),
        json!({"type": "help", "call": "x"}),
        json!({"type": "help", "call": format!("78-{INSTANCE}-1")}),
        json!({"type": "help", "slot": 9}),
    ];
    for bad in bad {
        let refusal = refused(with(answer(), bad.clone()));
        assert!(
            matches!(refusal, Refusal::Bad { index: Some(0), .. }),
            "{bad}"
        );
    }
    // What is refused is told without what it says.
    for record in [
        r#""secret""#,
        r#"{"type":"answer","seq":"#,
        r#"{"seq":1,"seq":2}"#,
    ] {
        let body = format!(r#"{{"token":"{}","records":[{record}]}}"#, token(&grant()));
        if let Refusal::Bad { message, .. } = refused(knock(&body, None, &door())) {
            assert!(!message.contains("secret"));
        }
    }
}

#[test]
fn a_field_may_be_named_like_a_prefix_that_is_none() {
    for name in ["q", "q1", "qx:1", "-tryagain", "sub0_choice", "a.b-c"] {
        assert!(
            with(answer(), json!({"fields": {name: "v"}})).is_ok(),
            "{name}"
        );
    }
    assert!(with(answer(), json!({"fields": {"q12:": "v"}})).is_err());
}

#[test]
fn a_field_that_is_named_twice_is_refused() {
    let record = answer().to_string().replace(":sequencecheck", "answer");
    let record = record.replace(r#""answer":"1""#, r#""answer":"2","answer":"1""#);
    let body = format!(r#"{{"token":"{}","records":[{record}]}}"#, token(&grant()));
    assert!(knock(&body, None, &door()).is_err());
}

#[test]
fn steps_of_calls_are_told_to_the_desk() {
    let of = format!("77-{INSTANCE}-7");
    let asked = with(answer(), json!({"type": "help", "text": "Why?"})).unwrap();
    let help = asked.help.unwrap();
    assert_eq!(
        help.calls,
        [Call {
            index: 0,
            id: of.clone(),
            call: None
        }]
    );
    assert_eq!(help.known, None);
    let line: Value = serde_json::from_str(&asked.lines[0]).unwrap();
    let step = json!([
        line["call"],
        line["step"],
        line["by"],
        line["slot"],
        line["text"]
    ]);
    assert_eq!(step, json!([of, "asked", 5, 1, "Why?"]));

    let withdrawn = with(answer(), json!({"type": "help", "call": of})).unwrap();
    assert_eq!(
        withdrawn.help.unwrap().calls[0].call.as_deref(),
        Some(&of[..])
    );

    let mut without = grant();
    without[9] = json!(0);
    let body = json!({"token": token(&without), "help": "", "records": []}).to_string();
    assert!(knock(&body, None, &door()).unwrap().help.is_none());
    let body = json!({"token": token(&grant()), "help": 5, "records": []}).to_string();
    let help = knock(&body, None, &door()).unwrap().help.unwrap();
    assert_eq!(help.known.as_deref(), Some(""));
}

/// The mark of an address, behind proxies.
fn address(skip: i64, proxies: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
    let origin = Origin {
        key: b"marks".to_vec(),
        skip,
        proxies: proxies.to_owned(),
    };
    origin
        .marks(5, &Server(headers.iter().copied().collect()))
        .address
}

#[test]
fn a_mark_tells_a_change_and_nothing_else() {
    let remote = |address_of: &'static str| address(3, "", &[("REMOTE_ADDR", address_of)]);
    assert_eq!(remote("192.0.2.7"), remote("192.0.2.7"));
    assert_eq!(remote("192.0.2.7"), remote("::ffff:192.0.2.7"));
    assert_ne!(remote("192.0.2.7"), remote("192.0.2.8"));
    assert_eq!(remote("2001:db8:0:1::1"), remote("2001:db8:0:1:ffff::2"));
    assert_ne!(remote("2001:db8:0:1::1"), remote("2001:db8:0:2::1"));
    assert_eq!(remote("unix:"), None);
    assert_eq!(remote("192.0.2.7").unwrap().len(), 16);
    let sixth = Origin {
        key: b"marks".to_vec(),
        skip: 3,
        proxies: String::new(),
    }
    .marks(6, &Server(BTreeMap::from([("REMOTE_ADDR", "192.0.2.7")])));
    assert_ne!(sixth.address, remote("192.0.2.7"));
}

#[test]
fn an_address_behind_proxies_is_the_last_that_is_none_of_them() {
    let behind = |skip, proxies, forwarded| {
        address(
            skip,
            proxies,
            &[
                ("REMOTE_ADDR", "192.0.2.1"),
                ("HTTP_X_FORWARDED_FOR", forwarded),
            ],
        )
    };
    let direct = |of| address(3, "", &[("REMOTE_ADDR", of)]);
    assert_eq!(behind(1, "", "203.0.113.9"), direct("203.0.113.9"));
    assert_eq!(
        behind(1, "", "198.51.100.1, 203.0.113.9:4711"),
        direct("203.0.113.9")
    );
    assert_eq!(behind(1, "", "[2001:db8::1]:4711"), direct("2001:db8::1"));
    assert_eq!(behind(1, "", "2001:db8::1"), direct("2001:db8::1"));
    let proxies = "10.1.2.3, 10.2.0.0/15, 2001:db8::/33";
    assert_eq!(
        behind(1, proxies, "203.0.113.9, 10.1.2.3, 10.3.255.1"),
        direct("203.0.113.9")
    );
    assert_eq!(
        behind(1, proxies, "203.0.113.9, 10.4.0.1"),
        direct("10.4.0.1")
    );
    assert_eq!(
        behind(1, proxies, "203.0.113.9, 2001:db8:7fff::1"),
        direct("203.0.113.9")
    );
    assert_eq!(behind(1, "10.0.0.0/8", "10.1.1.1, 10.2.2.2"), None);
    assert_eq!(behind(1, "10.0.0.0/0", "203.0.113.9"), None);
    assert_eq!(
        behind(1, "10.0.0.0/99,nonsense,/", "203.0.113.9"),
        direct("203.0.113.9")
    );
    // Who is not believed says nothing.
    assert_eq!(behind(3, "", "203.0.113.9"), direct("192.0.2.1"));
    let client = [
        ("REMOTE_ADDR", "192.0.2.1"),
        ("HTTP_CLIENT_IP", "203.0.113.9"),
    ];
    assert_eq!(address(0, "", &client), direct("203.0.113.9"));
}

proptest! {
    /// Whatever the answers are, they come back as they were, in their order, in one line.
    #[test]
    fn fields_are_passed_on_byte_for_byte(
        fields in prop::collection::btree_map("[A-Za-z0-9_.:-]{1,40}", any::<String>(), 1..6)
    ) {
        let prefixed = |name: &String| {
            let rest = name.strip_prefix('q').unwrap_or_default();
            let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            digits.len() < rest.len() && digits.starts_with(':')
        };
        prop_assume!(!fields.keys().any(prefixed));
        let admitted = with(answer(), json!({"fields": fields})).unwrap();
        prop_assert!(!admitted.lines[0].contains('\n'));
        let line: Value = serde_json::from_str(&admitted.lines[0]).unwrap();
        prop_assert_eq!(&line["fields"], &json!(fields));
    }

    /// Whatever is sent, it is taken or refused, and what is taken is JSON of this attempt.
    #[test]
    fn nothing_breaks_the_door(record in any_json(), whole in any::<bool>()) {
        let body = if whole {
            record.to_string()
        } else {
            json!({"token": token(&grant()), "records": [record, answer()]}).to_string()
        };
        if let Ok(admitted) = knock(&body, None, &door()) {
            for line in admitted.lines {
                let line: Value = serde_json::from_str(&line).unwrap();
                prop_assert_eq!(&line["attempt"], &json!(77));
            }
        }
    }
}

/// JSON of which some is nearly a record.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        ".{0,12}".prop_map(Value::from),
        Just(json!(INSTANCE)),
        Just(json!("alive")),
        Just(json!("help")),
        Just(json!(1)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop_oneof![
            Just("type"),
            Just("page"),
            Just("seq"),
            Just("at"),
            Just("slot"),
            Just("qa"),
            Just("status"),
            Just("fields"),
            Just("counts"),
            Just("call"),
            Just("text"),
        ]
        .prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner.clone(), 0..8)
                .prop_map(|members| json!(members)),
            prop::collection::btree_map(".{0,6}", inner, 0..4).prop_map(|members| json!(members)),
        ]
    })
}
