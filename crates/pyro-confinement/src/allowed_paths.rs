//! The files a program may use.

use std::path::PathBuf;

/// The files of a program: absolute, and without symbolic links. What lies below a directory belongs to
/// it. The program itself and the libraries of the host are always readable.
#[derive(Clone, Debug, Default)]
pub struct AllowedPaths {
    /// Files and directories it may read.
    pub readable: Vec<PathBuf>,
    /// Files and directories it may write to; it cannot make new ones.
    pub writable: Vec<PathBuf>,
    /// Devices it may use.
    pub devices: Vec<PathBuf>,
}
