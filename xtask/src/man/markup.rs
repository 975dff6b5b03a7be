//! Roff for the text of a page.
//!
//! ```text
//! A paragraph, filled. A line that ends a sentence ends a line of the page's source, too.
//!
//! ## A subsection
//!
//! - an item of a list
//! 1. a numbered one,
//!    which goes on
//!
//! term
//! : what it means
//!
//!     four blanks: as it stands
//! ```
//!
//! `` `literal` `` is bold, or italic if it is a path; `<NAME>` is italic; a reference to a page, `pcictl(8)`, has its name
//! in bold.

/// As mandoc wants it.
const WIDTH: usize = 78;

/// The text of a page as it grows.
#[derive(Default)]
pub(crate) struct Roff(String);

impl Roff {
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", escaped(title)));
    }

    pub(crate) fn subsection(&mut self, title: &str) {
        self.line(&format!(".SS {}", escaped(title)));
    }

    /// A tagged paragraph.
    pub(crate) fn tagged(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(term);
        self.filled(meaning);
    }

    /// Written text at the start of a section.
    pub(crate) fn text(&mut self, text: &str) {
        self.more_text(text, false);
    }

    /// Written text that may have other text before it in the section.
    pub(crate) fn more_text(&mut self, text: &str, mut is_after_text: bool) {
        for block in blocks(text) {
            is_after_text = self.block(&block, is_after_text);
        }
    }

    /// One block; returns whether another paragraph needs to be kept apart from it.
    fn block(&mut self, lines: &[&str], is_after_text: bool) -> bool {
        let first = lines.first().copied().unwrap_or_default();
        if let Some(title) = first.strip_prefix("## ") {
            self.subsection(title);
            return lines.len() > 1 && self.block(&lines[1..], false);
        }
        if first.starts_with("    ") {
            self.example(lines, is_after_text);
        } else if item(first).is_some() {
            self.list(lines);
        } else if lines.get(1).is_some_and(|line| line.starts_with(": ")) {
            self.definitions(lines);
        } else {
            self.paragraph(lines, is_after_text);
        }
        true
    }

    fn paragraph(&mut self, lines: &[&str], is_after_text: bool) {
        if is_after_text {
            self.line(".PP");
        }
        lines.iter().for_each(|line| self.filled(line));
    }

    fn example(&mut self, lines: &[&str], is_after_text: bool) {
        if is_after_text {
            self.line(".PP");
        }
        self.line(".RS 4");
        self.line(".EX");
        for line in lines {
            let line = line.strip_prefix("    ").unwrap_or(line);
            self.line(&escaped(line));
        }
        self.line(".EE");
        // groff hyphenates again after it.
        self.line(".nh");
        self.line(".RE");
    }

    fn list(&mut self, lines: &[&str]) {
        for line in lines {
            match item(line) {
                Some((mark, text)) => {
                    let mark = if mark == "-" { "\\(bu" } else { mark };
                    self.line(&format!(".IP {mark} 4"));
                    self.filled(text);
                }
                None => self.filled(line),
            }
        }
    }

    fn definitions(&mut self, lines: &[&str]) {
        for (index, line) in lines.iter().enumerate() {
            if lines.get(index + 1).is_some_and(|next| next.starts_with(": ")) {
                self.line(".TP");
                self.line(&marked(line));
            } else {
                self.filled(line.strip_prefix(": ").unwrap_or(line));
            }
        }
    }

    /// A text that is filled: its line breaks are those of the source, and others where a line would be too long.
    pub(crate) fn filled(&mut self, line: &str) {
        self.filled_roff(&marked(line));
    }

    /// The same for what is roff already.
    pub(crate) fn filled_roff(&mut self, line: &str) {
        let mut row = String::new();
        for word in line.split_whitespace() {
            if !row.is_empty() && row.len() + 1 + word.len() > WIDTH {
                self.row(&std::mem::take(&mut row));
            }
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
        self.row(&row);
    }

    fn row(&mut self, row: &str) {
        if !row.is_empty() {
            // At the start of a line a dot would be a request.
            self.line(&if row.starts_with('.') { format!("\\&{row}") } else { row.to_owned() });
        }
    }
}

