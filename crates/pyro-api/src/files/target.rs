//! Where a file operation works: a task, a root, and a path below it.

use pyro_manager::file_protocol::{Done, Operation, Reply};
use pyro_manager::{Error, FileCall, FileInput, FileIo, FileReplies, FileSink, WORKSPACE};

use crate::operation::Context;

/// Bytes of a path at most.
const MAX_PATH: usize = 4096;

/// The root of operations that name none.
pub(crate) fn workspace() -> String {
    WORKSPACE.into()
}

/// A task and a root in it.
pub(crate) struct Target<'a> {
    pub task_id: &'a str,
    pub root: &'a str,
}

impl Target<'_> {
    /// A path as the guest wants it: relative to the root. An absolute one must lie below the root.
    pub fn below(&self, path: &str) -> Result<Vec<u8>, Error> {
        let refuse = |problem: String| Err(Error::InvalidArgument { problem });
        if path.contains('\0') || path.len() > MAX_PATH {
            return refuse(format!("a path has at most {MAX_PATH} bytes and no zero byte"));
        }
        if !self.root.starts_with('/') {
            return refuse(format!("the root {:?} is not an absolute path", self.root));
        }
        if !path.starts_with('/') {
            return Ok(path.as_bytes().to_vec());
        }
        let root = self.root.trim_end_matches('/');
        match path.strip_prefix(root) {
            Some("") => Ok(Vec::new()),
            Some(below) if below.starts_with('/') => Ok(below.trim_start_matches('/').as_bytes().to_vec()),
            _ => {
                refuse(format!("{path} is not below the root {}; name another root (/ is the whole guest)", self.root))
            }
        }
    }

    /// Carries an operation out.
    pub async fn carry_out(
        &self,
        context: Context<'_>,
        operation: Operation,
        input: FileInput,
        sink: &mut impl FileSink,
    ) -> Result<Done, Error> {
        let io = FileIo { events: context.io.events, cancel: context.io.cancel };
        let call = FileCall { task_id: self.task_id.into(), root: self.root.into(), operation };
        Box::pin(context.pyro.task_file(call, input, sink, &io)).await
    }

    /// Carries an operation out that finds something.
    pub async fn find(&self, context: Context<'_>, operation: Operation) -> Result<(Vec<Reply>, Done), Error> {
        let mut replies = FileReplies::default();
        let done = self.carry_out(context, operation, FileInput::None, &mut replies).await?;
        Ok((replies.found, done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_below_the_root() {
        let workspace = Target { task_id: "x", root: "/workspace" };
        assert_eq!(workspace.below("src/main.rs").unwrap(), b"src/main.rs");
        assert_eq!(workspace.below("/workspace/src").unwrap(), b"src");
        assert_eq!(workspace.below("/workspace").unwrap(), b"");
        for outside in ["/etc/passwd", "/workspaces/x", "/"] {
            assert_eq!(workspace.below(outside).unwrap_err().code(), "invalid_argument", "{outside}");
        }
        let whole = Target { task_id: "x", root: "/" };
        assert_eq!(whole.below("/etc/passwd").unwrap(), b"etc/passwd");
        let relative = Target { task_id: "x", root: "workspace" };
        assert!(relative.below("x").is_err());
        assert!(workspace.below("a\0b").is_err());
    }
}
