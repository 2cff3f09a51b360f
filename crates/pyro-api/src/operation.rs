//! Operations, and the context in which one is carried out.

use std::future::Future;

use pyro_manager::{Error, Pyro, RunIo};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One operation of the public contract: a request that can be carried out.
///
/// The names, the documentation and the schema are read by people and by models.
pub trait Operation: DeserializeOwned + JsonSchema + Send {
    /// Its result.
    type Result: Serialize + JsonSchema;
    /// Its name in the Python client.
    const NAME: &'static str;
    /// Its name as a tool of the MCP server; `None` where models do not get it.
    const TOOL: Option<&'static str>;
    /// A few words for a list.
    const TITLE: &'static str;
    /// What it is for and when to use it.
    const DESCRIPTION: &'static str;
    /// Its side effects.
    const EFFECT: Effect;
    /// Whether it may reach the network.
    const REACH: Reach = Reach::Inside;

    /// Does it.
    ///
    /// # Errors
    /// [`Error`], with a stable code.
    fn carry_out(self, context: Context<'_>) -> impl Future<Output = Result<Self::Result, Error>> + Send;
}

/// The side effects of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Reads,
    /// It adds something.
    Adds,
    /// It runs a command.
    Runs,
    /// It changes something; a second time changes nothing more.
    Changes,
    /// It removes something; a second time removes nothing more.
    Removes,
}

/// Whether an operation may reach the network: by a guest that has one, or by installing an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does not.
    Inside,
    /// It may.
    Network,
}

/// Whether callers may ask for commands on the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAccess {
    /// They are refused.
    Refused,
    /// The person who started the front end allowed it.
    Allowed,
}

/// The context of an operation.
pub struct Context<'a> {
    /// The manager.
    pub pyro: &'a Pyro,
    /// Whether the host may stand in for a guest.
    pub host: HostAccess,
    /// Where events go, where input comes from, and how the caller gives up. Input here comes before a request's own
    /// `stdin`.
    pub io: RunIo,
}

impl Context<'_> {
    /// Refuses a caller who asks that the host may stand in for a guest where that is not allowed.
    pub(crate) fn host_compat(&self, asked: bool) -> Result<(), Error> {
        match (asked, self.host) {
            (true, HostAccess::Refused) => Err(Error::HostCompatRefused),
            _ => Ok(()),
        }
    }
}
