//! What is wrong with a house, each with the line it stands on and what to do.

use std::fmt;

use syn::visit::Visit;

use crate::House;
use crate::arrows::Arrow;
use crate::graph::Graph;
use crate::modules::{LIBRARY, is_test};

/// Something that has to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub kind: Kind,
    /// The file, below the directory of the sources.
    pub file: String,
    /// The line.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// The rules of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A room imports one that stands below it in `lib.rs`.
    Up,
    /// Files import each other in a circle.
    Circle,
    /// A file imports the `mod.rs` of a folder it is in.
    Parent,
    /// A `mod.rs` defines a type.
    Type,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl House {
    /// All that breaks a rule.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = self.ups();
        findings.extend(self.parents());
        findings.extend(self.circles());
        findings.extend(self.types());
        findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        findings
    }

    /// The index of a file's room among the rooms; `lib.rs` is none.
    pub fn room_of(&self, file: usize) -> Option<usize> {
        self.rooms.iter().position(|room| *room == self.modules.files[file].room)
    }

    /// Who imports whom among the rooms.
    pub fn graph_of_rooms(&self) -> Graph {
        let arrow = |arrow: &Arrow| Some((self.room_of(arrow.from)?, self.room_of(arrow.to)?));
        Graph::new(self.rooms.len(), self.arrows.iter().filter_map(arrow))
    }

    /// Who imports whom among the files, without imports of a folder's own `mod.rs`, which are findings already.
    pub fn graph_of_files(&self) -> Graph {
        let arrows = self.arrows.iter().filter(|arrow| !self.is_to_parent(arrow));
        Graph::new(self.modules.files.len(), arrows.map(|arrow| (arrow.from, arrow.to)))
    }

    /// Whether an arrow leads to the `mod.rs` of a folder around the file, or to `lib.rs` from a room.
    pub fn is_to_parent(&self, arrow: &Arrow) -> bool {
        self.modules.files_around(arrow.from).contains(&arrow.to)
    }

    fn finding(&self, kind: Kind, arrow: &Arrow, message: String) -> Finding {
        Finding { kind, file: self.modules.files[arrow.from].path.clone(), line: arrow.line, message }
    }

    fn ups(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for arrow in &self.arrows {
            let (Some(from), Some(to)) = (self.room_of(arrow.from), self.room_of(arrow.to)) else { continue };
            if to > from {
                let message = format!(
                    "`{}` uses `{}`, and the room `{}` stands below `{}` in lib.rs: move what is needed to a room above, \
                     or have the caller pass it in",
                    self.rooms[from], arrow.path, self.rooms[to], self.rooms[from]
                );
                findings.push(self.finding(Kind::Up, arrow, message));
            }
        }
        findings
    }

    fn parents(&self) -> Vec<Finding> {
        let parents = self.arrows.iter().filter(|arrow| self.is_to_parent(arrow));
        parents
            .map(|arrow| {
                let message = format!(
                    "uses `{}` of {}, which is around it: name the file that defines it, or move it from there to a file \
                     beside this one",
                    arrow.path, self.modules.files[arrow.to].path
                );
                self.finding(Kind::Parent, arrow, message)
            })
            .collect()
    }

    fn circles(&self) -> Vec<Finding> {
        let graph = self.graph_of_files();
        let mut findings = Vec::new();
        for circle in graph.circles() {
            let way = graph.way_around(&circle);
            let steps: Vec<&Arrow> = (0..way.len())
                .filter_map(|i| {
                    let (from, to) = (way[i], way[(i + 1) % way.len()]);
                    self.arrows.iter().find(|arrow| arrow.from == from && arrow.to == to)
                })
                .collect();
            let Some(first) = steps.first() else { continue };
            let path = |file: usize| &self.modules.files[file].path;
            let told: Vec<String> = steps
                .iter()
                .map(|step| format!("{} uses {} (`{}`, line {})", path(step.from), path(step.to), step.path, step.line))
                .collect();
            let others = match circle.len() - way.len() {
                0 => String::new(),
                others => format!("; {others} more files are in circles with these"),
            };
            let message = format!(
                "a circle: {}{others}: move what both sides need to a file that imports neither",
                told.join(", ")
            );
            findings.push(self.finding(Kind::Circle, first, message));
        }
        findings
    }

    fn types(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for file in &self.modules.files {
            let is_map = file.path.ends_with("mod.rs") || file.module == LIBRARY;
            if !is_map {
                continue;
            }
            let mut types = Types::default();
            types.visit_file(&file.syntax);
            for (name, line) in types.found {
                let message = format!(
                    "`{name}` is defined in {}: move it to a file of its own room that is named for it, and re-export it \
                     here",
                    file.path
                );
                findings.push(Finding { kind: Kind::Type, file: file.path.clone(), line, message });
            }
        }
        findings
    }
}

/// Collects the types that are defined, apart from those inside of functions.
#[derive(Default)]
struct Types {
    found: Vec<(String, usize)>,
}

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, ident) = match item {
            syn::Item::Struct(item) => (&item.attrs, &item.ident),
            syn::Item::Enum(item) => (&item.attrs, &item.ident),
            syn::Item::Union(item) => (&item.attrs, &item.ident),
            syn::Item::Trait(item) => (&item.attrs, &item.ident),
            syn::Item::Type(item) => (&item.attrs, &item.ident),
            syn::Item::Mod(item) if !is_test(&item.attrs) => return syn::visit::visit_item_mod(self, item),
            _ => return,
        };
        if !is_test(attributes) {
            self.found.push((ident.to_string(), ident.span().start().line));
        }
    }
}
