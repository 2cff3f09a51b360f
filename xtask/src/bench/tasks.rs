//! What a task costs: its creation, a command in it, its supervisor, its journal.

use std::path::Path;
use std::time::{Duration, Instant};

use pyro_manager::{
    Config, CreateRequest, Error, ExecRequest, Naming, Pyro, RunEvent, RunIo, TaskExecRecord, VmOptions,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Bench;
use crate::statistics::{Summary, summarise};

/// Creations.
const CREATIONS: usize = 8;
/// Round trips and the guest's own loop take turns so often, with so many commands a turn.
const TURNS: usize = 30;
const COMMANDS: usize = 10;
/// Short commands of the journal's measurement.
const ENTRIES: usize = 200;
/// Output of the throughput's command, in bytes.
const OUTPUT: usize = 200 << 20;
/// Bytes of the records of a short command, as they are in a journal.
const BEGAN: usize = 320;
const ENDED: usize = 280;

pub fn run(bench: &Bench) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(measure(bench)).map_err(|error| error.failure().error)?;
    let journal = format!("{} ms", journal(bench.home.path())?);
    bench.report.row("journal of one command", journal, "", "two records, two files, one flush");
    Ok(())
}

async fn measure(bench: &Bench) -> Result<(), Error> {
    let search_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let mut config = Config::new(bench.home.path().to_owned(), bench.cache.clone(), search_path);
    config.kvm_device = "/nonexistent".into();
    config.supervisor.program = bench.pyro.clone();
    let pyro = Pyro::new(config);
    let mut creations = Vec::new();
    for _ in 0..CREATIONS {
        let began = Instant::now();
        let id = create(&pyro).await?;
        creations.push(millis(began));
        pyro.delete_task(&id).await?;
    }
    bench.report.heading("Tasks");
    bench.report.row("task create", format!("{} ms", summarise(&creations)), "", "");
    let id = create(&pyro).await?;
    exec(&pyro, &id, "true").await?;
    let (mut added, mut trips, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let began = Instant::now();
        for _ in 0..COMMANDS {
            exec(&pyro, &id, "/bin/true").await?;
        }
        let trip = millis(began) / COMMANDS as f64;
        let own = guests_own(&pyro, &id).await?;
        added.push(trip - own);
        trips.push(trip);
        loops.push(own);
    }
    let (added, trips, loops) = (summarise(&added), summarise(&trips), summarise(&loops));
    let detail = format!("{trips} ms - {loops} ms");
    bench.report.row("exec true, on top of the guest's own", format!("{added} ms"), "at most 2 ms", detail);
    bench.report.row("supervisor's memory", format!("{} KiB", resident(&id)), "under 12288 KiB", "");
    let speeds = throughput(&pyro, &id).await?;
    bench.report.row("output of a command", format!("{speeds} MB/s"), "", "");
    bench.report.row("supervisor's peak after that", format!("{} KiB", peak(&id)), "", "");
    pyro.delete_task(&id).await.map(drop)
}

async fn create(pyro: &Pyro) -> Result<String, Error> {
    let (events, _heard) = mpsc::channel(64);
    let options = VmOptions::default();
    let request =
        CreateRequest { environment: "debian:12".into(), options, naming: Naming::default(), attempt_id: None };
    Ok(pyro.create_task(request, &events).await?.task_id)
}

async fn exec(pyro: &Pyro, id: &str, command: &str) -> Result<TaskExecRecord, Error> {
    let (events, mut heard) = mpsc::channel::<RunEvent>(64);
    let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
    let request = ExecRequest::new(command, Duration::from_secs(300));
    let (done, ()) = tokio::join!(pyro.exec_task(id, request, io), async { while heard.recv().await.is_some() {} });
    done
}

/// The same fork and exec in a loop inside the guest, in milliseconds each.
async fn guests_own(pyro: &Pyro, id: &str) -> Result<f64, Error> {
    let script = format!(
        "perl -MTime::HiRes=time -e '$t = time; for (1..{COMMANDS}) {{ system {{\"/bin/true\"}} \"true\" }} \
         print((time - $t) / {COMMANDS} * 1e3)'"
    );
    let record = exec(pyro, id, &script).await?;
    record.stdout.trim().parse().map_err(|_| Error::InvalidArgument { problem: record.stderr })
}

async fn throughput(pyro: &Pyro, id: &str) -> Result<Summary, Error> {
    let mut speeds = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        exec(pyro, id, &format!("head -c {OUTPUT} /dev/zero")).await?;
        speeds.push(OUTPUT as f64 / 1e6 / began.elapsed().as_secs_f64());
    }
    Ok(summarise(&speeds))
}

/// What a short command does to the disk, without anything else.
fn journal(directory: &Path) -> Result<Summary, String> {
    let work = || -> std::io::Result<Vec<f64>> {
        let mut log = pyro_hostfs::log::AppendLog::create(&directory.join("bench.log"))?;
        let mut times = Vec::new();
        for number in 0..ENTRIES {
            let began = Instant::now();
            log.reserve(4096)?;
            for stream in ["stdout", "stderr"] {
                drop(std::fs::File::create(directory.join(format!("{number}.{stream}")))?);
            }
            log.append(&[b'x'; BEGAN])?;
            log.append(&[b'x'; ENDED])?;
            log.handle()?.sync_data()?;
            times.push(millis(began));
        }
        Ok(times)
    };
    work().map(|times| summarise(&times)).map_err(|error| error.to_string())
}

fn resident(id: &str) -> u64 {
    status(id, "VmRSS:")
}

fn peak(id: &str) -> u64 {
    status(id, "VmHWM:")
}

/// A line of the supervisor's status, in KiB; it is found by the id in its command line.
fn status(id: &str, field: &str) -> u64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let supervisor = entries.map(|entry| entry.path()).find(|path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == id.as_bytes())
    });
    let text = supervisor.and_then(|path| std::fs::read_to_string(path.join("status")).ok()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

fn millis(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
