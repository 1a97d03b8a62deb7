//! The records of one quiz, collected.
//!
//! Memory is some 40 bytes a record and 200 an answered question: an exam of 10,000 students and
//! 5 million records takes 300 MB.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use exam_record::{Parsed, Record, Who, members, parse};
use exam_similarity::{Answer, Matrix, MatrixBuilder, Options, compare};
use serde_json::{Map, Value};

use crate::option::Given;
use crate::page::{Exam, Flow, Gap, Progress, Question, Signal, Similarity, Totals};

/// Without a sign of life for so long an attempt counts as disconnected: pages tell one every 15 s.
const SILENCE: f64 = 60.0;
/// An exam lies within so many seconds of the middle one of its records.
const YEAR: u64 = 366 * 86_400;
/// Charts have at most so many places.
const PLACES: f64 = 180.0;

/// Which answers are right: of a question by its slot, or by its own name, which is the member
/// `question` of its answers, or what `questions` of the attempt's `started` says of the slot; the
/// options by theirs.
#[derive(Debug, Clone, Default)]
pub struct Key {
    by_question: bool,
    right: HashMap<String, HashSet<String>>,
}

impl Key {
    /// Of questions by their own names. [`Key::default`] is by slot.
    pub fn by_question() -> Key {
        Key {
            by_question: true,
            ..Key::default()
        }
    }

    /// One right answer; a question may have several.
    pub fn add(&mut self, question: &str, answer: &str) {
        // As an answer is read, so that spelling matters as little here.
        let words: Vec<String> = answer.split_whitespace().map(str::to_lowercase).collect();
        self.right
            .entry(question.to_owned())
            .or_default()
            .insert(words.join(" "));
    }

    pub fn is_empty(&self) -> bool {
        self.right.is_empty()
    }

    fn right(&self, question: &str, option: &str) -> Option<bool> {
        Some(self.right.get(question)?.contains(option))
    }
}

/// Collects the records of one quiz, in any order, each as often as it comes.
pub struct Records {
    quiz: i64,
    site: Option<String>,
    sites: BTreeMap<String, u64>,
    hasher: RandomState,
    seen: HashSet<u64>,
    seconds: BTreeMap<u64, Flow>,
    latencies: Vec<f32>,
    attempts: BTreeMap<(String, i64), Attempt>,
    /// Per rule and end of window, the latest revision and its rows.
    windows: BTreeMap<(String, u64), (i64, Vec<Signal>)>,
    help_calls: u64,
    alive: bool,
}

#[derive(Default)]
struct Attempt {
    student: Option<i64>,
    /// Microseconds.
    signs: Vec<u64>,
    started: Option<u64>,
    ended: Option<u64>,
    slots: u32,
    answers: Vec<Response>,
    order: HashMap<u32, Vec<String>>,
    /// By slot.
    questions: HashMap<u32, String>,
}

/// How questions are called.
struct Names<'a> {
    key: &'a Key,
    /// Slots that hold one question here and another one there.
    drawn: &'a BTreeSet<u32>,
}

impl Names<'_> {
    /// Of the question in a slot of an attempt: where it stands in a list, and what it is called.
    fn name(&self, of: &Attempt, slot: u32, own: Option<&str>) -> (u32, String) {
        let theirs = self.key.by_question || self.drawn.contains(&slot);
        let started = of.questions.get(&slot).filter(|_| theirs);
        match own.or(started.map(String::as_str)) {
            // It may stand in any slot.
            Some(name) => (0, name.to_owned()),
            None => (slot, slot.to_string()),
        }
    }

    fn right(&self, of: &Attempt, answer: &Response) -> Option<(String, String, bool)> {
        if self.key.by_question || answer.question.is_some() || !self.drawn.contains(&answer.slot) {
            let (_, name) = self.name(of, answer.slot, answer.question.as_deref());
            let option = of.option(answer)?;
            let right = self.key.right(&name, &option)?;
            return Some((name, option, right));
        }
        // A key by slot says nothing of what was drawn into it.
        None
    }
}

