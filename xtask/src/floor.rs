//! The floor: the least that any program must do to run a command in a machine. It starts QEMU,
//! restores the template (or boots the kernel), says who the guest is, runs `true`, and kills QEMU.
//!
//! It shares nothing with the engine but the list of devices, which the template dictates, and it
//! checks nothing, keeps nothing and cleans nothing up but its own scratch directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use pyro_protocol::frame::{Continuation, Decoder, Kind, StreamId, encode_parts};
use pyro_protocol::message::{Argv, Event, Exec, Hello, Identity, Request, ToGuest, ToHost};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How the machine is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Template,
    Cold,
}

/// `xtask floor template|cold ENVIRONMENT TEMPLATE`: runs `true` once.
pub fn run(start: Start, environment: &Path, template: &Path) -> Outcome<()> {
    let scratch = tempfile::tempdir()?;
    let overlay = scratch.path().join("disk.qcow2");
    std::fs::copy(template.join("blank.qcow2"), &overlay)?;
    let (mut qmp, their_qmp) = UnixStream::pair()?;
    let (channel, their_channel) = UnixStream::pair()?;
    let mut child =
        spawn(start, environment, template, &overlay, scratch.path(), vec![their_qmp.into(), their_channel.into()])?;
    if start == Start::Template {
        let capability = json!({"capability": "x-ignore-shared", "state": true});
        let state = json!({"transport": "file", "filename": template.join("state"), "offset": 0});
        let requests = [
            json!({"execute": "qmp_capabilities"}),
            json!({"execute": "migrate-set-capabilities", "arguments": {"capabilities": [capability]}}),
            json!({"execute": "migrate-incoming", "arguments": {"channels": [{"channel-type": "main", "addr": state}]}}),
        ];
        let text: String = requests.iter().map(|request| format!("{request}\n")).collect();
        qmp.write_all(text.as_bytes())?;
        let resumed = BufReader::new(&qmp).lines().map_while(Result::ok).any(|line| line.contains("RESUME"));
        if !resumed {
            return Err("the machine was not restored".into());
        }
    }
    let result = talk(channel);
    child.kill()?;
    child.wait()?;
    result
}

fn talk(mut channel: UnixStream) -> Outcome<()> {
    let wall_clock_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let mut entropy = vec![0; 64];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut entropy)?;
    let identity = Identity {
        wall_clock_ns,
        entropy,
        host_name: "0123456789ab".into(),
        machine_id: "0123456789abcdef0123456789abcdef".into(),
        network: None,
        mac_address: vec![2, 0, 0, 0, 0, 1],
    };
    let words = |words: &[&str]| Argv { words: words.iter().map(|word| word.as_bytes().to_vec()).collect() };
    let exec = Exec {
        candidates: vec![words(&["true"])],
        working_directory: b"/workspace".to_vec(),
        timeout_us: 30_000_000,
        stdout_credit: 1 << 20,
        stderr_credit: 1 << 20,
        ..Exec::default()
    };
    let hello = Hello { generation: pyro_protocol::GENERATION, ..Hello::default() };
    let mut bytes = Vec::new();
    for (stream, request) in [(0, Request::Hello(hello)), (0, Request::Identity(identity)), (1, Request::Exec(exec))] {
        let body = ToGuest { request: Some(request) }.encode_to_vec();
        encode_parts(StreamId(stream), Kind::Message, Continuation::More, &body, &mut bytes);
    }
    encode_parts(StreamId(1), Kind::Stdin, Continuation::End, &[], &mut bytes);
    channel.write_all(&bytes)?;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        let read = channel.read(&mut buffer)?;
        if read == 0 {
            return Err("the guest hung up".into());
        }
        decoder.push(&buffer[..read]);
        while let Some(frame) = decoder.next_frame()? {
            if frame.kind == Kind::Message
                && let Some(Event::Exited(exited)) = ToHost::decode(frame.body)?.event
            {
                return if exited.code == Some(0) { Ok(()) } else { Err("`true` failed".into()) };
            }
        }
    }
}

fn spawn(
    start: Start,
    environment: &Path,
    template: &Path,
    overlay: &Path,
    scratch: &Path,
    inherited: Vec<OwnedFd>,
) -> Outcome<Child> {
    let layer = |driver: &str, path: &Path| json!({"driver": driver, "read-only": true, "file": {"driver": "file", "filename": path}});
    let mut below = layer("raw", &environment.join("rootfs.ext4"));
    let mut memory = json!({"qom-type": "memory-backend-file", "id": "memory", "size": 1u64 << 30});
    match start {
        Start::Template => {
            let mut middle = layer("qcow2", &template.join("disk.qcow2"));
            middle["backing"] = below;
            below = middle;
            memory["mem-path"] = json!(template.join("memory"));
            memory["share"] = json!(false);
            memory["readonly"] = json!(true);
            memory["rom"] = json!("off");
        }
        Start::Cold => {
            let path = scratch.join("memory");
            std::fs::File::create(&path)?.set_len(1 << 30)?;
            memory["mem-path"] = json!(path);
            memory["share"] = json!(true);
        }
    }
    let mut disk = layer("qcow2", overlay);
    disk["read-only"] = json!(false);
    disk["node-name"] = json!("disk0");
    disk["cache"] = json!({"no-flush": true});
    disk["backing"] = below;
    let text = |value: Value| value.to_string();
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    command.args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    command.args(["-machine", "microvm,acpi=on,pit=off,pic=off,rtc=on,memory-backend=memory"]);
    command
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024M"])
        .arg("-object")
        .arg(text(memory));
    command.args(["-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"]);
    command.args(["-chardev", "null,id=console", "-serial", "chardev:console", "-chardev", "socket,id=channel,fd=4"]);
    command.args(["-device", r#"{"driver":"virtio-serial-device","max_ports":2}"#]);
    command.args(["-device", r#"{"driver":"virtserialport","chardev":"channel","name":"org.pyro.agent.0"}"#]);
    command.arg("-blockdev").arg(text(disk)).args(["-device", r#"{"driver":"virtio-blk-device","drive":"disk0"}"#]);
    command.args(["-netdev", r#"{"type":"hubport","id":"net0","hubid":0}"#]);
    command.args(["-device", r#"{"driver":"virtio-net-device","netdev":"net0","mac":"52:54:00:70:79:72"}"#]);
    match start {
        Start::Template => drop(command.args(["-incoming", "defer"])),
        Start::Cold => {
            let khz =
                pyro_sys::tsc::measure_khz(Duration::from_millis(50)).ok_or("the time stamp counter stands still")?;
            let line = format!(
                "console=ttyS0 quiet panic=-1 random.trust_cpu=on no_timer_check mitigations=off tsc_early_khz={khz} pyro.root=/dev/vda"
            );
            command.arg("-kernel").arg(environment.join("vmlinux")).arg("-initrd").arg(initramfs(environment)?);
            command.arg("-append").arg(line);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    pyro_sys::child::die_with_parent(&mut command);
    pyro_sys::child::inherit(&mut command, 3, inherited)?;
    Ok(command.spawn()?)
}

/// The newest initramfs of the environment.
fn initramfs(environment: &Path) -> Outcome<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(environment)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("initramfs-") {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    found.sort();
    found.pop().map(|(_, path)| path).ok_or_else(|| "there is no initramfs".into())
}
