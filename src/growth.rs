//! That public types can get fields and variants later without breaking a user.

use std::{fs, path::Path};
use syn::{
    Attribute, Fields, ItemEnum, ItemStruct, Visibility,
    visit::{self, Visit},
};

/// What a user could build, or match in full.
#[derive(Default)]
struct Closed {
    seen: usize,
    names: Vec<String>,
}

impl Closed {
    fn look(&mut self, name: String, attributes: &[Attribute]) {
        self.seen += 1;
        if !attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("non_exhaustive"))
        {
            self.names.push(name);
        }
    }

    fn read(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                self.visit_file(&syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap());
            }
        }
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

impl<'ast> Visit<'ast> for Closed {
    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        if is_public(&item.vis) {
            self.look(item.ident.to_string(), &item.attrs);
            for variant in &item.variants {
                if matches!(variant.fields, Fields::Named(_)) {
                    self.look(format!("{}::{}", item.ident, variant.ident), &variant.attrs);
                }
            }
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        if is_public(&item.vis) && item.fields.iter().any(|field| is_public(&field.vis)) {
            self.look(item.ident.to_string(), &item.attrs);
        }
        visit::visit_item_struct(self, item);
    }
}

#[test]
fn no_later_field_or_variant_breaks_a_user() {
    let mut closed = Closed::default();
    closed.read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert_eq!(closed.names, [""; 0], "they are not `non_exhaustive`");
    assert!(closed.seen > 60, "{} types and variants were found", closed.seen);
}