/// One record of an answer.
struct Response {
    at: u64,
    page: String,
    seq: i64,
    slot: u32,
    /// The question's own name, where the record has one.
    question: Option<String>,
    answered: bool,
    given: Option<Given>,
}

impl Records {
    /// Of a quiz; of one site, if the store holds several.
    pub fn of(quiz: i64, site: Option<String>) -> Records {
        Records {
            quiz,
            site,
            sites: BTreeMap::new(),
            hasher: RandomState::new(),
            seen: HashSet::new(),
            seconds: BTreeMap::new(),
            latencies: Vec::new(),
            attempts: BTreeMap::new(),
            windows: BTreeMap::new(),
            help_calls: 0,
            alive: false,
        }
    }

    /// Takes a line of cold storage. What is of another quiz, a teacher's preview, a record that
    /// was here before or none at all changes nothing.
    pub fn add(&mut self, line: &[u8]) {
        let record = match parse(line) {
            Ok(Parsed::Record(record)) if record.kind == "signal" => return self.signal(line),
            Ok(Parsed::Record(record)) => record,
            // A signal about the quiz has no attempt.
            Ok(Parsed::Other) => return self.signal(line),
            Ok(Parsed::Bare(_)) | Err(_) => return,
        };
        if record.ids.quiz != Some(self.quiz) || record.ids.preview {
            return;
        }
        let Some((site, attempt)) = name(&record) else {
            return;
        };
        if self.site.as_ref().is_some_and(|wanted| *wanted != site) {
            return;
        }
        if !self.seen.insert(self.hasher.hash_one(&*record.id)) {
            return;
        }
        *self.sites.entry(site.clone()).or_default() += 1;
        let flow = self.seconds.entry(record.ts / 1_000_000).or_default();
        flow.records += 1;
        if let Some(sent) = record.sent {
            self.latencies
                .push((record.ts as f64 - sent as f64).max(0.0) as f32 / 1e6);
        }
        let of = self.attempts.entry((site, attempt)).or_default();
        of.student = of.student.or(record.ids.student_id);
        let highest = record
            .slots
            .iter()
            .map(|(slot, _)| *slot)
            .chain(record.slot)
            .max();
        of.slots = of.slots.max(highest.unwrap_or(0));
        match &*record.kind {
            "answer" => {
                flow.answers += 1;
                if let Some(slot) = record.slot {
                    of.answers.push(Response {
                        at: record.at,
                        page: record.page.clone().into_owned(),
                        seq: record.seq,
                        slot,
                        question: member(record.line, "question"),
                        answered: record.status != Some(0),
                        given: record.fields.and_then(Given::read),
                    });
                }
            }
            "started" => {
                of.started = Some(of.started.map_or(record.ts, |at| at.min(record.ts)));
                of.order.extend(order(record.line));
                of.questions.extend(questions(record.line));
            }
            "submitted" | "finished" | "abandoned" => {
                of.ended = Some(of.ended.map_or(record.ts, |at| at.max(record.ts)));
            }
            "help" => {
                let step = member(record.line, "step");
                if step.is_some_and(|step| step != "asked") {
                    return;
                }
                self.help_calls += 1;
            }
            "alive" => self.alive = true,
            _ => {}
        }
        of.signs.push(record.ts);
    }

    /// A record of the type `signal`, if it is one.
    fn signal(&mut self, line: &[u8]) {
        let Ok(record) = serde_json::from_slice::<Value>(line) else {
            return;
        };
        if record["type"] != "signal" {
            return;
        }
        let mut row = record["row"].as_object().cloned().unwrap_or_default();
        for name in ["site", "quiz", "attempt", "slot", "student_id"] {
            if !record[name].is_null() {
                row.insert(name.to_owned(), record[name].clone());
            }
        }
        let at = record["at"].as_f64().or(record["ts"].as_f64());
        let revision = integer(&record["revision"]).unwrap_or(0);
        self.add_row(
            &text(&record["name"]),
            at.unwrap_or_default(),
            revision,
            &row,
        );
    }

