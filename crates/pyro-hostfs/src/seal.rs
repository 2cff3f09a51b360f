//! A JSON text that contains its own checksum, so that a flipped bit is detected.
//!
//! The checksum is the text's last field, `"crc32"`, over every byte before it. A reader that does not know the field
//! ignores it. A text without the field was written by an earlier release.

const OPENING: &str = ",\n  \"crc32\": \"";
const CLOSING: &str = "\"\n}";
const DIGITS: usize = 8;

/// The result of checking a text's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// The checksum matches.
    Whole,
    /// There is none.
    None,
    /// The text has changed since it was written.
    Broken,
}

/// Adds the checksum to the text of a JSON object that has a field at least.
///
/// # Panics
/// When it is not the text of an object.
#[must_use]
pub fn seal(object: &str) -> String {
    let body = object.trim_end().strip_suffix('}').expect("an object ends with a brace").trim_end();
    format!("{body}{OPENING}{:08x}{CLOSING}", crc32fast::hash(body.as_bytes()))
}

/// Checks the checksum of a text.
#[must_use]
pub fn check(text: &[u8]) -> Seal {
    let sealed = || {
        let rest = text.strip_suffix(CLOSING.as_bytes())?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        Some((rest.strip_suffix(OPENING.as_bytes())?, digits))
    };
    match sealed() {
        None => Seal::None,
        Some((body, digits)) if format!("{:08x}", crc32fast::hash(body)).as_bytes() == digits => Seal::Whole,
        Some(_) => Seal::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_is_the_same_object_with_one_more_field() {
        for object in ["{\"a\":1}", "{\n  \"a\": 1\n}\n"] {
            let sealed = seal(object);
            assert!(sealed.starts_with(object.trim_end_matches(['}', '\n'])) && sealed.contains("\"crc32\": "));
            assert_eq!((check(sealed.as_bytes()), check(object.as_bytes())), (Seal::Whole, Seal::None));
        }
    }

    #[test]
    fn no_flipped_bit_leaves_another_object_that_is_believed() {
        let sealed = seal("{\"format\": 1, \"name\": \"x\"}").into_bytes();
        let body = sealed.len() - OPENING.len() - DIGITS - CLOSING.len();
        for at in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            let believed = check(&flipped) != Seal::Broken;
            assert!(!believed || flipped[..body] == sealed[..body], "bit {at}");
        }
    }
}
