//! From a command's text to what is executed, and from words to a text.
//!
//! A command is a text for `/bin/sh -c`. Where a text is nothing but a program with plain words,
//! the program can be executed directly, with the same effect and without a shell in between; the
//! shell stays the second choice, so that "not found" sounds the way it always does.

/// Words the shell would not hand to a program of that name, or would treat specially.
const NOT_PROGRAMS: &[&str] = &[
    "!", ".", ":", "[[", "]]", "alias", "bg", "break", "case", "cd", "command", "continue", "coproc", "do", "done",
    "echo", "elif", "else", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function", "getopts",
    "hash", "if", "in", "jobs", "kill", "local", "printf", "pwd", "read", "readonly", "return", "select", "set",
    "shift", "test", "[", "then", "time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until",
    "wait", "while", "{", "}",
];

/// Joins words so that a POSIX shell takes them apart again into the same words.
#[must_use]
pub fn join<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Characters that mean themselves everywhere in a shell's word.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c)
}

/// The program and its arguments, when the text is nothing else: plain words and single quotes.
#[must_use]
pub fn direct(text: &str) -> Option<Vec<String>> {
    let words = split(text)?;
    let program = words.first()?;
    let unquoted_start = text.trim_start().starts_with(program.as_str());
    let is_program = unquoted_start && !program.contains('=') && !NOT_PROGRAMS.contains(&program.as_str());
    is_program.then_some(words)
}

fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match rest.next()? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            // Only as `join` writes it, between two quoted pieces.
            '\\' => match rest.next()? {
                '\'' => word.get_or_insert_default().push('\''),
                _ => return None,
            },
            c if is_plain(c) || c == '=' => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_keep_their_boundaries() {
        assert_eq!(join(["sh", "-lc", "echo \"a b\""]), "sh -lc 'echo \"a b\"'");
        assert_eq!(join(["printf", "it's", ""]), r"printf 'it'\''s' ''");
    }

    #[test]
    fn plain_commands_need_no_shell_and_others_do() {
        assert_eq!(direct("git --version").unwrap(), ["git", "--version"]);
        assert_eq!(direct("python3 -c 'print(1)'").unwrap(), ["python3", "-c", "print(1)"]);
        assert_eq!(direct("env A=1 sh").unwrap(), ["env", "A=1", "sh"]);
        for text in [
            "",
            "echo $HOME",
            "a | b",
            "a; b",
            "a && b",
            "a > b",
            "a *",
            "a ~",
            "a # b",
            "A=1 sh",
            "cd /",
            "exit 3",
            "'cd' /",
            "a \"b\"",
            "a\nb",
            "a `b`",
            "{ a",
            "if true",
            "a \\b",
            "'unended",
            "echo a",
            "printf x",
            "a &",
        ] {
            assert_eq!(direct(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_joined_is_taken_apart_again(words in proptest::collection::vec("\\PC*", 1..6)) {
            prop_assert_eq!(split(&join(&words)).unwrap(), words);
        }

        #[test]
        fn a_shell_agrees(words in proptest::collection::vec("[ -~]{0,12}", 1..5)) {
            let script = format!("printf '%s\\n' {}", join(&words));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let expected: String = words.iter().map(|word| format!("{word}\n")).collect();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
        }
    }
}
