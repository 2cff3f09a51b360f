//! What makes this machine a different one from all others restored from its template.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyro_protocol::message::Identity;

use crate::network::Device;
use crate::report::failed;

/// Takes the identity, all of it or with an error. The server runs nothing in the machine before this is done.
pub fn take(identity: &Identity, device: &mut Device) -> io::Result<()> {
    if !identity.entropy.is_empty() {
        let device = File::open("/dev/urandom").map_err(failed("open /dev/urandom"))?;
        pyro_sys::entropy::reseed(&device, &identity.entropy).map_err(failed("reseed"))?;
    }
    if identity.wall_clock_ns != 0 {
        set_clock(identity.wall_clock_ns)?;
    }
    if !identity.host_name.is_empty() {
        let name = &identity.host_name;
        rustix::system::sethostname(name.as_bytes()).map_err(failed("host name"))?;
        write_in_place("/etc/hostname", &format!("{name}\n")).map_err(failed("write /etc/hostname"))?;
        write_in_place("/etc/hosts", &hosts(name)).map_err(failed("write /etc/hosts"))?;
    }
    if !identity.machine_id.is_empty() {
        write_in_place("/etc/machine-id", &format!("{}\n", identity.machine_id)).map_err(failed("machine id"))?;
    }
    if !identity.mac_address.is_empty() {
        device.set_address(&identity.mac_address)?;
    }
    let Some(network) = &identity.network else { return Ok(()) };
    device.configure(network)?;
    if !network.resolver_file.is_empty() {
        write_resolver_file(&network.resolver_file)?;
    }
    if network.link { device.await_link() } else { Ok(()) }
}

fn write_resolver_file(content: &str) -> io::Result<()> {
    const PATH: &str = "/etc/resolv.conf";
    // A link would be followed to where it leads: to a manager that does not run here.
    if fs::symlink_metadata(PATH).is_ok_and(|it| !it.is_file()) {
        fs::remove_file(PATH).map_err(failed("replace /etc/resolv.conf"))?;
    }
    write_in_place(PATH, content).map_err(failed("write /etc/resolv.conf"))
}

/// Writes over what is there. Emptying the file first would make the file system write its blocks
/// out when it is closed, in every restored machine.
fn write_in_place(path: &str, content: &str) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    file.write_all_at(content.as_bytes(), 0)?;
    if file.metadata()?.len() != content.len() as u64 {
        file.set_len(content.len() as u64)?;
    }
    Ok(())
}

/// A clock that is off by less is left alone: setting it is a step that programs see.
const GOOD_ENOUGH: Duration = Duration::from_millis(100);

/// Corrects the wall clock.
pub fn correct_clock(wall_clock_ns: u64) -> io::Result<()> {
    let shall = UNIX_EPOCH + Duration::from_nanos(wall_clock_ns);
    let now = SystemTime::now();
    let off = now.duration_since(shall).unwrap_or_else(|earlier| earlier.duration());
    if off > GOOD_ENOUGH { set_clock(wall_clock_ns) } else { Ok(()) }
}

fn set_clock(wall_clock_ns: u64) -> io::Result<()> {
    let time = rustix::time::Timespec {
        tv_sec: (wall_clock_ns / 1_000_000_000) as i64,
        tv_nsec: (wall_clock_ns % 1_000_000_000) as i64,
    };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time).map_err(failed("set the clock"))
}

fn hosts(name: &str) -> String {
    format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
}
