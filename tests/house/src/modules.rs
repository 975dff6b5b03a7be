//! The tree of modules, found as the compiler finds it: from `mod` lines.

use std::fs;
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;

/// A file of the crate.
pub struct File {
    /// Its path below the directory of the sources, such as `lock/files.rs`.
    pub path: String,
    /// The room it is in: `lock`; `lib` and `main` for the roots of crates.
    pub room: String,
    /// What it says.
    pub syntax: syn::File,
    /// How many lines it has.
    pub lines: usize,
    /// Whether modules may be below it: a `mod.rs`, a root, or a file with a folder of its own.
    pub has_children: bool,
    /// The module that it is.
    pub module: usize,
}

/// A module: a file, or a block in one.
#[derive(Debug)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The module around it; `None` for the root of a crate.
    pub parent: Option<usize>,
    /// The file it is in.
    pub file: usize,
    /// The modules in it, apart from tests.
    pub children: Vec<usize>,
}

/// All modules. The first is `lib.rs`; `main.rs`, if there is one, is a crate of its own that sees the other by name.
pub struct Modules {
    /// Each file once.
    pub files: Vec<File>,
    /// Each module once.
    pub modules: Vec<Module>,
    /// The name that `main.rs` knows the library by.
    pub crate_name: String,
}

/// The index of `lib.rs` among the modules.
pub const LIBRARY: usize = 0;

impl Modules {
    pub(crate) fn read(directory: &Path) -> Result<Modules, String> {
        let crate_name = crate_name(directory);
        let mut modules = Modules { files: Vec::new(), modules: Vec::new(), crate_name };
        modules.load(directory, Path::new("lib.rs"), "lib", None)?;
        if directory.join("main.rs").exists() {
            modules.load(directory, Path::new("main.rs"), "main", None)?;
        }
        Ok(modules)
    }

    /// The rooms in the order of `lib.rs`, and `main`.
    pub(crate) fn rooms(&self) -> Vec<String> {
        let top = &self.modules[LIBRARY].children;
        let mut rooms: Vec<String> = top.iter().map(|&child| self.modules[child].name.clone()).collect();
        if self.files.iter().any(|file| file.room == "main") {
            rooms.push("main".to_owned());
        }
        rooms
    }

    /// The files of the modules around a file, the nearest first.
    pub(crate) fn files_around(&self, file: usize) -> Vec<usize> {
        let mut around = Vec::new();
        let mut module = self.modules[self.files[file].module].parent;
        while let Some(index) = module {
            around.push(self.modules[index].file);
            module = self.modules[index].parent;
        }
        around
    }

    /// The child of a module that has this name.
    pub(crate) fn child(&self, module: usize, name: &str) -> Option<usize> {
        self.modules[module].children.iter().copied().find(|&child| self.modules[child].name == name)
    }

    /// The module at the root of the crate that a module is in.
    pub(crate) fn root_of(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    fn load(&mut self, directory: &Path, path: &Path, name: &str, parent: Option<usize>) -> Result<usize, String> {
        let full = directory.join(path);
        let text = fs::read_to_string(&full).map_err(|error| format!("cannot read {}: {error}", full.display()))?;
        let syntax = syn::parse_file(&text)
            .map_err(|error| format!("{}:{}: {error}", full.display(), error.span().start().line))?;
        let items = syntax.items.clone();
        let module = self.modules.len();
        let is_mod_file = path.file_name().is_some_and(|file_name| file_name == "mod.rs");
        let room = match parent {
            None => name.to_owned(),
            Some(parent) if self.modules[parent].parent.is_none() => name.to_owned(),
            Some(parent) => self.files[self.modules[parent].file].room.clone(),
        };
        self.files.push(File {
            path: path.display().to_string(),
            room,
            syntax,
            lines: text.lines().count(),
            has_children: is_mod_file || parent.is_none(),
            module,
        });
        self.modules.push(Module { name: name.to_owned(), parent, file: self.files.len() - 1, children: Vec::new() });
        let below = if is_mod_file || parent.is_none() {
            path.parent().unwrap_or(Path::new("")).to_owned()
        } else {
            path.with_extension("")
        };
        self.descend(directory, &below, &items, module)?;
        Ok(module)
    }

    /// Loads the modules that the items of a module name.
    fn descend(&mut self, directory: &Path, below: &Path, items: &[syn::Item], module: usize) -> Result<(), String> {
        for item in items {
            let syn::Item::Mod(item) = item else { continue };
            if is_test(&item.attrs) {
                continue;
            }
            let name = item.ident.to_string();
            let child = if let Some((_, items)) = &item.content {
                let child = self.modules.len();
                let file = self.modules[module].file;
                self.modules.push(Module { name: name.clone(), parent: Some(module), file, children: Vec::new() });
                self.descend(directory, &below.join(&name), items, child)?;
                child
            } else {
                let file = self.modules[module].file;
                let path = find(directory, below, &name, &item.attrs).ok_or_else(|| {
                    format!(
                        "{}:{}: there is neither {name}.rs nor {name}/mod.rs in {}",
                        self.files[file].path,
                        item.span().start().line,
                        directory.join(below).display()
                    )
                })?;
                self.files[file].has_children = true;
                self.load(directory, &path, &name, Some(module))?
            };
            self.modules[module].children.push(child);
        }
        Ok(())
    }
}

/// The file of a module.
fn find(directory: &Path, below: &Path, name: &str, attributes: &[syn::Attribute]) -> Option<PathBuf> {
    let named = attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(below.join(text.value())),
            _ => None,
        },
        _ => None,
    });
    let usual = [below.join(format!("{name}.rs")), below.join(name).join("mod.rs")];
    named.into_iter().chain(usual).find(|path| directory.join(path).exists())
}

/// The name of the package that has the sources, as code spells it.
fn crate_name(directory: &Path) -> String {
    let manifest = fs::read_to_string(directory.join("../Cargo.toml")).unwrap_or_default();
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.unwrap_or("pcictl").replace('-', "_")
}

/// Whether attributes keep an item to tests: `#[test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`.
pub(crate) fn is_test(attributes: &[syn::Attribute]) -> bool {
    fn demands_test(meta: &syn::Meta) -> bool {
        match meta {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) if list.path.is_ident("all") || list.path.is_ident("cfg") => list
                .parse_args_with(syn::punctuated::Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
                .is_ok_and(|parts| parts.iter().any(demands_test)),
            _ => false,
        }
    }
    attributes.iter().any(|attribute| demands_test(&attribute.meta))
}
