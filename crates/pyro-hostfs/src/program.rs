//! Finding programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Finds `name` in the directories of `search_path`, in order, or takes it as a path when it has a
/// slash. `None` where no file that may be executed is there.
#[must_use]
pub fn find(name: &Path, search_path: &[PathBuf]) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(|path| is_executable(path));
    }
    search_path.iter().map(|directory| directory.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_executed_is_found() {
        let path = [PathBuf::from("/nonexistent"), "/bin".into()];
        assert_eq!(find(Path::new("sh"), &path), Some("/bin/sh".into()));
        assert_eq!(find(Path::new("no-such-program"), &path), None);
        assert_eq!(find(Path::new("/etc/passwd"), &[]), None);
        assert_eq!(find(Path::new("/bin/sh"), &[]), Some("/bin/sh".into()));
        assert_eq!(find(Path::new("bin"), &["/".into()]), None, "a directory");
    }
}
