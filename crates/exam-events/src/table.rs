//! The table `events`: its columns, and how lines become rows.
//!
//! What it promises: any JSON object with a time of its own is an event; a member of another type
//! than its column's is NULL; the same line gives the same row, whoever reads it. What it refuses:
//! lines that are no JSON object or have no time, and records of the types `signal`, which queries
//! made, and `erased`, which are about what is kept. They are counted.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::thread;

use arrow::array::{
    ArrayRef, BooleanBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use exam_record::{members, micros, string_bytes};
use foldhash::quality::FixedState;
use sha2::{Digest, Sha256};
use std::hash::BuildHasher;

/// The type of every time: without a zone, UTC, to the millisecond, which is Flink's finest.
pub const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// The name of the hidden last column of a [`Rows`]' batch: a hash of `id`, so that rows of one
/// instant have an order that does not depend on their arrival.
pub const KEY: &str = "\0key";

/// What a column is read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Int(Member),
    Long(Member),
    Text(Member),
    Bool(Member),
    Object(Member),
    Id,
    Ts,
    Sent,
    Edited,
    Word,
    Record,
}

/// The members that columns are read from, as indices of the array they are collected in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    V,
    Id,
    Type,
    Ts,
    Sent,
    At,
    Site,
    Quiz,
    Attempt,
    Usage,
    StudentId,
    Preview,
    Page,
    Seq,
    Slot,
    Qa,
    Status,
    User,
    Fields,
    Slots,
    Counts,
    Device,
    Address,
    Agent,
    Call,
    Step,
    By,
    Time,
}

const MEMBERS: usize = Member::Time as usize + 1;

/// Names and sources, in the order of `SELECT *`; `docs/sql.md` explains each.
const COLUMNS: [(&str, From); 28] = [
    ("v", From::Int(Member::V)),
    ("id", From::Id),
    ("type", From::Text(Member::Type)),
    ("ts", From::Ts),
    ("sent", From::Sent),
    ("edited", From::Edited),
    ("site", From::Text(Member::Site)),
    ("quiz", From::Long(Member::Quiz)),
    ("attempt", From::Long(Member::Attempt)),
    ("usage", From::Long(Member::Usage)),
    ("student_id", From::Long(Member::StudentId)),
    ("preview", From::Bool(Member::Preview)),
    ("page", From::Text(Member::Page)),
    ("seq", From::Long(Member::Seq)),
    ("slot", From::Int(Member::Slot)),
    ("qa", From::Long(Member::Qa)),
    ("status", From::Int(Member::Status)),
    ("word", From::Word),
    ("username", From::Text(Member::User)),
    ("fields", From::Object(Member::Fields)),
    ("slots", From::Object(Member::Slots)),
    ("counts", From::Object(Member::Counts)),
    ("device", From::Text(Member::Device)),
    ("address", From::Text(Member::Address)),
    ("agent", From::Text(Member::Agent)),
    ("help_call", From::Text(Member::Call)),
    ("help_step", From::Text(Member::Step)),
    ("help_by", From::Long(Member::By)),
];
/// The whole line: the last column.
const RECORD: (&str, From) = ("record", From::Record);
/// Where `ts` stands.
pub const TS: usize = 3;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |(name, from): &(&str, From)| {
        let kind = match from {
            From::Int(_) => DataType::Int32,
            From::Long(_) => DataType::Int64,
            From::Bool(_) => DataType::Boolean,
            From::Ts | From::Sent | From::Edited => TIME,
            _ => DataType::Utf8,
        };
        Field::new(*name, kind, true)
    };
    let fields: Vec<Field> = COLUMNS.iter().chain([&RECORD]).map(field).collect();
    Arc::new(Schema::new(fields))
});

/// All columns of `events`.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// The columns that are read: what queries need, and `ts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Indices into [`schema`], ascending, [`TS`] among them.
    columns: Vec<usize>,
    /// Those columns and [`KEY`].
    schema: SchemaRef,
}

