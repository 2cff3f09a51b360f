//! Telling the client how far a call is: phases first, then output as it grows.

use std::time::{Duration, Instant};

use pyro_api::{Phase, RunEvent};
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::RequestContext;
use rmcp::{Peer, RoleServer};

/// Output is told of this often at most.
const PACE: Duration = Duration::from_millis(500);
/// Bytes of the newest line that are shown.
const LINE: usize = 200;

/// Sends progress of one call, if its client asked for it.
pub struct Progress {
    client: Option<(Peer<RoleServer>, ProgressToken)>,
    told: f64,
    bytes: usize,
    last_line: Vec<u8>,
    last_told: Option<Instant>,
}

impl Progress {
    pub fn new(context: &RequestContext<RoleServer>) -> Self {
        let token = context.meta.get_progress_token();
        Self { client: token.map(|token| (context.peer.clone(), token)), ..Self::unheard() }
    }

    /// Nobody asked.
    pub fn unheard() -> Self {
        Self { client: None, told: 0.0, bytes: 0, last_line: Vec::new(), last_told: None }
    }

    /// Takes an event of the manager's.
    pub async fn event(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Phase(phase) => self.tell(describe(phase)).await,
            RunEvent::Environment(progress) => {
                let (stage, stages) = progress.stage();
                self.tell(format!("{stage}/{stages} {}", progress.describe())).await;
            }
            RunEvent::Notice(text) => self.tell(text.clone()).await,
            RunEvent::Transferred { entries, bytes } => self.tell(format!("{entries} entries, {bytes} bytes")).await,
            RunEvent::Stdout(bytes) | RunEvent::Stderr(bytes) => self.output(bytes).await,
        }
    }

    async fn output(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let trimmed = bytes.trim_ascii_end();
        let line = trimmed.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if !line.is_empty() {
            self.last_line = line[..line.len().min(LINE)].to_vec();
        }
        if self.last_told.is_none_or(|last| last.elapsed() >= PACE) {
            self.last_told = Some(Instant::now());
            let line = String::from_utf8_lossy(&self.last_line).into_owned();
            self.tell(format!("{} bytes of output; last line: {line}", self.bytes)).await;
        }
    }

    /// A client that does not listen any more finds out by its own means.
    async fn tell(&mut self, message: String) {
        let Some((peer, token)) = &self.client else { return };
        self.told += 1.0;
        let told = ProgressNotificationParam::new(token.clone(), self.told).with_message(message);
        let _ = peer.notify_progress(told).await;
    }
}

fn describe(phase: &Phase) -> String {
    match phase {
        Phase::Create { environment } => format!("preparing {environment}"),
        Phase::Start { .. } => "starting the machine".into(),
        Phase::Execute { .. } => "running the command".into(),
        Phase::Accepted { sequence, .. } => format!("running command {sequence}"),
    }
}
