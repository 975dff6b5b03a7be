//! Where the mutants of a file stand in its syntax.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use crate::edit::{Choice, Edit};
use crate::list::{At, Genre, Mutant};

/// The edits for these mutants of one file, and the numbers of those for which there is none.
pub fn edits(text: &str, mutants: &[(u32, &Mutant)]) -> Result<(Vec<Edit>, Vec<u32>)> {
    let lines = Lines::of(text);
    let file = syn::parse_file(text).context("is not Rust")?;
    let mut places = Places::new(&lines);
    places.visit_file(&file);
    let mut found: BTreeMap<(usize, usize, u8), Edit> = BTreeMap::new();
    let mut without = Vec::new();
    for (id, mutant) in mutants {
        match places.edit(&lines.range(mutant), mutant, *id) {
            Some(edit) => join(&mut found, edit),
            None => without.push(*id),
        }
    }
    Ok((found.into_values().collect(), without))
}

/// Puts an edit beside those of the same place.
fn join(found: &mut BTreeMap<(usize, usize, u8), Edit>, edit: Edit) {
    let key = match &edit {
        Edit::Body { at, .. } => (*at, *at, 0),
        Edit::Arm { at, .. } => (*at, *at, 1),
        Edit::Whole { range, .. } => (range.start, range.end, 2),
        Edit::Unary { range, .. } => (range.start, range.end, 3),
        Edit::Binary { range, .. } => (range.start, range.end, 4),
    };
    match (found.get_mut(&key), edit) {
        (Some(Edit::Body { choices, .. }), Edit::Body { choices: more, .. })
        | (Some(Edit::Whole { choices, .. }), Edit::Whole { choices: more, .. })
        | (Some(Edit::Binary { choices, .. }), Edit::Binary { choices: more, .. }) => choices.extend(more),
        (_, edit) => {
            found.insert(key, edit);
        }
    }
}

/// Where each line of a text begins.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The byte of a line and column, both in characters and the line from 1.
    fn byte(&self, line: usize, column: usize) -> usize {
        let start = self.starts[line - 1];
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    fn at(&self, at: At) -> usize {
        self.byte(at.line, at.column - 1)
    }

    fn range(&self, mutant: &Mutant) -> Range<usize> {
        self.at(mutant.span.start)..self.at(mutant.span.end)
    }

    fn of_span(&self, span: Span) -> Range<usize> {
        let byte = |LineColumn { line, column }| self.byte(line, column);
        byte(span.start())..byte(span.end())
    }
}

/// What the syntax says of places, by where they begin.
struct Places<'a> {
    lines: &'a Lines<'a>,
    /// By the operator: whole, left, right.
    binary: BTreeMap<usize, [Range<usize>; 3]>,
    /// By the operator: whole, operand.
    unary: BTreeMap<usize, [Range<usize>; 2]>,
    /// By the arm: the pattern, and the condition. Only of matches that go on without it.
    arms: BTreeMap<usize, (Range<usize>, Option<Range<usize>>)>,
}

impl<'a> Places<'a> {
    fn new(lines: &'a Lines<'a>) -> Self {
        Self { lines, binary: BTreeMap::new(), unary: BTreeMap::new(), arms: BTreeMap::new() }
    }

    fn edit(&self, range: &Range<usize>, mutant: &Mutant, id: u32) -> Option<Edit> {
        let choice = |text: &str| vec![Choice { id, text: text.to_owned() }];
        match mutant.genre {
            Genre::FnValue => Some(Edit::Body { at: range.start, choices: choice(&mutant.replacement) }),
            Genre::MatchArmGuard => Some(Edit::Whole { range: range.clone(), choices: choice(&mutant.replacement) }),
            Genre::UnaryOperator => {
                let [range, operand] = self.unary.get(&range.start)?.clone();
                Some(Edit::Unary { range, operand, id })
            }
            Genre::BinaryOperator => {
                let operator = self.lines.text[range.clone()].to_owned();
                let [range, left, right] = self.binary.get(&range.start)?.clone();
                Some(Edit::Binary { range, left, operator, right, choices: choice(&mutant.replacement) })
            }
            Genre::MatchArm => {
                let (pattern, guard) = self.arms.get(&range.start)?.clone();
                Some(match guard {
                    Some(range) => Edit::Whole { range, choices: choice("false") },
                    None => Edit::Arm { at: pattern.end, id },
                })
            }
            Genre::StructField => None,
        }
    }
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let [whole, left, right] =
            [node.span(), node.left.span(), node.right.span()].map(|span| self.lines.of_span(span));
        self.binary.insert(self.lines.of_span(node.op.span()).start, [whole, left, right]);
        syn::visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let [whole, operand] = [node.span(), node.expr.span()].map(|span| self.lines.of_span(span));
        self.unary.insert(whole.start, [whole, operand]);
        syn::visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        let takes_all = node.arms.iter().any(|arm| arm.guard.is_none() && is_wildcard(&arm.pat));
        for arm in node.arms.iter().filter(|arm| takes_all && !is_wildcard(&arm.pat)) {
            let pattern = self.lines.of_span(arm.pat.span());
            let guard = arm.guard.as_ref().map(|(_, condition)| self.lines.of_span(condition.span()));
            self.arms.insert(self.lines.of_span(arm.span()).start, (pattern, guard));
        }
        syn::visit::visit_expr_match(self, node);
    }
}

/// Whether a pattern takes whatever comes.
fn is_wildcard(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => {
            name.subpat.is_none() && name.ident.to_string().starts_with(|first: char| first.is_lowercase())
        }
        _ => false,
    }
}