impl Projection {
    pub fn new(columns: impl IntoIterator<Item = usize>) -> Self {
        let mut columns: Vec<usize> = columns.into_iter().chain([TS]).collect();
        columns.sort_unstable();
        columns.dedup();
        let all = schema();
        let fields = columns.iter().map(|&index| all.field(index).clone());
        let key = Field::new(KEY, DataType::UInt64, false);
        let schema = Arc::new(Schema::new(fields.chain([key]).collect::<Vec<_>>()));
        Projection { columns, schema }
    }

    pub fn all() -> Self {
        Self::new(0..schema().fields().len())
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn covers(&self, other: &Projection) -> bool {
        other
            .columns
            .iter()
            .all(|column| self.columns.contains(column))
    }
}

/// Rows read from lines, in their order. The vectors have an element a row.
pub struct Rows {
    /// The projected columns, and [`KEY`].
    pub batch: RecordBatch,
    pub ts: Vec<i64>,
    /// Hash of `id`: two rows with the same one are the same record.
    pub ids: Vec<u128>,
    /// Where the row's line lies in the text: offset and length.
    pub lines: Vec<(u32, u32)>,
    pub skipped: Skipped,
}

/// Lines that are not in `events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Skipped {
    /// Not one JSON object.
    pub malformed: u64,
    /// Without a time of their own.
    pub untimed: u64,
    pub signals: u64,
    pub erased: u64,
}

impl std::ops::AddAssign for Skipped {
    fn add_assign(&mut self, other: Self) {
        self.malformed += other.malformed;
        self.untimed += other.untimed;
        self.signals += other.signals;
        self.erased += other.erased;
    }
}

/// Texts shorter than this are not worth a thread.
const PIECE: usize = 256 << 10;

