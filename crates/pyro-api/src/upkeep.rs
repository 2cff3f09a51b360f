//! Keeping the data directory in order.

use pyro_manager::{Error, Reaped, RepairMode, RepairReport, RepairRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Effect, Operation};

/// Removes what has expired.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReapExpired {}

/// Finds damage, and repairs it where possible.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Repair {
    /// Make the proposed repairs; without it they are only shown
    #[serde(default)]
    pub apply: bool,
    /// With apply, remove these VMs, tasks or left-over directories permanently (full ids)
    #[serde(default)]
    pub delete: Vec<String>,
}

impl Operation for ReapExpired {
    type Result = Reaped;
    const NAME: &'static str = "reap_expired";
    const TOOL: Option<&'static str> = Some("vm_reap_expired");
    const TITLE: &'static str = "Remove expired VMs and tasks";
    const DESCRIPTION: &'static str = "Remove expired VMs and tasks now. They are also removed automatically.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.reap_expired().await
    }
}

impl Operation for Repair {
    type Result = RepairReport;
    const NAME: &'static str = "repair";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Repair pyro's own files";
    const DESCRIPTION: &'static str = "Find damage in pyro's own files; with apply, repair it where \
        possible. Removes only what delete names by its full id.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let mode = if self.apply { RepairMode::Apply } else { RepairMode::Look };
        context.pyro.repair(RepairRequest { mode, delete: self.delete }).await
    }
}
