//! How probable each option of an item is for a student of a given score.
//!
//! A nominal response model: in an item, log P(option) is linear in the student's ability, up to
//! the constant that makes the options sum to one. The ability of a student is the one at which
//! the expected score on the items which that student answered is the student's own, so the index
//! is conditional on the score, and on nothing else that a copier would share with the source.
//! Items are fitted given abilities, abilities found given items, twice over: the start (the log
//! odds of the score) is nearly right, and what a third round changes is far below what sampling
//! does.
//!
//! Wrong options need no list of what is popular: an option that many of a score choose is
//! probable at that score, and agreeing on it counts little.
//!
//! Options chosen by fewer than [`RARE`] students, and beyond the [`CATEGORIES`] most frequent, are
//! fitted as one and share its probability by their counts. The two students who are compared are
//! counted among them, so agreement on a rare option is taken for *more* usual than it is, never
//! less.

use crate::matrix::{Choice, Error, Matrix, NONE};
use crate::parallel;

/// Fewer choices than this do not make a curve.
const RARE: u32 = 5;
/// The most options of an item that get a curve of their own.
const CATEGORIES: usize = 12;
/// With fewer students there is no telling what is usual.
pub(crate) const FEWEST: usize = 20;

/// Precision of the normal priors: they hold a curve that few students support near the flat one.
const PRIOR_INTERCEPT: f64 = 0.02;
const PRIOR_SLOPE: f64 = 1.0;

/// Abilities are looked for between -6 and 6 standard deviations.
const GRID: usize = 241;
const REACH: f64 = 6.0;

#[derive(Debug, Clone)]
struct Category {
    intercept: f64,
    slope: f64,
    /// The part of it that is right answers.
    right: f64,
}

/// The fitted curves of an exam.
#[derive(Debug, Clone)]
pub struct Model {
    items: Vec<Vec<Category>>,
    /// Per item and option: its category, and its share of that category.
    of_option: Vec<Vec<(usize, f64)>>,
    ability: Vec<f64>,
}

/// The options of one item for one student.
pub(crate) struct Curve<'a> {
    categories: &'a [Category],
    of_option: &'a [(usize, f64)],
    p: [f64; CATEGORIES + 1],
}

impl Curve<'_> {
    /// P(`option`), as [`Matrix`] numbers it.
    pub fn probability(&self, option: u32) -> f64 {
        let (category, share) = self.of_option[option as usize];
        self.p[category] * share
    }

    /// P(any right option).
    pub fn right(&self) -> f64 {
        self.categories
            .iter()
            .zip(&self.p)
            .map(|(category, p)| category.right * p)
            .sum()
    }
}

impl Model {
    pub fn fit(matrix: &Matrix) -> Result<Model, Error> {
        let targets: Vec<(usize, usize)> = (0..matrix.students.len())
            .map(|student| matrix.right_of(student))
            .collect();
        let students = targets.iter().filter(|(_, answered)| *answered > 0).count();
        if students < FEWEST {
            return Err(Error::TooFewStudents {
                students,
                needed: FEWEST,
            });
        }
        let start = targets
            .iter()
            .map(|(right, of)| ((*right as f64 + 0.5) / ((of - right) as f64 + 0.5)).ln())
            .collect();
        let (items, of_option) = matrix
            .choices
            .iter()
            .map(|choices| categories(choices))
            .unzip();
        let mut model = Model {
            items,
            of_option,
            ability: start,
        };
        for _ in 0..2 {
            standardise(&mut model.ability, &targets);
            let fitted = parallel::map(model.items.len(), |item| model.fitted(matrix, item));
            model.items = fitted;
            model.ability = model.abilities(matrix, &targets);
        }
        Ok(model)
    }

    /// Each student's ability, in standard deviations of the students'.
    pub fn abilities_of_students(&self) -> &[f64] {
        &self.ability
    }

