//! A data directory of its own for each test, supervisors and clients as real processes over the
//! fake engine, and a way to kill them at any step.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pyro_manager::{
    Config, CreateRequest, Error, ExecRequest, Failpoints, Naming, Pyro, RunEvent, RunIo, Supervisor, TaskExecRecord,
    TaskRecord, VmOptions,
};
use pyro_testkit::FakeEngine;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Says to this test program what it is to be instead.
pub const ROLE: &str = "PYRO_TEST_ROLE";
/// At which step the process is to be killed.
const KILL_AT: &str = "PYRO_TEST_KILL_AT";
/// Where the steps it reaches are written to.
const STEPS: &str = "PYRO_TEST_STEPS";
/// The engine's program is not there.
const NO_ENGINE: &str = "PYRO_TEST_NO_ENGINE";

pub struct World {
    pub base: tempfile::TempDir,
    pub config: Config,
    pub pyro: Pyro,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let mut config = Config::new(base.path().join("data"), base.path().join("cache"), vec![]);
        config.kvm_device = "/nonexistent/kvm".into();
        config.scratch = base.path().to_owned();
        config.max_active_vms = Some(64);
        config.supervisor = as_role("supervisor");
        change(&mut config);
        drop(pyro_testkit::install_small(&config.cache, "debian:12"));
        let pyro = Pyro::with_engine(config.clone(), Arc::new(FakeEngine::default()));
        Self { base, config, pyro }
    }

    /// The manager whose supervisors are killed at a step; which steps they reach is in the file.
    pub fn killing_supervisors_at(&self, step: usize) -> (Pyro, PathBuf) {
        let steps = self.base.path().join("supervisor-steps");
        let mut config = self.config.clone();
        config.supervisor.environment.push((KILL_AT.into(), step.to_string()));
        config.supervisor.environment.push((STEPS.into(), steps.display().to_string()));
        (Pyro::with_engine(config, Arc::new(FakeEngine::default())), steps)
    }

    /// The manager on a host without an engine, supervisors included.
    pub fn without_engine(&self) -> Pyro {
        let engine = FakeEngine::default();
        engine.behave(|behaviour| behaviour.program_is_there = false);
        let mut config = self.config.clone();
        config.supervisor.environment.push((NO_ENGINE.into(), "1".into()));
        Pyro::with_engine(config, Arc::new(engine))
    }

    /// A client process that does `what` and is killed at a step.
    pub fn client(&self, what: &[&str], kill_at: usize) -> (Child, PathBuf) {
        let steps = self.base.path().join("client-steps");
        let role = as_role("client");
        let child = Command::new(role.program)
            .args(&role.arguments)
            .envs(role.environment)
            .env(ROLE, "client")
            .env(KILL_AT, kill_at.to_string())
            .env(STEPS, &steps)
            .env("PYRO_TEST_BASE", self.base.path())
            .env("PYRO_TEST_WORDS", what.join("\n"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        (child, steps)
    }

    /// What one who only looks is told, from a process that is started by a shell script around it.
    pub fn looked(&self, id: &str, script: &str) -> serde_json::Value {
        let role = as_role("client");
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(role.program).args(&role.arguments).envs(role.environment);
        command.env(ROLE, "client").env("PYRO_TEST_BASE", self.base.path()).env("DATA", &self.config.data);
        command.env("PYRO_TEST_WORDS", format!("look\n{id}"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!complaints.contains("panicked"), "{complaints}");
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        let told = lines.filter_map(|(name, told)| Some((name.to_owned(), serde_json::from_str(told).ok()?)));
        let told: serde_json::Map<_, _> = told
            .filter(|(name, _): &(String, serde_json::Value)| ["list", "status", "logs"].contains(&name.as_str()))
            .collect();
        assert_eq!(told.len(), 3, "{text} {complaints}");
        told.into()
    }

    pub async fn create(&self) -> TaskRecord {
        create(&self.pyro, None).await.unwrap()
    }

    /// A file of the host's in which a command can be counted.
    pub fn note(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub fn vms(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.config.data.join("vms")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub fn directory(&self, id: &str) -> PathBuf {
        self.config.data.join("vms").join(id)
    }

    /// Waits until no supervisor of this world lives, however they end.
    pub fn wait_for_supervisors(&self) {
        for name in self.vms() {
            pyro_hostfs::lock::wait_until_free(&self.directory(&name).join("lock")).unwrap();
        }
        // One that was on its way out has another name now, and is not there any more a bit later.
        let on_its_way = |name: &String| {
            name.starts_with(".gone-") || pyro_hostfs::lock::is_held(&self.directory(name).join("lock")).unwrap()
        };
        while self.vms().iter().any(on_its_way) {
            std::thread::yield_now();
        }
    }

    pub fn wait_for_end_of(&self, id: &str) {
        pyro_hostfs::lock::wait_until_free(&self.directory(id).join("lock")).unwrap();
    }

    /// Sets the end of its life back to the beginning of time, in its directory and the registry.
    pub fn expire_in_the_books(&self, id: &str) {
        self.change_the_books(id, "expires_at", 1.0.into());
    }

    /// Sets a field of its record, in its directory and the registry.
    pub fn change_the_books(&self, id: &str, field: &str, value: serde_json::Value) {
        let path = self.directory(id).join("record.json");
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record[field] = value;
        record.as_object_mut().unwrap().remove("crc32");
        std::fs::write(&path, record.to_string()).unwrap();
        let registry = rusqlite::Connection::open(self.config.data.join("registry.sqlite")).unwrap();
        let changed = registry.execute("UPDATE machines SET record = ?1 WHERE id = ?2", [&record.to_string(), id]);
        assert_eq!(changed.unwrap(), 1);
    }

    pub fn supervisor_of(&self, id: &str) -> Option<i32> {
        processes_of(id).first().copied()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for id in self.vms() {
            processes_of(&id).into_iter().for_each(kill);
        }
    }
}

pub async fn create(pyro: &Pyro, attempt_id: Option<&str>) -> Result<TaskRecord, Error> {
    let (events, mut heard) = mpsc::channel(16);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    pyro.create_task(request(attempt_id, Duration::from_secs(600)), &events).await
}

pub fn request(attempt_id: Option<&str>, ttl: Duration) -> CreateRequest {
    let options = VmOptions { ttl, ..VmOptions::default() };
    let (environment, attempt_id) = ("debian:12".into(), attempt_id.map(str::to_owned));
    CreateRequest { environment, options, naming: Naming::default(), attempt_id }
}

/// A task of this name.
pub async fn create_named(pyro: &Pyro, name: &str) -> Result<TaskRecord, Error> {
    let (events, mut heard) = mpsc::channel(16);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    let naming = Naming { name: Some(name.into()), ..Naming::default() };
    pyro.create_task(CreateRequest { naming, ..request(None, Duration::from_secs(600)) }, &events).await
}

pub fn command(text: impl Into<String>) -> ExecRequest {
    ExecRequest::new(text, Duration::from_secs(30))
}

pub async fn exec(pyro: &Pyro, id: &str, text: impl Into<String>) -> Result<TaskExecRecord, Error> {
    exec_request(pyro, id, command(text)).await
}

pub async fn exec_request(pyro: &Pyro, id: &str, request: ExecRequest) -> Result<TaskExecRecord, Error> {
    let (io, _listening) = listening();
    pyro.exec_task(id, request, io).await
}

/// Somebody who takes everything that is told, and remembers the output.
pub fn listening() -> (RunIo, tokio::task::JoinHandle<Vec<u8>>) {
    let (events, mut heard) = mpsc::channel(16);
    let listener = tokio::spawn(async move {
        let mut output = Vec::new();
        while let Some(event) = heard.recv().await {
            if let RunEvent::Stdout(bytes) = event {
                output.extend_from_slice(&bytes);
            }
        }
        output
    });
    (RunIo { events, stdin: None, cancel: CancellationToken::new() }, listener)
}

pub fn with_input(pieces: Vec<Vec<u8>>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send(piece.into()).await.is_err() {
                return;
            }
        }
    });
    receiver
}

pub fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Processes in whose command line the id stands.
pub fn processes_of(id: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == id.as_bytes())
    })
    .collect()
}

