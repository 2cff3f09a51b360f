//! Long output is cut to what a model can use: head and tail, and how to get the rest.

/// Bytes of each stream that a result carries.
pub const MAX_TEXT: usize = 24 * 1024;

/// Cuts the middle out of a text that is longer than `most` bytes. `total` is how many bytes the
/// command wrote, and `rest` says how the middle can be read. Says whether anything was cut.
pub fn shorten(text: &str, max: usize, total: u64, rest: &str) -> Option<String> {
    if text.len() <= max {
        return None;
    }
    let half = max / 2;
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
}
