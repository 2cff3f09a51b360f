//! In a program of its own: a signal is only kept for the descriptor when the first thread of the
//! process blocks it, and a test harness runs tests in others.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use pyro_sys::signals::ChildSignals;
use rustix::event::{PollFd, PollFlags, poll};

fn main() {
    let signals = ChildSignals::block().unwrap();
    assert!(!signals.take());
    let mut child = std::process::Command::new("true").spawn().unwrap();
    poll(&mut [PollFd::new(&signals, PollFlags::IN)], None).unwrap();
    assert!(signals.take(), "a dead child is heard of");
    assert!(!signals.take(), "once");
    assert!(child.wait().unwrap().success());
    println!("test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
