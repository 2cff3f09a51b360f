//! What host and agent say: whatever is understood is understood again when it is repeated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use pyro_protocol::message::{ToGuest, ToHost};

fn repeated<M: Message + Default + PartialEq + Clone>(bytes: &[u8]) {
    if let Ok(message) = M::decode(bytes) {
        let again = M::decode(message.encode_to_vec().as_slice()).expect("what was written can be read");
        assert!(again == message);
    }
}

fuzz_target!(|bytes: &[u8]| {
    repeated::<ToGuest>(bytes);
    repeated::<ToHost>(bytes);
});
