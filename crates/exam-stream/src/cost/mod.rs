//! `exam-stream cost`: what an exam costs on AWS, by service, from stated prices.
//!
//! Two columns, because they are two questions: what the exam itself costs while it runs, and what
//! the deployment costs a month when nothing happens. Beside them stand the same records put into
//! Firehose one by one, since Firehose bills each of its records rounded up to 5 KiB; and Kafka with
//! Flink on instances, the comparison of the paper's Table 2. Prices come from a dated file with
//! their sources (`--prices` takes another), everything else that is assumed is printed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

const GIB: f64 = (1u64 << 30) as f64;
const GB: f64 = 1e9;
const MONTH_HOURS: f64 = 730.0;

/// Firehose's step of billing, and Kinesis's.
const FIREHOSE_STEP: f64 = 5_120.0;
const KINESIS_STEP: f64 = 1_024.0;
/// DynamoDB's units: a write of 1 KB, a read of 4 KB.
const WRITE_UNIT: f64 = 1_024.0;
const READ_UNIT: f64 = 4_096.0;

/// Seconds between two signs of life of a page.
const ALIVE_SECONDS: f64 = 60.0;
/// An attempt has begun, and is finished.
const LIFECYCLE: f64 = 2.0;
/// The sender writes to the store, and the function once more.
const WRITERS: f64 = 2.0;
/// Registers an answer writes: the answer, the first one, last seen, and a device twice.
const REGISTERS: f64 = 5.0;
/// Bytes of state for a slot, see docs/operations.md.
const SLOT_BYTES: f64 = 820.0;
/// Units of ElastiCache for the fold of a record: a script, not a simple command.
const ECPU_PER_RECORD: f64 = 3.0;
/// Pages of a quiz that a student loads, each of which reads the attempt.
const READS_PER_STUDENT: f64 = 10.0;
/// The function: memory, milliseconds of an invocation, and of each line more at that memory.
const FUNCTION_GB: f64 = 0.5;
const FUNCTION_MS: f64 = 5.0;
const FUNCTION_MS_PER_LINE: f64 = 0.04;
/// Log of an invocation: its metrics, and Lambda's own three lines.
const LOG_BYTES: f64 = 1_000.0;
/// How much smaller gzip makes the lines.
const GZIP: f64 = 15.0;
/// Seconds between two objects in S3.
const OBJECT_SECONDS: f64 = 60.0;
/// Metrics of the function, and what the template's alarms watch, without the analysis and for it.
const METRICS: f64 = 9.0;
const ALARMS: f64 = 15.0;
const ALARMS_OF_ANALYSIS: f64 = 4.0;
/// Subnets of the cache, each with an interface endpoint of SQS, and of Kinesis for the analysis.
const SUBNETS: f64 = 2.0;
/// Lambda asks an idle queue, with five pollers that wait 20 seconds.
const POLLS_A_MONTH: f64 = 5.0 * 3.0 * 60.0 * MONTH_HOURS;
/// Managed Flink: the job's KPUs and one of orchestration.
const KPUS: f64 = 2.0;
const KPU_GB: f64 = 50.0;
/// Kafka and Flink on instances: brokers with their disks, a job manager and two task managers,
/// and the hours they are up before and after an exam.
const BROKERS: f64 = 3.0;
const BROKER_GB: f64 = 100.0;
const INSTANCES: f64 = 3.0;
const SETUP_HOURS: f64 = 2.0;

