//! Files in a task: operations that its agent carries out itself, without a program of the guest.
//!
//! ```text
//! FileCall ─▶ supervisor ─▶ the agent's file worker
//!   input:  nothing, bytes, a tar archive          output: bytes, a tar archive, or replies
//!   notices on the way ─▶ events                   ◀─ Done, or why not
//! ```
//!
//! An operation is not in the journal and nobody joins it. When its caller goes away, its worker is killed: a file that
//! was being replaced is the old one then.

mod answers;
mod call;
mod changes;
mod diff;
mod input;
mod seed;
mod takeover;
mod trees;

pub use answers::{FileReplies, FileSink, NoOutput};
pub use call::{FileCall, FileIo};
pub use diff::{ChangedName, DiffRequest};
pub use input::{FileInput, FilePiece};
pub use pyro_guest::files as protocol;
pub use seed::SeedRequest;
pub use takeover::{AppliedChanges, AppliedStep, ApplyRequest, UndoneChanges};
pub use trees::{ExportRequest, PushRequest};
