//! The messages, generation 2. Tags are never used twice; fields may be added.
//!
//! Host and guest each have one envelope, so that a message of the wrong direction cannot even be
//! decoded as something else. Times are named with their unit. Command words are bytes: a file
//! name in the guest need not be UTF-8.

use prost::Message;

/// What the host says.
#[derive(Clone, PartialEq, Message)]
pub struct ToGuest {
    /// Exactly one of these; none means a message this build does not know.
    #[prost(oneof = "Request", tags = "1, 2, 3, 4, 5, 6, 8, 9, 10")]
    pub request: Option<Request>,
}

/// The host's requests. 1 to 6 on the control stream, the others on a command's stream.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Request {
    /// Opens the conversation; anything before it is dropped.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Who this machine is from now on. Answered by [`Event::Identified`], or [`Event::Refused`]; no command runs
    /// before it was taken.
    #[prost(message, tag = "2")]
    Identity(Identity),
    /// Make the machine fit to be frozen, answer [`Event::Frozen`], then wait for a new Hello.
    #[prost(message, tag = "3")]
    Freeze(Freeze),
    /// Fill a blank disk from tar archives on other disks.
    #[prost(message, tag = "4")]
    Unpack(Unpack),
    /// End every command, write everything to disk, power off.
    #[prost(message, tag = "5")]
    Shutdown(Shutdown),
    /// What time it is; a clock that is off by more than 100 ms is corrected. There is no answer.
    #[prost(message, tag = "6")]
    Clock(Clock),
    /// Run a command on this stream.
    #[prost(message, tag = "8")]
    Exec(Exec),
    /// Let the guest send more output.
    #[prost(message, tag = "9")]
    Credit(OutputCredit),
    /// Send a signal to the command.
    #[prost(message, tag = "10")]
    Signal(Signal),
}

/// What the guest says.
#[derive(Clone, PartialEq, Message)]
pub struct ToHost {
    /// Exactly one of these; none means a message this build does not know.
    #[prost(oneof = "Event", tags = "1, 2, 3, 4, 6, 7, 8, 9, 10, 11")]
    pub event: Option<Event>,
}

/// The guest's answers and news.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Event {
    /// The answer to Hello.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// The identity was taken, all of it.
    #[prost(message, tag = "2")]
    Identified(Identified),
    /// The machine may be frozen now.
    #[prost(message, tag = "3")]
    Frozen(Frozen),
    /// How far an Unpack is.
    #[prost(message, tag = "4")]
    UnpackProgress(UnpackProgress),
    /// The Unpack ended well; the disk is written and unmounted.
    #[prost(message, tag = "6")]
    Unpacked(Unpacked),
    /// A request could not be carried out. On a command's stream: nothing was run.
    #[prost(message, tag = "7")]
    Refused(Refused),
    /// The command runs.
    #[prost(message, tag = "8")]
    Started(Started),
    /// The host may send more stdin.
    #[prost(message, tag = "9")]
    Credit(StdinCredit),
    /// The command ended. Nothing follows on its stream.
    #[prost(message, tag = "10")]
    Exited(Exited),
    /// The orderly shutdown is under way; the power goes off next.
    #[prost(message, tag = "11")]
    GoingDown(GoingDown),
}

/// Who speaks.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hello {
    /// [`crate::GENERATION`] of the speaker.
    #[prost(uint32, tag = "1")]
    pub generation: u32,
    /// Optional abilities, by name.
    #[prost(string, repeated, tag = "2")]
    pub capabilities: Vec<String>,
    /// Release of the speaker, for error messages only.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// What tells this machine from every other one restored from the same template.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Identity {
    /// Wall clock, nanoseconds since 1970-01-01 UTC. 0 leaves the clock alone.
    #[prost(uint64, tag = "1")]
    pub wall_clock_ns: u64,
    /// Random bytes, mixed into the kernel's pool, which is then reseeded.
    #[prost(bytes = "vec", tag = "2")]
    pub entropy: Vec<u8>,
    /// Host name; empty leaves it alone.
    #[prost(string, tag = "3")]
    pub host_name: String,
    /// Content of `/etc/machine-id`: 32 lower-case hex digits; empty leaves it alone.
    #[prost(string, tag = "4")]
    pub machine_id: String,
    /// Its network; none where it has none.
    #[prost(message, optional, tag = "5")]
    pub network: Option<Network>,
    /// MAC address of its network device, 6 bytes; empty leaves it alone.
    #[prost(bytes = "vec", tag = "6")]
    pub mac_address: Vec<u8>,
}

/// Answer without arguments.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Identified {}

/// What time it is on the host.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Clock {
    /// Nanoseconds since 1970-01-01 UTC.
    #[prost(uint64, tag = "1")]
    pub wall_clock_ns: u64,
}

