//! Exact replacement in a file, as coding agents use it.
//!
//! ```text
//! read the whole file ─▶ replace ─▶ write, if its digest is still that of what was read
//! ```

use bytes::Bytes;
use pyro_manager::file_protocol::{Operation as Asked, Read, Write};
use pyro_manager::{Error, FileInput, FileIo, NoOutput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::{Target, workspace};
use crate::operation::{Context, Effect, Operation};

/// Bytes of a file that is edited at most.
const MAX_FILE: u64 = 16 << 20;

/// Replaces a text in a file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EditFile {
    /// The task's id
    pub task_id: String,
    /// The file, below the root
    pub path: String,
    /// The text to replace: exact, with its white space
    pub old_text: String,
    /// What stands there afterwards
    pub new_text: String,
    /// Replace every occurrence; otherwise there must be exactly one
    #[serde(default)]
    pub replace_all: bool,
    /// Directory that no path leads out of
    #[serde(default = "workspace")]
    pub root: String,
}

/// What was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileEdited {
    /// The file.
    pub path: String,
    /// How many occurrences were replaced.
    pub replaced: usize,
    /// SHA-256 of the new content, in hexadecimal.
    pub digest: String,
}

/// The new content, and how many occurrences were replaced.
///
/// # Errors
/// [`Error::InvalidArgument`]: there is none, or more than one and not all are meant.
fn replaced(content: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), Error> {
    let refuse = |problem: String| Err(Error::InvalidArgument { problem });
    if old.is_empty() || old == new {
        return refuse("old_text is empty, or the same as new_text".into());
    }
    match content.matches(old).count() {
        0 => refuse("old_text does not occur in the file; read it again, and give the text exactly".into()),
        1 => Ok((content.replacen(old, new, 1), 1)),
        count if all => Ok((content.replace(old, new), count)),
        count => refuse(format!("old_text occurs {count} times; give more of the text around it, or replace_all")),
    }
}

impl Operation for EditFile {
    type Result = FileEdited;
    const NAME: &'static str = "edit_file";
    const TOOL: Option<&'static str> = Some("task_file_edit");
    const TITLE: &'static str = "Replace a text in a file of a task";
    const DESCRIPTION: &'static str = "Replace an exact text in a file of a task. It must occur exactly once, unless \
        replace_all is set. Refuses when the file changes meanwhile.";
    const EFFECT: Effect = Effect::Runs;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let target = Target { task_id: &self.task_id, root: &self.root };
        let path = target.below(&self.path)?;
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let call = |operation| pyro_manager::FileCall {
            task_id: self.task_id.clone(),
            root: self.root.clone().into_bytes(),
            operation,
        };
        let mut content = Vec::new();
        let read = Read { path: path.clone(), offset: 0, length: MAX_FILE + 1 };
        Box::pin(context.pyro.task_file(call(Asked::Read(read)), FileInput::None, &mut content, &io)).await?;
        if content.len() as u64 > MAX_FILE {
            return Err(Error::InvalidArgument { problem: format!("{} has more than {MAX_FILE} bytes", self.path) });
        }
        let not_text = |_| Error::InvalidArgument { problem: format!("{} is not UTF-8 text", self.path) };
        let before = pyro_manager::sha256_hex(&content);
        let text = String::from_utf8(content).map_err(not_text)?;
        let (text, replaced) = replaced(&text, &self.old_text, &self.new_text, self.replace_all)?;
        let write = Write { path, mode: None, if_digest: before, create_parents: false, offset: None };
        let input = FileInput::whole(Bytes::from(text));
        let done = Box::pin(context.pyro.task_file(call(Asked::Write(write)), input, &mut NoOutput, &io)).await?;
        Ok(FileEdited { path: self.path, replaced, digest: done.digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_occurrence_is_replaced_unless_all_are_meant() {
        assert_eq!(replaced("a b a", "b", "c", false).unwrap(), ("a c a".into(), 1));
        assert_eq!(replaced("a b a", "a", "c", true).unwrap(), ("c b c".into(), 2));
        for (old, new) in [("a", "c"), ("x", "c"), ("", "c"), ("b", "b")] {
            assert_eq!(replaced("a b a", old, new, false).unwrap_err().code(), "invalid_argument", "{old:?}");
        }
    }
}
