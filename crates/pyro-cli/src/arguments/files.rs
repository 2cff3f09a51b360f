//! The arguments of `pyro task file …`, `task cp`, `task push` and `task export`. Most are an operation's own.

use clap::{Args, Subcommand};
use pyro_api::{FindFiles, GrepFiles, ListFiles, MakeDirectory, MoveFile, RemoveFile, StatFile};

/// An operation's arguments, and `--json`.
#[derive(Debug, Args)]
pub struct Asked<O: Args> {
    #[command(flatten)]
    pub request: O,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// List a directory
    #[command(after_help = "Example:\n  pyro task file list 0123 src --recursive")]
    List(Asked<ListFiles>),
    /// Write a file of the task to stdout
    #[command(after_help = "Example:\n  pyro task file read 0123 src/main.rs")]
    Read(FileReadArguments),
    /// Replace a file of the task with stdin
    #[command(after_help = "\
The file is replaced as a whole when stdin has ended, or not at all.

Example:
  pyro task file write 0123 notes.txt < notes.txt")]
    Write(FileWriteArguments),
    /// Show kind, size, mode and time of a file
    Stat(Asked<StatFile>),
    /// Make a directory
    Mkdir(Asked<MakeDirectory>),
    /// Remove a file, or a directory with --recursive
    Rm(Asked<RemoveFile>),
    /// Give a file or a directory another name
    Mv(Asked<MoveFile>),
    /// Find files by name
    #[command(after_help = "Example:\n  pyro task file find 0123 '*.rs' --path src")]
    Find(Asked<FindFiles>),
    /// Find lines in files
    #[command(after_help = "Example:\n  pyro task file grep 0123 'fn main' src --glob '*.rs'")]
    Grep(Asked<GrepFiles>),
}

#[derive(Debug, Args)]
pub struct FileReadArguments {
    /// The task's id, or its first characters
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The file, below the root
    pub path: String,
    /// Byte offset of the first byte
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub offset: u64,
    /// Maximum number of bytes; all of them where it is left out
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    pub max_bytes: u64,
    /// Directory that no path leads out of
    #[arg(long, value_name = "DIR", default_value = "/workspace")]
    pub root: String,
}

#[derive(Debug, Args)]
pub struct FileWriteArguments {
    /// The task's id, or its first characters
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The file, below the root; directories above it are created
    pub path: String,
    /// Permission bits in octal, such as 0755; a replaced file keeps its own, a new one has 0644
    #[arg(long)]
    pub mode: Option<String>,
    /// SHA-256 of the content that is to be replaced, or absent: refuses when the file is another one
    #[arg(long, value_name = "SHA256")]
    pub if_digest: Option<String>,
    /// Write over the bytes from here on instead of replacing the file
    #[arg(long, value_name = "BYTES")]
    pub offset: Option<u64>,
    /// Directory that no path leads out of
    #[arg(long, value_name = "DIR", default_value = "/workspace")]
    pub root: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct CopyArguments {
    /// What is copied: a path on this host, ID:PATH in a task, or - for stdin
    pub source: String,
    /// Where it goes to: a path on this host, ID:PATH in a task, or - for stdout
    pub destination: String,
    /// Accepted for those who are used to it: times and modes are always kept
    #[arg(short, long)]
    pub archive: bool,
}

#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The task's id, or its first characters
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Only below these paths
    #[arg(value_name = "PATH")]
    pub paths: Vec<String>,
    /// Show the number of changed lines instead of the patch
    #[arg(long, conflicts_with = "name_only")]
    pub stat: bool,
    /// Show the names alone
    #[arg(long)]
    pub name_only: bool,
    /// Binary files with their contents, so that `git apply` can apply the patch
    #[arg(long)]
    pub binary: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// The task's id, or its first characters
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The directory on this host that is changed
    #[arg(long, value_name = "PATH", required_unless_present = "undo")]
    pub to: Option<String>,
    /// Only paths that fit this pattern; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Take this path although it is refused otherwise; may be repeated
    #[arg(long, value_name = "PATH")]
    pub allow: Vec<String>,
    /// Merge texts that this host has changed as well, with conflict markers
    #[arg(long)]
    pub merge: bool,
    /// Leave out what is refused or in conflict
    #[arg(long)]
    pub skip_problems: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Put the files back as they were before the last apply, or before the one of this number
    #[arg(long, value_name = "NUMBER", num_args = 0..=1, conflicts_with_all = ["to", "only", "allow", "merge"])]
    pub undo: Option<Option<u64>>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SeedArguments {
    /// Fill /workspace with this directory, Git checkout or tar archive (.tar, .tar.gz, .tar.zst)
    #[arg(long, value_name = "PATH")]
    pub seed: Option<String>,
    /// Of a Git checkout, also the files that Git ignores
    #[arg(long, requires = "seed")]
    pub seed_all: bool,
    /// Without the checkout's .git
    #[arg(long, requires = "seed")]
    pub no_git: bool,
}
