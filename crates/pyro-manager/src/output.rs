//! A command's output as a payload carries it: text, head and tail, bounded.

use std::collections::VecDeque;

/// Bytes of each stream that a payload carries at most.
pub const PAYLOAD_CAP: usize = 1 << 20;

/// Keeps the head and the tail of a stream, half of the cap each.
#[derive(Debug, Default)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

/// What was kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Captured {
    /// UTF-8, with the replacement character for what is not.
    pub text: String,
    /// Whether something in the middle is missing.
    pub truncated: bool,
    /// Bytes there were in all.
    pub bytes: u64,
}

impl Capture {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let half = PAYLOAD_CAP / 2;
        let room = half - self.head.len();
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(now);
        bytes = later;
        if bytes.len() > half {
            bytes = &bytes[bytes.len() - half..];
        }
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(half);
        self.tail.drain(..surplus);
        self.tail.extend(bytes);
    }

    /// The text of it. Where the middle is missing, a line says how much.
    #[must_use]
    pub fn finish(mut self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let truncated = self.total > kept;
        if truncated {
            self.head.extend_from_slice(note(self.total - kept).as_bytes());
        }
        self.head.extend(self.tail);
        Captured { text: String::from_utf8_lossy(&self.head).into_owned(), truncated, bytes: self.total }
    }
}

/// How many bytes each of several outputs may have, so that together they have at most `cap`: short
/// ones keep all, and the long ones share what is left evenly.
pub fn fair_share(lengths: &[u64], cap: u64) -> u64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let (mut left, mut takers) = (cap, sorted.len() as u64);
    for length in sorted {
        let share = left / takers;
        if length > share {
            return share;
        }
        left -= length;
        takers -= 1;
    }
    cap
}

/// The text of an output of `length` bytes in which head and tail have at most `share` bytes
/// together. `read` gives up to so many bytes from an offset on.
pub fn keep_ends<E>(
    length: u64,
    share: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<String, E> {
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    if length <= share as u64 {
        return Ok(String::from_utf8_lossy(&read(0, share)?).into_owned());
    }
    let half = share / 2;
    let missing = length - 2 * half as u64;
    let mut bytes = read(0, half)?;
    bytes.extend_from_slice(note(missing).as_bytes());
    bytes.extend(read(length - half as u64, half)?);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands where bytes are left out.
fn note(missing: u64) -> String {
    format!("\n[… {missing} bytes left out …]\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_utf8_becomes_the_replacement_character() {
        let mut capture = Capture::default();
        capture.push(b"\xff\0x");
        assert_eq!(capture.finish(), Captured { text: "\u{fffd}\0x".into(), truncated: false, bytes: 3 });
    }

    #[test]
    fn head_and_tail_are_kept_and_the_gap_is_told() {
        let mut capture = Capture::default();
        capture.push(b"first");
        for _ in 0..40 {
            capture.push(&vec![b'.'; 100_000]);
        }
        capture.push(b"last");
        let captured = capture.finish();
        assert!(captured.truncated && captured.text.starts_with("first.") && captured.text.ends_with(".last"));
        let missing = 4_000_009 - PAYLOAD_CAP;
        assert!(captured.text.contains(&format!("\n[… {missing} bytes left out …]\n")));
    }

    #[test]
    fn both_ends_of_a_long_output_are_kept() {
        let bytes: Vec<u8> = (b'a'..=b'z').collect();
        let read = |offset: u64, max: usize| {
            let from = &bytes[offset as usize..];
            Ok::<_, ()>(from[..max.min(from.len())].to_vec())
        };
        assert_eq!(keep_ends(26, 26, read).unwrap(), "abcdefghijklmnopqrstuvwxyz");
        assert_eq!(keep_ends(26, 7, read).unwrap(), "abc\n[… 20 bytes left out …]\nxyz");
    }

    proptest! {
        #[test]
        fn shares_fit_and_nothing_is_wasted(lengths in proptest::collection::vec(0u64..1000, 0..20), cap in 0u64..5000) {
            let share = fair_share(&lengths, cap);
            let taken: u64 = lengths.iter().map(|length| *length.min(&share)).sum();
            prop_assert!(taken <= cap);
            let all_kept = lengths.iter().all(|length| *length <= share);
            prop_assert!(all_kept || cap - taken < lengths.len() as u64, "less is left than there are takers");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(0usize..700_000, 1..6)) {
            let bytes: Vec<u8> = (0..cuts.iter().sum::<usize>()).map(|i| b'a' + (i % 26) as u8).collect();
            let mut whole = Capture::default();
            whole.push(&bytes);
            let mut pieces = Capture::default();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, left) = rest.split_at(cut);
                pieces.push(piece);
                rest = left;
            }
            let (whole, pieces) = (whole.finish(), pieces.finish());
            prop_assert_eq!(whole.truncated, bytes.len() > PAYLOAD_CAP);
            prop_assert!(whole == pieces);
        }
    }
}