pub fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// This test program, started as something else; see `process_in_a_role`.
fn as_role(role: &str) -> Supervisor {
    Supervisor {
        program: std::env::current_exe().unwrap(),
        arguments: vec!["--exact".into(), "process_in_a_role".into(), "--nocapture".into()],
        environment: vec![(ROLE.into(), role.into())],
    }
}

/// What a process in a role does; it does not return.
pub fn play(role: &str) -> ! {
    let code = match role {
        "ping" => 42,
        "supervisor" => i32::from(
            pyro_manager::supervise(|config| {
                let engine = FakeEngine::default();
                let no_engine = std::env::var_os(NO_ENGINE).is_some();
                engine.behave(|behaviour| behaviour.program_is_there = !no_engine);
                Pyro::with_engine(config, Arc::new(engine)).with_failpoints(Arc::new(KillAt::from_environment()))
            })
            .is_err(),
        ),
        _ => {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => i32::from(runtime.block_on(client()).is_err()),
                Err(_) => 1, // too few descriptors for it
            }
        }
    };
    std::process::exit(code)
}

/// `create ATTEMPT`, `exec ID COMMAND`, `delete ID`, `start ID`; `look ID` prints what one who only reads is told.
async fn client() -> Result<(), Error> {
    let base = PathBuf::from(std::env::var_os("PYRO_TEST_BASE").unwrap());
    let mut config = Config::new(base.join("data"), base.join("cache"), vec![]);
    config.kvm_device = "/nonexistent/kvm".into();
    config.max_active_vms = Some(64);
    config.supervisor = as_role("supervisor");
    let pyro = Pyro::with_engine(config, Arc::new(FakeEngine::default()))
        .with_failpoints(Arc::new(KillAt::from_environment()));
    let words = std::env::var("PYRO_TEST_WORDS").unwrap();
    let words: Vec<&str> = words.split('\n').collect();
    match words[..] {
        ["create", attempt] => create(&pyro, Some(attempt)).await.map(drop),
        ["exec", id, text] => exec(&pyro, id, text).await.map(drop),
        ["delete", id] => pyro.delete_task(id).await.map(drop),
        ["start", id] => pyro.start_task(id, None).await.map(drop),
        ["look", id] => {
            use std::io::Write;
            pyro.recover();
            let told = |name: &str, told: Result<serde_json::Value, Error>| {
                let told = told.unwrap_or_else(|error| serde_json::json!({"error": error.failure()}));
                let line = format!("\n{name} {told}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
            };
            told("list", pyro.list_tasks().await.map(|list| serde_json::to_value(list).unwrap()));
            told("status", pyro.status_task(id).await.map(|task| serde_json::to_value(task).unwrap()));
            let logs = pyro.logs_task(id, pyro_manager::LogsRequest::default()).await;
            told("logs", logs.map(|logs| serde_json::to_value(logs).unwrap()));
            Ok(())
        }
        _ => panic!("{words:?}"),
    }
}

/// Kills this process at its Nth step, the way `kill -9` does.
struct KillAt {
    reached: AtomicUsize,
    at: usize,
    file: PathBuf,
}

impl KillAt {
    fn from_environment() -> Self {
        let at = std::env::var(KILL_AT).ok().and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let file = std::env::var_os(STEPS).map_or_else(|| "/dev/null".into(), PathBuf::from);
        Self { reached: AtomicUsize::new(0), at, file }
    }
}

impl Failpoints for KillAt {
    fn reached(&self, step: &'static str) {
        use std::io::Write;
        let reached = self.reached.fetch_add(1, Ordering::SeqCst) + 1;
        if let Ok(mut file) = std::fs::File::options().create(true).append(true).open(&self.file) {
            let _ = writeln!(file, "{step}");
        }
        if reached == self.at {
            kill(std::process::id() as i32);
            std::thread::sleep(Duration::from_secs(60)); // until the signal is there
        }
    }
}
