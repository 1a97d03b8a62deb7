//! From records to a page.

use exam_report::{Exam, Key, Records, Similarity, page};

const BEGIN: u64 = 1_763_800_000;

struct Lines(Vec<String>);

impl Lines {
    fn record(&mut self, kind: &str, attempt: i64, after: f64, more: &str) {
        let (ts, n) = (BEGIN as f64 + after, self.0.len());
        self.0.push(format!(
            r#"{{"v":1,"id":"r{n}","type":"{kind}","ts":{ts},"site":"moodle.example","quiz":4,"attempt":{attempt},"student_id":{},"page":"p","seq":{n}{more}}}"#,
            attempt + 100
        ));
    }

    fn answer(&mut self, attempt: i64, after: f64, slot: u32, answer: &str) {
        let status = u8::from(!answer.is_empty());
        self.record(
            "answer",
            attempt,
            after,
            &format!(
                r#","slot":{slot},"qa":{slot},"status":{status},"sent":{},"fields":{{"answer":"{answer}",":sequencecheck":"1"}}"#,
                BEGIN as f64 + after - 0.25
            ),
        );
    }

    fn exam(&self, key: &Key) -> Exam {
        let mut records = Records::of(4, None);
        for line in &self.0 {
            records.add(line.as_bytes());
        }
        records.exam("Mathematics, final", BEGIN as f64 + 9000.0, key)
    }
}

/// Two students, two questions; the options of question 1 in another order for each.
fn small() -> Lines {
    let mut lines = Lines(Vec::new());
    lines.record(
        "started",
        1,
        0.0,
        r#","slots":{"1":11,"2":12},"order":{"1":[31,32]}"#,
    );
    lines.record(
        "started",
        2,
        0.0,
        r#","slots":{"1":21,"2":22},"order":{"1":["32","31"]}"#,
    );
    lines.answer(1, 20.0, 1, "0");
    lines.answer(2, 30.0, 1, "1");
    lines.answer(1, 50.0, 1, "1");
    lines.answer(1, 70.0, 2, "Paris");
    lines.answer(2, 40.0, 2, "");
    lines.record("alive", 2, 300.0, "");
    lines.record("submitted", 1, 80.0, "");
    lines
}

#[test]
fn an_exam_is_counted_from_its_records() {
    let mut key = Key::default();
    key.add("1", "31");
    key.add("2", "paris");
    let exam = small().exam(&key);
    let totals = &exam.totals;
    assert_eq!(
        (totals.attempts, totals.students, totals.submitted),
        (2, 2, 1)
    );
    assert_eq!((totals.records, totals.answers), (9, 5));
    assert_eq!(totals.latency, Some((0.25, 0.25)));
    let [one, two] = &exam.questions[..] else {
        panic!("{:?}", exam.questions)
    };
    assert_eq!(
        (&*one.name, one.given, one.answered, one.changed),
        ("1", 2, 2, 1)
    );
    // 32 for the first student in the end, 31 for the second one.
    assert_eq!(one.wrong, Some(0.5));
    // 50 seconds, the change included; 30 seconds.
    assert_eq!(one.seconds, Some((50.0, 50.0)));
    assert_eq!((two.given, two.answered, two.wrong), (2, 1, Some(0.0)));
    // From the answer that was emptied at 40 s to the sign of life at 300 s.
    assert_eq!((exam.gaps.len(), exam.attempts_with_gaps), (1, 1));
    assert_eq!(
        (exam.gaps[0].seconds, &*exam.gaps[0].student),
        (260.0, "102")
    );
    let last = exam.progress.iter().flatten().next_back().unwrap();
    assert_eq!((last.tenth, last.nine_tenths), (0.5, 1.0));
    assert!(matches!(&exam.similarity, Similarity::Not(why) if why.contains("at least 20")));
}