    /// A row that a rule gave for a window ending at `at` (seconds), as its results hold it. Rows
    /// of another quiz are not taken; a later revision replaces all that its window gave before.
    pub fn add_row(&mut self, rule: &str, at: f64, revision: i64, row: &Map<String, Value>) {
        let of = |name: &str| row.get(name).unwrap_or(&Value::Null);
        let window = self
            .windows
            .entry((rule.to_owned(), (at.max(0.0) * 1e6) as u64))
            .or_default();
        if window.0 > revision {
            return;
        }
        // Of whatever quiz: restated, this one may have no row any more.
        if window.0 < revision {
            *window = (revision, Vec::new());
        }
        let wanted = self.site.as_deref().is_none_or(|site| *of("site") == *site);
        if !wanted || integer(of("quiz")) != Some(self.quiz) {
            return;
        }
        let about = [
            "site",
            "quiz",
            "attempt",
            "slot",
            "student_id",
            "window_start",
            "window_end",
            "revision",
            "query",
        ];
        let evidence = row
            .iter()
            .filter(|(name, _)| !about.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), figure(value)))
            .collect();
        let signal = Signal {
            from: at,
            to: at,
            times: 1,
            name: rule.to_owned(),
            attempt: text(of("attempt")),
            student: text(of("student_id")),
            slot: text(of("slot")),
            evidence,
        };
        // Delivered twice, it is there once.
        if !window.1.contains(&signal) {
            window.1.push(signal);
        }
    }

    /// What rules found, one entry for each that they found it of: windows overlap and follow each
    /// other, and what holds for ten minutes is one thing to look at.
    fn signals(&self) -> Vec<Signal> {
        let mut found: BTreeMap<[&str; 3], Signal> = BTreeMap::new();
        for ((name, _), (_, rows)) in &self.windows {
            for row in rows {
                let about = [name.as_str(), &row.attempt, &row.slot];
                let (from, times) = match found.get(&about) {
                    Some(before) => (before.from, before.times + 1),
                    None => (row.from, 1),
                };
                found.insert(
                    about,
                    Signal {
                        from,
                        times,
                        ..row.clone()
                    },
                );
            }
        }
        let mut found: Vec<Signal> = found.into_values().collect();
        found.sort_by(|a, b| a.from.total_cmp(&b.from));
        found
    }

    /// Every site whose records were taken: more than one, and the quiz's number says too little.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        self.sites.keys().map(String::as_str)
    }

    /// The exam as the page shows it; `made` is now.
    pub fn exam(mut self, title: &str, made: f64, key: &Key) -> Exam {
        self.sort();
        let wrong_times = self.leave_out_wrong_times();
        let drawn = self.drawn();
        let names = Names { key, drawn: &drawn };
        let from = self.seconds.keys().next().copied().unwrap_or_default() as f64;
        let to = self.seconds.keys().next_back().copied().unwrap_or_default() as f64 + 1.0;
        let step = step(to - from);
        let places = if self.seconds.is_empty() {
            0
        } else {
            ((to - from) / step).ceil() as usize
        };
        let place = |seconds: f64| ((seconds - from) / step).max(0.0) as usize;
        let mut flow = vec![Flow::default(); places];
        for (second, of) in &self.seconds {
            let into = &mut flow[place(*second as f64).min(places - 1)];
            into.records += of.records;
            into.answers += of.answers;
        }
        let busiest = self
            .seconds
            .iter()
            .max_by_key(|(at, of)| (of.answers, std::cmp::Reverse(**at)));
        let students: HashSet<i64> = self.attempts.values().filter_map(|of| of.student).collect();
        self.latencies.sort_by(f32::total_cmp);
        let latency = (!self.latencies.is_empty()).then(|| {
            (
                f64::from(at(&self.latencies, 0.5)),
                f64::from(at(&self.latencies, 0.99)),
            )
        });
        let totals = Totals {
            attempts: self.attempts.len() as u64,
            students: students.len() as u64,
            submitted: self
                .attempts
                .values()
                .filter(|of| of.ended.is_some())
                .count() as u64,
            records: self.seconds.values().map(|of| of.records).sum(),
            wrong_times,
            answers: self.seconds.values().map(|of| of.answers).sum(),
            help_calls: self.help_calls,
            busiest: busiest
                .map(|(at, of)| (of.answers, *at as f64))
                .filter(|(n, _)| *n > 0),
            latency,
        };
        let (gaps, silent) = if self.alive {
            self.gaps(places, &place)
        } else {
            Default::default()
        };
        let disconnected: HashSet<&str> = gaps.iter().map(|gap| &*gap.attempt).collect();
        Exam {
            title: title.to_owned(),
            site: self.sites.keys().cloned().collect::<Vec<_>>().join(", "),
            quiz: self.quiz,
            made,
            from,
            to,
            totals,
            step,
            flow,
            progress: self.progress(places, &place),
            silent,
            silence: self.alive.then_some(SILENCE),
            questions: self.questions(&names),
            attempts_with_gaps: disconnected.len() as u64,
            gaps,
            signals: self.signals(),
            similarity: self.similarity(key),
        }
    }

    fn gaps(&self, places: usize, place: &dyn Fn(f64) -> usize) -> (Vec<Gap>, Vec<u32>) {
        let mut gaps = Vec::new();
        let mut silent = vec![0; places];
        for ((_, attempt), of) in &self.attempts {
            let end = of.ended.unwrap_or(u64::MAX);
            for pair in of.signs.windows(2) {
                let seconds = (pair[1].min(end).saturating_sub(pair[0])) as f64 / 1e6;
                if seconds < SILENCE {
                    continue;
                }
                let from = pair[0] as f64 / 1e6;
                let last = place(from + seconds).min(places.saturating_sub(1));
                for count in &mut silent[place(from + SILENCE).min(last)..=last] {
                    *count += 1;
                }
                gaps.push(Gap {
                    attempt: attempt.to_string(),
                    student: of.student.map_or(String::new(), |id| id.to_string()),
                    from,
                    seconds,
                });
            }
        }
        gaps.sort_by(|a, b| {
            b.seconds
                .total_cmp(&a.seconds)
                .then(a.from.total_cmp(&b.from))
        });
        (gaps, silent)
    }

    fn progress(&self, places: usize, place: &dyn Fn(f64) -> usize) -> Vec<Option<Progress>> {
        // Per place, what changes in it: an attempt begins, or has one question more or less.
        let mut changes: Vec<Vec<(usize, i32)>> = vec![Vec::new(); places];
        let mut slots = Vec::new();
        let most = self
            .attempts
            .values()
            .map(|of| of.slots.max(1))
            .max()
            .unwrap_or(1);
        for of in self.attempts.values() {
            let number = slots.len();
            // Who has no `started` record was given as many as anybody was.
            slots.push(if of.started.is_some() {
                of.slots.max(1)
            } else {
                most
            });
            let mut on = |micros: u64, by: i32| {
                if let Some(last) = places.checked_sub(1) {
                    changes[place(micros as f64 / 1e6).min(last)].push((number, by));
                }
            };
            if let Some(first) = of.started.or(of.signs.first().copied()) {
                on(first, 0);
            }
            let mut answered: HashMap<u32, bool> = HashMap::new();
            for answer in &of.answers {
                let before = answered
                    .insert(answer.slot, answer.answered)
                    .unwrap_or(false);
                on(answer.at, i32::from(answer.answered) - i32::from(before));
            }
        }
        let mut answered: Vec<Option<i32>> = vec![None; slots.len()];
        changes
            .into_iter()
            .map(|changes| {
                for (attempt, by) in changes {
                    answered[attempt] = Some(answered[attempt].unwrap_or(0) + by);
                }
                let mut shares: Vec<f64> = answered
                    .iter()
                    .zip(&slots)
                    .filter_map(|(n, of)| Some(f64::from((*n)?) / f64::from(*of)))
                    .collect();
                shares.sort_by(f64::total_cmp);
                (!shares.is_empty()).then(|| Progress {
                    tenth: at(&shares, 0.1),
                    quarter: at(&shares, 0.25),
                    median: at(&shares, 0.5),
                    three_quarters: at(&shares, 0.75),
                    nine_tenths: at(&shares, 0.9),
                })
            })
            .collect()
    }

    fn questions(&self, names: &Names<'_>) -> Vec<Question> {
        #[derive(Default)]
        struct Of {
            given: u64,
            answered: u64,
            changed: u64,
            seconds: Vec<f64>,
            judged: u64,
            wrong: u64,
        }
        let mut questions: BTreeMap<(u32, String), Of> = BTreeMap::new();
        for of in self.attempts.values() {
            let mut own: HashMap<u32, (Option<&Response>, &Response, f64)> = HashMap::new();
            let mut before = of.started.or(of.signs.first().copied());
            for answer in &of.answers {
                let spent = answer.at.saturating_sub(before.unwrap_or(answer.at)) as f64 / 1e6;
                before = Some(answer.at);
                let slot = own.entry(answer.slot).or_insert((None, answer, 0.0));
                if answer.answered && slot.0.is_none() {
                    slot.0 = Some(answer);
                }
                slot.1 = answer;
                slot.2 += spent;
            }
            for slot in 1..=of.slots {
                let Some((first, last, seconds)) = own.get(&slot) else {
                    let name = names.name(of, slot, None);
                    questions.entry(name).or_default().given += 1;
                    continue;
                };
                let name = names.name(of, slot, last.question.as_deref());
                let into = questions.entry(name).or_default();
                into.given += 1;
                into.seconds.push(*seconds);
                if !last.answered {
                    continue;
                }
                into.answered += 1;
                into.changed += u64::from(first.is_some_and(|first| first.given != last.given));
                if let Some((_, _, right)) = names.right(of, last) {
                    into.judged += 1;
                    into.wrong += u64::from(!right);
                }
            }
        }
        questions
            .into_iter()
            .map(|((_, name), mut of)| {
                of.seconds.sort_by(f64::total_cmp);
                Question {
                    name,
                    given: of.given,
                    answered: of.answered,
                    changed: of.changed,
                    seconds: (!of.seconds.is_empty())
                        .then(|| (at(&of.seconds, 0.5), at(&of.seconds, 0.9))),
                    wrong: (of.judged > 0).then(|| of.wrong as f64 / of.judged as f64),
                }
            })
            .collect()
    }

    /// Slots of questions drawn at random, of which a key by slot says nothing.
    pub fn not_in_key(&self, key: &Key) -> BTreeSet<u32> {
        match key.by_question {
            true => BTreeSet::new(),
            false => self.drawn(),
        }
    }

    fn drawn(&self) -> BTreeSet<u32> {
        let mut first: HashMap<u32, &str> = HashMap::new();
        let mut drawn = BTreeSet::new();
        for (slot, question) in self.attempts.values().flat_map(|of| &of.questions) {
            if *first.entry(*slot).or_insert(question) != question {
                drawn.insert(*slot);
            }
        }
        drawn
    }

    /// One record whose clock was wrong must not stretch the exam over decades. Returns how many.
    fn leave_out_wrong_times(&mut self) -> u64 {
        let all: u64 = self.seconds.values().map(|of| of.records).sum();
        let mut before = 0;
        let middle = self.seconds.iter().find_map(|(second, of)| {
            before += of.records;
            (before * 2 >= all).then_some(*second)
        });
        let middle = middle.unwrap_or_default();
        let exam = middle.saturating_sub(YEAR)..=middle + YEAR;
        self.seconds.retain(|second, _| exam.contains(second));
        for of in self.attempts.values_mut() {
            of.signs.retain(|at| exam.contains(&(at / 1_000_000)));
        }
        all - self.seconds.values().map(|of| of.records).sum::<u64>()
    }

    fn sort(&mut self) {
        for attempt in self.attempts.values_mut() {
            attempt.signs.sort_unstable();
            attempt
                .answers
                .sort_by(|a, b| (a.at, &a.page, a.seq).cmp(&(b.at, &b.page, b.seq)));
        }
    }

    fn similarity(&mut self, key: &Key) -> Similarity {
        if key.is_empty() {
            return Similarity::Not(
                "Not compared: it needs an answer key, because two students who both know the \
                 answer agree on it."
                    .into(),
            );
        }
        let matrix = match self.matrix(key) {
            Ok(matrix) => matrix,
            Err(error) => return Similarity::Not(format!("Not compared: {error}.")),
        };
        match compare(&matrix, &Options::default()) {
            Ok(report) => Similarity::Compared {
                report,
                students: matrix.students().to_vec(),
            },
            Err(error) => Similarity::Not(format!("Not compared: {error}.")),
        }
    }

    /// Students by questions, of each student's last attempt: what was answered last, where the
    /// key knows the question.
    pub fn matrix(&mut self, key: &Key) -> Result<Matrix, exam_similarity::Error> {
        self.sort();
        let drawn = self.drawn();
        let names = Names { key, drawn: &drawn };
        let mut latest: BTreeMap<i64, &Attempt> = BTreeMap::new();
        for ((_, attempt), of) in &self.attempts {
            latest.insert(of.student.unwrap_or(*attempt), of);
        }
        let mut matrix = MatrixBuilder::new();
        for (student, of) in latest {
            let student = student.to_string();
            let began = of.started.or(of.signs.first().copied());
            matrix.started(&student, began.map(|at| at as f64 / 1e6));
            let last: BTreeMap<u32, &Response> = of.answers.iter().map(|a| (a.slot, a)).collect();
            for answer in last.values().filter(|answer| answer.answered) {
                if let Some((question, option, right)) = names.right(of, answer) {
                    let at = Some(answer.at as f64 / 1e6);
                    matrix.answer(
                        &student,
                        &question,
                        Answer {
                            option: &option,
                            right,
                            at,
                        },
                    )?;
                }
            }
        }
        Ok(matrix.build())
    }
}

