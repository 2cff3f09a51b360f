//! The command line of QEMU: a pure function of the machine's shape.
//!
//! Everything that comes from outside is passed as JSON where QEMU takes JSON, so that a comma in
//! a path means nothing.

use std::path::Path;

use serde_json::{Value, json};

use super::start::Start;
use crate::{Accelerator, Disk, Layering, MachineSpec, MemoryMode, StartError};

/// Names this list of devices. It changes whenever the devices do: it is part of the fingerprint.
pub const DEVICES: &str = "microvm-3";

/// Descriptors the process inherits, in this order: QMP, the guest's byte stream, the nic.
pub const FIRST_DESCRIPTOR: i32 = QMP_DESCRIPTOR;
const QMP_DESCRIPTOR: i32 = 3;
const CHANNEL_DESCRIPTOR: i32 = 4;
const WIRE_DESCRIPTOR: i32 = 5;

/// The file in the machine's directory that the guest's console is written to.
pub const CONSOLE_LOG: &str = "console.log";

/// The guest's port name; the agent looks for it.
const PORT_NAME: &str = "org.pyro.agent.0";
/// The back end of the network device, by whose name its link is set.
pub const NETWORK: &str = "net0";

/// QEMU's processor options.
pub fn processor(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => "max",
    }
}

/// All arguments after the program's name.
pub fn arguments(spec: &MachineSpec, start: &Start<'_>) -> Result<Vec<String>, StartError> {
    let mut words = Words::default();
    words.flag("-nodefaults").flag("-no-user-config").flag("-no-reboot");
    words.pair("-display", "none").pair("-name", format!("pyro-{}", spec.name));
    words.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    words.pair("-machine", "microvm,acpi=on,pit=off,pic=off,rtc=on,memory-backend=memory");
    words.pair("-accel", if spec.accelerator == Accelerator::Kvm { "kvm" } else { "tcg,thread=multi" });
    words.pair("-cpu", processor(spec.accelerator));
    words.pair("-smp", spec.vcpus.to_string()).pair("-m", format!("{}M", spec.memory_mib));
    // Nobody else is on a machine's nic, and telling so costs a guest that has just been restored:
    // it is told once, and late. (With no rounds at all QEMU 10.0 crashes when it ends.)
    for parameter in ["announce-initial=100000", "announce-max=100000", "announce-rounds=1"] {
        words.pair("-global", format!("migration.{parameter}"));
    }
    words.json("-object", &memory(spec)?);
    console_and_channels(&mut words, spec)?;
    for (number, disk) in spec.disks.iter().enumerate() {
        add_disk(&mut words, number, disk)?;
    }
    words.json("-netdev", &network());
    words.json("-device", &json!({"driver": "virtio-net-device", "netdev": NETWORK, "mac": crate::MAC_ADDRESS.map(|byte| format!("{byte:02x}")).join(":")}));
    match start {
        Start::Boot { kernel, initramfs, parameters } => {
            words.pair("-kernel", text(kernel)?).pair("-initrd", text(initramfs)?);
            words.pair("-append", kernel_parameters(spec.accelerator, parameters));
        }
        Start::Restore { .. } => drop(words.pair("-incoming", "defer")),
    }
    Ok(words.0)
}

fn memory(spec: &MachineSpec) -> Result<Value, StartError> {
    let path = text(&spec.memory.path)?;
    let size = u64::from(spec.memory_mib) << 20;
    let mut object = json!({"qom-type": "memory-backend-file", "id": "memory", "size": size, "mem-path": path});
    match spec.memory.mode {
        MemoryMode::Shared => object["share"] = json!(true),
        MemoryMode::CopyOnWrite => {
            object["share"] = json!(false);
            // Opened for reading only, and still writable for the guest, which gets copies.
            object["readonly"] = json!(true);
            object["rom"] = json!("off");
        }
    }
    Ok(object)
}

