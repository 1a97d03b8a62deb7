//! The page: what is known of an exam, as one HTML document that needs nothing else.
//!
//! It runs no script and loads nothing (its own policy forbids both), so a text that got into a
//! record can do no more than be read; and every text goes through [`Escaped`].

use std::fmt::Write;

use exam_similarity as similarity;

use crate::chart::{Chart, Layer, Places, Shape};
use crate::html::{Clock, Count, Escaped, Probability, Seconds, When};

/// An exam as the page shows it. Times are seconds since 1970, UTC; shares are 0 to 1.
#[derive(Debug, Clone, Default)]
pub struct Exam {
    /// The quiz, as it is called; and where.
    pub title: String,
    pub site: String,
    pub quiz: i64,
    /// When the page was made.
    pub made: f64,
    pub from: f64,
    pub to: f64,
    pub totals: Totals,
    /// Width of the places of `flow`, `progress` and `silent`, in seconds; they begin at `from`.
    pub step: f64,
    pub flow: Vec<Flow>,
    pub progress: Vec<Option<Progress>>,
    /// How many attempts had not been heard of for [`Exam::silence`] seconds; None if pages told no
    /// signs of life, and silence means nothing.
    pub silent: Vec<u32>,
    pub silence: Option<f64>,
    pub questions: Vec<Question>,
    /// The longest first.
    pub gaps: Vec<Gap>,
    pub attempts_with_gaps: u64,
    pub signals: Vec<Signal>,
    pub similarity: Similarity,
}

#[derive(Debug, Clone, Default)]
pub struct Totals {
    pub attempts: u64,
    pub students: u64,
    pub submitted: u64,
    pub records: u64,
    /// Not among them: of a year in which the exam was not.
    pub wrong_times: u64,
    pub answers: u64,
    pub help_calls: u64,
    /// The most answers in one second, and when.
    pub busiest: Option<(u64, f64)>,
    /// From the browser's sending to the server's receipt: median and 99th percentile, seconds.
    pub latency: Option<(f64, f64)>,
}

/// Records in one place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    pub records: u64,
    pub answers: u64,
}

/// Share of the questions that the students had answered: deciles and quartiles of the cohort.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    pub tenth: f64,
    pub quarter: f64,
    pub median: f64,
    pub three_quarters: f64,
    pub nine_tenths: f64,
}

#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Slot or question, as the records name it.
    pub name: String,
    pub given: u64,
    pub answered: u64,
    pub changed: u64,
    /// Seconds spent on it: median and 90th percentile.
    pub seconds: Option<(f64, f64)>,
    /// Share of wrong among the answered; None without an answer key.
    pub wrong: Option<f64>,
}

/// A time in which nothing came from an attempt that was under way.
#[derive(Debug, Clone, Default)]
pub struct Gap {
    pub attempt: String,
    pub student: String,
    pub from: f64,
    pub seconds: f64,
}

/// What a rule found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signal {
    /// Ends of the first and the last window that found it, and in how many.
    pub from: f64,
    pub to: f64,
    pub times: u64,
    pub name: String,
    /// Empty: about the quiz.
    pub attempt: String,
    pub student: String,
    pub slot: String,
    /// The columns of the last row.
    pub evidence: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub enum Similarity {
    /// Not compared, and why.
    Not(String),
    Compared {
        report: similarity::Report,
        /// By the report's numbers.
        students: Vec<String>,
    },
}

impl Default for Similarity {
    fn default() -> Self {
        Similarity::Not("The answers were not compared.".into())
    }
}

/// More rows than a person reads are counted, not shown.
const ROWS: usize = 200;

/// The page.
pub fn page(exam: &Exam) -> String {
    let mut out = String::with_capacity(1 << 16);
    head(exam, &mut out);
    flow(exam, &mut out);
    progress(exam, &mut out);
    questions(exam, &mut out);
    disconnects(exam, &mut out);
    signals(exam, &mut out);
    likeness(exam, &mut out);
    let made = When {
        at: exam.made,
        date: true,
        clock: Clock::Minutes,
    };
    let _ = writeln!(
        out,
        "</main><footer class=\"soft\"><small>Made by Exam Stream on {made} UTC from the records \
         of the stream. All times are UTC.</small></footer></body></html>"
    );
    out
}

