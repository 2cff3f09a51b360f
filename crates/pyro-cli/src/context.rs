//! Where things are on this host: the only reader of the environment.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::failure::{Format, wrong_usage};
use pyro_api::{Config, Context, Error, HostAccess, Pyro, RunIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

/// Directories of the system's administration programs, which an ordinary user's `PATH` lacks.
const ADMINISTRATION: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Descriptors that any command needs: its own, those of a machine it starts, and some to spare.
const MIN_DESCRIPTORS: u64 = 48;
/// More than any command needs; a higher limit is left as it is.
const MAX_DESCRIPTORS: u64 = 4096;
/// Threads of a shared runtime: what waits for a disk holds up one of them.
const WORKERS: usize = 4;

/// The manager for this user on this host, with nothing of the dead in its way.
pub fn pyro() -> Pyro {
    let pyro = Pyro::new(config());
    pyro.recover();
    pyro
}

/// Raises the limit of descriptors as far as it may and as far as it helps, and refuses to begin with fewer than
/// any command needs. Running out of descriptors halfway would leave an unclear state.
///
/// # Errors
/// [`Error::Host`] with the code `out_of_descriptors`.
pub fn prepare_descriptors() -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MAX_DESCRIPTORS, |maximum| maximum.min(MAX_DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted) {
        // When it is refused, the look below decides.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit });
    }
    let free: io::Result<Vec<File>> = (0..MIN_DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    free.map(drop).map_err(|source| Error::Host {
        attempt: format!("start with fewer than {MIN_DESCRIPTORS} free file descriptors"),
        source,
    })
}

/// The context of an operation. A user of the command line may run commands on this host.
pub fn of(pyro: &Pyro, io: RunIo) -> Context<'_> {
    Context { pyro, host: HostAccess::Allowed, io }
}

/// The same for operations whose events are not shown.
pub fn unheard(pyro: &Pyro) -> Context<'_> {
    let (events, _) = tokio::sync::mpsc::channel(1);
    of(pyro, RunIo { events, stdin: None, cancel: tokio_util::sync::CancellationToken::new() })
}

/// The same, before anything is done.
pub fn unrecovered() -> Pyro {
    Pyro::new(config())
}

/// A runtime on this thread: machines live as long as the thread that started them.
///
/// # Errors
/// [`Error::Host`], when the kernel refuses what it needs.
pub fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread().enable_all().build().map_err(not_begun)
}

/// A runtime for calls side by side. Its threads live until it is shut down, and so do machines.
///
/// # Errors
/// [`Error::Host`], when the kernel refuses what it needs.
pub fn shared_runtime() -> Result<Runtime, Error> {
    Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().map_err(not_begun)
}

fn not_begun(source: io::Error) -> Error {
    Error::Host { attempt: "start the runtime".into(), source }
}

fn config() -> Config {
    let data = path("PYRO_HOME").unwrap_or_else(|| base("XDG_DATA_HOME", ".local/share").join("pyro"));
    let cache = path("PYRO_ENVIRONMENT_CACHE_DIR")
        .unwrap_or_else(|| base("XDG_CACHE_HOME", ".cache").join("pyro-mcp/environments"));
    let places = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    // A program below a path that is not UTF-8 cannot be named to a supervisor.
    let mut search_path: Vec<PathBuf> = places.into_iter().filter(|place| place.to_str().is_some()).collect();
    for directory in ADMINISTRATION.map(PathBuf::from) {
        if !search_path.contains(&directory) {
            search_path.push(directory);
        }
    }
    let mut config = Config::new(data, cache, search_path);
    config.scratch = path("TMPDIR").unwrap_or_else(env::temp_dir);
    if let Some(qemu) = path("PYRO_QEMU") {
        config.qemu = qemu;
    }
    if let Some(passt) = path("PYRO_PASST") {
        config.passt = passt;
    }
    if let Some(limit) = env::var_os("PYRO_MAX_ACTIVE_VMS").filter(|value| !value.is_empty()) {
        config.max_active_vms = Some(whole_number("PYRO_MAX_ACTIVE_VMS", &limit));
    }
    if let Some(cap) = env::var_os("PYRO_JOURNAL_CAP_MIB").filter(|value| !value.is_empty()) {
        config.journal_cap = (whole_number("PYRO_JOURNAL_CAP_MIB", &cap) as u64).saturating_mul(1 << 20);
    }
    if let Some(device) = path("PYRO_KVM_DEVICE") {
        config.kvm_device = device;
    }
    config
}

/// The number in a variable. Any other value ends the program with an error.
fn whole_number(variable: &str, value: &OsStr) -> usize {
    let number = value.to_str().and_then(|text| text.trim().parse().ok()).filter(|number| *number > 0);
    number.unwrap_or_else(|| {
        let message = format!("{variable} is {:?}; it must be a whole number above 0", value.display().to_string());
        std::process::exit(wrong_usage(&message, "set it to a number, or unset it", Format::Human))
    })
}

/// The path in a variable. A path that is not UTF-8 ends the program, because records cannot store it.
fn path(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    if value.to_str().is_none() {
        let message = format!("{variable} is {:?}, which is not UTF-8", value.display().to_string());
        std::process::exit(wrong_usage(&message, "set it to a path that is UTF-8", Format::asked_for()));
    }
    Some(PathBuf::from(value))
}

/// A path below the user's home.
pub fn home(below: &str) -> PathBuf {
    path("HOME").unwrap_or_else(|| "/".into()).join(below)
}

/// A base directory of the XDG specification; relative ones are to be ignored.
fn base(variable: &str, below_home: &str) -> PathBuf {
    path(variable).filter(|path| path.is_absolute()).unwrap_or_else(|| home(below_home))
}
