//! The one escaper of control characters, for text that goes to people; and what counts as a number.
//!
//! Others choose the names of processes, mounts, interfaces and devices, and a terminal acts on what is in them. Reports
//! and messages pass through here at the moment they are put together for people; JSON has an escape of its own.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// The text without anything that a terminal acts on or that hides what follows: control characters (a line feed, too)
/// and the marks that change the direction of text appear as `\\x1b` or `\\u{202e}`.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        let code = u32::from(character);
        // Writing to a string cannot fail.
        let _ = match character {
            '\n' => escaped.write_str("\\n"),
            '\t' => escaped.write_str("\\t"),
            _ if !is_hostile(character) => escaped.write_char(character),
            _ if code < 0x100 => write!(escaped, "\\x{code:02x}"),
            _ => write!(escaped, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(escaped)
}

/// Whether a text is decimal digits and nothing else, as in the names that the kernel numbers.
pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// As much of a text as has this many bytes at most, and whole characters.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The order in which people put names: numbers in them by their value, `nvme2n1` before `nvme10n1`.
pub(crate) fn compare_naturally(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (mut a, mut b) = (a, b);
    loop {
        let (digits_a, digits_b) = (number(a), number(b));
        let order = if digits_a > 0 && digits_b > 0 {
            let (x, y) = (a[..digits_a].trim_start_matches('0'), b[..digits_b].trim_start_matches('0'));
            (a, b) = (&a[digits_a..], &b[digits_b..]);
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            let (mut rest_a, mut rest_b) = (a.chars(), b.chars());
            let (x, y) = (rest_a.next(), rest_b.next());
            (a, b) = (rest_a.as_str(), rest_b.as_str());
            if (x, y) == (None, None) {
                return Ordering::Equal;
            }
            x.cmp(&y)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Control characters, line and paragraph separators, and Unicode's explicit directional formatting.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["nvme10n1", "nvme2n1", "eth", "eth0", "nvme2n01", "16GT/s x4", "8GT/s x16", ""];
        names.sort_by(|a, b| compare_naturally(a, b));
        assert_eq!(names, ["", "8GT/s x16", "16GT/s x4", "eth", "eth0", "nvme2n1", "nvme2n01", "nvme10n1"]);
    }

    #[test]
    fn nothing_reaches_a_terminal_that_it_acts_on() {
        assert_eq!(escaped("Intel Corporation"), "Intel Corporation");
        assert_eq!(escaped("Gerät"), "Gerät");
        assert_eq!(escaped("a\u{1b}[31mb\nc\td\u{9b}e\u{202e}f\u{7f}"), "a\\x1b[31mb\\nc\\td\\x9be\\u{202e}f\\x7f");
    }
}
