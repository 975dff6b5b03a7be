//! When text is painted: for each stream by itself, as the operator and the environment say.

/// When to color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless the environment says otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[Self::Auto, Self::Always, Self::Never];

    /// The word that stands for it on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Auto => "On a terminal, unless NO_COLOR is set or TERM is dumb",
            Self::Always => "Always",
            Self::Never => "Never",
        }
    }

    /// Whether a stream gets color. An empty NO_COLOR counts as not set (no-color.org).
    pub(super) fn allows(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
            }
        }
    }
}

/// Whether the terminal is said to understand no escapes.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
