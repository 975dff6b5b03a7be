//! Namespaces other than pcictl's own: interfaces that were moved to another network namespace, and mounts of namespaces
//! that no process is in.
//!
//! A sysfs shows the interfaces of the network namespace that it was mounted in, so each namespace is looked at by a
//! child that enters it and opens a sysfs of its own, which is attached nowhere and gone with its descriptor. Nothing
//! of this can be seen from outside, and it ends with the child.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use nix::sched::{CloneFlags, setns};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use serde::{Deserialize, Serialize};

use crate::error::plain;
use crate::host::child::{Limits, PATIENCE, Sender, Unseen, look_at_each};
use crate::host::procfs::texts::unescape;
use crate::host::procfs::{Next, Procfs};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::block::mounts::MountSurvey;
use crate::usage::model::{Danger, User};
use crate::usage::network::interfaces::{self, View};
use crate::usage::network::own::NetworkUse;
use crate::usage::network::packets::Listener;
use crate::usage::network::rtnetlink;
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

/// What a child says of a namespace.
#[derive(Serialize, Deserialize)]
enum Answer {
    /// A user, as [`User::new`] takes it.
    User(Danger, PciAddress, String, String, String),
    /// A packet socket.
    Listener(Listener),
    /// A line of mountinfo.
    Mount(String),
    /// It cannot be entered or read.
    Denied(String),
}

/// Who uses the interfaces of the functions in these network namespaces, and what could not be looked at.
pub(crate) fn network_use(proc: &Procfs, scope: &Scope, namespaces: &[Namespace], limits: Limits) -> NetworkUse {
    let NetworkUse { mut users, mut listeners, mut unchecked, notes } = NetworkUse::default();
    let look = |namespace: &Namespace, sender: &mut Sender| {
        answer(look_at_interfaces(proc, scope, namespace, sender), sender);
    };
    let take = |number: usize, answer: Answer| match answer {
        Answer::User(kind, address, device, by, description) => {
            users.push(User::new(kind, address, device, by, description));
        }
        Answer::Listener(listener) => listeners.push(listener),
        Answer::Denied(why) => unchecked.push(cannot_enter(&namespaces[number], &why)),
        Answer::Mount(_) => {}
    };
    let unseen = look_at_each(namespaces, 1, &[proc.descriptor()], limits, &look, take);
    // Of those that have one reason in common the first is told, and how many there are.
    let is_same = |a: &(usize, Unseen), b: &(usize, Unseen)| in_words(&a.1) == in_words(&b.1);
    for same in unseen.chunk_by(is_same) {
        let [(first, why), rest @ ..] = same else { continue };
        let others = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
        unchecked.push(cannot_enter(&namespaces[*first], &format!("{}{others}", in_words(why))));
    }
    NetworkUse { users, listeners, unchecked, notes }
}

fn look_at_interfaces(proc: &Procfs, scope: &Scope, namespace: &Namespace, sender: &mut Sender) -> io::Result<()> {
    setns(File::open(&namespace.file)?, CloneFlags::CLONE_NEWNET)?;
    let sysfs = Sysfs::mounted(mount_sysfs()?)?;
    // Routes are as many as whoever owns the namespace likes; they matter where an interface of the functions is.
    let owned = interfaces::owned(&sysfs, scope);
    if owned.is_empty() {
        return Ok(());
    }
    let facts = rtnetlink::ask(&interfaces::indexed(&sysfs, &owned), None)?;
    let view = View { sysfs: &sysfs, scope, facts: &facts, of: Some(&namespace.of) };
    for User { kind, address, device, by, description, .. } in view.users(&owned) {
        sender.send(&Answer::User(kind, address, device, by, description));
    }
    let table = proc.text("self/net/packet")?.unwrap_or_default();
    let (listeners, _) = interfaces::listeners(&sysfs, &owned, &table, Some(&namespace.of));
    listeners.into_iter().for_each(|listener| sender.send(&Answer::Listener(listener)));
    Ok(())
}

/// Tells `survey` the mounts of these mount namespaces; returns what could not be looked at.
pub(crate) fn mounts(
    proc: &Procfs,
    namespaces: &[Namespace],
    survey: &mut MountSurvey<'_>,
    deadline: Instant,
) -> Vec<String> {
    let mut unchecked = Vec::new();
    let look = |namespace: &Namespace, sender: &mut Sender| answer(look_at_mounts(proc, namespace, sender), sender);
    // A child that has entered one of them finds the others no more.
    for namespace in namespaces {
        survey.enter(Some(namespace.of.clone()));
        let take = |_: usize, answer: Answer| match answer {
            Answer::Mount(line) => survey.line(&line),
            Answer::Denied(why) => unchecked.push(cannot_enter(namespace, &why)),
            Answer::User(..) | Answer::Listener(_) => {}
        };
        let one = std::slice::from_ref(namespace);
        let unseen = look_at_each(one, 1, &[proc.descriptor()], deadline, &look, take);
        unchecked.extend(unseen.iter().map(|(_, why)| cannot_enter(namespace, &in_words(why))));
    }
    unchecked
}

fn look_at_mounts(proc: &Procfs, namespace: &Namespace, sender: &mut Sender) -> io::Result<()> {
    setns(File::open(&namespace.file)?, CloneFlags::CLONE_NEWNS)?;
    let mut take = |line: &str| {
        sender.send(&Answer::Mount(line.to_owned()));
        Next::Go
    };
    proc.lines("self/mountinfo", &mut take)?;
    Ok(())
}

/// Says why a namespace cannot be looked at. One that is gone meanwhile needs no looking at.
fn answer(result: io::Result<()>, sender: &mut Sender) {
    if let Err(error) = result {
        if error.kind() != io::ErrorKind::NotFound {
            sender.send(&Answer::Denied(plain(&error)));
        }
    }
}

fn cannot_enter(namespace: &Namespace, why: &str) -> String {
    let kind = if namespace.id.starts_with("net") { "network" } else { "mount" };
    format!("the {kind} namespace of {} cannot be entered: {why}", namespace.of)
}

fn in_words(why: &Unseen) -> String {
    match why {
        Unseen::Hangs => "it hangs in the kernel".to_owned(),
        Unseen::Slow => format!("it took longer than {} s", PATIENCE.as_secs_f32()),
        Unseen::OutOfTime => "the time for looking was up".to_owned(),
        Unseen::NoChild(error) => format!("no process could be started: {}", plain(error)),
        Unseen::Died => "the child that did it ended".to_owned(),
    }
}

/// A sysfs of the network namespace that this process is in.
///
/// # Errors
/// The kernel is too old, or this process may not.
pub(crate) fn mount_sysfs() -> io::Result<OwnedFd> {
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
