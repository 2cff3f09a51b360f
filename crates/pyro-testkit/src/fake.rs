//! An engine without machines.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyro_engine::{
    Accelerator, BootSpec, BoxFuture, Death, Engine, Machine, MachineSpec, ProgramError, RestoreSpec, SaveError,
    StartError,
};
use pyro_protocol::message::Identity;
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::guest;

/// How a start of a machine goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The guest comes up.
    Works,
    /// The guest comes up, and no command in it ever ends.
    Hangs,
    /// The machine runs, and its guest never says a word.
    Silent,
    /// The machine runs and ends before its guest is up.
    Dies,
    /// The machine cannot be started.
    Refused,
}

/// How the engine behaves. Changed at any time, it holds for what happens from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// Booting without KVM.
    pub boot: Start,
    /// Booting with KVM.
    pub boot_with_kvm: Start,
    /// Restoring.
    pub restore: Start,
    /// Saving fails.
    pub save_fails: bool,
    /// Guests cannot take their identity.
    pub loses_identity: bool,
    /// The generation that guests speak.
    pub generation: u32,
    /// So many machines from now on find their clock unstable while they start, and take a worse one.
    pub unstable_clocks: usize,
    /// The engine's program: whether it is there.
    pub program_is_there: bool,
    /// Part of the fingerprint.
    pub build: String,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            boot: Start::Works,
            boot_with_kvm: Start::Works,
            restore: Start::Works,
            save_fails: false,
            loses_identity: false,
            generation: pyro_protocol::GENERATION,
            unstable_clocks: 0,
            program_is_there: true,
            build: "1".into(),
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    boots: AtomicUsize,
    restores: AtomicUsize,
    alive: AtomicUsize,
}

/// An engine whose guests are tasks of this process.
#[derive(Clone, Debug, Default)]
pub struct FakeEngine {
    behaviour: Arc<Mutex<Behaviour>>,
    identities: Arc<Mutex<Vec<Identity>>>,
    clocks: Arc<Mutex<Vec<u64>>>,
    counts: Arc<Counts>,
    kills: Arc<Mutex<Vec<Weak<watch::Sender<bool>>>>>,
}

impl FakeEngine {
    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn clock_source(&self) -> String {
        let mut behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        let unstable = behaviour.unstable_clocks > 0;
        behaviour.unstable_clocks -= usize::from(unstable);
        if unstable { "refined-jiffies" } else { "tsc" }.into()
    }

    /// Machines booted so far.
    #[must_use]
    pub fn boots(&self) -> usize {
        self.counts.boots.load(Ordering::SeqCst)
    }

    /// Machines restored so far.
    #[must_use]
    pub fn restores(&self) -> usize {
        self.counts.restores.load(Ordering::SeqCst)
    }

    /// Machines that are there now.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.counts.alive.load(Ordering::SeqCst)
    }

    /// Identities that guests were given, in order.
    #[must_use]
    pub fn identities(&self) -> Vec<Identity> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Times that guests were told after their identity, in nanoseconds since 1970-01-01 UTC, in order.
    #[must_use]
    pub fn clocks(&self) -> Vec<u64> {
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends every machine that is there, as if its process had been killed.
    pub fn kill_all(&self) {
        let kills = std::mem::take(&mut *self.kills.lock().unwrap_or_else(PoisonError::into_inner));
        for kill in kills.iter().filter_map(Weak::upgrade) {
            let _ = kill.send(true);
        }
    }

    fn start(&self, how: Start, spec: &MachineSpec) -> Result<Box<dyn Machine>, StartError> {
        if how == Start::Refused {
            return Err(StartError::Refused { command: "migrate-incoming", message: "the fake refuses".into() });
        }
        let (ours, theirs) =
            UnixStream::pair().map_err(|source| StartError::Host { attempt: "make a socket pair", source })?;
        let behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (kill, killed) = watch::channel(false);
        let kill = Arc::new(kill);
        self.kills.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&kill));
        match how {
            Start::Works | Start::Hangs => {
                let script = guest::Script {
                    stream: theirs,
                    generation: behaviour.generation,
                    clock_source: self.clock_source(),
                    hangs: how == Start::Hangs,
                    loses_identity: behaviour.loses_identity,
                    identities: self.identities.clone(),
                    clocks: self.clocks.clone(),
                    kill: kill.clone(),
                    copying: Vec::new(),
                    stuck: Vec::new(),
                    chattering: HashMap::new(),
                };
                tokio::spawn(script.play());
            }
            Start::Silent => drop(tokio::spawn(guest::keep_open(theirs, killed.clone()))),
            Start::Dies | Start::Refused => drop(kill.send(true)),
        }
        self.counts.alive.fetch_add(1, Ordering::SeqCst);
        let _ = std::fs::write(spec.directory.join("console.log"), "the fake's console\n");
        Ok(Box::new(FakeMachine {
            channel: Some(ours),
            accelerator: spec.accelerator,
            behaviour,
            kill,
            killed,
            counts: self.counts.clone(),
            has_nic: spec.nic,
            nic: None,
        }))
    }
}

