//! Digests: SHA-256 of a whole file, and of a sparse one without reading its holes.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Blocks of a sparse file are hashed in this size, in bytes.
const BLOCK: usize = 64 * 1024;

/// SHA-256 of bytes, as `sha256:` and hex.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    render(Sha256::digest(bytes).as_slice())
}

/// SHA-256 of bytes, in hex alone.
#[must_use]
pub fn hex_of_bytes(bytes: &[u8]) -> String {
    of_bytes(bytes).split_off("sha256:".len())
}

/// SHA-256 of a file's bytes, as `sha256:` and hex.
///
/// # Errors
/// The error of the file system.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(render(hasher.finalize().as_slice())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Digest of a sparse file, as `sparse-sha256:` and hex: SHA-256 over the file's length and, for
/// each 64 KiB block that is not all zeros, its number and its bytes. It does not depend on where
/// the holes are, and holes are not read.
///
/// # Errors
/// The error of the file system.
pub fn of_sparse_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hasher = Sha256::new();
    hasher.update(length.to_le_bytes());
    let mut block = vec![0; BLOCK];
    let mut number = 0;
    while let Some(data) = next_data(&file, number * BLOCK as u64)? {
        number = data / BLOCK as u64;
        file.seek(SeekFrom::Start(number * BLOCK as u64))?;
        let read = read_block(&mut file, &mut block)?;
        if block[..read].iter().any(|byte| *byte != 0) {
            hasher.update(number.to_le_bytes());
            hasher.update(&block[..read]);
        }
        number += 1;
    }
    Ok(render(hasher.finalize().as_slice()).replacen("sha256", "sparse-sha256", 1))
}

/// Offset of the first byte from `offset` on that is not in a hole.
fn next_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read_block(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match file.read(&mut block[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn render(digest: &[u8]) -> String {
    digest.iter().fold(String::from("sha256:"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(of_bytes(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    fn file_with(length: u64, pieces: &[(u64, u8)], holes: bool) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        if holes {
            file.as_file().set_len(length).unwrap();
        } else {
            file.write_all(&vec![0; length as usize]).unwrap();
        }
        for (offset, byte) in pieces {
            file.seek(SeekFrom::Start(*offset)).unwrap();
            file.write_all(&[*byte]).unwrap();
        }
        file
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn holes_do_not_matter_and_bytes_do(
            length in 1u64..400_000,
            pieces in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 0..5),
        ) {
            let pieces: Vec<(u64, u8)> =
                pieces.iter().map(|(at, byte)| (at.index(length as usize) as u64, *byte)).collect();
            let sparse = of_sparse_file(file_with(length, &pieces, true).path()).unwrap();
            let full = of_sparse_file(file_with(length, &pieces, false).path()).unwrap();
            prop_assert_eq!(&sparse, &full);
            let mut changed = pieces.clone();
            changed.push((length - 1, 0));
            let last_was_zero = pieces.iter().all(|(at, _)| *at != length - 1);
            let same = of_sparse_file(file_with(length, &changed, true).path()).unwrap() == sparse;
            prop_assert_eq!(same, last_was_zero);
        }
    }
}
