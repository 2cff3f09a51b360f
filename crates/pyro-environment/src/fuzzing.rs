//! Entry points for the fuzz targets; built only for them.

/// An `environment.json` of any content: read, and when it is understood, read again as it is written.
pub fn manifest(bytes: &[u8]) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(crate::manifest::FILE_NAME), bytes).expect("a file");
    if let Ok(manifest) = crate::manifest::read(directory.path(), "any") {
        crate::manifest::write(directory.path(), &manifest).expect("it can be written");
        assert!(crate::manifest::read(directory.path(), "any").is_ok());
    }
}
