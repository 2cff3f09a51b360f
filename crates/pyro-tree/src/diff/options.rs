//! How changes are shown. Pure data.

/// What is shown of each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// A patch.
    #[default]
    Patch,
    /// The number of changed lines.
    Stat,
    /// The names.
    NameOnly,
    /// The names, and a letter for what was done.
    NameStatus,
}

/// What a patch has of binary files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binary {
    /// That they differ.
    #[default]
    Named,
    /// Their contents, so that the patch can be applied.
    Whole,
}

/// Whether the text is coloured for a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// It is not.
    #[default]
    Never,
    /// It is.
    Always,
}

/// How changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is shown.
    pub form: Form,
    /// What a patch has of binary files.
    pub binary: Binary,
    /// Whether it is coloured.
    pub color: Color,
    /// Digits of an object's name at least: Git's `core.abbrev`, 4 to 40.
    pub abbreviation: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { form: Form::default(), binary: Binary::default(), color: Color::default(), abbreviation: 7 }
    }
}
