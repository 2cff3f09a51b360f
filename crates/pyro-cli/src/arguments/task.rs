//! The arguments of `pyro task`.

use clap::{Args, Subcommand};

use pyro_api::{ExportFiles, PushFiles};

use super::deferred::Deferred;
use super::files::{ApplyArguments, Asked, CopyArguments, DiffArguments, FileCommand, SeedArguments};
use super::flags::MachineArguments;

pub const TASK_EXAMPLE: &str = "\
A task lives until it is deleted or expires. You can shorten an id to its first characters, if only
one task has them, or use the task's name instead.

Example:
  id=$(pyro task create debian:12 --json | jq -r .task_id)
  pyro task exec $id -- sh -c 'echo hello > greeting'
  pyro task exec $id -- cat greeting
  pyro task delete $id";

const FILE_EXAMPLE: &str = "\
Paths are below /workspace, or below another --root. No symbolic link leads out of the root. The
guest's agent does the work itself, so no program of the image is needed.

Examples:
  pyro task file list 0123
  pyro task file read 0123 notes.txt
  echo hello | pyro task file write 0123 notes.txt
  pyro task file read 0123 etc/os-release --root /";

#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Create a task, and return when its guest answers
    #[command(
        after_help = "Examples:\n  pyro task create debian:12 --ttl-seconds 3600\n  pyro task create debian:12 --name build --label team=core"
    )]
    Create(TaskCreateArguments),
    /// Run a command in a task's workspace
    #[command(after_help = "\
pyro passes the command's output and exit code through, as in `pyro run`. The command keeps running
if this program is killed; Ctrl-C ends it. `pyro task logs` shows every command and its output.

Examples:
  pyro task exec 0123456789ab -- git status
  echo hello | pyro task exec 0123 --cwd src --env LANG=C -- sh -c 'cat > note'
  pyro task exec 0123 --detach --timeout-seconds 3600 -- make test")]
    Exec(TaskExecArguments),
    /// Show a task
    #[command(after_help = "Example:\n  pyro task status 0123456789ab")]
    Status(TaskArguments),
    /// List all tasks
    #[command(after_help = "Example:\n  pyro task list --label team=core")]
    List(TaskListArguments),
    /// Show a task's journal: every command with its output
    #[command(
        after_help = "Examples:\n  pyro task logs 0123456789ab\n  pyro task logs 0123 --last 5\n  pyro task logs 0123 --sequence 3 --follow"
    )]
    Logs(TaskLogsArguments),
    /// Wait for a command that was started earlier, and show its output as `task exec` does
    #[command(after_help = "Example:\n  pyro task wait 0123456789ab 3")]
    Wait(TaskCommandArguments),
    /// End a running command and all its processes
    #[command(after_help = "Example:\n  pyro task cancel 0123456789ab 3")]
    Cancel(TaskCommandArguments),
    /// Stop a task's machine; its files and its journal stay
    #[command(after_help = "\
Running commands are cancelled. A stopped task uses no memory and no processor. Without --ttl-seconds
it still expires when it would have expired.

Example:
  pyro task stop build --ttl-seconds 0")]
    Stop(TaskStopArguments),
    /// Boot a stopped task again, with its files and its journal
    #[command(after_help = "\
A task whose machine died, or whose host was started anew, is started again in the same way.

Example:
  pyro task start build --ttl-seconds 86400")]
    Start(TaskStartArguments),
    /// Change a task's name and labels
    #[command(after_help = "Example:\n  pyro task update 0123456789ab --name build --label stage=test")]
    Update(TaskUpdateArguments),
    /// Set a new time to live for a task, counted from now
    #[command(after_help = "Example:\n  pyro task extend 0123456789ab --ttl-seconds 86400")]
    Extend(TaskExtendArguments),
    /// Look at, read, write and search a task's files
    #[command(arg_required_else_help = true, after_help = FILE_EXAMPLE)]
    File {
        #[command(subcommand)]
        command: Deferred<FileCommand>,
    },
    /// Copy a file or a directory between this host and a task, or from - and to -
    #[command(after_help = "\
A directory is copied with all that is in it; one that is there is added to. A name with a colon
before any slash is a task's.

Examples:
  pyro task cp notes.txt 0123:notes.txt
  pyro task cp 0123:/etc/os-release -
  pyro task cp 0123:target/report ./report")]
    Cp(CopyArguments),
    /// Send a directory, a Git checkout or an archive into a task
    #[command(after_help = "\
