//! DataFusion behind [`Engine`].
//!
//! A query is planned once, against a table that is empty then; a run hands it the rows of its
//! slice and executes the plan on this thread, in one partition, so that equal rows give equal
//! results in equal order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, TimestampMillisecondArray,
};
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef, TimestampMillisecondType};
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, Tokenizer};
use tokio::runtime::Runtime;

use crate::dialect::{Millis, Mode, Parsed, Refusal, Shape, WINDOW, parse};
use crate::engine::{Engine, EngineError, Prepared};
use crate::events::{self, TIME, TS};
use crate::{functions, reference};

pub struct DataFusion {
    references: Vec<(String, Arc<dyn TableProvider>)>,
    memory: usize,
    runtime: Arc<Runtime>,
}

impl DataFusion {
    /// `memory` bounds what one run of a query may hold besides the events given to it.
    pub fn new(memory: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(DataFusion {
            references: Vec::new(),
            memory,
            runtime: Arc::new(runtime),
        })
    }

    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A session with the dialect's functions and the reference tables.
    pub fn session(&self) -> Result<SessionContext> {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().sql_parser.collect_spans = true;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(self.memory)))
            .build_arc()?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let session = SessionContext::new_with_state(state);
        functions::register(&session);
        for (name, table) in &self.references {
            session.register_table(name.as_str(), table.clone())?;
        }
        Ok(session)
    }

    /// The plan of a query in this session, not yet optimised.
    pub fn plan(
        &self,
        session: &SessionContext,
        text: &str,
        mode: Mode,
    ) -> Result<(LogicalPlan, Parsed), Refusal> {
        let parsed = parse(text, mode)?;
        let statement = Statement::Statement(Box::new(parsed.statement.clone()));
        let plan = self
            .runtime
            .block_on(session.state().statement_to_plan(statement));
        let plan = plan.map_err(|error| explain(&error, text))?;
        Ok((plan, parsed))
    }
}

impl Engine for DataFusion {
    fn load_references(
        &mut self,
        dir: &Path,
    ) -> Result<BTreeMap<String, EngineError>, EngineError> {
        let mut before: BTreeMap<_, _> = std::mem::take(&mut self.references).into_iter().collect();
        let mut refused = BTreeMap::new();
        for (file, name, read) in reference::load(dir)? {
            let table = read.and_then(|(rows, schema)| {
                MemTable::try_new(schema, vec![rows]).map_err(|error| EngineError::Reference {
                    file: file.clone(),
                    reason: error.strip_backtrace(),
                })
            });
            let table: Arc<dyn TableProvider> = match (table, before.remove(&name)) {
                (Ok(table), _) => Arc::new(table),
                (Err(error), before) => {
                    refused.insert(file, error);
                    match before {
                        Some(table) => table,
                        None => continue,
                    }
                }
            };
            self.references.push((name, table));
        }
        Ok(refused)
    }

    fn prepare(&self, text: &str) -> Result<Box<dyn Prepared>, Refusal> {
        // A text that the engine was not made for is no reason to end all others.
        let prepared = catch_unwind(AssertUnwindSafe(|| self.plan_slices(text)));
        prepared.unwrap_or_else(|_| Err(Refusal::new(Span::empty(), "the engine panics over it")))
    }
}

impl DataFusion {
    fn plan_slices(&self, text: &str) -> Result<Box<dyn Prepared>, Refusal> {
        let refuse = |error: DataFusionError| explain(&error, text);
        let session = self.session().map_err(refuse)?;
        let slice = Arc::new(Slice::default());
        for (name, windowed) in [("events", false), (WINDOW, true)] {
            let table = SliceTable::new(slice.clone(), windowed);
            session
                .register_table(name, Arc::new(table))
                .map_err(refuse)?;
        }
        let (plan, parsed) = self.plan(&session, text, Mode::Continuous)?;
        let Some(shape) = parsed.shape else {
            return Err(Refusal::new(Span::empty(), "it has no slices of time"));
        };
        check(&plan, shape, &parsed).map_err(|(named, reason)| place(text, &named, reason))?;
        let state = session.state();
        let plan = state.optimize(&plan).map_err(refuse)?;
        let columns = columns(&plan).map_err(refuse)?;
        Ok(Box::new(PreparedPlan {
            shape,
            columns,
            schema: Arc::new(plan.schema().as_arrow().clone()),
            plan,
            slice,
            task: state.task_ctx(),
            state,
            runtime: self.runtime.clone(),
        }))
    }
}

struct PreparedPlan {
    shape: Shape,
    columns: Vec<usize>,
    schema: SchemaRef,
    plan: LogicalPlan,
    slice: Arc<Slice>,
    state: SessionState,
    task: Arc<TaskContext>,
    runtime: Arc<Runtime>,
}

