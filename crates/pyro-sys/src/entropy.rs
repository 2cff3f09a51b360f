//! Adding machine-specific entropy to the kernel's random pool.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::ioctl::{Opcode, opcode};

/// `RNDADDENTROPY`, random(4).
const ADD_ENTROPY: Opcode = opcode::write::<[i32; 2]>(b'R', 0x03);
/// `RNDRESEEDCRNG`, random(4): everything drawn from now on depends on the pool as it is now.
const RESEED: Opcode = opcode::none(b'R', 0x07);

/// Longest seed taken in one call, in bytes.
pub const MAX_SEED: usize = 256;

/// `struct rand_pool_info` with its flexible array made a fixed one.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    bytes: i32,
    seed: [u8; MAX_SEED],
}

/// Mixes `seed` into the pool as full entropy and reseeds the generator. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// What the kernel says; a seed longer than [`MAX_SEED`] is `EINVAL`.
pub fn reseed(random_device: impl AsFd, seed: &[u8]) -> io::Result<()> {
    if seed.len() > MAX_SEED {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let mut info = PoolInfo { entropy_bits: seed.len() as i32 * 8, bytes: seed.len() as i32, seed: [0; MAX_SEED] };
    info.seed[..seed.len()].copy_from_slice(seed);
    let descriptor = random_device.as_fd();
    // SAFETY: the opcode expects a pointer to `struct rand_pool_info`, of which PoolInfo is the
    // layout; the kernel reads `bytes` bytes of the seed, and those lie inside it.
    unsafe { ioctl(descriptor.as_raw_fd(), ADD_ENTROPY, std::ptr::from_ref(&info).cast()) }?;
    // SAFETY: this request takes no argument.
    unsafe { ioctl(descriptor.as_raw_fd(), RESEED, std::ptr::null()) }
}

/// # Safety
/// `argument` must be what `request` expects.
unsafe fn ioctl(descriptor: i32, request: Opcode, argument: *const core::ffi::c_void) -> io::Result<()> {
    struct Raw(Opcode, *const core::ffi::c_void);
    // SAFETY: the opcode and pointer are passed through as they are; the caller vouches for them,
    // and no output is read.
    unsafe impl rustix::ioctl::Ioctl for Raw {
        type Output = ();
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> Opcode {
            self.0
        }
        fn as_ptr(&mut self) -> *mut core::ffi::c_void {
            self.1.cast_mut()
        }
        unsafe fn output_from_ptr(_: rustix::ioctl::IoctlOutput, _: *mut core::ffi::c_void) -> rustix::io::Result<()> {
            Ok(())
        }
    }
    // SAFETY: the caller passes an open descriptor and a fitting argument.
    unsafe { rustix::ioctl::ioctl(std::os::fd::BorrowedFd::borrow_raw(descriptor), Raw(request, argument)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_too_long_is_refused_before_the_kernel_sees_it() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = reseed(&null, &[0; MAX_SEED + 1]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::INVAL.raw_os_error()));
    }

    #[test]
    fn a_device_that_has_no_pool_says_so() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let error = reseed(&null, &[1; 8]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
    }
}
