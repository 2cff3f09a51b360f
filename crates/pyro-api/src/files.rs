//! Files in a task, one at a time: looked at, read, written, edited, moved and removed.
//!
//! The guest's agent carries each out itself, below a root: `/workspace`, unless another directory is named. No path and
//! no symbolic link leads out of it.

mod changes;
mod edit;
mod find;
mod look;
mod read;
mod stream;
mod target;
mod trees;
mod write;

pub use changes::{
    ApplyStep, ApplyTask, ApplyUndone, ChangedPath, DiffShape, DiffTask, SeedTask, TaskApplied, TaskDiff, UndoApply,
};
pub use edit::{EditFile, FileEdited};
pub use find::{FindFiles, GrepFiles, GrepMatch, GrepResult};
pub use look::{FileEntry, FileListing, ListFiles, StatFile};
pub use read::{FileContent, ReadFile};
pub use stream::{FileInTask, WriteOptions};
pub use trees::{ExportFiles, PushFiles, TreeMoved};
pub use write::{FileChanged, MakeDirectory, MoveFile, RemoveFile, WriteFile};
