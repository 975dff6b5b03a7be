//! Several mutants of a file at once: the text in which each is there and switched off.

use std::ops::Range;

/// A mutant's number, and what stands there when it is switched on.
#[derive(Clone, Debug)]
pub struct Choice {
    /// From 1.
    pub id: u32,
    /// Text of Rust.
    pub text: String,
}

/// What becomes of a place in a file. Ranges are in bytes.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Before the first statement of a function.
    Body { at: usize, choices: Vec<Choice> },
    /// An expression that others may stand for.
    Whole { range: Range<usize>, choices: Vec<Choice> },
    /// An operator before an operand, which may be missing.
    Unary { range: Range<usize>, operand: Range<usize>, id: u32 },
    /// Other operators between two operands.
    Binary { range: Range<usize>, left: Range<usize>, operator: String, right: Range<usize>, choices: Vec<Choice> },
    /// Behind the pattern of an arm without a condition, which may be missing.
    Arm { at: usize, id: u32 },
}

impl Edit {
    fn range(&self) -> Range<usize> {
        match self {
            Edit::Body { at, .. } | Edit::Arm { at, .. } => *at..*at,
            Edit::Whole { range, .. } | Edit::Unary { range, .. } | Edit::Binary { range, .. } => range.clone(),
        }
    }

    /// The order in which they stand in a file: what is put between comes first, then what holds others before what it holds.
    fn order(&self) -> (usize, bool, std::cmp::Reverse<usize>, bool) {
        let range = self.range();
        let is_between = range.is_empty();
        (range.start, !is_between, std::cmp::Reverse(range.end), !matches!(self, Edit::Whole { .. }))
    }
}

/// The file with all of these edits.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(Edit::order);
    render(text, 0..text.len(), &edits)
}

/// A part of the file with the edits that lie in it.
fn render(text: &str, range: Range<usize>, edits: &[Edit]) -> String {
    let mut written = String::new();
    let mut at = range.start;
    let mut rest = edits;
    while let Some((edit, others)) = rest.split_first() {
        let own = edit.range();
        written.push_str(&text[at..own.start]);
        let held = others.iter().take_while(|other| !own.is_empty() && other.range().start < own.end).count();
        let (inside, after) = others.split_at(held);
        written.push_str(&edit.text(&|part: &Range<usize>| {
            let of_part: Vec<Edit> = inside.iter().filter(|edit| lies_in(&edit.range(), part)).cloned().collect();
            render(text, part.clone(), &of_part)
        }));
        at = own.end;
        rest = after;
    }
    written.push_str(&text[at..range.end]);
    written
}

fn lies_in(range: &Range<usize>, part: &Range<usize>) -> bool {
    part.start <= range.start && range.end <= part.end
}

impl Edit {
    /// What is written for it; `part` writes a part of what was there.
    fn text(&self, part: &dyn Fn(&Range<usize>) -> String) -> String {
        match self {
            Edit::Body { choices, .. } => {
                choices.iter().map(|Choice { id, text }| format!("if {} {{ return {text}; }}\n", is(*id))).collect()
            }
            Edit::Whole { range, choices } => chosen(choices, |choice| format!("({})", choice.text), part(range)),
            Edit::Unary { range, operand, id } => {
                format!("(if {} {{ {} }} else {{ {} }})", is(*id), part(operand), part_of(range, operand, part))
            }
            Edit::Binary { left, operator, right, choices, .. } => {
                let (left, right) = (part(left), part(right));
                if matches!(operator.as_str(), "&&" | "||") {
                    // Chains of these would double their text with each link.
                    let each = chosen(
                        choices,
                        |choice| format!("left {} {right}", choice.text),
                        format!("left {operator} {right}"),
                    );
                    return format!("({{ let left = {left}; {each} }})");
                }
                let with = |operator: &str| format!("{left} {operator} {right}");
                chosen(choices, |choice| with(&choice.text), with(operator))
            }
            Edit::Arm { id, .. } => format!(" if !{}", is(*id)),
        }
    }
}

/// The operator, what is between, and its operand.
fn part_of(range: &Range<usize>, operand: &Range<usize>, part: &dyn Fn(&Range<usize>) -> String) -> String {
    format!("{}{}", part(&(range.start..operand.start)), part(operand))
}

fn chosen(choices: &[Choice], text: impl Fn(&Choice) -> String, otherwise: String) -> String {
    let each: String =
        choices.iter().map(|choice| format!("if {} {{ {} }} else ", is(choice.id), text(choice))).collect();
    format!("({each}{{ {otherwise} }})")
}

/// The question whether a mutant is switched on.
fn is(id: u32) -> String {
    format!("crate::mutant::is({id})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(id: u32, text: &str) -> Choice {
        Choice { id, text: text.to_owned() }
    }

    #[test]
    fn edits_hold_each_other() {
        let text = "fn f() -> bool { !a && b }";
        let edits = vec![
            Edit::Binary {
                range: 17..24,
                left: 17..19,
                operator: "&&".to_owned(),
                right: 23..24,
                choices: vec![choice(2, "||")],
            },
            Edit::Unary { range: 17..19, operand: 18..19, id: 3 },
            Edit::Body { at: 17, choices: vec![choice(1, "true")] },
        ];
        let unary = "(if crate::mutant::is(3) { a } else { !a })";
        assert_eq!(
            apply(text, edits),
            format!(
                "fn f() -> bool {{ if crate::mutant::is(1) {{ return true; }}\n({{ let left = {unary}; \
                 (if crate::mutant::is(2) {{ left || b }} else {{ left && b }}) }}) }}"
            )
        );
    }
}
