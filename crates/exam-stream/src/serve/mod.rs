//! `exam-stream serve`: the Firehose API on one machine.
//!
//! It promises what the stream promises: a record is acknowledged once it lies,
//! durable, in cold storage ([`exam_cold`]); there is no second log. The state
//! follows cold storage ([`Follower`]). It refuses to be more: no buffering hints,
//! no transformation, no other destinations.

mod analyse;
mod api;
mod close;
mod follow;
mod lines;
mod metrics;
mod sigv4;
mod streams;
mod writer;

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use exam_cold::{Select, Tree, create_dir_durably, sync_dir};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::umask;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};

use self::analyse::Analysis;
use self::api::Api;
use self::close::Closer;
use self::follow::Follower;
use self::metrics::{Metrics, Shows};
use self::sigv4::Key;
use self::streams::{Streams, is_name};
use self::writer::{Committed, Writer};
use crate::settings;

/// Requests get as long to end when `serve` is told to.
const FAREWELL: Duration = Duration::from_secs(10);

/// The address it serves at, `http://host:port`, is the first line on stdout.
/// Prometheus reads /metrics, a load balancer /health.
#[derive(clap::Args)]
pub struct Args {
    /// Where cold storage and streams are kept
    #[arg(
        long,
        env = "EXAM_STREAM_DIR",
        default_value = "/var/lib/exam-stream/serve"
    )]
    dir: PathBuf,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "EXAM_STREAM_LISTEN", default_value = "127.0.0.1:4573")]
    listen: SocketAddr,
    /// Delivery stream to make if it is not there yet (repeatable)
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<String>,
    /// State store to fold into, as exam_stream.state_url names it
    #[arg(
        long,
        alias = "state-url",
        env = "EXAM_STREAM_STATE_URL",
        hide_env_values = true
    )]
    state: Option<String>,
    /// An attempt's state is forgotten so many days after its last record; 0: never
    #[arg(long, env = "EXAM_STREAM_STATE_DAYS", default_value_t = 30)]
    state_days: u64,
    /// Key id that requests must be signed with
    #[arg(long, env = "EXAM_STREAM_ACCESS_KEY")]
    access_key: Option<String>,
    /// File with that key's secret, instead of EXAM_STREAM_SECRET_KEY
    #[arg(long)]
    secret_key_file: Option<PathBuf>,
    /// Size in MiB at which a file of cold storage is ended (and compressed) and the next begun
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    part_mib: u64,
    /// Folder of .sql files: has exam-analyse run them over what arrives, while this serves
    #[arg(long, env = "EXAM_STREAM_ANALYSE", value_name = "QUERIES")]
    analyse: Option<PathBuf>,
    /// Tables for these queries: NAME.csv or NAME.parquet
    #[arg(long, value_name = "DIR", requires = "analyse")]
    analyse_reference: Option<PathBuf>,
    /// The program exam-analyse, if it lies neither beside this one nor on the PATH
    #[arg(long, value_name = "FILE", requires = "analyse")]
    analyse_program: Option<PathBuf>,
}

pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    settings::log_to_stderr();
    // It holds exam answers.
    umask(rustix::fs::Mode::from_raw_mode(0o077));
    let dir = &args.dir;
    create_dir_durably(dir).with_context(|| format!("making {}", dir.display()))?;
    let _lock = lock(dir)?;
    let cut = exam_cold::recover(dir).with_context(|| format!("recovering {}", dir.display()))?;
    if cut > 0 {
        tracing::warn!(
            parts = cut,
            "cut off lines that a crash left torn; none was acknowledged"
        );
    }
    let streams = Streams::open(dir)?;
    for name in &args.streams {
        if !is_name(name) {
            bail!("--stream {name}: a stream's name is 1 to 64 of a-z A-Z 0-9 _ . -");
        }
        streams
            .create(name)
            .with_context(|| format!("making the stream {name}"))?;
    }
    let key = key(&args)?;
    if key.is_none() && !args.listen.ip().is_loopback() {
        tracing::warn!(
            "anybody who reaches {} may write: set --access-key",
            args.listen
        );
    }

    let metrics = Arc::new(Metrics::default());
    let (stop, stopped) = watch::channel(false);
    let folding = Arc::new(Mutex::new(()));
    let follower = match &args.state {
        Some(url) => Some(follower(&args, url, folding.clone(), metrics.clone())?),
        None => None,
    };
    let committed = follower.as_ref().map(|(_, committed)| committed.clone());
    let follower = follower.map(|(follower, _)| start("fold", move || follow(follower, stopped)));
    let (work, queue) = mpsc::unbounded_channel();
    let cold = exam_cold::Writer::new(dir, args.part_mib << 20);
    let closer = Closer {
        dir: dir.clone(),
        live: cold.live(),
        writer: work.downgrade(),
        folding,
        metrics: metrics.clone(),
    };
    let writer = Writer::new(cold, committed, metrics.clone());
    let writer = start("writer", move || writer.run(queue));
    // Not waited for in the end: what it leaves undone is done at the next start.
    start("close", move || closer.run())?;
    let analysis = args.analyse.clone().map(|queries| Analysis {
        program: args
            .analyse_program
            .clone()
            .unwrap_or_else(analyse::program),
        dir: dir.clone(),
        queries,
        reference: args.analyse_reference.clone(),
        state: args.state.clone(),
    });
    let analyses = analysis.is_some();
    let (end_analysis, analysis_ended) = std::sync::mpsc::channel();
    let analysis = analysis.map(|analysis| {
        let metrics = metrics.clone();
        start("analyse", move || analysis.run(&analysis_ended, &metrics))
    });

    let shows = Shows {
        fold: args.state.is_some(),
        analysis: analyses,
    };
    let api = Arc::new(Api::new(streams, work, key, metrics, shows));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(args.listen, api));
    drop(end_analysis);
    // Ends the last connections, and with them the last senders to the writer.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let _ = writer?.join();
    let _ = stop.send(true);
    if let Some(follower) = follower {
        let _ = follower?.join();
    }
    if let Some(analysis) = analysis {
        let _ = analysis?.join();
    }
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(listen: SocketAddr, api: Arc<Api>) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("listening on {listen}: is another program there? Choose another --listen")
    })?;
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    let mut http = http1::Builder::new();
    // An idle connection is closed by then as well: clients open another.
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(75));
    let connections = GracefulShutdown::new();
    let mut told = std::pin::pin!(settings::told_to_end());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            signal = &mut told => {
                signal?;
                break;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, as a rule: some will be closed.
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let api = api.clone();
        let service = service_fn(move |request| {
            let api = api.clone();
            async move { Ok::<_, std::convert::Infallible>(api.answer(request).await) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    tracing::info!("ending");
    let _ = tokio::time::timeout(FAREWELL, connections.shutdown()).await;
    Ok(())
}

fn key(args: &Args) -> anyhow::Result<Option<Key>> {
    let secret = match &args.secret_key_file {
        Some(file) => Some(
            fs::read_to_string(file)
                .with_context(|| format!("--secret-key-file {}", file.display()))?,
        ),
        None => std::env::var("EXAM_STREAM_SECRET_KEY").ok(),
    };
    let secret = secret
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty());
    match (&args.access_key, secret) {
        (Some(id), Some(secret)) => Ok(Some(Key {
            id: id.clone(),
            secret,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            bail!("--access-key needs its secret: --secret-key-file or EXAM_STREAM_SECRET_KEY")
        }
        (None, Some(_)) => bail!("a secret is given, but not whose: add --access-key"),
    }
}

fn follower(
    args: &Args,
    url: &str,
    folding: Arc<Mutex<()>>,
    metrics: Arc<Metrics>,
) -> anyhow::Result<(Follower, Arc<Committed>)> {
    let store = settings::state(url, args.state_days)?;
    let parts = exam_cold::parts(&args.dir, Tree::Cold, &Select::default())?;
    let committed = Arc::new(Committed::default());
    let id = id(&args.dir).with_context(|| format!("reading {}/id", args.dir.display()))?;
    let follower = Follower::new(
        &args.dir,
        id,
        parts,
        store,
        folding,
        committed.clone(),
        metrics,
    );
    Ok((follower, committed))
}

fn follow(follower: Follower, stop: watch::Receiver<bool>) {
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(follower.run(stop)),
        Err(error) => tracing::error!(%error, "nothing is folded"),
    }
}

fn start(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> anyhow::Result<thread::JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.with_context(|| format!("starting the thread {name}"))
}

/// Two of them appending to the same parts would tear lines.
fn lock(dir: &Path) -> anyhow::Result<File> {
    exam_cold::own(dir)?.with_context(|| {
        format!(
            "{}: another `exam-stream serve` uses this --dir",
            dir.display()
        )
    })
}

/// The random name of this cold storage, made on its first use.
fn id(dir: &Path) -> io::Result<String> {
    let path = dir.join("id");
    match fs::read_to_string(&path) {
        Ok(id) if !id.is_empty() => return Ok(id),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let id = format!("{:016x}", fastrand::u64(..));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(id.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    sync_dir(dir)?;
    Ok(id)
}
