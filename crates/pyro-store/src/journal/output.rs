//! One stream of a command, on its way into the journal.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StreamEnd;

/// Takes all bytes of a stream and keeps the first ones, up to the cap or until the disk is full.
#[derive(Debug)]
pub struct OutputLog {
    file: File,
    cap: u64,
    end: StreamEnd,
    crc: crc32fast::Hasher,
}

impl OutputLog {
    /// Creates the file. An existing file must be empty, so that no other command's bytes are overwritten.
    pub fn create(path: &Path, cap: u64) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        if file.metadata()?.len() > 0 {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Self { file, cap, end: StreamEnd::default(), crc: crc32fast::Hasher::new() })
    }

    /// Takes the next bytes. Those it keeps survive this process when this returns.
    pub fn push(&mut self, bytes: &[u8]) {
        self.end.bytes += bytes.len() as u64;
        if self.end.cut.is_some() {
            return;
        }
        let room = usize::try_from(self.cap - self.end.kept).unwrap_or(usize::MAX);
        let (wanted, beyond) = bytes.split_at(room.min(bytes.len()));
        match self.keep(wanted) {
            Ok(()) if beyond.is_empty() => {}
            Ok(()) => self.end.cut = Some(format!("the journal keeps {} bytes of each stream", self.cap)),
            Err(error) => self.end.cut = Some(format!("the journal could not be written: {error}")),
        }
    }

    fn keep(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.crc.update(&bytes[..written]);
                    self.end.kept += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes in the journal so far.
    pub fn kept(&self) -> u64 {
        self.end.kept
    }

    /// Flushes what was kept to disk and says what came of the stream. Blocks.
    pub fn finish(mut self) -> StreamEnd {
        if self.end.kept > 0
            && let Err(error) = self.file.sync_data()
        {
            self.end.cut.get_or_insert(format!("the journal could not be flushed: {error}"));
        }
        self.end.crc32 = Some(self.crc.finalize());
        self.end
    }
}
