//! Were identical wrong answers given at the same moment, beyond what pace explains?
//!
//! Students who start together and work at one pace are at the same item at the same time: in a
//! real exam, answers at the same moment are the rule. So the moment of an answer is judged given
//! when either student gave the *previous* one, and two explanations are tried, of which the one
//! that makes meeting the more probable counts:
//!
//! - *own pace*: how long this item took is left to chance; it depends on the item and on the
//!   student's speed (the log-normal response time model of van der Linden, 2006, with the
//!   residuals' own distribution in place of the normal one).
//! - *the room's pace*: how often two other students (of one group, if these two are) whose
//!   previous answers lay as far apart met at this item.

use std::collections::HashMap;

use crate::matrix::{Matrix, NONE};
use crate::tail::upper_tail;

/// Corroboration of a pair that is listed for its answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoTimed {
    /// Identical wrong answers whose times are known.
    pub judged: usize,
    /// Those given within the stated seconds of each other, and how many pace explains.
    pub count: usize,
    pub expected: f64,
    /// Probability of so many or more, given both students' previous answers.
    pub p: f64,
}

/// How long answers take in an exam.
pub struct Pace<'a> {
    matrix: &'a Matrix,
    within: f64,
    /// Per item, mean and standard deviation of log seconds at mean speed.
    items: Vec<(f64, f64)>,
    /// Per student, log seconds above the items' means: slowness.
    students: Vec<f64>,
    /// Residuals in standard deviations, sorted.
    residuals: Vec<f64>,
    /// Per item that was asked for: pairs of students by group and by how far apart their
    /// previous answers were, and how many of them met.
    met: HashMap<usize, [[(u32, u32); GAPS.len() + 1]; 2]>,
}

/// Two answers in half a second are one act; a logarithm needs something to begin with.
const LEAST_SECONDS: f64 = 0.5;
/// Seconds between two students' previous answers: the limits of what counts as equally far.
const GAPS: [f64; 12] = [
    1.0, 2.0, 4.0, 7.0, 10.0, 15.0, 22.0, 33.0, 50.0, 75.0, 120.0, 240.0,
];
/// So many students stand for all of a larger exam.
const SAMPLE: usize = 2000;

