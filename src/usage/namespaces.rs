//! Namespaces other than pcictl's own: interfaces that were moved to another network namespace, and mounts of namespaces
//! that no process is in.
//!
//! A sysfs shows the interfaces of the network namespace that it was mounted in, so each namespace is looked at by a
//! thread that enters it and opens a sysfs of its own, which is attached nowhere and gone with its descriptor. Nothing
//! of this can be seen from outside, and the thread ends with it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::error::plain;
use crate::host::procfs::{Procfs, unescape};
use crate::host::sysfs::Sysfs;
use crate::usage::block::mounts::MountTable;
use crate::usage::model::User;
use crate::usage::network::interfaces::{self, View};
use crate::usage::network::routes::Routes;
use crate::usage::scope::Scope;

/// A namespace and a file that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Its name: `net:[4026532500]`.
    pub(crate) id: String,
    /// The file: /proc/PID/ns/net, or where it is pinned.
    pub(crate) file: String,
    /// Whose it is, in words.
    pub(crate) of: String,
}

/// The namespaces of a kind (`net`, `mnt`) that a mount pins, whether or not a process is in them.
pub(crate) fn bind_mounted(mountinfo: &str, kind: &str) -> Vec<Namespace> {
    let namespace = |line: &str| {
        line.contains(" - nsfs ").then_some(())?;
        let mut words = line.split(' ').skip(3);
        let (id, point) = (words.next()?, unescape(words.next()?));
        id.starts_with(kind).then(|| Namespace { id: id.to_owned(), of: point.clone(), file: point })
    };
    mountinfo.lines().filter_map(namespace).collect()
}

/// What became of looking into namespaces.
#[derive(Debug)]
pub(crate) struct NamespaceScan<T> {
    /// What was found.
    pub(crate) found: Vec<T>,
    /// What could not be looked into.
    pub(crate) unchecked: Vec<String>,
}

/// Who uses the interfaces of the functions in these network namespaces.
pub(crate) fn users(proc: &Procfs, scope: &Scope, namespaces: &[Namespace]) -> NamespaceScan<User> {
    each(namespaces, |namespace| {
        setns(open(namespace)?, CloneFlags::CLONE_NEWNET)?;
        let sysfs = Sysfs::mounted(mount_sysfs()?)?;
        let text = |name: &str| proc.text(&format!("thread-self/net/{name}"));
        let routes = Routes::read(&text).map_err(io::Error::other)?;
        let view = View { sysfs: &sysfs, routes: &routes, of: Some(&namespace.of), session: None };
        Ok(interfaces::users(&view, scope))
    })
}

/// The mounts of these mount namespaces.
pub(crate) fn mounts(proc: &Procfs, namespaces: &[Namespace]) -> NamespaceScan<MountTable> {
    each(namespaces, |namespace| {
        let file = open(namespace)?;
        // A thread that shares its root with others may not enter.
        unshare(CloneFlags::CLONE_FS)?;
        setns(file, CloneFlags::CLONE_NEWNS)?;
        let text = proc.text("thread-self/mountinfo")?.unwrap_or_default();
        Ok(vec![MountTable { of: Some(namespace.of.clone()), text }])
    })
}

/// Looks into each namespace in a thread of its own, which is never used for anything else.
fn each<T: Send>(namespaces: &[Namespace], look: impl Fn(&Namespace) -> io::Result<Vec<T>> + Sync) -> NamespaceScan<T> {
    let mut seen = NamespaceScan { found: Vec::new(), unchecked: Vec::new() };
    for namespace in namespaces {
        let result = std::thread::scope(|scope| scope.spawn(|| look(namespace)).join());
        match result.unwrap_or_else(|_| Err(io::Error::other("the thread that looked into it failed"))) {
            Ok(found) => seen.found.extend(found),
            // It ended while the others were looked into.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let kind = if namespace.id.starts_with("net") { "network" } else { "mount" };
                let why = format!("the {kind} namespace of {} cannot be entered: {}", namespace.of, plain(&error));
                seen.unchecked.push(why);
            }
        }
    }
    seen
}

fn open(namespace: &Namespace) -> io::Result<OwnedFd> {
    Ok(File::open(&namespace.file)?.into())
}

/// A sysfs of the network namespace that this thread is in.
fn mount_sysfs() -> io::Result<OwnedFd> {
    let context = fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mounts_pin_is_found_by_kind() {
        let table = "30 22 0:4 net:[4026532500] /run/netns/blue rw shared:9 - nsfs nsfs rw\n\
                     31 22 0:4 mnt:[4026532600] /run/snapd/ns/a\\040b.mnt rw - nsfs nsfs rw\n\
                     22 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let blue =
            Namespace { id: "net:[4026532500]".into(), file: "/run/netns/blue".into(), of: "/run/netns/blue".into() };
        assert_eq!(bind_mounted(table, "net"), [blue]);
        assert_eq!(bind_mounted(table, "mnt")[0].file, "/run/snapd/ns/a b.mnt");
    }
}
