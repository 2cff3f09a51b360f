//! The paths that a module names: what it uses, and what it re-exports.

/// What a module's source names.
#[derive(Debug, Default)]
pub struct Named {
    /// Paths of things that it uses, as they are written.
    pub used: Vec<Vec<String>>,
    /// Names that it re-exports, and where they come from.
    pub exported: Vec<(String, Vec<String>)>,
    /// Names that a `use` brings, whether it re-exports them or not.
    pub brought: Vec<(String, Vec<String>)>,
}

impl Named {
    /// Adds what another source of the same module names: a crate may have a `lib.rs` and a `main.rs`.
    pub fn add(&mut self, other: Self) {
        self.used.extend(other.used);
        self.exported.extend(other.exported);
        self.brought.extend(other.brought);
    }
}

/// Finds every path of two parts or more, takes `use` trees apart, and looks where a re-exported name is used
/// by the one who re-exports it.
pub fn named(words: &[String]) -> Named {
    let mut named = Named::default();
    let mut alone = Vec::new();
    // Modules that are written out in the file belong to it: the depths of their braces.
    let (mut depth, mut written_out) = (0usize, Vec::new());
    let mut at = 0;
    while at < words.len() {
        match words[at].as_str() {
            "{" => {
                depth += 1;
                if at > 1 && words[at - 2] == "mod" {
                    written_out.push(depth);
                }
            }
            "}" => {
                written_out.retain(|begun| *begun < depth);
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        // `impl Trait + use<'a>` brings nothing.
        if words[at] == "use" && words.get(at + 1).is_none_or(|next| next != "<") {
            let public = at > 0 && (words[at - 1] == "pub" || words[at - 1] == ")" && follows_pub(&words[..at]));
            let end = words[at..].iter().position(|word| word == ";").map_or(words.len(), |length| at + length);
            let mut leaves = Vec::new();
            tree(&words[at + 1..end], &[], &mut leaves);
            for (name, path) in leaves {
                let path = from_the_file(path, written_out.len());
                named.brought.push((name.clone(), path.clone()));
                if public { named.exported.push((name, path)) } else { named.used.push(path) }
            }
            at = end;
        } else if let Some(path) = path(words, at) {
            at += 2 * path.len() - 1;
            named.used.push(from_the_file(path, written_out.len()));
        } else {
            if stands_alone(words, at) {
                alone.push(&words[at]);
            }
            at += 1;
        }
    }
    let exported = named.exported.iter().filter(|(name, _)| alone.contains(&name));
    named.used.extend(exported.map(|(_, path)| path.clone()));
    named
}

/// A path as it is from the file, where it is written inside so many modules of the file's own.
fn from_the_file(mut path: Vec<String>, inside: usize) -> Vec<String> {
    let up = path.iter().take(inside).take_while(|part| *part == "super").count();
    let leads_on = path.get(up).is_some_and(|part| part == "super");
    path.splice(..up, (up > 0 && !leads_on).then(|| "self".to_owned()));
    path
}

/// Whether a name is used here that is no part of a path: a type, or a function that is called.
fn stands_alone(words: &[String], at: usize) -> bool {
    const OTHERS: [&str; 9] = ["::", ".", "fn", "mod", "struct", "enum", "trait", "type", "macro_rules"];
    let before = at.checked_sub(1).map_or("", |before| words[before].as_str());
    let called = words.get(at + 1).is_some_and(|next| next == "(");
    (called || words[at].starts_with(char::is_uppercase)) && !OTHERS.contains(&before)
}

/// Whether the words end in `pub(...)`.
fn follows_pub(words: &[String]) -> bool {
    let open = words.iter().rposition(|word| word == "(");
    open.is_some_and(|open| open > 0 && words[open - 1] == "pub")
}

/// The path that begins here: names with `::` between them.
fn path(words: &[String], at: usize) -> Option<Vec<String>> {
    let is_name = |word: &String| word.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let follows = at > 0 && words[at - 1] == "::";
    if follows || !is_name(&words[at]) || words.get(at + 1).is_none_or(|next| next != "::") {
        return None;
    }
    let mut path = vec![words[at].clone()];
    let mut next = at + 1;
    while words.get(next).is_some_and(|word| word == "::") && words.get(next + 1).is_some_and(is_name) {
        path.push(words[next + 1].clone());
        next += 2;
    }
    (path.len() > 1).then_some(path)
}

/// The leaves of a `use` tree: the name that each brings, and its path.
fn tree(words: &[String], before: &[String], leaves: &mut Vec<(String, Vec<String>)>) {
    let mut path = before.to_vec();
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "::" => {}
            "{" => {
                let inside = &words[at + 1..words.len().saturating_sub(1)];
                branches(inside).into_iter().for_each(|branch| tree(branch, &path, leaves));
                return;
            }
            "as" => {
                let name = words.get(at + 1).cloned().unwrap_or_default();
                leaves.push((name, path));
                return;
            }
            "self" if !path.is_empty() => {}
            _ => path.push(word.clone()),
        }
    }
    if let Some(name) = path.last().cloned() {
        leaves.push((name, path));
    }
}

/// The parts of a braced list, cut at its own commas.
fn branches(words: &[String]) -> Vec<&[String]> {
    let mut depth = 0;
    words
        .split(|word| {
            match word.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            word == "," && depth == 0
        })
        .filter(|branch| !branch.is_empty())
        .collect()
}
