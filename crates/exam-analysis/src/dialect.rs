//! The dialect that Flink and this engine share, and what a query means on a stream.
//!
//! A query is one `SELECT`, perhaps with `WITH`. DataFusion parses and plans it once four things
//! are put differently:
//!
//! | written | becomes, continuously | becomes, once |
//! |---|---|---|
//! | `TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL …))`, `HOP` | the table [`WINDOW`]: the rows of one window | a subquery that gives each row its windows |
//! | `FLOOR(ts TO MINUTE)` | `floor_to(…)` | the same |
//! | `TIMESTAMPDIFF(SECOND, a, b)` | the unit as a text | the same |
//! | `MOD(a, b)` | `a % b` | the same |
//!
//! Continuously, a query is run for one slice of event time after another ([`Shape`]). What a
//! slice means has to be in the text: a window, `FLOOR` in its `GROUP BY`, or no aggregate at all.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, Interval, NamedWindowDefinition, NamedWindowExpr, ObjectName,
    Query, Select, SetExpr, Spanned, Statement, TableFactor, Value, VisitMut, VisitorMut,
    WindowFrameBound, WindowSpec, WindowType,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

/// The rows of a window, with its bounds as columns, continuously.
pub const WINDOW: &str = "events_of_window";

pub use exam_events::Millis;

/// Which rows one run of a query needs, and which of its results are that run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Windows of `size`, one ending every `slide`, counted from 1970. A run sees one of them.
    Windows { size: Millis, slide: Millis },
    /// Row by row: a run gives the results whose `ts` lies in a slice of [`Shape::SLICE`], and
    /// sees the events up to `back` before and `ahead` after it, which joins may reach.
    Rows { back: Millis, ahead: Millis },
}

impl Shape {
    pub const SLICE: Millis = 10_000;

    /// A slice ends at each multiple of this.
    pub fn step(self) -> Millis {
        match self {
            Shape::Windows { slide, .. } => slide,
            Shape::Rows { .. } => Self::SLICE,
        }
    }

    /// The events that the slice ending at `end` needs: from, to (exclusive).
    pub fn needs(self, end: Millis) -> (Millis, Millis) {
        match self {
            Shape::Windows { size, .. } => (end - size, end),
            Shape::Rows { back, ahead } => (end - Self::SLICE - back, end + ahead),
        }
    }

    /// The ends of the slices for which an event at `ts` is needed: first and last.
    pub fn ends(self, ts: Millis) -> (Millis, Millis) {
        let step = self.step();
        let after = |t: Millis| t.div_euclid(step) * step + step;
        match self {
            // The last window begins at or before `ts`.
            Shape::Windows { size, slide } => (after(ts), ts.div_euclid(slide) * slide + size),
            Shape::Rows { back, ahead } => (after(ts - ahead), after(ts + back)),
        }
    }
}

/// Why a query does not run, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {reason}")]
pub struct Refusal {
    pub line: u64,
    pub column: u64,
    pub reason: String,
}

impl Refusal {
    pub fn new(span: Span, reason: impl Into<String>) -> Self {
        Refusal {
            line: span.start.line.max(1),
            column: span.start.column.max(1),
            reason: reason.into(),
        }
    }
}

/// How a text is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For one slice of event time after another.
    Continuous,
    /// Once, over everything there is.
    Once,
}

/// A query as DataFusion takes it.
pub struct Parsed {
    pub statement: Statement,
    /// What it means on a stream, unless it aggregates without a window; `None` when run once.
    pub shape: Option<Shape>,
    /// A row's `GROUP BY` is by time, so aggregates belong to a window.
    pub windowed: bool,
    /// How often it says that a time lies before or behind another: a join of events with events
    /// needs both.
    pub bounds: usize,
}

