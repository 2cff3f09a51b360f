//! The frame codec: however a stream is cut, the same frames come out, and they are written as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyro_protocol::frame::{Decoder, Frame, FrameError};

fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Result<(), FrameError>) {
    let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(()))
}

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let (whole, end) = frames(&[bytes]);
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!((whole.clone(), end.is_ok()), {
        let (frames, end) = frames(&[first, second]);
        (frames, end.is_ok())
    });
    let mut again = Vec::new();
    whole.iter().for_each(|frame| frame.encode(&mut again));
    assert!(bytes.starts_with(&again));
});
