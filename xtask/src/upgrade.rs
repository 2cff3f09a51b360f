//! `cargo xtask upgrade [PROGRAM]`: this release and the one before on one data home, with real guests.
//!
//! ```text
//! together   a task of either release, its supervisor included, is used by the other one
//! orphaned   a task of either release, whose supervisor was killed, is read and deleted by the other one
//! vms        a VM of either release is started, stopped and used by both
//! newer      files with a higher format number are refused by the release before, which leaves them as they are
//! ```
//!
//! The release before is built from the history, or named: a `pyro` of release 2.1.0. Where it cannot be had, that is
//! said, and counted as skipped. Each command has a bound of its time. Everything is in a temporary directory, and no
//! process of it is left.

mod newer;
mod pair;
mod previous;
mod together;
mod vms;

use std::path::{Path, PathBuf};
use std::time::Instant;

use pair::{Pair, Release};

use crate::chaos::truth;

pub fn run(root: &Path, words: &[String]) -> Result<(), String> {
    let before = match words {
        [] => match previous::build(root)? {
            Ok(program) => program,
            Err(why) => {
                pyro_testkit::skip("xtask upgrade", &why);
                println!("upgrade: skipped: {why}");
                return Ok(());
            }
        },
        [program] => PathBuf::from(program),
        _ => return Err("usage: cargo xtask upgrade [PROGRAM]".into()),
    };
    let cache = std::env::var_os("PYRO_TEST_CACHE").map_or_else(|| root.join("target/test-cache"), PathBuf::from);
    let mut pair = Pair::new(&before, &previous::build_this(root)?, &cache)?;
    let began = Instant::now();
    println!("upgrade: {} beside {}", pair.version(Release::Before)?, pair.version(Release::This)?);
    for (supervisor, client) in [(Release::Before, Release::This), (Release::This, Release::Before)] {
        println!("upgrade: a task of {supervisor}, used by {client}");
        together::play(&mut pair, supervisor, client)?;
        println!("upgrade: a task of {supervisor} without its supervisor, found by {client}");
        together::orphaned(&mut pair, supervisor, client)?;
        println!("upgrade: a VM of {supervisor}, steered by {client} too");
        vms::play(&mut pair, supervisor, client)?;
        truth::nothing_is_left(&pair.world)?;
    }
    println!("upgrade: files of a later release, and {}", Release::Before);
    newer::play(&mut pair)?;
    truth::nothing_is_left(&pair.world)?;
    println!("upgrade: {} answers as they must be, nothing left, {} s", pair.held(), began.elapsed().as_secs());
    Ok(())
}
