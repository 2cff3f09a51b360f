//! What a client is answered: each connection asks one thing and hears the answers.

use std::time::Duration;

use bytes::Bytes;
use pyro_guest::Exit;
use pyro_protocol::frame::Kind as FrameKind;
use pyro_store::journal::Stream;
use pyro_store::{Ended, Record};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::mailbox::{Attached, Message, Transfer};
use super::request::ExecRequest;
use super::rpc::{Arrived, Connection, Reader, Reply, Request, Writer};
use super::table::{Progress, Table};
use crate::error::Unavailable;
use crate::{Error, limits};

/// Answers a client's one request.
pub async fn answer(
    connection: Connection,
    mailbox: &mpsc::Sender<Message>,
    table: &Table,
    request: Request,
) -> Result<(), Error> {
    let mut connection = connection;
    match request.clone() {
        Request::Hello { .. } => {
            let problem = "a hello comes first, and once".into();
            connection.send(&Reply::failed(&Error::InvalidArgument { problem })).await
        }
        Request::Exec(form) => {
            let request = ExecRequest::from(form);
            match request.check() {
                Ok(()) => exec(connection, mailbox, request).await,
                Err(error) => connection.send(&Reply::failed(&error)).await,
            }
        }
        Request::Files { timeout_us } => files(connection, mailbox, Duration::from_micros(timeout_us)).await,
        Request::Watch { sequence } => match table.find(sequence) {
            Some(handle) => watch_command(connection, handle.progress).await,
            None => connection.send(&Reply::NotRunning).await,
        },
        Request::Cancel { sequence } => match table.find(sequence) {
            Some(handle) => {
                handle.cancel.cancel("somebody cancelled it");
                watch_command(connection, handle.progress).await
            }
            None => connection.send(&Reply::NotRunning).await,
        },
        Request::WatchTask => watch_task(connection, table.latest.subscribe()).await,
        Request::Start => change(connection, mailbox, |answer| Message::Start { ttl: None, answer }).await,
        Request::Stop => change(connection, mailbox, |answer| Message::Stop { ttl: None, answer }).await,
        Request::StartTask { ttl_seconds } => match ttl_seconds.map(|ttl| limits::ttl(seconds(ttl))).transpose() {
            Ok(ttl) => change(connection, mailbox, |answer| Message::Start { ttl, answer }).await,
            Err(error) => connection.send(&Reply::failed(&error)).await,
        },
        Request::StopTask { ttl_seconds } => match ttl_seconds.map(|ttl| limits::stopped_ttl(seconds(ttl))).transpose()
        {
            Ok(ttl) => change(connection, mailbox, |answer| Message::Stop { ttl, answer }).await,
            Err(error) => connection.send(&Reply::failed(&error)).await,
        },
        Request::Update(form) => {
            let asked = form.into();
            change(connection, mailbox, |answer| Message::Update { change: asked, answer }).await
        }
        Request::Extend { ttl_seconds } => match limits::ttl(seconds(ttl_seconds)) {
            Ok(_) => change(connection, mailbox, |answer| Message::Extend { ttl_seconds, answer }).await,
            Err(error) => connection.send(&Reply::failed(&error)).await,
        },
        Request::Delete | Request::Expire => {
            let reason = if request == Request::Delete { Ended::Deleted } else { Ended::Expired };
            let reply = match ask(mailbox, |answer| Message::Remove { reason, answer }).await {
                Ok(()) => Reply::Deleted,
                Err(error) => Reply::failed(&error),
            };
            connection.send(&reply).await
        }
    }
}

