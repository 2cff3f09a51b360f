//! Text for people, or one JSON object: how a command answers.

/// How a command shows what it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Human,
    /// One JSON object on stdout.
    Json,
}

impl Format {
    pub fn from_flag(json: bool) -> Self {
        if json { Self::Json } else { Self::Human }
    }

    /// What the words of the command line ask for, before anything else is made of them.
    pub fn asked_for() -> Self {
        Self::from_flag(std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json"))
    }
}
