//! Names that udev gives to disks, resolved by the text of their links.

use std::path::Path;

use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;

/// The node behind the names that udev gives (`/dev/disk/by-uuid/...`, `UUID=...`), by the text of its link.
pub(crate) fn real_node(sysfs: &Sysfs, proc: Option<&Procfs>, name: &str) -> String {
    let by = |kind: &str, value: &str| format!("/dev/disk/by-{kind}/{}", value.trim_matches('"'));
    let path = match name.split_once('=') {
        Some((kind @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), value)) => by(&kind.to_ascii_lowercase(), value),
        _ => name.to_owned(),
    };
    // /dev is the kernel's own file system: a link in it can be read without waiting for anybody.
    let is_ours = proc.is_none_or(|proc| !proc.is_dump()) || path.starts_with("/dev/disk/");
    let link = sysfs.root().join(path.trim_start_matches('/'));
    match std::fs::read_link(&link).ok().filter(|_| is_ours && path.starts_with("/dev/")) {
        Some(target) => format!("/dev/{}", last(&target)),
        None => path,
    }
}

fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