/// Reads whole lines, on all processors if there are many. Offsets of lines count from the start
/// of the `Rows`' own piece of the text, which is given beside it.
pub fn read<'a>(text: &'a [u8], projection: &Projection) -> Vec<(&'a [u8], Rows)> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let size = (text.len() / threads + 1).max(PIECE);
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = rest
            .get(size..)
            .and_then(|after| memchr::memchr(b'\n', after))
            .map_or(rest.len(), |at| size + at + 1);
        let (piece, after) = rest.split_at(cut);
        pieces.push(piece);
        rest = after;
    }
    if let [piece] = pieces[..] {
        return vec![(piece, read_piece(piece, projection))];
    }
    thread::scope(|scope| {
        let readers: Vec<_> = pieces
            .iter()
            .map(|piece| (*piece, scope.spawn(|| read_piece(piece, projection))))
            .collect();
        readers
            .into_iter()
            .map(|(piece, reader)| match reader.join() {
                Ok(rows) => (piece, rows),
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

fn read_piece(text: &[u8], projection: &Projection) -> Rows {
    let mut columns: Vec<Builder> = projection
        .columns
        .iter()
        .map(|i| Builder::new(*i))
        .collect();
    let (mut ts, mut ids, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut skipped = Skipped::default();
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        let from = start;
        start = (end + 1).min(text.len());
        let line = text[from..end].trim_ascii();
        if line.is_empty() {
            continue;
        }
        let mut raw: Raw<'_> = [None; MEMBERS];
        if line.first() != Some(&b'{') || members(line, |k, v| note(&mut raw, k, v)).is_err() {
            skipped.malformed += 1;
            continue;
        }
        if raw[Member::Type as usize] == Some(br#""signal""#) {
            skipped.signals += 1;
            continue;
        }
        if raw[Member::Type as usize] == Some(br#""erased""#) {
            skipped.erased += 1;
            continue;
        }
        let Some(time) = event_time(&raw) else {
            skipped.untimed += 1;
            continue;
        };
        let id = id(&raw, line);
        ts.push(time);
        ids.push(hash(&id));
        lines.push((from as u32, (end - from) as u32));
        for column in &mut columns {
            column.push(&raw, line, time, &id);
        }
    }
    let mut arrays: Vec<ArrayRef> = columns.iter_mut().map(Builder::finish).collect();
    arrays.push(Arc::new(UInt64Array::from_iter_values(
        ids.iter().map(|id| *id as u64),
    )));
    let batch = RecordBatch::try_new(projection.schema.clone(), arrays);
    Rows {
        batch: batch.expect("each builder has the type of its column and a value a row"),
        ts,
        ids,
        lines,
        skipped,
    }
}

type Raw<'a> = [Option<&'a [u8]>; MEMBERS];

fn note<'a>(raw: &mut Raw<'a>, key: &'a [u8], value: &'a [u8]) {
    let member = match key {
        b"v" => Member::V,
        b"id" => Member::Id,
        b"type" => Member::Type,
        b"ts" => Member::Ts,
        b"sent" => Member::Sent,
        b"at" => Member::At,
        b"site" => Member::Site,
        b"quiz" => Member::Quiz,
        b"attempt" => Member::Attempt,
        b"usage" => Member::Usage,
        b"student_id" => Member::StudentId,
        b"preview" => Member::Preview,
        b"page" => Member::Page,
        b"seq" => Member::Seq,
        b"slot" => Member::Slot,
        b"qa" => Member::Qa,
        b"status" => Member::Status,
        b"user" => Member::User,
        b"fields" => Member::Fields,
        b"slots" => Member::Slots,
        b"counts" => Member::Counts,
        b"device" => Member::Device,
        b"address" => Member::Address,
        b"agent" => Member::Agent,
        b"call" => Member::Call,
        b"step" => Member::Step,
        b"by" => Member::By,
        key => {
            let is = |name: &[u8]| key.eq_ignore_ascii_case(name);
            if is(b"timestamp") || is(b"time") || is(b"ts") {
                Member::Time
            } else if key.contains(&b'\\') {
                // A name of ours that somebody wrote with escapes.
                return match string_bytes(key) {
                    Some(Cow::Owned(key)) if !key.contains(&b'\\') => note_owned(raw, &key, value),
                    _ => {}
                };
            } else {
                return;
            }
        }
    };
    raw[member as usize] = (value != b"null").then_some(value);
}

fn note_owned<'a>(raw: &mut Raw<'a>, key: &[u8], value: &'a [u8]) {
    let mut found: Raw<'_> = [None; MEMBERS];
    note(&mut found, key, b"0");
    if let Some(member) = found.iter().position(Option::is_some) {
        raw[member] = (value != b"null").then_some(value);
    }
}

fn event_time(raw: &Raw<'_>) -> Option<i64> {
    let bare = raw[Member::V as usize].is_none();
    let other = raw[Member::Time as usize].filter(|_| bare);
    millis(raw[Member::Ts as usize].or(other)?)
}

/// The record's id, which few queries ask for as text.
fn id<'a>(raw: &Raw<'a>, line: &[u8]) -> Cow<'a, [u8]> {
    let given = match raw[Member::Id as usize] {
        Some(raw @ [b'"', ..]) => string_bytes(raw),
        Some(raw @ [b'-' | b'0'..=b'9', ..]) => Some(Cow::Borrowed(raw)),
        _ => None,
    };
    let given = given.map(|id| match id {
        // As the table shows it.
        Cow::Owned(id) => String::from_utf8_lossy(&id)
            .into_owned()
            .into_bytes()
            .into(),
        id => id,
    });
    given.unwrap_or_else(|| Cow::Owned(hex::encode(&Sha256::digest(line)[..16]).into_bytes()))
}

/// 128 bits: among a hundred million ids two share a hash with a chance of 10⁻²³.
pub fn hash(id: &[u8]) -> u128 {
    let half = |seed| FixedState::with_seed(seed).hash_one(id);
    u128::from(half(1)) << 64 | u128::from(half(2))
}

// ---- values ----

fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    match raw.first()? {
        b'"' => Some(match string_bytes(raw)? {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }),
        b'-' | b'0'..=b'9' => Some(String::from_utf8_lossy(raw)),
        _ => None,
    }
}

fn integer(raw: &[u8]) -> Option<i64> {
    let digits = match raw {
        [b'"', digits @ .., b'"'] => digits,
        digits => digits,
    };
    let digits = std::str::from_utf8(digits).ok()?;
    digits.parse().ok().or_else(|| {
        let float: f64 = digits.parse().ok()?;
        (float.fract() == 0.0 && float.abs() < (1u64 << 53) as f64).then_some(float as i64)
    })
}

