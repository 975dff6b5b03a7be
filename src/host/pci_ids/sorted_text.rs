//! A text like pci.ids, of which only those pieces are read that a search needs.
//!
//! Sections begin at the margin and are in order: vendors, then classes. One may be a quarter of the file (Intel's is), so
//! a search does not halve the text and read on to the next section, but looks into single pieces until one has the
//! beginning of a section in it, and reads on only where none has.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::host::root::Root;

/// How much is read in one call by a look into the text.
pub(super) const PIECE: usize = 4 * 1024;

/// How much is read in one call where all is read up to something: a whole number of pieces.
const STRETCH: usize = 8 * PIECE;

/// A file larger than this is not the one that we know.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A vendor's four digits, or the letter C and a class's two, and the blanks between these and the name.
pub(super) const HEAD: usize = 6;

/// A line at the margin and all that belongs to it; the file has vendors first, then classes, each in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Section {
    Vendor(u16),
    Class(u8),
    /// Something else: all there is after the classes.
    Other,
}

/// The text, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct SortedText {
    file: Option<File>,
    bytes: Vec<u8>,
    pub(super) is_read: Vec<bool>,
    /// Where sections begin that were looked for, and end, if that was asked for.
    sections: HashMap<Section, Option<(usize, Option<usize>)>>,
    /// Where the first section begins in each piece; none for one that was not looked at.
    firsts: Vec<Option<Option<usize>>>,
}

