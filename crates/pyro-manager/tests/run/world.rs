//! A data directory of its own, an engine that is a fake, and a run in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyro_manager::{Config, Error, Pyro, RunEvent, RunIo, RunRecord, RunRequest, VmOptions};
use pyro_testkit::FakeEngine;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub struct World {
    pub base: tempfile::TempDir,
    pub engine: FakeEngine,
    pub pyro: Pyro,
    pub environment: PathBuf,
}

pub fn world() -> World {
    let base = tempfile::tempdir().unwrap();
    let engine = FakeEngine::default();
    let mut config = Config::new(base.path().join("data"), base.path().join("cache"), vec![]);
    config.kvm_device = "/nonexistent/kvm".into();
    config.scratch = base.path().to_owned();
    let environment = pyro_testkit::install_small(&config.cache, "debian:12");
    let pyro = Pyro::with_engine(config, Arc::new(engine.clone()));
    World { base, engine, pyro, environment }
}

pub fn request(command: &str) -> RunRequest {
    RunRequest {
        environment: "debian:12".into(),
        command: command.into(),
        timeout: Duration::from_secs(30),
        options: VmOptions::default(),
    }
}

impl World {
    pub async fn run_request(&self, request: RunRequest) -> (Result<RunRecord, Error>, Vec<RunEvent>) {
        let (events, mut heard) = mpsc::channel(16);
        let io = RunIo { events, stdin: None, cancel: CancellationToken::new() };
        let listening = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(event) = heard.recv().await {
                all.push(event);
            }
            all
        });
        let result = self.pyro.run(request, io).await;
        (result, listening.await.unwrap())
    }

    pub async fn run(&self, command: &str) -> Result<RunRecord, Error> {
        self.run_request(request(command)).await.0
    }

    pub fn assert_nothing_is_left(&self) {
        assert_eq!(self.engine.alive(), 0, "no machine is left");
        assert_eq!(self.directories(), 0, "no directory is left");
    }

    /// How many machines have a directory.
    pub fn directories(&self) -> usize {
        std::fs::read_dir(self.base.path().join("data/vms")).map_or(0, Iterator::count)
    }

    pub fn template(&self) -> PathBuf {
        let templates = self.environment.join("templates");
        let visible = |path: &PathBuf| !path.file_name().unwrap().to_str().unwrap().starts_with('.');
        let mut found: Vec<PathBuf> =
            std::fs::read_dir(templates).unwrap().map(|entry| entry.unwrap().path()).filter(visible).collect();
        assert_eq!(found.len(), 1);
        found.remove(0)
    }
}

pub fn notices(events: &[RunEvent]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| if let RunEvent::Notice(text) = event { Some(text.as_str()) } else { None })
        .collect()
}
