//! The rules about questions and about what browsers tell, on made exams: what they name, and what
//! they must not.
//!
//! `EXAM_SIMILARITY_CSV` names a real exam as `exam-analyse similarity` reads it, with the columns
//! `seconds_i`; the rule `fast_and_correct` is then measured on it.

mod support;

use std::collections::BTreeSet;
use std::{env, fs};

use serde_json::Value;
use support::{Event, Place, Random};

fn answer(attempt: i64, after: f64, slot: u32, given: &str) -> Event {
    let mut event = Event::new("answer", attempt, after);
    event.id = format!("{attempt}-{slot}-{after}");
    event.slot = slot;
    // Of a member that is there twice the last one counts.
    event.more = format!(r#","fields":{{"answer":"{given}"}}"#);
    event
}

/// The results of a rule; `key` are the rows of the answer key.
fn results(rule: &str, mut events: Vec<Event>, key: &str) -> Vec<Value> {
    let place = Place::new();
    place.shipped(rule);
    let reference = place.path("reference");
    fs::create_dir(&reference).unwrap();
    fs::write(
        reference.join("answer_key.csv"),
        format!("quiz,slot,answer\n{key}"),
    )
    .unwrap();
    events.sort_by(|a, b| a.ts.total_cmp(&b.ts));
    place.write(&events);
    let log = place.run_once(&["--reference", reference.to_str().unwrap()]);
    let rows = place.results(rule);
    assert!(!log.contains("refused"), "{log}");
    rows
}

fn numbers(rows: &[Value], column: &str) -> BTreeSet<i64> {
    rows.iter()
        .map(|row| row[column].as_i64().unwrap())
        .collect()
}

/// Students go through twelve questions, one a minute or so; `broken` decides what becomes of each.
fn exam(students: i64, broken: impl Fn(i64, u32, &mut Random) -> Option<String>) -> Vec<Event> {
    let mut random = Random::new(3);
    let mut events = Vec::new();
    for student in 1..=students {
        let mut clock = 0.0;
        for slot in 1..=12 {
            clock += 30.0 + random.below(60) as f64;
            if let Some(given) = broken(student, slot, &mut random) {
                events.push(answer(student, clock, slot, &given));
            }
        }
    }
    events
}

/// One question in twenty is passed over, one in four answered wrong.
fn usual(slot: u32, random: &mut Random) -> Option<String> {
    if random.below(20) == 0 {
        return None;
    }
    let wrong = random.below(4) == 0;
    Some(format!("{}", if wrong { slot + 100 } else { slot }))
}

fn key() -> String {
    (1..=12).map(|slot| format!("4,{slot},{slot}\n")).collect()
}

#[test]
fn a_question_that_most_pass_over_shows_within_two_minutes() {
    let events = exam(60, |_, slot, random| match slot {
        5 if random.below(10) < 8 => None,
        _ => usual(slot, random),
    });
    // Event times at which one student after another has passed question 5.
    let mut passed: Vec<f64> = (1..=60)
        .filter_map(|student| {
            let of = |slot| {
                events
                    .iter()
                    .find(|e| e.attempt == student && e.slot == slot)
            };
            (of(4).is_some() && of(5).is_none()).then_some(())?;
            let next = events.iter().filter(|e| e.attempt == student && e.slot > 5);
            next.map(|e| e.ts).min_by(f64::total_cmp)
        })
        .collect();
    passed.sort_by(f64::total_cmp);
    let rows = results("question_skipped", events, "");
    assert_eq!(
        numbers(&rows, "slot"),
        BTreeSet::from([5]),
        "{:?}",
        rows.first()
    );
    let first = &rows[0];
    assert!(first["skip_rate"].as_f64().unwrap() >= 0.5);
    assert!(first["skip_rate_of_others"].as_f64().unwrap() < 0.2);
    let end = first["window_end"].as_str().unwrap();
    let (minutes, seconds): (f64, f64) =
        (end[14..16].parse().unwrap(), end[17..19].parse().unwrap());
    let after = minutes * 60.0 + seconds - (passed[9] - support::START);
    println!("{after} s of event time after the tenth student, and 60 s of lateness");
    assert!((0.0..60.0).contains(&after), "{after}");
}

#[test]
fn a_question_that_nearly_all_get_wrong_shows_and_a_hard_one_does_not() {
    let events = exam(60, |student, slot, random| match slot {
        5 => Some(if student % 20 == 0 { "5" } else { "7" }.into()),
        // Hard: three quarters get it wrong.
        9 => Some(if random.below(4) == 0 { "9" } else { "1" }.into()),
        _ => usual(slot, random),
    });
    let rows = results("question_wrong", events, &key());
    assert_eq!(
        numbers(&rows, "slot"),
        BTreeSet::from([5]),
        "{:?}",
        rows.first()
    );
    assert!(rows[0]["error_rate"].as_f64().unwrap() >= 0.9);
    assert!(rows[0]["error_rate_of_others"].as_f64().unwrap() < 0.5);
}

#[test]
fn who_answers_right_far_faster_than_all_others_is_named() {
    let mut events = exam(60, |_, slot, random| usual(slot, random));
    for student in [70, 71] {
        for slot in 1..=12 {
            // 71 is as fast, and wrong.
            let given = if student == 70 { slot } else { slot + 100 }.to_string();
            events.push(answer(student, 60.0 + 4.0 * f64::from(slot), slot, &given));
        }
    }
    let rows = results("fast_and_correct", events, &key());
    assert_eq!(
        numbers(&rows, "attempt"),
        BTreeSet::from([70]),
        "{:?}",
        rows.first()
    );
    assert!(rows[0]["z"].as_f64().unwrap() >= 4.5);
}

#[test]
fn an_exam_in_which_all_goes_well_names_no_question_and_no_student() {
    for rule in ["question_skipped", "question_wrong", "fast_and_correct"] {
        let rows = results(
            rule,
            exam(80, |_, slot, random| usual(slot, random)),
            &key(),
        );
        assert!(rows.is_empty(), "{rule}: {}", rows[0]);
    }
}

/// Signs of life every 15 seconds with running totals; `count` after so many seconds.
fn counted(
    attempt: i64,
    name: &str,
    page: &str,
    from: u32,
    count: impl Fn(u32) -> u32,
) -> Vec<Event> {
    (0..1200)
        .step_by(15)
        .map(|s| {
            let mut event = Event::new("alive", attempt, f64::from(s + from));
            let count = count(s);
            event.more = format!(r#","page":"{page}","counts":{{"{name}":{count}}}"#);
            event
        })
        .collect()
}

#[test]
fn totals_of_a_page_count_by_what_they_rose_in_the_window() {
    for (rule, name, column, enough, usual) in [
        ("idle", "hidden_s", "hidden_s", 400, 5),
        ("leaving", "hidden", "times_left", 6, 1),
        ("pasting", "pasted", "pasted", 3, 1),
    ] {
        let rows = results(
            rule,
            [
                // 1: within five minutes; 2: as many, spread over all the time and before it; 3: now
                // and then, on two pages one after the other.
                counted(1, name, "a", 0, |s| {
                    (s.clamp(300, 600) - 300) * enough / 300
                }),
                counted(2, name, "a", 0, |_| 10 * enough),
                counted(3, name, "a", 0, |s| s * usual / 1200),
                counted(3, name, "b", 1200, |s| s * usual / 1200),
            ]
            .concat(),
            "",
        );
        assert_eq!(
            numbers(&rows, "attempt"),
            BTreeSet::from([1]),
            "{rule}: {:?}",
            rows.first()
        );
        let most = rows.iter().map(|row| row[column].as_i64().unwrap()).max();
        assert_eq!(most, Some(i64::from(enough)), "{rule}");
    }
}

#[test]
fn two_devices_at_once_are_named_and_one_after_the_other_are_not() {
    let device = |attempt, device: &str, from: u32, to: u32| -> Vec<Event> {
        (from..to)
            .step_by(15)
            .map(|s| {
                let mut event = Event::new("alive", attempt, f64::from(s));
                event.id = format!("{attempt}-{device}-{s}");
                event.more = format!(r#","device":"{device}","address":"00ff{device}""#);
                event
            })
            .collect()
    };
    let rows = results(
        "two_devices",
        [
            device(1, "a", 0, 900),
            device(1, "b", 300, 900),
            // Moved to another computer, whose page was open a moment earlier.
            device(2, "a", 0, 315),
            device(2, "b", 300, 900),
            device(3, "a", 0, 900),
        ]
        .concat(),
        "",
    );
    assert_eq!(
        numbers(&rows, "attempt"),
        BTreeSet::from([1]),
        "{:?}",
        rows.first()
    );
    assert_eq!(rows[0]["other_address"], 1);
}

/// The threshold of `fast_and_correct`, measured: everybody begins at the same moment and works
/// through the items in their order, as the exam's durations say.
#[test]
fn fast_and_correct_on_a_real_exam_names_few_and_mostly_flagged_people() {
    let Some(path) = env::var_os("EXAM_SIMILARITY_CSV") else {
        eprintln!("skipped: EXAM_SIMILARITY_CSV names no file");
        return;
    };
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str, i: usize| names.iter().position(|n| *n == format!("{name}_{i}"));
    let items: Vec<[usize; 2]> = (1..)
        .map_while(|i| Some([column("score", i)?, column("seconds", i)?]))
        .collect();
    let (mut events, mut flagged) = (Vec::new(), BTreeSet::new());
    for (attempt, line) in (1..).zip(lines) {
        let cells: Vec<&str> = line.split(',').collect();
        if cells[1] == "1" {
            flagged.insert(attempt);
        }
        let mut clock = 0.0;
        for (slot, of) in (1..).zip(&items) {
            clock += cells[of[1]].parse().unwrap_or(0.0);
            events.push(answer(attempt, clock, slot, cells[of[0]]));
        }
    }
    let key: String = (1..=items.len())
        .map(|slot| format!("4,{slot},1\n"))
        .collect();
    let named = numbers(&results("fast_and_correct", events, &key), "attempt");
    let right = named.intersection(&flagged).count();
    println!(
        "{} named, {right} of them among the {} flagged",
        named.len(),
        flagged.len()
    );
    assert!(named.len() <= 10 && 2 * right >= named.len());
}
