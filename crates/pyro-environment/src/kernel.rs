//! Taking the ELF kernel out of Debian's compressed image.
//!
//! A bzImage says in its header where its payload lies (Linux `Documentation/arch/x86/boot.rst`);
//! the payload is a zstd stream with the ELF `vmlinux` in it. Booting that directly saves every
//! guest from unpacking it.

use std::io::Read;

use crate::EnvironmentError;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Debian's kernels are far smaller. The bound keeps a malicious archive from filling the memory.
const LARGEST: u64 = 512 << 20;

/// The ELF kernel inside a bzImage.
pub fn extract(image: &[u8]) -> Result<Vec<u8>, EnvironmentError> {
    let problem = |problem: &str| EnvironmentError::Kernel { problem: problem.to_owned() };
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(problem("it is not a Linux boot image"));
    }
    let word =
        |at: usize| image.get(at..at + 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let sectors = usize::from(image[0x1f1].max(4));
    let (Some(offset), Some(length)) = (word(0x248), word(0x24c)) else { return Err(problem("its header is cut off")) };
    let start = (sectors + 1) * 512 + offset as usize;
    let payload = image.get(start..start.saturating_add(length as usize));
    let payload = payload.ok_or_else(|| problem("its payload is cut off"))?;
    if !payload.starts_with(&ZSTD) {
        return Err(problem("its payload is not compressed with zstd"));
    }
    let broken = |error: &dyn std::fmt::Display| problem(&format!("its payload could not be decompressed: {error}"));
    let decoder = ruzstd::decoding::StreamingDecoder::new(payload).map_err(|error| broken(&error))?;
    let mut kernel = Vec::new();
    decoder.take(LARGEST).read_to_end(&mut kernel).map_err(|error| broken(&error))?;
    if !kernel.starts_with(b"\x7fELF") {
        return Err(problem("its payload is not an ELF kernel"));
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused_with_the_reason() {
        let message = |image: &[u8]| extract(image).unwrap_err().to_string();
        assert_eq!(message(b""), "the kernel package cannot be used: it is not a Linux boot image");
        let mut image = vec![0; 0x300];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c] = 0xff;
        assert_eq!(message(&image), "the kernel package cannot be used: its payload is cut off");
        image.resize(8192, 0);
        assert_eq!(message(&image), "the kernel package cannot be used: its payload is not compressed with zstd");
        let start = 5 * 512;
        image[start..start + 4].copy_from_slice(&ZSTD);
        assert!(message(&image).contains("could not be decompressed"));
    }
}
