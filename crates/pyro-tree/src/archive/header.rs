//! One block of 512 bytes as the header of a member. Pure.

use crate::reason::Reason;

pub(crate) const BLOCK: usize = 512;
pub(crate) type Block = [u8; BLOCK];

/// The fields of a header as they are, checked only for being what they are.
#[derive(Debug)]
pub(crate) struct Header {
    pub name: Vec<u8>,
    pub target: Vec<u8>,
    pub kind: u8,
    pub mode: u32,
    pub size: u64,
    pub mtime: i64,
}

/// # Errors
/// It is not a header, or a number in it is none.
pub(crate) fn decode(block: &Block) -> Result<Header, Reason> {
    verify(block)?;
    let gnu = &block[257..265] == b"ustar  \0";
    let posix = &block[257..263] == b"ustar\0";
    if !gnu && !posix && block[257..265] != [0; 8] {
        return Err(Reason::HeaderMagic);
    }
    let mut name = text(&block[..100])?;
    if posix && block[345] != 0 {
        name = [text(&block[345..500])?, b"/".to_vec(), name].concat();
    }
    let mode = number(&block[100..108]).and_then(|mode| u32::try_from(mode).ok()).ok_or(Reason::Mode)?;
    let size = number(&block[124..136]).and_then(|size| u64::try_from(size).ok()).ok_or(Reason::Size)?;
    let mtime = number(&block[136..148]).ok_or(Reason::Time)?;
    Ok(Header { name, target: text(&block[157..257])?, kind: block[156], mode, size, mtime })
}

fn verify(block: &Block) -> Result<(), Reason> {
    let rest = block[..148].iter().chain(&block[156..]);
    let sum = rest.fold(8 * i64::from(b' '), |sum, byte| sum + i64::from(*byte));
    if number(&block[148..156]) == Some(sum) { Ok(()) } else { Err(Reason::HeaderChecksum) }
}

/// What is before the first NUL. Nothing may be behind it.
fn text(field: &[u8]) -> Result<Vec<u8>, Reason> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    if field[end..].iter().any(|byte| *byte != 0) {
        return Err(Reason::NameNul);
    }
    Ok(field[..end].to_vec())
}

/// A number: octal digits between blanks, or binary with the first bit set. An empty field is 0.
pub(crate) fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let field = &field[start..];
    let end = field.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(field.len());
    if field[end..].iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return None;
    }
    field[..end].iter().try_fold(0i64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn binary(field: &[u8]) -> Option<i64> {
    let negative = field[0] == 0xff;
    if !negative && field[0] != 0x80 {
        return None;
    }
    let first = if negative { -1 } else { 0 };
    field[1..].iter().try_fold(first, |number: i64, byte| number.checked_mul(256)?.checked_add(i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_nothing_else() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"0000648\0"), None);
        assert_eq!(number(b"-000001\0"), None);
        assert_eq!(number(b"06\x0044\0\0\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(&[0x80, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0]), None, "more than 63 bits");
        assert_eq!(number(&[0xc0, 0, 0, 0]), None);
    }

    #[test]
    fn a_header_is_what_the_tar_crate_wrote() {
        let mut header = tar::Header::new_gnu();
        header.set_path("a/b").unwrap();
        header.set_mode(0o640);
        header.set_size(1 << 40);
        header.set_mtime(7);
        header.set_cksum();
        let decoded = decode(header.as_bytes()).unwrap();
        assert_eq!((decoded.name.as_slice(), decoded.mode, decoded.size), (&b"a/b"[..], 0o640, 1 << 40));
        let mut broken = *header.as_bytes();
        broken[0] ^= 1;
        assert_eq!(decode(&broken).unwrap_err(), Reason::HeaderChecksum);
    }
}
