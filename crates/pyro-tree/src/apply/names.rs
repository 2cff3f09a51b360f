//! What a guest may not bring to the host, judged by names, modes and link targets alone. Pure.
//!
//! Git's own rules for look-alikes of `.git` are followed (`is_ntfs_dotgit`, `is_hfs_dotgit` in its path.c and utf8.c):
//! the tree may later be on a file system that takes them for the same.

use super::change::is_content_of;
use crate::entry::{Entry, Kind};

/// Why something is refused. [`Reason::word`] is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A name that cannot be, or leads elsewhere. It cannot be allowed.
    Name,
    /// A name that a terminal would not show as it is.
    Control,
    /// Git's own files, and what looks like them.
    Git,
    /// A symbolic link that leaves the tree, or might.
    Link,
    /// A setuid or setgid bit.
    SetId,
    /// What the guest says does not hold together. It cannot be allowed.
    Lie,
}

impl Reason {
    /// The word that stands for it in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Control => "control_characters",
            Self::Git => "git",
            Self::Link => "link_leaves",
            Self::SetId => "set_id",
            Self::Lie => "lie",
        }
    }

    /// Whether the user may ask for it by its exact name.
    pub(crate) fn can_be_allowed(self) -> bool {
        !matches!(self, Self::Name | Self::Lie)
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its kind.
    pub reason: Reason,
    /// A sentence.
    pub why: String,
}

fn refusal(reason: Reason, why: &str) -> Refusal {
    Refusal { reason, why: why.to_owned() }
}

const LONGEST_NAME: usize = 255;
const LONGEST_PATH: usize = 4095;

/// Everything that is wrong with a path.
pub(super) fn of_path(path: &[u8]) -> Vec<Refusal> {
    let components = || path.split(|byte| *byte == b'/');
    let bad = |why| vec![refusal(Reason::Name, why)];
    if path.len() > LONGEST_PATH || components().any(|name| name.len() > LONGEST_NAME) {
        return bad("The name is too long.");
    }
    if path.contains(&0) {
        return bad("The name has a NUL in it.");
    }
    if path.starts_with(b"/") {
        return bad("The path is absolute.");
    }
    if components().any(|name| matches!(name, b"" | b"." | b"..")) {
        return bad("The path has an empty component, `.` or `..` in it.");
    }
    let mut found = Vec::new();
    if fools_a_terminal(path) {
        found.push(refusal(Reason::Control, "The name has characters that a terminal does not show as they are."));
    }
    if touches_git(path) {
        found.push(refusal(Reason::Git, "Git would run or obey what is in it."));
    }
    found
}

/// Everything that is wrong with a new entry.
pub(super) fn of_entry(path: &[u8], entry: &Entry, target: Option<&[u8]>) -> Vec<Refusal> {
    let mut found = Vec::new();
    if entry.kind != Kind::Symlink && entry.mode & 0o6000 != 0 {
        found.push(refusal(Reason::SetId, "It has a setuid or setgid bit."));
    }
    if entry.kind == Kind::Symlink {
        match target {
            Some(target) if is_content_of(target, entry) => found.extend(of_link(path, target)),
            Some(_) => found.push(refusal(Reason::Lie, "The link's target is not the one that was announced.")),
            None => found.push(refusal(Reason::Lie, "The link's target is not known.")),
        }
    }
    found
}

fn of_link(path: &[u8], target: &[u8]) -> Vec<Refusal> {
    if target.is_empty() || target.len() > LONGEST_PATH || target.contains(&0) {
        return vec![refusal(Reason::Lie, "No link has such a target.")];
    }
    let mut found = Vec::new();
    if leaves(path, target) {
        found.push(refusal(Reason::Link, "The link leads out of the tree, or might."));
    }
    if touches_git(target) {
        found.push(refusal(Reason::Git, "The link leads into Git's files."));
    }
    found
}

/// Whether a link might lead out. `..` counts only at the beginning of the target: after a name it is taken where that
/// name leads, and that may be another link.
fn leaves(path: &[u8], target: &[u8]) -> bool {
    let depth = path.iter().filter(|byte| **byte == b'/').count();
    let components = || target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let climbs = components().take_while(|name| *name == b"..").count();
    target.starts_with(b"/") || climbs > depth || components().filter(|name| *name == b"..").count() > climbs
}

/// Whether a component is Git's, or may be taken for it.
fn touches_git(path: &[u8]) -> bool {
    path.split(|byte| matches!(byte, b'/' | b'\\')).any(|name| {
        let name = String::from_utf8_lossy(name);
        let visible: String = name.chars().filter(|character| !ignored_by_hfs(*character)).collect();
        let lower = visible.to_lowercase();
        // NTFS: a stream's name, and dots and spaces at the end, do not count.
        let name = lower.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
        let short = name.strip_prefix("gitmod~").is_some_and(|rest| rest.len() == 1) || name.starts_with("gi7eba~");
        matches!(name, ".git" | "git~1" | ".gitmodules") || short
    })
}

