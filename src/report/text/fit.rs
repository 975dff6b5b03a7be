//! Text on a terminal: how wide it is there, how it is cut, and whether it may have more than ASCII.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How many columns of a terminal a text takes.
pub(crate) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The text in at most so many columns; where it is longer, its end is replaced by dots.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let dots = if is_utf8() { "\u{2026}" } else { "..." };
    let room = most.saturating_sub(width(dots));
    let mut taken = 0;
    let end = text.char_indices().find_map(|(index, character)| {
        taken += character.width().unwrap_or(0);
        (taken > room).then_some(index)
    });
    let kept = text[..end.unwrap_or(text.len())].trim_end();
    Cow::Owned(dots.chars().take(most).fold(kept.to_owned(), |text, dot| text + dot.encode_utf8(&mut [0; 4])))
}

/// Whether the locale is UTF-8, in POSIX's order of precedence.
pub(crate) fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_what_a_terminal_shows() {
        assert_eq!((width("Gerät"), width("設備"), width("abc")), (5, 4, 3));
        let short = |text: &str, most: usize| (cut(text, most).into_owned(), width(&cut(text, most)) <= most);
        assert_eq!(short("abc", 3), ("abc".to_owned(), true));
        for most in 0..8 {
            assert!(short("abcdefghij", most).1 && short("設備設備設備", most).1, "{most}");
        }
        assert!(cut("Intel Corporation 82574L", 12).starts_with("Intel Cor"));
    }
}
