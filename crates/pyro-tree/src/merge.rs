//! A three-way merge of texts, with Git's conflict markers. Pure: bytes in, bytes out.
//!
//! The hunks are `diffy`'s. They need not be cut where Git cuts them; a change that only one side made is taken, and
//! no line of either side is lost.

use diffy::{ConflictStyle, MergeOptions};

/// Larger files are not merged, in bytes. Git does not either above its `bigFileThreshold`.
pub const LARGEST: u64 = 16 << 20;
/// Git looks for a NUL in so many bytes, and takes a file with one for binary.
const LOOKED_AT: usize = 8000;
const MARKER: usize = 7;

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The merged text, with markers where both sides changed the same lines.
    pub bytes: Vec<u8>,
    /// How many such places there are.
    pub conflicts: usize,
}

/// Why there is no merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMerged {
    /// One of the three is binary.
    #[error("a binary file is not merged")]
    Binary,
    /// One of the three is larger than [`LARGEST`].
    #[error("a file of more than 16 MiB is not merged")]
    TooLarge,
}

/// Merges what `ours` (the host) and `theirs` (the guest) made of `base`.
///
/// # Errors
/// [`NotMerged`].
pub fn three_way(base: &[u8], ours: &[u8], theirs: &[u8]) -> Result<Merged, NotMerged> {
    let all = [base, ours, theirs];
    if all.iter().any(|text| text.len() as u64 > LARGEST) {
        return Err(NotMerged::TooLarge);
    }
    if all.iter().any(|text| text[..text.len().min(LOOKED_AT)].contains(&0)) {
        return Err(NotMerged::Binary);
    }
    let merge = |marker| {
        let mut options = MergeOptions::new();
        options.set_conflict_style(ConflictStyle::Merge).set_conflict_marker_length(marker);
        options.merge_bytes(base, ours, theirs)
    };
    Ok(match merge(MARKER) {
        Ok(bytes) => Merged { bytes, conflicts: 0 },
        Err(bytes) => {
            // Counted with a marker that no text has.
            let marker = all.iter().map(|text| longest_run(text)).max().unwrap_or(0).max(MARKER) + 1;
            let opening = vec![b'<'; marker];
            let marked = merge(marker).unwrap_or_else(|marked| marked);
            let conflicts = marked.split(|byte| *byte == b'\n').filter(|line| line.starts_with(&opening)).count();
            Merged { bytes, conflicts }
        }
    })
}

fn longest_run(text: &[u8]) -> usize {
    text.split(|byte| *byte != b'<').map(<[u8]>::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_in_different_places_come_together() {
        let merged = three_way(b"1\n2\n3\n4\n5\n", b"one\n2\n3\n4\n5\n", b"1\n2\n3\n4\nfive\n").unwrap();
        assert_eq!(merged, Merged { bytes: b"one\n2\n3\n4\nfive\n".to_vec(), conflicts: 0 });
    }

    #[test]
    fn a_conflict_is_marked_as_git_marks_it_and_counted_whatever_is_in_the_texts() {
        let merged = three_way(b"a\n", b"ours <<<<<<<<\n", b"<<<<<<< ours\n").unwrap();
        let expected = "<<<<<<< ours\nours <<<<<<<<\n=======\n<<<<<<< ours\n>>>>>>> theirs\n";
        assert_eq!((String::from_utf8_lossy(&merged.bytes).as_ref(), merged.conflicts), (expected, 1));
    }

    #[test]
    fn binary_files_are_never_merged() {
        assert_eq!(three_way(b"a\n", b"a\0\n", b"b\n"), Err(NotMerged::Binary));
        assert_eq!(three_way(b"a\n", b"a\0\n", b"a\n"), Err(NotMerged::Binary));
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof!["a\n", "b\n", "c\n", "\r\n"], 0..12)
            .prop_map(|lines| lines.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_side_that_changed_nothing_gives_the_other(base in text(), other in text()) {
            let merged = Merged { bytes: other.clone(), conflicts: 0 };
            prop_assert_eq!(three_way(&base, &base, &other).unwrap(), merged.clone());
            prop_assert_eq!(three_way(&base, &other, &base).unwrap(), merged.clone());
            prop_assert_eq!(three_way(&base, &other, &other).unwrap(), merged);
        }
    }
}
