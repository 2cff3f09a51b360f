//! Where a machine is started from a template.

use std::path::Path;

use crate::id::VmId;
use crate::network::UplinkPlan;

/// Whose file the layer right below a machine's own disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The template's: enough for a machine that never starts again.
    Templates,
    /// The machine's own, so that it can be booted again when the template is gone.
    Own,
}

/// Where a machine is started.
#[derive(Clone, Copy)]
pub struct RestoreTarget<'a> {
    pub id: &'a VmId,
    pub directory: &'a Path,
    pub base: Base,
    /// The network it gets.
    pub network: Option<&'a UplinkPlan>,
}
