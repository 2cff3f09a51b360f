//! Long output is cut to what a model can use: head and tail, and how to get the rest.

/// Bytes of each stream that a result carries.
pub const MOST: usize = 24 * 1024;

/// Cuts the middle out of a text that is longer than `most` bytes. `total` is how many bytes the
/// command wrote, and `rest` says how the middle can be read. Says whether anything was cut.
pub fn shorten(text: &str, most: usize, total: u64, rest: &str) -> Option<String> {
    if text.len() <= most {
        return None;
    }
    let half = most / 2;
    let head = &text[..floor(text, half)];
    let tail = &text[ceiling(text, text.len() - half)..];
    let missing = total.max(text.len() as u64) - (head.len() + tail.len()) as u64;
    Some(format!("{head}\n[… {missing} bytes left out; {rest} …]\n{tail}"))
}

/// The nearest boundary of a character at or before `at`.
pub fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn ceiling(text: &str, at: usize) -> usize {
    (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// How many of these bytes are whole characters: a character that is cut at the end is left for the
/// next piece, one that is none stays.
pub fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        // Something before the end is not UTF-8; look at the end alone.
        Err(_) => {
            let tail = bytes.len().saturating_sub(4);
            let cut = (tail..bytes.len()).find(|at| {
                std::str::from_utf8(&bytes[*at..])
                    .is_err_and(|error| error.error_len().is_none() && error.valid_up_to() == 0)
            });
            cut.filter(|at| *at > 0).unwrap_or(bytes.len())
        }
        Ok(_) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_left_alone_and_a_long_one_keeps_both_ends() {
        assert_eq!(shorten("abc", 3, 3, "x"), None);
        let cut = shorten("abcdefghij", 4, 10, "read the rest so").unwrap();
        assert_eq!(cut, "ab\n[… 6 bytes left out; read the rest so …]\nij");
    }

    #[test]
    fn characters_are_not_cut() {
        let text = "é".repeat(10);
        let cut = shorten(&text, 5, 20, "x").unwrap();
        assert_eq!(cut, "é\n[… 16 bytes left out; x …]\né");
    }

    #[test]
    fn what_was_left_out_before_is_counted() {
        assert!(shorten("abcdefghij", 4, 1000, "x").unwrap().contains("996 bytes left out"));
    }

    #[test]
    fn a_piece_ends_with_a_whole_character() {
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(&"aé".as_bytes()[..2]), 1);
        assert_eq!(whole_characters(b"a\xffb"), 3, "what is no character is not waited for");
        assert_eq!(whole_characters(&[0xff, b'a', 0xc3]), 2);
        assert_eq!(whole_characters(&[0xc3]), 1, "a piece is never empty");
    }
}
