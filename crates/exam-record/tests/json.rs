//! The JSON checker against serde_json, which is the reference.

use std::borrow::Cow;

use exam_record::{MAX_DEPTH, MAX_RECORD, NotJson, members, string_bytes, validate_json_line};
use proptest::prelude::*;
use serde::de::IgnoredAny;

fn reference(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|t| serde_json::from_str::<IgnoredAny>(t).is_ok())
}

/// Arbitrary JSON, with space between tokens, escapes, and strings of any text.
fn json() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        any::<String>().prop_map(|s| serde_json::Value::from(s).to_string()),
        r#""(\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[ !#-\[\]-~é日🙂]){0,30}""#,
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        string.clone(),
    ];
    let space = "[ \t\r\n]{0,2}";
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            (prop::collection::vec((space, inner.clone(), space), 0..5)).prop_map(|items| {
                let items: Vec<_> = items.iter().map(|(a, v, b)| format!("{a}{v}{b}")).collect();
                format!("[{}]", items.join(","))
            }),
            (prop::collection::vec((space, string.clone(), space, inner, space), 0..5)).prop_map(
                |items| {
                    let items: Vec<_> = items
                        .iter()
                        .map(|(a, k, b, v, c)| format!("{a}{k}{b}:{b}{v}{c}"))
                        .collect();
                    format!("{{{}}}", items.join(","))
                }
            ),
        ]
    })
}

/// JSON with a few bytes changed, cut or doubled.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    (json(), prop::collection::vec(edit, 1..4)).prop_map(|(text, edits)| {
        let mut bytes = text.into_bytes();
        const TOKENS: &[u8] = b"{}[]:,\"\\ \n0-+.eEtfnu\x00\x1f\x80\xff";
        for (at, how, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let token = TOKENS[usize::from(byte) % TOKENS.len()];
            match how {
                0 => bytes[at] = token,
                1 => bytes.insert(at, token),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn takes_all_json(text in json()) {
        prop_assert!(reference(text.as_bytes()), "the generator must make JSON");
        prop_assert!(validate_json_line(text.as_bytes()).is_ok());
    }

    #[test]
    fn agrees_with_serde_json_about_what_is_no_json(text in nearly_json()) {
        prop_assert_eq!(validate_json_line(&text).is_ok(), reference(&text));
    }

    #[test]
    fn agrees_with_serde_json_about_any_bytes(
        text in prop::collection::vec(prop::sample::select(&br#"{}[]:,"\ -+.0123456789eEtrufalsn"#[..]), 0..12)
    ) {
        prop_assert_eq!(validate_json_line(&text).is_ok(), reference(&text));
    }

    #[test]
    fn makes_one_line_and_changes_no_value(text in json()) {
        let line = validate_json_line(text.as_bytes()).unwrap();
        prop_assert!(!line.iter().any(|b| matches!(b, b'\n' | b'\r')));
        // IgnoredAny aside, what serde_json can hold must be the same before and after.
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let after: serde_json::Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(after, value);
        }
        if !text.contains(['\n', '\r']) {
            prop_assert_eq!(&line[..], text.trim_ascii().as_bytes());
        }
    }

    #[test]
    fn decodes_strings_as_serde_json_does(text in any::<String>(), escape in any::<bool>()) {
        let mut raw = serde_json::Value::from(&text[..]).to_string();
        if escape {
            raw = text.encode_utf16().map(|u| format!("\\u{u:04x}")).collect();
        }
        prop_assert_eq!(string_bytes(raw.as_bytes()).unwrap(), text.as_bytes());
    }

    #[test]
    fn finds_the_members_of_an_object(
        object in prop::collection::btree_map(any::<String>(), json(), 0..6)
    ) {
        let parts: Vec<_> = object
            .iter()
            .map(|(k, v)| format!("{}:{v}", serde_json::Value::from(&k[..])))
            .collect();
        let text = format!("{{{}}}", parts.join(","));
        let mut found = Vec::new();
        members(text.as_bytes(), |key, value| found.push((key, value))).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (string_bytes(k).unwrap().into_owned(), v.to_vec()))
            .collect();
        let expected: Vec<_> = object
            .iter()
            .map(|(k, v)| (k.clone().into_bytes(), v.trim_ascii().as_bytes().to_vec()))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn nests_as_deep_as_serde_json_reads_and_no_deeper() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        [open.repeat(depth), inner.to_owned(), close.repeat(depth)].concat()
    };
    for (open, inner, close) in [("[", "", "]"), (r#"{"a":"#, "1", "}"), ("[", "{}", "]")] {
        for depth in [
            MAX_DEPTH as usize - 1,
            MAX_DEPTH as usize,
            MAX_DEPTH as usize + 1,
        ] {
            let text = nested(open, inner, close, depth);
            let reads = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            let taken = validate_json_line(text.as_bytes());
            assert_eq!(taken.is_ok(), reads, "{open} {depth}");
            if !reads {
                assert!(matches!(taken, Err(NotJson::TooDeep(_))), "{taken:?}");
            }
        }
    }
}

#[test]
fn refuses_what_is_not_one_value_and_says_why() {
    let refused = |text: &[u8]| validate_json_line(text).unwrap_err();
    assert_eq!(refused(b""), NotJson::Empty);
    assert_eq!(refused(b" \n"), NotJson::Empty);
    assert_eq!(refused(b"{\"a\":\"\xff\"}"), NotJson::NotUtf8(6));
    let at = |text: &[u8]| match refused(text) {
        NotJson::Syntax { at, .. } => at,
        other => panic!("{other}"),
    };
    assert_eq!(at(b"{} {}"), 3);
    assert_eq!(at(b"{\"a\" 1}"), 5);
    assert_eq!(at(b"[1,]"), 3);
    assert_eq!(at(b"\"a\nb\""), 2);
    assert_eq!(at(b"\xEF\xBB\xBF{}"), 0);
    let long = vec![b' '; MAX_RECORD + 1];
    assert_eq!(refused(&long), NotJson::TooLong(MAX_RECORD + 1));
}

#[test]
fn passes_a_line_on_without_copying_it() {
    let text = br#"  {"a":1,"b":"\ud800","c":1e999,"d":0.10} "#;
    match validate_json_line(text).unwrap() {
        Cow::Borrowed(line) => assert_eq!(line, text.trim_ascii()),
        Cow::Owned(_) => panic!("copied"),
    }
}

#[test]
fn a_lone_surrogate_keeps_its_code_point() {
    assert_eq!(string_bytes(br"a\ud800b").unwrap(), &b"a\xED\xA0\x80b"[..]);
    assert_eq!(string_bytes(br"\ud83d\ude00").unwrap(), "😀".as_bytes());
    assert_eq!(
        string_bytes(br"\ud83d\ud83d\ude00").unwrap(),
        [b"\xED\xA0\xBD", "😀".as_bytes()].concat()
    );
}

#[test]
fn lone_surrogates_are_replaced_and_nothing_else() {
    for (json, expected) in [
        (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
        (r#""\ud83d""#, r#""\ufffd""#),
        (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
        (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
        (r#""\\ud83d\n\u00e9""#, r#""\\ud83d\n\u00e9""#),
        (r#""\"#, r#""\"#),
    ] {
        let replaced = exam_record::without_lone_surrogates(json.as_bytes());
        assert_eq!(std::str::from_utf8(&replaced).unwrap(), expected);
    }
}
