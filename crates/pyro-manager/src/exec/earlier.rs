//! Commands whose attempt was made before, and commands that nobody waits for.

use pyro_store::Record;
use pyro_store::journal::{CommandRecord, Status};

use crate::error::Unavailable;
use crate::supervisor::request::{ExecRequest as RpcExec, digest};
use crate::supervisor::rpc::{Reply, Request};
use crate::{Error, Pyro};

impl Pyro {
    /// Sends a command off and returns its number, and what it is: one that was made before may be over.
    pub(crate) async fn send_detached(&self, record: &Record, request: RpcExec) -> Result<(u64, Status), Error> {
        let Some(mut connection) = self.put(record, &Request::Exec(request.clone().into())).await? else {
            return match Box::pin(self.made_earlier(record, &request)).await? {
                Some(entry) => Ok((entry.began.sequence, entry.status())),
                None => Err(Box::pin(self.why_stopped(record)).await),
            };
        };
        match connection.reply().await? {
            Some(Reply::Failed { failure }) => Err(failure.into()),
            Some(Reply::Accepted { sequence, joined: false }) => Ok((sequence, Status::Running)),
            Some(Reply::Accepted { sequence, joined: true }) => {
                Ok((sequence, Box::pin(self.entry(record, sequence)).await?.status()))
            }
            _ => {
                let unanswered = Box::pin(self.unanswered(record)).await;
                match Box::pin(self.made_earlier(record, &request)).await? {
                    Some(entry) => Ok((entry.began.sequence, entry.status())),
                    None => Err(unanswered),
                }
            }
        }
    }

    /// The command that this attempt has begun, where its supervisor is dead: the journal knows it.
    pub(super) async fn made_earlier(
        &self,
        record: &Record,
        request: &RpcExec,
    ) -> Result<Option<CommandRecord>, Error> {
        let Some(attempt_id) = request.attempt_id.clone() else { return Ok(None) };
        let record = self.record_of(record.kind, record.id.as_str()).await?;
        let known = Box::pin(self.journal_of(&record)).await?.entries;
        match known.into_iter().find(|entry| entry.began.attempt_id.as_ref() == Some(&attempt_id)) {
            Some(entry) if entry.began.request_digest != digest(request) => {
                Err(Unavailable::AttemptConflict { attempt_id }.into())
            }
            known => Ok(known),
        }
    }
}
