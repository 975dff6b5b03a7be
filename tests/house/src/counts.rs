//! A house in numbers.

use std::fmt;

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::House;
use crate::check::Kind;
use crate::modules::is_test;

/// A function with more lines than this is counted.
pub const LONG_FUNCTION: usize = 60;

/// The numbers.
#[derive(Debug)]
pub struct Counts {
    /// Top-level modules, and `main`.
    pub rooms: usize,
    /// The longest chain of rooms that import each other.
    pub floors: usize,
    /// Pairs of rooms, one of which imports the other.
    pub arrows: usize,
    /// Such pairs that run up, and by which order that is.
    pub up: (usize, &'static str),
    /// Groups of rooms that all reach each other.
    pub circles: Vec<Vec<String>>,
    /// Groups of files that all reach each other, also by a folder's own `mod.rs`.
    pub file_circles: Vec<Vec<String>>,
    /// Imports of a `mod.rs` by a file below it.
    pub to_parent: usize,
    /// Types that a `mod.rs` defines.
    pub types: usize,
    /// Items that are `pub`.
    pub public: usize,
    /// Items that are `pub(crate)`, `pub(super)` or the like.
    pub restricted: usize,
    /// Fields that are `pub`.
    pub public_fields: usize,
    /// Files apart from tests.
    pub files: usize,
    /// The file with the most lines.
    pub longest_file: (String, usize),
    /// Functions of more than [`LONG_FUNCTION`] lines, longest first.
    pub long_functions: Vec<(String, usize)>,
}

impl House {
    /// Counts.
    pub fn counts(&self) -> Counts {
        let rooms = self.graph_of_rooms();
        let names = |circle: Vec<usize>| circle.into_iter().map(|room| self.rooms[room].clone()).collect();
        let all_files =
            crate::graph::Graph::new(self.modules.files.len(), self.arrows.iter().map(|arrow| (arrow.from, arrow.to)));
        let paths = |circle: Vec<usize>| circle.into_iter().map(|file| self.modules.files[file].path.clone()).collect();
        let findings = self.findings();
        let mut items = Items::default();
        for file in &self.modules.files {
            items.file.clone_from(&file.path);
            items.visit_file(&file.syntax);
        }
        items.long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
        let longest = self.modules.files.iter().max_by_key(|file| file.lines);
        Counts {
            rooms: self.rooms.len(),
            floors: rooms.floors(),
            arrows: rooms.arrows(),
            up: self.up(),
            circles: rooms.circles().into_iter().map(names).collect(),
            file_circles: all_files.circles().into_iter().map(paths).collect(),
            to_parent: findings.iter().filter(|finding| finding.kind == Kind::Parent).count(),
            types: findings.iter().filter(|finding| finding.kind == Kind::Type).count(),
            public: items.public,
            restricted: items.restricted,
            public_fields: items.public_fields,
            files: self.modules.files.len(),
            longest_file: longest.map(|file| (file.path.clone(), file.lines)).unwrap_or_default(),
            long_functions: items.long,
        }
    }

    /// Whether `lib.rs` lists its rooms by name, which is no map: then the rule about order cannot be checked.
    pub fn is_alphabetical(&self) -> bool {
        self.rooms.iter().filter(|room| *room != "main").is_sorted()
    }

    fn up(&self) -> (usize, &'static str) {
        let graph = self.graph_of_rooms();
        match graph.fewest_up() {
            Some(fewest) if self.is_alphabetical() => (fewest, "at best: lib.rs lists the rooms by name"),
            _ => (graph.up().len(), "by the order of lib.rs"),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |circles: &[Vec<String>]| {
            circles.iter().map(|circle| format!("\n    {}", circle.join(" "))).collect::<String>()
        };
        writeln!(f, "rooms                    {}", self.rooms)?;
        writeln!(f, "floors                   {}", self.floors)?;
        writeln!(f, "arrows between rooms     {}", self.arrows)?;
        writeln!(f, "arrows up                {} ({})", self.up.0, self.up.1)?;
        writeln!(f, "circles of rooms         {}{}", self.circles.len(), listed(&self.circles))?;
        writeln!(f, "circles of files         {}{}", self.file_circles.len(), listed(&self.file_circles))?;
        writeln!(f, "imports of own mod.rs    {}", self.to_parent)?;
        writeln!(f, "types in mod.rs, lib.rs  {}", self.types)?;
        writeln!(f, "pub items                {}", self.public)?;
        writeln!(f, "pub(crate) items         {}", self.restricted)?;
        writeln!(f, "pub fields               {}", self.public_fields)?;
        writeln!(f, "files                    {}", self.files)?;
        writeln!(f, "longest file             {} ({} lines)", self.longest_file.0, self.longest_file.1)?;
        write!(f, "functions > {LONG_FUNCTION} lines     {}", self.long_functions.len())?;
        for (name, lines) in &self.long_functions {
            write!(f, "\n    {name} ({lines} lines)")?;
        }
        Ok(())
    }
}

/// Counts visibilities, and measures functions.
#[derive(Default)]
struct Items {
    file: String,
    public: usize,
    restricted: usize,
    public_fields: usize,
    long: Vec<(String, usize)>,
}

impl Items {
    fn measure(&mut self, name: &syn::Ident, item: proc_macro2::Span) {
        let lines = item.end().line - name.span().start().line + 1;
        if lines > LONG_FUNCTION {
            self.long.push((format!("{} {name}", self.file), lines));
        }
    }
}

impl<'ast> Visit<'ast> for Items {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.measure(&item.sig.ident, item.span());
            syn::visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            self.measure(&item.sig.ident, item.span());
            syn::visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if matches!(field.vis, syn::Visibility::Public(_)) {
            self.public_fields += 1;
        }
    }

    fn visit_visibility(&mut self, visibility: &'ast syn::Visibility) {
        match visibility {
            syn::Visibility::Public(_) => self.public += 1,
            syn::Visibility::Restricted(_) => self.restricted += 1,
            syn::Visibility::Inherited => {}
        }
    }
}
