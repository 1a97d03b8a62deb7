//! A stream refused a call as invalid: which line is to blame, if one is?
//!
//! A stream whose source is a Kinesis stream refuses every direct put with the
//! same words as one bad record, so a refusal alone proves nothing. First a
//! few single lines are sent as witnesses: if none is accepted, the stream
//! refuses everything and keeps its lines. Only with a witness is the call
//! halved down to the culprits, and they are believed to be culprits only if
//! the stream accepts something *after* it refused them.

use crate::pack::Record;
use crate::put::{PutBatch, PutError};
use bytes::Bytes;
use std::ops::Range;

/// What is known after the search.
pub(crate) struct Examined {
    /// Per record of the call: all its lines are delivered or refused.
    pub decided: Vec<bool>,
    /// The culprits, without their newline, and what the stream said.
    pub refused: Vec<(Bytes, String)>,
    /// Why the search ended early; what is not decided is to be sent again.
    pub error: Option<PutError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Delivered,
    /// Refused alone; not yet followed by an acceptance.
    Suspect,
    Refused,
}

struct Search<'a> {
    put: &'a dyn PutBatch,
    stream: &'a str,
    /// Each line with its newline, and its record.
    lines: Vec<(Bytes, usize)>,
    fates: Vec<Fate>,
    witness: Option<usize>,
    why: String,
}

pub(crate) async fn run<K>(
    put: &dyn PutBatch,
    stream: &str,
    batch: &[Record<K>],
    why: &str,
) -> Examined {
    let mut lines = Vec::new();
    for (index, record) in batch.iter().enumerate() {
        let mut rest = record.body.clone();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            lines.push((rest.split_to(end + 1), index));
        }
    }
    let mut search = Search {
        put,
        stream,
        fates: vec![Fate::Open; lines.len()],
        lines,
        witness: None,
        why: why.to_owned(),
    };
    let error = search.run().await.err();
    let mut decided = vec![true; batch.len()];
    for (fate, (_, record)) in search.fates.iter().zip(&search.lines) {
        decided[*record] &= matches!(fate, Fate::Delivered | Fate::Refused);
    }
    let refused = search
        .fates
        .iter()
        .zip(&search.lines)
        // A record that will be sent again brings its culprits again.
        .filter(|(fate, (_, record))| **fate == Fate::Refused && decided[*record])
        .map(|(_, (line, _))| (line.slice(..line.len() - 1), search.why.clone()))
        .collect();
    Examined {
        decided,
        refused,
        error,
    }
}

