//! Loading the kernel modules that the initramfs brought along.
//!
//! `/modules/order` names the files of that directory, one a line, in an order in which each finds
//! what it depends on. The host wrote it from the kernel's own `modules.dep`.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::report::failed;

/// Loads every listed module; one that the kernel has already is no error.
pub fn load_all(directory: &Path) -> io::Result<()> {
    let order = fs::read_to_string(directory.join("order")).map_err(failed("read the module order"))?;
    for name in order.lines().filter(|line| !line.is_empty()) {
        let file = File::open(directory.join(name)).map_err(failed(&format!("open module {name}")))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(&format!("load module {name}"))(error)),
        }
    }
    Ok(())
}