/// Seconds since 1970 as a JSON number, until the year 9999: the microseconds that the schema
/// has, rounded down to milliseconds.
fn millis(raw: &[u8]) -> Option<i64> {
    micros(raw).map(|micros| (micros / 1000) as i64)
}

/// An object as it stands in the line; PHP writes an empty one as `[]`.
fn object(raw: &[u8]) -> Option<Cow<'_, str>> {
    match raw {
        [b'{', ..] => Some(String::from_utf8_lossy(raw)),
        [b'[', inner @ .., b']'] if inner.trim_ascii().is_empty() => Some("{}".into()),
        _ => None,
    }
}

enum Builder {
    Int(Member, Int32Builder),
    Long(Member, Int64Builder),
    Bool(Member, BooleanBuilder),
    Time(From, TimestampMillisecondBuilder),
    Text(From, StringBuilder),
}

impl Builder {
    fn new(column: usize) -> Self {
        match COLUMNS.get(column).unwrap_or(&RECORD).1 {
            From::Int(member) => Builder::Int(member, Int32Builder::new()),
            From::Long(member) => Builder::Long(member, Int64Builder::new()),
            From::Bool(member) => Builder::Bool(member, BooleanBuilder::new()),
            from @ (From::Ts | From::Sent | From::Edited) => {
                Builder::Time(from, TimestampMillisecondBuilder::new())
            }
            from => Builder::Text(from, StringBuilder::new()),
        }
    }

