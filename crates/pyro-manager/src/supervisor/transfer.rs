//! A file operation: the pipes of a file worker, passed on between its guest and one client.
//!
//! ```text
//! opened ─▶ input to the worker, output to the client ─▶ the worker ends ─▶ the client is told
//!                 └─ the client is gone, or the machine is ending ─▶ the worker is killed
//! ```
//!
//! Nothing of it goes into the journal, and nobody can join it. A worker that is killed has changed a file as a whole,
//! or not at all.

use std::time::Duration;

use bytes::Bytes;
use pyro_guest::{Exit, GuestError};
use pyro_store::journal::Stream as OutputStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mailbox::{Message, Piece, Transfer};
use crate::follow::{Broken, Follow, Machine, Sink};
use crate::workspace::CommandStream;

/// Pieces of input and output on their way.
const IN_FLIGHT: usize = 16;

/// The supervisor's ends.
pub(super) struct Worker {
    stream: CommandStream,
    feeding: JoinSet<()>,
    timeout: Duration,
    cancel: CancellationToken,
    client: mpsc::Sender<Piece>,
    end: oneshot::Sender<Result<Exit, String>>,
    mailbox: mpsc::Sender<Message>,
}

/// Puts a worker between its guest and a client.
pub(super) fn transfer(
    mut stream: CommandStream,
    timeout: Duration,
    cancel: CancellationToken,
    mailbox: mpsc::Sender<Message>,
) -> (Transfer, Worker) {
    let (client, pieces) = mpsc::channel(IN_FLIGHT);
    let (input, to_feed) = mpsc::channel(IN_FLIGHT);
    let (end, ended) = oneshot::channel();
    let mut feeding = JoinSet::new();
    stream.input().feed(Some(to_feed), &mut feeding);
    let transfer = Transfer { pieces, input, end: ended, ended_with_it: cancel.clone().drop_guard() };
    (transfer, Worker { stream, feeding, timeout, cancel, client, end, mailbox })
}

impl Worker {
    /// To the worker's end.
    pub async fn drive(mut self) {
        let follow = Follow { machine: Machine::Shared, timeout: self.timeout, cancel: &self.cancel };
        let mut sink = Client { pieces: self.client, mailbox: self.mailbox.clone() };
        let followed = follow.to_end(&mut self.stream, &mut sink, std::future::pending()).await;
        drop(self.feeding);
        let said = match followed {
            Ok(exit) => Ok(exit),
            Err(Broken::Sink(ClientGone)) => {
                self.stream.kill();
                return;
            }
            Err(Broken::Guest(GuestError::Refused(refusal))) => Err(refusal.message),
            Err(Broken::Guest(GuestError::Gone)) => {
                let _ = self.mailbox.send(Message::ChannelClosed).await;
                Err("the machine ended meanwhile".to_owned())
            }
            Err(Broken::Guest(error)) => {
                let what = format!("the guest's answers make no sense ({error}), so its machine was ended");
                let _ = self.mailbox.send(Message::Trouble { what: what.clone() }).await;
                Err(what)
            }
            // The owner watches a shared machine, and a worker in it is not given up.
            Err(Broken::Cancelled | Broken::Died(_)) => Err("the machine ended meanwhile".to_owned()),
        };
        // The output is all on its way before the end.
        drop(sink);
        let _ = self.end.send(said);
    }
}

/// The client has hung up.
struct ClientGone;

/// Who gets the worker's output.
struct Client {
    pieces: mpsc::Sender<Piece>,
    mailbox: mpsc::Sender<Message>,
}

impl Sink for Client {
    type Error = ClientGone;

    async fn output(&mut self, stream: OutputStream, bytes: Bytes) -> Result<(), ClientGone> {
        self.pieces.send((stream, bytes)).await.map_err(|_| ClientGone)
    }

    async fn guest_hangs(&mut self) {
        let what = "the guest did not end a file operation that reached its time limit, so its machine was ended";
        let _ = self.mailbox.send(Message::Trouble { what: what.to_owned() }).await;
    }
}