fn ignored_by_hfs(character: char) -> bool {
    matches!(character, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

fn fools_a_terminal(path: &[u8]) -> bool {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    // In Latin-1 the bytes from 0x80 to 0x9f are control characters; in UTF-8 they are parts of others.
    let text = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.valid().chars().any(hidden) || chunk.invalid().iter().any(|byte| (0x80..0xa0).contains(byte))
    };
    path.utf8_chunks().any(text)
}

/// What starts programs when the tree is opened, built or committed. A directory's name ends with a slash.
const EXECUTES: &[(&str, &str)] = &[
    (".vscode/", "Visual Studio Code"),
    (".idea/", "JetBrains' editors"),
    (".zed/", "Zed"),
    (".devcontainer/", "development containers"),
    (".devcontainer.json", "development containers"),
    (".envrc", "direnv"),
    (".mise.toml", "mise"),
    ("mise.toml", "mise"),
    (".exrc", "vi"),
    (".vimrc", "Vim"),
    (".nvimrc", "Neovim"),
    (".nvim.lua", "Neovim"),
    (".dir-locals.el", "Emacs"),
    (".cargo/", "Cargo"),
    (".husky/", "Git hooks"),
    (".pre-commit-config.yaml", "pre-commit"),
    (".github/workflows/", "GitHub Actions"),
    (".gitlab-ci.yml", "GitLab"),
    (".npmrc", "npm"),
    (".yarnrc.yml", "Yarn"),
    (".claude/", "Claude Code"),
    (".cursor/", "Cursor"),
    (".mcp.json", "MCP clients"),
];

/// The program that obeys this file, if one does without being asked.
pub(super) fn obeyed_by(path: &[u8]) -> Option<&'static str> {
    let path = format!("/{}", String::from_utf8_lossy(path).to_lowercase());
    let found = EXECUTES.iter().find(|(name, _)| {
        let at = path.rfind(&format!("/{name}"));
        at.is_some_and(|at| name.ends_with('/') || at + 1 + name.len() == path.len())
    });
    found.map(|(_, program)| *program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(path: &[u8]) -> Vec<Reason> {
        of_path(path).into_iter().map(|refusal| refusal.reason).collect()
    }

    #[test]
    fn names_that_lead_elsewhere_or_fool_are_refused() {
        for path in
            [&b""[..], b"/etc", b"..", b"a/../b", b"a//b", b"./a", b"a/", b"a\0b", &[b'a'; 256], &b"a/".repeat(2048)]
        {
            assert_eq!(reasons(path), [Reason::Name], "{path:?}");
        }
        for path in ["a\x1b[2Jb", "a\nb", "a\u{202e}b", "\u{85}", "a\x7f"] {
            assert_eq!(reasons(path.as_bytes()), [Reason::Control], "{path:?}");
        }
        assert_eq!(reasons(b"a\x9b"), [Reason::Control]);
        for path in [&b"a b'\"c"[..], b"..a", b"\xff\xfe", "ä/ö€😀".as_bytes(), b"...", &[b'a'; 255]] {
            assert_eq!(reasons(path), [], "{path:?}");
        }
    }

    #[test]
    fn git_and_what_looks_like_it_is_refused() {
        let git = [
            ".git",
            ".GIT/config",
            "a/.git/hooks/x",
            "git~1",
            "GIT~1/a",
            ".git .",
            ".git::$INDEX_ALLOCATION/x",
            ".g\u{200c}it",
            "a\\.git\\x",
            ".gitmodules",
            ".GitModules",
            "gitmod~1",
        ];
        for path in git {
            assert_eq!(reasons(path.as_bytes()), [Reason::Git], "{path:?}");
        }
        for path in [".gitignore", ".gitattributes", "git", ".github/x", "a.git/x", ".git2"] {
            assert_eq!(reasons(path.as_bytes()), [], "{path:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let inside = [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "."), ("a", "./b"), ("a/b", "..")];
        let outside =
            [("a", "/etc"), ("a", ".."), ("a/b", "../../c"), ("a", "b/../../c"), ("a", "b/../c"), ("a/b", "./.././..")];
        for (path, target) in inside {
            assert!(!leaves(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in outside {
            assert!(leaves(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }

    #[test]
    fn what_executes_on_its_own_is_known() {
        for path in [".vscode/tasks.json", "a/.envrc", ".ENVRC", "a/.cargo/config.toml"] {
            assert!(obeyed_by(path.as_bytes()).is_some(), "{path}");
        }
        for path in ["vscode/tasks.json", "a.envrc", ".envrc.example", "src/main.rs"] {
            assert_eq!(obeyed_by(path.as_bytes()), None, "{path}");
        }
    }
}