impl Attempt {
    fn option(&self, answer: &Response) -> Option<String> {
        let order = self.order.get(&answer.slot).map(Vec::as_slice);
        Some(answer.given.as_ref()?.option(order))
    }
}

/// Which attempt a record is about.
fn name(record: &Record<'_>) -> Option<(String, i64)> {
    match record.key.who {
        Who::Attempt(attempt) => Some((record.key.site.clone(), attempt)),
        _ => None,
    }
}

/// A member that is no field of the envelope: a text, or a number as text.
fn member(line: &[u8], wanted: &str) -> Option<String> {
    let mut found = None;
    let _ = members(line, |key, value| {
        if key == wanted.as_bytes() {
            found = match serde_json::from_slice(value) {
                Ok(Value::String(text)) => Some(text),
                Ok(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
        }
    });
    found
}

/// The member `questions`: per slot, which one it is.
fn questions(line: &[u8]) -> HashMap<u32, String> {
    let mut found = HashMap::new();
    let _ = members(line, |key, value| {
        if key == b"questions"
            && let Ok(Value::Object(slots)) = serde_json::from_slice(value)
        {
            let question = |(slot, id): (String, Value)| Some((slot.parse().ok()?, text(&id)));
            found = slots.into_iter().filter_map(question).collect();
        }
    });
    found
}

/// The member `order`: per slot, what lies at each position.
fn order(line: &[u8]) -> HashMap<u32, Vec<String>> {
    let mut found = HashMap::new();
    let _ = members(line, |key, value| {
        if key == b"order"
            && let Ok(Value::Object(slots)) = serde_json::from_slice(value)
        {
            found = slots
                .into_iter()
                .filter_map(|(slot, ids)| {
                    Some((
                        slot.parse().ok()?,
                        ids.as_array()?.iter().map(text).collect(),
                    ))
                })
                .collect();
        }
    });
    found
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A figure as evidence: three digits say enough.
fn figure(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() => {
            let digits = (2 - number.abs().max(1e-9).log10().floor() as i32).clamp(0, 9) as usize;
            format!("{number:.digits$}")
        }
        _ => text(value),
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Of sorted values, the one at this share of them.
fn at<T: Copy>(sorted: &[T], share: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// A round number of seconds that gives no more than [`PLACES`].
fn step(length: f64) -> f64 {
    const ROUND: [f64; 13] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    ];
    let days = (length / PLACES / 86_400.0).ceil().max(1.0);
    ROUND
        .into_iter()
        .find(|step| length / step <= PLACES)
        .unwrap_or(86_400.0 * days)
}
