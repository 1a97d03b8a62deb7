//! The fold: any order, any duplication, any batches.

use std::collections::{BTreeMap, BTreeSet};

use exam_record::make::{self, About, Attempt, Stamp};
use exam_record::{
    AttemptKey, AttemptView, BoardRow, Malformed, Order, Parsed, Registers, STEPS, Who, fold, parse,
};
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
    for op in folded.ops {
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
        (0..56u8, 0..2i64, few.clone(), few.clone(), few.clone()),
        (0..3i64, 1..4u32, 0..2i64, 0..3u8, "[ab]?"),
        (prop::option::of("[a/]?"), 0..2u64, 0..2u64),
    )
        .prop_map(
            |((kind, who, ts, at, id), (seq, slot, qa, page, text), (device, address, agent))| {
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
                if kind == 55 {
                    return make::erased(&attempt, stamp.ts);
                }
                let kind = kind % 14;
                let line = match kind {
                    0..4 => {
                        let status = u8::from(!text.is_empty());
                        let fields = [("answer", &text[..]), (":flagged", &id[2..])];
                        make::answer(&attempt, &stamp, slot, qa, status, &fields)
                    }
                    4 => make::saved(&attempt, &stamp, &slots),
                    5 => make::started(&attempt, &stamp, &slots),
                    6 => make::alive(&attempt, &stamp, &[("hidden", ts), ("a/b", at)]),
                    7 => make::plain(
                        &attempt,
                        &stamp,
                        ["finished", "reopened", "help"][ts as usize],
                    ),
                    8 | 9 => {
                        let step = STEPS[(kind as usize + seq as usize) % 4];
                        make::help(
                            &attempt,
                            &stamp,
                            &format!("id{qa}/"),
                            step,
                            who,
                            &text,
                            Some(slot),
                        )
                    }
                    10 | 11 => {
                        let about = About {
                            site: &attempt.site,
                            quiz: attempt.quiz,
                            attempt: (kind == 10).then_some(who),
                            slot: (slot > 1).then_some(slot),
                        };
                        let row = format!(r#"{{"n":"{text}{qa}"}}"#);
                        make::signal(&about, "a/b", stamp.ts, stamp.at, seq, &row)
                    }
                    12 => format!(r#"{{"user":"u{who}","status":"0000{ts}"}}"#),
                    _ => format!(
                        r#"{{"status":"s1{at}","student_id":{who},"timestamp":1.63120666{ts}E9}}"#
                    ),
                };
                // Some do not say all of the ids.
                let line = match (seq, qa) {
                    (2, 1) => line.replace(r#""usage":170,"#, ""),
                    _ => line,
                };
                match device {
                    Some(device) if kind < 12 => {
                        let digest = |n| format!("{n:016x}");
                        make::from_device(&line, &device, &digest(address), &digest(agent))
                    }
                    _ => line,
                }
            },
        )
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

        // Whatever came before an erasure or after it: of the attempt nothing is left but that.
        for (key, registers) in &expected {
            let of_key = |line: &&String| match parse(line.as_bytes()) {
                Ok(Parsed::Record(record)) => record.kind == "erased" && record.key == *key,
                _ => false,
            };
            prop_assert_eq!(registers.is_erased(), shuffled.iter().any(|line| of_key(&line)));
            if registers.is_erased() {
                let left: Vec<_> = registers.iter().map(|(field, _)| field).collect();
                prop_assert_eq!(left, [b"erased"]);
                prop_assert_eq!(registers.bytes(), 6 + Order::number(0).as_bytes().len());
                prop_assert!(BoardRow::new(key, registers).is_none());
            }
        }

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
    fn the_views_are_what_the_records_say(lines in prop::collection::vec(record(), 0..40)) {
        // Said again from the records themselves, without a register.
        for (key, registers) in &fold_all(&lines) {
            let records: Vec<_> = lines
                .iter()
                .filter_map(|line| match parse(line.as_bytes()) {
                    Ok(Parsed::Record(record)) if record.key == *key => Some(record),
                    _ => None,
                })
                .collect();
            let now = AttemptView::new(key, registers);
            if records.is_empty() {
                continue; // bare
            }
            if records.iter().any(|record| record.kind == "erased") {
                prop_assert!(now.slots.is_empty() && now.help.is_empty() && now.word == "s");
                prop_assert_eq!((now.student_id, now.last_seen), (None, None));
                continue;
            }
            let seconds = |micros: u64| micros as f64 / 1e6;
            let alive = records.iter().filter(|r| match &*r.kind {
                "signal" => false,
                "help" => r.help.as_ref().is_some_and(|help| help.step == "asked"),
                _ => true,
            });
            if lines.iter().all(|line| line.contains("\"v\":1")) {
                prop_assert_eq!(now.last_seen, alive.clone().map(|r| seconds(r.ts)).max_by(f64::total_cmp));
            }

            let student = records.iter().find_map(|r| r.ids.student_id);
            let usage = records.iter().find_map(|r| r.ids.usage);
            prop_assert_eq!((now.student_id, now.usage), (student, usage));

            let mut devices = BTreeMap::new();
            for record in alive {
                if let Some(from) = &record.origin {
                    let from = (&from.device[..], &from.address[..], &from.agent[..]);
                    let span = devices.entry(from).or_insert((record.ts, record.ts));
                    *span = (span.0.min(record.ts), span.1.max(record.ts));
                }
            }
            let mut told: Vec<_> = now.devices.iter().map(|d| {
                ((&d.device[..], &d.address[..], &d.agent[..]), (d.first, d.last))
            }).collect();
            prop_assert!(told.is_sorted_by(|a, b| a.1.0 <= b.1.0));
            told.sort_by_key(|(from, _)| *from);
            let spans: Vec<_> = devices.iter().map(|(from, span)| (*from, (seconds(span.0), seconds(span.1)))).collect();
            prop_assert_eq!(told, spans);
            let mut used: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
            for ((name, ..), (first, last)) in &devices {
                let span = used.entry(*name).or_insert((*first, *last));
                *span = (span.0.min(*first), span.1.max(*last));
            }
            used.remove("");
            let at_once = used.iter().any(|(a, x)| {
                used.iter().any(|(b, y)| a != b && x.0 <= y.1 && y.0 <= x.1)
            });
            prop_assert_eq!(now.use_of_devices.devices_at_once, at_once);

            let mut signals = BTreeMap::new();
            for record in &records {
                if let Some(signal) = &record.signal {
                    let name = match record.slot {
                        Some(slot) => format!("{}/{slot}", signal.name),
                        None => signal.name.to_string(),
                    };
                    let newest = signals.entry(name).or_insert((0, -1, "", &b""[..]));
                    *newest = (*newest).max((record.at, signal.revision, &record.id, signal.row));
                }
            }
            prop_assert_eq!(now.signals.len(), signals.len());
            for (name, (at, revision, _, row)) in signals {
                let told = &now.signals[&name];
                prop_assert_eq!((told.at, told.revision), (seconds(at), revision));
                prop_assert_eq!(told.row.get().as_bytes(), row);
            }

            let steps = records.iter().filter_map(|r| r.help.as_ref().map(|h| (h.call.to_string(), h.step)));
            let steps: BTreeSet<_> = steps.collect();
            let told = now.help.iter().flat_map(|(call, steps)| steps.keys().map(|step| (call.clone(), *step)));
            prop_assert_eq!(told.collect::<BTreeSet<_>>(), steps);

            if let Some(row) = BoardRow::new(key, registers) {
                let json = serde_json::to_value(&row).unwrap();
                prop_assert!(json.get("fields").is_none());
                prop_assert_eq!(&row.word, &now.word);
                prop_assert_eq!(row.flags.len(), row.slots);
                for (slot, answer) in &now.slots {
                    let at = *slot as usize;
                    prop_assert_eq!(row.times[slot], answer.at);
                    prop_assert_eq!(&row.flags[at - 1..at] == "1", answer.flagged);
                    prop_assert_eq!(&row.word[at..=at] == "2", answer.changed);
                }
                prop_assert_eq!(row.times.len(), now.slots.len());
                prop_assert_eq!(row.answered, row.word[1..].bytes().filter(|b| *b != b'0').count());
            } else {
                prop_assert!(!matches!(key.who, Who::Attempt(_)));
            }
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
    fn a_key_is_reversible_text(site in any::<String>(), user in any::<String>(), number in any::<i64>()) {
        for who in [Who::User(user.clone()), Who::Attempt(number), Who::Quiz(number)] {
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
                    "\"asked\"", "\"taken\"", r#"{"1":2}"#, r#"{"0":1}"#, r#"{"a":-1}"#, "0.5", "\"\\ud800\"",
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
            folded.ops.into_iter().for_each(|op| registers.apply(op));
            let view = AttemptView::new(&folded.key, &registers);
            prop_assert!(serde_json::to_string(&view).is_ok());
            prop_assert!(serde_json::to_string(&BoardRow::new(&folded.key, &registers)).is_ok());
        }
        let _ = exam_record::timed_line(&line);
    }

    #[test]
    fn nothing_stored_makes_the_view_panic(
        stored in prop::collection::vec(
            ("[aflszchiwdeq]|seen|here|[afs]/[0-9]{1,3}/-?[0-9]|c/p/.*|[dehq]/.*|.*", prop_oneof![
                any::<Vec<u8>>(),
                // As an answer's summary ends.
                any::<Vec<u8>>().prop_map(|line| [&line[..], b"210123456789abcdef"].concat()),
            ], any::<bool>()),
            0..8,
        )
    ) {
        let mut registers = Registers::default();
        for (field, value, ordered) in stored {
            let order = if ordered { Order::number(value.len() as u64) } else { Order::number(u64::MAX) };
            registers.insert_stored(field.into_bytes(), [order.as_bytes(), &value].concat());
        }
        let key = AttemptKey::new("s", 1);
        prop_assert!(serde_json::to_string(&AttemptView::new(&key, &registers)).is_ok());
        prop_assert!(serde_json::to_string(&BoardRow::new(&key, &registers)).is_ok());
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
fn an_erased_attempt_keeps_nothing_and_takes_nothing() {
    let secret = answer(10, "p", 1, 1, 5, "secret");
    let another = answer(10, "p", 1, 1, 5, "secret").replace("\"attempt\":17", "\"attempt\":18");
    let erased = [
        make::erased(&attempt(), T),
        make::erased(&attempt(), T + 99),
    ];
    let expected = fold_all([&erased[0], &another]);
    let key = AttemptKey::new("moodle.example", 17);
    assert!(expected[&key].is_erased());
    assert!(!expected[&AttemptKey::new("moodle.example", 18)].is_erased());
    for lines in [
        [&secret, &erased[0], &another, &erased[0]],
        [&erased[1], &secret, &another, &secret],
        [&another, &erased[0], &erased[1], &secret],
    ] {
        let states = fold_all(lines);
        assert_eq!(states, expected);
        let view = serde_json::to_string(&AttemptView::new(&key, &states[&key])).unwrap();
        assert!(!view.contains("secret"), "{view}");
    }
    // It is no sign of life, and says whose board is to be told.
    let folded = fold(erased[0].as_bytes()).unwrap().unwrap();
    assert_eq!((folded.quiz, folded.ops.len()), (Some(4), 1));
    let nobody = r#"{"v":1,"type":"erased","ts":1,"site":"moodle.example"}"#;
    assert!(matches!(
        fold(nobody.as_bytes()),
        Err(Malformed::Field {
            field: "attempt",
            ..
        })
    ));
}

#[test]
fn a_name_that_no_store_could_keep_is_refused_by_its_field() {
    let (fits, long) = ("n".repeat(1_024), "n".repeat(1_025));
    let lines = |name: &str| {
        [
            (
                "id",
                format!(r#"{{"v":1,"type":"alive","ts":1,"site":"s","attempt":1,"id":"{name}"}}"#),
            ),
            (
                "page",
                format!(
                    r#"{{"v":1,"type":"alive","ts":1,"site":"s","attempt":1,"page":"{name}"}}"#
                ),
            ),
            (
                "site",
                format!(r#"{{"v":1,"type":"alive","ts":1,"site":"{name}","attempt":1}}"#),
            ),
            (
                "call",
                format!(r#"{{"v":1,"type":"help","ts":1,"site":"s","attempt":1,"call":"{name}"}}"#),
            ),
            (
                "name",
                format!(
                    r#"{{"v":1,"type":"signal","ts":1,"site":"s","quiz":1,"name":"{name}","row":{{}}}}"#
                ),
            ),
            (
                "counts",
                format!(
                    r#"{{"v":1,"type":"alive","ts":1,"site":"s","attempt":1,"counts":{{"{name}":1}}}}"#
                ),
            ),
            ("user", format!(r#"{{"user":"{name}","status":"00001"}}"#)),
        ]
    };
    for (field, line) in lines(&fits) {
        assert!(fold(line.as_bytes()).unwrap().is_some(), "{field}");
    }
    for (expected, line) in lines(&long) {
        let error = fold(line.as_bytes()).unwrap_err();
        assert!(
            matches!(error, Malformed::Field { field, .. } if field == expected),
            "{error}"
        );
        assert!(
            error.to_string().contains("at most 1024 bytes") && !error.to_string().contains("nnn")
        );
    }
    // A record as long as can be, with names as long as can be, fits into an item of 400 KB.
    let names = format!(r#""id":"{fits}","page":"{fits}""#);
    let head = format!(
        r#"{{"v":1,"type":"answer","ts":1,"site":"s","attempt":1,{names},"slot":1,"qa":1,"status":1,"fields":{{"a":""#
    );
    let line = format!(r#"{head}{}"}}}}"#, "x".repeat(262_144 - head.len() - 4));
    let folded = fold(line.as_bytes()).unwrap().unwrap();
    let largest = folded.ops.iter().map(|op| op.register.len()).max();
    assert!(largest.unwrap() < 400 * 1024 - 10_000, "{largest:?}");
}

#[test]
fn a_call_for_help_is_kept_step_by_step() {
    let (asker, helper) = (3, 99);
    let say = |at, id, call, step, by, text, slot| {
        make::help(
            &attempt(),
            &stamp(at, "p", 1, id),
            call,
            step,
            by,
            text,
            slot,
        )
    };
    let hostile = "<script>\u{202e}\"\\\n".repeat(900);
    let lines = [
        say(1, "h1", "h1", "asked", asker, &hostile, Some(2)),
        say(2, "x", "h1", "taken", helper, "", None),
        say(4, "y", "h1", "answered", helper, "yes", None),
        say(3, "z", "h1", "answered", helper, "no", None),
        make::plain(&attempt(), &stamp(9, "p", 2, "h2"), "help"),
        say(20, "c", "h1", "closed", helper, "", None),
    ];
    let view = view(&lines);
    let steps: Vec<_> = view.help["h1"].keys().copied().collect();
    assert_eq!(steps, ["answered", "asked", "closed", "taken"]);
    let asked = &view.help["h1"]["asked"];
    assert_eq!(
        (asked.by, asked.slot, asked.text.as_deref()),
        (Some(3), Some(2), Some(&hostile[..]))
    );
    let answered = &view.help["h1"]["answered"];
    assert_eq!(
        (answered.by, answered.text.as_deref()),
        (Some(99), Some("yes"))
    );
    assert_eq!(answered.ts, (T + 4) as f64 / 1e6);
    // Without `call` and `step` it is the asking itself.
    assert_eq!(
        view.help["h2"].keys().copied().collect::<Vec<_>>(),
        ["asked"]
    );
    // The student was last heard of when asking again, whatever the helper did since.
    assert_eq!(view.last_seen, Some((T + 9) as f64 / 1e6));
}

#[test]
fn a_signal_is_kept_by_its_name_and_slot_and_is_no_sign_of_life() {
    let site = attempt().site;
    let about = |attempt, slot| About {
        site: &site,
        quiz: 4,
        attempt,
        slot,
    };
    let row = r#"{ "n": 1.50, "who":"ü" }"#;
    let lines = [
        make::signal(
            &about(Some(17), None),
            "fast",
            T + 90,
            T + 60,
            0,
            r#"{"n":1}"#,
        ),
        make::signal(&about(Some(17), None), "fast", T + 95, T + 60, 1, row),
        make::signal(
            &about(Some(17), None),
            "fast",
            T + 99,
            T + 50,
            7,
            r#"{"n":3}"#,
        ),
        make::signal(
            &about(Some(17), Some(3)),
            "fast",
            T + 99,
            T + 60,
            0,
            r#"{"n":4}"#,
        ),
    ];
    let now = view(&lines);
    let fast = &now.signals["fast"];
    assert_eq!(
        (fast.at, fast.revision, fast.row.get()),
        ((T + 60) as f64 / 1e6, 1, row)
    );
    assert_eq!(now.signals["fast/3"].row.get(), r#"{"n":4}"#);
    assert_eq!(
        (now.last_seen, now.quiz, &now.word[..]),
        (None, Some(4), "s")
    );

    let hard = make::signal(&about(None, Some(2)), "hard", T + 99, T, 0, row);
    let states = fold_all([&hard]);
    let (key, registers) = states.iter().next().unwrap();
    assert_eq!(key, &AttemptKey::quiz(&site[..], 4));
    let quiz = AttemptView::new(key, registers);
    assert_eq!((quiz.attempt, quiz.quiz), (None, Some(4)));
    assert_eq!(quiz.signals["hard/2"].row.get(), row);
    assert!(BoardRow::new(key, registers).is_none());
}

#[test]
fn two_devices_count_as_at_once_when_both_are_heard_of_in_turn() {
    let (home, school) = ("00000000000000aa", "00000000000000bb");
    let from = |at, device: &str, address| {
        let line = make::plain(&attempt(), &stamp(at, "p", 1, "x"), "alive");
        make::from_device(&line, device, address, home)
    };
    let moved = [
        from(10, "a", home),
        from(20, "a", school),
        from(30, "b", school),
    ];
    let now = view(&moved);
    let told = now.use_of_devices;
    assert_eq!(
        (told.devices_at_once, told.addresses, told.agents),
        (false, 2, 1)
    );
    let shown = |n: usize| {
        (
            &now.devices[n].device[..],
            now.devices[n].first,
            now.devices[n].last,
        )
    };
    let second = |at: u64| (T + at) as f64 / 1e6;
    assert_eq!(shown(0), ("a", second(10), second(10)));
    assert_eq!(shown(2), ("b", second(30), second(30)));
    // The first one again, at another address.
    let back = [&moved[..], &[from(40, "a", home)]].concat();
    assert!(view(&back).use_of_devices.devices_at_once);
    // A record that names no device is no second one.
    assert!(
        !view(&[from(10, "a", home), from(20, "", home), from(30, "a", home)])
            .use_of_devices
            .devices_at_once
    );

    // What the helper sends comes from no device of the student's.
    let taken = make::help(
        &attempt(),
        &stamp(50, "p", 1, "y"),
        "h",
        "taken",
        99,
        "",
        None,
    );
    let helped = [
        &moved[..],
        &[make::from_device(&taken, "c", school, school)],
    ]
    .concat();
    assert_eq!(view(&helped).devices.len(), 3);
}

#[test]
fn the_board_shows_flags_progress_and_times_but_no_content() {
    let field = |at: u64, slot, flagged: &str, text| {
        let id = format!("id{at}");
        let fields = [
            ("q1:2_answer", text),
            ("q1:2_:flagged", flagged),
            ("q1:2_:sequencecheck", "1"),
        ];
        make::answer(
            &attempt(),
            &stamp(at, "p", at as i64, &id),
            slot,
            5,
            u8::from(!text.is_empty()),
            &fields,
        )
    };
    let slots: Vec<_> = (1..=4).map(|slot| (slot, 5)).collect();
    let lines = [
        make::started(&attempt(), &stamp(0, "", 0, "start"), &slots),
        field(1, 1, "0", "secret"),
        field(2, 2, "1", ""),
        field(3, 3, "1", "secret"),
        field(4, 3, "1", "secret indeed"),
    ];
    let states = fold_all(&lines);
    let (key, registers) = states.iter().next().unwrap();
    let row = BoardRow::new(key, registers).unwrap();
    assert_eq!((&row.word[..], &row.flags[..]), ("s1020", "0110"));
    assert_eq!((row.answered, row.slots, row.attempt), (2, 4, 17));
    assert_eq!(
        (row.quiz, row.student_id, row.usage),
        (Some(4), Some(3), Some(170))
    );
    assert_eq!(
        row.times.into_iter().collect::<Vec<_>>(),
        [1, 2, 3].map(|slot| { (slot, (T + [1, 2, 4][slot as usize - 1]) as f64 / 1e6) })
    );
    let json = serde_json::to_string(&BoardRow::new(key, registers)).unwrap();
    assert!(!json.contains("secret"), "{json}");
    let view = AttemptView::new(key, registers);
    assert_eq!(
        [1, 2, 3].map(|slot| view.slots[&slot].flagged),
        [false, true, true]
    );
    assert_eq!(
        [1, 2, 3].map(|slot| view.slots[&slot].changed),
        [false, false, true]
    );
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
fn an_attempt_is_known_by_whoever_says_most_and_seen_by_whoever_comes_last() {
    let says = |at: u64, ids: &str| {
        format!(
            r#"{{"v":1,"id":"{at}","type":"focus","ts":{},"site":"moodle.example","attempt":17{ids}}}"#,
            (T + at) as f64 / 1e6
        )
    };
    let all = r#","quiz":4,"usage":170,"student_id":3"#;
    let some = r#","quiz":4,"student_id":3"#;
    let known = |lines: &[String]| {
        let view = view(lines);
        let seen = view.last_seen.map(|seen| (seen * 1e6) as u64 - T);
        ((view.quiz, view.usage, view.student_id), seen)
    };
    let everything = (Some(4), Some(170), Some(3));
    let [first, second] = [says(1, all), says(2, some)];
    assert_eq!(
        known(&[first.clone(), second.clone()]),
        (everything, Some(2))
    );
    assert_eq!(known(&[second.clone(), first]), (everything, Some(2)));
    assert_eq!(
        known(&[second.clone(), says(3, all)]),
        (everything, Some(3))
    );
    assert_eq!(
        known(&[second, says(3, "")]),
        ((Some(4), None, Some(3)), Some(3))
    );
    assert_eq!(known(&[says(3, "")]), ((None, None, None), Some(3)));

    // What was stored when the ids were apart.
    let mut stored = Registers::default();
    let seen = Order::number(T).as_bytes().to_vec();
    assert!(stored.insert_stored(b"seen".to_vec(), seen));
    let ids = [
        Order::number(3).as_bytes(),
        br#"{"quiz":4,"usage":170,"student_id":3}"#,
    ]
    .concat();
    assert!(stored.insert_stored(b"i".to_vec(), ids));
    let view = AttemptView::new(&AttemptKey::new("moodle.example", 17), &stored);
    assert_eq!((view.quiz, view.usage, view.student_id), everything);
}

#[test]
fn an_answer_comes_back_with_all_that_a_site_added() {
    let fields = r#"{ "q1:1_answer" : "\u00e9 \u0000", ":flagged":"1" }"#;
    let line = format!(
        r#"{{"v":1,"id":"i\u0000d","type":"answer","ts":1763800000.25,"at":1763800000.125,"site":"s","attempt":12,"slot":3,"qa":4,"page":"p\u0000\u0001","seq":-2,"status":1,"sent":1,"device":"d","fields":{fields},"room":"B 12","te\u0078t":"mine","seat":null,"slots":[1, 2],"\"":"{{"}}"#
    );
    let states = fold_all([&line]);
    let (key, registers) = states.iter().next().unwrap();
    let shown = |registers: &Registers| {
        let mut slots = AttemptView::new(key, registers).slots;
        serde_json::to_string(&slots.remove(&3)).unwrap()
    };
    assert_eq!(
        shown(registers),
        format!(
            r#"{{"qa":4,"status":1,"at":1763800000.125,"ts":1763800000.25,"page":"p\u0000\u0001","seq":-2,"id":"i\u0000d","saved":false,"flagged":true,"changed":false,"fields":{fields},"\"":"{{","room":"B 12","seat":null,"slots":[1, 2],"text":"mine"}}"#
        )
    );

    // What was stored when the whole line was.
    let mut stored = Registers::default();
    for (field, register) in registers.iter() {
        let mut register = register.to_vec();
        if field == b"a/3/4" {
            let (order, value) = Order::split(&register).unwrap();
            let summary = &value[value.len() - 18..];
            register = [order, line.as_bytes(), summary].concat();
        }
        assert!(stored.insert_stored(field.to_vec(), register));
    }
    assert_eq!(shown(&stored), shown(registers));
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
        ("device", "\"d\""),
        ("address", "\"0123456789abcdef\""),
        ("agent", "\"0123456789abcdef\""),
    ];
    let with = |name: &str, value: &str| {
        let members: Vec<_> = good
            .iter()
            .map(|(n, v)| format!("\"{n}\":{}", if *n == name { value } else { v }))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    let typed = |kind: &str, members: &str| {
        format!(r#"{{"v":1,"type":"{kind}","ts":1,"site":"s",{members}}}"#)
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
        ("device", "\"123456789012345678901234567890123\""),
        ("address", "\"192.0.2.1\""),
        ("agent", "\"Mozilla/5.0 (X11)\""),
    ] {
        assert_eq!(named(&with(name, value)), name);
    }
    for (kind, members, name) in [
        ("help", r#""attempt":1,"step":"shouted""#, "step"),
        ("help", r#""attempt":1,"step":"taken""#, "call"),
        ("help", r#""attempt":1,"call":"""#, "call"),
        ("help", r#""attempt":1,"call":{}"#, "call"),
        ("help", r#""attempt":1,"by":"me""#, "by"),
        ("help", r#""attempt":1,"text":[]"#, "text"),
        ("help", r#""attempt":1,"slot":0"#, "slot"),
        ("signal", r#""name":"n","row":{}"#, "quiz"),
        ("signal", r#""quiz":1,"row":{}"#, "name"),
        ("signal", r#""quiz":1,"name":"","row":{}"#, "name"),
        ("signal", r#""quiz":1,"name":"n""#, "row"),
        ("signal", r#""quiz":1,"name":"n","row":7"#, "row"),
        (
            "signal",
            r#""quiz":1,"name":"n","row":{},"revision":0.5"#,
            "revision",
        ),
        (
            "signal",
            r#""quiz":1,"name":"n","row":{},"slot":"x""#,
            "slot",
        ),
    ] {
        assert_eq!(named(&typed(kind, members)), name, "{members}");
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
fn a_line_is_read_for_its_form_and_its_event_time_at_once() {
    let time = |line: &str| exam_record::timed_line(line.as_bytes()).ok()?.1;
    for (line, micros) in [
        (r#"{"v":1,"ts":1763800000.5}"#, 1_763_800_000_500_000),
        (
            r#"{"fields":{"ts":0,"x":"\"ts\":0"},"ts":1763800000}"#,
            1_763_800_000_000_000,
        ),
        (
            r#"{"status":"s1","student_id":3,"timestamp":1.6312066665E9}"#,
            1_631_206_666_500_000,
        ),
        (r#"{"ts":0}"#, 0),
        (r#"{"ts":253402300799}"#, 253_402_300_799_000_000),
    ] {
        assert_eq!(time(line), Some(micros), "{line}");
        assert_eq!(exam_record::event_time(line.as_bytes()), Some(micros));
    }
    for line in [
        "",
        "{",
        "[]",
        r#"{"ts":"1"}"#,
        r#"{"user":"x","status":"1"}"#,
        r#"{"ts":-1}"#,
    ] {
        assert_eq!(time(line), None, "{line}");
    }
}