fn head(exam: &Exam, out: &mut String) {
    let title = Escaped(&exam.title);
    let date = When {
        at: exam.from,
        date: true,
        clock: Clock::Minutes,
    };
    let until = When {
        at: exam.to,
        date: exam.from as u64 / 86_400 != exam.to as u64 / 86_400,
        clock: Clock::Minutes,
    };
    let _ = write!(
        out,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\"><meta name=\"referrer\" content=\"no-referrer\"><meta name=\"robots\" \
         content=\"noindex\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><title>{title}</title><style>{}</style></head><body><header>\
         <h1>{title}</h1><p class=\"soft\">{} · quiz {} · {date} to {until} UTC</p></header>\
         <nav aria-label=\"Parts of the report\"><ul>",
        include_str!("style.css"),
        Escaped(&exam.site),
        exam.quiz
    );
    for (id, name) in [
        ("flow", "Records"),
        ("progress", "Progress"),
        ("questions", "Questions"),
        ("disconnects", "Disconnects"),
        ("signals", "Signals"),
        ("similarity", "Similar answers"),
    ] {
        let _ = write!(out, "<li><a href=\"#{id}\">{name}</a></li>");
    }
    out.push_str("</ul></nav><main><dl class=\"figures\">");
    let totals = &exam.totals;
    let mut figure = |name: &str, value: String, more: String| {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}");
        if !more.is_empty() {
            let _ = write!(out, "<small>{more}</small>");
        }
        out.push_str("</dd></div>");
    };
    let of_all = |part: u64| match totals.attempts {
        0 => String::new(),
        all => percent(part as f64 / all as f64),
    };
    figure(
        "Attempts",
        Count(totals.attempts).to_string(),
        format!("{} students", Count(totals.students)),
    );
    figure(
        "Submitted",
        Count(totals.submitted).to_string(),
        of_all(totals.submitted),
    );
    figure(
        "Records",
        Count(totals.records).to_string(),
        match totals.wrong_times {
            0 => format!("{} answers", Count(totals.answers)),
            wrong => format!(
                "{} answers; {} more with a wrong time",
                Count(totals.answers),
                Count(wrong)
            ),
        },
    );
    if let Some((most, at)) = totals.busiest {
        let when = When {
            at,
            date: false,
            clock: Clock::Seconds,
        };
        figure(
            "Busiest second",
            Count(most).to_string(),
            format!("answers, at {when}"),
        );
    }
    if let Some((median, high)) = totals.latency {
        let more = format!("99 % within {}", Seconds(high));
        figure("Browser to server", Seconds(median).to_string(), more);
    }
    if exam.silence.is_some() {
        figure(
            "Disconnected",
            Count(exam.attempts_with_gaps).to_string(),
            "attempts, at least once".into(),
        );
    }
    figure(
        "Calls for help",
        Count(totals.help_calls).to_string(),
        String::new(),
    );
    out.push_str("</dl>");
}

fn places(exam: &Exam, count: usize) -> Places {
    Places {
        from: exam.from,
        to: exam.from + exam.step * count as f64,
        count,
    }
}

fn clock(exam: &Exam, place: usize) -> String {
    let at = (exam.from + exam.step * place as f64).max(0.0) as u64;
    let (h, m, s) = (at / 3600 % 24, at / 60 % 60, at % 60);
    if exam.step < 60.0 {
        format!("{h:02}:{m:02}:{s:02}")
    } else {
        format!("{h:02}:{m:02}")
    }
}

