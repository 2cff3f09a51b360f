//! VMs: one-shot machines that a caller steers step by step.

use pyro_manager::{CreateRequest, Error, Naming, NetworkInfo, VmDeleted, VmOptions, VmRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::{MachineOptions, default_ttl_seconds};
use crate::operation::{Context, Effect, Operation, Reach};

/// Creates a VM.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CreateVm {
    /// such as debian:12
    pub environment: String,
    /// The machine.
    #[serde(flatten)]
    pub machine: MachineOptions,
    /// Time to live in seconds, 60 to 604800
    #[serde(default = "default_ttl_seconds")]
    #[schemars(range(min = 60, max = 604_800))]
    pub ttl_seconds: i64,
    /// A repeated attempt_id returns the same VM
    pub attempt_id: Option<String>,
}

/// The request of most operations on a VM.
macro_rules! about_a_vm {
    ($($(#[$documentation:meta])* $name:ident),* $(,)?) => {$(
        $(#[$documentation])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            /// The VM's id
            pub vm_id: String,
        }
    )*};
}

about_a_vm! {
    /// Starts a VM.
    StartVm,
    /// Stops a VM.
    StopVm,
    /// Deletes a VM.
    DeleteVm,
    /// Shows a VM.
    StatusVm,
    /// Shows a VM's network.
    NetworkInfoVm,
}

impl Operation for CreateVm {
    type Result = VmRecord;
    const NAME: &'static str = "create_vm";
    const TOOL: Option<&'static str> = Some("vm_create");
    const TITLE: &'static str = "Create a VM";
    const DESCRIPTION: &'static str = "Create a VM without starting it, for callers that control each step: then \
        start it and run its one command. Prefer a run, which is one step.";
    const EFFECT: Effect = Effect::Adds;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let options = VmOptions { ttl: pyro_manager::ttl(self.ttl_seconds)?, ..self.machine.allowed(&context)? };
        let (environment, attempt_id) = (self.environment, self.attempt_id);
        let request = CreateRequest { environment, options, naming: Naming::default(), attempt_id };
        context.pyro.create_vm(request, &context.io.events).await
    }
}

impl Operation for StartVm {
    type Result = VmRecord;
    const NAME: &'static str = "start_vm";
    const TOOL: Option<&'static str> = Some("vm_start");
    const TITLE: &'static str = "Start a VM";
    const DESCRIPTION: &'static str = "Start a created or stopped VM.";
    const EFFECT: Effect = Effect::Changes;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.start_vm(&self.vm_id).await
    }
}

impl Operation for StopVm {
    type Result = VmRecord;
    const NAME: &'static str = "stop_vm";
    const TOOL: Option<&'static str> = Some("vm_stop");
    const TITLE: &'static str = "Stop a VM";
    const DESCRIPTION: &'static str = "Stop a VM. Its disk is kept, and it can be started again.";
    const EFFECT: Effect = Effect::Changes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.stop_vm(&self.vm_id).await
    }
}

impl Operation for DeleteVm {
    type Result = VmDeleted;
    const NAME: &'static str = "delete_vm";
    const TOOL: Option<&'static str> = Some("vm_delete");
    const TITLE: &'static str = "Delete a VM";
    const DESCRIPTION: &'static str = "Delete a VM in any state, and its disk.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.delete_vm(&self.vm_id).await
    }
}

impl Operation for StatusVm {
    type Result = VmRecord;
    const NAME: &'static str = "status_vm";
    const TOOL: Option<&'static str> = Some("vm_status");
    const TITLE: &'static str = "Look at a VM";
    const DESCRIPTION: &'static str = "Show a VM's state and limits.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.status_vm(&self.vm_id).await
    }
}

impl Operation for NetworkInfoVm {
    type Result = NetworkInfo;
    const NAME: &'static str = "network_info_vm";
    const TOOL: Option<&'static str> = Some("vm_network_info");
    const TITLE: &'static str = "Look at a VM's network";
    const DESCRIPTION: &'static str = "Show whether a VM has a network, and its addresses.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.network_info_vm(&self.vm_id).await
    }
}
