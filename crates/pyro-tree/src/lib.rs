//! Trees of files on the host: packed for a guest, and changed by what came out of one.
//!
//! ```text
//! directory, Git checkout, archive ─pack─▶ tar stream + Manifest (what was sent, by digest)
//! guest's tar stream ─receive─▶ directory or archive below one root
//! guest's changes ─apply─▶ the host's tree, where it still is what the manifest says; with a reversal
//! ```
//!
//! Nothing that comes out of a guest is trusted: neither names nor sizes, types, modes or link targets. This crate
//! knows no guests and no tasks: it sees bytes.
#![forbid(unsafe_code)]

pub mod apply;
mod archive;
mod beneath;
mod check;
mod collect;
pub mod diff;
mod digest;
pub mod entry;
pub mod manifest;
pub mod merge;
mod name;
mod notice;
pub mod pack;
mod reason;
pub mod receive;
mod sink;
mod transfer;
pub mod undo;
