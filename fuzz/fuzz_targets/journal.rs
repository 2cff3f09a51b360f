//! A journal whose writer died, with a tail of anything: recovery leaves no command running, loses none
//! that ended, and has nothing to do the second time.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pyro_manager::fuzzing::journal(bytes));
