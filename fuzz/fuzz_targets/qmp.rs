//! QMP replies of a QEMU that its guest has taken over.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pyro_engine::fuzzing::qmp(bytes));