pub fn parse(text: &str, mode: Mode) -> Result<Parsed, Refusal> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|e| Refusal {
        line: e.location.line,
        column: e.location.column,
        reason: e.message,
    })?;
    let first = tokens
        .iter()
        .find(|t| !matches!(t.token, Token::Whitespace(_)));
    let Some(first) = first.map(|token| token.span) else {
        return Err(Refusal::new(Span::empty(), "the file has no statement"));
    };
    let code = tokens
        .iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_)));
    let mut after = code.skip_while(|t| t.token != Token::SemiColon).skip(1);
    if let Some(second) = after.find(|t| t.token != Token::SemiColon) {
        return Err(Refusal::new(
            second.span,
            "a second statement: one SELECT a file",
        ));
    }
    let end = tokens
        .iter()
        .rfind(|t| !matches!(t.token, Token::Whitespace(_)))
        .map_or(first, |last| last.span);
    let tokens = without_table_word(tokens);
    let mut statements = Parser::new(&dialect)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|e| refusal(e, first, end))?;
    let Some(statement) = statements.pop() else {
        return Err(Refusal::new(first, "the file has no statement"));
    };
    let Statement::Query(mut query) = statement else {
        return Err(Refusal::new(first, "only SELECT (or WITH … SELECT) is run"));
    };
    let mut rewriter = Rewriter::new(mode, first);
    if let ControlFlow::Break(refusal) = VisitMut::visit(&mut *query, &mut rewriter) {
        return Err(refusal);
    }
    let (shape, windowed) = rewriter.shape()?;
    Ok(Parsed {
        statement: Statement::Query(query),
        shape: (mode == Mode::Continuous).then_some(shape),
        windowed,
        bounds: rewriter.bounds,
    })
}

/// sqlparser stumbles over the word TABLE in `TUMBLE(TABLE events, …)`.
fn without_table_word(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    // What came before, space left out: two tokens.
    let (mut function, mut open) = (false, false);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => {}
            Token::LParen => open = std::mem::take(&mut function),
            Token::Word(word) if open && word.keyword == Keyword::TABLE => {
                open = false;
                continue;
            }
            Token::Word(word) => {
                open = false;
                function = is_window_function(&word.value);
            }
            _ => (function, open) = (false, false),
        }
        out.push(token);
    }
    out
}

