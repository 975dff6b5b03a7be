//! The site's own list: protected.d/*.conf in /etc/pcictl and the layers below it, a selector and a reason a line.
//!
//! A list that cannot be read or understood refuses everything, forced or not: whoever wrote it meant to protect
//! something, and guessing what would be worse than asking.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result, plain};
use crate::host::layers;
use crate::host::root::Root;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::resolve::functions::{Resolved, Resolver};
use crate::topology::model::Topology;
use crate::usage::model::{Danger, User};
use crate::usage::scope::Scope;

/// Where the lists are, in each layer.
pub(crate) const DIRECTORY: &str = "protected.d";

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    selector: Selector,
    reason: String,
    place: String,
}

/// Which of the functions the site protects.
///
/// # Errors
/// A list cannot be read or understood.
pub(crate) fn users(sysfs: &Sysfs, scope: &Scope) -> Result<Vec<User>> {
    let mut users = Vec::new();
    for entry in entries(sysfs.files())? {
        for address in named(sysfs, &entry)? {
            if scope.get(address).is_some() {
                let description = format!("{address} is protected: {} ({})", entry.reason, entry.place);
                let by = entry.selector.text.clone();
                users.push(User::new(Danger::Protected, address, address.to_string(), by, description));
            }
        }
    }
    Ok(users)
}

/// An entry of the list, with what it protects now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ProtectedEntry {
    /// The selector as it is written.
    pub(crate) selector: String,
    /// Why the device is protected, as it is written.
    pub(crate) reason: String,
    /// File and line.
    pub(crate) place: String,
    /// The functions that it names; none means that it protects nothing now: an absent device, or a mistake.
    pub(crate) functions: Vec<PciAddress>,
}

/// All entries, in the order of files and lines.
///
/// # Errors
/// A list cannot be read or understood.
pub(crate) fn listed(sysfs: &Sysfs) -> Result<Vec<ProtectedEntry>> {
    let mut found = Vec::new();
    for entry in entries(sysfs.files())? {
        let functions = named(sysfs, &entry)?;
        let Entry { selector, reason, place } = entry;
        found.push(ProtectedEntry { selector: selector.text, reason, place, functions });
    }
    Ok(found)
}

/// The functions that an entry names now; one that names nothing that is there protects nothing.
fn named(sysfs: &Sysfs, entry: &Entry) -> Result<Vec<PciAddress>> {
    match Resolver::new(sysfs).named(&entry.selector) {
        Ok(Resolved::Functions(found)) => Ok(found),
        Ok(Resolved::Absent(_)) => Ok(Vec::new()),
        Ok(Resolved::HostBridge(path)) => {
            let below = Topology::load_below(sysfs, &path)?;
            Ok(below.by_address().into_iter().map(|id| below.function(id).address).collect())
        }
        Err(error) if error.kind() == ErrorKind::NoSuchDevice => Ok(Vec::new()),
        Err(error) => Err(broken(&entry.place, &error.to_string())),
    }
}

fn entries(root: &Root) -> Result<Vec<Entry>> {
    let files = layers::directory(root, DIRECTORY, ".conf");
    let mut found = Vec::new();
    for file in files.map_err(|unusable| broken(&unusable.place, &plain(&unusable.error)))? {
        found.extend(parse(&file.place, &file.text)?);
    }
    Ok(found)
}

/// Reads lines of a selector and a reason; `#` begins a comment line.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = format!("{file}:{}", index + 1);
        let Some((selector, reason)) = line.split_once(char::is_whitespace) else {
            return Err(broken(&place, "a selector must be followed by the reason"));
        };
        let selector = selector.parse::<Selector>().map_err(|error| broken(&place, &error.to_string()))?;
        let reason = reason.trim().to_owned();
        found.push(Entry { selector, reason, place });
    }
    Ok(found)
}

fn broken(place: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!("{place}: {why}; nothing is changed while the list of protected devices is broken"),
    )
    .hint("correct the file, or remove it if nothing is to be protected")
    .fact("protected_list", place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_line_is_a_selector_and_a_reason() {
        let found =
            parse("a.conf", "# ours\n\n0000:03:00.0  boots the machine\ndriver:mlx5_core\tstorage net\n").unwrap();
        let read: Vec<_> = found.iter().map(|entry| (entry.selector.text.as_str(), entry.reason.as_str())).collect();
        assert_eq!(read, [("0000:03:00.0", "boots the machine"), ("driver:mlx5_core", "storage net")]);
        assert_eq!(found[1].place, "a.conf:4");
    }

    #[test]
    fn an_entry_that_matches_nothing_is_listed_with_its_line() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| std::fs::create_dir_all(root.path().join(path)).unwrap();
        make("sys/devices/pci0000:00/0000:00:03.0");
        make("sys/bus/pci/devices");
        make("etc/pcictl/protected.d");
        let link = root.path().join("sys/bus/pci/devices/0000:00:03.0");
        std::os::unix::fs::symlink("../../../devices/pci0000:00/0000:00:03.0", link).unwrap();
        let list = root.path().join("etc/pcictl/protected.d/site.conf");
        std::fs::write(list, "0000:00:03.0 ours\n0000:77:00.0 typo here\nslot:nope x\n").unwrap();
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let found = listed(&sysfs).unwrap();
        let lines: Vec<_> = found.iter().map(|entry| (entry.selector.as_str(), entry.functions.len())).collect();
        assert_eq!(lines, [("0000:00:03.0", 1), ("0000:77:00.0", 0), ("slot:nope", 0)]);
        assert!(found[1].place.ends_with("protected.d/site.conf:2") && found[1].reason == "typo here", "{found:?}");
    }

    #[test]
    fn what_cannot_be_understood_is_an_error_with_its_line() {
        for (text, what) in [("0000:03:00.0\n", "a.conf:1: a selector must be"), ("\n03:00.9 no\n", "a.conf:2: ")] {
            let error = parse("a.conf", text).unwrap_err();
            assert!(error.to_string().starts_with(what) && error.kind() == ErrorKind::Refused, "{error}");
        }
    }
}
