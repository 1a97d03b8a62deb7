//! Reads and parses ahead of the windows, on a thread of its own.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::dialect::Millis;
use crate::events::{self, Projection, Rows};
use crate::source::{EventSource, Positions};

/// Chunks that are read ahead.
const AHEAD: usize = 2;
/// A source that had nothing new is asked again after this.
const POLL: Duration = Duration::from_millis(200);

/// What the reader tells. Answers to an older order are of an older generation.
pub struct Message {
    pub generation: u64,
    pub what: What,
}

pub enum What {
    Rows(Read),
    /// All there is has been read; when something was written last.
    Idle(Option<SystemTime>),
    Failed(exam_cold::Error),
}

/// The rows of a chunk.
pub struct Read {
    pub part: Arc<str>,
    pub offset: u64,
    pub text: Vec<u8>,
    /// Where a piece of the text begins, and its rows.
    pub pieces: Vec<(usize, Rows)>,
    /// A time before which nothing is left to read; `None`: everything has been read.
    pub behind: Option<Millis>,
}

struct Order {
    generation: u64,
    from: Millis,
    positions: Positions,
    projection: Projection,
}

pub struct Reader {
    orders: Sender<Order>,
    messages: Receiver<Message>,
    generation: u64,
}

impl Reader {
    /// Nothing is read before the first [`Reader::rewind`].
    pub fn start(source: Box<dyn EventSource>) -> io::Result<Self> {
        let (orders, orders_in) = channel();
        let (messages_out, messages) = sync_channel(AHEAD);
        thread::Builder::new()
            .name("reader".into())
            .spawn(move || follow(source, &orders_in, &messages_out))?;
        Ok(Reader {
            orders,
            messages,
            generation: 0,
        })
    }

    /// Reads events from `from` on again, others from `positions` on.
    pub fn rewind(&mut self, from: Millis, positions: Positions, projection: Projection) {
        self.generation += 1;
        // A reader that ended is noticed by `next`.
        let _ = self.orders.send(Order {
            generation: self.generation,
            from,
            positions,
            projection,
        });
    }

    /// What comes next, `None` if nothing does within this time.
    pub fn next(&mut self, timeout: Duration) -> Option<What> {
        loop {
            let message = self.messages.recv_timeout(timeout).ok()?;
            if message.generation == self.generation {
                return Some(message.what);
            }
        }
    }
}

fn follow(
    mut source: Box<dyn EventSource>,
    orders: &Receiver<Order>,
    messages: &SyncSender<Message>,
) {
    // Ends when the other side is gone.
    let Ok(mut order) = orders.recv() else { return };
    let mut fresh = true;
    loop {
        while let Ok(newer) = orders.try_recv() {
            (order, fresh) = (newer, true);
        }
        let read = match fresh {
            true => source
                .rewind(order.from, &order.positions)
                .and_then(|()| source.next()),
            false => source.next(),
        };
        fresh = false;
        let what = match read {
            Ok(Some(chunk)) => {
                let start = chunk.text.as_ptr() as usize;
                let pieces: Vec<(usize, Rows)> = events::read(&chunk.text, &order.projection)
                    .into_iter()
                    .map(|(piece, rows)| (piece.as_ptr() as usize - start, rows))
                    .collect();
                let latest = pieces
                    .iter()
                    .flat_map(|(_, rows)| rows.ts.iter().copied())
                    .max();
                source.read(&chunk.part, latest);
                What::Rows(Read {
                    behind: source.behind(),
                    part: chunk.part,
                    offset: chunk.offset,
                    text: chunk.text,
                    pieces,
                })
            }
            Ok(None) => What::Idle(source.written()),
            Err(error) => What::Failed(error),
        };
        let wait = !matches!(what, What::Rows(_));
        let message = Message {
            generation: order.generation,
            what,
        };
        if messages.send(message).is_err() {
            return;
        }
        if wait {
            match orders.recv_timeout(POLL) {
                Ok(newer) => (order, fresh) = (newer, true),
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