fn flow(exam: &Exam, out: &mut String) {
    let records: Vec<f64> = exam.flow.iter().map(|flow| flow.records as f64).collect();
    let answers: Vec<f64> = exam.flow.iter().map(|flow| flow.answers as f64).collect();
    let per_second: Vec<Option<f64>> = answers.iter().map(|n| Some(n / exam.step)).collect();
    let step = Seconds(exam.step).to_string();
    let step = step
        .strip_suffix(".0 s")
        .map_or(step.clone(), |whole| format!("{whole} s"));
    open(out, "flow", "Records over time");
    if exam.flow.is_empty() {
        out.push_str("<p>No record.</p></section>");
        return;
    }
    let _ = write!(
        out,
        "<p class=\"soft\">Everything that reached the stream, in intervals of {step}: answers, \
         and what else browsers tell (signs of life, forms posted, calls for help).</p><figure>"
    );
    Chart {
        label: format!(
            "Records in each {step}, at most {}",
            records.iter().copied().fold(0.0, f64::max)
        ),
        places: places(exam, records.len()),
        layers: vec![
            Layer {
                shape: Shape::Bars(&records),
                colour: "three",
                name: "all records",
            },
            Layer {
                shape: Shape::Bars(&answers),
                colour: "one",
                name: "of them answers",
            },
        ],
        top: None,
        unit: "{}",
        title: &|place| {
            format!(
                "{}: {} records, {} answers",
                clock(exam, place),
                records[place],
                answers[place]
            )
        },
    }
    .write(out);
    out.push_str("</figure><h3>Answers per second</h3><figure>");
    Chart {
        label: format!(
            "Answers per second, at most {:.1} on the mean of {step}",
            per_second.iter().flatten().copied().fold(0.0, f64::max)
        ),
        places: places(exam, records.len()),
        layers: vec![Layer {
            shape: Shape::Line(&per_second),
            colour: "one",
            name: "",
        }],
        top: None,
        unit: "{}",
        title: &|place| {
            let mean = per_second[place].unwrap_or_default();
            format!("{}: {mean:.2} answers a second", clock(exam, place))
        },
    }
    .write(out);
    out.push_str("</figure>");
    let rows = exam.flow.iter().enumerate().map(|(place, flow)| {
        format!(
            "<th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.2}</td>",
            clock(exam, place),
            Count(flow.records),
            Count(flow.answers),
            flow.answers as f64 / exam.step
        )
    });
    figures_as_table(
        out,
        &["from", "records", "answers", "answers a second"],
        rows,
    );
    out.push_str("</section>");
}

fn progress(exam: &Exam, out: &mut String) {
    open(out, "progress", "Progress of the cohort");
    if exam.progress.iter().all(Option::is_none) {
        out.push_str("<p>No answer yet.</p></section>");
        return;
    }
    out.push_str(
        "<p class=\"soft\">Share of the questions that a student has answered, of those who have \
         begun: the one in the middle, the middle half, and all but the first and the last \
         tenth.</p><figure>",
    );
    let of = |value: fn(&Progress) -> f64| -> Vec<Option<f64>> {
        exam.progress
            .iter()
            .map(|p| p.as_ref().map(|p| 100.0 * value(p)))
            .collect()
    };
    let (tenth, nine_tenths) = (of(|p| p.tenth), of(|p| p.nine_tenths));
    let (quarter, three_quarters) = (of(|p| p.quarter), of(|p| p.three_quarters));
    let median = of(|p| p.median);
    Chart {
        label: "Share of questions answered over time: median, quartiles and deciles".into(),
        places: places(exam, median.len()),
        layers: vec![
            Layer {
                shape: Shape::Band(&tenth, &nine_tenths),
                colour: "one",
                name: "middle 80 % of students",
            },
            Layer {
                shape: Shape::Band(&quarter, &three_quarters),
                colour: "one deep",
                name: "middle half",
            },
            Layer {
                shape: Shape::Line(&median),
                colour: "one",
                name: "median",
            },
        ],
        top: Some(100.0),
        unit: "{} %",
        title: &|place| match &exam.progress[place] {
            None => String::new(),
            Some(p) => format!(
                "{}: median {}, middle half {} to {}",
                clock(exam, place),
                percent(p.median),
                percent(p.quarter),
                percent(p.three_quarters)
            ),
        },
    }
    .write(out);
    out.push_str("</figure>");
    let rows = exam
        .progress
        .iter()
        .enumerate()
        .filter_map(|(place, progress)| {
            let p = progress.as_ref()?;
            let cells: String = [
                p.tenth,
                p.quarter,
                p.median,
                p.three_quarters,
                p.nine_tenths,
            ]
            .map(|share| format!("<td class=\"n\">{}</td>", percent(share)))
            .concat();
            Some(format!(
                "<th scope=\"row\">{}</th>{cells}",
                clock(exam, place)
            ))
        });
    let names = ["from", "10th percentile", "25th", "median", "75th", "90th"];
    figures_as_table(out, &names, rows);
    out.push_str("</section>");
}

