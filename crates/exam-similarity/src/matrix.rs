//! Students × items: what each chose, what it scored, and when.

use std::collections::HashMap;

/// One answer. `option` is the identity of what was chosen, the same for everybody who chose the
/// same: never its position on the screen, since Moodle shuffles options for each attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer<'a> {
    pub option: &'a str,
    /// Whether it gets full marks. There may be several right options (two spellings).
    pub right: bool,
    /// When it was given, in seconds on any clock that all students share.
    pub at: Option<f64>,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    #[error(
        "item {item}: option {option} is right for one student and wrong for another; make the \
         options distinct or correct the key"
    )]
    Contradiction { item: String, option: String },
    #[error("{students} students with answers: at least {needed} are needed to know what is usual")]
    TooFewStudents { students: usize, needed: usize },
}

/// The option of a cell that holds no answer.
pub(crate) const NONE: u32 = u32::MAX;

/// What is known of one option of one item.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub right: bool,
    /// How many students chose it.
    pub count: u32,
}

/// The answers of an exam. Not everybody needs to have been given every item: two students are
/// compared on what both answered.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub(crate) students: Vec<String>,
    pub(crate) items: Vec<String>,
    /// Per item, its options in the order in which they were first seen.
    pub(crate) choices: Vec<Vec<Choice>>,
    /// Row by row, the option of each student and item, or [`NONE`].
    pub(crate) options: Vec<u32>,
    /// Row by row, when, and how long after this student's previous answer. NaN: not known. Empty
    /// where no time was given at all.
    pub(crate) at: Vec<f64>,
    pub(crate) since: Vec<f64>,
    /// Per student: centre, room or group.
    pub(crate) groups: Vec<Option<u32>>,
}

impl Matrix {
    pub fn students(&self) -> &[String] {
        &self.students
    }

    pub fn items(&self) -> &[String] {
        &self.items
    }

    pub(crate) fn row(&self, student: usize) -> &[u32] {
        let width = self.items.len();
        &self.options[student * width..(student + 1) * width]
    }

    pub(crate) fn right(&self, item: usize, option: u32) -> bool {
        self.choices[item][option as usize].right
    }

    /// How many of a student's answers are right, and how many there are.
    pub fn right_of(&self, student: usize) -> (usize, usize) {
        let answers = || {
            self.row(student)
                .iter()
                .enumerate()
                .filter(|(_, o)| **o != NONE)
        };
        let right = answers()
            .filter(|(item, option)| self.right(*item, **option))
            .count();
        (right, answers().count())
    }
}

/// Collects answers in any order. Of two answers of one student to one item the later call counts.
#[derive(Debug, Default)]
pub struct MatrixBuilder {
    students: Names,
    items: Names,
    options: Vec<Names>,
    right: Vec<Vec<bool>>,
    cells: HashMap<(u32, u32), (u32, f64)>,
    started: HashMap<u32, f64>,
    groups: Names,
    group_of: HashMap<u32, u32>,
}

#[derive(Debug, Default)]
struct Names {
    list: Vec<String>,
    index: HashMap<String, u32>,
}

impl Names {
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let index = self.list.len() as u32;
        self.list.push(name.to_owned());
        self.index.insert(name.to_owned(), index);
        index
    }
}