/// How the machine's network device is configured.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Network {
    /// Addresses with the length of their prefix, for example `172.29.100.2/30`; one of a family.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
    /// Where everything else is sent, one of a family.
    #[prost(string, repeated, tag = "2")]
    pub gateways: Vec<String>,
    /// Bytes of a packet at most.
    #[prost(uint32, tag = "3")]
    pub mtu: u32,
    /// Content of `/etc/resolv.conf`.
    #[prost(string, tag = "4")]
    pub resolver_file: String,
    /// Bytes that a peer may send ahead on a connection by a gateway; 0 leaves it to the guest.
    #[prost(uint32, tag = "5")]
    pub window: u32,
    /// The link is up or about to be. Without it the device is prepared for that, and nothing can be
    /// reached.
    #[prost(bool, tag = "6")]
    pub link: bool,
}

/// Request without arguments.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Freeze {}

/// The machine may be frozen.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Frozen {
    /// What the kernel keeps time with, as `/sys/devices/system/clocksource/clocksource0/current_clocksource` says;
    /// empty where that cannot be read, and from agents that did not look.
    #[prost(string, tag = "1")]
    pub clock_source: String,
}

/// Fill `target`, which holds an empty ext4 file system.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Unpack {
    /// Block device, for example `/dev/vda`.
    #[prost(string, tag = "1")]
    pub target: String,
    /// Block devices that hold a tar archive each, unpacked in order.
    #[prost(string, repeated, tag = "2")]
    pub sources: Vec<String>,
}

/// How far an Unpack is.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct UnpackProgress {
    /// Bytes of archive read so far, over all sources.
    #[prost(uint64, tag = "1")]
    pub archive_bytes: u64,
}

/// The end of an Unpack.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Unpacked {
    /// Entries written.
    #[prost(uint64, tag = "1")]
    pub entries: u64,
}

/// Request without arguments.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Shutdown {}

/// Answer without arguments.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GoingDown {}

/// A command to run.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Exec {
    /// Program and arguments, tried in order: the first list whose program can be executed runs.
    #[prost(message, repeated, tag = "1")]
    pub candidates: Vec<Argv>,
    /// `KEY=VALUE` words added to the guest's default environment.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub environment: Vec<Vec<u8>>,
    /// Working directory, absolute.
    #[prost(bytes = "vec", tag = "3")]
    pub working_directory: Vec<u8>,
    /// Time limit in microseconds from the start; 0 means none.
    #[prost(uint64, tag = "4")]
    pub timeout_us: u64,
    /// Bytes of stdout the guest may send before more is granted.
    #[prost(uint32, tag = "5")]
    pub stdout_credit: u32,
    /// Bytes of stderr the guest may send before more is granted.
    #[prost(uint32, tag = "6")]
    pub stderr_credit: u32,
    /// The program is the agent's own file worker ([`crate::files`]): candidates, environment and working directory
    /// are not used. A guest that has none refuses, for it finds no candidates.
    #[prost(bool, tag = "7")]
    pub file_worker: bool,
}

/// One command line.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Argv {
    /// Program first.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub words: Vec<Vec<u8>>,
}

/// More bytes the guest may send.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct OutputCredit {
    /// Bytes of stdout.
    #[prost(uint32, tag = "1")]
    pub stdout: u32,
    /// Bytes of stderr.
    #[prost(uint32, tag = "2")]
    pub stderr: u32,
}

/// More bytes of stdin the host may send.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StdinCredit {
    /// Bytes.
    #[prost(uint32, tag = "1")]
    pub stdin: u32,
}

/// A signal for a command.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Signal {
    /// Signal number of Linux. 9 (KILL) ends every process of the command, others go to its
    /// first process's group.
    #[prost(uint32, tag = "1")]
    pub number: u32,
}

/// A command runs.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Started {
    /// Process id in the guest.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Why a request was not carried out.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Refused {
    /// Stable word: `not_found`, `not_executable`, `no_directory`, `bad_request`, `not_identified`, `failed`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Exited {
    /// Exit code when it exited.
    #[prost(uint32, optional, tag = "1")]
    pub code: Option<u32>,
    /// Signal number when a signal ended it.
    #[prost(uint32, optional, tag = "2")]
    pub signal: Option<u32>,
    /// The time limit ended it.
    #[prost(bool, tag = "3")]
    pub timed_out: bool,
    /// The kernel killed at least one of its processes for want of memory.
    #[prost(bool, tag = "4")]
    pub out_of_memory: bool,
    /// From fork to reaping, microseconds of the guest's monotonic clock.
    #[prost(uint64, tag = "5")]
    pub duration_us: u64,
}

#[cfg(test)]
mod tests;