impl SortedText {
    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { is_read: vec![true; bytes.len().div_ceil(PIECE)], ..Self::unread(None, bytes) }
    }

    pub(super) fn open(root: &Root, path: &str) -> Option<Self> {
        // Without the file, or with one that is no file, names are absent.
        let file = root.file(path).ok()??;
        let length = file.metadata().ok().filter(|metadata| metadata.len() <= LARGEST)?.len();
        // Memory that was never written to costs nothing: the holes stay holes.
        let bytes = vec![0; length as usize];
        Some(Self::unread(Some(file), bytes))
    }

    fn unread(file: Option<File>, bytes: Vec<u8>) -> Self {
        let pieces = bytes.len().div_ceil(PIECE);
        Self { file, bytes, is_read: vec![false; pieces], sections: HashMap::new(), firsts: vec![None; pieces] }
    }

    /// This part of the text, as far as there is any.
    pub(super) fn slice(&mut self, range: Range<usize>) -> &[u8] {
        let range = range.start..range.end.min(self.bytes.len());
        self.need(range.start / PIECE..range.end.div_ceil(PIECE));
        &self.bytes[range]
    }

    /// Reads what is missing of these pieces, in one call.
    fn need(&mut self, pieces: Range<usize>) {
        let is_read = &self.is_read[pieces.clone()];
        let Some(first) = is_read.iter().position(|is_read| !is_read) else { return };
        let last = is_read.iter().rposition(|is_read| !is_read).unwrap_or(first);
        let pieces = pieces.start + first..pieces.start + last + 1;
        self.is_read[pieces.clone()].fill(true);
        let range = pieces.start * PIECE..(pieces.end * PIECE).min(self.bytes.len());
        if let Some(file) = &self.file {
            // A piece that cannot be read has no names in it.
            let _ = file.read_exact_at(&mut self.bytes[range.clone()], range.start as u64);
        }
    }

    /// Where a section begins.
    pub(super) fn start_of(&mut self, wanted: Section) -> Option<usize> {
        if let Some(known) = self.sections.get(&wanted) {
            return known.map(|(start, _)| start);
        }
        let found = self.find(wanted);
        self.sections.insert(wanted, found.map(|start| (start, None)));
        found
    }

    /// A whole section. Where it ends is found by reading it.
    pub(super) fn section(&mut self, wanted: Section) -> Option<Range<usize>> {
        let start = self.start_of(wanted)?;
        if let Some(Some((_, Some(end)))) = self.sections.get(&wanted) {
            return Some(start..*end);
        }
        let end = self.next_section(start + 1..self.bytes.len()).unwrap_or(self.bytes.len());
        self.sections.insert(wanted, Some((start, Some(end))));
        Some(start..end)
    }

    fn find(&mut self, wanted: Section) -> Option<usize> {
        let (mut low, mut high) = (0, self.bytes.len());
        while high - low > PIECE {
            let Some(start) = self.section_between(low, high) else {
                high = low.midpoint(high);
                continue;
            };
            match self.section_at(start).cmp(&wanted) {
                Ordering::Less => low = start,
                Ordering::Equal => return Some(start),
                Ordering::Greater => high = start,
            }
        }
        let mut start = self.next_section(low..self.bytes.len())?;
        while self.section_at(start) < wanted {
            start = self.next_section(start + 1..self.bytes.len())?;
        }
        (self.section_at(start) == wanted).then_some(start)
    }

    /// Where some section begins between these places, as near to the middle as a few looks find one; else one near an end;
    /// else the first in the upper half, and if there is none, what is looked for begins in the lower half.
    fn section_between(&mut self, low: usize, high: usize) -> Option<usize> {
        /// The last looks are this many times halved away from the ends.
        const LOOKS: u32 = 7;
        let length = high - low;
        let places = (1..=LOOKS).map(|look| length >> look).flat_map(|part| [low + part, high - part]);
        let mut starts = places.filter_map(|place| self.first_in(place / PIECE));
        let found = starts.find(|start| low < *start && *start < high);
        let edge = (length >> (LOOKS - 1)).max(PIECE);
        found
            .or_else(|| self.next_section(low + 1..low + edge))
            .or_else(|| self.next_section(high - edge..high))
            .or_else(|| self.next_section(low.midpoint(high)..high))
    }

    /// Where the first section begins in a piece, as far as that piece alone tells.
    fn first_in(&mut self, piece: usize) -> Option<usize> {
        if let Some(Some(known)) = self.firsts.get(piece) {
            return *known;
        }
        let from = piece * PIECE;
        let text = self.slice(from..from + PIECE);
        let is_section = |start: &usize| text.len() >= start + HEAD && is_margin(text[*start]);
        let starts = memchr::memchr_iter(b'\n', text).map(|newline| newline + 1);
        let found = starts.filter(is_section).map(|start| from + start).next();
        self.firsts[piece] = Some(found);
        found
    }

    /// The part of a vendor's section in which this device's line and its subsystems must be: devices are in order, too, and
    /// some vendors have thousands. From the end of a line to the end of another, or of the section.
    pub(super) fn part(&mut self, section: Range<usize>, device: u16) -> Range<usize> {
        let (mut low, mut high) = (section.start, section.end);
        while high - low > PIECE {
            let middle = low.midpoint(high);
            match self.next_device(middle, high) {
                Some((newline, number)) if number <= device => low = newline,
                _ => high = middle,
            }
        }
        // What begins before `high` ends where the next one begins.
        let end = self.next_device(high, section.end).map_or(section.end, |(newline, _)| newline);
        low..end
    }

    /// The first line of a device that begins between these places: the end of the line before, and its number.
    fn next_device(&mut self, from: usize, to: usize) -> Option<(usize, u16)> {
        self.next_line(from..to, PIECE, |start| {
            let digits = start.get(..5)?.strip_prefix(b"\t")?;
            u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        })
    }

    /// Where the first line begins in this range that is neither an entry of a section, a comment, nor empty.
    fn next_section(&mut self, range: Range<usize>) -> Option<usize> {
        if range.start == 0 && self.slice(0..1).first().is_some_and(|byte| is_margin(*byte)) {
            return Some(0);
        }
        let is_section = |start: &[u8]| start.first().filter(|byte| is_margin(**byte)).copied();
        // A line begins after the end of another.
        let ends = range.start.saturating_sub(1)..range.end.saturating_sub(1);
        let (newline, _) = self.next_line(ends, STRETCH, is_section)?;
        Some(newline + 1)
    }

    /// The first end of a line in this range after which a line begins that `wanted` wants by its first bytes, and what it
    /// makes of them. The text is read no further than the step in which that is.
    fn next_line<T>(
        &mut self,
        range: Range<usize>,
        step: usize,
        wanted: impl Fn(&[u8]) -> Option<T>,
    ) -> Option<(usize, T)> {
        /// A tab and a number.
        const START: usize = 5;
        let mut at = range.start;
        while at < range.end {
            let end = ((at / step + 1) * step).min(range.end);
            // What follows a newline that ends the step is seen, too.
            let text = self.slice(at..end + START);
            let newlines = memchr::memchr_iter(b'\n', text).take_while(|newline| at + newline < end);
            let start = |newline: usize| &text[newline + 1..text.len().min(newline + 1 + START)];
            let mut found = newlines.filter_map(|newline| Some((at + newline, wanted(start(newline))?)));
            if let Some(found) = found.next() {
                return Some(found);
            }
            at = end;
        }
        None
    }

    fn section_at(&mut self, start: usize) -> Section {
        let head = self.slice(start..start + HEAD);
        let number = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match head {
            [b'C', b' ', class @ .., b' ', b' '] => {
                number(class).map_or(Section::Other, |class| Section::Class(class as u8))
            }
            [vendor @ .., b' ', b' '] => number(vendor).map_or(Section::Other, Section::Vendor),
            _ => Section::Other,
        }
    }
}

/// Whether a line that begins with this byte begins a section.
fn is_margin(first: u8) -> bool {
    !matches!(first, b'\t' | b'#' | b'\n' | b'\r')
}
