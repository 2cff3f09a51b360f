//! A file's bytes, by range.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use pyro_manager::file_protocol::{Operation as Asked, Read};
use pyro_manager::{Error, FileInput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{Target, workspace};
use crate::operation::{Context, Effect, Operation};
use crate::output::Encoding;

/// Bytes of one read at most.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadFile {
    /// The task's id
    pub task_id: String,
    /// The file, below the root
    pub path: String,
    /// Byte offset of the first byte
    #[serde(default)]
    pub offset: u64,
    /// Maximum number of bytes, 1 to 16777216
    #[serde(default = "default_max_bytes")]
    #[schemars(range(min = 1, max = 16_777_216))]
    pub max_bytes: u64,
    /// base64 keeps every byte
    #[serde(default)]
    pub encoding: Encoding,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    pub root: String,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileContent {
    /// The file.
    pub path: String,
    /// Byte offset of the piece.
    pub offset: u64,
    /// Byte offset of what follows it.
    pub next_offset: u64,
    /// The piece, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The piece, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Whether this is the end of the file.
    pub ended: bool,
    /// SHA-256 in hexadecimal, where the piece is the whole file: `if_digest` of a later write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

fn default_max_bytes() -> u64 {
    1 << 20
}

impl Operation for ReadFile {
    type Result = FileContent;
    const NAME: &'static str = "read_file";
    const TOOL: Option<&'static str> = Some("task_file_read");
    const TITLE: &'static str = "Read a file in a task";
    const DESCRIPTION: &'static str =
        "Read a file of a task from a byte offset. Continue at next_offset until ended. digest allows a safe write.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let (max, bounds) = (self.max_bytes, format!("1 to {MAX_BYTES}"));
        if !(1..=MAX_BYTES).contains(&max) {
            return Err(Error::OutOfRange { field: "max_bytes", value: max.to_string(), bounds });
        }
        let target = Target { task_id: &self.task_id, root: &self.root };
        // One byte more shows whether there is more.
        let read = Read { path: target.below(&self.path)?, offset: self.offset, length: max + 1 };
        let mut bytes = Vec::new();
        target.carry_out(context, Asked::Read(read), FileInput::None, &mut bytes).await?;
        let ended = bytes.len() as u64 <= max;
        bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        Ok(content(self, bytes, ended))
    }
}

fn content(request: ReadFile, mut bytes: Vec<u8>, ended: bool) -> FileContent {
    if request.encoding == Encoding::Text && !ended {
        bytes.truncate(crate::output::whole_characters(&bytes));
    }
    let digest = (request.offset == 0 && ended).then(|| pyro_manager::sha256_hex(&bytes));
    let next_offset = request.offset + bytes.len() as u64;
    let (text, data) = match request.encoding {
        Encoding::Text => (Some(String::from_utf8_lossy(&bytes).into_owned()), None),
        Encoding::Base64 => (None, Some(BASE64_STANDARD.encode(&bytes))),
    };
    FileContent { path: request.path, offset: request.offset, next_offset, text, data, ended, digest }
}
