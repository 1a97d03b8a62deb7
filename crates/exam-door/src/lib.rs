//! The door of a site: what a browser may write into the stream.
//!
//! A page of an attempt carries a [token](Grant) that says what it may write and as whom. [`admit`]
//! makes the lines of the stream of a request with such a token: both doors of the Moodle plugin
//! call it, so there is one validator. It promises that a line says nothing about site, attempt,
//! student or question but what the token says, that `at` lies between the page's minting and the
//! time of receipt, that a resent record keeps its id, and that no sign is in it that is switched
//! off. It refuses a request as a whole, before anything of it is accepted. It judges form only:
//! what an answer means is known to Moodle's question engine alone.
//!
//! No I/O and no clock, and nothing of PHP.

mod origin;
mod request;
mod token;

pub use origin::{Headers, Origin};
pub use request::{Admitted, Call, Help, Limits, MAX_BODY, MAX_RECORDS, MAX_TEXT, admit};
pub use token::Grant;

/// What a site says of its doors.
#[derive(Clone, Debug)]
pub struct Door {
    /// The site's id: a token of another site is foreign even under the same key.
    pub site: String,
    /// Ids and secrets of the keys that verify tokens.
    pub keys: Vec<(String, Vec<u8>)>,
    pub limits: Limits,
    /// The [switches](switch) that may be on in some quiz.
    pub switches: u32,
    pub origin: Origin,
}

impl AsRef<Door> for Door {
    fn as_ref(&self) -> &Door {
        self
    }
}

/// What may be on besides answers: bits of a grant, and of a site.
pub mod switch {
    pub const HELPDESK: u32 = 1;
    pub const HIDDEN: u32 = 2;
    pub const CLIPBOARD: u32 = 4;
    pub const CONNECTION: u32 = 8;
    pub const ADDRESS: u32 = 16;
    pub const DEVICE: u32 = 32;
}

/// A request that is refused. Carries no answer's contents, so that it may be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// More bytes, or more records, than one request may have.
    TooLarge,
    /// The token is missing, forged, foreign, damaged or expired.
    Token,
    /// One record, or the request as a whole; the script drops it and sends the others again.
    Bad {
        /// Of the record in the request; `None`: the request as a whole.
        index: Option<usize>,
        /// Why, in English, for the developer's console.
        message: String,
    },
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::Token => 403,
            Self::Bad { .. } => 400,
        }
    }

    /// What the script is told first.
    pub fn error(&self) -> &'static str {
        match self {
            Self::TooLarge => "toolarge",
            Self::Token => "token",
            Self::Bad { .. } => "bad",
        }
    }
}

#[cfg(test)]
mod tests;
