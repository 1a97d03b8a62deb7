//! Every pair of an exam.
//!
//! The index is ω (Wollack, 1997): given what student b answered, how often does a agree, against
//! what the model expects of a? It is conditional on a's score in a second way, beside the ability
//! that stands for it: a's number of right answers is held fixed. A model that was fitted to that
//! number leaves the agreement less room than independent answers have, which the classical form
//! overlooks (its null is too narrow: a standard deviation of 0.87 on a real exam, for a model
//! that fits). Held fixed, the null has the width that it says, and what the ability is mistaken
//! by hardly matters.
//!
//! In b's place, an item has three outcomes for a: the same option, another right one, another
//! wrong one. So the number of agreements h and the number of right answers t are counted together,
//! exactly, by adding one item after the other, and p = P(at least h agreements | t right answers).

use crate::fdr::{bonferroni, false_discovery_rates};
use crate::matrix::{Error, Matrix, NONE};
use crate::model::Model;
use crate::parallel;
use crate::tail::{Outcomes, normal_tail, normal_tail_quantile, tail_given_right};
use crate::timing::{CoTimed, Pace};

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Pairs are listed up to this false discovery rate (Benjamini-Hochberg).
    pub rate: f64,
    /// Two answers are co-timed if they are at most so many seconds apart.
    pub within: f64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rate: 0.05,
            within: 10.0,
        }
    }
}

/// Two students to review. Which comes first says nothing.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Numbers of the students in [`Matrix::students`].
    pub students: (usize, usize),
    /// The normal deviate whose tail is as thin as the agreement is improbable, from the side from
    /// which it is less probable.
    pub z: f64,
    /// Probability of so much agreement or more between two honest students of these scores: of
    /// both sides the smaller one, doubled.
    pub p: f64,
    /// The same, that any pair of this exam comes to it (Bonferroni).
    pub family: f64,
    /// The false discovery rate at which this pair is listed: Benjamini-Hochberg, and
    /// Benjamini-Yekutieli.
    pub q: f64,
    pub q_any_dependence: f64,
    /// Items that both answered.
    pub items: usize,
    /// Identical options, and how many are expected.
    pub same: usize,
    pub same_expected: f64,
    /// Identical *wrong* options, and how many are expected.
    pub same_wrong: usize,
    pub same_wrong_expected: f64,
    /// Only where times are known. Corroboration, never a reason by itself.
    pub co_timed: Option<CoTimed>,
}

#[derive(Debug, Clone)]
pub struct Report {
    pub rate: f64,
    pub students: usize,
    pub items: usize,
    /// Pairs that were compared: those with an item that both answered.
    pub comparisons: usize,
    /// Mean and standard deviation of the index over all pairs, of which nearly all are honest: 0
    /// and 1 if the model is right. Above 1, every z and p here has been widened by it.
    pub mean: f64,
    pub sd: f64,
    /// How many z (two a pair, not widened) lie between each two [`histogram_edge`]s; the first and
    /// the last one hold what lies beyond, too.
    pub histogram: Vec<u64>,
    /// The z that one honest exam in 1 / rate reaches with any pair.
    pub family_wise_z: f64,
    /// The pairs to review, least p first.
    pub pairs: Vec<Pair>,
    /// For each student the greatest z with anybody (-∞ if there was nobody to compare with).
    pub nearest: Vec<f64>,
}

const BINS: usize = 40;

/// Left edge of a bin of [`Report::histogram`]: from -5 to 5 in quarters.
pub fn histogram_edge(bin: usize) -> f64 {
    bin as f64 / 4.0 - 5.0
}

/// From this z on the exact tail is computed. A pair below it is never near being listed.
const EXACT_FROM: f64 = 3.0;

