//! A worker that is asked one thing, and what it says.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use prost::Message;
use pyro_protocol::files::{
    Change, Done, Entry, Event, Failed, FileEvent, FileReply, FileRequest, Match, Notice, Operation, Progress, Reply,
    frame, next_message, piece_header,
};

/// All that a worker said.
#[derive(Debug)]
pub struct Said {
    pub output: Vec<u8>,
    pub notices: Vec<Notice>,
    pub progress: Vec<Progress>,
    pub end: Result<Done, Failed>,
}

impl Said {
    pub fn entries(&self) -> Vec<Entry> {
        let replies = messages::<FileReply>(&self.output).into_iter().map(|reply| reply.reply);
        replies.map(|reply| if let Some(Reply::Entry(entry)) = reply { entry } else { panic!("{reply:?}") }).collect()
    }

    pub fn matches(&self) -> Vec<Match> {
        let replies = messages::<FileReply>(&self.output).into_iter().map(|reply| reply.reply);
        replies.map(|reply| if let Some(Reply::Match(found)) = reply { found } else { panic!("{reply:?}") }).collect()
    }

    pub fn changes(&self) -> Vec<Change> {
        let replies = messages::<FileReply>(&self.output).into_iter().map(|reply| reply.reply);
        replies
            .map(|reply| if let Some(Reply::Change(change)) = reply { change } else { panic!("{reply:?}") })
            .collect()
    }

    /// The paths of all entries, lossily.
    pub fn paths(&self) -> Vec<String> {
        self.entries().iter().map(|entry| lossy(&entry.path)).collect()
    }

    /// Paths with notices, lossily.
    pub fn noticed(&self) -> Vec<String> {
        self.notices.iter().map(|notice| lossy(&notice.path)).collect()
    }

    /// The end, which has to be good, without notices.
    pub fn done(self) -> Done {
        assert_eq!(self.notices, []);
        self.end.expect("the operation is done")
    }

    /// The stable word of the end, which has to be bad.
    pub fn reason(self) -> String {
        self.end.expect_err("the operation fails").reason
    }
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A worker that has its request and waits for more.
pub struct Worker {
    child: Child,
    /// Of stdout and stderr.
    readers: Vec<thread::JoinHandle<Vec<u8>>>,
}

impl Worker {
    pub fn start(root: &Path, operation: Operation) -> Self {
        Self::start_as(Self::program(), root, operation)
    }

    /// Starts one with any bytes in place of a request.
    pub fn start_raw(request: &[u8]) -> Self {
        let mut worker = Self::spawn(Self::program());
        let stdout = worker.child.stdout.take().unwrap();
        worker.readers.insert(0, collect(stdout));
        worker.send(request);
        worker
    }

    /// One that another program becomes.
    pub fn start_as(command: Command, root: &Path, operation: Operation) -> Self {
        let mut worker = Self::spawn(command);
        let stdout = worker.child.stdout.take().unwrap();
        worker.readers.insert(0, collect(stdout));
        let root = root.as_os_str().as_bytes().to_vec();
        worker.send(&frame(&FileRequest { root, operation: Some(operation) }));
        worker
    }

    /// One whose output nobody reads yet.
    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the worker starts");
        let readers = vec![collect(child.stderr.take().unwrap())];
        Self { child, readers }
    }

    fn program() -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pyro-agent"));
        command.arg("--file-worker").env_clear();
        command
    }

    /// A worker that is over takes nothing any more, as the agent's host knows.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.child.stdin.as_mut().unwrap().write_all(bytes);
    }

    pub fn send_piece(&mut self, data: &[u8]) {
        self.send(&piece_header(data.len()));
        self.send(data);
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends its input and hears all that it says.
    pub fn finish(mut self) -> Said {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        let mut said = self.readers.into_iter().map(|reader| reader.join().unwrap());
        let (output, events) = (said.next().unwrap(), said.next().unwrap());
        let mut events: Vec<_> =
            messages::<FileEvent>(&events).into_iter().map(|event| event.event.expect("a known event")).collect();
        let end = match events.pop() {
            Some(Event::Done(done)) => Ok(done),
            Some(Event::Failed(failed)) => Err(failed),
            other => panic!("the last event is {other:?}, {status}"),
        };
        assert_eq!(status.code(), Some(if end.is_ok() { 0 } else { 1 }));
        let mut said = Said { output, notices: Vec::new(), progress: Vec::new(), end };
        for event in events {
            match event {
                Event::Notice(notice) => said.notices.push(notice),
                Event::Progress(progress) => said.progress.push(progress),
                other => panic!("{other:?} before the end"),
            }
        }
        said
    }
}

fn collect(mut source: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).expect("the worker's pipe is read");
        bytes
    })
}

/// Asks for an operation without data.
pub fn ask(root: &Path, operation: Operation) -> Said {
    Worker::start(root, operation).finish()
}

/// Asks for an operation with data in pieces, all of it.
pub fn ask_with(root: &Path, operation: Operation, data: &[u8]) -> Said {
    let mut worker = Worker::start(root, operation);
    data.chunks(100_000).for_each(|piece| worker.send_piece(piece));
    worker.send_piece(b"");
    worker.finish()
}

/// Asks for an operation with much output, and does something when it has begun and waits for its
/// reader.
pub fn paused(root: &Path, operation: Operation, meanwhile: impl FnOnce()) -> Said {
    let mut worker = Worker::spawn(Worker::program());
    let mut stdout = worker.child.stdout.take().unwrap();
    let root = root.as_os_str().as_bytes().to_vec();
    worker.send(&frame(&FileRequest { root, operation: Some(operation) }));
    let mut first = vec![0; 1024];
    stdout.read_exact(&mut first).unwrap();
    meanwhile();
    worker.readers.insert(0, collect(std::io::Cursor::new(first).chain(stdout)));
    worker.finish()
}

fn messages<M: Message + Default>(mut bytes: &[u8]) -> Vec<M> {
    let mut messages = Vec::new();
    while let Some((message, taken)) = next_message(bytes).expect("messages") {
        messages.push(message);
        bytes = &bytes[taken..];
    }
    assert_eq!(bytes, b"", "no message is cut off");
    messages
}

/// A path of bytes in a directory.
pub fn at(directory: &Path, name: &[u8]) -> std::path::PathBuf {
    directory.join(OsStr::from_bytes(name))
}
