//! What a client is answered: each connection asks one thing and hears the answers.

use bytes::Bytes;
use pyro_protocol::frame::Kind as FrameKind;
use pyro_store::{Ended, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::letter::{Attached, Letter};
use super::table::{Progress, Table};
use super::wire::{Arrived, Ear, ExecRequest, Mouth, Reply, Request, Talk};
use crate::error::Unavailable;
use crate::{Error, limits};

/// Answers a client's one request.
pub async fn answer(talk: Talk, letters: &mpsc::Sender<Letter>, table: &Table, request: Request) -> Result<(), Error> {
    let mut talk = talk;
    match request.clone() {
        Request::Exec(request) => match request.check() {
            Ok(()) => exec(talk, letters, request).await,
            Err(error) => talk.send(&Reply::Failed { failure: error.failure() }).await,
        },
        Request::Watch { sequence } => match table.find(sequence) {
            Some(handle) => watch_command(talk, handle.progress).await,
            None => talk.send(&Reply::NotRunning).await,
        },
        Request::Cancel { sequence } => match table.find(sequence) {
            Some(handle) => {
                handle.cancel.cancel("somebody cancelled it");
                watch_command(talk, handle.progress).await
            }
            None => talk.send(&Reply::NotRunning).await,
        },
        Request::WatchTask => watch_task(talk, table.latest.subscribe()).await,
        Request::Start => change(talk, letters, |answer| Letter::Start { answer }).await,
        Request::Stop => change(talk, letters, |answer| Letter::Stop { answer }).await,
        Request::Extend { ttl_seconds } => match limits::ttl(i64::try_from(ttl_seconds).unwrap_or(i64::MAX)) {
            Ok(_) => change(talk, letters, |answer| Letter::Extend { ttl_seconds, answer }).await,
            Err(error) => talk.send(&Reply::Failed { failure: error.failure() }).await,
        },
        Request::Delete | Request::Expire => {
            let reason = if request == Request::Delete { Ended::Deleted } else { Ended::Expired };
            let reply = match ask(letters, |answer| Letter::Remove { reason, answer }).await {
                Ok(()) => Reply::Deleted,
                Err(error) => Reply::Failed { failure: error.failure() },
            };
            talk.send(&reply).await
        }
    }
}

/// Asks the owner and waits for the answer.
async fn ask<T>(
    letters: &mpsc::Sender<Letter>,
    letter: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Letter,
) -> Result<T, Error> {
    let gone = || Unavailable::Supervisor { id: "this machine".into(), what: "is ending", log: String::new() };
    let (answer, answered) = oneshot::channel();
    letters.send(letter(answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

async fn change(
    mut talk: Talk,
    letters: &mpsc::Sender<Letter>,
    letter: impl FnOnce(oneshot::Sender<Result<Record, Error>>) -> Letter,
) -> Result<(), Error> {
    let reply = match ask(letters, letter).await {
        Ok(record) => Reply::Done { record },
        Err(error) => Reply::Failed { failure: error.failure() },
    };
    talk.send(&reply).await
}

async fn exec(mut talk: Talk, letters: &mpsc::Sender<Letter>, request: ExecRequest) -> Result<(), Error> {
    let joined = match ask(letters, |answer| Letter::Exec { request, answer }).await {
        Ok(joined) => joined,
        Err(error) => return talk.send(&Reply::Failed { failure: error.failure() }).await,
    };
    let accepted = Reply::Accepted { sequence: joined.sequence, joined: joined.joined };
    talk.send(&accepted).await?;
    match joined.attached {
        Some(attached) => stream(talk, attached).await,
        None => Ok(()),
    }
}

/// Output as it comes, and input the other way, until the command is over or the client is gone.
async fn stream(talk: Talk, attached: Attached) -> Result<(), Error> {
    let Talk { ear, mut mouth } = talk;
    let Attached { mut pieces, progress, input } = attached;
    let mut listening = JoinSet::new();
    listening.spawn(take_input(ear, input));
    while let Some((kind, bytes)) = pieces.recv().await {
        mouth.data(kind, &bytes).await?;
    }
    let end = progress.borrow().end.clone();
    match end {
        Some(entry) => mouth.send(&Reply::Ended { entry: (*entry).clone() }).await,
        None => mouth.send(&Reply::Detached).await,
    }
}

/// The client's input, to its end or the client's.
async fn take_input(mut ear: Ear, input: mpsc::Sender<Bytes>) {
    while let Ok(Some(Arrived::Data(FrameKind::Stdin, bytes))) = ear.next().await {
        if input.send(bytes).await.is_err() {
            return;
        }
    }
}

async fn watch_command(talk: Talk, mut progress: watch::Receiver<Progress>) -> Result<(), Error> {
    let Talk { mut ear, mut mouth } = talk;
    loop {
        let now = progress.borrow_and_update().clone();
        if let Some(entry) = now.end {
            return mouth.send(&Reply::Ended { entry: (*entry).clone() }).await;
        }
        mouth.send(&Reply::Grown { stdout: now.stdout, stderr: now.stderr }).await?;
        tokio::select! {
            changed = progress.changed() => if changed.is_err() {
                return mouth.send(&Reply::NotRunning).await;
            },
            _ = ear.next() => return Ok(()),
        }
    }
}

async fn watch_task(talk: Talk, mut latest: watch::Receiver<u64>) -> Result<(), Error> {
    let Talk { mut ear, mut mouth } = talk;
    loop {
        let sequence = *latest.borrow_and_update();
        tell(&mut mouth, sequence).await?;
        tokio::select! {
            changed = latest.changed() => if changed.is_err() {
                return Ok(());
            },
            _ = ear.next() => return Ok(()),
        }
    }
}

async fn tell(mouth: &mut Mouth, sequence: u64) -> Result<(), Error> {
    mouth.send(&Reply::Latest { sequence }).await
}