fn console_and_channels(words: &mut Words, spec: &MachineSpec) -> Result<(), StartError> {
    words.pair("-chardev", format!("socket,id=qmp,fd={QMP_DESCRIPTOR}"));
    words.pair("-mon", "chardev=qmp,mode=control");
    // A comma in a value is written twice.
    let console = text(&spec.directory.join(CONSOLE_LOG))?.replace(',', ",,");
    words.pair("-chardev", format!("file,id=console,path={console}"));
    words.pair("-serial", "chardev:console");
    words.pair("-chardev", format!("socket,id=channel,fd={CHANNEL_DESCRIPTOR}"));
    words.json("-device", &json!({"driver": "virtio-serial-device", "max_ports": 2}));
    words.json("-device", &json!({"driver": "virtserialport", "chardev": "channel", "name": PORT_NAME}));
    Ok(())
}

/// What is behind the network device: a socket, whose other end is closed where the machine has no network.
fn network() -> Value {
    let socket = json!({"type": "fd", "str": WIRE_DESCRIPTOR.to_string()});
    json!({"type": "stream", "id": NETWORK, "server": false, "addr": socket})
}

fn add_disk(words: &mut Words, number: usize, disk: &Disk) -> Result<(), StartError> {
    let mut node = Value::Null;
    for (depth, layer) in disk.below.iter().rev().map(|layer| (1, layer)).chain([(0, &disk.top)]) {
        let writable = depth == 0 && disk.writable;
        let file = json!({"driver": "file", "filename": text(&layer.path)?});
        let mut next = json!({
            "driver": if layer.layering == Layering::Raw { "raw" } else { "qcow2" },
            "file": file,
            "read-only": !writable,
        });
        if depth == 0 {
            next["node-name"] = json!(format!("disk{number}"));
            next["discard"] = json!("unmap");
            // What a guest writes lives as long as its machine: flushing it to the host's disk
            // would only cost time. Templates are flushed once, when they are published.
            next["cache"] = json!({"no-flush": true});
        }
        if layer.layering == Layering::Qcow2 {
            next["backing"] = node;
        }
        node = next;
    }
    words.json("-blockdev", &node);
    // A full disk of the host is an error for the guest; by default it would stand still.
    let device = json!({
        "driver": "virtio-blk-device", "drive": format!("disk{number}"), "werror": "report", "rerror": "report",
    });
    words.json("-device", &device);
    Ok(())
}

/// The kernel's command line. `quiet`: each line on the emulated serial port costs time.
fn kernel_parameters(accelerator: Accelerator, parameters: &[String]) -> String {
    let mut line = String::from("console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on");
    if accelerator == Accelerator::Tcg {
        // Without a timer to calibrate against, the kernel must be told how fast its clock runs;
        // TCG shows the guest the host's own counter. Mitigations guard one guest process from
        // another, cost much under emulation, and do nothing there.
        // The counter is the host's and steady; a watchdog that is late on a busy host must not take it away.
        line.push_str(" no_timer_check mitigations=off clocksource=tsc tsc=reliable");
        if let Some(khz) = pyro_sys::tsc::measure_khz(std::time::Duration::from_millis(50)) {
            line.push_str(&format!(" tsc_early_khz={khz}"));
        }
    }
    for parameter in parameters {
        line.push(' ');
        line.push_str(parameter);
    }
    line
}

fn text(path: &Path) -> Result<&str, StartError> {
    path.to_str().ok_or_else(|| StartError::Path { path: path.to_owned() })
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, flag: &str) -> &mut Self {
        self.0.push(flag.into());
        self
    }

    fn pair(&mut self, flag: &str, value: impl Into<String>) -> &mut Self {
        self.0.extend([flag.into(), value.into()]);
        self
    }

    fn json(&mut self, flag: &str, value: &Value) -> &mut Self {
        self.pair(flag, value.to_string())
    }
}

#[cfg(test)]
mod tests;
