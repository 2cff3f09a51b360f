//! Environments: what machines are made of.

use pyro_manager::{EnvironmentList, EnvironmentRecord, Error, PruneRecord, PullRecord, Pyro, RunEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Context, Effect, Operation, Reach};

/// Lists every environment of the catalog.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListEnvironments {}

/// Installs an environment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PullEnvironment {
    /// such as debian:12
    pub environment: String,
}

/// Shows one environment.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InspectEnvironment {
    /// such as debian:12
    pub environment: String,
}

/// Removes what this release does not use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PruneEnvironments {}

impl Operation for ListEnvironments {
    type Result = EnvironmentList;
    const NAME: &'static str = "list_environments";
    const TOOL: Option<&'static str> = Some("vm_list_environments");
    const TITLE: &'static str = "List environments";
    const DESCRIPTION: &'static str = "List the environments (root file systems) for VMs and tasks, \
        and whether each is installed. debian:12 has bash, git, perl and the core tools, but no python3 and no curl; \
        debian:12-build adds python3, gcc, g++, make and cmake.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        off_the_event_loop(context.pyro, Pyro::list_environments).await
    }
}

impl Operation for PullEnvironment {
    type Result = PullRecord;
    const NAME: &'static str = "pull_environment";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Install an environment";
    const DESCRIPTION: &'static str = "Install an environment. Safe to call again.";
    const EFFECT: Effect = Effect::Changes;
    const REACH: Reach = Reach::Network;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        let events = context.io.events;
        let mut report = |progress| drop(events.try_send(RunEvent::Environment(progress)));
        context.pyro.pull_environment(&self.environment, &mut report).await
    }
}

impl Operation for InspectEnvironment {
    type Result = EnvironmentRecord;
    const NAME: &'static str = "inspect_environment";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Look at an environment";
    const DESCRIPTION: &'static str = "Show an environment's details.";
    const EFFECT: Effect = Effect::Reads;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        off_the_event_loop(context.pyro, move |pyro| pyro.inspect_environment(&self.environment)).await
    }
}

impl Operation for PruneEnvironments {
    type Result = PruneRecord;
    const NAME: &'static str = "prune_environments";
    const TOOL: Option<&'static str> = None;
    const TITLE: &'static str = "Remove old environments";
    const DESCRIPTION: &'static str = "Remove environment files that this release does not use.";
    const EFFECT: Effect = Effect::Removes;

    async fn carry_out(self, context: Context<'_>) -> Result<Self::Result, Error> {
        context.pyro.prune_environments().await
    }
}

/// Files that have changed are read to their end, which may take long.
async fn off_the_event_loop<T: Send + 'static>(
    pyro: &Pyro,
    look: impl FnOnce(&Pyro) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let pyro = pyro.clone();
    let looked = tokio::task::spawn_blocking(move || look(&pyro)).await;
    looked.unwrap_or_else(|error| {
        let (attempt, source) = ("look at the environments".into(), std::io::Error::other(error));
        Err(Error::Host { attempt, source })
    })
}
