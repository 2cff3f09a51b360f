//! One call of the list of operations, as JSON on both sides.

use pyro_api::{Context, Error, HostAccess, Phase, Pyro, RunIo};

/// Carries an operation out and returns its payload as JSON. Whoever runs a Python program may use the host.
pub async fn carry_out(pyro: &Pyro, operation: &str, arguments: &str, io: RunIo) -> Result<String, Error> {
    let arguments =
        serde_json::from_str(arguments).map_err(|error| Error::InvalidArgument { problem: error.to_string() })?;
    let payload = pyro_api::call(operation, arguments, Context { pyro, host: HostAccess::Allowed, io }).await?;
    Ok(payload.to_string())
}

/// What the caller hears of a phase.
pub fn describe(phase: &Phase) -> String {
    match phase {
        Phase::Create { environment } => format!("create environment={environment}"),
        Phase::Start { vm_id } => format!("start vm_id={vm_id}"),
        Phase::Execute { vm_id } => format!("execute vm_id={vm_id}"),
        Phase::Accepted { id, sequence } => format!("accepted id={id} sequence={sequence}"),
    }
}