impl Prepared for PreparedPlan {
    fn shape(&self) -> Shape {
        self.shape
    }

    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn run(&self, rows: Vec<RecordBatch>, end: Millis) -> Result<RecordBatch, EngineError> {
        self.slice.set(rows, self.shape, end);
        let run = || self.runtime.block_on(self.rows(end));
        let done = catch_unwind(AssertUnwindSafe(run));
        self.slice.clear();
        let done = done.unwrap_or_else(|_| exec_err!("the engine panicked"));
        done.map_err(|error| match error.find_root() {
            DataFusionError::ResourcesExhausted(reason) => EngineError::Memory(reason.clone()),
            _ => EngineError::Query(error.strip_backtrace()),
        })
    }
}

impl PreparedPlan {
    async fn rows(&self, end: Millis) -> Result<RecordBatch> {
        let planner = self.state.query_planner().clone();
        let physical = planner
            .create_physical_plan(&self.plan, &self.state)
            .await?;
        let schema = physical.schema();
        let batches = collect(physical, self.task.clone()).await?;
        let rows = concat_batches(&schema, &batches)?;
        match self.shape {
            Shape::Windows { .. } => Ok(rows),
            Shape::Rows { .. } => of_slice(&rows, end),
        }
    }
}

/// The results whose `ts` lies in the slice.
fn of_slice(rows: &RecordBatch, end: Millis) -> Result<RecordBatch> {
    let ts = rows.column(rows.schema().index_of("ts")?);
    let ts = ts.as_primitive::<TimestampMillisecondType>();
    let inside = |ts: Option<Millis>| ts.is_some_and(|ts| ts >= end - Shape::SLICE && ts < end);
    let keep: BooleanArray = ts.iter().map(|ts| Some(inside(ts))).collect();
    Ok(filter_record_batch(rows, &keep)?)
}