Of a Git checkout, what Git tracks and what it does not ignore is sent, with .git.

Example:
  pyro task push 0123 . --dest /workspace/project")]
    Push(Asked<PushFiles>),
    /// Show what changed in a task's workspace since it was seeded, as `git diff` does
    #[command(after_help = "\
The text is made by this host's Git. It costs by what changed, not by the size of the tree.

Examples:
  pyro task diff 0123 --stat
  pyro task diff 0123 src > changes.patch")]
    Diff(DiffArguments),
    /// Take over what changed in a task's workspace into a directory of this host
    #[command(after_help = "\
pyro shows what it would do and asks. All of it is done, or nothing. A file here that is no longer
what was seeded is a conflict. Paths such as .git/hooks are refused unless --allow names them.

Examples:
  pyro task apply 0123 --to . --only 'src/**'
  pyro task apply 0123 --undo")]
    Apply(ApplyArguments),
    /// Write a directory of a task to a new directory or an archive on this host
    #[command(after_help = "Example:\n  pyro task export 0123 --output result.tar.gz")]
    Export(Asked<ExportFiles>),
    /// Delete a task, its workspace and its journal
    #[command(after_help = "Running commands are ended.\n\nExample:\n  pyro task delete 0123456789ab")]
    Delete(TaskArguments),
}

#[derive(Debug, Args)]
pub struct TaskCreateArguments {
    /// Name of the environment, for example debian:12
    pub environment: String,
    #[command(flatten)]
    pub machine: MachineArguments,
    #[command(flatten)]
    pub seed: SeedArguments,
    /// A name for the task, to be used instead of its id; letters, digits, `-`, `_` and `.`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// A label for the task; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// A name for this attempt; a second call with the same name returns the same task
    #[arg(long, value_name = "NAME")]
    pub attempt_id: Option<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskListArguments {
    /// List only tasks with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskStopArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// New time to live from now, 60 to 604800 seconds; 0 keeps the task until it is deleted or started again
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: Option<i64>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskStartArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Time to live from now, 60 to 604800 seconds [default: as long as before; 600 where it had no end]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: Option<i64>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskUpdateArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The task's new name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove the task's name
    #[arg(long, conflicts_with = "name")]
    pub no_name: bool,
    /// Set a label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// Remove a label; may be repeated
    #[arg(long = "remove-label", value_name = "KEY")]
    pub remove_labels: Vec<String>,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskCommandArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The command's number
    #[arg(value_name = "SEQ")]
    pub sequence: u64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskExtendArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Time to live from now, 60 to 604800 seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub ttl_seconds: i64,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskLogsArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// Show only this command
    #[arg(long, value_name = "SEQ")]
    pub sequence: Option<u64>,
    /// Show only the last BYTES bytes of each stream
    #[arg(long, value_name = "BYTES")]
    pub tail_bytes: Option<usize>,
    /// Show only the last N commands
    #[arg(long, value_name = "N", conflicts_with = "sequence")]
    pub last: Option<usize>,
    /// Keep showing new output and new commands until the task ends
    #[arg(long, short, conflicts_with_all = ["json", "tail_bytes"])]
    pub follow: bool,
    /// Do not start a pager ($PAGER, or less) on a terminal
    #[arg(long)]
    pub no_pager: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TaskExecArguments {
    /// The task's id, its first characters, or its name
    #[arg(value_name = "ID")]
    pub task_id: String,
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
    /// Time limit in seconds; a command that reaches it ends with exit code 124
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, allow_negative_numbers = true)]
    pub timeout_seconds: f64,
    /// Working directory: an absolute path, or a path below /workspace
    #[arg(long, value_name = "DIR", default_value = "/workspace")]
    pub cwd: String,
    /// Set an environment variable for the command; may be repeated
    #[arg(long = "env", value_name = "KEY=VALUE")]
    pub environment: Vec<String>,
    /// A name for this attempt; a second call with the same name does not run the command again, but returns its result
    #[arg(long, value_name = "NAME")]
    pub attempt_id: Option<String>,
    /// Return the command's number at once; the command gets no input
    #[arg(long, short)]
    pub detach: bool,
    /// Print one JSON object on stdout instead of the command's output
    #[arg(long)]
    pub json: bool,
}
