//! Configuration in layers, as systemd has it: what a package brings lies below what the machine made since it was booted,
//! and that below what its administrator wrote. A file replaces the one of the same name in a lower layer as a whole; one
//! that is empty, or a link to /dev/null, masks it.
//!
//! It does NOT know what a file means.

use std::io;

use crate::host::root::Root;
use crate::order;

/// The layers below the root, the one that wins first.
pub(crate) const LAYERS: &[&str] = &["etc/pcictl", "run/pcictl", "usr/lib/pcictl"];

/// No list that people write is longer.
const LARGEST: usize = 1 << 20;

/// A file of the layer that wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layered {
    /// Where it is, for messages.
    pub(crate) place: String,
    /// What is in it.
    pub(crate) text: String,
}

/// A file that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// Where it is.
    pub(crate) place: String,
    /// Why.
    pub(crate) error: io::Error,
}

/// The file of that name, or none where no layer has it or the highest one masks it.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn file(root: &Root, name: &str) -> Result<Option<Layered>, Unusable> {
    let found = LAYERS.iter().map(|layer| format!("{layer}/{name}")).find(|path| root.exists(path));
    found.map_or(Ok(None), |path| read(root, &path))
}

/// The files of a directory whose names end so, in the order of their names.
///
/// # Errors
/// A directory cannot be listed, or a file cannot be read.
pub(crate) fn directory(root: &Root, name: &str, ending: &str) -> Result<Vec<Layered>, Unusable> {
    let mut wins: Vec<(String, String)> = Vec::new();
    for layer in LAYERS {
        let path = format!("{layer}/{name}");
        let names = root.names(&path).map_err(|error| Unusable { place: root.display(&path), error })?;
        for file in names.unwrap_or_default().into_iter().filter(|file| file.ends_with(ending)) {
            if !wins.iter().any(|(known, _)| *known == file) {
                let path = format!("{path}/{file}");
                wins.push((file, path));
            }
        }
    }
    order::sort(&mut wins);
    let mut found = Vec::new();
    for (_, path) in wins {
        found.extend(read(root, &path)?);
    }
    Ok(found)
}

/// The text of a file, unless it masks others.
fn read(root: &Root, path: &str) -> Result<Option<Layered>, Unusable> {
    let place = root.display(path);
    let unusable = |error| Unusable { place: place.clone(), error };
    if root.link(path).map_err(unusable)?.as_deref() == Some("/dev/null") {
        return Ok(None);
    }
    let bytes = root.read(path, LARGEST).map_err(unusable)?;
    // A link that leads nowhere, as likely as a list that was removed while the directory was listed.
    let bytes = bytes.ok_or_else(|| unusable(io::Error::other("the file is missing")))?;
    let text = String::from_utf8(bytes).map_err(|_| unusable(io::Error::other("not UTF-8 text")))?;
    Ok((!text.is_empty()).then_some(Layered { place, text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let top = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = top.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::open(Some(top.path())).unwrap();
        (top, root)
    }

    fn texts(root: &Root) -> Vec<String> {
        directory(root, "x.d", ".conf").unwrap().into_iter().map(|file| file.text).collect()
    }

    #[test]
    fn a_higher_layer_replaces_a_file_and_an_empty_one_or_a_link_to_null_masks_it() {
        let (top, root) = root(&[
            ("usr/lib/pcictl/x.d/10-a.conf", "package a"),
            ("usr/lib/pcictl/x.d/20-b.conf", "package b"),
            ("usr/lib/pcictl/x.d/30-c.conf", "package c"),
            ("usr/lib/pcictl/x.d/40-d.conf", "package d"),
            ("usr/lib/pcictl/x.d/README", "no list"),
            ("run/pcictl/x.d/20-b.conf", "boot b"),
            ("run/pcictl/x.d/15-e.conf", "boot e"),
            ("etc/pcictl/x.d/20-b.conf", "site b"),
            ("etc/pcictl/x.d/30-c.conf", ""),
        ]);
        symlink("/dev/null", top.path().join("etc/pcictl/x.d/40-d.conf")).unwrap();
        assert_eq!(texts(&root), ["package a", "boot e", "site b"]);
    }

    #[test]
    fn one_file_is_that_of_the_highest_layer_alone() {
        let (top, root) = root(&[("usr/lib/pcictl/a.conf", "package"), ("run/pcictl/a.conf", "boot")]);
        let found = |root: &Root| file(root, "a.conf").unwrap().map(|file| file.text);
        assert_eq!(found(&root).as_deref(), Some("boot"));
        fs::create_dir(top.path().join("etc")).unwrap();
        fs::create_dir(top.path().join("etc/pcictl")).unwrap();
        symlink("/dev/null", top.path().join("etc/pcictl/a.conf")).unwrap();
        assert_eq!(found(&root), None);
        assert_eq!(file(&root, "b.conf").unwrap(), None);
    }

    #[test]
    fn what_is_there_and_cannot_be_read_masks_nothing() {
        let (top, root) = root(&[("usr/lib/pcictl/x.d/a.conf", "package"), ("etc/pcictl/x.d/b.conf", "site")]);
        symlink("nowhere", top.path().join("etc/pcictl/x.d/a.conf")).unwrap();
        let unusable = directory(&root, "x.d", ".conf").unwrap_err();
        assert!(unusable.place.ends_with("etc/pcictl/x.d/a.conf"), "{unusable:?}");
        assert_eq!(unusable.error.to_string(), "the file is missing");
    }
}
