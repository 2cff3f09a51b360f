//! What a look at the host has shown: the form on the wire.

use serde::Serialize;
use serde_json::Value;

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoctorReport {
    /// `linux-x86_64`, or what else this is.
    pub platform: String,
    /// Whether guests can run: nothing that is needed is missing.
    pub runtime_ok: bool,
    /// What is wrong, a sentence each.
    pub issues: Vec<String>,
    /// The KVM device.
    pub kvm: KvmReport,
    /// Networks for guests.
    pub networking: Value,
    /// The programs and directories.
    pub runtime: Value,
    /// Every check.
    pub checks: Vec<Check>,
}

/// The KVM device, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KvmReport {
    /// It is there.
    pub exists: bool,
    /// This user may read it.
    pub readable: bool,
    /// This user may write it.
    pub writable: bool,
    /// A guest came up with it. Null while none has tried.
    pub usable: Option<bool>,
    /// Why.
    pub reason: String,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it stands.
    pub status: CheckStatus,
    /// What was seen.
    pub detail: String,
    /// What to do; empty where nothing is to be done.
    pub fix: String,
}

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Fine.
    Pass,
    /// Something works less well, or not yet.
    Warn,
    /// Something needed is missing.
    Fail,
}

impl Check {
    pub(crate) fn pass(name: &'static str, detail: String) -> Self {
        Self { name, status: CheckStatus::Pass, detail, fix: String::new() }
    }

    pub(crate) fn warn(name: &'static str, detail: String, fix: String) -> Self {
        Self { name, status: CheckStatus::Warn, detail, fix }
    }

    pub(crate) fn fail(name: &'static str, detail: String, fix: String) -> Self {
        Self { name, status: CheckStatus::Fail, detail, fix }
    }
}
