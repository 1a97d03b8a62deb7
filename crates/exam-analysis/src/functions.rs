//! Functions of the dialect that DataFusion does not have.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringBuilder, TimestampMillisecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, TimestampMillisecondType};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::prelude::SessionContext;
use exam_record::{members, string_bytes};
use serde_json::value::RawValue;

use crate::events::TIME;

pub fn register(session: &SessionContext) {
    session.register_udf(ScalarUDF::new_from_impl(Function::new(Kind::JsonValue)));
    session.register_udf(ScalarUDF::new_from_impl(Function::new(Kind::TimestampDiff)));
    session.register_udf(ScalarUDF::new_from_impl(Function::new(Kind::WindowBound)));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `JSON_VALUE(text, path)`: the scalar at the path as text; NULL if there is none.
    JsonValue,
    /// `TIMESTAMPDIFF(unit, a, b)`: whole units from a to b, towards zero.
    TimestampDiff,
    /// `window_bound(ts, slide, shift)`: the last multiple of the slide at or before, and shifted.
    WindowBound,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl Function {
    fn new(kind: Kind) -> Self {
        let types = match kind {
            Kind::JsonValue => vec![DataType::Utf8, DataType::Utf8],
            Kind::TimestampDiff => vec![DataType::Utf8, TIME, TIME],
            Kind::WindowBound => vec![TIME, DataType::Int64, DataType::Int64],
        };
        let signature = Signature::new(TypeSignature::Exact(types), Volatility::Immutable);
        Function { kind, signature }
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        match self.kind {
            Kind::JsonValue => "json_value",
            Kind::TimestampDiff => "timestampdiff",
            Kind::WindowBound => "window_bound",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::JsonValue => DataType::Utf8,
            Kind::TimestampDiff => DataType::Int64,
            Kind::WindowBound => TIME,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |index: usize| match &args.args[index] {
            ColumnarValue::Scalar(value) => Some(value.clone()),
            ColumnarValue::Array(_) => None,
        };
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let result: ArrayRef = match self.kind {
            Kind::JsonValue => {
                let Some(path) =
                    constant(1).and_then(|path| path.try_as_str().flatten().map(str::to_owned))
                else {
                    return exec_err!("the path of JSON_VALUE is a constant text");
                };
                let path = parse_path(&path)?;
                let text = arrays[0].as_string::<i32>();
                let mut out = StringBuilder::new();
                for json in text {
                    out.append_option(json.and_then(|json| json_value(json, &path)));
                }
                Arc::new(out.finish())
            }
            Kind::TimestampDiff => {
                let Some(unit) =
                    constant(0).and_then(|unit| unit.try_as_str().flatten().and_then(unit_millis))
                else {
                    return exec_err!("the unit of TIMESTAMPDIFF is SECOND, MINUTE, HOUR or DAY");
                };
                let (a, b) = (times(&arrays[1])?, times(&arrays[2])?);
                let difference = |(a, b): (Option<i64>, Option<i64>)| Some((b? - a?) / unit);
                Arc::new(
                    a.iter()
                        .zip(b.iter())
                        .map(difference)
                        .collect::<Int64Array>(),
                )
            }
            Kind::WindowBound => {
                let ts = times(&arrays[0])?;
                let (slide, shift) = (
                    arrays[1].as_primitive::<Int64Type>(),
                    arrays[2].as_primitive::<Int64Type>(),
                );
                let bound = |row: usize| {
                    let valid = ts.is_valid(row) && slide.is_valid(row) && shift.is_valid(row);
                    let slide = slide.value(row);
                    (valid && slide > 0)
                        .then(|| ts.value(row).div_euclid(slide) * slide + shift.value(row))
                };
                Arc::new(
                    (0..ts.len())
                        .map(bound)
                        .collect::<TimestampMillisecondArray>(),
                )
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

fn times(array: &ArrayRef) -> Result<TimestampMillisecondArray> {
    Ok(cast(array, &TIME)?
        .as_primitive::<TimestampMillisecondType>()
        .clone())
}

fn unit_millis(unit: &str) -> Option<i64> {
    match unit {
        "second" => Some(1_000),
        "minute" => Some(60_000),
        "hour" => Some(3_600_000),
        "day" => Some(86_400_000),
        _ => None,
    }
}

#[derive(Debug, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
}

/// `$.a.b`, `$['a']`, `$."a"`, `$.a[0]`.
fn parse_path(path: &str) -> Result<Vec<Step>> {
    let wrong = || plan_err!("the path {path} is not like $.name, $['name'] or $.list[0]");
    let Some(mut rest) = path.trim().trim_start_matches("lax ").strip_prefix('$') else {
        return wrong();
    };
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, after) = if let Some(inner) = rest.strip_prefix(['[', '.'])
            && let Some((name, after)) = quoted(inner)
        {
            let after = match rest.starts_with('[') {
                true => after.strip_prefix(']'),
                false => Some(after),
            };
            let Some(after) = after else {
                return wrong();
            };
            (Step::Member(name), after)
        } else if let Some(inner) = rest.strip_prefix('[') {
            let index = inner.split_once(']');
            let Some((Ok(index), after)) = index.map(|(index, after)| (index.parse(), after))
            else {
                return wrong();
            };
            (Step::Element(index), after)
        } else if let Some(inner) = rest.strip_prefix('.') {
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            if end == 0 {
                return wrong();
            }
            (Step::Member(inner[..end].to_owned()), &inner[end..])
        } else {
            return wrong();
        };
        steps.push(step);
        rest = after;
    }
    Ok(steps)
}

/// A name in quotes, in which `\` takes the next character as it is, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Some((name, &text[at + 1..])),
            c => name.push(c),
        }
    }
    None
}

/// A number as it is written, a text without its quotes; NULL for null, objects and arrays.
fn json_value(json: &str, path: &[Step]) -> Option<String> {
    let mut value = json.trim().as_bytes();
    for step in path {
        value = match step {
            Step::Member(name) => {
                let mut found = None;
                members(value, |key, member| {
                    if string_bytes(key).is_some_and(|key| *key == *name.as_bytes()) {
                        found = Some(member);
                    }
                })
                .ok()?;
                found?
            }
            Step::Element(index) => {
                let list: Vec<&RawValue> = serde_json::from_slice(value).ok()?;
                list.get(*index)?.get().as_bytes()
            }
        };
    }
    match value.first()? {
        b'"' => Some(String::from_utf8_lossy(&string_bytes(value)?).into_owned()),
        b'{' | b'[' | b'n' => None,
        _ => Some(String::from_utf8_lossy(value).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_path() {
        let json = r#"{"a":{"b":[1,{"c":"x\u00e9"}]},":seq":"1","n":1.50,"t":true,"z":null,"a ]\"b":"odd"}"#;
        for (path, value) in [
            ("$.n", Some("1.50")),
            ("$.a.b[0]", Some("1")),
            ("$.a.b[1].c", Some("xé")),
            ("$[':seq']", Some("1")),
            ("$.\":seq\"", Some("1")),
            (r#"$["a ]\"b"]"#, Some("odd")),
            (r#"$['a ]"b']"#, Some("odd")),
            ("$.t", Some("true")),
            ("$.z", None),
            ("$.a", None),
            ("$.a.b[7]", None),
            ("$.none.more", None),
        ] {
            let found = json_value(json, &parse_path(path).unwrap());
            assert_eq!(found.as_deref(), value, "{path}");
        }
        for path in ["n", "$n", "$.", "$[", "$[x]", "$.a..b", "$['x", "$['x'y"] {
            assert!(parse_path(path).is_err(), "{path}");
        }
    }
}
