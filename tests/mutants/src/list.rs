//! The mutants that `cargo mutants --list --json` names.

use serde::Deserialize;

/// One of them.
#[derive(Clone, Debug, Deserialize)]
pub struct Mutant {
    /// The file below the root of the repository.
    pub file: String,
    /// `src/lock/claims.rs:12:5: replace == with != in Claims::of`.
    pub name: String,
    /// What kind of change it is.
    pub genre: Genre,
    /// What stands there instead.
    pub replacement: String,
    /// What it stands for.
    pub span: Span,
}

impl Mutant {
    /// The name without line and column, which any change above moves.
    pub fn lasting_name(&self) -> String {
        let what = self.name.splitn(4, ':').nth(3).unwrap_or_default();
        format!("{}:{what}", self.file)
    }
}

/// The kinds of changes that cargo-mutants knows.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Genre {
    /// Another value for the body of a function.
    FnValue,
    /// Another operator between two operands.
    BinaryOperator,
    /// An operator before its operand is taken away.
    UnaryOperator,
    /// An arm of a match is taken away.
    MatchArm,
    /// Another condition at an arm.
    MatchArmGuard,
    /// A field of a struct expression is taken away.
    StructField,
}

/// A piece of a file.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Span {
    /// Where it begins.
    pub start: At,
    /// What comes behind it.
    pub end: At,
}

/// Line and column, in characters, from 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct At {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}