    fn push(&mut self, raw: &Raw<'_>, line: &[u8], ts: i64, id: &[u8]) {
        let member = |member: Member| raw[member as usize];
        match self {
            Builder::Int(m, array) => {
                // A bare record's text is a status word, whatever its digits.
                let word = *m == Member::Status && member(Member::V).is_none();
                let value = member(*m).filter(|raw| !(word && raw.starts_with(b"\"")));
                array.append_option(value.and_then(integer).and_then(|n| i32::try_from(n).ok()));
            }
            Builder::Long(m, array) => array.append_option(member(*m).and_then(integer)),
            Builder::Bool(m, array) => {
                array.append_value(matches!(member(*m), Some(b"true" | b"1" | br#""1""#)))
            }
            Builder::Time(from, array) => array.append_option(match from {
                From::Sent => member(Member::Sent).and_then(millis),
                From::Edited => member(Member::At).and_then(millis).or(Some(ts)),
                _ => Some(ts),
            }),
            Builder::Text(from, array) => {
                let value = match from {
                    From::Id => Some(String::from_utf8_lossy(id)),
                    From::Record => Some(String::from_utf8_lossy(line)),
                    From::Object(m) => member(*m).and_then(object),
                    From::Word => member(Member::Status)
                        .filter(|raw| raw.starts_with(b"\"") && member(Member::V).is_none())
                        .and_then(text),
                    From::Text(m) => member(*m).and_then(text),
                    _ => None,
                };
                array.append_option(value);
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Int(_, array) => Arc::new(array.finish()),
            Builder::Long(_, array) => Arc::new(array.finish()),
            Builder::Bool(_, array) => Arc::new(array.finish()),
            Builder::Time(_, array) => Arc::new(array.finish()),
            Builder::Text(_, array) => Arc::new(array.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};

    use super::*;

    fn rows(text: &str) -> Rows {
        read_piece(text.as_bytes(), &Projection::all())
    }

    fn column(name: &str) -> usize {
        schema().index_of(name).unwrap()
    }

    #[test]
    fn an_answer_fills_its_columns() {
        let line = r#"{"v":1,"id":"a-1","type":"answer","ts":1763800000.123456,"sent":1763799999.5,"at":1763799999.25,"site":"m","quiz":4,"attempt":"17","student_id":3,"page":"p","seq":7,"slot":2,"qa":5,"status":"1","fields":{"answer":"2"},"colour":"red"}"#;
        let rows = rows(line);
        let text = |name| {
            rows.batch
                .column(column(name))
                .as_string::<i32>()
                .value(0)
                .to_owned()
        };
        let long = |name| {
            rows.batch
                .column(column(name))
                .as_primitive::<Int64Type>()
                .value(0)
        };
        let int = |name| {
            rows.batch
                .column(column(name))
                .as_primitive::<Int32Type>()
                .value(0)
        };
        let time = |name| {
            let array = rows.batch.column(column(name));
            array.as_primitive::<TimestampMillisecondType>().value(0)
        };
        assert_eq!((text("id"), text("type")), ("a-1".into(), "answer".into()));
        assert_eq!(
            (long("attempt"), long("qa"), int("slot"), int("status")),
            (17, 5, 2, 1)
        );
        assert_eq!(time("ts"), 1_763_800_000_123);
        assert_eq!(
            (time("sent"), time("edited")),
            (1_763_799_999_500, 1_763_799_999_250)
        );
        assert_eq!(text("fields"), r#"{"answer":"2"}"#);
        assert_eq!(text("record"), line);
        assert!(rows.batch.column(column("word")).is_null(0));
        assert!(rows.batch.column(column("usage")).is_null(0));
    }

    #[test]
    fn a_bare_record_has_a_word_and_the_id_of_its_bytes() {
        let line = r#"{"status":"s1120","student_id":3,"Timestamp":1.6312066665E9}"#;
        let rows = rows(line);
        assert_eq!(rows.ts, [1_631_206_666_500]);
        let text = |name| {
            rows.batch
                .column(column(name))
                .as_string::<i32>()
                .value(0)
                .to_owned()
        };
        assert_eq!(text("word"), "s1120");
        let Ok(exam_record::Parsed::Bare(bare)) = exam_record::parse(line.as_bytes()) else {
            panic!("not a bare record");
        };
        assert_eq!(text("id"), bare.id);
        assert!(rows.batch.column(column("status")).is_null(0));
    }

    #[test]
    fn what_is_no_event_is_counted() {
        let rows = rows(concat!(
            "nonsense\n",
            "[1]\n",
            "\n",
            "{\"user\":\"spencer\",\"status\":\"00001\"}\n",
            "{\"v\":1,\"type\":\"signal\",\"ts\":1}\n",
            "{\"v\":1,\"type\":\"alive\",\"ts\":\"soon\"}\n",
            "{\"v\":1,\"type\":\"alive\",\"ts\":1}"
        ));
        assert_eq!(rows.ts, [1000]);
        let skipped = Skipped {
            malformed: 2,
            untimed: 2,
            signals: 1,
            erased: 0,
        };
        assert_eq!(rows.skipped, skipped);
    }

    #[test]
    fn a_value_of_another_type_is_null() {
        let rows = rows(
            r#"{"v":1,"ts":1,"quiz":"four","slot":1e30,"site":{},"fields":"x","preview":"yes"}"#,
        );
        for name in ["quiz", "slot", "site", "fields", "type"] {
            assert!(rows.batch.column(column(name)).is_null(0), "{name}");
        }
        assert!(!rows.batch.column(column("preview")).as_boolean().value(0));
    }

    #[test]
    fn a_name_written_with_escapes_is_the_same_name() {
        let rows = rows(r#"{"v":1,"\u0074s":2,"ty\u0070e":"alive"}"#);
        assert_eq!(rows.ts, [2000]);
        assert_eq!(
            rows.batch
                .column(column("type"))
                .as_string::<i32>()
                .value(0),
            "alive"
        );
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let line = |n: u32| {
            format!(
                "{{\"v\":1,\"id\":{n},\"ts\":{n},\"site\":\"{}\"}}\n",
                "x".repeat(900)
            )
        };
        let text: String = (0..2_000).map(line).collect();
        let pieces = read(text.as_bytes(), &Projection::new([1]));
        let ts: Vec<i64> = pieces
            .iter()
            .flat_map(|(_, rows)| rows.ts.clone())
            .collect();
        assert_eq!(ts, (0..2_000).map(|n| n * 1000).collect::<Vec<i64>>());
        for (piece, rows) in &pieces {
            let (from, len) = rows.lines[0];
            let line = &piece[from as usize..][..len as usize];
            assert!(line.starts_with(b"{\"v\":1") && line.ends_with(b"}"));
        }
    }
}
