//! An append-only file of checksummed records, with one writer and any number of readers.
//!
//! ```text
//! offset  size  what
//!      0     8  magic: "pyrolog" and the format's number
//!  then for each record
//!      0     4  length of the record in bytes, little endian, at most MAX_RECORD
//!      4     4  CRC-32 of the length and the record, little endian
//!      8     n  record
//! ```
//!
//! A writer that dies in the middle of a record leaves a torn tail: a last record that is shorter than its
//! length says. Readers leave it out, and the next writer cuts it off. Everything else that is not a whole
//! record is damage: a gap. Readers go on behind it, at the next offset where length and checksum hold, and
//! say where it is and how long; a writer leaves it as it is and appends behind it.
//!
//! The number of a later format must differ from this one's in two bits at least (2, 4, 7 or 8), so that one
//! flipped bit in the magic is not taken for a later format.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};

/// The first bytes of every log of this format.
const MAGIC: &[u8; 8] = b"pyrolog1";
/// The format's number in it.
const FORMAT: u8 = MAGIC[7] - b'0';
const HEADER: usize = 8;
/// The maximum record size in bytes. A larger length field counts as torn.
pub const MAX_RECORD: usize = 8 << 20;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It has another format, perhaps a later one.
    #[error("this release does not support its format")]
    Format,
    /// A newer release wrote it.
    #[error("it was written by a newer release of pyro: it has format {found}; this release supports format {ours}")]
    Newer {
        /// Its format.
        found: u8,
        /// The newest format this release knows.
        ours: u8,
    },
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Every whole record, in order.
    pub records: Vec<Vec<u8>>,
    /// What is damaged, in order.
    pub gaps: Vec<Gap>,
}

/// Bytes that are no whole record, and no torn tail either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// Where it begins in the file.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whole records before it.
    pub records_before: usize,
}

/// The writing end of a log.
#[derive(Debug)]
pub struct AppendLog {
    file: File,
    /// Where the next record goes.
    length: u64,
}

impl AppendLog {
    /// Makes a new log (0600).
    ///
    /// # Errors
    /// The error of the file system, for example that there is one already.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(MAGIC)?;
        Ok(Self { file, length: MAGIC.len() as u64 })
    }

    /// Opens a log to go on writing, cuts a torn tail off, and returns what it holds. Damage stays where it
    /// is.
    ///
    /// # Errors
    /// [`LogError`]; then nothing was changed.
    pub fn open(path: &Path) -> Result<(Self, Contents), LogError> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let (contents, length) = parse(&mut file)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok((Self { file, length }, contents))
    }

    /// Reserves space, so that records of `bytes` bytes in total can be appended on a full disk.
    ///
    /// # Errors
    /// What the file system says: that there is no such room.
    pub fn reserve(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.length, bytes) {
            // A file system that cannot reserve space reports a full disk at the write instead.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Appends a record. It survives this process; [`Self::sync`] makes it survive the host.
    ///
    /// # Errors
    /// What the file system says; then the log is as it was.
    ///
    /// # Panics
    /// When the record is longer than [`MAX_RECORD`].
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        assert!(record.len() <= MAX_RECORD, "records are cut by their writers");
        let length = (record.len() as u32).to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER + record.len());
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(&checksum(length, record).to_le_bytes());
        bytes.extend_from_slice(record);
        if let Err(error) = self.file.write_all(&bytes) {
            // The written part would be a torn tail, so it is cut off. The first error is returned.
            let _ = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// A handle to flush what was appended before to disk, from any thread.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// The contents of a log that another process may be writing to.
///
/// # Errors
/// [`LogError`].
pub fn read(path: &Path) -> Result<Contents, LogError> {
    Ok(parse(&mut File::open(path)?)?.0)
}

/// What is there, and where a torn tail begins: the end of the file when there is none.
fn parse(file: &mut File) -> Result<(Contents, u64), LogError> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    let mut contents = Contents::default();
    let mut gap = |from: usize, to: usize, records: usize| {
        contents.gaps.push(Gap { offset: from as u64, bytes: (to - from) as u64, records_before: records });
    };
    if !bytes.starts_with(MAGIC) {
        if !is_damaged_magic(&bytes) {
            return Err(refusal(&bytes));
        }
        gap(0, MAGIC.len(), 0);
    }
    let mut at = MAGIC.len();
    while at < bytes.len() {
        if let Some((record, after)) = whole_record(&bytes[at..]) {
            contents.records.push(record.to_vec());
            at = bytes.len() - after.len();
            continue;
        }
        let next = (at + 1..bytes.len()).find(|next| whole_record(&bytes[*next..]).is_some());
        if next.is_none() && is_torn(&bytes[at..]) {
            return Ok((contents, at as u64));
        }
        let end = next.unwrap_or(bytes.len());
        gap(at, end, contents.records.len());
        at = end;
    }
    Ok((contents, bytes.len() as u64))
}