fn questions(exam: &Exam, out: &mut String) {
    open(out, "questions", "Time and error per question");
    if exam.questions.is_empty() {
        out.push_str("<p>No answer yet.</p></section>");
        return;
    }
    let key = exam
        .questions
        .iter()
        .any(|question| question.wrong.is_some());
    let _ = write!(
        out,
        "<p class=\"soft\">Time is what passed since the student’s previous answer, summed where \
         the question was answered more than once.{}</p><div class=\"scroll\" tabindex=\"0\" \
         role=\"region\" aria-label=\"Questions\"><table><thead><tr>\
         <th scope=\"col\">Question</th><th scope=\"col\" class=\"n\">given</th><th scope=\"col\" class=\"n\">not answered</th>\
         <th scope=\"col\" class=\"n\">changed</th><th scope=\"col\" class=\"n\">median time</th>\
         <th scope=\"col\" class=\"n\">9 of 10 within</th>{}</tr></thead><tbody>",
        if key {
            ""
        } else {
            " Errors need an answer key."
        },
        if key {
            "<th scope=\"col\" class=\"n\">wrong</th>"
        } else {
            ""
        }
    );
    let longest = exam
        .questions
        .iter()
        .filter_map(|q| Some(q.seconds?.0))
        .fold(0.0, f64::max);
    for question in &exam.questions {
        let given = question.given.max(1) as f64;
        let share = |part: f64, whole: f64| {
            if whole > 0.0 {
                100.0 * part / whole
            } else {
                0.0
            }
        };
        let skipped = question.given.saturating_sub(question.answered) as f64 / given;
        let changed = question.changed as f64 / question.answered.max(1) as f64;
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}{}</td>\
             <td class=\"n\">{}</td>",
            Escaped(&question.name),
            Count(question.given),
            percent(skipped),
            part(100.0 * skipped, "two"),
            percent(changed)
        );
        match question.seconds {
            None => out.push_str("<td class=\"n\">–</td><td class=\"n\">–</td>"),
            Some((median, high)) => {
                let _ = write!(
                    out,
                    "<td class=\"n\">{}{}</td><td class=\"n\">{}</td>",
                    Seconds(median),
                    part(share(median, longest), ""),
                    Seconds(high)
                );
            }
        }
        if key {
            match question.wrong {
                None => out.push_str("<td class=\"n\">–</td>"),
                Some(wrong) => {
                    let bar = part(100.0 * wrong, "two");
                    let _ = write!(out, "<td class=\"n\">{}{bar}</td>", percent(wrong));
                }
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></section>");
}

fn disconnects(exam: &Exam, out: &mut String) {
    open(out, "disconnects", "Disconnects");
    let Some(silence) = exam.silence else {
        out.push_str("<p>Not known: the records hold no signs of life.</p></section>");
        return;
    };
    let _ = write!(
        out,
        "<p class=\"soft\">Attempts under way of which nothing came for {} or longer. What a \
         student wrote meanwhile is kept in the browser and comes when the connection does.</p>",
        Seconds(silence)
    );
    if exam.gaps.is_empty() {
        out.push_str("<p>None.</p></section>");
        return;
    }
    let silent: Vec<f64> = exam.silent.iter().map(|n| f64::from(*n)).collect();
    out.push_str("<figure>");
    Chart {
        label: format!(
            "Attempts that were silent, at most {}",
            silent.iter().copied().fold(0.0, f64::max)
        ),
        places: places(exam, silent.len()),
        layers: vec![Layer {
            shape: Shape::Bars(&silent),
            colour: "two",
            name: "",
        }],
        top: None,
        unit: "{}",
        title: &|place| format!("{}: {} silent", clock(exam, place), silent[place]),
    }
    .write(out);
    let shown = exam.gaps.len().min(20);
    let _ = write!(
        out,
        "</figure><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Disconnects\">\
         <table><caption>{} attempts were disconnected, {} times in all; the longest {shown}\
         </caption><thead><tr><th scope=\"col\">Attempt</th><th scope=\"col\">Student</th><th \
         scope=\"col\">from</th><th scope=\"col\" class=\"n\">for</th></tr></thead><tbody>",
        Count(exam.attempts_with_gaps),
        Count(exam.gaps.len() as u64)
    );
    for gap in &exam.gaps[..shown] {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
            Escaped(&gap.attempt),
            Escaped(&gap.student),
            When {
                at: gap.from,
                date: false,
                clock: Clock::Seconds
            },
            Seconds(gap.seconds)
        );
    }
    out.push_str("</tbody></table></div></section>");
}

