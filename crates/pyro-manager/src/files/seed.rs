//! A seeded workspace: what was sent is known by digest, so that what changed since can be told and taken over.
//!
//! ```text
//! BeginSeed ─▶ the tree is sent into the seed ─▶ MountWorkspace (an overlay at /workspace) ─▶ vms/ID/seed.manifest
//! ```
//!
//! The manifest says what was sent. It is the host's own knowledge: what the guest says of its seed is not believed
//! when changes are taken over.

use std::path::PathBuf;

use pyro_guest::files::{BeginSeed, MountWorkspace, Operation, SEED};
use pyro_store::{Kind, Record};
use pyro_tree::manifest::Manifest;

use super::answers::NoOutput;
use super::call::{FileCall, FileIo};
use super::input::FileInput;
use super::trees::PushRequest;
use crate::error::Error;
use crate::pyro::Pyro;
use crate::threads::off_thread;
use crate::vm_directory::SEED_MANIFEST;

/// What a workspace is seeded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedRequest {
    /// The task. Its workspace is empty.
    pub task_id: String,
    /// A directory, a Git checkout, or a tar archive on the host.
    pub source: PathBuf,
    /// Of a Git checkout: files that Git ignores too.
    pub all: bool,
    /// Of a checkout: without its `.git`.
    pub no_git: bool,
}

impl Pyro {
    /// Seeds the workspace of a task. Returns the manifest of what was sent.
    ///
    /// # Errors
    /// As [`Pyro::push`]. The workspace is empty then.
    pub async fn seed(&self, request: SeedRequest, io: &FileIo) -> Result<Manifest, Error> {
        let SeedRequest { task_id, source, all, no_git } = request;
        let record = self.record_of(Kind::Task, &task_id).await?;
        self.at_root(&task_id, Operation::BeginSeed(BeginSeed {}), io).await?;
        let push = PushRequest { task_id: task_id.clone(), source, destination: SEED.into(), all, no_git };
        let (manifest, _) = self.push(push, io).await?;
        self.at_root(&task_id, Operation::MountWorkspace(MountWorkspace {}), io).await?;
        let (path, kept) = (self.manifest_path(&record), manifest.clone());
        off_thread(move || kept.write(&path).map_err(|error| Error::Source { problem: error.to_string() })).await?;
        Ok(manifest)
    }

    async fn at_root(&self, task_id: &str, operation: Operation, io: &FileIo) -> Result<(), Error> {
        let call = FileCall { task_id: task_id.into(), root: b"/".to_vec(), operation };
        self.task_file(call, FileInput::None, &mut NoOutput, io).await.map(drop)
    }

    fn manifest_path(&self, record: &Record) -> PathBuf {
        self.machines().directory(&record.id).join(SEED_MANIFEST)
    }

    /// What the task was seeded with; `None` where it was not seeded.
    ///
    /// # Errors
    /// [`Error::Source`]: the manifest is damaged, or a newer release wrote it.
    pub(super) async fn manifest_of(&self, record: &Record) -> Result<Option<Manifest>, Error> {
        let path = self.manifest_path(record);
        off_thread(move || {
            if !path.try_exists().map_err(crate::error::host("look for the seed's manifest"))? {
                return Ok(None);
            }
            Manifest::read(&path).map(Some).map_err(|error| Error::Source { problem: error.to_string() })
        })
        .await
    }
}