/// Compares all pairs.
pub fn compare(matrix: &Matrix, options: &Options) -> Result<Report, Error> {
    let model = Model::fit(matrix)?;
    let mut found = all(matrix, &model);
    let count = found.count.max(1) as f64;
    let mean = found.sum / count;
    let sd = (found.squares / count - mean * mean).max(0.0).sqrt();
    let widen = sd.max(1.0);
    let comparisons = found.count / 2;

    // Both sides of a pair, as far as they are high; the less probable one stays.
    let mut sides: Vec<Side> = parallel::map(found.high.len(), |index| {
        let (a, b) = found.high[index];
        let p = Evidence::of(matrix, &model, a, b).p();
        let z = normal_tail_quantile(p) / widen;
        Side {
            a,
            b,
            z,
            p: if widen > 1.0 { normal_tail(z) } else { p },
        }
    });
    for nearest in &mut found.nearest {
        *nearest = nearest.min(EXACT_FROM as f32) / widen as f32;
    }
    let mut nearest: Vec<f64> = found.nearest.iter().map(|z| f64::from(*z)).collect();
    for side in &sides {
        for student in [side.a, side.b] {
            nearest[student] = nearest[student].max(side.z);
        }
    }
    let pair = |side: &Side| (side.a.min(side.b), side.a.max(side.b));
    sides.sort_by(|x, y| {
        pair(x)
            .cmp(&pair(y))
            .then(x.p.total_cmp(&y.p))
            .then(x.a.cmp(&y.a))
    });
    sides.dedup_by_key(|side| pair(side));
    sides.sort_by(|x, y| x.p.total_cmp(&y.p));

    let p: Vec<f64> = sides.iter().map(|side| (2.0 * side.p).min(1.0)).collect();
    let rates = false_discovery_rates(&p, comparisons);
    let listed = rates
        .iter()
        .take_while(|rate| rate.0 <= options.rate)
        .count();
    let mut pace = if listed > 0 {
        Pace::of(matrix, options.within)
    } else {
        None
    };
    let pairs = (0..listed)
        .map(|rank| {
            let Side { a, b, z, .. } = sides[rank];
            let evidence = Evidence::of(matrix, &model, a, b);
            Pair {
                students: (a.min(b), a.max(b)),
                z,
                p: p[rank],
                family: bonferroni(p[rank], comparisons),
                q: rates[rank].0,
                q_any_dependence: rates[rank].1,
                items: evidence.items.len(),
                same: evidence.same,
                same_expected: evidence.items.iter().map(|item| item.same).sum(),
                same_wrong: evidence.same_wrong,
                same_wrong_expected: evidence.same_wrong_expected,
                co_timed: pace.as_mut().and_then(|pace| pace.co_timed(a, b)),
            }
        })
        .collect();
    Ok(Report {
        rate: options.rate,
        students: matrix.students.len(),
        items: matrix.items.len(),
        comparisons,
        mean,
        sd,
        histogram: found.histogram,
        family_wise_z: normal_tail_quantile(options.rate / 2.0 / comparisons.max(1) as f64),
        pairs,
        nearest,
    })
}

/// A pair as seen from one of the two: a's agreement with what b answered.
struct Side {
    a: usize,
    b: usize,
    z: f64,
    p: f64,
}

/// One side of one pair in full.
struct Evidence {
    /// The items that both answered.
    items: Vec<Outcomes>,
    right: usize,
    same: usize,
    same_wrong: usize,
    same_wrong_expected: f64,
}

impl Evidence {
    fn of(matrix: &Matrix, model: &Model, a: usize, b: usize) -> Evidence {
        let mut found = Evidence {
            items: Vec::with_capacity(matrix.items.len()),
            right: 0,
            same: 0,
            same_wrong: 0,
            same_wrong_expected: 0.0,
        };
        for item in 0..matrix.items.len() {
            let (of_a, of_b) = (matrix.row(a)[item], matrix.row(b)[item]);
            if of_a == NONE || of_b == NONE {
                continue;
            }
            let curve = model.of_student(a, item);
            let same = curve.probability(of_b);
            let wrong = !matrix.right(item, of_b);
            found.items.push(Outcomes {
                same,
                right: curve.right(),
                same_is_right: !wrong,
            });
            found.right += usize::from(matrix.right(item, of_a));
            found.same += usize::from(of_a == of_b);
            found.same_wrong += usize::from(wrong && of_a == of_b);
            found.same_wrong_expected += if wrong { same } else { 0.0 };
        }
        found
    }

    fn p(&self) -> f64 {
        tail_given_right(&self.items, self.same, self.right)
    }
}

/// What a pass over all pairs leaves.
struct Found {
    /// How many z there are, two a pair; their sum and the sum of their squares.
    count: usize,
    sum: f64,
    squares: f64,
    histogram: Vec<u64>,
    nearest: Vec<f32>,
    /// The sides from [`EXACT_FROM`].
    high: Vec<(usize, usize)>,
}

/// What one answer of b adds to the comparison with a. One row of eight numbers for each option,
/// made once for each a, so that a pair is nothing but the sum of as many rows as there are items.
type Row = [f32; 8];
const EXPECTED: usize = 0;
const VARIANCE: usize = 1;
/// Covariance of "the same" and "right", and the variance of "right".
const WITH_RIGHT: usize = 2;
const RIGHT: usize = 3;
/// Right answers beyond the expectation.
const BEYOND: usize = 4;
const SAME: usize = 5;
const COMPARED: usize = 6;

