//! What the kernel tells of its own types: the number of a function, and where a member is in a structure.
//!
//! The format is that of Documentation/bpf/btf.rst and include/uapi/linux/btf.h. Only what [`bpf`](crate::host::bpf) asks for is
//! understood; of anything else nothing is found.

use memchr::memmem;

const MAGIC: u16 = 0xeb9f;
const TYPE: usize = 12;
const MEMBER: usize = 12;
/// Anonymous structures in each other; the kernel has two or three.
const DEEPEST: usize = 8;

/// The kinds of types that are asked for (`BTF_KIND_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A structure.
    Struct = 4,
    /// A union.
    Union = 5,
    /// A function.
    Function = 12,
}

/// All types of a kernel.
#[derive(Debug)]
pub(crate) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins, by its number. Number 0 is `void`, and is nowhere.
    begins: Vec<usize>,
}

impl<'a> Btf<'a> {
    /// None if it is no BTF, or has a kind of type that came later.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.get(..2)? != MAGIC.to_ne_bytes() {
            return None;
        }
        let header = number(bytes, 4)?;
        let part = |at: usize| {
            let begin = header.checked_add(number(bytes, at)?)?;
            bytes.get(begin..begin.checked_add(number(bytes, at + 4)?)?)
        };
        let (types, strings) = (part(8)?, part(16)?);
        let mut begins = vec![usize::MAX];
        let mut at = 0;
        while at < types.len() {
            begins.push(at);
            at += TYPE + behind(number(types, at + 4)?)?;
        }
        Some(Self { types, strings, begins })
    }

    /// The numbers of types by kind and name; none if one is missing.
    pub(crate) fn numbers<const N: usize>(&self, wanted: [(Kind, &str); N]) -> Option<[u32; N]> {
        let mut names = [0; N];
        for (name, (_, wanted)) in names.iter_mut().zip(wanted) {
            *name = self.name(wanted)?;
        }
        let mut found = [0; N];
        for (id, begin) in (1u32..).zip(self.begins.iter().skip(1)) {
            let (name, info) = (number(self.types, *begin)?, number(self.types, begin + 4)?);
            for (place, (own, (kind, _))) in found.iter_mut().zip(names.iter().zip(wanted)) {
                if *own == name && kind_of(info) == kind as usize {
                    *place = id;
                }
            }
        }
        found.iter().all(|id| *id != 0).then_some(found)
    }

    /// Where a member is in a structure or union, in bytes, also in one without a name that is a part of it.
    pub(crate) fn offset(&self, of: u32, member: &str) -> Option<i16> {
        let bits = self.offset_in(of, self.name(member)?, DEEPEST)?;
        (bits % 8 == 0).then(|| i16::try_from(bits / 8).ok()).flatten()
    }

    fn offset_in(&self, of: u32, name: usize, depth: usize) -> Option<usize> {
        let begin = self.begin(of)?;
        let info = number(self.types, begin + 4)?;
        let is_with_sizes = info >> 31 == 1;
        for index in 0..info & 0xffff {
            let at = begin + TYPE + index * MEMBER;
            let (own, kind, offset) =
                (number(self.types, at)?, number(self.types, at + 4)?, number(self.types, at + 8)?);
            // With the size of a bit field in the upper byte; none of those is asked for.
            let offset = if is_with_sizes { offset & 0x00ff_ffff } else { offset };
            if own == name {
                return Some(offset);
            }
            let kind = u32::try_from(kind).ok()?;
            if self.is_unnamed(own) && depth > 0 && self.has_members(kind) {
                if let Some(inner) = self.offset_in(kind, name, depth - 1) {
                    return Some(offset + inner);
                }
            }
        }
        None
    }

    fn begin(&self, id: u32) -> Option<usize> {
        self.begins.get(usize::try_from(id).ok()?).copied().filter(|begin| *begin != usize::MAX)
    }

    fn has_members(&self, id: u32) -> bool {
        let info = self.begin(id).and_then(|begin| number(self.types, begin + 4));
        info.is_some_and(|info| [Kind::Struct as usize, Kind::Union as usize].contains(&kind_of(info)))
    }

    fn is_unnamed(&self, name: usize) -> bool {
        self.strings.get(name).is_none_or(|byte| *byte == 0)
    }

    /// Where a name is among the strings, each of which ends with a zero and is there once.
    fn name(&self, name: &str) -> Option<usize> {
        let whole = format!("\0{name}\0");
        Some(memmem::find(self.strings, whole.as_bytes())? + 1)
    }
}

fn kind_of(info: usize) -> usize {
    info >> 24 & 0x1f
}

/// How many bytes follow a type.
fn behind(info: usize) -> Option<usize> {
    let members = info & 0xffff;
    match kind_of(info) {
        // Pointers, declarations, other names, qualifiers, functions, floating point, type tags.
        2 | 7..=12 | 16 | 18 => Some(0),
        // Numbers, variables, declaration tags.
        1 | 14 | 17 => Some(4),
        3 => Some(12),
        4 | 5 | 15 | 19 => Some(12 * members),
        6 | 13 => Some(8 * members),
        _ => None,
    }
}

/// A number of 32 bits.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_ne_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types in words, and their strings.
    fn btf(types: &[u32], strings: &str) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let length = |part: usize| u32::try_from(part).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let parts = [24, 0, length(types.len()), length(types.len()), length(strings.len())];
        bytes.extend(parts.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(types);
        bytes.extend(strings.as_bytes());
        bytes
    }

    /// A number, a structure `file` of a number and a union without a name that holds `inode`, and a function `file`.
    fn small() -> Vec<u8> {
        let (integer, structure, union, function) = (1 << 24, 4 << 24, 5 << 24, 12 << 24);
        let types = [
            vec![1, integer, 8, 64],
            vec![0, union | 1, 8, 10, 1, 0],
            vec![5, structure | 2, 16, 1, 1, 0, 0, 2, 64],
            vec![5, function, 1],
        ];
        btf(&types.concat(), "\0int\0file\0inode\0")
    }

    #[test]
    fn a_member_is_found_in_what_has_no_name() {
        let bytes = small();
        let btf = Btf::parse(&bytes).unwrap();
        let [structure, function] = btf.numbers([(Kind::Struct, "file"), (Kind::Function, "file")]).unwrap();
        assert_eq!((structure, function), (3, 4));
        assert_eq!(btf.offset(structure, "inode"), Some(8));
        assert_eq!(btf.offset(structure, "int"), Some(0));
        assert_eq!(btf.offset(structure, "ino"), None);
        assert_eq!(btf.numbers([(Kind::Union, "file")]), None);
    }

    #[test]
    fn whatever_is_cut_off_or_changed_is_no_harm() {
        let bytes = small();
        let look = |bytes: &[u8]| {
            let btf = Btf::parse(bytes)?;
            let [id] = btf.numbers([(Kind::Struct, "file")])?;
            btf.offset(id, "inode")
        };
        for end in 0..bytes.len() {
            look(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 4, 12, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                look(&changed);
            }
        }
    }
}
