//! VMs: created → started → stopped → started …; deleted from any state.

use std::time::Duration;

use pyro_store::{Ended, Kind, Record};
use tokio::sync::mpsc;

use crate::create::CreateRequest;
use crate::error::Unavailable;
use crate::events::{RunEvent, RunIo};
use crate::exec::{ExecRequest, Over};
use crate::payload::{HOST_COMPAT, Isolation, NetworkInfo, Reaped, RunRecord, StartMode, VmDeleted, VmRecord};
use crate::run::{Executed, How, record};
use crate::supervisor::rpc::{Reply, Request};
use crate::threads::off_thread;
use crate::{Error, Pyro};

impl Pyro {
    /// Creates a VM. Its machine is not started yet.
    ///
    /// # Errors
    /// [`Error`]; then nothing of it is left.
    pub async fn create_vm(&self, request: CreateRequest, events: &mpsc::Sender<RunEvent>) -> Result<VmRecord, Error> {
        Ok(VmRecord::new(&self.create(Kind::Vm, request, events).await?))
    }

    /// Starts its machine; one that runs is left as it is.
    ///
    /// # Errors
    /// [`Error`]; then it is in the state it was in.
    pub async fn start_vm(&self, vm_id: &str) -> Result<VmRecord, Error> {
        let record = self.record_of(Kind::Vm, vm_id).await?;
        self.supervised(&record).await?;
        self.changed(&record, Request::Start).await
    }

    /// Stops its machine in an orderly way. Its disk stays.
    ///
    /// # Errors
    /// [`Error`], when there is no such VM.
    pub async fn stop_vm(&self, vm_id: &str) -> Result<VmRecord, Error> {
        let record = self.record_of(Kind::Vm, vm_id).await?;
        self.changed(&record, Request::Stop).await
    }

    /// What there is to know of it.
    ///
    /// # Errors
    /// [`Error`], when there is no such VM.
    pub async fn status_vm(&self, vm_id: &str) -> Result<VmRecord, Error> {
        Ok(VmRecord::new(&self.record_of(Kind::Vm, vm_id).await?))
    }

    /// Every VM, oldest first. A one-shot run is not among them.
    ///
    /// # Errors
    /// [`Error`], when the registry cannot be read.
    pub async fn list_vms(&self) -> Result<Vec<VmRecord>, Error> {
        Ok(self.find_all(Kind::Vm, "").await?.0.iter().map(|seen| VmRecord::new(&seen.record)).collect())
    }

    /// Deletes it, whatever its state.
    ///
    /// # Errors
    /// [`Error`], when there is no such VM or something could not be removed.
    pub async fn delete_vm(&self, vm_id: &str) -> Result<VmDeleted, Error> {
        let record = self.record_of(Kind::Vm, vm_id).await?;
        self.delete(&record).await?;
        Ok(VmDeleted { vm_id: record.id.to_string(), deleted: true, reason: "explicit_delete" })
    }