fn all(matrix: &Matrix, model: &Model) -> Found {
    let (students, items) = (matrix.students.len(), matrix.items.len());
    // All items' options in a row; place 0 is what b's unanswered items point to.
    let mut first = Vec::with_capacity(items);
    let mut places = 1;
    for choices in &matrix.choices {
        first.push(places);
        places += choices.len();
    }
    let place: Vec<u32> = (0..students)
        .flat_map(|student| matrix.row(student).iter().zip(&first))
        .map(|(option, first)| {
            if *option == NONE {
                0
            } else {
                *first as u32 + option
            }
        })
        .collect();
    let table = |a: usize, table: &mut [Row]| {
        table.fill(Row::default());
        for (item, of_a) in matrix
            .row(a)
            .iter()
            .enumerate()
            .filter(|(_, of_a)| **of_a != NONE)
        {
            let curve = model.of_student(a, item);
            let right = curve.right();
            let beyond = f64::from(u8::from(matrix.right(item, *of_a))) - right;
            for (option, row) in (0..).zip(&mut table[first[item]..][..matrix.choices[item].len()])
            {
                let same = curve.probability(option);
                let both = if matrix.right(item, option) {
                    same
                } else {
                    0.0
                };
                row[EXPECTED] = same as f32;
                row[VARIANCE] = (same * (1.0 - same)) as f32;
                row[WITH_RIGHT] = (both - same * right) as f32;
                row[RIGHT] = (right * (1.0 - right)) as f32;
                row[BEYOND] = beyond as f32;
                row[SAME] = f32::from(u8::from(option == *of_a));
                row[COMPARED] = 1.0;
            }
        }
    };
    let parts = parallel::fold(
        students,
        || Part::new(students, places),
        |part, a| {
            table(a, &mut part.table);
            let mut of_a = (a, 0, 0.0, 0.0);
            for b in (0..students).filter(|b| *b != a) {
                let mut sum = Row::default();
                for place in &place[b * items..(b + 1) * items] {
                    let row = &part.table[*place as usize];
                    sum.iter_mut().zip(row).for_each(|(sum, of)| *sum += of);
                }
                if sum[COMPARED] == 0.0 {
                    continue;
                }
                let z = standardised(&sum);
                of_a.1 += 1;
                of_a.2 += f64::from(z);
                of_a.3 += f64::from(z) * f64::from(z);
                let bin = (4.0 * (z + 5.0)).clamp(0.0, BINS as f32 - 1.0) as usize;
                part.histogram[bin] += 1;
                part.nearest[a] = part.nearest[a].max(z);
                part.nearest[b] = part.nearest[b].max(z);
                if z >= EXACT_FROM as f32 {
                    part.high.push((a, b));
                }
            }
            part.rows.push(of_a);
        },
    );
    Part::together(parts, students)
}

/// ω, given the number of right answers: mean and variance of the agreement are those of its
/// regression on that number.
fn standardised(sum: &Row) -> f32 {
    let slope = sum[WITH_RIGHT] / sum[RIGHT].max(1e-3);
    let expected = sum[EXPECTED] + slope * sum[BEYOND];
    // Somebody who got all but everything right leaves nothing to chance, which is no reason to
    // divide by nothing.
    let variance = (sum[VARIANCE] - slope * sum[WITH_RIGHT])
        .max(0.05 * sum[VARIANCE])
        .max(1e-3);
    (sum[SAME] - expected) / variance.sqrt()
}

/// One thread's part of the pass.
struct Part {
    table: Vec<Row>,
    /// Per a: how many z, their sum, the sum of their squares.
    rows: Vec<(usize, usize, f64, f64)>,
    histogram: [u64; BINS],
    nearest: Vec<f32>,
    high: Vec<(usize, usize)>,
}

impl Part {
    fn new(students: usize, places: usize) -> Part {
        Part {
            table: vec![Row::default(); places],
            rows: Vec::new(),
            histogram: [0; BINS],
            nearest: vec![f32::NEG_INFINITY; students],
            high: Vec::new(),
        }
    }

    /// Summed in the order of the students, not in that of the threads: the same exam gives the
    /// same figures, to the last digit.
    fn together(parts: Vec<Part>, students: usize) -> Found {
        let mut rows: Vec<_> = parts
            .iter()
            .flat_map(|part| part.rows.iter().copied())
            .collect();
        rows.sort_unstable_by_key(|row| row.0);
        let mut found = Found {
            count: rows.iter().map(|row| row.1).sum(),
            sum: rows.iter().map(|row| row.2).sum(),
            squares: rows.iter().map(|row| row.3).sum(),
            histogram: vec![0; BINS],
            nearest: vec![f32::NEG_INFINITY; students],
            high: Vec::new(),
        };
        for part in parts {
            found
                .histogram
                .iter_mut()
                .zip(part.histogram)
                .for_each(|(all, of)| *all += of);
            found.high.extend(part.high);
            found
                .nearest
                .iter_mut()
                .zip(part.nearest)
                .for_each(|(most, z)| *most = most.max(z));
        }
        found
    }
}
