//! Frames in a byte stream, as QEMU's `-netdev stream` and passt write them: the length in four
//! bytes, big-endian, then the frame.

use std::ops::Range;

use bytes::BufMut;

/// Bytes before each frame.
const PREFIX: usize = 4;
/// The longest frame. QEMU and passt keep below (its `NET_BUFSIZE` is 69632).
const LONGEST: usize = 70_000;

/// Not a stream of frames.
#[derive(Debug, PartialEq, Eq)]
pub struct Nonsense;

/// Where the whole frames at the front of `bytes` are, each with its prefix. What follows them is
/// the beginning of another one.
pub fn split(bytes: &[u8]) -> Result<Vec<Range<usize>>, Nonsense> {
    let (mut ranges, mut at) = (Vec::new(), 0);
    while let Some(prefix) = bytes[at..].first_chunk::<PREFIX>() {
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > LONGEST {
            return Err(Nonsense);
        }
        let end = at + PREFIX + length;
        if end > bytes.len() {
            break;
        }
        ranges.push(at..end);
        at = end;
    }
    Ok(ranges)
}

/// The frame of a range, without its prefix.
pub fn frame<'a>(bytes: &'a [u8], range: &Range<usize>) -> &'a [u8] {
    &bytes[range.start + PREFIX..range.end]
}

/// Adds a frame with its prefix.
pub fn append(stream: &mut impl BufMut, frame: &[u8]) {
    stream.put_u32(frame.len() as u32);
    stream.put_slice(frame);
}

/// Room for a whole frame and as much again.
pub const ROOM: usize = 2 * (PREFIX + LONGEST);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_that_no_frame_has_is_nonsense() {
        assert_eq!(split(&[0xff; 4]), Err(Nonsense));
        assert_eq!(split(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_was_appended_is_found_again(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..9), cut in 1..60usize) {
            let mut stream = Vec::new();
            for each in &frames {
                append(&mut stream, each);
            }
            let found: Vec<&[u8]> = split(&stream).unwrap().iter().map(|range| frame(&stream, range)).collect();
            prop_assert_eq!(&found, &frames);
            let cut = stream.len().saturating_sub(cut);
            prop_assert!(split(&stream[..cut]).unwrap().len() <= frames.len());
        }
    }
}
