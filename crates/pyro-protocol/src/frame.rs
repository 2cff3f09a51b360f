//! The frame codec: bytes in, frames out, no I/O.
//!
//! ```text
//! offset  size  what
//!      0     4  length of the body in bytes, little endian, at most MAX_BODY
//!      4     4  stream id, little endian (0 is the control stream)
//!      8     1  flags: bits 0-1 say what the body is, bit 7 says that nothing follows (END)
//!      9     n  body
//! ```
//!
//! A decoder never holds more than one frame of at most [`MAX_BODY`] bytes beyond what the caller
//! pushed, and refuses a bad header before it waits for the body.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes in front of each body.
pub const HEADER: usize = 9;
/// The longest body in bytes. A sender cuts longer data into several frames.
pub const MAX_BODY: usize = 64 * 1024;

const KIND_MASK: u8 = 0b0000_0011;
const END: u8 = 0b1000_0000;

/// Which conversation a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The stream that belongs to no command.
    pub const CONTROL: Self = Self(0);
}

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A protobuf message of [`crate::message`].
    Message,
    /// Bytes for a command's standard input.
    Stdin,
    /// Bytes of a command's standard output.
    Stdout,
    /// Bytes of a command's standard error.
    Stderr,
}

impl Kind {
    fn bits(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Stdin => 1,
            Self::Stdout => 2,
            Self::Stderr => 3,
        }
    }

    fn from_bits(bits: u8) -> Self {
        match bits & KIND_MASK {
            0 => Self::Message,
            1 => Self::Stdin,
            2 => Self::Stdout,
            _ => Self::Stderr,
        }
    }
}

/// Whether more of the same kind may follow on this stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Continuation {
    /// More may follow.
    More,
    /// This was the last of its kind on its stream (end of file).
    End,
}

/// One unit of the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The conversation it belongs to.
    pub stream: StreamId,
    /// What the body is.
    pub kind: Kind,
    /// Whether more of this kind may follow.
    pub continuation: Continuation,
    /// At most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

impl Frame {
    /// Appends the frame's bytes to `out`.
    ///
    /// # Panics
    /// When the body is longer than [`MAX_BODY`]: senders cut before.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode_parts(self.stream, self.kind, self.continuation, &self.body, out);
    }
}

/// Appends a frame made of its parts to `out`, without owning the body.
///
/// # Panics
/// When the body is longer than [`MAX_BODY`].
pub fn encode_parts(stream: StreamId, kind: Kind, continuation: Continuation, body: &[u8], out: &mut Vec<u8>) {
    out.reserve(HEADER + body.len());
    out.extend_from_slice(&header(stream, kind, continuation, body.len()));
    out.extend_from_slice(body);
}

/// What goes in front of a body of so many bytes.
///
/// # Panics
/// When that is more than [`MAX_BODY`].
#[must_use]
pub fn header(stream: StreamId, kind: Kind, continuation: Continuation, length: usize) -> [u8; HEADER] {
    assert!(length <= MAX_BODY, "senders cut bodies at MAX_BODY");
    let end = match continuation {
        Continuation::More => 0,
        Continuation::End => END,
    };
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(length as u32).to_le_bytes());
    header[4..8].copy_from_slice(&stream.0.to_le_bytes());
    header[8] = kind.bits() | end;
    header
}

/// Why bytes are not a conversation. After one of these the byte stream has no meaning any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header announces a longer body than any sender makes.
    #[error("a frame of {length} bytes was announced; the limit is {MAX_BODY}")]
    TooLong {
        /// The announced length in bytes.
        length: u32,
    },
    /// The header carries flags of no known meaning.
    #[error("unknown frame flags {flags:#04x}")]
    UnknownFlags {
        /// The whole flags byte.
        flags: u8,
    },
}

/// Turns pieces of a byte stream into frames, however the stream was cut.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes the next piece of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// [`FrameError`] when what follows cannot be a frame; every later call says the same.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let stream = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let flags = header[8];
        if flags & !(KIND_MASK | END) != 0 {
            return Err(FrameError::UnknownFlags { flags });
        }
        if length as usize > MAX_BODY {
            return Err(FrameError::TooLong { length });
        }
        if self.buffer.len() < HEADER + length as usize {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let body = self.buffer.split_to(length as usize).freeze();
        let continuation = if flags & END == 0 { Continuation::More } else { Continuation::End };
        Ok(Some(Frame { stream: StreamId(stream), kind: Kind::from_bits(flags), continuation, body }))
    }

    /// Bytes pushed that are not yet part of a frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests;