#[derive(clap::Args)]
pub struct Args {
    /// Students
    #[arg(long, default_value_t = 1_609)]
    students: u64,
    /// Answers of each, changed ones included
    #[arg(long, default_value_t = 30)]
    answers: u64,
    /// How long the exam lasts
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Bytes of a record
    #[arg(long, default_value_t = 450)]
    record_bytes: u64,
    /// Slots of the quiz
    #[arg(long, default_value_t = 10)]
    slots: u64,
    /// Web servers, each with a sender
    #[arg(long, default_value_t = 2)]
    hosts: u64,
    /// As exam_stream.linger_ms
    #[arg(long, default_value_t = 50)]
    linger_ms: u64,
    /// As exam_stream.aggregate_bytes
    #[arg(long, default_value = "64K", value_parser = crate::settings::size)]
    aggregate_bytes: u64,
    /// State store
    #[arg(long, value_enum, default_value_t = State::Valkey)]
    state: State,
    /// With Kinesis Data Streams and Managed Flink
    #[arg(long)]
    analysis: bool,
    /// Another file of prices, of the same form
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum State {
    Valkey,
    Dynamodb,
}

#[derive(Deserialize)]
struct PriceFile {
    region: String,
    date: String,
    note: String,
    prices: BTreeMap<String, Price>,
}

#[derive(Clone, Deserialize, Serialize)]
struct Price {
    usd: f64,
    unit: String,
    source: String,
    /// The day on which the source said so.
    seen: String,
    assumed: bool,
}

impl PriceFile {
    fn read(path: Option<&PathBuf>) -> anyhow::Result<PriceFile> {
        match path {
            Some(path) => {
                let file =
                    File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_reader(BufReader::new(file))
                    .with_context(|| format!("{} is no file of prices", path.display()))
            }
            None => Ok(serde_json::from_str(include_str!("us-east-1.json"))?),
        }
    }
}

/// One line of the bill.
#[derive(Debug, Serialize)]
struct Item {
    service: &'static str,
    /// In dollars: while the exam runs, and in a month without one.
    exam: f64,
    month: f64,
    basis: String,
}

/// What goes through.
#[derive(Debug, Serialize)]
struct Load {
    records: f64,
    bytes: f64,
    /// Calls of the senders, and what each carries.
    calls: f64,
    lines_per_call: f64,
    firehose_records: f64,
    billed_packed: f64,
    billed_unpacked: f64,
}

#[derive(Serialize)]
struct Bill {
    region: String,
    prices_of: String,
    load: Load,
    items: Vec<Item>,
    exam: f64,
    month: f64,
    per_student: f64,
    /// Firehose alone, as it is and with a Firehose record for each line.
    firehose_packed: f64,
    firehose_unpacked: f64,
    kafka_exam: f64,
    kafka_month: f64,
    assumptions: Vec<String>,
    prices: BTreeMap<String, Price>,
}

fn steps(bytes: f64, step: f64) -> f64 {
    (bytes / step).ceil() * step
}

impl Load {
    fn new(args: &Args) -> Load {
        let seconds = args.minutes as f64 * 60.0;
        let bytes = args.record_bytes as f64;
        let each = args.answers as f64 + LIFECYCLE + (seconds / ALIVE_SECONDS).floor();
        let records = args.students as f64 * each;
        let hosts = args.hosts as f64;
        let rate = records / seconds / hosts;
        // A sender that has waited for its first line sends what has gathered since.
        let linger = args.linger_ms as f64 / 1_000.0;
        let lines_per_call = (1.0 + rate * linger).min(records);
        let calls = (records / lines_per_call).ceil();
        let lines_per_call = records / calls;
        let aggregate = (args.aggregate_bytes as f64).max(bytes);
        let lines_per_record = (aggregate / bytes).floor().min(500.0).min(lines_per_call);
        let firehose_records = (records / lines_per_record).ceil();
        Load {
            records,
            bytes: records * bytes,
            calls,
            lines_per_call,
            firehose_records,
            billed_packed: firehose_records * steps(lines_per_record * bytes, FIREHOSE_STEP),
            billed_unpacked: records * steps(bytes, FIREHOSE_STEP),
        }
    }
}

fn bill(args: &Args, file: PriceFile) -> anyhow::Result<Bill> {
    if args.students == 0 || args.minutes == 0 || args.record_bytes == 0 || args.hosts == 0 {
        bail!("an exam has students, minutes, records with bytes in them, and a web server");
    }
    if args.record_bytes > exam_record::MAX_RECORD as u64 {
        bail!("a record has at most {} bytes", exam_record::MAX_RECORD);
    }
    let price = |name: &str| -> anyhow::Result<f64> {
        let price = file.prices.get(name);
        Ok(price
            .with_context(|| format!("the file of prices has no {name}"))?
            .usd)
    };
    let load = Load::new(args);
    let hours = args.minutes as f64 / 60.0;
    let students = args.students as f64;
    let record = args.record_bytes as f64;
    let attempt_bytes = args.slots as f64 * SLOT_BYTES;
    let state_gb = students * attempt_bytes / GB;

    let mut items = Vec::new();
    let mut item = |service, exam: f64, month: f64, basis: String| {
        items.push(Item {
            service,
            exam,
            month,
            basis,
        });
    };
    let firehose = |billed: f64| Ok::<_, anyhow::Error>(billed / GIB * price("firehose_gib")?);
    let packed = firehose(load.billed_packed)?;
    item(
        "Firehose",
        packed,
        0.0,
        format!(
            "{:.3} GiB billed, {:.1} lines a Firehose record",
            load.billed_packed / GIB,
            load.records / load.firehose_records
        ),
    );

    let milliseconds = FUNCTION_MS + FUNCTION_MS_PER_LINE * load.lines_per_call;
    let gb_seconds = load.calls * milliseconds / 1_000.0 * FUNCTION_GB;
    item(
        "Lambda",
        load.calls / 1e6 * price("lambda_million")? + gb_seconds * price("lambda_gb_second")?,
        0.0,
        format!("{:.0} invocations, {gb_seconds:.0} GB-seconds", load.calls),
    );

    match args.state {
        State::Valkey => {
            let ecpu = load.records * WRITERS * ECPU_PER_RECORD
                + students * READS_PER_STUDENT * (attempt_bytes / 1_024.0).ceil();
            item(
                "ElastiCache",
                state_gb.max(0.1) * hours * price("valkey_gb_hour")?
                    + ecpu / 1e6 * price("valkey_million")?,
                0.1 * MONTH_HOURS * price("valkey_gb_hour")?,
                format!("{state_gb:.3} GB, {:.2} million ECPU", ecpu / 1e6),
            );
        }
        State::Dynamodb => {
            // The register of an answer is no larger than its record.
            let answer = record / WRITE_UNIT;
            let writes =
                load.records * WRITERS * (REGISTERS - 1.0 + answer.ceil()) + load.calls * WRITERS;
            let of_attempt = (attempt_bytes / READ_UNIT).ceil();
            // The pages of the students, and the rows of one open board; the end of the board's log;
            // and after each fold, whether the attempt was erased.
            let reads = (students * READS_PER_STUDENT + load.records) * of_attempt
                + (load.calls + load.records) * WRITERS;
            item(
                "DynamoDB",
                writes / 1e6 * price("dynamodb_write_million")?
                    + reads / 1e6 * price("dynamodb_read_million")?,
                state_gb * price("dynamodb_gb_month")?,
                format!(
                    "{:.2} million writes, {:.2} million reads, {state_gb:.3} GB",
                    writes / 1e6,
                    reads / 1e6
                ),
            );
        }
    }

    let objects = (hours * 3_600.0 / OBJECT_SECONDS).ceil();
    let cold_gb = load.bytes / GZIP / GB;
    item(
        "S3",
        objects / 1e3 * price("s3_put_thousand")?,
        cold_gb * price("s3_gb_month")?,
        format!("{objects:.0} objects, {cold_gb:.4} GB to keep"),
    );
    let alarms = ALARMS + f64::from(u8::from(args.analysis)) * ALARMS_OF_ANALYSIS;
    item(
        "CloudWatch",
        load.calls * LOG_BYTES / GB * price("logs_gb")?,
        METRICS * price("metric_month")?
            + alarms * price("alarm_month")?
            + price("dashboard_month")?,
        format!("{METRICS} metrics, alarms on {alarms}, a dashboard; log"),
    );
    item(
        "SQS",
        0.0,
        POLLS_A_MONTH / 1e6 * price("sqs_million")?,
        "the redrive queue is asked".to_owned(),
    );
    item("KMS", 0.0, price("kms_key_month")?, "a key".to_owned());
    if args.state == State::Valkey {
        let endpoints = SUBNETS * if args.analysis { 2.0 } else { 1.0 };
        let hour = endpoints * price("endpoint_hour")?;
        item(
            "Endpoints",
            hours * hour,
            MONTH_HOURS * hour,
            format!("{endpoints} in {SUBNETS} subnets; none with VpcEndpoints=exist"),
        );
        item(
            "Secrets",
            0.0,
            price("secret_month")?,
            "the cache's password".to_owned(),
        );
    }
    if args.analysis {
        let stream = price("kinesis_stream_hour")?;
        let through = load.records * steps(record, KINESIS_STEP) / GIB;
        item(
            "Kinesis",
            hours * stream + through * (price("kinesis_in_gib")? + price("kinesis_out_gib")?),
            MONTH_HOURS * stream,
            format!("a stream, {through:.3} GiB in and out"),
        );
        let hour = KPUS * price("flink_kpu_hour")?
            + (KPUS - 1.0) * KPU_GB * price("flink_gb_month")? / MONTH_HOURS;
        item(
            "Managed Flink",
            hours.max(10.0 / 60.0) * hour,
            0.0,
            format!("{KPUS} KPU while the exam runs; stopped otherwise"),
        );
    }

    let instances = BROKERS * price("msk_broker_hour")?
        + BROKERS * BROKER_GB * price("msk_gb_month")? / MONTH_HOURS
        + INSTANCES * price("instance_hour")?;
    let exam = items.iter().map(|item| item.exam).sum::<f64>();
    Ok(Bill {
        exam,
        month: items.iter().map(|item| item.month).sum(),
        per_student: exam / students,
        firehose_packed: packed,
        firehose_unpacked: firehose(load.billed_unpacked)?,
        kafka_exam: (hours + SETUP_HOURS) * instances,
        kafka_month: MONTH_HOURS * instances,
        assumptions: assumptions(args),
        region: file.region,
        prices_of: format!("{}. {}", file.date, file.note),
        prices: file.prices,
        load,
        items,
    })
}

fn assumptions(args: &Args) -> Vec<String> {
    let mut all = vec![
        format!(
            "a student sends {} answers, {LIFECYCLE} records of the attempt's life and a sign of \
             life every {ALIVE_SECONDS} s; all evenly over {} minutes and {} web servers",
            args.answers, args.minutes, args.hosts
        ),
        format!(
            "a sender waits {} ms for more lines; each of its calls becomes one invocation of the \
             function ({FUNCTION_GB} GB; {FUNCTION_MS} ms and {FUNCTION_MS_PER_LINE} ms a line)",
            args.linger_ms
        ),
        format!(
            "gzip makes the lines {GZIP} times smaller; an object in S3 every {OBJECT_SECONDS} s"
        ),
        format!(
            "the state is written twice, by the sender and the function, and read {READS_PER_STUDENT} \
             times by each student's pages; an attempt takes {SLOT_BYTES} bytes a slot"
        ),
        match args.state {
            State::Valkey => format!("the fold of a record takes {ECPU_PER_RECORD} ECPU"),
            State::Dynamodb => format!(
                "a record writes {REGISTERS} items and looks for one, and one open board reads an \
                 attempt for each"
            ),
        },
        format!(
            "Kafka and Flink: {BROKERS} brokers with {BROKER_GB} GB each, {INSTANCES} instances; for an \
             exam they are up {SETUP_HOURS} h longer than it"
        ),
    ];
    if args.analysis {
        all.push("the job runs on one KPU, another one orchestrates".to_owned());
    }
    all
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let bill = bill(&args, PriceFile::read(args.prices.as_ref())?)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&bill)?);
    } else {
        print(&args, &bill);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, bill: &Bill) {
    println!(
        "{} students, {} answers each in {} minutes: {:.0} records, {:.1} MB. {}, prices of {}\n",
        args.students,
        args.answers,
        args.minutes,
        bill.load.records,
        bill.load.bytes / 1e6,
        bill.region,
        bill.prices_of
    );
    let row = |name: &str, exam: f64, month: f64, basis: &str| {
        println!("{name:<14} {exam:>12.4} {month:>14.2}   {basis}");
    };
    println!("{:<14} {:>12} {:>14}", "$", "the exam", "a month idle");
    for item in &bill.items {
        row(item.service, item.exam, item.month, &item.basis);
    }
    let each = format!("{:.6} a student", bill.per_student);
    row("together", bill.exam, bill.month, &each);
    println!(
        "\nFirehose with a record for each line: {:.4} instead of {:.4}, {:.1} times as much",
        bill.firehose_unpacked,
        bill.firehose_packed,
        bill.firehose_unpacked / bill.firehose_packed
    );
    println!(
        "Kafka and Flink on instances: {:.2} up for this exam only, {:.2} a month",
        bill.kafka_exam, bill.kafka_month
    );
    println!("\nAssumed:");
    for assumption in &bill.assumptions {
        println!("- {assumption}");
    }
    let assumed = bill.prices.iter().filter(|(_, price)| price.assumed);
    let assumed: Vec<&str> = assumed.map(|(name, _)| name.as_str()).collect();
    println!(
        "- of the prices: {} (--json shows each with its unit, source and date)",
        assumed.join(", ")
    );
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Cli::parse_from(std::iter::once("cost").chain(line.split_whitespace())).args
    }

    fn bill_of(line: &str) -> Bill {
        bill(&args(line), PriceFile::read(None).unwrap()).unwrap()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * b.abs().max(1e-9)
    }

    fn of<'a>(bill: &'a Bill, service: &str) -> &'a Item {
        bill.items.iter().find(|i| i.service == service).unwrap()
    }

    /// 1,000 students × (38 answers + 2 + 10 signs of life) = 50,000 records in 600 s on one host:
    /// 83.3 a second. With 108 ms a call carries 1 + 9 = 10 lines, 5,000 calls; 10 × 500 bytes is
    /// 5,000, one step of 5,120.
    const CASE: &str = "--students 1000 --answers 38 --minutes 10 --hosts 1 --linger-ms 108 \
                        --record-bytes 500";

    #[test]
    fn firehose_bills_steps_of_five_kib_packed_and_unpacked() {
        let bill = bill_of(CASE);
        assert_eq!(bill.load.records, 50_000.0);
        assert_eq!(bill.load.calls, 5_000.0);
        assert_eq!(bill.load.billed_packed, 5_000.0 * 5_120.0);
        assert_eq!(bill.load.billed_unpacked, 50_000.0 * 5_120.0);
        // 25.6 MB is 0.0238418579… GiB.
        assert!(close(
            bill.firehose_packed,
            0.029 * 25_600_000.0 / 1_073_741_824.0
        ));
        assert!(close(bill.firehose_unpacked, 10.0 * bill.firehose_packed));
    }

    #[test]
    fn a_busy_host_fills_its_records_and_an_idle_one_sends_single_lines() {
        // 500,000 × (1 + 2 + 1) in 60 s on one host: 33,333 a second, 1,667.7 lines a call; a
        // record of 64 KiB holds 131 lines of 500 bytes: 65,500, thirteen steps.
        let busy = bill_of(
            "--students 500000 --answers 1 --minutes 1 --hosts 1 --record-bytes 500 --linger-ms 50",
        );
        let records = (2_000_000.0_f64 / 131.0).ceil();
        assert_eq!(busy.load.firehose_records, records);
        assert_eq!(busy.load.billed_packed, records * 13.0 * 5_120.0);

        let idle = bill_of("--students 1 --answers 8 --minutes 10 --linger-ms 0");
        assert_eq!(idle.load.records, 20.0);
        assert_eq!(idle.load.calls, 20.0);
        assert_eq!(idle.load.billed_packed, idle.load.billed_unpacked);
    }

    #[test]
    fn each_service_is_what_its_units_cost() {
        let bill = bill_of(&format!("{CASE} --analysis"));
        // 5,000 invocations of 5 + 0.04 × 10 = 5.4 ms at half a GB: 13.5 GB-seconds.
        let lambda = 0.005 * 0.20 + 13.5 * 0.0000133334;
        assert!(close(of(&bill, "Lambda").exam, lambda));
        // 8.2 MB is below the least of 0.1 GB; 50,000 × 2 × 3 units of folds, and 1,000 × 10
        // reads of 8,200 bytes, 9 units each.
        let valkey = 0.1 / 6.0 * 0.084 + 0.39 * 0.0023;
        assert!(close(of(&bill, "ElastiCache").exam, valkey));
        assert!(close(of(&bill, "ElastiCache").month, 0.1 * 730.0 * 0.084));
        assert!(close(of(&bill, "S3").exam, 10.0 * 0.005 / 1_000.0));
        assert!(close(of(&bill, "S3").month, 25e6 / 15.0 / 1e9 * 0.023));
        assert!(close(of(&bill, "CloudWatch").exam, 5e6 / 1e9 * 0.5));
        assert!(close(of(&bill, "CloudWatch").month, 9.0 * 0.3 + 1.9 + 3.0));
        // An endpoint of SQS and one of Kinesis in each of two subnets.
        assert!(close(of(&bill, "Endpoints").exam, 4.0 * 0.01 / 6.0));
        assert!(close(of(&bill, "Endpoints").month, 4.0 * 7.3));
        assert!(close(of(&bill, "SQS").month, 0.657 * 0.4));
        // 50,000 KiB in and out, a sixth of an hour.
        let kinesis = 0.04 / 6.0 + 50_000.0 / 1_048_576.0 * 0.12;
        assert!(close(of(&bill, "Kinesis").exam, kinesis));
        let flink = (0.22 + 50.0 * 0.10 / 730.0) / 6.0;
        assert!(close(of(&bill, "Managed Flink").exam, flink));
        let sum: f64 = bill.items.iter().map(|item| item.exam).sum();
        assert!(close(bill.exam, sum) && close(bill.per_student, sum / 1_000.0));
    }

    #[test]
    fn dynamodb_counts_an_item_for_each_register_and_writer() {
        let bill = bill_of(&format!("{CASE} --state dynamodb"));
        // 650 bytes are one unit: 5 writes a record, twice; the board's log twice a call. An
        // attempt of 8,200 bytes is three units to read, by 10,000 pages and 50,000 board rows; and
        // each record is asked twice whether its attempt was erased.
        let writes = 500_000.0 + 10_000.0;
        let reads = 180_000.0 + 10_000.0 + 100_000.0;
        let exam = writes / 1e6 * 0.625 + reads / 1e6 * 0.125;
        assert!(close(of(&bill, "DynamoDB").exam, exam));
        assert!(close(of(&bill, "DynamoDB").month, 0.0082 * 0.25));
        // 1,100 bytes and what is around them are two units: one write more, twice.
        let large = bill_of(&format!("{CASE} --state dynamodb --record-bytes 1100"));
        let more = of(&large, "DynamoDB").exam - of(&bill, "DynamoDB").exam;
        assert!(close(more, 0.1 * 0.625));
    }

    #[test]
    fn instances_are_paid_while_they_are_up() {
        let bill = bill_of(CASE);
        let hour = 3.0 * 0.204 + 300.0 * 0.10 / 730.0 + 3.0 * 0.0816;
        assert!(close(bill.kafka_month, 730.0 * hour));
        assert!(close(bill.kafka_exam, (2.0 + 1.0 / 6.0) * hour));
    }

    #[test]
    fn every_metric_and_alarm_of_the_template_is_paid_for() {
        let template = include_str!("../../../../deploy/aws/template.yaml");
        let alarm = "Type: AWS::CloudWatch::Alarm\n    ";
        let all = template.matches(alarm).count() as f64;
        let of_one_store = template
            .matches(&format!("{alarm}Condition: Valkey"))
            .count();
        let of_analysis = template
            .matches(&format!("{alarm}Condition: WithAnalysis"))
            .count() as f64;
        // One alarm divides two metrics, and each is paid for.
        assert_eq!(of_analysis, ALARMS_OF_ANALYSIS);
        assert_eq!(all - of_analysis - of_one_store as f64 + 1.0, ALARMS);
        let emitted = include_str!("../../../exam-lambda/src/metrics.rs");
        let figures = emitted.matches("\"Count\"").count() + 1;
        assert_eq!(figures as f64, METRICS);
    }

    #[test]
    fn what_cannot_be_an_exam_is_refused_with_a_sentence() {
        let refused = |line: &str| match Cli::try_parse_from(
            std::iter::once("cost").chain(line.split_whitespace()),
        ) {
            Ok(cli) => run(cli.args).unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        for line in [
            "--students 0",
            "--minutes 0",
            "--hosts 0",
            "--record-bytes 0",
        ] {
            assert!(refused(line).contains("an exam has students"), "{line}");
        }
        assert!(refused("--record-bytes 262145").contains("at most 262144"));
        assert!(refused("--students many").contains("--students"));
        assert!(refused("--students=-1").contains("--students"));
        assert!(refused("--state redis").contains("valkey"));
        assert!(refused("--prices /nowhere/prices.json").contains("/nowhere/prices.json"));
    }

    #[test]
    fn every_price_has_a_source_and_a_missing_one_is_named() {
        let mut file = PriceFile::read(None).unwrap();
        for (name, price) in &file.prices {
            assert!(
                price.usd > 0.0 && price.source.starts_with("https://") && price.seen <= file.date,
                "{name}"
            );
        }
        file.prices.remove("sqs_million");
        let error = bill(&args(CASE), file).err().unwrap();
        assert!(error.to_string().contains("sqs_million"));
        assert!(bill(&args("--students 0"), PriceFile::read(None).unwrap()).is_err());
    }
}