fn signals(exam: &Exam, out: &mut String) {
    open(out, "signals", "Signals");
    out.push_str(
        "<p class=\"soft\">What the rules found, with the figures that they found it by. A signal \
         says where to look; it never says what happened.</p>",
    );
    if exam.signals.is_empty() {
        out.push_str("<p>None.</p></section>");
        return;
    }
    out.push_str(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Signals\"><table>\
         <thead><tr><th scope=\"col\">Signal</th><th scope=\"col\">Evidence</th></tr></thead>\
         <tbody>",
    );
    for signal in exam.signals.iter().take(ROWS) {
        let about: Vec<String> = [
            ("attempt", &signal.attempt),
            ("student", &signal.student),
            ("question", &signal.slot),
        ]
        .iter()
        .filter(|(_, of)| !of.is_empty())
        .map(|(what, of)| format!("{what} {}", Escaped(of)))
        .collect();
        let about = if about.is_empty() {
            "the exam".to_owned()
        } else {
            about.join(", ")
        };
        let at = |at| When {
            at,
            date: false,
            clock: Clock::Seconds,
        };
        let mut when = at(signal.from).to_string();
        if signal.times > 1 {
            let _ = write!(when, " to {}, {} times", at(signal.to), signal.times);
        }
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<small>{about}</small><small>{when}</small></th><td \
             class=\"t\"><dl class=\"evidence\">",
            Escaped(&signal.name)
        );
        for (name, value) in &signal.evidence {
            let _ = write!(
                out,
                "<div><dt>{}</dt><dd>{}</dd></div>",
                Escaped(name),
                Escaped(value)
            );
        }
        out.push_str("</dl></td></tr>");
    }
    out.push_str("</tbody></table></div>");
    if exam.signals.len() > ROWS {
        let more = Count((exam.signals.len() - ROWS) as u64);
        let _ = write!(out, "<p>And {more} more.</p>");
    }
    out.push_str("</section>");
}

fn likeness(exam: &Exam, out: &mut String) {
    open(out, "similarity", "Similar answers");
    let (report, students) = match &exam.similarity {
        Similarity::Not(why) => {
            let _ = write!(out, "<p>{}</p></section>", Escaped(why));
            return;
        }
        Similarity::Compared { report, students } => (report, students),
    };
    let name = |student: usize| Escaped(students.get(student).map_or("?", String::as_str));
    let _ = write!(
        out,
        "<p>{} pairs of {} students were compared on {} questions. For each pair: do the two agree \
         more than students of their scores do? {}</p>\
         <p class=\"note\">To <strong>review</strong>, never a verdict: the figures do not say who, \
         how, or that anybody did anything. Look at the room plan, the times, the answers \
         themselves, and ask.</p>",
        Count(report.comparisons as u64),
        Count(report.students as u64),
        Count(report.items as u64),
        match report.pairs.len() {
            0 => "No pair is to be reviewed.".to_owned(),
            1 => "One pair is to be reviewed.".to_owned(),
            n => format!("{n} pairs are to be reviewed."),
        }
    );
    let widened = if report.sd > 1.0 {
        "; everything here is widened by it"
    } else {
        ""
    };
    let _ = write!(
        out,
        "<p class=\"soft\">How the index behaves in this very exam: mean {:.3}, standard deviation \
         {:.3} over all pairs (0 and 1 if chance and score explain them{widened}). Of honest exams, \
         at most {} list any pair; z = {:.2} is where one honest exam in {:.0} has any pair at all.</p>",
        report.mean,
        report.sd,
        percent(report.rate),
        report.family_wise_z,
        1.0 / report.rate
    );
    histogram(report, out);
    if report.pairs.is_empty() {
        out.push_str("</section>");
        return;
    }
    let timed = report.pairs.iter().any(|pair| pair.co_timed.is_some());
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Pairs to review\">\
         <table><caption>Pairs to review</caption><thead><tr><th scope=\"col\">Students</th>\
         <th scope=\"col\" class=\"n\">z</th><th scope=\"col\" class=\"n\">chance</th>\
         <th scope=\"col\" class=\"n\">same answer</th><th scope=\"col\" class=\"n\">same \
         wrong answer</th>{}</tr></thead><tbody>",
        if timed {
            "<th scope=\"col\" class=\"n\">at the same moment</th>"
        } else {
            ""
        }
    );
    for pair in report.pairs.iter().take(ROWS) {
        let (a, b) = pair.students;
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{} and {}</th><td class=\"n\">{:.2}</td><td class=\"n\">{} \
             <small>of these two</small><small>{} of any two here</small><small>{} false discovery \
             rate</small></td><td class=\"n\">{} of {}<small>{:.1} expected</small></td><td \
             class=\"n\">{}<small>{:.1} expected</small></td>",
            name(a),
            name(b),
            pair.z,
            Probability(pair.p),
            Probability(pair.family),
            Probability(pair.q),
            pair.same,
            pair.items,
            pair.same_expected,
            pair.same_wrong,
            pair.same_wrong_expected
        );
        match pair.co_timed {
            _ if !timed => {}
            None => out.push_str("<td class=\"n\">–</td>"),
            Some(times) => {
                let _ = write!(
                    out,
                    "<td class=\"n\">{} of {}<small>{:.1} by pace</small><small>chance {}</small></td>",
                    times.count,
                    times.judged,
                    times.expected,
                    Probability(times.p)
                );
            }
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    if report.pairs.len() > ROWS {
        let _ = write!(
            out,
            "<p>And {} more.</p>",
            Count((report.pairs.len() - ROWS) as u64)
        );
    }
    out.push_str("</section>");
}

