//! Creating a VM or task: exactly once for each attempt, and nothing is left where it fails.
//!
//! ```text
//! limits ─▶ environment (pulled when it is not there) ─▶ admitted: directory, locks, record, row
//!        ─▶ supervisor ─▶ ready ─▶ taken (the file `creating` is removed: from here on it stays)
//! ```

use std::path::Path;
use std::time::Instant;

use pyro_hostfs::lock::Lock;
use pyro_store::machines::Machines;
use pyro_store::{Kind, Known, Naming, Record, State};
use tokio::sync::mpsc;

use crate::clock::{millis, now};
use crate::error::Unavailable;
use crate::events::RunEvent;
use crate::id::VmId;
use crate::limits::{MachineSize, NetworkPolicy};
use crate::network::UplinkPlan;
use crate::supervisor::launch::launch;
use crate::threads::off_thread;
use crate::{Error, Pyro, Settings, VmOptions};

/// A VM or task to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRequest {
    /// The environment's name.
    pub environment: String,
    /// The machine.
    pub options: VmOptions,
    /// What it is called.
    pub naming: Naming,
    /// The caller's name for this attempt. A second call with the same name gets what the first one
    /// made, or waits for it.
    pub attempt_id: Option<String>,
}

/// What came of being admitted.
enum Admitted {
    /// The directory is ours.
    New(Box<Record>, Lock, Lock),
    /// Another call has made this attempt.
    Known,
}

impl Pyro {
    pub(crate) async fn create(
        &self,
        kind: Kind,
        request: CreateRequest,
        events: &mpsc::Sender<RunEvent>,
    ) -> Result<Record, Error> {
        request.naming.check()?;
        let (network, id) = (NetworkPolicy::of(request.options.settings), VmId::random()?);
        let mac_address = id.mac_address();
        self.off_thread(move |pyro| UplinkPlan::for_policy(&pyro.config, network, mac_address)).await?;
        let entry = self.store.entry(&request.environment)?;
        let digest = digest(kind, &request);
        if let Some(record) = self.made_before(&request, &digest).await? {
            return Ok(record);
        }
        let began = Instant::now();
        let installed = self.environment_for_run(&request.environment, events).await;
        match installed {
            Err(error) if request.options.settings.allow_host_compat && error.means_no_guest() => {}
            installed => drop(installed?),
        }
        let mut record = Record::new(id, kind, &request.environment, entry.version, request.options.into(), now());
        record.naming = request.naming.clone();
        record.attempt_id = request.attempt_id.clone();
        record.request_digest = digest.clone();
        record.create_ms = millis(began.elapsed());
        loop {
            match self.admit(record.clone()).await? {
                Admitted::New(record, life, creating) => {
                    let machines = self.machines();
                    let directory = machines.directory(&record.id);
                    self.failpoints.reached("launch.before");
                    let launched = launch(&self.config, &record.id, &directory, life, Some(creating), events).await;
                    self.failpoints.reached("take.before");
                    let launched = match launched {
                        Ok((record, _talk)) => {
                            off_thread(move || Ok(machines.commit(&record.id).map(|()| record)?)).await
                        }
                        Err(error) => Err(error),
                    };
                    self.failpoints.reached("take.after");
                    if launched.is_err() {
                        self.clean_up_after(&record.id).await;
                    }
                    return launched;
                }
                Admitted::Known => {
                    if let Some(record) = self.made_before(&request, &digest).await? {
                        return Ok(record);
                    }
                    // The other call has failed, and this one may try.
                }
            }
        }
    }

    /// What an earlier call with this attempt id has made; one that is at it is waited for.
    async fn made_before(&self, request: &CreateRequest, digest: &str) -> Result<Option<Record>, Error> {
        let Some(attempt_id) = request.attempt_id.clone() else { return Ok(None) };
        let (machines, digest) = (self.machines(), digest.to_owned());
        off_thread(move || {
            loop {
                match machines.registry()?.find_attempt(&attempt_id)? {
                    Known::Nothing => return Ok(None),
                    Known::Gone { id, kind, reason } => {
                        return Err(Unavailable::Gone { kind, id: id.to_string(), reason }.into());
                    }
                    Known::Here(record) if record.request_digest != digest => {
                        return Err(Unavailable::AttemptConflict { attempt_id }.into());
                    }
                    Known::Here(record) if record.state == State::Creating || !machines.is_committed(&record.id)? => {
                        machines.wait_until_committed(&record.id);
                        if !machines.is_alive(&record.id)? {
                            machines.look_after(&record.id)?;
                        }
                    }
                    Known::Here(record) => return Ok(Some(*record)),
                }
            }
        })
        .await
    }

