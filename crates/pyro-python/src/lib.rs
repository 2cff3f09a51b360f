//! The native half of `pyro_mcp`: begin an operation, hear of it, wait for it, cancel it.
//!
//! ```text
//! Native(config) ── begin(operation, arguments) ──▶ Call ── next_event() … result() ──▶ JSON
//!                                                     └── cancel()
//! ```
//!
//! Everything a Python program sees (names, types, exceptions) is Python; here are only conversions.
//! Waiting never holds the interpreter's lock, and a waiting main thread answers Ctrl-C.
//!
//! Operations run on one runtime for the process. Its threads live as long as the process, and so
//! do the machines that they start.

mod call;
mod operations;

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyro_api::{Config, Pyro};
use serde::Deserialize;
use tokio::runtime::Runtime;

use call::Call;

/// Threads of the runtime: what waits for a disk holds up one of them.
const WORKERS: usize = 4;

/// The runtime of this process. One that was forked has none of its parent's threads, and gets a
/// runtime of its own.
fn runtime() -> &'static Runtime {
    static CURRENT: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match *current {
        Some((owner, runtime)) if owner == process => runtime,
        _ => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let made = builder.worker_threads(WORKERS).enable_all().build();
            // It lives as long as the process.
            let made: &'static Runtime = Box::leak(Box::new(made.expect("the kernel gives a process threads")));
            *current = Some((process, made));
            made
        }
    }
}

/// Where things are (the form between the two halves).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigForm {
    data: String,
    cache: String,
    search_path: Vec<String>,
    scratch: String,
    /// The program `pyro`, which supervises VMs and tasks.
    pyro: String,
    qemu: Option<String>,
    passt: Option<String>,
    kvm_device: Option<String>,
    max_active_vms: Option<usize>,
    journal_cap: Option<u64>,
    /// Whether a machine is kept ready for the next run.
    standby: bool,
}

/// The manager.
#[pyclass(frozen)]
struct Native {
    pyro: Arc<Pyro>,
}

#[pymethods]
impl Native {
    #[new]
    fn new(config: &str) -> PyResult<Self> {
        let form: ConfigForm =
            serde_json::from_str(config).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let search_path = form.search_path.into_iter().map(Into::into).collect();
        let mut config = Config::new(form.data.into(), form.cache.into(), search_path);
        config.scratch = form.scratch.into();
        config.supervisor.program = form.pyro.into();
        config.max_active_vms = form.max_active_vms;
        if let Some(passt) = form.passt {
            config.passt = passt.into();
        }
        if let Some(qemu) = form.qemu {
            config.qemu = qemu.into();
        }
        if let Some(device) = form.kvm_device {
            config.kvm_device = device.into();
        }
        if let Some(cap) = form.journal_cap {
            config.journal_cap = cap;
        }
        let pyro = Pyro::new(config);
        let pyro = if form.standby { pyro.with_warm_pool() } else { pyro };
        pyro.recover();
        Ok(Self { pyro: Arc::new(pyro) })
    }

    /// Ends the machines that are kept ready, and keeps none ready any more.
    fn end_warm_pool(&self, py: Python<'_>) {
        py.detach(|| runtime().block_on(self.pyro.end_warm_pool()));
    }

    /// Begins an operation; `arguments` is a JSON object, `stdin` the whole input of a command.
    #[pyo3(signature = (operation, arguments, stdin=None))]
    fn begin(&self, operation: &str, arguments: &str, stdin: Option<Vec<u8>>) -> Call {
        Call::begin(runtime(), Arc::clone(&self.pyro), operation.to_owned(), arguments.to_owned(), stdin)
    }
}

#[pymodule]
fn pyro_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Native>()?;
    module.add_class::<Call>()
}
