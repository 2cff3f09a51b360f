//! SHA-256 of content as it passes by: bytes, and holes by their length.

use sha2::{Digest, Sha256};

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn zeros(&mut self, mut length: u64) {
        while length > 0 {
            let now = length.min(ZEROS.len() as u64);
            self.0.update(&ZEROS[..now as usize]);
            length -= now;
        }
    }

    pub(crate) fn hex(self) -> String {
        hex(&self.0.finalize())
    }
}

/// SHA-256 of bytes, in lower-case hexadecimal.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_counts_as_zeros() {
        let mut hasher = Hasher::default();
        hasher.bytes(b"a");
        hasher.zeros(70_000);
        let mut flat = vec![0; 70_001];
        flat[0] = b'a';
        assert_eq!(hasher.hex(), of(&flat));
        assert_eq!(of(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
