//! The fold: any order, any duplication, any batches.

use std::collections::BTreeMap;

use exam_record::make::{self, Attempt, Stamp};
use exam_record::{AttemptKey, AttemptView, Malformed, Order, Parsed, Registers, Who, fold, parse};
use proptest::prelude::*;

fn attempt() -> Attempt {
    Attempt {
        site: "moodle.example".into(),
        quiz: 4,
        attempt: 17,
        usage: 170,
        student_id: 3,
    }
}

const T: u64 = 1_763_800_000_000_000;

type States = BTreeMap<AttemptKey, Registers>;

fn apply(states: &mut States, line: &[u8]) {
    let Some(folded) = fold(line).unwrap() else {
        return;
    };
    let registers = states.entry(folded.key).or_default();
    for op in &folded.ops {
        registers.apply(op);
    }
}

fn fold_all<'a>(lines: impl IntoIterator<Item = &'a String>) -> States {
    let mut states = States::new();
    for line in lines {
        apply(&mut states, line.as_bytes());
    }
    states
}

fn view(lines: &[String]) -> AttemptView {
    let states = fold_all(lines);
    assert_eq!(states.len(), 1);
    let (key, registers) = states.iter().next().unwrap();
    AttemptView::new(key, registers)
}

/// Records of a few attempts that collide as often as can be: in time, page, seq, id and content.
fn record() -> impl Strategy<Value = String> {
    let few = 0..3u64;
    (
        (0..10u8, 0..2i64, few.clone(), few.clone(), few.clone()),
        (0..3i64, 1..4u32, 0..2i64, 0..3u8, "[ab]?"),
    )
        .prop_map(|((kind, who, ts, at, id), (seq, slot, qa, page, text))| {
            let attempt = Attempt {
                attempt: who,
                ..attempt()
            };
            let (id, page) = (format!("id{id}"), format!("p{page}\0/%"));
            let stamp = Stamp {
                id: &id,
                ts: T + ts,
                at: T + at,
                page: &page,
                seq,
            };
            let slots: Vec<_> = (1..=slot).map(|s| (s, qa)).collect();
            match kind {
                0..4 => {
                    let status = u8::from(!text.is_empty());
                    make::answer(
                        &attempt,
                        &stamp,
                        slot,
                        qa,
                        status,
                        &[("answer", &text), (":flagged", &id)],
                    )
                }
                4 => make::saved(&attempt, &stamp, &slots),
                5 => make::started(&attempt, &stamp, &slots),
                6 => make::alive(&attempt, &stamp, &[("hidden", ts), ("a/b", at)]),
                7 => make::plain(
                    &attempt,
                    &stamp,
                    ["finished", "reopened", "help"][ts as usize],
                ),
                8 => format!(r#"{{"user":"u{who}","status":"0000{ts}"}}"#),
                _ => format!(
                    r#"{{"status":"s1{at}","student_id":{who},"timestamp":1.63120666{ts}E9}}"#
                ),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_order_any_duplication_and_any_batches_give_the_same_state(
        lines in prop::collection::vec(record(), 0..40),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        order in any::<u64>(),
        batches in 1..6usize,
    ) {
        let expected = fold_all(&lines);
        let mut shuffled = lines.clone();
        if !lines.is_empty() {
            shuffled.extend(again.iter().map(|i| lines[i.index(lines.len())].clone()));
        }
        // Any permutation: sort by a hash that the seed decides.
        shuffled.sort_by_cached_key(|line| {
            line.bytes().fold(order, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)).rotate_left(29)
        });
        prop_assert_eq!(&fold_all(&shuffled), &expected);

        let mut merged = States::new();
        for batch in shuffled.chunks(shuffled.len().div_ceil(batches).max(1)).rev() {
            for (key, registers) in fold_all(batch) {
                merged.entry(key).or_default().merge(registers);
            }
        }
        prop_assert_eq!(&merged, &expected);

        // As a store would keep and give them back.
        for (key, registers) in &expected {
            let mut stored = Registers::default();
            for (field, register) in registers.iter() {
                prop_assert!(stored.insert_stored(field.to_vec(), register.to_vec()));
            }
            prop_assert_eq!(&stored, registers);
            prop_assert!(serde_json::to_string(&AttemptView::new(key, registers)).is_ok());
        }
    }

    #[test]
    fn an_order_compares_as_its_parts_do(
        a in (any::<u64>(), "[\0\u{1}a\u{ff}]{0,3}", any::<i64>(), "[\0\u{1}a\u{ff}]{0,3}"),
        b in (any::<u64>(), "[\0\u{1}a\u{ff}]{0,3}", any::<i64>(), "[\0\u{1}a\u{ff}]{0,3}"),
        same in 0..4usize,
        values in any::<(Vec<u8>, Vec<u8>)>(),
    ) {
        // Equal beginnings, or the later parts would never decide.
        let b = (
            if same > 0 { a.0 } else { b.0 },
            if same > 1 { a.1.clone() } else { b.1 },
            if same > 2 { a.2 } else { b.2 },
            b.3,
        );
        let order = |p: &(u64, String, i64, String)| Order::new(p.0, p.1.as_bytes(), p.2, p.3.as_bytes());
        let (x, y) = (order(&a), order(&b));
        let parts = |p: &(u64, String, i64, String)| (p.0, p.1.clone().into_bytes(), p.2, p.3.clone().into_bytes());
        prop_assert_eq!(x.cmp(&y), parts(&a).cmp(&parts(&b)));
        prop_assert_eq!(x.at(), a.0);

        let (p, q) = ([x.as_bytes(), &values.0].concat(), [y.as_bytes(), &values.1].concat());
        prop_assert_eq!(p.cmp(&q), (x.clone(), &values.0).cmp(&(y, &values.1)));
        prop_assert_eq!(Order::split(&p), Some((x.as_bytes(), &values.0[..])));
    }

    #[test]
    fn a_key_is_reversible_text(site in any::<String>(), user in any::<String>(), attempt in any::<i64>()) {
        for who in [Who::User(user.clone()), Who::Attempt(attempt)] {
            let key = AttemptKey { site: site.clone(), who };
            let text = key.to_text();
            let unfit = ['{', '}', ' ', '\n'];
            prop_assert!(!text.contains(unfit));
            prop_assert_eq!(AttemptKey::from_text(&text), Some(key));
        }
    }

    #[test]
    fn nothing_makes_the_fold_panic(
        line in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            record().prop_flat_map(|line| {
                // Any value put in the place of any other.
                let value = prop::sample::select(vec![
                    "null", "true", "-1", "1e999", "99999999999999999999", "\"\"", "\"x\"", "[]", "[1]", "{}",
                    r#"{"1":2}"#, r#"{"0":1}"#, r#"{"a":-1}"#, "0.5", "\"\\ud800\"",
                ]);
                let members: Vec<String> = line.split(',').map(str::to_owned).collect();
                (Just(members.clone()), 0..members.len(), value).prop_map(|(mut members, i, value)| {
                    if let Some(colon) = members[i].find(':') {
                        members[i].truncate(colon + 1);
                        members[i].push_str(value);
                    }
                    members.join(",").into_bytes()
                })
            }),
        ]
    ) {
        if let Ok(Some(folded)) = fold(&line) {
            let mut registers = Registers::default();
            folded.ops.iter().for_each(|op| registers.apply(op));
            let view = AttemptView::new(&folded.key, &registers);
            prop_assert!(serde_json::to_string(&view).is_ok());
        }
        let _ = exam_record::dated_line(&line);
    }

    #[test]
    fn nothing_stored_makes_the_view_panic(
        stored in prop::collection::vec(
            ("[aflszchiw]|seen|[afs]/[0-9]{1,3}/-?[0-9]|c/p/.*|.*", any::<Vec<u8>>(), any::<bool>()),
            0..8,
        )
    ) {
        let mut registers = Registers::default();
        for (field, value, ordered) in stored {
            let order = if ordered { Order::number(value.len() as u64) } else { Order::number(u64::MAX) };
            registers.insert_stored(field.into_bytes(), [order.as_bytes(), &value].concat());
        }
        let view = AttemptView::new(&AttemptKey::new("s", 1), &registers);
        prop_assert!(serde_json::to_string(&view).is_ok());
    }
}

fn answer(at: u64, page: &str, seq: i64, slot: u32, qa: i64, text: &str) -> String {
    let id = format!("17-{page}-{seq}");
    let stamp = Stamp {
        id: &id,
        ts: T + at + 5,
        at: T + at,
        page,
        seq,
    };
    make::answer(
        &attempt(),
        &stamp,
        slot,
        qa,
        u8::from(!text.is_empty()),
        &[("answer", text), (":sequencecheck", &seq.to_string())],
    )
}

fn stamp<'a>(at: u64, page: &'a str, seq: i64, id: &'a str) -> Stamp<'a> {
    Stamp {
        id,
        ts: T + at,
        at: T + at,
        page,
        seq,
    }
}

#[test]
fn two_devices_in_turn_end_with_the_last_edit() {
    // A, B, A: the page that was opened first writes last; its page id is the lesser one.
    let lines = [
        answer(10, "pA", 1, 1, 5, "first"),
        answer(20, "pB", 1, 1, 5, "second"),
        answer(30, "pA", 2, 1, 5, "third"),
    ];
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let view = view(&order.map(|i| lines[i].clone()));
        let slot = &view.slots[&1];
        assert_eq!((&slot.page[..], slot.seq), ("pA", 2));
        assert_eq!(
            slot.fields.get(),
            r#"{"answer":"third",":sequencecheck":"2"}"#
        );
        assert_eq!(view.word, "s2");
    }
}

#[test]
fn the_status_word_tells_unanswered_answered_and_changed() {
    let slots: Vec<_> = (1..=5).map(|s| (s, 40 + i64::from(s))).collect();
    let lines = [
        make::started(&attempt(), &stamp(0, "", 0, "start"), &slots),
        answer(1, "p", 1, 1, 41, "x"),
        answer(2, "p", 2, 2, 42, "x"),
        answer(3, "p", 3, 2, 42, "y"),
        answer(4, "p", 4, 3, 43, "x"),
        answer(5, "p", 5, 3, 43, ""),
        answer(6, "p", 6, 4, 44, "x"),
        answer(7, "p", 7, 4, 44, "y"),
        answer(8, "p", 8, 4, 44, "x"), // back to the first answer
    ];
    assert_eq!(view(&lines).word, "s12010");
    assert_eq!(view(&lines[..1]).word, "s00000");
    assert_eq!(view(&lines[1..4]).word, "s12");
}

#[test]
fn a_redone_question_counts_by_its_new_attempt() {
    let lines = [
        answer(9, "p", 9, 1, 5, "old"),
        answer(3, "p", 3, 1, 6, "new"),
    ];
    let view = view(&lines);
    assert_eq!((view.slots[&1].qa, &view.word[..]), (6, "s1"));
}

#[test]
fn a_form_post_settles_what_was_answered_before_it() {
    let saved = make::saved(&attempt(), &stamp(15, "p", 2, "post"), &[(1, 5), (2, 6)]);
    let lines = [
        answer(10, "p", 1, 1, 5, "x"),
        answer(20, "p", 3, 2, 6, "y"),
        saved,
    ];
    let view = view(&lines);
    assert!(view.slots[&1].saved);
    assert!(!view.slots[&2].saved);
}

#[test]
fn counters_are_the_greatest_of_each_page_summed() {
    let alive = |page, seq, n| {
        make::alive(
            &attempt(),
            &stamp(seq, page, seq as i64, "x"),
            &[("hidden", n)],
        )
    };
    let view = view(&[
        alive("p1", 1, 2),
        alive("p1", 2, 3),
        alive("p1", 3, 1),
        alive("p2", 1, 4),
    ]);
    assert_eq!(view.counts["hidden"], 7);
}

#[test]
fn the_lifecycle_is_the_last_event_and_filters_nothing() {
    let lines = [
        make::started(&attempt(), &stamp(0, "", 0, "a"), &[(1, 5)]),
        make::plain(&attempt(), &stamp(30, "", 0, "b"), "reopened"),
        make::plain(&attempt(), &stamp(20, "", 0, "c"), "finished"),
        answer(40, "p", 1, 1, 5, "late"),
    ];
    let now = view(&lines);
    let lifecycle = now.lifecycle.unwrap();
    assert_eq!(
        (&lifecycle.kind[..], lifecycle.ts),
        ("reopened", (T + 30) as f64 / 1e6)
    );
    assert_eq!(now.word, "s1");
    assert_eq!(view(&lines[2..]).lifecycle.unwrap().kind, "finished");
}

#[test]
fn help_calls_are_kept_each_by_its_id() {
    let help = |at, id| make::plain(&attempt(), &stamp(at, "p", 1, id), "help");
    let view = view(&[help(2, "h2"), help(1, "h1"), help(1, "h1")]);
    let ids: Vec<_> = view.help.iter().map(|h| &h.id[..]).collect();
    assert_eq!(ids, ["h1", "h2"]);
}

#[test]
fn an_answer_comes_back_byte_for_byte() {
    let essay = "line\\n".repeat(30_000);
    let fields = format!(
        r#"{{ "answer" : "{essay}" , "a":"\u0000\ud800\u00e9é", "n": 1.50e+3, "answer":"twice", "big":12345678901234567890123 }}"#
    );
    let line = format!(
        r#"{{"v":1,"id":"x","type":"answer","ts":1.5,"site":"s","attempt":1,"slot":1,"qa":2,"status":1,"fields":{fields},"mine":[1]}}"#
    );
    assert!(line.len() > 180_000);
    let view = view(&[line]);
    assert_eq!(view.slots[&1].fields.get(), fields);
    assert_eq!(view.slots[&1].at, 1.5, "without `at`, `ts` stands for it");
    let json = serde_json::to_string(&view).unwrap();
    assert!(json.contains(&fields));
}

#[test]
fn the_papers_records_are_folded_as_printed() {
    let figure2 = r#"{"user":"spencer","status":"00001"}"#.to_owned();
    let now = view(std::slice::from_ref(&figure2));
    assert_eq!(
        (now.user.as_deref(), now.attempt, &now.word[..]),
        (Some("spencer"), None, "00001")
    );
    let Parsed::Bare(bare) = parse(figure2.as_bytes()).unwrap() else {
        panic!("not bare")
    };
    assert_eq!((bare.ts, bare.id.len()), (0, 32));

    let figure5 = |word, time: &str| format!(r#"{{"status":"{word}","student_id":3,{time}}}"#);
    let now = view(&[
        figure5("s1120", r#""timestamp":1.6312066665E9"#),
        figure5("s1000", r#""Time": 1631206600"#),
        figure5("s1100", r#""TS":1.63120666E9"#),
    ]);
    assert_eq!(
        (now.attempt, now.student_id, &now.word[..]),
        (Some(3), Some(3), "s1120")
    );
    assert_eq!(now.last_seen, Some(1_631_206_666.5));
}

#[test]
fn two_sites_share_nothing() {
    let other = Attempt {
        site: "other".into(),
        ..attempt()
    };
    let states = fold_all(&[
        answer(1, "p", 1, 1, 5, "x"),
        make::plain(&other, &stamp(1, "p", 1, "y"), "alive"),
    ]);
    assert_eq!(states.len(), 2);
}

#[test]
fn unknown_types_pass_through_and_are_a_sign_of_life() {
    let view = view(&[make::plain(&attempt(), &stamp(9, "p", 1, "x"), "telepathy")]);
    assert_eq!(view.last_seen, Some((T + 9) as f64 / 1e6));
    assert_eq!(
        (view.quiz, view.usage, view.student_id),
        (Some(4), Some(170), Some(3))
    );
    for line in [
        &b"[1,2]"[..],
        b"7",
        br#"{"v":2,"type":"answer"}"#,
        br#"{"v":1,"type":"tick","id":"1","ts":1}"#,
        br#"{"status":3,"user":"x"}"#,
        br#"{"user":"x"}"#,
    ] {
        assert_eq!(parse(line), Ok(Parsed::Other), "{}", line.escape_ascii());
    }
}

#[test]
fn ids_may_be_numbers_or_texts_as_databases_give_them() {
    let line = br#"{"v":1,"id":7,"type":"answer","ts":1763800000.25,"at":null,"site":"s","attempt":"12","slot":"3","qa":4.0,"page":99,"seq":"2","status":1,"fields":[]}"#;
    let Ok(Parsed::Record(record)) = parse(line) else {
        panic!("{:?}", parse(line))
    };
    assert_eq!(record.key, AttemptKey::new("s", 12));
    assert_eq!(
        (&record.id[..], &record.page[..], record.seq),
        ("7", "99", 2)
    );
    assert_eq!((record.slot, record.qa), (Some(3), Some(4)));
    assert_eq!(record.at, 1_763_800_000_250_000);
    assert_eq!(record.fields, Some(&b"{}"[..]));
}

#[test]
fn a_field_of_the_wrong_type_is_named() {
    let good = [
        ("v", "1"),
        ("id", "\"x\""),
        ("type", "\"answer\""),
        ("ts", "1"),
        ("at", "1"),
        ("site", "\"s\""),
        ("attempt", "1"),
        ("quiz", "1"),
        ("usage", "1"),
        ("student_id", "1"),
        ("preview", "false"),
        ("slot", "1"),
        ("qa", "1"),
        ("page", "\"p\""),
        ("seq", "1"),
        ("sent", "1"),
        ("status", "1"),
        ("fields", "{}"),
        ("counts", "{}"),
    ];
    let with = |name: &str, value: &str| {
        let members: Vec<_> = good
            .iter()
            .map(|(n, v)| format!("\"{n}\":{}", if *n == name { value } else { v }))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    let named = |line: &str| match parse(line.as_bytes()) {
        Err(Malformed::Field { field, .. }) => field,
        other => panic!("{line}: {other:?}"),
    };
    assert!(matches!(
        parse(with("", "").as_bytes()),
        Ok(Parsed::Record(_))
    ));
    for (name, _) in &good[1..] {
        assert_eq!(named(&with(name, "[7]")), *name);
    }
    for (name, value) in [
        ("ts", "-1"),
        ("ts", "1e300"),
        ("ts", "null"),
        ("site", "null"),
        ("attempt", "null"),
        ("attempt", "1.5"),
        ("slot", "0"),
        ("slot", "10000"),
        ("status", "2"),
        ("fields", "\"\""),
        ("counts", r#"{"a":-1}"#),
        ("type", "null"),
    ] {
        assert_eq!(named(&with(name, value)), name);
    }
    let error = parse(with("slot", "\"secret answer\"").as_bytes())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`slot`") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn the_date_of_a_line_is_its_event_time_in_utc() {
    let date = |line: &str| exam_record::dated_line(line.as_bytes()).ok()?.1;
    assert_eq!(date(r#"{"v":1,"ts":1763800000.5}"#), Some((2025, 11, 22)));
    assert_eq!(
        date(r#"{"fields":{"ts":0,"x":"\"ts\":0"},"ts":1763800000}"#),
        Some((2025, 11, 22))
    );
    assert_eq!(
        date(r#"{"status":"s1","student_id":3,"timestamp":1.6312066665E9}"#),
        Some((2021, 9, 9))
    );
    for (seconds, expected) in [
        (0u64, (1970, 1, 1)),
        (951_782_399, (2000, 2, 28)),
        (951_782_400, (2000, 2, 29)),
        (951_868_800, (2000, 3, 1)),
        (4_107_542_399, (2100, 2, 28)),
        (4_107_542_400, (2100, 3, 1)),
        (253_402_300_799, (9999, 12, 31)),
    ] {
        assert_eq!(date(&format!(r#"{{"ts":{seconds}}}"#)), Some(expected));
    }
    for line in [
        "",
        "{",
        "[]",
        r#"{"ts":"1"}"#,
        r#"{"user":"x","status":"1"}"#,
        r#"{"ts":-1}"#,
    ] {
        assert_eq!(date(line), None, "{line}");
    }
}
