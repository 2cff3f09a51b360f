use super::*;
use crate::{DiskLayer, MemoryFile};
use std::path::PathBuf;

fn spec(mode: MemoryMode) -> MachineSpec {
    let layer = |path: &str, layering| DiskLayer { path: path.into(), layering };
    MachineSpec {
        name: "0123456789ab".into(),
        accelerator: Accelerator::Tcg,
        vcpus: 2,
        memory_mib: 1024,
        memory: MemoryFile { path: "/t/memory".into(), mode },
        disks: vec![Disk {
            top: layer("/v/disk.qcow2", Layering::Qcow2),
            below: vec![layer("/t/disk.qcow2", Layering::Qcow2), layer("/e,x/rootfs.ext4", Layering::Raw)],
            writable: true,
        }],
        nic: false,
        directory: PathBuf::from("/v,1"),
    }
}

fn value_after<'a>(words: &'a [String], flag: &str) -> Vec<&'a str> {
    words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].as_str()).collect()
}

#[test]
fn a_restored_machine_maps_its_memory_copy_on_write_and_loads_no_kernel() {
    let words = arguments(&spec(MemoryMode::CopyOnWrite), &Start::Restore { state: Path::new("/t/state") }).unwrap();
    let memory: Value = serde_json::from_str(value_after(&words, "-object")[0]).unwrap();
    assert_eq!(memory["share"], json!(false));
    assert_eq!(memory["readonly"], json!(true));
    assert_eq!(value_after(&words, "-incoming"), ["defer"]);
    assert!(value_after(&words, "-kernel").is_empty());
}

#[test]
fn a_disk_is_a_chain_of_which_only_the_top_is_writable() {
    let words = arguments(&spec(MemoryMode::Shared), &Start::Restore { state: Path::new("/t/state") }).unwrap();
    let top: Value = serde_json::from_str(value_after(&words, "-blockdev")[0]).unwrap();
    assert_eq!(top["file"]["filename"], "/v/disk.qcow2");
    assert_eq!(top["read-only"], json!(false));
    let middle = &top["backing"];
    assert_eq!((&middle["file"]["filename"], &middle["read-only"]), (&json!("/t/disk.qcow2"), &json!(true)));
    let lowest = &middle["backing"];
    assert_eq!((&lowest["driver"], &lowest["read-only"]), (&json!("raw"), &json!(true)));
    assert_eq!(lowest["file"]["filename"], "/e,x/rootfs.ext4", "a comma in a path is only a comma");
}

#[test]
fn the_callers_parameters_follow_the_engines() {
    let parameters = ["pyro.root=/dev/vda".to_owned()];
    let start = Start::Boot { kernel: Path::new("/k"), initramfs: Path::new("/i"), parameters: &parameters };
    let words = arguments(&spec(MemoryMode::Shared), &start).unwrap();
    let line = value_after(&words, "-append")[0];
    assert!(line.ends_with(" pyro.root=/dev/vda"), "{line}");
    assert!(line.contains(" tsc_early_khz="), "{line}");
}

#[test]
fn the_sandbox_denies_what_is_not_needed_and_the_name_is_the_id() {
    let words = arguments(&spec(MemoryMode::Shared), &Start::Restore { state: Path::new("/s") }).unwrap();
    let sandbox = value_after(&words, "-sandbox")[0];
    assert_eq!(sandbox, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    assert_eq!(value_after(&words, "-name"), ["pyro-0123456789ab"]);
    assert!(value_after(&words, "-chardev").contains(&"file,id=console,path=/v,,1/console.log"));
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let mut spec = spec(MemoryMode::Shared);
    spec.memory.path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/\xff"));
    let refused = arguments(&spec, &Start::Restore { state: Path::new("/s") });
    assert!(matches!(refused, Err(StartError::Path { .. })));
}