/// As the limits want them; what is too much stays too much.
fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Asks the owner and waits for the answer.
async fn ask<T>(
    mailbox: &mpsc::Sender<Message>,
    message: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Message,
) -> Result<T, Error> {
    let gone = || Unavailable::Supervisor { id: "this machine".into(), what: "is ending", log: String::new() };
    let (answer, answered) = oneshot::channel();
    mailbox.send(message(answer)).await.map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

async fn change(
    mut connection: Connection,
    mailbox: &mpsc::Sender<Message>,
    message: impl FnOnce(oneshot::Sender<Result<Record, Error>>) -> Message,
) -> Result<(), Error> {
    let reply = match ask(mailbox, message).await {
        Ok(record) => Reply::Done { record: record.into() },
        Err(error) => Reply::failed(&error),
    };
    connection.send(&reply).await
}

async fn exec(mut connection: Connection, mailbox: &mpsc::Sender<Message>, request: ExecRequest) -> Result<(), Error> {
    let joined = match ask(mailbox, |answer| Message::Exec { request, answer }).await {
        Ok(joined) => joined,
        Err(error) => return connection.send(&Reply::failed(&error)).await,
    };
    let accepted = Reply::Accepted { sequence: joined.sequence, joined: joined.joined };
    connection.send(&accepted).await?;
    match joined.attached {
        Some(attached) => stream(connection, attached).await,
        None => Ok(()),
    }
}

/// A file operation: its input and output, until the worker has ended or the client is gone.
async fn files(mut connection: Connection, mailbox: &mpsc::Sender<Message>, timeout: Duration) -> Result<(), Error> {
    let Transfer { mut pieces, input, end, ended_with_it: _ended_with_it } =
        match ask(mailbox, |answer| Message::Files { timeout, answer }).await {
            Ok(transfer) => transfer,
            Err(error) => return connection.send(&Reply::failed(&error)).await,
        };
    connection.send(&Reply::FilesBegun).await?;
    let Connection { reader, mut writer } = connection;
    let mut listening = JoinSet::new();
    listening.spawn(take_input(reader, input));
    while let Some((stream, bytes)) = pieces.recv().await {
        writer.data(frame_kind(stream), &bytes).await?;
    }
    let ended = end.await.unwrap_or_else(|_| Err("its supervisor is ending".into()));
    writer.send(&ended_reply(ended)).await
}

fn ended_reply(ended: Result<Exit, String>) -> Reply {
    match ended {
        Ok(exit) => Reply::FilesEnded { exit_code: Some(exit.code), timed_out: exit.timed_out, problem: None },
        Err(problem) => Reply::FilesEnded { exit_code: None, timed_out: false, problem: Some(problem) },
    }
}

fn frame_kind(stream: Stream) -> FrameKind {
    match stream {
        Stream::Stdout => FrameKind::Stdout,
        Stream::Stderr => FrameKind::Stderr,
    }
}

/// Output as it comes, and input the other way, until the command is over or the client is gone.
async fn stream(connection: Connection, attached: Attached) -> Result<(), Error> {
    let Connection { reader, mut writer } = connection;
    let Attached { mut pieces, progress, input } = attached;
    let mut listening = JoinSet::new();
    listening.spawn(take_input(reader, input));
    while let Some((stream, bytes)) = pieces.recv().await {
        writer.data(frame_kind(stream), &bytes).await?;
    }
    let end = progress.borrow().end.clone();
    match end {
        Some(entry) => writer.send(&Reply::Ended { entry: (*entry).clone().into() }).await,
        None => writer.send(&Reply::Detached).await,
    }
}

/// The client's input, to its end or the client's.
async fn take_input(mut reader: Reader, input: mpsc::Sender<Bytes>) {
    while let Ok(Some(Arrived::Data(FrameKind::Stdin, bytes))) = reader.next().await {
        if input.send(bytes).await.is_err() {
            return;
        }
    }
}

async fn watch_command(connection: Connection, mut progress: watch::Receiver<Progress>) -> Result<(), Error> {
    let Connection { mut reader, mut writer } = connection;
    loop {
        let now = progress.borrow_and_update().clone();
        if let Some(entry) = now.end {
            return writer.send(&Reply::Ended { entry: (*entry).clone().into() }).await;
        }
        writer.send(&Reply::Grown { stdout: now.stdout, stderr: now.stderr }).await?;
        tokio::select! {
            changed = progress.changed() => if changed.is_err() {
                return writer.send(&Reply::NotRunning).await;
            },
            _ = reader.next() => return Ok(()),
        }
    }
}

async fn watch_task(connection: Connection, mut latest: watch::Receiver<u64>) -> Result<(), Error> {
    let Connection { mut reader, mut writer } = connection;
    loop {
        let sequence = *latest.borrow_and_update();
        tell(&mut writer, sequence).await?;
        tokio::select! {
            changed = latest.changed() => if changed.is_err() {
                return Ok(());
            },
            _ = reader.next() => return Ok(()),
        }
    }
}

async fn tell(writer: &mut Writer, sequence: u64) -> Result<(), Error> {
    writer.send(&Reply::Latest { sequence }).await
}
