//! The way to a supervisor, and what to make of it when there is none.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use pyro_store::{Kind, Record, State};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::conversation::put_to;
use crate::error::Unavailable;
use crate::id::{VmId, is_hex};
use crate::look::{Found, Seen, look, look_at_all};
use crate::naming::meant;
use crate::payload::Problem;
use crate::supervisor::SOCKET;
use crate::supervisor::rpc::{Connection, Reply, Request};
use crate::threads::off_thread;
use crate::{Error, Pyro};

/// How long a supervisor that nobody can connect to may take to end. One that ends in an orderly way gives its
/// guest ten seconds.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may wait to be accepted while others are before it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long until a supervisor that does not listen is tried again.
const LISTENS_SOON: Duration = Duration::from_millis(50);
/// Digits of an id. More of them are a name.
const ID_DIGITS: usize = 12;
/// How often another supervisor may take a machine over while one client looks for it.
pub(crate) const MAX_TAKE_OVERS: usize = 8;

/// Connects to the supervisor of a directory. The path goes through a descriptor, because a
/// socket's may not be longer than 107 bytes.
pub(crate) async fn connect(directory: &Path) -> std::io::Result<Connection> {
    let opened = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    match UnixStream::connect(&path).await {
        // Others wait to be accepted, and the queue is full.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let connecting = tokio::task::spawn_blocking(move || wait_and_connect(&path)).await;
            let stream = connecting.map_err(std::io::Error::other)??;
            drop(opened);
            UnixStream::from_std(stream).map(Connection::new)
        }
        connected => connected.map(Connection::new),
    }
}

