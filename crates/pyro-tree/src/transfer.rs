//! All members of an archive, checked and given to a sink.

use std::io::{self, Read};

use crate::archive::member::{Member, Type};
use crate::archive::read::{Chunk, Members};
use crate::check::Checker;
use crate::collect::Collected;
use crate::digest::Hasher;
use crate::notice::Notice;
use crate::reason::{Refusal, StreamError};
use crate::sink::{Sink, implied_directory};

/// What ends a transfer.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The archive.
    Stream(StreamError),
    /// The sink, at this path.
    Sink(Vec<u8>, io::Error),
}

impl From<StreamError> for TransferError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// What passed.
#[derive(Debug, Default)]
pub(crate) struct Transferred {
    pub collected: Collected,
    pub notices: Vec<Notice>,
    pub entries: u64,
    pub bytes: u64,
}

/// `progress` hears entries and bytes so far.
pub(crate) fn transfer<R: Read>(
    members: &mut Members<R>,
    checker: &mut Checker,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Transferred, TransferError> {
    let mut done = Transferred::default();
    while let Some(mut member) = members.next()? {
        let admitted = checker.admit(&mut member).map_err(|reason| refused(&member, reason))?;
        for problem in admitted.problems {
            done.notices.push(Notice { path: member.path.clone(), problem });
        }
        for path in admitted.implied {
            let directory = implied_directory(&path, member.mtime_ns);
            sink.implied(&path, member.mtime_ns).map_err(failed(&directory))?;
            done.collected.add(&directory, None);
        }
        if admitted.skipped {
            continue;
        }
        sink.begin(&member).map_err(failed(&member))?;
        let digest = match member.kind {
            Type::File => Some(content(members, &member, sink, &mut done, progress)?),
            _ => None,
        };
        sink.end(&member).map_err(failed(&member))?;
        done.collected.add(&member, digest);
        done.entries += 1;
        progress(done.entries, done.bytes);
    }
    Ok(done)
}

fn content<R: Read>(
    members: &mut Members<R>,
    member: &Member,
    sink: &mut dyn Sink,
    done: &mut Transferred,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<String, TransferError> {
    let mut hasher = Hasher::default();
    while let Some(chunk) = members.chunk()? {
        match chunk {
            Chunk::Data(bytes) => {
                hasher.bytes(bytes);
                sink.data(bytes).map_err(failed(member))?;
                done.bytes += bytes.len() as u64;
            }
            Chunk::Hole(length) => {
                hasher.zeros(length);
                sink.hole(length).map_err(failed(member))?;
            }
        }
        progress(done.entries, done.bytes);
    }
    Ok(hasher.hex())
}

fn refused(member: &Member, reason: crate::reason::Reason) -> StreamError {
    Refusal { name: member.path.clone(), reason }.into()
}

fn failed(member: &Member) -> impl FnOnce(io::Error) -> TransferError {
    |error| TransferError::Sink(member.path.clone(), error)
}