impl<'a> Pace<'a> {
    /// Answers at most `within` seconds apart count as given at the same moment. None if the
    /// matrix knows no times.
    pub fn of(matrix: &'a Matrix, within: f64) -> Option<Pace<'a>> {
        let items = matrix.items.len();
        let cells: Vec<(usize, usize, f64)> = matrix
            .since
            .iter()
            .enumerate()
            .filter(|(_, since)| !since.is_nan())
            .map(|(cell, since)| (cell / items, cell % items, since.max(LEAST_SECONDS).ln()))
            .collect();
        if cells.is_empty() {
            return None;
        }
        let mut slowness = vec![0.0; matrix.students.len()];
        let mut level = vec![0.0; items];
        // Means of columns and rows in turn: a table with holes needs a few rounds.
        for _ in 0..5 {
            let mut sums = vec![(0.0, 0.0); items];
            for (student, item, log) in &cells {
                sums[*item] = (
                    sums[*item].0 + log - slowness[*student],
                    sums[*item].1 + 1.0,
                );
            }
            level = sums
                .iter()
                .map(|(sum, count)| sum / f64::max(*count, 1.0))
                .collect();
            let mut sums = vec![(0.0, 0.0); slowness.len()];
            for (student, item, log) in &cells {
                sums[*student] = (
                    sums[*student].0 + log - level[*item],
                    sums[*student].1 + 1.0,
                );
            }
            // Half an answer's worth of the mean: who gave two answers has no speed yet.
            slowness = sums
                .iter()
                .map(|(sum, count)| sum / (count + 0.5))
                .collect();
        }
        let mut squares = vec![(0.1, 1.0); items];
        for (student, item, log) in &cells {
            let rest = log - level[*item] - slowness[*student];
            squares[*item] = (squares[*item].0 + rest * rest, squares[*item].1 + 1.0);
        }
        let items: Vec<(f64, f64)> = level
            .iter()
            .zip(squares)
            .map(|(mean, (sum, n))| (*mean, (sum / n).sqrt()))
            .collect();
        let mut residuals: Vec<f64> = cells
            .iter()
            .map(|(student, item, log)| {
                (log - items[*item].0 - slowness[*student]) / items[*item].1
            })
            .collect();
        residuals.sort_by(f64::total_cmp);
        let met = HashMap::new();
        Some(Pace {
            matrix,
            within,
            items,
            students: slowness,
            residuals,
            met,
        })
    }

    /// Of two students' identical wrong answers. None if there is none whose time is known.
    pub fn co_timed(&mut self, a: usize, b: usize) -> Option<CoTimed> {
        let (of_a, of_b) = (self.matrix.row(a), self.matrix.row(b));
        let items: Vec<usize> = (0..of_a.len())
            .filter(|item| of_a[*item] != NONE && of_a[*item] == of_b[*item])
            .filter(|item| !self.matrix.right(*item, of_a[*item]))
            .collect();
        let mut each = Vec::with_capacity(items.len());
        let mut count = 0;
        for item in items {
            let (Some(moment_a), Some(moment_b)) = (self.moment(a, item), self.moment(b, item))
            else {
                continue;
            };
            let own = self.own_pace(b, item, moment_b, moment_a)
                + self.own_pace(a, item, moment_a, moment_b);
            each.push((own / 2.0).max(self.rooms_pace(item, (a, moment_a), (b, moment_b))));
            count += usize::from((moment_a.at - moment_b.at).abs() <= self.within);
        }
        (!each.is_empty()).then(|| CoTimed {
            judged: each.len(),
            count,
            expected: each.iter().sum(),
            p: upper_tail(&each, count),
        })
    }

    fn moment(&self, student: usize, item: usize) -> Option<Moment> {
        let cell = student * self.matrix.items.len() + item;
        let (at, since) = (self.matrix.at[cell], self.matrix.since[cell]);
        (self.matrix.options[cell] != NONE && !at.is_nan() && !since.is_nan()).then_some(Moment {
            at,
            previous: at - since,
        })
    }

    /// P(the student, having given the previous answer when it was given, meets the other's).
    fn own_pace(&self, student: usize, item: usize, own: Moment, other: Moment) -> f64 {
        let (mean, sd) = self.items[item];
        let scaled =
            |seconds: f64| (seconds.max(LEAST_SECONDS).ln() - mean - self.students[student]) / sd;
        let latest = other.at - own.previous + self.within;
        if latest < 0.0 {
            return 0.0;
        }
        let to = scaled(latest);
        let from = scaled(other.at - own.previous - self.within);
        let until = self.residuals.partition_point(|rest| *rest <= to);
        // Everything up to the least is one time.
        let before = if other.at - own.previous - self.within <= LEAST_SECONDS {
            0
        } else {
            self.residuals.partition_point(|rest| *rest < from)
        };
        // One more of each: no chance is smaller than the residuals could show.
        (until.saturating_sub(before) + 1) as f64 / (self.residuals.len() + 1) as f64
    }

    fn rooms_pace(&mut self, item: usize, a: (usize, Moment), b: (usize, Moment)) -> f64 {
        let groups = &self.matrix.groups;
        let together =
            |a: usize, b: usize| usize::from(groups[a].is_some() && groups[a] == groups[b]);
        let bin = |a: Moment, b: Moment| {
            let gap = (a.previous - b.previous).abs();
            GAPS.partition_point(|limit| *limit < gap)
        };
        if !self.met.contains_key(&item) {
            let step = self.matrix.students.len().div_ceil(SAMPLE);
            let moments: Vec<(usize, Moment)> = (0..self.matrix.students.len())
                .step_by(step)
                .filter_map(|student| Some((student, self.moment(student, item)?)))
                .collect();
            let mut met = [[(0, 0); GAPS.len() + 1]; 2];
            for (rank, (x, of_x)) in moments.iter().enumerate() {
                for (y, of_y) in &moments[rank + 1..] {
                    let of = &mut met[together(*x, *y)][bin(*of_x, *of_y)];
                    of.0 += u32::from((of_x.at - of_y.at).abs() <= self.within);
                    of.1 += 1;
                }
            }
            self.met.insert(item, met);
        }
        let (met, of) = self.met[&item][together(a.0, b.0)][bin(a.1, b.1)];
        // This pair itself is among them: with few others the chance is told too great.
        f64::from(met + 1) / f64::from(of + 1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    at: f64,
    previous: f64,
}
