//! Escaping of text from guests and callers, so that it cannot control the terminal.
//!
//! A guest chooses its console's lines, a caller his command's text. What a command writes to its own
//! streams is not touched.

use std::borrow::Cow;

/// The text with everything escaped that a terminal would act on, or show in another order than it
/// stands: control characters but the end of a line and the tabulator, and marks of direction.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match u32::from(character) {
            code if !steers(character) || matches!(code, 0x0a | 0x09) => shown.push(character),
            code if code < 0x100 => shown.push_str(&format!("\\x{code:02x}")),
            code => shown.push_str(&format!("\\u{{{code:x}}}")),
        }
    }
    Cow::Owned(shown)
}

/// JSON that says the same, and shows the same on a terminal as elsewhere. JSON itself leaves only those
/// below the space out of strings.
pub fn escaped_json(json: &str) -> Cow<'_, str> {
    // Ends of lines stand between values here, never within them.
    let odd = |character: char| steers(character) && character >= '\u{7f}';
    if !json.contains(odd) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        match u32::from(character) {
            code if odd(character) => shown.push_str(&format!("\\u{code:04x}")),
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Control characters (C0, DEL, C1), and what changes the direction of a text (Unicode's UAX 9) or ends a
/// line in some programs.
fn steers(character: char) -> bool {
    let directs =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    directs || (character.is_control() && !matches!(character, '\n' | '\t'))
}

/// Says something on stderr in pyro's own words.
macro_rules! say {
    ($($words:tt)*) => { $crate::terminal::say_line(&format!($($words)*)) };
}
pub(crate) use say;

/// Writes one or more lines to stderr, and ignores errors.
pub fn say_line(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", escaped(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_shown_instead() {
        assert_eq!(escaped("a\tb\nc é 日本"), "a\tb\nc é 日本");
        assert_eq!(escaped("\x1b]0;x\x07\r\u{9b}31m\u{7f}"), "\\x1b]0;x\\x07\\x0d\\x9b31m\\x7f");
        assert_eq!(escaped("a\u{202e}b\u{2066}"), "a\\u{202e}b\\u{2066}");
    }

    #[test]
    fn json_means_the_same_after_it() {
        let odd: String = (0..0x3000u32).filter_map(char::from_u32).collect();
        let json = serde_json::to_string_pretty(&serde_json::json!({ "a": odd })).unwrap();
        let shown = escaped_json(&json);
        assert!(!shown.contains(steers));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["a"], odd.as_str());
    }
}
