//! What can be installed: a closed list, part of the release.

/// The release of this list.
pub const CATALOG_VERSION: &str = "2.1.0";
/// What every environment of this list runs on.
pub const PLATFORM: &str = "linux-x86_64";
/// The Debian release that the guests' kernel comes from.
pub const KERNEL_SUITE: &str = "trixie";

/// An environment that can be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its name, for example `debian:12`.
    pub name: &'static str,
    /// Its version. Another content is another version.
    pub version: &'static str,
    /// One sentence for people.
    pub description: &'static str,
    /// What a user finds in it beyond the bare system.
    pub default_packages: &'static [&'static str],
    /// `debian`.
    pub distribution: &'static str,
    /// `12`.
    pub distribution_version: &'static str,
    /// The release's name in the package archive.
    pub suite: &'static str,
    /// Debian packages beyond the minimal system.
    pub(crate) packages: &'static [&'static str],
    /// Bytes of free space a pull needs at its fullest.
    pub(crate) space_needed: u64,
}

const MIB: u64 = 1 << 20;

/// Every environment of this release.
pub const CATALOG: &[CatalogEntry] = &[
    CatalogEntry {
        name: "debian:12",
        version: "1.0.0",
        description: "Debian 12 with git, perl and the core tools, without python3 and curl.",
        default_packages: &["git"],
        distribution: "debian",
        distribution_version: "12",
        suite: "bookworm",
        packages: &["git", "ca-certificates", "kmod", "procps"],
        space_needed: 1600 * MIB,
    },
    CatalogEntry {
        name: "debian:12-base",
        version: "1.0.0",
        description: "Debian 12, the bare system with a shell and the core tools.",
        default_packages: &[],
        distribution: "debian",
        distribution_version: "12",
        suite: "bookworm",
        packages: &["ca-certificates", "kmod"],
        space_needed: 1300 * MIB,
    },
    CatalogEntry {
        name: "debian:12-build",
        version: "1.0.0",
        description: "Debian 12 with git and what compiles C, C++ and Python projects.",
        default_packages: &["git", "gcc", "make", "cmake", "python3"],
        distribution: "debian",
        distribution_version: "12",
        suite: "bookworm",
        packages: &[
            "git",
            "gcc",
            "g++",
            "libc6-dev",
            "make",
            "cmake",
            "python3",
            "python3-venv",
            "python3-pip",
            "ca-certificates",
            "kmod",
            "procps",
        ],
        space_needed: 3600 * MIB,
    },
];

/// The entry of that name.
pub(crate) fn find(name: &str) -> Option<&'static CatalogEntry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

impl CatalogEntry {
    /// The name of its directory in the cache.
    pub(crate) fn directory_name(&self) -> String {
        format!("{}-{}", self.slug(), self.version)
    }

    /// Its name without what file names should not have.
    pub(crate) fn slug(&self) -> String {
        self.name.replace(':', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_directories_are_unique() {
        let mut names: Vec<_> =
            CATALOG.iter().flat_map(|entry| [entry.name.to_owned(), entry.directory_name()]).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), CATALOG.len() * 2);
    }

    #[test]
    fn what_is_promised_is_installed() {
        for entry in CATALOG {
            for package in entry.default_packages {
                assert!(entry.packages.contains(package), "{} lacks {package}", entry.name);
            }
            assert!(entry.packages.contains(&"kmod"), "modprobe works everywhere");
        }
    }
}
