//! A fair semaphore across processes: `width` holders at a time, in the order of arrival.
//!
//! ```text
//! FILE    eight bytes that count the arrivals; arrival n locks the byte n of the locks' own space
//!
//! arrive ─▶ number n, locked ─▶ waits for the lock of n - width ─▶ up ─▶ dropped, or dead: let go
//! ```
//!
//! A dead process releases its permit, and leaves nothing to clean up. The order is strict, so a permit may wait
//! for a slow holder although another place is free. This is rare if all turns take about the same time.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use pyro_sys::byte_lock::{Mode, lock, try_lock, unlock};

/// The byte that is locked while the count is changed.
const COUNT: u64 = 0;
/// How often to try that. Other processes hold it for a few microseconds.
const TRIES: usize = 1000;
/// Numbers wrap around after this many.
const NUMBERS: u64 = 1 << 40;

/// A place in the order. Dropping it, or dying, ends its turn.
#[derive(Debug)]
pub struct Permit {
    file: Arc<File>,
    number: u64,
}

impl Permit {
    /// Takes the next number. `None` when another process holds the counter too long: it was probably
    /// stopped at that moment. Never waits for long.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn request(path: &Path) -> io::Result<Option<Self>> {
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        for _ in 0..TRIES {
            if try_lock(&file, COUNT, Mode::Exclusive)? {
                let number = next_number(&file);
                unlock(&file, COUNT)?;
                return Ok(Some(Self { number: number?, file: Arc::new(file) }));
            }
            std::thread::yield_now();
        }
        Ok(None)
    }

    /// Whether the permit `width` numbers earlier has ended.
    ///
    /// # Errors
    /// The error of the file system.
    pub fn is_granted(&self, width: u64) -> io::Result<bool> {
        let before = byte(self.before(width));
        Ok(try_lock(&self.file, before, Mode::Shared)? && unlock(&self.file, before).is_ok())
    }

    /// A closure that waits until that permit has ended, for a thread that may block.
    pub fn waiting(&self, width: u64) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (file, before) = (self.file.clone(), byte(self.before(width)));
        move || {
            lock(&file, before, Mode::Shared)?;
            unlock(&file, before)
        }
    }

    fn before(&self, width: u64) -> u64 {
        (self.number + NUMBERS - width % NUMBERS) % NUMBERS
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Unlocked explicitly, because a waiting thread or a forked child also has the file open.
        let _ = unlock(&self.file, byte(self.number));
    }
}

/// A free number, and its lock.
fn next_number(file: &File) -> io::Result<u64> {
    let mut count = [0; 8];
    // An empty or torn file counts as zero: the numbers only need to rise.
    let _ = file.read_exact_at(&mut count, 0);
    let mut number = u64::from_le_bytes(count) % NUMBERS;
    while !try_lock(file, byte(number), Mode::Exclusive)? {
        number = (number + 1) % NUMBERS;
    }
    file.write_all_at(&((number + 1) % NUMBERS).to_le_bytes(), 0)?;
    Ok(number)
}

fn byte(number: u64) -> u64 {
    COUNT + 1 + number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &Path) -> Permit {
        Permit::request(path).unwrap().unwrap()
    }

    #[test]
    fn so_many_are_up_at_once_in_the_order_of_arrival() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        let turns: Vec<Permit> = (0..5).map(|_| request(&path)).collect();
        let up = |turns: &[Permit]| turns.iter().map(|permit| permit.is_granted(2).unwrap()).collect::<Vec<_>>();
        assert_eq!(up(&turns), [true, true, false, false, false]);
        let mut turns = turns;
        drop(turns.remove(0));
        assert_eq!(up(&turns), [true, true, false, false]);
        drop(turns.remove(0));
        assert_eq!(up(&turns), [true, true, false]);
        assert!(turns[2].is_granted(3).unwrap(), "it is the third");
    }

    #[test]
    fn one_that_waits_is_up_when_the_one_before_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        let (first, second) = (request(&path), request(&path));
        let waiting = std::thread::spawn(second.waiting(1));
        drop(first);
        waiting.join().unwrap().unwrap();
        assert!(second.is_granted(1).unwrap());
    }

    #[test]
    fn one_that_gave_up_waiting_stands_in_nobodys_way_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        let (first, second, third) = (request(&path), request(&path), request(&path));
        let waiting = std::thread::spawn(second.waiting(1));
        assert!(!third.is_granted(1).unwrap());
        drop(second);
        assert!(third.is_granted(1).unwrap(), "a thread still has the file");
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn any_content_will_do_and_numbers_begin_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        for content in [&b"x"[..], &[0xff; 8], &[0xff; 99], &(NUMBERS - 1).to_le_bytes()] {
            std::fs::write(&path, content).unwrap();
            let turns: Vec<Permit> = (0..3).map(|_| request(&path)).collect();
            let up: Vec<bool> = turns.iter().map(|permit| permit.is_granted(1).unwrap()).collect();
            assert_eq!(up, [true, false, false]);
        }
    }

    #[test]
    fn a_number_that_is_held_is_given_to_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        let first = request(&path);
        std::fs::write(&path, first.number.to_le_bytes()).unwrap();
        assert_eq!(request(&path).number, first.number + 1);
    }

    #[test]
    fn one_who_is_stopped_with_the_count_in_his_hand_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("turns");
        let stopped = File::create(&path).unwrap();
        assert!(try_lock(&stopped, COUNT, Mode::Exclusive).unwrap());
        assert!(Permit::request(&path).unwrap().is_none());
    }
}