impl MatrixBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the student's row even if no answer follows, and says when the work began: without
    /// it nothing is known of how long the first answer took.
    pub fn started(&mut self, student: &str, at: Option<f64>) {
        let student = self.students.intern(student);
        if let Some(at) = at {
            self.started.insert(student, at);
        }
    }

    /// Who sat together. Used for nothing but the pace of a room: whether two are listed does not
    /// depend on it.
    pub fn group(&mut self, student: &str, group: &str) {
        let student = self.students.intern(student);
        let group = self.groups.intern(group);
        self.group_of.insert(student, group);
    }

    pub fn answer(&mut self, student: &str, item: &str, answer: Answer<'_>) -> Result<(), Error> {
        let Answer { option, right, at } = answer;
        let student = self.students.intern(student);
        let index = self.items.intern(item) as usize;
        if index == self.options.len() {
            self.options.push(Names::default());
            self.right.push(Vec::new());
        }
        let chosen = self.options[index].intern(option) as usize;
        match self.right[index].get(chosen) {
            None => self.right[index].push(right),
            Some(before) if *before == right => {}
            Some(_) => {
                return Err(Error::Contradiction {
                    item: item.into(),
                    option: option.into(),
                });
            }
        }
        let at = at.unwrap_or(f64::NAN);
        self.cells
            .insert((student, index as u32), (chosen as u32, at));
        Ok(())
    }

    pub fn build(self) -> Matrix {
        let (height, width) = (self.students.list.len(), self.items.list.len());
        let mut choices: Vec<Vec<Choice>> = self
            .right
            .into_iter()
            .map(|right| {
                right
                    .into_iter()
                    .map(|right| Choice { right, count: 0 })
                    .collect()
            })
            .collect();
        let timed = self.cells.values().any(|(_, at)| !at.is_nan());
        let mut options = vec![NONE; height * width];
        let mut at = vec![f64::NAN; if timed { height * width } else { 0 }];
        for (&(student, item), &(option, when)) in &self.cells {
            let cell = student as usize * width + item as usize;
            options[cell] = option;
            choices[item as usize][option as usize].count += 1;
            if timed {
                at[cell] = when;
            }
        }
        let mut since = vec![f64::NAN; at.len()];
        if timed {
            let mut order: Vec<usize> = Vec::with_capacity(width);
            for student in 0..height {
                order.clear();
                order.extend((student * width..(student + 1) * width).filter(|c| !at[*c].is_nan()));
                order.sort_by(|a, b| at[*a].total_cmp(&at[*b]));
                let mut previous = self.started.get(&(student as u32)).copied();
                for cell in &order {
                    if let Some(previous) = previous {
                        since[*cell] = at[*cell] - previous;
                    }
                    previous = Some(at[*cell]);
                }
            }
        }
        let groups = (0..height as u32)
            .map(|s| self.group_of.get(&s).copied())
            .collect();
        Matrix {
            groups,
            students: self.students.list,
            items: self.items.list,
            choices,
            options,
            at,
            since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(option: &str, right: bool, at: f64) -> Answer<'_> {
        Answer {
            option,
            right,
            at: Some(at),
        }
    }

    #[test]
    fn the_last_answer_counts_and_time_runs_from_the_answer_before() {
        let mut exam = MatrixBuilder::new();
        exam.started("ann", Some(100.0));
        exam.answer("ann", "q2", answer("b", false, 130.0)).unwrap();
        exam.answer("ann", "q1", answer("a", true, 110.0)).unwrap();
        exam.answer("ann", "q2", answer("c", true, 150.0)).unwrap();
        exam.answer("bob", "q1", answer("a", true, 90.0)).unwrap();
        let matrix = exam.build();
        assert_eq!(matrix.items(), ["q2", "q1"]);
        assert_eq!(matrix.right_of(0), (2, 2));
        assert_eq!(matrix.since[..2], [40.0, 10.0]);
        assert!(matrix.since[3].is_nan());
        assert_eq!(matrix.row(1), [NONE, 0]);
        assert_eq!(
            matrix.choices[0]
                .iter()
                .map(|c| c.count)
                .collect::<Vec<_>>(),
            [0, 1]
        );
    }

    #[test]
    fn a_key_that_contradicts_itself_is_named() {
        let mut exam = MatrixBuilder::new();
        exam.answer("ann", "q1", answer("a", true, 0.0)).unwrap();
        let error = exam
            .answer("bob", "q1", answer("a", false, 0.0))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "item q1: option a is right for one student and wrong for another; make the options \
             distinct or correct the key"
        );
    }
}
