//! Starts a program that can access only its own files.
//!
//! ```text
//! Confined (program, words, descriptors, allowed, bounds)
//!   └─start──▶ every layer ──refused by the host──▶ without that layer ──▶ … ──▶ Process
//!                                                                              layers(): what is in force
//!                                                                              missing(): what is not, and why
//! ```
//!
//! The program is treated as if an attacker controlled it: its own user, mount, process, IPC, host name
//! and network namespaces, a root that contains only its own files, a Landlock domain, a
//! seccomp filter, resource limits, and no way to gain privileges. A layer that the host does not
//! allow is left out and reported; the program still runs. The caller names the program's
//! files.
#![forbid(unsafe_code)]

mod allowed_paths;
pub mod cgroup;
mod domain;
mod elf;
mod filter;
mod layer;
mod process;
mod root;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use cgroup::Group;
use layer::LAYERS;
use pyro_sys::launch::{At, Failed, Launch, Namespaces, Step};
use root::text;
use rustix::process::Resource;

pub use allowed_paths::AllowedPaths;
pub use layer::{Layer, Missing};
pub use process::Process;

/// A program, and everything that it gets.
#[derive(Debug)]
pub struct Confined {
    /// Its absolute path, without symbolic links.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub words: Vec<String>,
    /// What it gets as descriptors 0, 1, 2 and so on.
    pub descriptors: Vec<OwnedFd>,
    /// The files it may use.
    pub allowed: AllowedPaths,
    /// Its resource limits.
    pub bounds: Bounds,
    /// The control group it gets; none where it needs none.
    pub cgroup: Option<cgroup::Wish>,
    /// Which layers to try.
    pub layers: Layers,
}

/// Resource limits of a program. Lower limits that the host has already set stay.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of address space.
    pub address_space: u64,
    /// Bytes of its largest file.
    pub file: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

/// Which layers to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// All that the host allows.
    All,
    /// Without the layers that restrict files: for a program in an unusual place whose
    /// libraries are unknown.
    WithoutFiles,
}

impl Confined {
    /// Starts it. It dies when the **thread** that starts it ends.
    ///
    /// # Errors
    /// When it cannot be started even without the layers that the host refuses.
    pub fn start(&self) -> io::Result<Process> {
        let mut missing = Vec::new();
        if self.layers == Layers::WithoutFiles {
            let why = "pyro does not know which files this program needs";
            missing.extend([Layer::Landlock, Layer::Root].map(|layer| Missing { layer, why: why.into() }));
        }
        let interpreter = elf::interpreter(&self.program)?;
        let mut group = None;
        if let Some(wish) = &self.cgroup {
            match Group::make(wish) {
                Ok(made) => group = Some(made),
                Err(why) => missing.push(Missing { layer: Layer::Cgroup, why }),
            }
        }
        loop {
            let (launch, layers) = self.launch(interpreter.as_deref(), group.as_ref(), &mut missing)?;
            match launch.start() {
                Ok(child) => return Process::new(child, group, self.in_force(&missing), missing),
                Err(failed) => {
                    let without = refused(&failed, &layers).ok_or(failed.source)?;
                    if without.layer == Layer::Namespaces && missing.iter().all(|one| one.layer != Layer::Root) {
                        missing.push(Missing { layer: Layer::Root, why: "it needs a user namespace".into() });
                    }
                    missing.push(without);
                }
            }
        }
    }

