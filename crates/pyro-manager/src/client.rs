//! The way to a supervisor, and what to make of it when there is none.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use tokio::net::UnixStream;

use crate::error::Unavailable;
use crate::registry::{Kind, Known, Record, State};
use crate::supervisor::SOCKET;
use crate::supervisor::wire::{Reply, Request, Talk};
use crate::vm::{VmId, is_hex};
use crate::{Error, Pyro};

/// Runs what waits for files or the registry on a thread of its own.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(crate::error::host("finish the work")(std::io::Error::other(error))))
}

/// Connects to the supervisor of a directory. The path goes through a descriptor, because a
/// socket's may not be longer than 107 bytes.
async fn connect(directory: &Path) -> std::io::Result<Talk> {
    let opened = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    UnixStream::connect(path).await.map(Talk::new)
}

impl Pyro {
    /// The same for work of the manager's own.
    pub(crate) async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let pyro = self.clone();
        off_thread(move || work(&pyro)).await
    }

    /// What is known of a VM or task, after a look at whether its supervisor lives.
    pub(crate) async fn record_of(&self, kind: Kind, id: &str) -> Result<Record, Error> {
        let (machines, text) = (self.machines(), id.to_owned());
        let unknown = move || Unavailable::Unknown { kind, id: text.clone() };
        let Some(id) = VmId::parse(id) else { return Err(unknown().into()) };
        off_thread(move || {
            // What its living owner wrote is never older than the registry, and sooner read.
            if let Some(record) = machines.of_the_living(&id)
                && record.kind == kind
                && record.state != State::Creating
            {
                return Ok(record);
            }
            let mut known = machines.registry()?.find(&id)?;
            if let Known::Here(record) = &known
                && record.state != State::Creating
                && !machines.is_alive(&id)
            {
                machines.look_after(&id)?;
                known = machines.registry()?.find(&id)?;
            }
            match known {
                Known::Here(record) if record.kind == kind && record.state != State::Creating => Ok(*record),
                Known::Gone { kind: was, reason, .. } if was == kind => {
                    Err(Unavailable::Gone { kind, id: id.to_string(), reason }.into())
                }
                _ => Err(unknown().into()),
            }
        })
        .await
    }

    /// Every VM or task whose id begins so, oldest first.
    pub(crate) async fn find_all(&self, kind: Kind, prefix: &str) -> Result<Vec<Record>, Error> {
        let (machines, prefix) = (self.machines(), prefix.to_owned());
        off_thread(move || {
            machines.sweep();
            let mut records = machines.registry()?.list(kind, &prefix)?;
            for record in &records {
                if !machines.directory(&record.id).exists() {
                    machines.look_after(&record.id)?; // somebody removed it by hand
                }
            }
            records.retain(|record| record.state != State::Creating && machines.directory(&record.id).exists());
            Ok(records)
        })
        .await
    }

    /// The whole id of which `prefix` is the beginning.
    pub(crate) async fn complete(&self, kind: Kind, prefix: &str) -> Result<String, Error> {
        if VmId::parse(prefix).is_some() || prefix.is_empty() || !is_hex(prefix) {
            return Ok(prefix.to_owned());
        }
        let mut ids: Vec<String> =
            self.find_all(kind, prefix).await?.into_iter().map(|record| record.id.to_string()).collect();
        match ids.len() {
            1 => Ok(ids.remove(0)),
            0 => Err(Unavailable::Unknown { kind, id: prefix.to_owned() }.into()),
            _ => Err(Unavailable::Ambiguous { kind, prefix: prefix.to_owned(), ids }.into()),
        }
    }

    /// A conversation with the supervisor of a record; `None` when it is dead. One that is just
    /// ending is waited for.
    pub(crate) async fn reach(&self, record: &Record) -> Result<Option<Talk>, Error> {
        let directory = self.machines().directory(&record.id);
        loop {
            if let Ok(talk) = connect(&directory).await {
                return Ok(Some(talk));
            }
            if self.wait_for_end(record).await? {
                return Ok(None);
            }
            // Another supervisor has taken it over meanwhile.
        }
    }

    /// Asks one thing that is answered once; `None` when there is no supervisor to answer.
    pub(crate) async fn ask(&self, record: &Record, request: &Request) -> Result<Option<Reply>, Error> {
        let Some(mut talk) = self.reach(record).await? else { return Ok(None) };
        self.steps.reached("ask.before");
        // When it is gone already, the end of the conversation says so.
        let _ = talk.send(request).await;
        self.steps.reached("ask.sent");
        match talk.read::<Reply>().await? {
            Some(Reply::Failed { failure }) => Err(Error::Remote { failure }),
            Some(reply) => Ok(Some(reply)),
            None => {
                self.wait_for_end(record).await?;
                Ok(None)
            }
        }
    }

    /// Waits until the supervisor has ended, and settles what it left; says whether it is dead and
    /// no other one has taken over.
    pub(crate) async fn wait_for_end(&self, record: &Record) -> Result<bool, Error> {
        let (machines, id) = (self.machines(), record.id.clone());
        off_thread(move || {
            machines.wait_for_end(&id);
            machines.look_after(&id)
        })
        .await
    }
}
