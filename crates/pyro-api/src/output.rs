//! A piece of a command's output, by byte offset.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pyro_manager::{Error, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Effect, Operation};

/// Bytes of a piece at most.
const MAX_BYTES: usize = 16 << 20;

/// Reads a piece of a command's output.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadOutput {
    /// The task's id or name
    pub task_id: String,
    /// The command's number
    pub sequence: u64,
    /// stdout or stderr
    #[serde(default = "stdout")]
    pub stream: String,
    /// Byte offset of the piece
    #[serde(default)]
    pub offset: u64,
    /// Maximum number of bytes
    #[serde(default = "default_max_bytes")]
    pub max_bytes: usize,
    /// base64 keeps every byte
    #[serde(default)]
    pub encoding: Encoding,
}

/// How the bytes of a piece become JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// UTF-8. Invalid bytes become the replacement character; an incomplete character goes into the next piece.
    #[default]
    Text,
    /// All bytes.
    Base64,
}

/// A piece of one stream of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Piece {
    /// The task.
    pub task_id: String,
    /// The command's number.
    pub sequence: u64,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Byte offset of the piece.
    pub offset: u64,
    /// Byte offset of the next piece.
    pub next_offset: u64,
    /// The piece, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Whether this is the end of the stream.
    pub ended: bool,
    /// Why the journal does not have the whole stream.
    pub cut: Option<String>,
}

fn stdout() -> String {
    "stdout".into()
}

fn default_max_bytes() -> usize {
    1 << 20
}

impl Operation for ReadOutput {
    type Result = Piece;
    const NAME: &'static str = "read_output_task";
    const TOOL: Option<&'static str> = Some("task_output");
    const TITLE: &'static str = "Read a command's output";
    const DESCRIPTION: &'static str = "Read a piece of a task command's stdout or stderr from a byte offset, also \
        while it runs. Continue at next_offset until ended.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let Self { task_id, sequence, stream, offset, max_bytes, encoding } = self;
        let of = match stream.as_str() {
            "stdout" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            other => {
                let problem = format!("stream is {other:?}; it must be stdout or stderr");
                return Err(Error::InvalidArgument { problem });
            }
        };
        let read = context.pyro.read_output(&task_id, sequence, of, offset, max_bytes.clamp(1, MAX_BYTES)).await?;
        let is_text = encoding == Encoding::Text;
        let length = if is_text && !read.ended { whole_characters(&read.bytes) } else { read.bytes.len() };
        let bytes = &read.bytes[..length];
        Ok(Piece {
            task_id,
            sequence,
            stream,
            offset,
            next_offset: offset + length as u64,
            text: is_text.then(|| String::from_utf8_lossy(bytes).into_owned()),
            data: (!is_text).then(|| BASE64_STANDARD.encode(bytes)),
            ended: read.ended,
            cut: read.cut,
        })
    }
}

/// How many of these bytes are whole characters. An incomplete character at the end is left for the
/// next piece; invalid bytes stay.
pub(crate) fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        // Something before the end is not UTF-8; look at the end alone.
        Err(_) => {
            let tail = bytes.len().saturating_sub(4);
            let cut = (tail..bytes.len()).find(|at| {
                std::str::from_utf8(&bytes[*at..])
                    .is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
            });
            cut.filter(|at| *at > 0).unwrap_or(bytes.len())
        }
        Ok(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_with_a_whole_character() {
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3, "what is no character is not waited for");
        assert_eq!(whole_characters(&[0xff, b'a', 0xc3]), 2);
        assert_eq!(whole_characters(&[0xc3]), 1, "a piece is never empty");
    }
}
