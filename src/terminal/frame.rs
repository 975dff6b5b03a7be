//! What one look of several has to show (`--watch`).

use crate::host::text::escaped;
use crate::terminal::document::is_time;

/// What one look of several has to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// The report.
    pub(super) shown: Vec<u8>,
    /// Talk.
    pub(super) said: Vec<String>,
}

impl Frame {
    /// Adds a line of talk.
    pub(crate) fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }

    /// Whether it shows the same, whenever it was made.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        fn lines(frame: &Frame) -> impl Iterator<Item = &[u8]> {
            frame.shown.split(|byte| *byte == b'\n').filter(|line| !is_time(line))
        }
        self.said == other.said && lines(self).eq(lines(other))
    }
}

/// A frame as it is drawn: at the top of the screen, what does not fit counted in a last line. Long lines end at the edge, as
/// the terminal does not wrap them meanwhile (DECAWM); all else is as it was when the text ends, whatever ends the program.
pub(super) fn on_screen(frame: &Frame, height: usize, is_first: bool) -> Vec<u8> {
    const HOME: &[u8] = b"\x1b[H";
    const CLEAR_ALL: &[u8] = b"\x1b[2J";
    const CLEAR_REST: &[u8] = b"\x1b[J";
    const CLEAR_END: &[u8] = b"\x1b[K";
    let said: Vec<String> = frame.said.iter().map(|line| format!("pcictl: {}", escaped(line))).collect();
    let shown = frame.shown.split(|byte| *byte == b'\n');
    let shown = shown.take(frame.shown.iter().filter(|byte| **byte == b'\n').count());
    let mut lines: Vec<Vec<u8>> = shown.map(<[u8]>::to_vec).collect();
    lines.extend(said.into_iter().map(String::into_bytes));
    let room = height.saturating_sub(1).max(2);
    if lines.len() > room {
        let more = lines.len() - (room - 1);
        lines.truncate(room - 1);
        lines.push(format!("and {more} more lines").into_bytes());
    }
    let mut text = [if is_first { CLEAR_ALL } else { b"" }, HOME, b"\x1b[?7l"].concat();
    for line in lines {
        text.extend_from_slice(&line);
        text.extend_from_slice(CLEAR_END);
        text.push(b'\n');
    }
    text.extend_from_slice(CLEAR_REST);
    text.extend_from_slice(b"\x1b[?7h");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen_and_leaves_the_terminal_as_it_was() {
        let frame = Frame { shown: b"a\nb\nc\nd\n".to_vec(), said: vec!["hint".to_owned()] };
        let text = |height, is_first| String::from_utf8(on_screen(&frame, height, is_first)).unwrap();
        let (long, short) = (text(24, true), text(4, false));
        assert!(long.starts_with("\x1b[2J\x1b[H") && long.contains("d\x1b[K\npcictl: hint\x1b[K\n"), "{long:?}");
        assert_eq!((short.matches('\n').count(), short.contains("and 3 more lines")), (3, true), "{short:?}");
        for text in [long, short] {
            assert!(text.contains("\x1b[?7l") && text.ends_with("\x1b[?7h"), "{text:?}");
        }
    }
}
