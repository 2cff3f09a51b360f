//! What the worker reads: the request, and then pieces of data or an archive.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use prost::Message;
use pyro_protocol::files::{FileRequest, MAX_MESSAGE, MAX_PIECE};

use super::failure::{At, Failure, Result};

/// What follows the request.
pub struct Input {
    file: File,
}

impl Input {
    /// Reads the request, and not a byte more.
    pub fn new(mut file: File) -> Result<(FileRequest, Self)> {
        let length = length(&mut file).at(b"")?;
        if length > MAX_MESSAGE {
            return Err(Failure::bad_request(format!("a request of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).at(b"")?;
        let request = FileRequest::decode(bytes.as_slice());
        let request = request.map_err(|error| Failure::bad_request(format!("the request: {error}")))?;
        Ok((request, Self { file }))
    }

    /// The rest as it is.
    pub fn raw(self) -> File {
        self.file
    }

    /// The rest as pieces.
    pub fn pieces(self) -> Pieces<File> {
        Pieces { source: self.file, left: 0, is_over: false }
    }
}

/// The bytes of all pieces. Their end is only the end mark: a source that ends before it is an
/// error of the kind `UnexpectedEof`.
pub struct Pieces<R> {
    source: R,
    left: usize,
    is_over: bool,
}

impl<R: Read> Read for Pieces<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.is_over && !buffer.is_empty() {
            self.left = length(&mut self.source)?;
            self.is_over = self.left == 0;
            if self.left > MAX_PIECE {
                return Err(io::Error::new(ErrorKind::InvalidData, format!("a piece of {} bytes", self.left)));
            }
        }
        let most = self.left.min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the input ended in the midst of a piece"));
        }
        self.left -= read;
        Ok(read)
    }
}

fn length(source: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "the input ended before its end mark"),
        _ => error,
    })?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut pieces = Pieces { source: bytes, left: 0, is_over: false };
        pieces.read_to_end(&mut all)?;
        // The end stays the end.
        assert_eq!(pieces.read(&mut [0; 8])?, 0);
        Ok(all)
    }

    #[test]
    fn pieces_are_put_together_up_to_the_end_mark() {
        assert_eq!(read(b"\x02\0\0\0ab\x01\0\0\0c\0\0\0\0beyond").unwrap(), b"abc");
        assert_eq!(read(b"\0\0\0\0").unwrap(), b"");
    }

    #[test]
    fn a_source_that_ends_anywhere_before_the_end_mark_is_an_error() {
        let whole = b"\x02\0\0\0ab\x01\0\0\0c\0\0\0\0";
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]).unwrap_err().kind(), ErrorKind::UnexpectedEof, "{length} bytes");
        }
    }

    #[test]
    fn a_piece_of_absurd_length_is_refused() {
        assert_eq!(read(&(MAX_PIECE as u32 + 1).to_le_bytes()).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
