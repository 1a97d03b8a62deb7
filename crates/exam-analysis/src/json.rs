//! Rows as JSON: an object a line, times as `2026-01-02T03:04:05.678Z`.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use datafusion::arrow::datatypes::{FieldRef, TimestampMillisecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::writer::{
    Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder, WriterBuilder,
};

use crate::dialect::Millis;
use crate::events::TIME;

/// How a time is written.
pub const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// Writes all rows, NULLs too.
pub fn write_lines(rows: &RecordBatch, out: &mut dyn Write) -> Result<(), ArrowError> {
    let builder = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIME_FORMAT.into())
        .with_encoder_factory(Arc::new(Times));
    let mut writer = builder.build::<_, LineDelimited>(out);
    writer.write(rows)?;
    writer.finish()
}

/// `2026-01-02T03:04:05.678Z`.
pub fn time(at: Millis) -> String {
    let time = datafusion::arrow::temporal_conversions::timestamp_ms_to_datetime(at);
    time.map_or_else(
        || "0000-00-00".into(),
        |t| t.format(TIME_FORMAT).to_string(),
    )
}

/// The times of a window's rows are the same, and to write one takes as long as all else in a row.
#[derive(Debug)]
struct Times;

impl EncoderFactory for Times {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if *array.data_type() != TIME {
            return Ok(None);
        }
        let encoder = TimeEncoder {
            times: array.as_primitive(),
            last: None,
        };
        let nulls = array.nulls().cloned();
        Ok(Some(NullableEncoder::new(Box::new(encoder), nulls)))
    }
}

struct TimeEncoder<'a> {
    times: &'a PrimitiveArray<TimestampMillisecondType>,
    /// What was written last, and how.
    last: Option<(Millis, String)>,
}

impl Encoder for TimeEncoder<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let at = self.times.value(row);
        if self.last.as_ref().is_none_or(|(last, _)| *last != at) {
            self.last = Some((at, format!("\"{}\"", time(at))));
        }
        if let Some((_, text)) = &self.last {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};

    #[test]
    fn rows_are_objects_with_times_and_nulls() {
        let times = [Some(0), Some(0), None, Some(1_700_000_000_123), Some(-1)];
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.to_vec()));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![
            Some(1),
            None,
            Some(3),
            Some(4),
            None,
        ]));
        let rows = RecordBatch::try_from_iter_with_nullable([("ts", times, true), ("n", n, true)]);
        let mut out = Vec::new();
        write_lines(&rows.unwrap(), &mut out).unwrap();
        let expected = r#"{"ts":"1970-01-01T00:00:00.000Z","n":1}
{"ts":"1970-01-01T00:00:00.000Z","n":null}
{"ts":null,"n":3}
{"ts":"2023-11-14T22:13:20.123Z","n":4}
{"ts":"1969-12-31T23:59:59.999Z","n":null}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
