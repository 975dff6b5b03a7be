//! File systems that come through a function without any disk: what a host shares with its guest (9p, virtiofs, VirtualBox,
//! Parallels, VMware), and flash and memory that are mounted by the name of a character device (UBIFS, JFFS2, famfs).
//!
//! Such a mount has a device number of its own; what it names as its source leads to the function. Whoever removes it
//! takes the files away, or waits: p9_virtio_remove (net/9p/trans_virtio.c) sleeps until the last mount is gone.

use std::collections::{HashMap, HashSet};

use crate::host::procfs::texts::unescape;
use crate::host::sysfs::{Sysfs, follow};
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Inventory, Scope};
use crate::usage::virtio::VirtioDevice;

/// File systems that have one driver of a function as their only way to the host.
const BY_DRIVER: [(&str, &str); 3] = [("vboxsf", "vboxguest"), ("prl_fs", "prl_tg"), ("vmhgfs", "vmw_vmci")];

/// File systems that are mounted by the name of a character device, none of which a user can mount.
const BY_NODE: [&str; 4] = ["ubifs", "jffs2", "romfs", "famfs"];

/// So many mounts of one share in a namespace that is not pcictl's own are told each; of the others their number.
const TOLD: usize = 8;

/// A way to files that belongs to a function.
#[derive(Debug)]
struct Share {
    address: PciAddress,
    /// `virtio5`, or the driver.
    device: String,
    kind: &'static str,
    /// What a mount names as its source; none where the kernel does not tell it.
    source: Option<String>,
    /// Whether a mount of this kind can be of no other function's.
    is_only: bool,
}

/// The shares of the functions, and the mounts that were found of them.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    shares: Vec<Share>,
    nodes: HashMap<String, PciAddress>,
    /// The tags of devices that are told, whoever has them.
    told_tags: HashSet<String>,
    users: Vec<User>,
    known: HashSet<(String, String)>,
    /// How many mounts of other namespaces were found of a device.
    foreign: HashMap<String, usize>,
}

impl Shares {
    /// What of these functions can be mounted without a disk.
    pub(crate) fn of(sysfs: &Sysfs, scope: &Scope, inventory: &Inventory, virtio: &[VirtioDevice]) -> Self {
        let mut shares: Vec<Share> = virtio.iter().filter_map(|device| plan9(sysfs, device)).collect();
        let tags = tags(sysfs);
        shares.extend(virtiofs(&tags, virtio));
        for (address, function) in scope.iter() {
            let driver = function.driver.as_deref().unwrap_or_default();
            for (kind, _) in BY_DRIVER.iter().filter(|(_, known)| *known == driver) {
                shares.push(Share { address, device: driver.to_owned(), kind, source: None, is_only: true });
            }
        }
        let is_memory = |name: &str| ["mtd", "ubi", "dax"].iter().any(|start| name.starts_with(start));
        let nodes = inventory.characters.iter().filter(|(_, device)| is_memory(&device.name));
        let nodes = nodes.map(|(address, device)| (device.name.clone(), *address)).collect();
        let told_tags = tags.into_values().collect();
        Self { shares, nodes, told_tags, ..Self::default() }
    }

    /// Whether nothing of them can be mounted, so that no mount needs to be looked at.
    pub(crate) fn is_empty(&self) -> bool {
        self.shares.is_empty() && self.nodes.is_empty()
    }

    /// Takes in a line of mountinfo; `of` names the namespace if it is not pcictl's own.
    pub(crate) fn line(&mut self, line: &str, of: Option<&str>) {
        if self.is_empty() {
            return;
        }
        let Some((mount, rest)) = line.split_once(" - ") else { return };
        let mut words = rest.split(' ');
        let (kind, source) = (words.next().unwrap_or_default(), words.next().map(unescape).unwrap_or_default());
        let options = words.next().unwrap_or_default();
        let point = mount.split(' ').nth(4).map(unescape).unwrap_or_default();
        let seen = of.map_or_else(String::new, |of| format!(" in the mount namespace of {of}"));
        if let Some((name, address)) = self.node(kind, &source) {
            let what = format!("{point} is mounted from {name} ({kind}){seen}");
            self.add(User::new(Danger::Mounted, address, name, point, what), of.is_some());
            return;
        }
        // Other ways of 9p lead to a server, or to what user space does.
        if kind == "9p" && options.split(',').any(|option| option.starts_with("trans=") && option != "trans=virtio") {
            return;
        }
        let mut ours = Vec::new();
        for share in self.shares.iter().filter(|share| share.kind == kind) {
            let is_certain = match &share.source {
                Some(tag) if *tag == source => true,
                Some(_) => continue,
                None if self.told_tags.contains(&source) => continue,
                None => share.is_only,
            };
            let (danger, what) = if is_certain {
                (
                    Danger::Mounted,
                    format!("{point} is mounted from {source} ({kind}), which comes through {}", share.device),
                )
            } else {
                let why = "the kernel does not tell which device has that tag";
                (
                    Danger::Unchecked,
                    format!("{point} is mounted from {source} ({kind}), maybe through {}: {why}", share.device),
                )
            };
            ours.push(User::new(danger, share.address, share.device.clone(), point.clone(), what + &seen));
        }
        ours.into_iter().for_each(|user| self.add(user, of.is_some()));
    }

