//! A caller that is behind: what it has not got yet is read from the journal's files.

use std::path::Path;

use pyro_store::journal::{self, CommandRecord, Stream};

use super::{Listener, PIECE, Seen};
use crate::events::RunEvent;
use crate::threads::off_thread;
use crate::{Error, Pyro};

impl Pyro {
    /// Passes on what the journal has of a command that is over and the caller has not: a caller that reads
    /// slowly is left behind while the command runs. What is missing in the journal, too, is said.
    pub(super) async fn pass_on_the_rest(
        &self,
        directory: &Path,
        seen: &mut Seen,
        listener: &Listener,
        entry: &CommandRecord,
    ) -> Result<(), Error> {
        self.catch_up(directory, seen, listener, u64::MAX, u64::MAX).await?;
        let Some(end) = &entry.end else { return Ok(()) };
        for (stream, written) in [(Stream::Stdout, end.stdout.bytes), (Stream::Stderr, end.stderr.bytes)] {
            let passed = seen.bytes(stream);
            if passed < written {
                let notice = format!(
                    "only {passed} of the {written} bytes of {} were passed on; the journal does not have the rest (`pyro task logs` \
                     shows what it has, and why)",
                    stream.as_str()
                );
                listener.tell(RunEvent::Notice(notice)).await?;
            }
        }
        Ok(())
    }

    /// Takes what the files have up to these lengths.
    pub(super) async fn catch_up(
        &self,
        directory: &Path,
        seen: &mut Seen,
        listener: &Listener,
        stdout: u64,
        stderr: u64,
    ) -> Result<(), Error> {
        for (stream, length) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            loop {
                let from = seen.bytes(stream);
                let max = usize::try_from(length.saturating_sub(from)).unwrap_or(usize::MAX).min(PIECE);
                if max == 0 {
                    break;
                }
                // A directory that is gone was deleted, or expired; what was seen was all.
                let (place, sequence) = (directory.to_owned(), listener.sequence);
                let piece = off_thread(move || Ok(journal::read_output(&place, sequence, stream, from, max)?)).await;
                let piece = match piece {
                    Err(Error::Host { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                    piece => piece?,
                };
                if piece.is_empty() {
                    break;
                }
                seen.take(stream, piece.into(), listener).await?;
            }
        }
        Ok(())
    }
}
