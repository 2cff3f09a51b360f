//! Where in a file there is data, and where only a hole.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::Errno;

/// Blocks that a hole is made of, in bytes.
const BLOCK: usize = 4096;
/// Blocks of an archive, in bytes.
const UNIT: u64 = 512;

/// A stretch of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub offset: u64,
    pub length: u64,
}

/// The data of a file with holes; the last one ends where the file ends, and may be empty. `None`
/// for a file without holes that an archive could leave out.
pub fn extents(file: &File, stat: &Stat) -> Option<Vec<Extent>> {
    let size = stat.st_size as u64;
    if (stat.st_blocks as u64).saturating_mul(UNIT) >= size {
        return None;
    }
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < size {
        let offset = match seek(file, SeekFrom::Data(at)) {
            Ok(offset) if offset < size => offset,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        at = seek(file, SeekFrom::Hole(offset)).ok()?.min(size);
        extents.push(Extent { offset, length: at.checked_sub(offset).filter(|length| *length > 0)? });
    }
    let is_dense = extents.first().is_some_and(|first| first.length == size);
    if extents.last().is_none_or(|last| last.offset + last.length < size) {
        extents.push(Extent { offset: size, length: 0 });
    }
    let is_whole = |extent: &Extent| extent.length.is_multiple_of(UNIT) || extent.offset + extent.length == size;
    (!is_dense && extents.iter().all(is_whole)).then_some(extents)
}

/// Writes data at an offset, but no blocks that are all zero: nothing was written there before.
pub fn write_at(file: &File, data: &[u8], offset: u64) -> std::io::Result<()> {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut run = 0; // where the data begins that is not written yet
    let mut at = 0;
    for block in data.chunks(BLOCK) {
        let next = at + block.len();
        if block == &ZEROS[..block.len()] {
            file.write_all_at(&data[run..at], offset + run as u64)?;
            run = next;
        }
        at = next;
    }
    file.write_all_at(&data[run..], offset + run as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_found_and_kept() {
        let file = tempfile::tempfile().unwrap();
        let mut data = vec![0; 1 << 20];
        data[..3].copy_from_slice(b"abc");
        data[512 << 10..(512 << 10) + 5000].fill(7);
        write_at(&file, &data, 0).unwrap();
        file.set_len(1 << 20).unwrap();
        let mut read = vec![1; 1 << 20];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == data);
        let stat = rustix::fs::fstat(&file).unwrap();
        let Some(extents) = extents(&file, &stat) else {
            eprintln!("skipped: the file system of temporary files has no holes");
            return;
        };
        assert_eq!(extents.len(), 3, "{extents:?}");
        assert_eq!(extents.last(), Some(&Extent { offset: 1 << 20, length: 0 }));
        let data: u64 = extents.iter().map(|extent| extent.length).sum();
        assert!(data < 100 << 10, "{extents:?}");
    }

    #[test]
    fn a_file_without_holes_has_no_extents() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 10_000], 0).unwrap();
        assert_eq!(extents(&file, &rustix::fs::fstat(&file).unwrap()), None);
    }
}