    /// `ubi0:rootfs`, `ubi0_0`, `mtd3`, `/dev/dax0.0`.
    fn node(&self, kind: &str, source: &str) -> Option<(String, PciAddress)> {
        BY_NODE.contains(&kind).then_some(())?;
        let name = source.rsplit('/').next()?.split(':').next()?;
        let volume = || Some(name.split_once('_')?.0);
        let name = if self.nodes.contains_key(name) { name } else { volume()? };
        self.nodes.get(name).map(|address| (name.to_owned(), *address))
    }

    fn add(&mut self, user: User, is_foreign: bool) {
        if !self.known.insert((user.device.clone(), user.by.clone())) {
            return;
        }
        if is_foreign {
            let count = self.foreign.entry(user.device.clone()).or_default();
            *count += 1;
            if *count > TOLD {
                return;
            }
        }
        self.users.push(user);
    }

    /// Who has something of the functions mounted.
    pub(crate) fn end(mut self) -> Vec<User> {
        for (device, count) in self.foreign.into_iter().filter(|(_, count)| *count > TOLD) {
            let Some(one) = self.users.iter().find(|user| user.device == device).cloned() else { continue };
            let more = count - TOLD;
            let what = format!("{more} more mounts in other mount namespaces are from {device}");
            self.users.push(User { by: format!("{more} mounts"), description: what, ..one });
        }
        self.users
    }
}

/// A 9p device, by its tag: the file is there until the last mount is gone (p9_virtio_remove in net/9p/trans_virtio.c).
fn plan9(sysfs: &Sysfs, device: &VirtioDevice) -> Option<Share> {
    let address = device.address?;
    let tag = sysfs.read(&format!("{}/mount_tag", device.path)).ok().flatten();
    if tag.is_none() && device.driver.as_deref() != Some("9pnet_virtio") {
        return None;
    }
    let source = tag.map(|tag| tag.trim_matches(['\n', '\0']).to_owned());
    Some(Share { address, device: device.name.clone(), kind: "9p", source, is_only: false })
}

/// The tags of virtiofs devices by their directory, as far as they are told: since 6.9 (fs/fuse/virtio_fs.c).
fn tags(sysfs: &Sysfs) -> HashMap<String, String> {
    let directory = "fs/virtiofs";
    let mut tags = HashMap::new();
    for name in sysfs.names(directory).ok().flatten().unwrap_or_default() {
        let directory = format!("{directory}/{name}");
        let path = sysfs.link(&format!("{directory}/device")).ok().flatten().and_then(|to| follow(&directory, &to));
        let tag = sysfs.read(&format!("{directory}/tag")).ok().flatten();
        tags.extend(path.zip(tag.map(|tag| tag.trim_end().to_owned())));
    }
    tags
}

fn virtiofs(tags: &HashMap<String, String>, virtio: &[VirtioDevice]) -> Vec<Share> {
    let is_virtiofs = |device: &&VirtioDevice| device.driver.as_deref() == Some("virtiofs");
    let is_only = virtio.iter().filter(is_virtiofs).count() == 1;
    let share = |device: &VirtioDevice| {
        let source = tags.get(&device.path).cloned();
        Some(Share { address: device.address?, device: device.name.clone(), kind: "virtiofs", source, is_only })
    };
    let known = |device: &&VirtioDevice| is_virtiofs(device) || tags.contains_key(&device.path);
    virtio.iter().filter(known).filter_map(share).collect()
}