fn is_window_function(name: &str) -> bool {
    ["TUMBLE", "HOP", "CUMULATE", "SESSION"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// sqlparser writes the place into its message.
fn refusal(error: ParserError, first: Span, end: Span) -> Refusal {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "it nests too deeply".into(),
    };
    let placed = message
        .rsplit_once(" at Line: ")
        .and_then(|(reason, place)| {
            let (line, column) = place.split_once(", Column: ")?;
            Some(Refusal {
                line: line.parse().ok()?,
                column: column.parse().ok()?,
                reason: reason.to_owned(),
            })
        });
    placed.unwrap_or_else(|| match message.ends_with("found: EOF") {
        true => Refusal {
            line: end.end.line.max(1),
            column: end.end.column.max(1),
            reason: message.replace("found: EOF", "found: the end of the file"),
        },
        false => Refusal::new(first, message),
    })
}

struct Rewriter {
    mode: Mode,
    first: Span,
    window: Option<(Millis, Millis)>,
    floor: Option<Millis>,
    /// Where `events` is named outside of a window.
    plain: bool,
    /// All intervals, and those of OVER's frames.
    intervals: Millis,
    frames: Millis,
    /// An OVER that reaches back without end.
    endless: Option<Span>,
    bounds: usize,
}

type Flow = ControlFlow<Refusal>;

impl Rewriter {
    fn new(mode: Mode, first: Span) -> Self {
        Rewriter {
            mode,
            first,
            window: None,
            floor: None,
            plain: false,
            intervals: 0,
            frames: 0,
            endless: None,
            bounds: 0,
        }
    }

    fn shape(&self) -> Result<(Shape, bool), Refusal> {
        let refuse = |reason| Err(Refusal::new(self.first, reason));
        let once = self.mode == Mode::Once;
        match (self.window, self.floor) {
            (Some(_), Some(_)) if !once => refuse(
                "a window and FLOOR(… TO …) in GROUP BY: group by window_start, window_end alone",
            ),
            (Some(_), None) if self.plain && !once => refuse(
                "a query with a window reads events through that window only: what else it needs \
                 of them is another query's",
            ),
            (Some((size, slide)), _) => Ok((Shape::Windows { size, slide }, true)),
            (None, Some(unit)) => Ok((
                Shape::Windows {
                    size: unit,
                    slide: unit,
                },
                true,
            )),
            (None, None) if !once && self.endless.is_some() => Err(Refusal::new(
                self.endless.unwrap_or(self.first),
                "continuously, OVER reaches back a stated time: RANGE BETWEEN INTERVAL '10' MINUTE \
                 PRECEDING AND CURRENT ROW",
            )),
            (None, None) => Ok((
                Shape::Rows {
                    back: self.intervals,
                    ahead: self.intervals - self.frames,
                },
                false,
            )),
        }
    }

    /// Takes note of how far an OVER reaches back.
    fn over(&mut self, spec: &WindowSpec, span: Span) {
        let length = |e: &Expr| match e {
            Expr::Interval(interval) => millis(interval),
            _ => None,
        };
        let reach = spec.window_frame.as_ref().and_then(|frame| {
            let start = match &frame.start_bound {
                WindowFrameBound::Preceding(Some(e)) => length(e)?,
                WindowFrameBound::CurrentRow => 0,
                _ => return None,
            };
            match &frame.end_bound {
                None | Some(WindowFrameBound::CurrentRow) => {}
                Some(
                    WindowFrameBound::Preceding(Some(e)) | WindowFrameBound::Following(Some(e)),
                ) => {
                    length(e)?;
                }
                _ => return None,
            }
            Some(start)
        });
        match reach {
            Some(length) => self.frames += length,
            None => self.endless = self.endless.or(Some(span)),
        }
    }

    fn windows_of(&mut self, call: &Function) -> Result<String, Refusal> {
        let place = |what: &dyn Spanned| what.span();
        let name = call.name.to_string().to_ascii_uppercase();
        let hop = match name.as_str() {
            "TUMBLE" => false,
            "HOP" => true,
            "CUMULATE" | "SESSION" => {
                let reason = format!("{name} is not known here: use TUMBLE or HOP");
                return Err(Refusal::new(place(&call.name), reason));
            }
            _ => {
                let reason = format!("{name} is no table function: use TUMBLE or HOP");
                return Err(Refusal::new(place(&call.name), reason));
            }
        };
        let usage = match hop {
            false => "TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
            true => {
                "HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '5' MINUTE): \
                 the slide, then the size"
            }
        };
        let wrong = |span: Span| Err(Refusal::new(span, format!("expected {usage}")));
        let arguments = arguments(&call.args);
        let (table, time, intervals) = match &arguments[..] {
            [Some(table), Some(time), rest @ ..] if rest.len() == if hop { 2 } else { 1 } => {
                (table, time, rest)
            }
            _ => return wrong(place(&call.name)),
        };
        match table {
            Expr::Identifier(name) if name.value.eq_ignore_ascii_case("events") => {}
            other => {
                let reason = "windows are of TABLE events";
                return Err(Refusal::new(place(*other), reason));
            }
        }
        let by_ts = match time {
            Expr::Function(f) if f.name.to_string().eq_ignore_ascii_case("descriptor") => {
                matches!(&self::arguments(&f.args)[..],
                    [Some(Expr::Identifier(column))] if column.value.eq_ignore_ascii_case("ts"))
            }
            _ => false,
        };
        if !by_ts {
            return Err(Refusal::new(
                place(*time),
                "the event time is DESCRIPTOR(ts)",
            ));
        }
        let mut lengths = Vec::new();
        for interval in intervals {
            let Some(interval) = interval else {
                return wrong(place(&call.name));
            };
            let length = match interval {
                Expr::Interval(interval) => millis(interval),
                _ => None,
            };
            match length {
                Some(length @ 1..) => lengths.push(length),
                _ => {
                    let reason = "expected a length such as INTERVAL '1' MINUTE, in days or less";
                    return Err(Refusal::new(interval.span(), reason));
                }
            }
        }
        let (slide, size) = (lengths[0], lengths[lengths.len() - 1]);
        if size % slide != 0 {
            let reason = "the size of HOP is a multiple of its slide, as in Flink";
            return Err(Refusal::new(place(&call.name), reason));
        }
        if self.window.is_some_and(|other| other != (size, slide)) && self.mode == Mode::Continuous
        {
            let reason = "the windows of one query have one size and one slide";
            return Err(Refusal::new(place(&call.name), reason));
        }
        self.window = Some((size, slide));
        Ok(match self.mode {
            Mode::Continuous => WINDOW.to_owned(),
            Mode::Once => {
                // Each row once for every window it belongs to: k = 0 is the latest of them.
                let bound = |shift: Millis| {
                    format!("window_bound(events.ts, {slide}, {shift} - {slide} * hops.k)")
                };
                let hops: Vec<String> = (0..size / slide).map(|k| format!("({k})")).collect();
                format!(
                    "(SELECT events.*, {} AS window_start, {} AS window_end, {} AS window_time \
                     FROM events CROSS JOIN (VALUES {}) AS hops(k))",
                    bound(0),
                    bound(size),
                    bound(size - 1),
                    hops.join(", ")
                )
            }
        })
    }
}

impl VisitorMut for Rewriter {
    type Break = Refusal;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        let TableFactor::TableFunction { expr, alias } = factor else {
            return ControlFlow::Continue(());
        };
        let Expr::Function(call) = expr else {
            let reason = "expected TUMBLE or HOP";
            return ControlFlow::Break(Refusal::new(expr.span(), reason));
        };
        let table = match self.windows_of(call) {
            Ok(table) => table,
            Err(refusal) => return ControlFlow::Break(refusal),
        };
        let alias = alias
            .as_ref()
            .map_or("windowed".into(), |alias| alias.name.to_string());
        let parsed = Parser::new(&GenericDialect {})
            .try_with_sql(&format!("{table} AS {alias}"))
            .and_then(|mut parser| parser.parse_table_factor());
        match parsed {
            Ok(table) => *factor = table,
            Err(error) => return ControlFlow::Break(refusal(error, self.first, self.first)),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> Flow {
        self.plain |= name.to_string().eq_ignore_ascii_case("events");
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        for NamedWindowDefinition(name, window) in &select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                self.over(spec, name.span);
            }
        }
        if let GroupByExpr::Expressions(list, _) = &select.group_by {
            for expr in list {
                let Expr::Floor {
                    field: CeilFloorKind::DateTimeField(unit),
                    ..
                } = expr
                else {
                    continue;
                };
                match (unit_millis(unit), self.floor) {
                    (None, _) if self.mode == Mode::Continuous => {
                        let reason =
                            "continuously, FLOOR in GROUP BY is TO SECOND, MINUTE, HOUR or DAY";
                        return ControlFlow::Break(Refusal::new(expr.span(), reason));
                    }
                    (unit, Some(other)) if unit != Some(other) && self.mode == Mode::Continuous => {
                        let reason = "one query has one unit of FLOOR in GROUP BY";
                        return ControlFlow::Break(Refusal::new(expr.span(), reason));
                    }
                    (unit, _) => self.floor = unit.or(self.floor),
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        // ORDER BY and LIMIT of the whole mean nothing on an endless table, in Flink either.
        if self.mode == Mode::Continuous
            && !matches!(*query.body, SetExpr::Values(_))
            && let Some(limit) = &query.limit_clause
        {
            let reason = format!("LIMIT ({limit}) of an endless table: use ROW_NUMBER() OVER (…)");
            return ControlFlow::Break(Refusal::new(self.first, reason));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        match expr {
            Expr::Interval(interval) => match millis(interval) {
                Some(length) => self.intervals += length,
                None if self.mode == Mode::Continuous => {
                    let reason =
                        "an interval is a number of days or less, as in INTERVAL '90' SECOND";
                    return ControlFlow::Break(Refusal::new(expr.span(), reason));
                }
                None => {}
            },
            Expr::Function(call) => {
                if let Some(WindowType::WindowSpec(spec)) = &call.over {
                    self.over(spec, call.name.span());
                }
                if call.name.to_string().eq_ignore_ascii_case("timestampdiff") {
                    return unit_as_text(call);
                }
            }
            Expr::Between {
                expr, low, high, ..
            } => {
                let timed = is_time(expr) || is_time(low) || is_time(high);
                self.bounds += if timed { 2 } else { 0 };
            }
            Expr::BinaryOp { left, op, right } => {
                use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq};
                let timed = is_time(left) || is_time(right);
                self.bounds += match op {
                    Gt | GtEq | Lt | LtEq if timed => 1,
                    Eq if is_time(left) && is_time(right) => 2,
                    _ => 0,
                };
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        let of_mod = match expr {
            Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("mod") => {
                match arguments(&call.args)[..] {
                    [Some(left), Some(right)] => Some((left.clone(), right.clone())),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some((left, right)) = of_mod {
            let nested = |inner: Expr| Box::new(Expr::Nested(Box::new(inner)));
            *expr = Expr::Nested(Box::new(Expr::BinaryOp {
                left: nested(left),
                op: BinaryOperator::Modulo,
                right: nested(right),
            }));
        }
        let Expr::Floor {
            expr: time,
            field: CeilFloorKind::DateTimeField(unit),
        } = expr
        else {
            return ControlFlow::Continue(());
        };
        if *unit == DateTimeField::NoDateTime {
            return ControlFlow::Continue(());
        }
        let text = match unit_millis(unit) {
            Some(length) => format!("window_bound({time}, {length}, 0)"),
            None => format!("date_trunc('{unit}', {time})"),
        };
        match Parser::new(&GenericDialect {})
            .try_with_sql(&text)
            .and_then(|mut p| p.parse_expr())
        {
            Ok(call) => *expr = call,
            Err(error) => return ControlFlow::Break(refusal(error, self.first, self.first)),
        }
        ControlFlow::Continue(())
    }
}

/// Looks like a time: the column `ts`, or something less or more than an interval.
fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(name) => name.value.eq_ignore_ascii_case("ts"),
        Expr::CompoundIdentifier(names) => {
            (names.last()).is_some_and(|name| name.value.eq_ignore_ascii_case("ts"))
        }
        Expr::BinaryOp { left, right, .. } => is_time(left) || is_time(right),
        Expr::Nested(inner) => is_time(inner),
        Expr::Interval(_) => true,
        _ => false,
    }
}

/// `TIMESTAMPDIFF(SECOND, a, b)`: the unit is a word, not a column.
fn unit_as_text(call: &mut Function) -> Flow {
    if let FunctionArguments::List(list) = &mut call.args
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(unit))) = list.args.first_mut()
        && let Expr::Identifier(name) = unit
    {
        let text = Value::SingleQuotedString(name.value.to_ascii_lowercase());
        *unit = Expr::Value(text.with_span(name.span));
    }
    ControlFlow::Continue(())
}

fn arguments(list: &FunctionArguments) -> Vec<Option<&Expr>> {
    let FunctionArguments::List(list) = list else {
        return Vec::new();
    };
    let expr = |arg| match arg {
        &FunctionArg::Unnamed(FunctionArgExpr::Expr(ref expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().map(expr).collect()
}

/// Longer ones are nobody's, and times must not run over.
const CENTURY: Millis = 36_525 * 86_400_000;

/// `INTERVAL '90' SECOND`, in milliseconds.
fn millis(interval: &Interval) -> Option<Millis> {
    let Expr::Value(value) = &*interval.value else {
        return None;
    };
    let count: Millis = match &value.value {
        Value::SingleQuotedString(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let unit = match interval.leading_field.as_ref()? {
        DateTimeField::Milliseconds | DateTimeField::Millisecond => 1,
        unit => unit_millis(unit)?,
    };
    count
        .checked_mul(unit)
        .filter(|length| (0..=CENTURY).contains(length) && interval.last_field.is_none())
}

fn unit_millis(unit: &DateTimeField) -> Option<Millis> {
    match unit {
        DateTimeField::Second | DateTimeField::Seconds => Some(1_000),
        DateTimeField::Minute | DateTimeField::Minutes => Some(60_000),
        DateTimeField::Hour | DateTimeField::Hours => Some(3_600_000),
        DateTimeField::Day | DateTimeField::Days => Some(86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUMBLE: &str = "SELECT student_id, SUM(status) FROM TABLE(TUMBLE(TABLE events, \
                          DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end";

    fn shape(text: &str) -> Shape {
        parse(text, Mode::Continuous)
            .map(|p| p.shape.unwrap())
            .unwrap()
    }

    fn refused(text: &str) -> Refusal {
        parse(text, Mode::Continuous).err().expect("it is refused")
    }

    #[test]
    fn a_query_says_which_slices_it_is_run_for() {
        let minute = 60_000;
        assert_eq!(
            shape(TUMBLE),
            Shape::Windows {
                size: minute,
                slide: minute
            }
        );
        let hop = TUMBLE
            .replace("TUMBLE", "HOP")
            .replace("'1' MINUTE", "'30' SECONDS, INTERVAL '5' MINUTE");
        assert_eq!(
            shape(&hop),
            Shape::Windows {
                size: 5 * minute,
                slide: 30_000
            }
        );
        let floor = "SELECT FLOOR(ts TO HOUR), COUNT(*) FROM events GROUP BY FLOOR(ts TO HOUR)";
        assert_eq!(
            shape(floor),
            Shape::Windows {
                size: 60 * minute,
                slide: 60 * minute
            }
        );
        let join = "SELECT b.ts FROM events a JOIN events b ON a.attempt = b.attempt \
                    AND b.ts BETWEEN a.ts - INTERVAL '5' SECOND AND a.ts + INTERVAL '1' SECOND";
        assert_eq!(
            shape(join),
            Shape::Rows {
                back: 6_000,
                ahead: 6_000
            }
        );
        let over = "SELECT ts, COUNT(*) OVER (PARTITION BY attempt ORDER BY ts RANGE BETWEEN \
                    INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW) FROM events";
        assert_eq!(
            shape(over),
            Shape::Rows {
                back: 10 * minute,
                ahead: 0
            }
        );
    }

    #[test]
    fn a_refusal_names_the_place() {
        for (text, line, column, reason) in [
            ("SELECT *\nFORM events", 2, 1, "found"),
            ("SELECT 'x", 1, 8, "nterminated"),
            ("-- nothing", 1, 1, "no statement"),
            ("SELECT 1;\nSELECT 2", 2, 1, "second statement"),
            ("DELETE FROM events", 1, 1, "only SELECT"),
            (
                "SELECT ts\nFROM events WHERE (slot = 1",
                2,
                28,
                "end of the file",
            ),
            (
                "SELECT *\nFROM TABLE(SESSION(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
                2,
                12,
                "TUMBLE or HOP",
            ),
            (
                "SELECT * FROM TABLE(TUMBLE(TABLE other, DESCRIPTOR(ts), INTERVAL '1' MINUTE))",
                1,
                34,
                "TABLE events",
            ),
            (
                "SELECT * FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(sent), INTERVAL '1' MINUTE))",
                1,
                42,
                "DESCRIPTOR(ts)",
            ),
            (
                "SELECT * FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '1' MONTH))",
                1,
                67,
                "length",
            ),
            ("SELECT * FROM events LIMIT 3", 1, 1, "LIMIT"),
        ] {
            let refusal = refused(text);
            assert!(refusal.reason.contains(reason), "{text}: {refusal}");
            assert_eq!(
                (refusal.line, refusal.column),
                (line, column),
                "{text}: {refusal}"
            );
        }
        let uneven = TUMBLE
            .replace("TUMBLE", "HOP")
            .replace("'1' MINUTE", "'2' MINUTE, INTERVAL '5' MINUTE");
        assert!(refused(&uneven).reason.contains("multiple"));
    }

    #[test]
    fn an_event_is_needed_for_the_slices_it_can_touch() {
        let hop = Shape::Windows {
            size: 300,
            slide: 100,
        };
        assert_eq!(hop.ends(250), (300, 500));
        assert_eq!(hop.needs(300), (0, 300));
        let tumble = Shape::Windows {
            size: 100,
            slide: 100,
        };
        assert_eq!(tumble.ends(100), (200, 200));
        let rows = Shape::Rows {
            back: 5_000,
            ahead: 5_000,
        };
        assert_eq!(rows.needs(20_000), (5_000, 25_000));
        assert_eq!(rows.ends(12_000), (10_000, 20_000));
    }
}