impl Engine for FakeEngine {
    fn boot(&self, spec: BootSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
            self.counts.boots.fetch_add(1, Ordering::SeqCst);
            let behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let accelerator = spec.machine.accelerator;
            let how = if accelerator == Accelerator::Kvm { behaviour.boot_with_kvm } else { behaviour.boot };
            self.start(how, &spec.machine)
        })
    }

    fn restore(&self, spec: RestoreSpec) -> BoxFuture<'_, Result<Box<dyn Machine>, StartError>> {
        Box::pin(async move {
            self.counts.restores.fetch_add(1, Ordering::SeqCst);
            let how = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).restore;
            if std::fs::read(&spec.state).unwrap_or_default() != STATE {
                return Err(StartError::Refused { command: "migrate-incoming", message: "not a state".into() });
            }
            self.start(how, &spec.machine)
        })
    }

    fn fingerprint(&self, accelerator: Accelerator) -> Result<String, ProgramError> {
        let behaviour = self.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        if behaviour.program_is_there {
            Ok(format!("fake {} {accelerator}", behaviour.build))
        } else {
            Err(ProgramError::Missing { program: "fake".into() })
        }
    }
}

const STATE: &[u8] = b"a fake machine's state";

struct FakeMachine {
    channel: Option<UnixStream>,
    accelerator: Accelerator,
    behaviour: Behaviour,
    kill: Arc<watch::Sender<bool>>,
    killed: watch::Receiver<bool>,
    counts: Arc<Counts>,
    has_nic: bool,
    nic: Option<UnixStream>,
}

impl Machine for FakeMachine {
    fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    fn layers(&self) -> &[&'static str] {
        &[]
    }

    fn take_nic_stream(&mut self) -> Option<UnixStream> {
        let (ours, theirs) = self.has_nic.then(|| UnixStream::pair().ok()).flatten()?;
        self.nic = Some(theirs);
        Some(ours)
    }

    fn save<'a>(&'a mut self, state: &'a Path) -> BoxFuture<'a, Result<(), SaveError>> {
        Box::pin(async move {
            if self.behaviour.save_fails {
                return Err(SaveError::Refused { message: "the fake refuses".into() });
            }
            std::fs::write(state, STATE).map_err(|error| SaveError::Refused { message: error.to_string() })
        })
    }

    fn died(&mut self) -> BoxFuture<'_, Death> {
        Box::pin(async move {
            let _ = self.killed.wait_for(|killed| *killed).await;
            Death { status: "the fake ended".into(), complaints: Vec::new(), console: self.console_tail() }
        })
    }

    fn halt(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(self) })
    }

    fn console_tail(&self) -> Vec<String> {
        vec!["the fake's console".into()]
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        let _ = self.kill.send(true);
        self.counts.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