/// What a query must not do on a stream: the name to look for in its text, and why.
fn check(plan: &LogicalPlan, shape: Shape, parsed: &Parsed) -> Result<(), (String, String)> {
    let mut wrong = None;
    // Events that meet other events.
    let mut meetings = 0;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && [
                        "now",
                        "current_timestamp",
                        "current_date",
                        "today",
                        "current_time",
                        "random",
                        "uuid",
                    ]
                    .contains(&call.name())
                {
                    let name = call.name().to_owned();
                    let reason = format!("{name}() gives another result each time: use window_end");
                    wrong.get_or_insert((name, reason));
                    return Ok(TreeNodeRecursion::Stop);
                }
                let below = match expr {
                    Expr::Exists(exists) => Some(&exists.subquery),
                    Expr::InSubquery(within) => Some(&within.subquery),
                    Expr::ScalarSubquery(subquery) => Some(subquery),
                    _ => None,
                };
                if let Some(below) = below {
                    meetings += usize::from(reads_events(&below.subquery)?);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        if let LogicalPlan::Join(join) = node {
            meetings += usize::from(reads_events(&join.left)? && reads_events(&join.right)?);
        }
        if let LogicalPlan::Aggregate(aggregate) = node
            && reads_events(node)?
        {
            let by_time = aggregate.group_expr.iter().any(|expr| {
                let text = expr.schema_name().to_string();
                let column = text.rsplit('.').next().unwrap_or_default();
                matches!(column, "window_start" | "window_end" | "window_time")
                    || text.contains("window_bound(")
            });
            if !parsed.windowed || !by_time {
                let reason = "an aggregate over the endless table: group by window_start, \
                              window_end of TUMBLE or HOP, or by FLOOR(ts TO MINUTE)";
                wrong.get_or_insert(("GROUP".into(), reason.into()));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if let Err(error) = walked {
        return Err((String::new(), error.strip_backtrace()));
    }
    if !reads_events(plan).unwrap_or(true) {
        let reason = "it does not read the table events";
        wrong.get_or_insert((String::new(), reason.into()));
    }
    if matches!(shape, Shape::Rows { .. }) && parsed.bounds < 2 * meetings {
        let reason = "events that meet other events do so within a stated time, before and after: \
                      b.ts BETWEEN a.ts - INTERVAL '5' SECOND AND a.ts + INTERVAL '5' SECOND";
        wrong.get_or_insert(("events".into(), reason.into()));
    }
    let fields = plan.schema().fields();
    let mut names = BTreeSet::from(["revision"]);
    for field in fields {
        if field.name() == "window_end" && *field.data_type() != TIME {
            let reason = "window_end is the end of the window, a time: name this otherwise";
            wrong.get_or_insert((field.name().clone(), reason.into()));
        }
        if !names.insert(field.name()) {
            let reason = match field.name().as_str() {
                "revision" => {
                    "a column revision is added to each result: name this one otherwise".into()
                }
                name => format!("two columns are called {name}: give one another name with AS"),
            };
            wrong.get_or_insert((field.name().clone(), reason));
        }
    }
    let has_ts = fields
        .iter()
        .any(|f| f.name() == "ts" && *f.data_type() == TIME);
    if matches!(shape, Shape::Rows { .. }) && !has_ts {
        let reason = "a query row by row says when each of its rows is: SELECT … AS ts";
        wrong.get_or_insert(("SELECT".into(), reason.into()));
    }
    wrong.map_or(Ok(()), Err)
}

fn reads_events(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= matches!(scan.table_name.table(), "events" | WINDOW);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The columns of `events` an optimised plan reads.
fn columns(plan: &LogicalPlan) -> Result<Vec<usize>> {
    let all = events::schema().fields().len();
    let mut columns = vec![TS];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && matches!(scan.table_name.table(), "events" | WINDOW)
        {
            match &scan.projection {
                Some(projection) => columns.extend(projection.iter().filter(|c| **c < all)),
                None => columns.extend(0..all),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    columns.sort_unstable();
    columns.dedup();
    Ok(columns)
}

/// DataFusion's error, with its place in the text.
pub fn explain(error: &DataFusionError, text: &str) -> Refusal {
    // Without the names of the steps that it passed.
    let reason = error.find_root().strip_backtrace();
    let reason = reason.lines().next().unwrap_or_default();
    let prefixes = [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Internal error: ",
    ];
    let reason = prefixes
        .iter()
        .fold(reason, |reason, prefix| reason.trim_start_matches(prefix));
    let reason = match reason.split_once(" failed to match any signature") {
        Some((function, _)) => format!("{function} does not take values of these types"),
        None => reason
            .replace(WINDOW, "events")
            .replace("datafusion.public.", ""),
    };
    if let Some(span) = error.diagnostic().and_then(|d| d.span) {
        let start = Location::new(span.start.line, span.start.column);
        return Refusal::new(Span::new(start, start), reason);
    }
    // The first name it quotes.
    let named = reason
        .split(['\'', '"', '`'])
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    place(text, named.rsplit('.').next().unwrap_or_default(), reason)
}

/// The place of a word in the text, or of the text's first statement.
fn place(text: &str, word: &str, reason: String) -> Refusal {
    // Not in a comment or a text, and columns are characters.
    let tokens = Tokenizer::new(&GenericDialect {}, text)
        .tokenize_with_location()
        .unwrap_or_default();
    let find = |wanted: &str| {
        tokens.iter().find_map(|token| match &token.token {
            Token::Word(word) if word.value.eq_ignore_ascii_case(wanted) => {
                Some((token.span.start.line, token.span.start.column))
            }
            _ => None,
        })
    };
    let found = (!word.is_empty()).then(|| find(word)).flatten();
    let (line, column) = found.or_else(|| find("select")).unwrap_or((1, 1));
    Refusal {
        line,
        column,
        reason,
    }
}

/// The rows a run sees.
#[derive(Default)]
struct Slice(Mutex<(Vec<RecordBatch>, Bounds)>);

/// Of the window, if there is one.
type Bounds = Option<(Millis, Millis)>;

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slice")
    }
}

impl Slice {
    fn set(&self, rows: Vec<RecordBatch>, shape: Shape, end: Millis) {
        let bounds = match shape {
            Shape::Windows { size, .. } => Some((end - size, end)),
            Shape::Rows { .. } => None,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (rows, bounds);
    }

    fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clear();
    }
}

/// `events`, or (`windowed`) the same with the bounds of the window.
#[derive(Debug)]
struct SliceTable {
    slice: Arc<Slice>,
    schema: SchemaRef,
    events: usize,
}

impl SliceTable {
    fn new(slice: Arc<Slice>, windowed: bool) -> Self {
        let events = events::schema();
        let mut fields: Vec<Field> = events.fields().iter().map(|f| (**f).clone()).collect();
        if windowed {
            let bound = |name| Field::new(name, TIME, false);
            fields.extend(["window_start", "window_end", "window_time"].map(bound));
        }
        SliceTable {
            slice,
            schema: Arc::new(Schema::new(fields)),
            events: events.fields().len(),
        }
    }

    /// The wanted columns of a batch, found by name; constants for the window's bounds.
    fn project(
        &self,
        batch: &RecordBatch,
        schema: &SchemaRef,
        wanted: &[usize],
        bounds: Bounds,
    ) -> Result<RecordBatch> {
        let constant = |at: Millis| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_value(at, batch.num_rows()))
        };
        let (start, end) = bounds.unwrap_or_default();
        let column = |&index: &usize| match index.checked_sub(self.events) {
            Some(0) => Ok(constant(start)),
            Some(1) => Ok(constant(end)),
            Some(_) => Ok(constant(end - 1)),
            None => {
                let name = self.schema.field(index).name();
                let found = batch.column_by_name(name);
                found
                    .cloned()
                    .ok_or_else(|| DataFusionError::Internal(format!("column {name} was not read")))
            }
        };
        let columns = wanted.iter().map(column).collect::<Result<Vec<_>>>()?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            columns,
            &rows,
        )?)
    }
}

#[async_trait]
impl TableProvider for SliceTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let wanted = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(wanted)?);
        let slice = self.slice.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (rows, bounds) = &*slice;
        let project = |batch| self.project(batch, &schema, wanted, *bounds);
        let batches = rows.iter().map(project).collect::<Result<Vec<_>>>()?;
        let plan: Arc<dyn ExecutionPlan> =
            MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
        Ok(plan)
    }
}
