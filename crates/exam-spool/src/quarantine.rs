//! What the sender puts aside, for people and for `rebuild`: records a delivery
//! stream refuses, and marks where the state cursor skipped records.

use crate::error::WriteError;
use crate::frame::{self, Position};
use crate::header::SegmentId;
use crate::segment::{ReadState, Segment};
use crate::spool::{QUARANTINE, SegmentName, Spool};
use crate::sys;
use crate::totals;
use crate::writer::{Appended, Writer};
use rustix::fs::{FlockOperation, flock, fstat};
use std::io;

const SKIPPED: &str = "state-skipped";
/// A reason longer than this is cut.
const MAX_REASON: usize = 1024;

/// The record behind the reason in a frame of the quarantine.
fn aside(payload: &mut [u8]) -> &mut [u8] {
    let reason = match payload {
        [low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => 0,
    };
    payload.get_mut(2 + reason..).unwrap_or_default()
}

/// A record a delivery stream refused, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub stream: Box<str>,
    /// When it was put aside: microseconds since 1970.
    pub time: u64,
    pub reason: String,
    pub record: Vec<u8>,
}

/// Records that were delivered but not folded: their state is in cold storage only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// When: microseconds since 1970.
    pub time: u64,
    pub segment: SegmentId,
    pub from: Position,
    pub to: Position,
}

impl Spool {
    /// Puts records aside that `stream` refuses, durable when it returns.
    pub fn quarantine(&self, stream: &str, records: &[&[u8]], why: &str) -> Result<(), WriteError> {
        let io = |what| {
            move |source| WriteError::Io {
                dir: self.path().into(),
                what,
                source,
            }
        };
        let mut end = why.len().min(MAX_REASON);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        let reason = &why.as_bytes()[..end];
        let mut payloads = Vec::with_capacity(records.len());
        for record in records {
            payloads.push([&(reason.len() as u16).to_le_bytes(), reason, record].concat());
        }
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let mut writer = Writer::new(self.clone(), stream, QUARANTINE)?;
        let appended = writer.append(&payloads)?;
        if appended != Appended::All {
            return Err(io("write to the quarantine")(
                io::ErrorKind::StorageFull.into(),
            ));
        }
        writer.sync().map_err(io("sync the quarantine"))?;
        writer.seal();
        sys::sync_dir(self.dir()).map_err(io("sync its directory"))?;
        totals::count_quarantined(self, records.len() as u64).map_err(io("count"))
    }

    /// Every quarantined record, the oldest first.
    pub fn quarantined(&self, mut each: impl FnMut(Quarantined)) -> io::Result<()> {
        let mut buf = Vec::new();
        for name in self.names(QUARANTINE)? {
            let Ok(Some(segment)) = Segment::open(self.clone(), name, QUARANTINE) else {
                continue;
            };
            let mut at = segment.cursor(crate::Cursor::Delivery);
            loop {
                let outcome = segment.read(at, &mut buf, 64 * 1024)?;
                for record in &outcome.records {
                    let payload = &buf[record.payload.clone()];
                    let reason = payload
                        .get(..2)
                        .map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])));
                    let (Some(why), Some(bytes)) =
                        (payload.get(2..2 + reason), payload.get(2 + reason..))
                    else {
                        continue;
                    };
                    each(Quarantined {
                        stream: segment.stream().into(),
                        time: record.time,
                        reason: String::from_utf8_lossy(why).into_owned(),
                        record: bytes.to_vec(),
                    });
                }
                at = outcome.next;
                if outcome.state != ReadState::More {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Lets `edit` change the bytes of quarantined records, in their place and at their length.
    /// Returns how many records it says that it has changed.
    ///
    /// A file is replaced by a rename, whole and synced: killed at any moment, each of them is as it
    /// was or as it should be. One that is being written at this moment is left for the next time.
    pub fn edit_quarantined(&self, mut edit: impl FnMut(&mut [u8]) -> bool) -> io::Result<u64> {
        let mut changed = 0;
        for name in self.names(QUARANTINE)? {
            let Ok(Some(segment)) = Segment::open(self.clone(), name.clone(), QUARANTINE) else {
                continue;
            };
            if segment.alive()? {
                continue;
            }
            let (mut frames, mut buf) = (Vec::new(), Vec::new());
            let mut at = segment.cursor(crate::Cursor::Delivery);
            loop {
                let outcome = segment.read(at, &mut buf, 64 * 1024)?;
                for record in outcome.records {
                    let mut payload = buf[record.payload].to_vec();
                    if edit(aside(&mut payload)) {
                        frames.push((record.after, record.time, payload));
                    }
                }
                at = outcome.next;
                if outcome.state != ReadState::More {
                    break;
                }
            }
            if frames.is_empty() {
                continue;
            }
            let mut bytes = Vec::new();
            segment.read_whole(&mut bytes)?;
            for (after, time, payload) in &frames {
                let mut frame = Vec::new();
                frame::encode(&mut frame, name.id.salt(), after.count, *time, payload);
                let end = after.offset as usize;
                bytes[end - frame.len()..end].copy_from_slice(&frame);
            }
            self.replace(&name.file(QUARANTINE), &bytes)?;
            changed += frames.len() as u64;
        }
        Ok(changed)
    }

    /// Where the state cursor has skipped records, since the marks were last cleared.
    pub fn state_skipped(&self) -> io::Result<Vec<Skipped>> {
        let file = self.ensure_file(SKIPPED)?;
        let mut text = Vec::new();
        sys::pread_to(&file, &mut text, fstat(&file)?.st_size as usize, 0)?;
        Ok(text.split(|b| *b == b'\n').filter_map(parse_mark).collect())
    }

    /// Forgets the marks given, after `rebuild` has folded what they name.
    pub fn clear_state_skipped(&self, done: &[Skipped]) -> io::Result<()> {
        let file = self.ensure_file(SKIPPED)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        let left: String = self
            .state_skipped()?
            .iter()
            .filter(|m| !done.contains(m))
            .map(mark)
            .collect();
        // Longer never: the marks that stay are moved to the front, then the rest is cut off.
        sys::pwrite_all(&file, left.as_bytes(), 0)?;
        sys::truncate(&file, left.len() as u64)?;
        sys::sync_data(&file)
    }
}

pub(crate) fn mark_skipped(
    spool: &Spool,
    name: &SegmentName,
    from: Position,
    to: Position,
) -> io::Result<()> {
    let file = spool.ensure_file(SKIPPED)?;
    rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
    let line = mark(&Skipped {
        time: sys::now_micros(),
        segment: name.id,
        from,
        to,
    });
    sys::pwrite_all(&file, line.as_bytes(), fstat(&file)?.st_size as u64)?;
    sys::sync_data(&file)
}

fn mark(m: &Skipped) -> String {
    let Skipped {
        time,
        segment,
        from,
        to,
    } = m;
    format!(
        "{time} {segment} {} {} {} {}\n",
        from.offset, from.count, to.offset, to.count
    )
}

fn parse_mark(line: &[u8]) -> Option<Skipped> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let time = words.next()?.parse().ok()?;
    let segment = words.next()?.parse().ok()?;
    let mut position = || {
        Some(Position {
            offset: words.next()?.parse().ok()?,
            count: words.next()?.parse().ok()?,
        })
    };
    Some(Skipped {
        time,
        segment,
        from: position()?,
        to: position()?,
    })
}
