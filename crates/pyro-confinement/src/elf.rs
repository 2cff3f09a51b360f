//! Reads from an executable the path of its loader, which its root must contain.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes at the front of a file that hold its program headers and the loader's name.
const FRONT: u64 = 64 * 1024;
/// `PT_INTERP` of elf.h.
const INTERPRETER: u32 = 3;

/// The loader of a 64-bit ELF program. `None` where it names none, or is none.
///
/// # Errors
/// When the file cannot be read.
pub fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    let mut front = Vec::new();
    File::open(program)?.take(FRONT).read_to_end(&mut front)?;
    Ok(name(&front))
}

fn name(front: &[u8]) -> Option<PathBuf> {
    front.starts_with(b"\x7fELF\x02\x01").then_some(())?;
    let number = |at: usize, length: usize| {
        let bytes = front.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let offset = |at, length| usize::try_from(number(at, length)?).ok();
    let (table, entry, entries) = (offset(32, 8)?, offset(54, 2)?, offset(56, 2)?);
    for header in (0..entries).map_while(|count| table.checked_add(entry.checked_mul(count)?)) {
        if number(header, 4)? == u64::from(INTERPRETER) {
            let (at, length) = (offset(header.checked_add(8)?, 8)?, offset(header.checked_add(32)?, 8)?);
            let name = front.get(at..at.checked_add(length)?)?.split(|byte| *byte == 0).next()?;
            return Some(PathBuf::from(std::str::from_utf8(name).ok()?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_of_a_program_is_found_and_is_there() {
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        assert!(interpreter(&shell).unwrap().unwrap().exists());
    }

    #[test]
    fn what_is_no_program_or_half_of_one_has_none() {
        let whole = std::fs::read("/bin/sh").unwrap();
        for front in [&b""[..], b"#!/bin/sh\n", &whole[..40], &whole[..100]] {
            assert_eq!(name(front), None);
        }
    }
}
