//! The report of an exam: one HTML page that needs nothing but itself.
//!
//! [`Records`] takes the records of a quiz one by one, in any order, and makes an [`Exam`] of them;
//! [`page`] makes the HTML. Pure: no I/O, no clock.

mod chart;
mod html;
mod option;
mod page;
mod records;

pub use option::Given;
pub use page::{Exam, Flow, Gap, Progress, Question, Signal, Similarity, Totals, page};
pub use records::{Key, Records};
