//! What is given bytes: the parsers that `pcictl::fuzz` lists, and trees.

use std::cell::RefCell;

use pcictl::fuzz::TARGETS;

use crate::mutate::{large, mutated};
use crate::random::Random;
use crate::script::{New, Script};
use crate::sources;
use crate::tree::Forest;

/// The name of the target that takes scripts about trees.
pub const TREE: &str = "tree";

/// Something that is given bytes.
pub struct Target {
    /// What it is called by.
    pub name: &'static str,
    kind: Kind,
}

enum Kind {
    Parser(fn(&[u8])),
    Tree(RefCell<Forest>),
}

impl Target {
    /// A parser.
    pub fn parser(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, kind: Kind::Parser(run) }
    }

    /// All there are.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = TARGETS.iter().map(|target| Self::parser(target.name, target.run)).collect();
        all.push(Self { name: TREE, kind: Kind::Tree(RefCell::default()) });
        all
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|target| target.name == name)
    }

    /// Whether a case takes so long that few of them must do.
    pub fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::Tree(_))
    }

    /// Gives it bytes.
    pub fn run(&self, bytes: &[u8]) {
        match &self.kind {
            Kind::Parser(run) => run(bytes),
            Kind::Tree(forest) => forest.borrow_mut().run(&Script::parse(bytes)),
        }
    }

    /// So many times as much of the same.
    pub fn times(&self, bytes: &[u8], factor: usize) -> Vec<u8> {
        match &self.kind {
            Kind::Parser(_) => bytes.repeat(factor),
            Kind::Tree(_) => Script::parse(bytes).times(factor).text().into_bytes(),
        }
    }

    /// A case by chance, made from what there is.
    pub fn any_case(&self, corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
        let nothing = Vec::new();
        match &self.kind {
            Kind::Tree(forest) if !random.once_in(8) => forest.borrow_mut().any_script(random).text().into_bytes(),
            _ => mutated(random.choose(corpus).unwrap_or(&nothing), corpus, random),
        }
    }

    /// Cases of about this length, as lines and as one line.
    pub fn large_cases(&self, corpus: &[Vec<u8>], length: usize) -> Vec<Vec<u8>> {
        let of = |bytes: &Vec<u8>| [true, false].map(|as_lines| large(bytes, length, as_lines));
        match &self.kind {
            Kind::Parser(_) => corpus.iter().flat_map(of).collect(),
            Kind::Tree(forest) => {
                let mut forest = forest.borrow_mut();
                let mut random = Random::of(length as u64, TREE);
                (0..16).map(|_| swollen(forest.any_script(&mut random), length).text().into_bytes()).collect()
            }
        }
    }

    /// Its corpus.
    pub fn corpus(&self) -> Vec<(String, Vec<u8>)> {
        sources::entries(self.name)
    }

    /// Smaller cases that may do the same; the smallest first.
    pub fn smaller<'a>(&self, bytes: &'a [u8]) -> Box<dyn Iterator<Item = Vec<u8>> + 'a> {
        match &self.kind {
            Kind::Parser(_) => Box::new(without_pieces(bytes)),
            Kind::Tree(_) => Box::new(with_less(&Script::parse(bytes)).into_iter()),
        }
    }
}

/// The script with its files repeated to about this length.
fn swollen(mut script: Script, length: usize) -> Script {
    for change in &mut script.changes {
        if let New::File(times, bytes) | New::Journal(times, bytes) = &mut change.to {
            *times = length / bytes.len().max(1);
        }
    }
    script
}

/// All but one piece, of half the length, a quarter, and so on.
fn without_pieces(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let sizes = std::iter::successors(Some(bytes.len() / 2), |size| Some(size / 2)).take_while(|size| *size > 0);
    sizes.flat_map(move |size| {
        let begins = (0..bytes.len()).step_by(size);
        begins.map(move |at| [&bytes[..at], &bytes[bytes.len().min(at + size)..]].concat())
    })
}

fn with_less(script: &Script) -> Vec<Vec<u8>> {
    let mut smaller = Vec::new();
    let mut add = |script: &Script| smaller.push(script.text().into_bytes());
    for at in 0..script.commands.len().saturating_sub(1) {
        let mut less = script.clone();
        less.commands.remove(at);
        add(&less);
    }
    for at in 0..script.changes.len() {
        let mut less = script.clone();
        less.changes.remove(at);
        add(&less);
        let mut less = script.clone();
        let (New::File(times, bytes) | New::Journal(times, bytes)) = &mut less.changes[at].to else { continue };
        if *times > 1 {
            *times /= 2;
            add(&less);
            continue;
        }
        for piece in without_pieces(&bytes.clone()).take(64) {
            if let New::File(_, bytes) | New::Journal(_, bytes) = &mut less.changes[at].to {
                *bytes = piece;
            }
            add(&less);
        }
    }
    smaller
}
