//! Who imports whom: every `use`, and every path in code, in attributes and in the tokens of macros.

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::visit::Visit;

use crate::modules::{Modules, is_test};
use crate::names::{Scope, resolve};

/// An import of one file by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// The index of the file that imports.
    pub from: usize,
    /// The index of the file that is named.
    pub to: usize,
    /// The line it stands on.
    pub line: usize,
    /// The path as it is written.
    pub path: String,
}

/// A path that some module names, before it is known where it leads.
struct Named {
    module: usize,
    path: Vec<String>,
    line: usize,
}

/// All imports between different files, in the order of files and lines.
pub(crate) fn find(modules: &Modules) -> Vec<Arrow> {
    let mut scopes: Vec<Scope> = modules.modules.iter().map(|_| Scope::default()).collect();
    let mut named = Vec::new();
    for file in &modules.files {
        let mut collector = Collector { modules, module: file.module, scopes: &mut scopes, named: &mut named };
        collector.visit_file(&file.syntax);
    }
    let mut arrows = Vec::new();
    for Named { module, path, line } in named {
        let Some(target) = resolve(modules, &scopes, module, &path) else { continue };
        let (from, to) = (modules.modules[module].file, modules.modules[target.module].file);
        if from != to {
            arrows.push(Arrow { from, to, line, path: path.join("::") });
        }
    }
    arrows.sort_by_key(|arrow| (arrow.from, arrow.line));
    arrows.dedup();
    arrows
}

struct Collector<'a> {
    modules: &'a Modules,
    module: usize,
    scopes: &'a mut Vec<Scope>,
    named: &'a mut Vec<Named>,
}

impl Collector<'_> {
    fn name(&mut self, path: Vec<String>, span: Span) {
        self.named.push(Named { module: self.module, path, line: span.start().line });
    }

    fn import(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone());
                }
            }
            syn::UseTree::Glob(glob) => {
                self.name(path.clone(), glob.star_token.spans[0]);
                self.scopes[self.module].globs.push(path);
            }
            syn::UseTree::Name(syn::UseName { ident, .. }) => self.bind(path, ident, ident),
            syn::UseTree::Rename(renamed) => self.bind(path, &renamed.ident, &renamed.rename),
        }
    }

    fn bind(&mut self, mut path: Vec<String>, ident: &syn::Ident, name: &syn::Ident) {
        let mut name = name.to_string();
        if ident == "self" && !path.is_empty() {
            // `use crate::host::{self}` brings in `host`.
            if name == "self" {
                name = path[path.len() - 1].clone();
            }
        } else {
            path.push(ident.to_string());
        }
        self.name(path.clone(), ident.span());
        self.scopes[self.module].bound.insert(name, path);
    }

    /// The paths that tokens show: words joined by `::`.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let (mut colons, mut after_name) = (0, false);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if !(after_name && colons == 2) {
                        self.end_path(&mut path, start);
                        // `a.b::<T>()` and `::a::b` do not start at a module of this crate.
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    (colons, after_name) = (0, true);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && after_name => {
                    colons += 1;
                    let joins = colons < 2 && punct.spacing() == Spacing::Joint || colons == 2;
                    if !joins || colons > 2 {
                        self.end_path(&mut path, start);
                        (colons, after_name) = (0, false);
                    }
                }
                TokenTree::Group(group) => {
                    let joined = after_name && colons == 2 && group.delimiter() == Delimiter::Brace;
                    if joined {
                        self.read_group(&path, group.stream(), start);
                        path.clear();
                    } else {
                        self.end_path(&mut path, start);
                        self.read_tokens(group.stream());
                    }
                    (colons, after_name) = (0, false);
                }
                TokenTree::Literal(literal) => {
                    self.end_path(&mut path, start);
                    (colons, after_name) = (0, false);
                    // As in `#[serde(with = "crate::seconds")]`.
                    let text = literal.to_string();
                    let text = text.trim_matches('"');
                    if ["crate::", "super::", "self::"].iter().any(|root| text.starts_with(root)) {
                        if let Ok(path) = syn::parse_str::<syn::Path>(text) {
                            self.name(words(&path), literal.span());
                        }
                    }
                }
                TokenTree::Punct(_) => {
                    self.end_path(&mut path, start);
                    (colons, after_name) = (0, false);
                }
            }
        }
        self.end_path(&mut path, start);
    }

    /// `use crate::a::{b, c::d}` in the tokens of a macro.
    fn read_group(&mut self, prefix: &[String], tokens: TokenStream, start: Span) {
        let text = format!("{{{tokens}}}");
        if let Ok(tree) = syn::parse_str::<syn::UseTree>(&text) {
            let mut paths = Vec::new();
            flatten(&tree, prefix.to_vec(), &mut paths);
            for path in paths {
                self.name(path, start);
            }
        } else {
            self.name(prefix.to_vec(), start);
            self.read_tokens(tokens);
        }
    }

    fn end_path(&mut self, path: &mut Vec<String>, start: Span) {
        if path.len() > 1 {
            self.name(std::mem::take(path), start);
        }
        path.clear();
    }
}

fn flatten(tree: &syn::UseTree, mut path: Vec<String>, paths: &mut Vec<Vec<String>>) {
    match tree {
        syn::UseTree::Path(part) => {
            path.push(part.ident.to_string());
            flatten(&part.tree, path, paths);
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path.clone(), paths)),
        syn::UseTree::Name(name) => {
            path.push(name.ident.to_string());
            paths.push(path);
        }
        syn::UseTree::Rename(name) => {
            path.push(name.ident.to_string());
            paths.push(path);
        }
        syn::UseTree::Glob(_) => paths.push(path),
    }
}

fn words(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Leaves out what only tests have, and turns to the methods of the real visitor for the rest.
macro_rules! leave_out_tests {
    ($($method:ident($kind:ty)),* $(,)?) => {
        $(fn $method(&mut self, item: &'ast $kind) {
            if !is_test(&item.attrs) {
                syn::visit::$method(self, item);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Collector<'_> {
    leave_out_tests!(
        visit_item_const(syn::ItemConst),
        visit_item_enum(syn::ItemEnum),
        visit_item_fn(syn::ItemFn),
        visit_item_impl(syn::ItemImpl),
        visit_item_macro(syn::ItemMacro),
        visit_item_static(syn::ItemStatic),
        visit_item_struct(syn::ItemStruct),
        visit_item_trait(syn::ItemTrait),
        visit_item_type(syn::ItemType),
        visit_item_union(syn::ItemUnion),
        visit_impl_item_const(syn::ImplItemConst),
        visit_impl_item_fn(syn::ImplItemFn),
        visit_field(syn::Field),
        visit_variant(syn::Variant),
        visit_local(syn::Local),
        visit_stmt_macro(syn::StmtMacro),
        visit_arm(syn::Arm),
        visit_expr_block(syn::ExprBlock),
    );

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        let name = item.ident.to_string();
        let inner = item.content.as_ref().and_then(|_| self.modules.child(self.module, &name));
        let outer = self.module;
        self.module = inner.unwrap_or(outer);
        syn::visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) && item.leading_colon.is_none() {
            self.import(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.name(words(path), path.segments[0].ident.span());
        }
        syn::visit::visit_path(self, path);
    }

    /// `pub(in crate::lock)` names who may import, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.read_tokens(item.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.read_tokens(list.tokens.clone());
    }
}