/// Connects as soon as the queue has room. Blocks, and not for ever.
fn wait_and_connect(path: &str) -> std::io::Result<std::os::unix::net::UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(QUEUE_TIMEOUT))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, None)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Whether the error says that nobody has the other end of the socket: the supervisor is dead, or ending, or its
/// directory is gone. Any other error says nothing about the supervisor.
fn means_nobody_listens(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

pub(crate) fn does_not_listen(record: &Record) -> Error {
    let (id, what) = (record.id.to_string(), "is running, but does not listen on its socket");
    Unavailable::Supervisor { id, what, log: String::new() }.into()
}

impl Pyro {
    /// What is known of a VM or task, after a look at whether its supervisor lives.
    pub(crate) async fn record_of(&self, kind: Kind, id: &str) -> Result<Record, Error> {
        self.seen(kind, id).await.map(|seen| seen.record)
    }

    /// The same, with what is wrong with its files.
    pub(crate) async fn seen(&self, kind: Kind, id: &str) -> Result<Seen, Error> {
        let (machines, text) = (self.machines(), id.to_owned());
        off_thread(move || {
            let unknown = || Unavailable::Unknown { kind, id: text.clone() };
            let Some(id) = meant(&machines, kind, &text)? else { return Err(unknown().into()) };
            // What its living owner wrote is never older than the registry, and sooner read.
            if let Some(record) = machines.of_the_living(&id)
                && record.kind == kind
                && record.state != State::Creating
            {
                return Ok(record.into());
            }
            match look(&machines, &id)? {
                Found::Here(seen) if seen.record.kind == kind && seen.record.state != State::Creating => Ok(*seen),
                Found::Gone { kind: was, reason } if was == kind => {
                    Err(Unavailable::Gone { kind, id: id.to_string(), reason }.into())
                }
                _ => Err(unknown().into()),
            }
        })
        .await
    }

    /// Every VM or task whose id begins so, oldest first, and what could not be read.
    pub(crate) async fn find_all(&self, kind: Kind, prefix: &str) -> Result<(Vec<Seen>, Vec<Problem>), Error> {
        let (machines, prefix) = (self.machines(), prefix.to_owned());
        off_thread(move || {
            let (mut seen, problems) = look_at_all(&machines, kind, &prefix)?;
            seen.retain(|seen| seen.record.state != State::Creating);
            Ok((seen, problems))
        })
        .await
    }

    /// The whole id of which `prefix` is the beginning, or that has this name.
    pub(crate) async fn complete(&self, kind: Kind, prefix: &str) -> Result<String, Error> {
        if VmId::parse(prefix).is_some() || prefix.is_empty() {
            return Ok(prefix.to_owned());
        }
        if !is_hex(prefix) || prefix.len() > ID_DIGITS {
            let (machines, name) = (self.machines(), prefix.to_owned());
            // What is no name is told so where it is looked for.
            return off_thread(move || Ok(meant(&machines, kind, &name)?.map_or(name, |id| id.to_string()))).await;
        }
        let (seen, problems) = self.find_all(kind, prefix).await?;
        let mut ids: BTreeSet<String> = seen.into_iter().map(|seen| seen.record.id.to_string()).collect();
        // One that cannot be read is there, too.
        ids.extend(problems.into_iter().filter_map(|problem| problem.id).filter(|id| id.starts_with(prefix)));
        let mut ids: Vec<String> = ids.into_iter().collect();
        match ids.len() {
            1 => Ok(ids.remove(0)),
            0 => Err(Unavailable::Unknown { kind, id: prefix.to_owned() }.into()),
            _ => Err(Unavailable::Ambiguous { kind, prefix: prefix.to_owned(), ids }.into()),
        }
    }

    /// A conversation with the supervisor of a record; `None` when it is dead. One that is just
    /// ending is waited for.
    ///
    /// # Errors
    /// When that cannot be told, or its owner lives and does not listen.
    pub(crate) async fn reach(&self, record: &Record) -> Result<Option<Connection>, Error> {
        let directory = self.machines().directory(&record.id);
        for _ in 0..MAX_TAKE_OVERS {
            let end = self.wait_for_end(record);
            tokio::pin!(end);
            loop {
                match connect(&directory).await {
                    Ok(connection) => return Ok(Some(connection)),
                    Err(error) if means_nobody_listens(&error) => {}
                    Err(error) => return Err(crate::error::host("connect to the supervisor")(error)),
                }
                // It is ending, or has just taken a dead one's place and is about to listen.
                match tokio::time::timeout(LISTENS_SOON, &mut end).await {
                    Err(_) => {}
                    Ok(Ok(true)) => return Ok(None),
                    // Another supervisor has taken it over meanwhile.
                    Ok(Ok(false)) => break,
                    Ok(Err(error)) => return Err(error),
                }
            }
        }
        Err(does_not_listen(record))
    }

    /// Puts a request to the supervisor of a record; its answers follow. `None` when there is no supervisor.
    ///
    /// # Errors
    /// It takes no request, or is of a release that cannot do it. Then it has carried out nothing.
    pub(crate) async fn put(&self, record: &Record, request: &Request) -> Result<Option<Connection>, Error> {
        put_to(&*self.failpoints, || self.reach(record), request).await
    }

    /// Asks one thing that is answered once; `None` when there is no supervisor to answer.
    pub(crate) async fn ask(&self, record: &Record, request: &Request) -> Result<Option<Reply>, Error> {
        let Some(mut connection) = self.put(record, request).await? else { return Ok(None) };
        match connection.reply().await? {
            Some(Reply::Failed { failure }) => Err(failure.into()),
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
        let (ended, end) = oneshot::channel();
        let waiting = (machines.clone(), id.clone());
        // A thread of its own: one that waits in vain must keep nobody else from ending.
        let thread = std::thread::Builder::new().name("wait for a supervisor".into()).spawn(move || {
            let (machines, id) = waiting;
            machines.wait_for_end(&id);
            let _ = ended.send(());
        });
        thread.map_err(crate::error::host("wait for the supervisor"))?;
        if tokio::time::timeout(END_TIMEOUT, end).await.is_err() {
            return Err(does_not_listen(record));
        }
        off_thread(move || Ok(machines.look_after(&id)?)).await
    }
}
