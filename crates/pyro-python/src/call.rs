//! One operation that was begun.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyro_api::{Failure, Pyro, RunEvent, RunIo};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::operations;

/// How often a waiting thread looks whether Python has a signal for it.
const LOOK: Duration = Duration::from_millis(50);
/// Events kept for a caller who reads them.
const IN_FLIGHT: usize = 64;

type Outcome = Result<String, Failure>;

/// An operation that is under way.
#[pyclass(frozen)]
pub struct Call {
    runtime: &'static Runtime,
    cancel: CancellationToken,
    events: tokio::sync::Mutex<mpsc::Receiver<RunEvent>>,
    outcome: Mutex<Option<JoinHandle<Outcome>>>,
}

impl Call {
    pub fn begin(
        runtime: &'static Runtime,
        pyro: Arc<Pyro>,
        operation: String,
        arguments: String,
        stdin: Option<Vec<u8>>,
    ) -> Self {
        let (events, heard) = mpsc::channel(IN_FLIGHT);
        let cancel = CancellationToken::new();
        let stdin = stdin.map(|bytes| {
            let (sender, receiver) = mpsc::channel(1);
            // There is room for one, and it is the only one.
            let _ = sender.try_send(Bytes::from(bytes));
            receiver
        });
        let io = RunIo { events, stdin, cancel: cancel.clone() };
        let outcome = runtime.spawn(async move {
            operations::carry_out(&pyro, &operation, &arguments, io).await.map_err(|error| error.failure())
        });
        Self { runtime, cancel, events: tokio::sync::Mutex::new(heard), outcome: Mutex::new(Some(outcome)) }
    }

    /// Waits without the interpreter's lock, and looks for signals now and then. A signal that
    /// raises (Ctrl-C) ends what runs in the guest first.
    fn wait<T: Send>(&self, py: Python<'_>, waiting: impl Future<Output = T> + Send) -> PyResult<T> {
        let mut waiting = Box::pin(waiting);
        let mut raised = None;
        loop {
            let step =
                py.detach(|| self.runtime.block_on(async { tokio::time::timeout(LOOK, waiting.as_mut()).await.ok() }));
            match (step, raised) {
                (Some(_), Some(error)) => return Err(error),
                (Some(done), None) => return Ok(done),
                (None, Some(error)) => raised = Some(error),
                (None, None) => {
                    raised = py.check_signals().err();
                    if raised.is_some() {
                        self.cancel.cancel();
                    }
                }
            }
        }
    }
}

#[pymethods]
impl Call {
    /// The next thing that happens: a word and bytes; none when the operation is over.
    fn next_event<'py>(&self, py: Python<'py>) -> PyResult<Option<(&'static str, Bound<'py, PyBytes>)>> {
        let event = self.wait(py, async { self.events.lock().await.recv().await })?;
        Ok(event.map(|event| match event {
            RunEvent::Stdout(bytes) => ("stdout", PyBytes::new(py, &bytes)),
            RunEvent::Stderr(bytes) => ("stderr", PyBytes::new(py, &bytes)),
            RunEvent::Notice(text) => ("notice", PyBytes::new(py, text.as_bytes())),
            RunEvent::Transferred { entries, bytes } => {
                ("progress", PyBytes::new(py, format!("{entries} entries, {bytes} bytes").as_bytes()))
            }
            RunEvent::Phase(phase) => ("phase", PyBytes::new(py, operations::describe(&phase).as_bytes())),
            RunEvent::Environment(progress) => ("progress", PyBytes::new(py, progress.describe().as_bytes())),
        }))
    }

    /// Waits for the end; events that nobody reads are left out. A pair: whether it worked, and the
    /// payload or the failure as JSON.
    fn result(&self, py: Python<'_>) -> PyResult<(bool, String)> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let outcome = outcome.ok_or_else(|| PyRuntimeError::new_err("the result was taken already"))?;
        let waiting = async {
            let mut events = self.events.lock().await;
            let drained = async { while events.recv().await.is_some() {} };
            tokio::join!(outcome, drained).0
        };
        match self.wait(py, waiting)? {
            Ok(Ok(payload)) => Ok((true, payload)),
            Ok(Err(failure)) => {
                let text = serde_json::to_string(&failure).expect("a failure has string keys only");
                Ok((false, text))
            }
            Err(error) => Err(PyRuntimeError::new_err(format!("the operation ended unexpectedly: {error}"))),
        }
    }

    /// Ends what it runs.
    fn cancel(&self) {
        self.cancel.cancel();
    }
}