    /// Everything prepared, and the layer of each step.
    fn launch(
        &self,
        interpreter: Option<&Path>,
        group: Option<&Group>,
        missing: &mut Vec<Missing>,
    ) -> io::Result<(Launch, Vec<Option<Layer>>)> {
        let mut steps: Vec<(Option<Layer>, Step)> = Vec::new();
        let wanted = |missing: &[Missing], layer| missing.iter().all(|one| one.layer != layer);
        if let Some(group) = group.filter(|_| wanted(missing, Layer::Cgroup)) {
            // First, while the path is still visible. 0 means the writing process itself.
            steps.push((Some(Layer::Cgroup), Step::Write { path: text(group.door())?, bytes: b"0".to_vec() }));
        }
        let namespaces = if wanted(missing, Layer::Namespaces) { Namespaces::Own } else { Namespaces::Shared };
        if namespaces == Namespaces::Own {
            steps.extend(root::user()?.map(|step| (Some(Layer::Namespaces), step)));
        }
        if namespaces == Namespaces::Own && wanted(missing, Layer::Root) {
            let root = root::steps(&self.allowed, &self.program, interpreter)?;
            steps.extend(root.into_iter().map(|step| (Some(Layer::Root), step)));
        }
        if wanted(missing, Layer::Limits) {
            steps.extend(self.bounds.steps().map(|step| (Some(Layer::Limits), step)));
        }
        steps.push((None, Step::NoNewPrivileges));
        if wanted(missing, Layer::Landlock) {
            match domain::of(&self.all_allowed(), &self.program, interpreter) {
                Ok(domain) => steps.push((Some(Layer::Landlock), Step::Landlock(domain))),
                Err(why) => missing.push(Missing { layer: Layer::Landlock, why }),
            }
        }
        if wanted(missing, Layer::Seccomp) {
            // Last: nothing after it is left but executing the program.
            steps.push((Some(Layer::Seccomp), Step::Seccomp(filter::program())));
        }
        let (layers, steps) = steps.into_iter().unzip();
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>()?;
        let words = [self.program.as_os_str()].into_iter().chain(self.words.iter().map(OsStr::new));
        let words = words.map(text).collect::<io::Result<_>>()?;
        Ok((Launch { program: text(&self.program)?, words, descriptors, namespaces, steps }, layers))
    }

    fn in_force(&self, missing: &[Missing]) -> Vec<&'static str> {
        let without = |layer: Layer| missing.iter().any(|one| one.layer == layer);
        let there = LAYERS.iter().filter(|layer| match layer {
            Layer::Root => !without(Layer::Root) && !without(Layer::Namespaces),
            Layer::Cgroup => !without(Layer::Cgroup) && self.cgroup.is_some(),
            layer => !without(**layer),
        });
        there.flat_map(|layer| layer.names()).copied().collect()
    }

    fn all_allowed(&self) -> AllowedPaths {
        let mut allowed = self.allowed.clone();
        allowed.readable.extend(root::libraries(&self.program));
        allowed.writable.extend(root::DEVICES.map(PathBuf::from));
        allowed
    }
}

impl Bounds {
    fn steps(self) -> [Step; 4] {
        [
            (Resource::Core, 0),
            (Resource::As, self.address_space),
            (Resource::Fsize, self.file),
            (Resource::Nofile, self.descriptors),
        ]
        .map(|(resource, max)| Step::Limit { resource, max })
    }
}

/// The layers for a program that confines itself and needs the host's network: resource limits, no new
/// privileges, and no signals and no abstract sockets of others. The second is what is missing.
#[must_use]
pub fn beside_its_own(bounds: Bounds) -> (Vec<Step>, Vec<Missing>) {
    let mut steps = Vec::from(bounds.steps());
    steps.push(Step::NoNewPrivileges);
    match domain::of_scopes() {
        Ok(domain) => {
            steps.push(Step::Landlock(domain));
            (steps, Vec::new())
        }
        Err(why) => (steps, vec![Missing { layer: Layer::Landlock, why }]),
    }
}

/// The layer to leave out after a failure; `None` when leaving one out does not help.
fn refused(failed: &Failed, layers: &[Option<Layer>]) -> Option<Missing> {
    let layer = match failed.at {
        At::Clone => Some(Layer::Namespaces).filter(|_| layers.contains(&Some(Layer::Namespaces))),
        At::Step(number) => layers[number],
        // A program that lies in an unusual place, or is a script, may not find what it is executed with
        // in a root with its own files alone, or may not execute it.
        At::Execution => [Layer::Root, Layer::Landlock].into_iter().find(|layer| layers.contains(&Some(*layer))),
        At::Preparation => None,
    }?;
    Some(Missing { layer, why: failed.source.to_string() })
}
