//! Names of entries as bytes. Pure: nothing here looks at a file system.

use crate::reason::Reason;

/// The longest name, in bytes.
pub(crate) const LONGEST: usize = 4096;
/// The longest component of a name, in bytes.
const LONGEST_COMPONENT: usize = 255;

/// A name without `.`, empty components and a slash at its end. Empty for the root itself.
///
/// # Errors
/// The name leads out of the root, or no file can have it.
pub(crate) fn clean(raw: &[u8]) -> Result<Vec<u8>, Reason> {
    if raw.is_empty() {
        return Err(Reason::NameEmpty);
    }
    if raw.contains(&0) {
        return Err(Reason::NameNul);
    }
    if raw[0] == b'/' {
        return Err(Reason::NameAbsolute);
    }
    if raw.len() > LONGEST {
        return Err(Reason::NameTooLong);
    }
    let mut cleaned = Vec::with_capacity(raw.len());
    for component in raw.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." => return Err(Reason::NameParent),
            _ if component.len() > LONGEST_COMPONENT => return Err(Reason::NameTooLong),
            _ => cleaned = join(&cleaned, component),
        }
    }
    Ok(cleaned)
}

/// `name` in the directory `parent`.
pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// The directory and the last component of a clean name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The directories above a clean name, the outermost first, without the root.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}

/// Whether the target of the symbolic link `path` stays in the root, whatever other links there are. `..` may
/// only come first: the directories above a link are real ones, but what follows may pass through another link.
pub(crate) fn link_stays_inside(path: &[u8], target: &[u8]) -> bool {
    let depth = ancestors(path).count();
    let (mut climbed, mut descended) = (0, false);
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if descended => return false,
            b".." => climbed += 1,
            _ => descended = true,
        }
    }
    !target.starts_with(b"/") && climbed <= depth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_name_has_only_components() {
        assert_eq!(clean(b"./a//b/./c/"), Ok(b"a/b/c".to_vec()));
        assert_eq!(clean(b"./"), Ok(Vec::new()));
        assert_eq!(clean(b"a/../b"), Err(Reason::NameParent));
        assert_eq!(clean(&[b'x'; 256]), Err(Reason::NameTooLong));
        assert!(clean(&[b'x'; 255]).is_ok());
    }

    #[test]
    fn parts_of_a_name_are_found() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(ancestors(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
    }

    #[test]
    fn a_link_may_climb_as_far_as_it_is_deep_and_not_after_it_descended() {
        assert!(link_stays_inside(b"a/b/l", b"../../x"));
        assert!(!link_stays_inside(b"a/b/l", b"../../../x"));
        assert!(!link_stays_inside(b"l", b"a/../x"), "`a` may be a link");
        assert!(!link_stays_inside(b"l", b"/x"));
        assert!(link_stays_inside(b"l", b"."));
    }
}
