//! Makes other bytes of bytes: flips, splices, cuts, lines and words twice, numbers that fit nowhere, what is no text.

use crate::random::Random;

/// What means something to some parser, or fits into no number.
const WORDS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"1",
    b"255",
    b"256",
    b"65535",
    b"65536",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"340282366920938463463374607431768211456",
    b"0x",
    b"0xffffffffffffffff",
    b"ffffffff",
    b"nan",
    b"inf",
    b"-inf",
    b"1e308",
    b"1e999",
    b"-0",
    b"+1",
    b"1e-999",
    b"0.1",
    b"\0",
    b"\n",
    b"\n\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\\040",
    b"\\",
    b"=",
    b":",
    b";",
    b",",
    b"/",
    b"//",
    b".",
    b"..",
    b"../",
    b"*",
    b"?",
    b"[",
    b"]",
    b"[a-",
    b"{",
    b"}",
    b"{}",
    b"[]",
    b"\"",
    b"null",
    b"true",
    b"#",
    b"%",
    b"@",
    b"+",
    b"-",
    b" - ",
    b"(",
    b")",
    b") ",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbf\xbd",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"\x7f",
    b"\xc2\x9b",
    b"0000:00:00.0",
    b"ffffffff:ff:1f.7",
    b"0000:03:00.0",
    b"pci0000:00",
    b"/dev/",
    b"/dev/nvme0n1",
    b"(deleted)",
    b"lo",
    b"eth0",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x01\x00\x00\x00",
    b"\x08\x00",
];

/// Longer ones are made only on purpose.
const LONGEST: usize = 64 << 10;

/// Changes bytes a few times; `others` is what may be put in.
pub fn mutated(bytes: &[u8], others: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 << random.below(5) {
        mutate(&mut bytes, others, random);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(14) {
        0 => at_byte(bytes, at, |byte| *byte ^= 1 << random.below(8)),
        1 => at_byte(bytes, at, |byte| *byte = random.number() as u8),
        2 => bytes.insert(at, random.number() as u8),
        3 => drop(bytes.drain(range(bytes.len(), at, random))),
        4 => bytes.truncate(at),
        5 => put(bytes, at, random.choose(WORDS).copied().unwrap_or_default()),
        6 => instead_of_word(bytes, at, random.choose(WORDS).copied().unwrap_or_default()),
        7 => instead_of_word(bytes, at, random.number().to_string().as_bytes()),
        8 => again(bytes, at, random),
        9 => line_again(bytes, at, random),
        10 => splice(bytes, at, others, random),
        11 => swap_words(bytes, at, random),
        12 => at_byte(bytes, at, |byte| *byte = byte.wrapping_add(1).wrapping_sub(2 * random.below(2) as u8)),
        _ => instead_of_word(bytes, at, &[]),
    }
}

fn at_byte(bytes: &mut [u8], at: usize, change: impl FnOnce(&mut u8)) {
    bytes.get_mut(at).map(change);
}

fn put(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    bytes.splice(at..at, what.iter().copied());
}

/// A range that begins there; most are short.
fn range(length: usize, at: usize, random: &mut Random) -> std::ops::Range<usize> {
    let most = length - at;
    let longest = if random.once_in(4) { most } else { most.min(16) };
    at..at + random.below(longest + 1)
}

fn again(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let piece = bytes[range(bytes.len(), at, random)].to_vec();
    let most = if random.once_in(8) { 12 } else { 3 };
    let times = 1 << random.below(most);
    put(bytes, at, &piece.repeat(times.min(LONGEST / piece.len().max(1))));
}

/// The line around this place, its end included.
fn line_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let begin = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1);
    begin..end
}

fn line_again(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let line = line_at(bytes, at);
    let piece = bytes[line.clone()].to_vec();
    let most = if random.once_in(8) { 10 } else { 2 };
    let times = 1 << random.below(most);
    put(bytes, line.start, &piece.repeat(times.min(LONGEST / piece.len().max(1))));
}

/// The word around this place.
fn word_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_end = |byte: &u8| !byte.is_ascii_alphanumeric();
    let begin = bytes[..at].iter().rposition(is_end).map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(is_end).map_or(bytes.len(), |end| at + end);
    begin..end
}

fn instead_of_word(bytes: &mut Vec<u8>, at: usize, what: &[u8]) {
    let word = word_at(bytes, at);
    bytes.splice(word, what.iter().copied());
}

fn swap_words(bytes: &mut Vec<u8>, at: usize, random: &mut Random) {
    let other = word_at(bytes, random.below(bytes.len() + 1));
    let other = bytes[other].to_vec();
    instead_of_word(bytes, at, &other);
}

fn splice(bytes: &mut Vec<u8>, at: usize, others: &[Vec<u8>], random: &mut Random) {
    let Some(other) = random.choose(others) else { return };
    let from = random.below(other.len() + 1);
    let piece = other[range(other.len(), from, random)].to_vec();
    if random.once_in(2) {
        bytes.truncate(at);
    }
    put(bytes, at, &piece);
}

/// Much of it: as many lines, or as one line that ends nowhere, about as long as asked for.
pub fn large(bytes: &[u8], length: usize, as_lines: bool) -> Vec<u8> {
    let mut piece = bytes.to_vec();
    if as_lines {
        piece.push(b'\n');
    } else {
        piece.retain(|byte| *byte != b'\n');
    }
    if piece.is_empty() {
        piece.push(b'x');
    }
    piece.repeat(length.div_ceil(piece.len()))
}
