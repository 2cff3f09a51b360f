//! The creator's side: starting a supervisor and taking over what it made.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pyro_hostfs::lock::Lock;
use pyro_store::Record;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::files::LOG;
use super::rpc::{Connection, Reply};
use crate::error::{Unavailable, host};
use crate::events::{EnvironmentProgress, RunEvent, tell};
use crate::id::VmId;
use crate::{Config, Error, Supervisor};

/// Descriptors a supervisor is started with: the conversation with its creator, the lock that says
/// that it lives, and the lock that says that it was not taken yet.
pub const CONTROL: RawFd = 3;
pub const LIFE: RawFd = 4;
pub const CREATING: RawFd = 5;
/// Bytes of its log that an error shows at most.
const LOG_TAIL: u64 = 2048;

/// The first thing a supervisor is told. Creator and supervisor are the same program (`/proc/self/exe`), so that this
/// form has no generations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub id: VmId,
    pub config: ConfigForm,
}

/// A configuration (the form between creator and supervisor).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigForm {
    data: PathBuf,
    cache: PathBuf,
    search_path: Vec<PathBuf>,
    scratch: PathBuf,
    qemu: PathBuf,
    passt: PathBuf,
    kvm_device: PathBuf,
    max_active_vms: Option<usize>,
    journal_cap: u64,
}

impl ConfigForm {
    /// Paths are made absolute: a supervisor's own directory is the root.
    fn new(config: &Config) -> Result<Self, Error> {
        let absolute = |path: &Path| std::path::absolute(path).map_err(host(format!("find {}", path.display())));
        let program = |name: &Path| {
            let is_path = name.components().count() > 1;
            if is_path { absolute(name) } else { Ok(name.to_owned()) }
        };
        Ok(Self {
            data: absolute(&config.data)?,
            cache: absolute(&config.cache)?,
            search_path: config.search_path.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
            scratch: absolute(&config.scratch)?,
            qemu: program(&config.qemu)?,
            passt: program(&config.passt)?,
            kvm_device: absolute(&config.kvm_device)?,
            max_active_vms: config.max_active_vms,
            journal_cap: config.journal_cap,
        })
    }
}

impl From<ConfigForm> for Config {
    fn from(form: ConfigForm) -> Self {
        Self {
            scratch: form.scratch,
            qemu: form.qemu,
            passt: form.passt,
            kvm_device: form.kvm_device,
            max_active_vms: form.max_active_vms,
            journal_cap: form.journal_cap,
            ..Self::new(form.data, form.cache, form.search_path)
        }
    }
}

/// Starts the supervisor of a directory and waits until what it makes can be taken. The conversation
/// that comes with it is to be dropped when it was taken; dropped before that, it undoes everything
/// that is new.
pub async fn launch(
    config: &Config,
    id: &VmId,
    directory: &Path,
    life: Lock,
    creating: Option<Lock>,
    events: &mpsc::Sender<RunEvent>,
) -> Result<(Record, Connection), Error> {
    let (ours, theirs) = StdStream::pair().map_err(host("make a socket pair"))?;
    let message = Launch { id: id.clone(), config: ConfigForm::new(config)? };
    let locks = std::iter::once(&life).chain(&creating).map(|lock| lock.share().map_err(host("share a lock")));
    let given = std::iter::once(Ok(theirs.into())).chain(locks).collect::<Result<Vec<OwnedFd>, Error>>()?;
    spawn(&config.supervisor, id, directory, given)?;
    // From here on the supervisor alone holds them.
    drop((life, creating));
    ours.set_nonblocking(true).map_err(host("prepare a socket"))?;
    let mut connection = Connection::new(UnixStream::from_std(ours).map_err(host("prepare a socket"))?);
    // When it is gone already, the end of the conversation says so.
    let _ = connection.send(&message).await;
    loop {
        match connection.reply().await? {
            Some(Reply::Ready { record }) => return Ok((record.try_into()?, connection)),
            Some(Reply::Failed { failure }) => return Err(failure.into()),
            Some(Reply::Notice { text }) => tell(events, RunEvent::Notice(text)).await?,
            Some(Reply::MakingTemplate) => {
                let _ = events.try_send(RunEvent::Environment(EnvironmentProgress::Template));
            }
            Some(_) => {}
            None => {
                let (id, what) = (id.to_string(), "ended before it was ready");
                return Err(Unavailable::Supervisor { id, what, log: log_tail(directory) }.into());
            }
        }
    }
}

/// Starts it in a session of its own, with nothing of this process but what it needs. It is not
/// killed with its creator; tokio collects it should it end before.
fn spawn(supervisor: &Supervisor, id: &VmId, directory: &Path, given: Vec<OwnedFd>) -> Result<(), Error> {
    let log = File::options().create(true).append(true).mode(0o600).open(directory.join(LOG));
    let mut command = Command::new(&supervisor.program);
    command.arg0("pyro").args(&supervisor.arguments).arg(id.as_str()).current_dir("/");
    command.env_clear().envs(supervisor.environment.iter().map(|(key, value)| (key, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.map_err(host("open the supervisor's log"))?);
    pyro_sys::child::inherit_nothing(&mut command);
    pyro_sys::child::new_session(&mut command);
    pyro_sys::child::inherit(&mut command, CONTROL, given).map_err(host("pass descriptors to the supervisor"))?;
    let attempt = format!("start the supervisor, {}", supervisor.program.display());
    tokio::process::Command::from(command).spawn().map_err(host(attempt)).map(drop)
}

fn log_tail(directory: &Path) -> String {
    let Ok(mut file) = File::open(directory.join(LOG)) else { return String::new() };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL))).and_then(|_| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    match read {
        Ok(_) if !text.trim().is_empty() => {
            format!("; the last lines of its log:\n  {}", text.trim().replace('\n', "\n  "))
        }
        _ => String::new(),
    }
}
