//! The site's own list: /etc/pcictl/protected.d/*.conf, a selector and a reason a line.
//!
//! A list that cannot be read or understood refuses everything, forced or not: whoever wrote it meant to protect
//! something, and guessing what would be worse than asking.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, plain};
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::pci::selector::Selector;
use crate::resolve::functions::{Resolved, Resolver};
use crate::topology::model::Topology;
use crate::usage::model::{Danger, User};
use crate::usage::scope::Scope;

/// Where the lists are, below the root.
const DIRECTORY: &str = "etc/pcictl/protected.d";

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
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
    for entry in entries(&sysfs.root().join(DIRECTORY))? {
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

/// The functions that an entry names now; one that names nothing that is there protects nothing.
fn named(sysfs: &Sysfs, entry: &Entry) -> Result<Vec<crate::pci::address::PciAddress>> {
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

fn entries(directory: &Path) -> Result<Vec<Entry>> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(broken(&directory.display().to_string(), &plain(&error))),
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|error| broken(&directory.display().to_string(), &plain(&error)))?;
        files.push(entry.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    order::sort(&mut files);
    let mut found = Vec::new();
    for file in files {
        found.extend(parse(&file.display().to_string(), &text(&file)?)?);
    }
    Ok(found)
}

fn text(file: &Path) -> Result<String> {
    let place = file.display().to_string();
    // Without O_NONBLOCK a FIFO of that name would keep pcictl waiting for ever.
    let opened = fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(file);
    let mut opened = opened.map_err(|error| broken(&place, &plain(&error)))?;
    if !opened.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(broken(&place, "it is no file"));
    }
    let mut text = String::new();
    opened.read_to_string(&mut text).map_err(|error| broken(&place, &plain(&error)))?;
    Ok(text)
}

/// Reads lines of a selector and a reason; `#` begins a comment line.
fn parse(file: &str, text: &str) -> Result<Vec<Entry>> {
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
    let message =
        format!("{place}: {why}; nothing is changed while the list of protected devices is broken, correct it");
    Error::new(ErrorKind::Refused, message).fact("protected_list", place)
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
    fn what_cannot_be_understood_is_an_error_with_its_line() {
        for (text, what) in [("0000:03:00.0\n", "a.conf:1: a selector must be"), ("\n03:00.9 no\n", "a.conf:2: ")] {
            let error = parse("a.conf", text).unwrap_err();
            assert!(error.to_string().starts_with(what) && error.kind() == ErrorKind::Refused, "{error}");
        }
    }
}
