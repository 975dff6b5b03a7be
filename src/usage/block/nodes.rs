//! Names that udev gives to disks, resolved by the text of their links.

use crate::host::procfs::Procfs;
use crate::host::sysfs::{Sysfs, last_step};

/// The node behind the names that udev gives (`/dev/disk/by-uuid/...`, `UUID=...`), by the text of its link.
pub(crate) fn real_node(sysfs: &Sysfs, proc: Option<&Procfs>, name: &str) -> String {
    let by = |kind: &str, value: &str| format!("/dev/disk/by-{kind}/{}", value.trim_matches('"'));
    let path = match name.split_once('=') {
        Some((kind @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), value)) => by(&kind.to_ascii_lowercase(), value),
        _ => name.to_owned(),
    };
    // /dev is the kernel's own file system: a link in it can be read without waiting for anybody.
    let is_ours = proc.is_none_or(|proc| !proc.is_dump()) || path.starts_with("/dev/disk/");
    let is_node = is_ours && path.starts_with("/dev/");
    match is_node.then(|| sysfs.files().link(path.trim_start_matches('/')).ok().flatten()).flatten() {
        Some(target) => format!("/dev/{}", last_step(&target)),
        None => path,
    }
}