    /// Runs one command in a started VM and deletes the VM, whatever came of it.
    ///
    /// # Errors
    /// [`Error`]; a VM that was not started is left as it is.
    pub async fn exec_vm(&self, vm_id: &str, request: ExecRequest, io: RunIo) -> Result<RunRecord, Error> {
        let exec = request.to_rpc(true, true)?;
        let vm = self.record_of(Kind::Vm, vm_id).await?;
        let sent = self.send(&vm, &exec, io).await;
        if !matches!(&sent, Err(error) if matches!(error.code(), "not_started" | "vm_stopped")) {
            match self.delete(&vm).await {
                // Its supervisor may have done so already.
                Err(Error::Unavailable(Unavailable::Gone { .. } | Unavailable::Unknown { .. })) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(vm_result(&vm, request.command, sent?))
    }

    /// Its network.
    ///
    /// # Errors
    /// [`Error`], when there is no such VM.
    pub async fn network_info_vm(&self, vm_id: &str) -> Result<NetworkInfo, Error> {
        let record = self.record_of(Kind::Vm, vm_id).await?;
        let reason = match (record.settings.network, &record.addresses) {
            (false, _) => Some("network is disabled".to_owned()),
            (true, Some(_)) => None,
            (true, None) if record.execution_mode == HOST_COMPAT => {
                Some("commands run on the host and use the host's own network".to_owned())
            }
            (true, None) => Some(record.last_error.unwrap_or_else(|| "the VM is not started".into())),
        };
        Ok(NetworkInfo {
            vm_id: record.id.to_string(),
            network_enabled: record.settings.network,
            outbound_connectivity_expected: record.addresses.is_some(),
            addresses: record.addresses.map(Into::into),
            reason,
        })
    }

    /// Removes every VM and task whose time is up by the wall's clock.
    ///
    /// # Errors
    /// [`Error`], when the registry cannot be read.
    pub async fn reap_expired(&self) -> Result<Reaped, Error> {
        let mut reaped = Reaped::default();
        let now = crate::clock::now();
        for (kind, ids) in [(Kind::Vm, &mut reaped.deleted_vm_ids), (Kind::Task, &mut reaped.deleted_task_ids)] {
            let machines = self.machines();
            // Not recovered before: what recovery removes would not be told.
            let records = off_thread(move || Ok(machines.registry()?.list(kind, "")?)).await?;
            for record in records.iter().filter(|record| record.is_expired(now)) {
                // A dead one is settled on the way; a living one does it itself.
                self.ask(record, &Request::Expire).await?;
                ids.push(record.id.to_string());
            }
        }
        reaped.count = reaped.deleted_vm_ids.len() + reaped.deleted_task_ids.len();
        Ok(reaped)
    }

    /// Deletes a VM or task, with or without the help of its supervisor.
    pub(crate) async fn delete(&self, record: &Record) -> Result<(), Error> {
        if let Some(Reply::Deleted) = self.ask(record, &Request::Delete).await? {
            return Ok(());
        }
        let (machines, id) = (self.machines(), record.id.clone());
        off_thread(move || match machines.take_over_to_remove(&id)? {
            Some(_lock) => Ok(machines.remove_with_tombstone(&id, Ended::Deleted)?),
            None => Ok(()),
        })
        .await
    }

    async fn changed(&self, record: &Record, request: Request) -> Result<VmRecord, Error> {
        match self.ask(record, &request).await? {
            Some(Reply::Done { record }) => Ok(VmRecord::new(&record.try_into()?)),
            _ => self.status_vm(record.id.as_str()).await,
        }
    }
}

fn vm_result(vm: &Record, command: String, over: Over) -> RunRecord {
    let Over { entry, stdout, stderr } = over;
    let end = entry.end.expect("a command that is over has an end");
    let exit = pyro_guest::Exit {
        code: end.exit_code.unwrap_or_default(),
        timed_out: end.status == pyro_store::journal::Status::TimedOut,
        out_of_memory: end.out_of_memory,
        duration: Duration::from_millis(end.duration_ms.unwrap_or_default()),
    };
    let how = How {
        vm_id: vm.id.to_string(),
        version: vm.environment_version.clone(),
        execution_mode: entry.began.execution_mode,
        accelerator: vm.accelerator.clone(),
        start_mode: vm.start_mode.as_deref().and_then(StartMode::parse),
        isolation: Isolation { boundary: vm.boundary.clone().unwrap_or_default(), layers: vm.layers.clone() },
        created: Duration::from_secs_f64(vm.create_ms / 1e3),
        start: Duration::from_secs_f64(vm.start_ms / 1e3),
        deleted: "post_exec_cleanup",
    };
    let took = Duration::from_secs_f64((end.finished_at - entry.began.started_at).max(0.0));
    record(vm.environment.clone(), command, how, Executed { exit, stdout, stderr, took })
}
