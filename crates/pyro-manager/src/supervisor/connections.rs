//! Clients' connections, and how many there may be.
//!
//! ```text
//! accepted ─▶ waits for its request ─▶ answered ─▶ closed
//!    │              └ too late, or others came after it ─▶ closed
//!    └ too many are open ─▶ told so, closed
//! ```
//!
//! What a stranger to the protocol can hold is bounded: connections, those among them that have not asked yet, the
//! time they may take, and the bytes of a request. A process without descriptors accepts nothing and waits; it does not spin.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mailbox::Message;
use super::rpc::{Connection, Reply, encoded};
use super::serve::answer;
use super::table::Table;
use crate::Error;
use crate::error::Unavailable;
use crate::threads::lock;

/// Connections at once. Each client has one or two; a descriptor and some 40 KiB belong to each.
const MAX_CONNECTIONS: usize = 256;
/// Connections at once that have not asked anything yet; a client asks as soon as it is connected.
const MAX_SILENT: usize = 128;
/// Bytes of requests that have not arrived whole, of all connections together. One that brings more is closed.
const MAX_UNASKED_BYTES: usize = 4 << 20;
/// How long a client may take to ask.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the next connection is left alone when this process is out of descriptors and none of its own
/// connections ends: another part of it, or of the host, must give one back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Takes connections until `closing`, and then lets those that are there end.
pub async fn serve(
    listener: UnixListener,
    mailbox: mpsc::Sender<Message>,
    table: Arc<Table>,
    closing: CancellationToken,
) {
    let mut connections = JoinSet::new();
    let silent = Silent::new();
    loop {
        tokio::select! {
            () = closing.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() >= MAX_CONNECTIONS => refuse(&stream),
                Ok((stream, _)) => {
                    let (mailbox, table, silent) = (mailbox.clone(), table.clone(), silent.clone());
                    // A client that is gone needs no answer.
                    connections.spawn(async move { drop(converse(Connection::new(stream), &mailbox, &table, &silent).await) });
                }
                Err(_) => tokio::select! {
                    _ = connections.join_next(), if !connections.is_empty() => {}
                    () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                },
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop((listener, mailbox));
    while connections.join_next().await.is_some() {}
}

/// Tells a client that it comes too many. What the socket does not take at once it does not get.
fn refuse(stream: &UnixStream) {
    let error = Error::from(Unavailable::TooManyClients { limit: MAX_CONNECTIONS });
    let _ = stream.try_write(&encoded(&Reply::failed(&error)));
}

async fn converse(
    mut connection: Connection,
    mailbox: &mpsc::Sender<Message>,
    table: &Table,
    silent: &Silent,
) -> Result<(), Error> {
    let asked = {
        let target = silent.enter();
        tokio::select! {
            // A request that is there already is taken, whoever came after it.
            biased;
            asked = tokio::time::timeout(REQUEST_TIMEOUT, connection.hear(silent.bytes.clone())) => asked,
            () = target.token.cancelled() => return Ok(()),
        }
    };
    match asked {
        // On the heap, so that a connection that asks nothing holds little.
        Ok(Ok(Some(request))) => Box::pin(answer(connection, mailbox, table, request)).await,
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => connection.send(&Reply::failed(&error)).await,
        Err(_) => {
            let problem = format!("no request came within {} s", REQUEST_TIMEOUT.as_secs());
            connection.send(&Reply::failed(&Error::InvalidArgument { problem })).await
        }
    }
}

/// The connections that have not asked anything yet, oldest first. The oldest goes when there are too many.
#[derive(Clone)]
struct Silent {
    oldest_first: Arc<Mutex<VecDeque<(u64, CancellationToken)>>>,
    bytes: Arc<Semaphore>,
}

/// A connection's slot among them, until it is dropped.
struct Slot {
    silent: Silent,
    number: u64,
    token: CancellationToken,
}

impl Silent {
    fn new() -> Self {
        Self { oldest_first: Arc::default(), bytes: Arc::new(Semaphore::new(MAX_UNASKED_BYTES)) }
    }

    fn enter(&self) -> Slot {
        let mut all = lock(&self.oldest_first);
        let number = all.back().map_or(0, |(number, _)| number + 1);
        let token = CancellationToken::new();
        all.push_back((number, token.clone()));
        if all.len() > MAX_SILENT
            && let Some((_, oldest)) = all.pop_front()
        {
            oldest.cancel();
        }
        Slot { silent: self.clone(), number, token }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut all = lock(&self.silent.oldest_first);
        all.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_has_not_asked_goes_when_there_are_too_many() {
        let silent = Silent::new();
        let slots: Vec<Slot> = (0..MAX_SILENT + 3).map(|_| silent.enter()).collect();
        let gone: Vec<bool> = slots.iter().map(|slot| slot.token.is_cancelled()).collect();
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 3);
        assert!(gone[..3].iter().all(|gone| *gone));
        drop(slots);
        assert!(silent.oldest_first.lock().unwrap().is_empty());
    }
}
