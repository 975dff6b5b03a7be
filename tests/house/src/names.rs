//! What a path means: the file that defines, or re-exports, what it names.

use std::collections::HashMap;

use crate::modules::{LIBRARY, Modules};

/// The names that a module brings into its scope by `use`.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// Name to path.
    pub(crate) bound: HashMap<String, Vec<String>>,
    /// What is imported with `*`.
    pub(crate) globs: Vec<Vec<String>>,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The module that the path came to.
    pub(crate) module: usize,
    /// Whether the path ends with that module, rather than with an item in it.
    pub(crate) is_module: bool,
}

/// How many names may stand for one another before a path is given up as one that leads nowhere.
const MOST_STEPS: usize = 16;

/// Follows a path from a module. `None`: it leads out of the crate, or starts with something that is not a module.
pub(crate) fn resolve(modules: &Modules, scopes: &[Scope], from: usize, path: &[String]) -> Option<Target> {
    follow(modules, scopes, from, path, MOST_STEPS)
}

fn follow(modules: &Modules, scopes: &[Scope], from: usize, path: &[String], steps: usize) -> Option<Target> {
    let (first, rest) = path.split_first()?;
    let steps = steps.checked_sub(1)?;
    match first.as_str() {
        "crate" => Some(walk(modules, modules.root_of(from), rest)),
        "self" => Some(walk(modules, from, rest)),
        "super" => {
            let parent = modules.modules[from].parent?;
            match rest.first() {
                Some(next) if next == "super" => follow(modules, scopes, parent, rest, steps),
                _ => Some(walk(modules, parent, rest)),
            }
        }
        name => {
            if let Some(child) = modules.child(from, name) {
                return Some(walk(modules, child, rest));
            }
            if let Some(bound) = scopes[from].bound.get(name) {
                // A name that stands for itself comes from another crate.
                if bound.first() != Some(first) || bound.len() > 1 {
                    if let Some(target) = follow(modules, scopes, from, bound, steps) {
                        return target.is_module.then(|| walk(modules, target.module, rest));
                    }
                }
            }
            for glob in &scopes[from].globs {
                let target = follow(modules, scopes, from, glob, steps).filter(|target| target.is_module);
                if let Some(child) = target.and_then(|target| modules.child(target.module, name)) {
                    return Some(walk(modules, child, rest));
                }
            }
            let is_library = name == modules.crate_name && modules.root_of(from) != LIBRARY;
            is_library.then(|| walk(modules, LIBRARY, rest))
        }
    }
}

/// Goes down as far as there are modules.
fn walk(modules: &Modules, from: usize, path: &[String]) -> Target {
    let mut module = from;
    for (index, name) in path.iter().enumerate() {
        match modules.child(module, name) {
            Some(child) => module = child,
            None if name == "self" => {}
            None => return Target { module, is_module: index == path.len() },
        }
    }
    Target { module, is_module: true }
}