/// Why a file of another format cannot be read.
fn refusal(bytes: &[u8]) -> LogError {
    let number = bytes.strip_prefix(&MAGIC[..7]).and_then(|rest| rest.first());
    match number.filter(|number| number.is_ascii_digit()).map(|number| number - b'0') {
        Some(found) if found > FORMAT => LogError::Newer { found, ours: FORMAT },
        _ => LogError::Format,
    }
}

/// Whether the file begins with this format's magic but for one bit, and goes on like a log of it.
fn is_damaged_magic(bytes: &[u8]) -> bool {
    let Some((magic, rest)) = bytes.split_first_chunk::<{ MAGIC.len() }>() else { return false };
    let flipped: u32 = magic.iter().zip(MAGIC).map(|(is, was)| (is ^ was).count_ones()).sum();
    flipped == 1 && whole_record(rest).is_some()
}

/// Whether these last bytes are the beginning of a record whose end was never written. One that is whole but
/// for its length is not.
fn is_torn(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return true };
    let Some((sum, record)) = rest.split_first_chunk::<4>() else { return true };
    let wanted = u32::from_le_bytes(*length) as usize;
    let real = (record.len() as u32).to_le_bytes();
    wanted <= MAX_RECORD && wanted > record.len() && checksum(real, record) != u32::from_le_bytes(*sum)
}

fn whole_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let wanted = u32::from_le_bytes(*length) as usize;
    if wanted > MAX_RECORD {
        return None;
    }
    let (record, after) = rest.split_at_checked(wanted)?;
    (checksum(*length, record) == u32::from_le_bytes(*sum)).then_some((record, after))
}

fn checksum(length: [u8; 4], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(record);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(records: &[Vec<u8>]) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = AppendLog::create(&path).unwrap();
        for record in records {
            log.append(record).unwrap();
        }
        (directory, path)
    }

    #[test]
    fn a_log_of_another_format_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, b"pyrolog2 and more").unwrap();
        assert!(matches!(read(&path), Err(LogError::Newer { found: 2, ours: 1 })));
        assert!(matches!(AppendLog::open(&path), Err(LogError::Newer { found: 2, ours: 1 })));
        assert_eq!(std::fs::read(&path).unwrap(), b"pyrolog2 and more");
        std::fs::write(&path, b"another and more").unwrap();
        assert!(matches!(AppendLog::open(&path), Err(LogError::Format)));
        assert_eq!(std::fs::read(&path).unwrap(), b"another and more");
    }

    #[test]
    fn a_reader_of_a_growing_log_sees_whole_records_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = AppendLog::create(&path).unwrap();
        log.reserve(4096).unwrap();
        for count in 0..5u8 {
            assert_eq!(read(&path).unwrap().records.len(), usize::from(count));
            log.append(&[count; 40]).unwrap();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_cut_off_the_end_the_records_before_it_stay(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8),
            lost in 0usize..200,
        ) {
            let (_directory, path) = written(&records);
            let full = std::fs::metadata(&path).unwrap().len();
            let left = full.saturating_sub(lost as u64).max(MAGIC.len() as u64);
            File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
            let mut ends = vec![MAGIC.len() as u64];
            ends.extend(records.iter().scan(MAGIC.len() as u64, |end, record| {
                *end += (HEADER + record.len()) as u64;
                Some(*end)
            }));
            let whole = ends.iter().filter(|end| **end <= left).count() - 1;
            prop_assert_eq!(&read(&path).unwrap().records[..], &records[..whole]);
            let (mut log, found) = AppendLog::open(&path).unwrap();
            prop_assert_eq!(&found, &Contents { records: records[..whole].to_vec(), gaps: vec![] });
            log.append(b"next").unwrap();
            let mut expected = records[..whole].to_vec();
            expected.push(b"next".to_vec());
            prop_assert_eq!(read(&path).unwrap().records, expected);
        }

        #[test]
        fn a_flipped_bit_costs_the_record_it_hits_and_no_other(
            records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..8),
            at in 0usize..600,
            bit in 0u8..8,
        ) {
            let (_directory, path) = written(&records);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let mut end = MAGIC.len();
            let left: Vec<_> = records
                .iter()
                .filter(|record| {
                    let hit = (end..end + HEADER + record.len()).contains(&at);
                    end += HEADER + record.len();
                    !hit
                })
                .cloned()
                .collect();
            prop_assert_eq!(&read(&path).unwrap().records, &left);
            let (mut log, found) = AppendLog::open(&path).unwrap();
            prop_assert_eq!(&found.records, &left);
            prop_assert!(!found.gaps.is_empty());
            log.append(b"next").unwrap();
            prop_assert_eq!(&std::fs::read(&path).unwrap()[..bytes.len()], &bytes[..], "nothing is cut or changed");
            let mut expected = left;
            expected.push(b"next".to_vec());
            prop_assert_eq!(read(&path).unwrap().records, expected);
        }
    }
}