    pub(crate) fn of_student(&self, student: usize, item: usize) -> Curve<'_> {
        let mut p = [0.0; CATEGORIES + 1];
        self.probabilities(item, self.ability[student], &mut p);
        Curve {
            categories: &self.items[item],
            of_option: &self.of_option[item],
            p,
        }
    }

    fn probabilities(&self, item: usize, ability: f64, p: &mut [f64]) {
        softmax(
            self.items[item]
                .iter()
                .map(|category| category.intercept + category.slope * ability),
            p,
        );
    }

    /// The ability at which each student's expected score is the student's own.
    fn abilities(&self, matrix: &Matrix, targets: &[(usize, usize)]) -> Vec<f64> {
        let at = |step: usize| REACH * (2.0 * step as f64 / (GRID - 1) as f64 - 1.0);
        // Item by item, the expected score along the grid.
        let expected: Vec<Vec<f64>> = parallel::map(self.items.len(), |item| {
            let mut p = [0.0; CATEGORIES + 1];
            (0..GRID)
                .map(|step| {
                    self.probabilities(item, at(step), &mut p);
                    self.items[item]
                        .iter()
                        .zip(&p)
                        .map(|(c, p)| c.right * p)
                        .sum()
                })
                .collect()
        });
        parallel::map(targets.len(), |student| {
            let (right, answered) = targets[student];
            if answered == 0 {
                return 0.0;
            }
            let mut curve = [0.0; GRID];
            for (item, option) in matrix.row(student).iter().enumerate() {
                if *option != NONE {
                    curve
                        .iter_mut()
                        .zip(&expected[item])
                        .for_each(|(sum, of)| *sum += of);
                }
            }
            // All right and all wrong are reached at no ability: half a point short of it.
            let target = (right as f64).clamp(0.5, answered as f64 - 0.5);
            match curve.iter().position(|expected| *expected >= target) {
                None => REACH,
                Some(0) => -REACH,
                Some(step) => {
                    let (low, high) = (curve[step - 1], curve[step]);
                    let part = (target - low) / (high - low);
                    at(step - 1) + part * (at(step) - at(step - 1))
                }
            }
        })
    }

    /// One item's curves, by Newton's method on the penalised likelihood (which is concave: the
    /// halving of a step that overshoots is all the care it needs).
    fn fitted(&self, matrix: &Matrix, item: usize) -> Vec<Category> {
        let mut categories = self.items[item].clone();
        let free = categories.len().saturating_sub(1);
        if free == 0 {
            return categories;
        }
        let answers: Vec<(usize, f64)> = (0..matrix.students.len())
            .filter_map(|student| {
                let option = matrix.row(student)[item];
                (option != NONE).then(|| {
                    (
                        self.of_option[item][option as usize].0,
                        self.ability[student],
                    )
                })
            })
            .collect();
        // Category 0 is the reference; 2k and 2k + 1 are intercept and slope of category k + 1.
        let size = 2 * free;
        let mut at: Vec<f64> = categories[1..]
            .iter()
            .flat_map(|c| [c.intercept, c.slope])
            .collect();
        let prior = |parameter: usize| [PRIOR_INTERCEPT, PRIOR_SLOPE][parameter % 2];
        let mut p = [0.0; CATEGORIES + 1];
        let curves = |at: &[f64], ability: f64, p: &mut [f64]| {
            let linear = at.chunks_exact(2).map(|c| c[0] + c[1] * ability);
            softmax(std::iter::once(0.0).chain(linear), p);
        };
        let likelihood = |at: &[f64], p: &mut [f64]| -> f64 {
            let data: f64 = answers
                .iter()
                .map(|(chosen, ability)| {
                    curves(at, *ability, p);
                    p[*chosen].max(f64::MIN_POSITIVE).ln()
                })
                .sum();
            let penalty: f64 = at.iter().enumerate().map(|(i, x)| prior(i) * x * x).sum();
            data - penalty / 2.0
        };
        let mut reached = likelihood(&at, &mut p);
        let mut gradient = vec![0.0; size];
        let mut hessian = vec![0.0; size * size];
        for _ in 0..25 {
            for (i, x) in at.iter().enumerate() {
                gradient[i] = -prior(i) * x;
            }
            hessian.fill(0.0);
            for i in 0..size {
                hessian[i * size + i] = prior(i);
            }
            for (chosen, ability) in &answers {
                curves(&at, *ability, &mut p);
                for k in 0..free {
                    let of = p[k + 1];
                    let residual = f64::from(u8::from(*chosen == k + 1)) - of;
                    gradient[2 * k] += residual;
                    gradient[2 * k + 1] += residual * ability;
                    for l in 0..=k {
                        let weight = of * (f64::from(u8::from(k == l)) - p[l + 1]);
                        let row = 2 * k * size + 2 * l;
                        hessian[row] += weight;
                        hessian[row + size] += weight * ability;
                        hessian[row + 1] += weight * ability;
                        hessian[row + size + 1] += weight * ability * ability;
                    }
                }
            }
            solve(&mut hessian, &mut gradient, size);
            let mut length = 1.0;
            let better = loop {
                let tried: Vec<f64> = at
                    .iter()
                    .zip(&gradient)
                    .map(|(x, step)| x + length * step)
                    .collect();
                let value = likelihood(&tried, &mut p);
                if value >= reached {
                    break Some((tried, value));
                }
                length /= 2.0;
                if length < 1e-6 {
                    break None;
                }
            };
            let Some((tried, value)) = better else { break };
            let gain = value - reached;
            (at, reached) = (tried, value);
            if gain < 1e-6 {
                break;
            }
        }
        for (category, parameters) in categories[1..].iter_mut().zip(at.chunks_exact(2)) {
            (category.intercept, category.slope) = (parameters[0], parameters[1]);
        }
        categories
    }
}