    /// Makes directory, locks, record and row, while nobody else is admitted.
    async fn admit(&self, record: Record) -> Result<Admitted, Error> {
        let (machines, failpoints) = (self.machines(), self.failpoints.clone());
        let admission = self.admission(MachineSize::of(&record));
        off_thread(move || {
            let (mut known, mut creating) = (false, None);
            failpoints.reached("admit.before");
            let fill = |path: &Path| {
                if let Some(attempt_id) = &record.attempt_id {
                    known = machines.registry()?.find_attempt(attempt_id)? != Known::Nothing;
                    if known {
                        return Err(Error::Cancelled); // it is told apart below
                    }
                }
                if let Some(name) = &record.naming.name {
                    machines.check_name_is_free(name)?;
                }
                creating = Some(Machines::lock_creating(path)?);
                failpoints.reached("admit.record");
                Ok(record.write(path)?)
            };
            let publish = || {
                failpoints.reached("admit.row");
                Ok(machines.registry()?.put(&record)?)
            };
            let admitted = machines.admit(&record.id, admission, fill, publish);
            failpoints.reached("admit.after");
            if known {
                return Ok(Admitted::Known);
            }
            let (_, life) = admitted?;
            let creating = creating.expect("an admitted machine's lock was taken");
            Ok(Admitted::New(Box::new(record), life, creating))
        })
        .await
    }

    /// A supervisor that failed has undone everything itself; one that died has not.
    async fn clean_up_after(&self, id: &VmId) {
        let (machines, id) = (self.machines(), id.clone());
        let cleaned = off_thread(move || {
            machines.wait_for_end(&id);
            Ok(machines.look_after(&id)?)
        });
        // The next sweep will do it.
        let _ = cleaned.await;
    }
}

fn digest(kind: Kind, request: &CreateRequest) -> String {
    pyro_hostfs::digest::of_bytes(digested(kind, request).as_bytes())
}

/// A repeated attempt may come from another release, so this text is frozen: release 2.1.0 wrote it. Settings that it
/// did not know, and what the task is called, stand behind it, where they are not what they are by default.
fn digested(kind: Kind, request: &CreateRequest) -> String {
    let CreateRequest { environment, options: VmOptions { size, ttl, settings }, naming, attempt_id: _ } = request;
    let network = if settings.network { "Egress" } else { "Off" };
    let host_compat = if settings.allow_host_compat { "Allowed" } else { "Refused" };
    let (kind, vcpus, memory_mib) = (kind.as_str(), size.vcpus(), size.memory_mib());
    let mut text = format!(
        "{kind} {environment} VmOptions {{ size: MachineSize {{ vcpus: {vcpus}, memory_mib: {memory_mib} }}, \
         ttl: {ttl:?}, network: {network}, host_compat: {host_compat} }}"
    );
    let mut others = *settings;
    (others.network, others.allow_host_compat) = (false, false);
    if others != Settings::default() {
        text += &serde_json::to_string(&others).expect("settings have string keys only");
    }
    if *naming != Naming::default() {
        text += &serde_json::to_string(naming).expect("names and labels have string keys only");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_of_the_release_before_is_known_again() {
        let request = CreateRequest {
            environment: "debian:12".into(),
            options: VmOptions::default(),
            naming: Naming::default(),
            attempt_id: Some("mine".into()),
        };
        let expected = "task debian:12 VmOptions { size: MachineSize { vcpus: 1, memory_mib: 1024 }, ttl: 600s, \
                        network: Off, host_compat: Refused }";
        assert_eq!(digested(Kind::Task, &request), expected);
        let named = |name: &str| {
            let naming = Naming { name: Some(name.into()), ..Naming::default() };
            digested(Kind::Task, &CreateRequest { naming, ..request.clone() })
        };
        assert_eq!(named("one"), format!("{expected}{{\"name\":\"one\"}}"));
        assert_ne!(named("one"), named("two"), "another name is another request");
    }
}
