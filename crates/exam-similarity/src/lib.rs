//! Which pairs of an exam's students a person should look at, because they chose the same options
//! more often than two students of their scores do. Pure: no I/O, no clock, no randomness.
//!
//! Two good students agree on nearly every question, and two weak ones fall for the same popular
//! wrong option. So agreement says nothing by itself; it has to be compared with what is expected
//! of *these two students on these questions*:
//!
//! 1. [`Model`]: for each item, the probability of each option given a student's score (a nominal
//!    response model; the ability is the one whose expected score is the student's own).
//! 2. The index ω: how far the number of identical options lies above its expectation, in standard
//!    deviations (`z`), and how probable that many or more are (`p`, exactly: in a tail as thin as
//!    the one needed here the normal approximation is wrong by orders of magnitude).
//! 3. [`compare`]: every pair, because nobody knows beforehand whom to compare, and therefore with
//!    a correction for their number: family-wise (Bonferroni) and false discovery rate
//!    (Benjamini-Hochberg, and Benjamini-Yekutieli, which holds under any dependence).
//! 4. For the pairs that come out of it only: how many of the identical *wrong* answers were given
//!    at the same moment, against what the pace of the two explains ([`CoTimed`]).
//!
//! What it promises: the null distribution of the index is measured on the exam itself and told
//! ([`Report::mean`], [`Report::sd`]); where it is wider than the theory has it (questions that
//! hang together, a class that was taught the same error), every `p` is widened with it.
//!
//! What it refuses: a verdict. A pair is one to *review*. It does not say who of the two, nor how,
//! nor that anybody did anything: of an honest exam's pairs one is listed now and then, and
//! `docs/signals.md` says how often.

mod auc;
mod compare;
mod fdr;
mod matrix;
mod model;
mod parallel;
mod tail;
mod timing;

pub use auc::{Auc, auc};
pub use compare::{Options, Pair, Report, compare, histogram_edge};
pub use fdr::{bonferroni, false_discovery_rates};
pub use matrix::{Answer, Error, Matrix, MatrixBuilder};
pub use model::Model;
pub use tail::{Outcomes, normal_tail, normal_tail_quantile, tail_given_right, upper_tail};
pub use timing::{CoTimed, Pace};
