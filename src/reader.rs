//! `exam_stream_state()` and `exam_stream_board()`: the state store read on PHP's thread.
//!
//! Each thread keeps a connection of its own, so that a page never waits for
//! another page's read. A forked child makes its own and leaks the inherited
//! one: closing it properly would end the parent's session.

use std::cell::RefCell;

use exam_record::{AttemptKey, AttemptView, without_lone_surrogates};
use exam_state::{BlockingReader, StateError};
use serde::Serialize;

use crate::ini::Config;
use crate::process;

thread_local! {
    static READER: RefCell<Option<(u64, BlockingReader)>> = const { RefCell::new(None) };
}

/// The folded state of an attempt as JSON, `None` if there is none. Takes at
/// most `exam_stream.state_timeout_ms`; the error is a sentence for people.
pub fn state(key: &AttemptKey) -> Result<Option<Vec<u8>>, String> {
    let registers = ask(|reader| reader.read(key))?;
    registers
        .map(|registers| json(&AttemptView::new(key, &registers)))
        .transpose()
}

/// What changed on a quiz's board since a version, as JSON; else like [`state`].
pub fn board(site: &str, quiz: i64, since: u64) -> Result<Vec<u8>, String> {
    json(&ask(|reader| reader.board(site, quiz, since))?)
}

fn ask<T>(
    question: impl FnOnce(&mut BlockingReader) -> Result<T, StateError>,
) -> Result<T, String> {
    let serial = process::local().serial;
    READER.with_borrow_mut(|slot| {
        let reader = match slot {
            Some((of, reader)) if *of == serial => reader,
            _ => {
                std::mem::forget(slot.take());
                &mut slot.insert((serial, open()?)).1
            }
        };
        question(reader).map_err(|e| e.to_string())
    })
}

fn json(view: &impl Serialize) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(view).map_err(|e| format!("it cannot be shown: {e}"))?;
    Ok(without_lone_surrogates(&json).into_owned())
}

fn open() -> Result<BlockingReader, String> {
    let config = Config::read();
    let Some(url) = config.state_url.clone() else {
        return Err(
            "there is no state store: set exam_stream.state_url to its address, \
             for example redis://127.0.0.1:6379/0"
                .to_owned(),
        );
    };
    let options = exam_state::Options {
        response_timeout: config.state_timeout,
        aws: process::aws(&config),
        ..Default::default()
    };
    BlockingReader::new(&url, options).map_err(|e| e.to_string())
}
