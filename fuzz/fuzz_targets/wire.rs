//! Ethernet frames of a hostile guest: the packet filter's decision, and the answer to what is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| pyro_network::fuzzing::stream(bytes));
