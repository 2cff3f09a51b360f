//! Files that say what there is: `environment.json`, a machine's record, a template's.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    pyro_environment::fuzzing::manifest(bytes);
    pyro_manager::fuzzing::records(bytes);
});
