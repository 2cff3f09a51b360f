//! What happens in a machine between its boot and its freezing: what nearly every command touches is touched, and a
//! guest that does not keep time is found.

use std::path::Path;

use pyro_engine::{Accelerator, Machine};
use pyro_guest::{Guest, GuestError, Identity, OutputEvent};

use crate::Error;
use crate::id::{VmId, identity};
use crate::network::usual;
use crate::payload::WORKSPACE;
use crate::unpacker::{BOOT_LIMIT, attach, await_guest};

/// Run in every machine before it is frozen, so that what nearly every command touches is in its
/// memory already.
const WARM_UP: &[&str] = &["true", "sh -c true", "sh -c 'cat /dev/null; ls / >/dev/null'"];

/// Returns what the guest keeps time with.
pub async fn warm_and_save(machine: &mut dyn Machine, state: &Path) -> Result<String, Error> {
    let guest = attach(machine);
    guest.start_handshake(Identity { network: usual(), ..identity(&VmId::random()?)? });
    await_guest(machine, guest.ready(), BOOT_LIMIT).await?;
    for command in WARM_UP {
        await_guest(machine, run_quietly(&guest, command), BOOT_LIMIT).await?;
    }
    let clock_source = await_guest(machine, guest.freeze(), BOOT_LIMIT).await?;
    if !keeps_time(machine.accelerator(), &clock_source) {
        return Err(Error::ClockSource { found: clock_source });
    }
    machine.save(state).await.map_err(Error::Save)?;
    Ok(clock_source)
}

/// Whether guests keep time with this clock source.
fn keeps_time(accelerator: Accelerator, clock_source: &str) -> bool {
    match accelerator {
        Accelerator::Tcg => clock_source == "tsc",
        Accelerator::Kvm => ["kvm-clock", "tsc"].contains(&clock_source),
    }
}

/// Runs a command to its end, where and as users' commands run, and forgets how it ended: an environment
/// need not have everything.
pub async fn run_quietly(guest: &Guest, command: &str) -> Result<(), GuestError> {
    let command = crate::workspace::command(guest, command).current_dir(WORKSPACE).timeout(BOOT_LIMIT);
    let mut running = command.spawn();
    running.stdin().end();
    loop {
        match running.next().await {
            Ok(OutputEvent::Exited(_)) | Err(GuestError::Refused(_)) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}