/// What blank lines part. One in the middle of an example belongs to it.
fn blocks(text: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut is_open = false;
    let mut blank_lines = 0;
    for line in text.lines() {
        if line.trim().is_empty() {
            is_open = false;
            blank_lines += 1;
            continue;
        }
        let is_example = |line: &str| line.starts_with("    ");
        match blocks.last_mut() {
            Some(block) if is_open => block.push(line),
            Some(block) if is_example(line) && block.iter().all(|line| line.is_empty() || is_example(line)) => {
                block.extend(std::iter::repeat_n("", blank_lines));
                block.push(line);
            }
            _ => blocks.push(vec![line]),
        }
        (is_open, blank_lines) = (true, 0);
    }
    blocks
}

/// The mark and the text of an item of a list.
fn item(line: &str) -> Option<(&str, &str)> {
    let (mark, text) = line.split_once(' ')?;
    let is_number = mark.strip_suffix('.').is_some_and(|digits| digits.parse::<u8>().is_ok());
    (mark == "-" || is_number).then_some((mark, text))
}

/// Bold and italics for a line of written text.
fn marked(line: &str) -> String {
    let mut text = String::new();
    for (index, piece) in line.split('`').enumerate() {
        if index % 2 == 0 {
            text.push_str(&references(&italics(piece, "R")));
        } else if piece.starts_with('/') && !piece.contains(' ') {
            text.push_str(&format!("\\fI{}\\fR", escaped(piece)));
        } else {
            text.push_str(&format!("\\fB{}\\fR", italics(piece, "B")));
        }
    }
    text
}

/// What stands in angle brackets, if it is a name, in italics; then on in another font.
fn italics(text: &str, font: &str) -> String {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
    let mut marked = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        marked.push_str(&escaped(before));
        rest = match after.split_once('>').filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                marked.push_str(&format!("\\fI{}\\f{font}", escaped(name)));
                after
            }
            None => {
                marked.push('<');
                after
            }
        };
    }
    marked + &escaped(rest)
}

/// The names of pages in bold.
fn references(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let reference = word.split_once('(').filter(|(name, end)| {
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
            is_name && end.as_bytes().first().is_some_and(u8::is_ascii_digit) && end.as_bytes().get(1) == Some(&b')')
        });
        reference.map_or_else(|| word.to_owned(), |(name, end)| format!("\\fB{name}\\fR({end}"))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A text in which roff finds nothing to do, but for a dot at the start of a line.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('^', "\\(ha");
    text.replace('~', "\\(ti").replace('`', "\\(ga")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roff(text: &str) -> String {
        let mut page = Roff::default();
        page.text(text);
        page.into_text()
    }

    #[test]
    fn marks_become_fonts() {
        assert_eq!(
            roff("See pcictl(8), `--wait <TIME>`."),
            "See \\fBpcictl\\fR(8), \\fB\\-\\-wait \\fITIME\\fB\\fR.\n"
        );
        assert_eq!(roff("`/etc/x` a <b>"), "\\fI/etc/x\\fR a <b>\n");
        assert_eq!(roff(".conf"), "\\&.conf\n");
    }

    #[test]
    fn blocks_become_requests() {
        assert_eq!(roff("a\n\nb"), "a\n.PP\nb\n");
        assert_eq!(roff("- a\n  b\n- c"), ".IP \\(bu 4\na\nb\n.IP \\(bu 4\nc\n");
        assert_eq!(roff("1. a\n2. c"), ".IP 1. 4\na\n.IP 2. 4\nc\n");
        assert_eq!(roff("x\n: a\n  b\ny\n: c"), ".TP\nx\na\nb\n.TP\ny\nc\n");
        assert_eq!(roff("## x\na\n\nb"), ".SS x\na\n.PP\nb\n");
        assert_eq!(roff("## x\n- a"), ".SS x\n.IP \\(bu 4\na\n");
        assert_eq!(roff("    a\n\n      b\n\nc"), ".RS 4\n.EX\na\n\n  b\n.EE\n.nh\n.RE\n.PP\nc\n");
    }
}
