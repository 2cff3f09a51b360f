//! What arrives at a supervisor's socket, and what a supervisor answers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pyro_manager::fuzzing::conversation(bytes));
