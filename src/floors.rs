//! That modules import only from modules that stand above them in `lib.rs`, so that there are no cycles.

use std::{collections::BTreeSet, fs, path::Path};
use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree,
    visit::{self, Visit},
};

/// What one top-level module names of others.
#[derive(Default)]
struct Imports {
    /// How many modules the current one is nested in, itself included.
    depth: usize,
    modules: BTreeSet<String>,
}

impl Imports {
    /// Reads a file, and those of its submodules.
    fn read(&mut self, file: &Path, submodules: &Path) {
        let text = fs::read_to_string(file).expect("a module has a file");
        let items = syn::parse_file(&text).expect("it is Rust").items;
        for item in &items {
            match item {
                Item::Mod(module) if module.content.is_none() => self.read_submodule(module, submodules),
                item => self.visit_item(item),
            }
        }
    }

    fn read_submodule(&mut self, module: &ItemMod, folder: &Path) {
        if is_for_tests(&module.attrs) || module.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            return;
        }
        let folder = folder.join(module.ident.to_string());
        self.depth += 1;
        match folder.join("mod.rs") {
            file if file.exists() => self.read(&file, &folder),
            _ => self.read(&folder.with_extension("rs"), &folder),
        }
        self.depth -= 1;
    }

    /// Takes in a path by its first names.
    fn name<'a>(&mut self, mut path: impl Iterator<Item = &'a str>) {
        let mut parents = 0;
        let module = path.find(|name| match *name {
            "super" => {
                parents += 1;
                false
            }
            _ => true,
        });
        let is_global = match module {
            Some("crate") => true,
            Some(_) if parents > 0 && parents == self.depth => {
                self.modules.extend(module.map(str::to_owned));
                false
            }
            _ => false,
        };
        if is_global {
            self.modules.extend(path.next().map(str::to_owned));
        }
    }

    fn read_tree<'a>(&mut self, tree: &'a UseTree, before: &mut Vec<&'a UseTree>) {
        match tree {
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.read_tree(tree, before)),
            UseTree::Path(path) => {
                before.push(tree);
                self.read_tree(&path.tree, before);
                before.pop();
            }
            leaf => {
                let names = before.iter().copied().chain([leaf]).filter_map(name_of);
                let names: Vec<_> = names.collect();
                self.name(names.iter().map(String::as_str));
            }
        }
    }
}

fn name_of(tree: &UseTree) -> Option<String> {
    match tree {
        UseTree::Path(path) => Some(path.ident.to_string()),
        UseTree::Name(name) => Some(name.ident.to_string()),
        UseTree::Rename(rename) => Some(rename.ident.to_string()),
        UseTree::Glob(_) | UseTree::Group(_) => None,
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.read_tree(&item.tree, &mut Vec::new());
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(names.iter().map(String::as_str));
        visit::visit_path(self, path);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

#[test]
fn modules_import_only_from_those_above_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = fs::read_to_string(src.join("lib.rs")).unwrap();
    let modules: Vec<ItemMod> = syn::parse_file(&text)
        .unwrap()
        .items
        .into_iter()
        .filter_map(|item| match item {
            Item::Mod(module) if !is_for_tests(&module.attrs) => Some(module),
            _ => None,
        })
        .collect();
    let names: Vec<_> = modules.iter().map(|module| module.ident.to_string()).collect();
    let mut edges = 0;
    for (place, module) in modules.iter().enumerate() {
        let mut imports = Imports::default();
        imports.read_submodule(module, &src);
        imports.modules.remove(&names[place]);
        edges += names[..place]
            .iter()
            .filter(|name| imports.modules.contains(*name))
            .count();
        let below: Vec<_> = names[place + 1..]
            .iter()
            .filter(|name| imports.modules.contains(*name))
            .collect();
        assert!(
            below.is_empty(),
            "{} imports from {below:?}, which `lib.rs` lists after it",
            names[place]
        );
    }
    assert!(edges > 50, "{edges} imports were found");
}