/// The categories of one item's options: the most frequent first, the rare ones together last.
fn categories(choices: &[Choice]) -> (Vec<Category>, Vec<(usize, f64)>) {
    let mut order: Vec<usize> = (0..choices.len())
        .filter(|o| choices[*o].count > 0)
        .collect();
    order.sort_by_key(|option| std::cmp::Reverse(choices[*option].count));
    let own = order
        .iter()
        .take(CATEGORIES)
        .filter(|o| choices[**o].count >= RARE)
        .count();
    let rare = &order[own..];
    let total: f64 = rare
        .iter()
        .map(|option| f64::from(choices[*option].count))
        .sum();
    let mut of_option = vec![(0, 0.0); choices.len()];
    let mut list: Vec<Category> = Vec::with_capacity(own + 1);
    let category = |of: &[usize], total: f64| {
        let share = |option: &usize| f64::from(choices[*option].count) / total;
        Category {
            intercept: 0.0,
            slope: 0.0,
            right: of.iter().filter(|o| choices[**o].right).map(share).sum(),
        }
    };
    for option in &order[..own] {
        of_option[*option] = (list.len(), 1.0);
        list.push(category(&[*option], f64::from(choices[*option].count)));
    }
    if !rare.is_empty() {
        for option in rare {
            of_option[*option] = (list.len(), f64::from(choices[*option].count) / total);
        }
        list.push(category(rare, total));
    }
    (list, of_option)
}

/// Mean 0 and standard deviation 1 over those who answered anything.
fn standardise(ability: &mut [f64], targets: &[(usize, usize)]) {
    let of: Vec<f64> = ability
        .iter()
        .zip(targets)
        .filter(|(_, t)| t.1 > 0)
        .map(|(a, _)| *a)
        .collect();
    let mean = of.iter().sum::<f64>() / of.len() as f64;
    let sd = (of.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / of.len() as f64).sqrt();
    let scale = if sd > 1e-9 { sd } else { 1.0 };
    ability.iter_mut().for_each(|a| *a = (*a - mean) / scale);
}

fn softmax(linear: impl Iterator<Item = f64>, p: &mut [f64]) {
    let mut count = 0;
    let mut most = f64::NEG_INFINITY;
    for (slot, value) in p.iter_mut().zip(linear) {
        *slot = value;
        most = most.max(value);
        count += 1;
    }
    let mut sum = 0.0;
    for slot in &mut p[..count] {
        *slot = (*slot - most).exp();
        sum += *slot;
    }
    p[..count].iter_mut().for_each(|slot| *slot /= sum);
}

/// Solves `matrix` x = `right` in place by Cholesky's method; only the lower triangle is read. The
/// priors make it positive definite.
fn solve(matrix: &mut [f64], right: &mut [f64], size: usize) {
    for i in 0..size {
        for j in 0..=i {
            let sum: f64 = (0..j)
                .map(|k| matrix[i * size + k] * matrix[j * size + k])
                .sum();
            let rest = matrix[i * size + j] - sum;
            matrix[i * size + j] = if i == j {
                rest.max(1e-12).sqrt()
            } else {
                rest / matrix[j * size + j]
            };
        }
        let sum: f64 = (0..i).map(|k| matrix[i * size + k] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i * size + i];
    }
    for i in (0..size).rev() {
        let sum: f64 = (i + 1..size).map(|k| matrix[k * size + i] * right[k]).sum();
        right[i] = (right[i] - sum) / matrix[i * size + i];
    }
}
