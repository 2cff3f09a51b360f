use super::*;
use proptest::prelude::*;

fn frame(stream: u32, kind: Kind, continuation: Continuation, body: &[u8]) -> Frame {
    Frame { stream: StreamId(stream), kind, continuation, body: Bytes::copy_from_slice(body) }
}

fn drain(decoder: &mut Decoder) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push(frame);
    }
    frames
}

fn any_frame() -> impl Strategy<Value = Frame> {
    (any::<u32>(), 0u8..4, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..2000)).prop_map(
        |(stream, kind, end, body)| {
            let continuation = if end { Continuation::End } else { Continuation::More };
            frame(stream, Kind::from_bits(kind), continuation, &body)
        },
    )
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_decodes_the_same(
        frames in proptest::collection::vec(any_frame(), 0..8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let (mut decoder, mut decoded, mut from) = (Decoder::default(), Vec::new(), 0);
        for cut in cuts {
            decoder.push(&bytes[from..cut]);
            decoded.extend(drain(&mut decoder));
            from = cut;
        }
        prop_assert_eq!(decoded, frames);
        prop_assert_eq!(decoder.pending(), 0);
    }

    #[test]
    fn garbage_is_refused_or_awaited_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let mut frames = 0;
        while let Ok(Some(frame)) = decoder.next_frame() {
            prop_assert!(frame.body.len() <= MAX_BODY);
            frames += 1;
        }
        prop_assert!(frames <= bytes.len() / HEADER);
        prop_assert!(decoder.pending() <= bytes.len());
    }
}

#[test]
fn a_too_long_frame_is_refused_from_its_header_alone() {
    let mut decoder = Decoder::default();
    decoder.push(&(MAX_BODY as u32 + 1).to_le_bytes());
    decoder.push(&[0, 0, 0, 0, 0]);
    let error = FrameError::TooLong { length: MAX_BODY as u32 + 1 };
    assert_eq!(decoder.next_frame(), Err(error));
    assert_eq!(decoder.next_frame(), Err(error), "the refusal stays");
}

#[test]
fn unknown_flags_are_refused() {
    let mut decoder = Decoder::default();
    decoder.push(&[0, 0, 0, 0, 0, 0, 0, 0, 0x40]);
    assert_eq!(decoder.next_frame(), Err(FrameError::UnknownFlags { flags: 0x40 }));
}

#[test]
fn the_longest_body_passes() {
    let long = frame(7, Kind::Stdout, Continuation::More, &vec![0xff; MAX_BODY]);
    let mut bytes = Vec::new();
    long.encode(&mut bytes);
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    assert_eq!(drain(&mut decoder), vec![long]);
}
