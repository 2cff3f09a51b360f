//! Extended headers: `LENGTH KEY=VALUE\n`, again and again. Pure.

use super::member;
use crate::reason::Reason;

/// The longest extended header, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// What an extended header says about a member, as far as it is known here.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Pax {
    pub path: Option<Vec<u8>>,
    pub target: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub mtime_ns: Option<i64>,
    pub had_attributes: bool,
    /// GNU's sparse form 1.0: the map comes first in the data.
    pub sparse: Option<Sparse>,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
}

/// # Errors
/// It is not well formed, or a value is none.
pub(crate) fn decode(content: &[u8]) -> Result<Pax, Reason> {
    let mut pax = Pax::default();
    for record in records(content)? {
        pax.take(record)?;
    }
    Ok(pax)
}

/// Whether an extended header for all members says something about them.
///
/// # Errors
/// It is not well formed.
pub(crate) fn is_harmless_for_all(content: &[u8]) -> Result<bool, Reason> {
    const HARMLESS: [&[u8]; 8] = [b"comment", b"hdrcharset", b"charset", b"uid", b"gid", b"uname", b"gname", b"atime"];
    Ok(records(content)?.iter().all(|(key, _)| HARMLESS.contains(key)))
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn records(mut content: &[u8]) -> Result<Vec<Record<'_>>, Reason> {
    let mut records = Vec::new();
    while !content.is_empty() {
        let (record, rest) = first(content).ok_or(Reason::Pax)?;
        records.push(record);
        content = rest;
    }
    Ok(records)
}

fn first(content: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let blank = content.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&content[..blank])?).ok()?;
    let (record, rest) = content.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some(((&record[..equals], &record[equals + 1..]), rest))
}

impl Pax {
    fn take(&mut self, (key, value): Record<'_>) -> Result<(), Reason> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.target, name(value)?),
            b"size" => once(&mut self.size, decimal(value).ok_or(Reason::Size)?),
            b"mtime" => once(&mut self.mtime_ns, time(value).ok_or(Reason::Time)?),
            b"GNU.sparse.major" => once(&mut self.sparse().major, decimal(value).ok_or(Reason::SparseForm)?),
            b"GNU.sparse.minor" => once(&mut self.sparse().minor, decimal(value).ok_or(Reason::SparseForm)?),
            b"GNU.sparse.name" => once(&mut self.sparse().name, name(value)?),
            b"GNU.sparse.realsize" => once(&mut self.sparse().real_size, decimal(value).ok_or(Reason::Size)?),
            _ if key.starts_with(b"GNU.sparse.") => Err(Reason::SparseForm),
            _ => {
                const ATTRIBUTES: [&[u8]; 4] = [b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.", b"RHT."];
                self.had_attributes |= ATTRIBUTES.iter().any(|prefix| key.starts_with(prefix));
                Ok(())
            }
        }
    }

    fn sparse(&mut self) -> &mut Sparse {
        self.sparse.get_or_insert_default()
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Reason> {
    if slot.replace(value).is_some() { Err(Reason::Pax) } else { Ok(()) }
}

fn name(value: &[u8]) -> Result<Vec<u8>, Reason> {
    if value.contains(&0) { Err(Reason::NameNul) } else { Ok(value.to_vec()) }
}

/// Decimal digits, at least one.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds with up to nine places that count, perhaps negative.
fn time(value: &[u8]) -> Option<i64> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let point = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let seconds = i64::try_from(decimal(&value[..point])?).ok()?;
    let places = value.get(point + 1..).unwrap_or_default();
    if !places.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = places.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    if negative { member::nanoseconds(-seconds, -nanoseconds) } else { member::nanoseconds(seconds, nanoseconds) }
}

/// One record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

/// A time as the value of a record.
pub(crate) fn time_value(mtime_ns: i64) -> String {
    let magnitude = mtime_ns.unsigned_abs();
    let sign = if mtime_ns < 0 { "-" } else { "" };
    format!("{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_read_as_it_was_written(seconds in i64::from(i32::MIN) + 1..9_000_000_000, nanoseconds in 0..1_000_000_000i64) {
            let time_ns = seconds * 1_000_000_000 + nanoseconds;
            let written = record("mtime", time_value(time_ns).as_bytes());
            prop_assert_eq!(decode(&written).unwrap().mtime_ns, Some(time_ns));
        }

        #[test]
        fn a_record_is_read_as_it_was_written(value in proptest::collection::vec(1u8.., 0..1200)) {
            prop_assert_eq!(decode(&record("path", &value)).unwrap().path, Some(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for bad in [&b"9 path=x"[..], b"5 a=b\n", b"7 path=\n", b"7 pathx\n", b"x path=a\n", b"99 path=a\n", b"6 =ab\n"]
        {
            assert_eq!(decode(bad), Err(Reason::Pax), "{}", String::from_utf8_lossy(bad));
        }
    }
}