fn histogram(report: &similarity::Report, out: &mut String) {
    let all: u64 = report.histogram.iter().sum();
    if all == 0 {
        return;
    }
    let share = |n: u64| 100.0 * n as f64 / all as f64;
    let bars: Vec<f64> = report.histogram.iter().map(|n| share(*n)).collect();
    let edge = similarity::histogram_edge;
    let below = |z: f64| 1.0 - similarity::normal_tail(z);
    let normal: Vec<Option<f64>> = (0..bars.len())
        .map(|bin| Some(100.0 * (below(edge(bin + 1)) - below(edge(bin)))))
        .collect();
    out.push_str("<figure>");
    Chart {
        label: "How the index is distributed over all pairs, beside the normal distribution".into(),
        places: Places {
            from: edge(0),
            to: edge(bars.len()),
            count: bars.len(),
        },
        layers: vec![
            Layer {
                shape: Shape::Bars(&bars),
                colour: "one",
                name: "all pairs, from both sides",
            },
            Layer {
                shape: Shape::Line(&normal),
                colour: "two",
                name: "the normal distribution",
            },
        ],
        top: None,
        unit: "{} %",
        title: &|bin| {
            let n = Count(report.histogram[bin]);
            format!(
                "z {} to {}: {n} ({:.2} %)",
                edge(bin),
                edge(bin + 1),
                bars[bin]
            )
        },
    }
    .write_over(
        &["−5", "−4", "−3", "−2", "−1", "0", "1", "2", "3", "4", "5"],
        out,
    );
    out.push_str("<figcaption><small>z: standard deviations of agreement beyond what the scores explain</small></figcaption></figure>");
}

fn open(out: &mut String, id: &str, heading: &str) {
    let _ = write!(
        out,
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{heading}</h2>"
    );
}

fn figures_as_table(out: &mut String, columns: &[&str], rows: impl Iterator<Item = String>) {
    out.push_str("<details><summary>The figures as a table</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The figures as a table\"><table><thead><tr>");
    for (place, column) in columns.iter().enumerate() {
        let class = if place > 0 { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{column}</th>");
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows {
        let _ = write!(out, "<tr>{row}</tr>");
    }
    out.push_str("</tbody></table></div></details>");
}

/// A bar in a cell, of so many per cent. The figure itself stands before it.
fn part(of_hundred: f64, class: &str) -> String {
    let width = of_hundred.clamp(0.0, 100.0);
    format!(
        "<span class=\"part {class}\" aria-hidden=\"true\"><i style=\"width:{width:.0}%\"></i></span>"
    )
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 0.95 || percent > 99.05 && percent < 100.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}