#[test]
fn a_record_with_a_wrong_clock_does_not_stretch_the_exam() {
    let mut lines = small();
    let times = |exam: &Exam| (exam.from, exam.to, exam.step, exam.flow.len());
    let right = times(&lines.exam(&Key::default()));
    // 1970 and 2286.
    for ts in ["0", "9999999999"] {
        let line = lines.0[3].replace(&format!(r#""ts":{}"#, BEGIN + 30), &format!(r#""ts":{ts}"#));
        assert!(line.contains(&format!(r#""ts":{ts},"#)), "{line}");
        lines.0.push(line.replace("r3", &format!("wrong-{ts}")));
    }
    let exam = lines.exam(&Key::default());
    assert_eq!(times(&exam), right);
    assert_eq!(exam.totals.wrong_times, 2);
    assert!(page(&exam).contains("2 more with a wrong time"));
}

/// Slot 1 holds question 71 for the first student, 72 for the second one.
fn drawn() -> Lines {
    let mut lines = Lines(Vec::new());
    for (attempt, questions) in [(1, r#"{"1":71,"2":73}"#), (2, r#"{"1":72,"2":73}"#)] {
        let more = format!(r#","slots":{{"1":11,"2":12}},"questions":{questions}"#);
        lines.record("started", attempt, 0.0, &more);
        lines.answer(attempt, 20.0, 1, "frog");
        lines.answer(attempt, 30.0, 2, "toad");
    }
    lines
}

#[test]
fn questions_drawn_at_random_are_told_apart_although_they_share_a_slot() {
    let named = |exam: &Exam| -> Vec<(String, u64, Option<f64>)> {
        let of = |q: &exam_report::Question| (q.name.clone(), q.given, q.wrong);
        exam.questions.iter().map(of).collect()
    };
    let mut by_question = Key::by_question();
    for (question, answer) in [("71", "frog"), ("72", "newt"), ("73", "toad")] {
        by_question.add(question, answer);
    }
    let expected = [
        ("71", 1, Some(0.0)),
        ("72", 1, Some(1.0)),
        ("73", 2, Some(0.0)),
    ];
    let expected = expected.map(|(name, given, wrong)| (name.to_owned(), given, wrong));
    assert_eq!(named(&drawn().exam(&by_question)), expected);
    // A key by slot judges what is in the same slot for everybody, and says what it leaves out.
    let mut by_slot = Key::default();
    by_slot.add("1", "frog");
    by_slot.add("2", "toad");
    let exam = drawn().exam(&by_slot);
    let expected = [("71", 1, None), ("72", 1, None), ("2", 2, Some(0.0))];
    assert_eq!(
        named(&exam),
        expected.map(|(name, given, wrong)| (name.to_owned(), given, wrong))
    );
    let mut records = Records::of(4, None);
    drawn()
        .0
        .iter()
        .for_each(|line| records.add(line.as_bytes()));
    assert_eq!(
        records.not_in_key(&by_slot).into_iter().collect::<Vec<_>>(),
        [1]
    );
    assert!(records.not_in_key(&by_question).is_empty());
}

#[test]
fn a_window_restated_without_rows_takes_back_what_it_told() {
    let row = |json: &str| serde_json::from_str::<serde_json::Map<_, _>>(json).unwrap();
    let mut records = Records::of(4, None);
    small()
        .0
        .iter()
        .for_each(|line| records.add(line.as_bytes()));
    records.add_row(
        "gone",
        60.0,
        0,
        &row(r#"{"site":"moodle.example","quiz":4,"attempt":1}"#),
    );
    records.add_row("gone", 60.0, 1, &row(r#"{"empty":true}"#));
    assert!(records.exam("x", 0.0, &Key::default()).signals.is_empty());
}

#[test]
fn neither_order_nor_repetition_nor_what_is_not_of_the_quiz_changes_the_page() {
    let lines = small();
    let key = Key::default();
    let once = page(&lines.exam(&key));
    let mut more = Lines(lines.0.iter().rev().cloned().collect());
    more.0.extend(lines.0.clone());
    more.record(
        "answer",
        9,
        500.0,
        r#","preview":true,"slot":1,"qa":1,"status":1,"fields":{}"#,
    );
    let other_quiz = lines.0[3]
        .replace(r#""quiz":4"#, r#""quiz":5"#)
        .replace("r3", "x");
    more.0.extend([
        other_quiz,
        "not json".into(),
        r#"{"status":"s11","student_id":3}"#.into(),
    ]);
    assert_eq!(page(&more.exam(&key)), once);
}

#[test]
fn a_restated_signal_replaces_the_row_it_restates() {
    let mut lines = small();
    for (revision, silent) in [(0, 61), (2, 95), (1, 70)] {
        lines.record(
            "signal",
            1,
            400.0,
            &format!(
                r#","name":"gone","at":{},"revision":{revision},"row":{{"attempt":1,"silent_s":{silent}}}"#,
                BEGIN + 120
            ),
        );
    }
    lines.0.push(format!(
        r#"{{"v":1,"type":"signal","id":"q","ts":{BEGIN},"at":{BEGIN},"site":"moodle.example","quiz":4,"slot":2,"name":"broken_question","revision":0,"row":{{"errors":0.9166666666666666,"n":12}}}}"#
    ));
    let exam = lines.exam(&Key::default());
    assert_eq!(exam.signals.len(), 2);
    assert_eq!(exam.signals[0].name, "broken_question");
    let evidence = [("errors", "0.917"), ("n", "12")].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(exam.signals[0].evidence, evidence);
    assert_eq!(
        exam.signals[1].evidence,
        [("silent_s".to_owned(), "95".to_owned())]
    );
    // A rule's row is no sign of life of the student.
    assert_eq!(exam.totals.records, 9);
}

#[test]
fn no_text_of_a_record_becomes_markup() {
    let hostile = r#"</td></table><script>alert(1)</script>"onload='x'&<style>"#;
    let json = serde_json::to_string(hostile).unwrap();
    let mut lines = small();
    lines.record(
        "signal",
        1,
        400.0,
        &format!(r#","name":{json},"slot":{json},"at":{BEGIN},"row":{{{json}:{json}}}"#),
    );
    lines.record(
        "answer",
        3,
        60.0,
        &format!(r#","question":{json},"slot":1,"qa":1,"status":1,"fields":{{"answer":{json}}}"#),
    );
    let mut records = Records::of(4, None);
    for line in lines
        .0
        .iter()
        .map(|line| line.replace("moodle.example", "<svg onload=alert(2)>"))
    {
        records.add(line.as_bytes());
    }
    let html = page(&records.exam(hostile, BEGIN as f64, &Key::default()));
    assert!(
        !html.contains("<script") && !html.contains("<svg onload"),
        "{html}"
    );
    assert!(!html.contains("alert(1)</script>"));
    assert_eq!(html.matches("<style>").count(), 1);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;onload=&#39;x&#39;&amp;"));
}

#[test]
fn the_page_needs_nothing_but_itself_and_is_well_formed() {
    let html = page(&small().exam(&Key::default()));
    for outside in [
        "http://", "https://", "src=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    let mut open = Vec::new();
    let mut rest = &html[html.find("<html").unwrap()..];
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let name: String = tag
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed), "{rest:.80}");
        } else if !tag.ends_with('/') && !["meta", "br"].contains(&&*name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn an_exam_without_records_has_a_page_as_well() {
    let html = page(&Records::of(4, None).exam("Empty", 0.0, &Key::default()));
    assert!(html.contains("No record.") && !html.contains("NaN"));
}