impl Search<'_> {
    async fn run(&mut self) -> Result<(), PutError> {
        let last = self.lines.len().saturating_sub(1);
        for line in [last, fastrand::usize(..=last), 0] {
            if self.witness.is_none() && self.fates[line] == Fate::Open {
                self.send(line..line + 1).await?;
            }
        }
        if self.witness.is_none() {
            return Err(PutError::Held(format!(
                "the stream refuses every record ({}); is its source a Kinesis stream? Nothing is quarantined",
                self.why
            )));
        }
        let mut left = Vec::from([Range {
            start: 0,
            end: self.lines.len(),
        }]);
        while let Some(range) = left.pop() {
            if !self.fates[range.clone()].contains(&Fate::Open) || self.send(range.clone()).await? {
                continue;
            }
            if range.len() > 1 {
                let middle = range.start + range.len() / 2;
                left.push(middle..range.end);
                left.push(range.start..middle);
            }
        }
        if self.fates.contains(&Fate::Suspect)
            && let Some(witness) = self.witness
        {
            // Once more what it took before: does it still?
            self.send(witness..witness + 1).await?;
            if self.fates.contains(&Fate::Suspect) {
                return Err(PutError::Held(format!(
                    "the stream refuses what it accepted before: {}",
                    self.why
                )));
            }
        }
        Ok(())
    }

    /// Sends what is open in a range, or a single line in any case; `false` if refused.
    async fn send(&mut self, range: Range<usize>) -> Result<bool, PutError> {
        let single = range.len() == 1;
        let chosen: Vec<usize> = range
            .filter(|line| single || self.fates[*line] == Fate::Open)
            .collect();
        // Lines of one record stay together.
        let mut bodies: Vec<Vec<u8>> = Vec::new();
        let mut owner = Vec::new();
        let mut last = None;
        for &line in &chosen {
            let (bytes, record) = &self.lines[line];
            if last != Some(*record) {
                bodies.push(Vec::new());
                last = Some(*record);
            }
            if let Some(body) = bodies.last_mut() {
                body.extend_from_slice(bytes);
            }
            owner.push(bodies.len() - 1);
        }
        let bodies = bodies.into_iter().map(Bytes::from).collect();
        match self.put.put(self.stream, bodies).await {
            Ok(entries) => {
                for (&line, owner) in chosen.iter().zip(owner) {
                    match entries.get(owner) {
                        Some(None) => {
                            self.fates[line] = Fate::Delivered;
                            self.witness = Some(line);
                        }
                        _ => {
                            return Err(PutError::Throttled(
                                "records not taken while looking for an invalid one".into(),
                            ));
                        }
                    }
                }
                self.fates
                    .iter_mut()
                    .filter(|fate| **fate == Fate::Suspect)
                    .for_each(|fate| *fate = Fate::Refused);
                Ok(true)
            }
            Err(PutError::Refused(why)) => {
                if let (true, [line]) = (single, &chosen[..]) {
                    if self.fates[*line] == Fate::Open {
                        self.fates[*line] = Fate::Suspect;
                    }
                    self.why = why;
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put::RecordError;
    use std::sync::Mutex;

    struct Fake<F>(Mutex<(usize, F)>);

    #[async_trait::async_trait]
    impl<F: FnMut(usize, &[Bytes]) -> bool + Send + 'static> PutBatch for Fake<F> {
        async fn put(
            &self,
            _: &str,
            records: Vec<Bytes>,
        ) -> Result<Vec<Option<RecordError>>, PutError> {
            let mut state = self.0.lock().unwrap();
            state.0 += 1;
            let call = state.0;
            if (state.1)(call, &records) {
                Ok(vec![None; records.len()])
            } else {
                Err(PutError::Refused("no".into()))
            }
        }
    }

    fn batch(records: usize, lines: usize) -> Vec<Record<u8>> {
        (0..records)
            .map(|r| Record {
                body: (0..lines)
                    .map(|l| format!("{r}.{l}\n"))
                    .collect::<String>()
                    .into(),
                spans: Vec::new(),
                times: Vec::new(),
            })
            .collect()
    }

    async fn examine(
        records: &[Record<u8>],
        accepts: impl FnMut(usize, &[Bytes]) -> bool + Send + 'static,
    ) -> (Examined, usize) {
        let fake = Fake(Mutex::new((0, accepts)));
        let examined = run(&fake, "s", records, "first").await;
        let calls = fake.0.lock().unwrap().0;
        (examined, calls)
    }

    fn has(records: &[Bytes], line: &str) -> bool {
        records
            .iter()
            .any(|r| std::str::from_utf8(r).unwrap().lines().any(|l| l == line))
    }

    #[tokio::test]
    async fn one_poison_line_is_found_and_everything_else_delivered() {
        for poison in ["0.0", "0.4", "3.9", "7.9"] {
            let records = batch(8, 10);
            let (examined, calls) = examine(&records, move |_, r| !has(r, poison)).await;
            assert_eq!(examined.error, None);
            let refused: Vec<_> = examined.refused.iter().map(|(l, _)| &l[..]).collect();
            assert_eq!(refused, [poison.as_bytes()]);
            assert!(examined.decided.iter().all(|d| *d));
            assert!(calls <= 20, "{calls}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_refuses_everything_costs_few_calls_and_nothing_is_refused() {
        let (examined, calls) = examine(&batch(500, 5), |_, _| false).await;
        assert!(matches!(examined.error, Some(PutError::Held(_))));
        assert!(examined.refused.is_empty() && !examined.decided.contains(&true));
        assert!(calls <= 3, "{calls}");
    }

    #[tokio::test]
    async fn a_stream_that_turns_against_everything_in_the_middle_quarantines_nothing() {
        for turns in 2..12 {
            let (examined, _) =
                examine(&batch(4, 8), move |call, r| call < turns && !has(r, "1.3")).await;
            let refused: Vec<_> = examined.refused.iter().map(|(l, _)| &l[..]).collect();
            assert!(
                refused.is_empty() || refused == [b"1.3"],
                "{turns}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_lone_line_is_never_judged() {
        let (examined, calls) = examine(&batch(1, 1), |_, _| false).await;
        assert!(examined.error.is_some() && examined.refused.is_empty());
        assert_eq!(calls, 1);
    }
}
