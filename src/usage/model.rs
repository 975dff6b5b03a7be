//! Who uses a device, as data: what `usage` finds, `policy` judges and people are told.

use serde::{Deserialize, Serialize};

use crate::host::procfs::ProcessRef;
use crate::order;
use crate::pci::address::PciAddress;

/// What could be harmed; each is forced by its own name and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Danger {
    /// A file system of it is mounted, in whatever mount namespace.
    Mounted,
    /// Swap space is on it.
    Swap,
    /// Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export.
    Holders,
    /// Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like.
    Network,
    /// Its interface holds the default route or the session you are typing in.
    Management,
    /// A process has one of its device nodes or register files open or mapped.
    Open,
    /// A process, usually a virtual machine, has it through VFIO or iommufd.
    Vfio,
    /// Its virtual functions are in use.
    Vfs,
    /// It is the boot display, the active console, an armed watchdog or where crash dumps go.
    Console,
    /// The site's own list in /etc/pcictl/protected.d names it.
    Protected,
    /// It is one of several paths or copies, and the others are healthy.
    Redundant,
    /// Something could not be looked into.
    Unchecked,
}

impl Danger {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Mounted,
        Self::Swap,
        Self::Holders,
        Self::Network,
        Self::Management,
        Self::Open,
        Self::Vfio,
        Self::Vfs,
        Self::Console,
        Self::Protected,
        Self::Redundant,
        Self::Unchecked,
    ];

    /// The word that stands for it on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mounted => "mounted",
            Self::Swap => "swap",
            Self::Holders => "holders",
            Self::Network => "network",
            Self::Management => "management",
            Self::Open => "open",
            Self::Vfio => "vfio",
            Self::Vfs => "vfs",
            Self::Console => "console",
            Self::Protected => "protected",
            Self::Redundant => "redundant",
            Self::Unchecked => "unchecked",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Mounted => "A file system of it is mounted, in whatever mount namespace",
            Self::Swap => "Swap space is on it",
            Self::Holders => "Something is built on its disks: dm, LVM, LUKS, md, bcache, ZFS, btrfs, an export",
            Self::Network => {
                "Its interface carries an address or a route, or is part of a bond, bridge, VLAN and the like"
            }
            Self::Management => "Its interface holds the default route or the session you are typing in",
            Self::Open => "A process has one of its device nodes or register files open or mapped",
            Self::Vfio => "A process, usually a virtual machine, has it through VFIO or iommufd",
            Self::Vfs => "Its virtual functions are in use",
            Self::Console => "It is the boot display, the active console, an armed watchdog or where crash dumps go",
            Self::Protected => "The site's own list in /etc/pcictl/protected.d names it",
            Self::Redundant => "It is one of several paths or copies, and the others are healthy",
            Self::Unchecked => "Something could not be looked into",
        }
    }
}

/// One use of one device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// The danger it stands for.
    pub(crate) kind: Danger,
    /// The function that is used.
    pub(crate) address: PciAddress,
    /// What of the function is used: a disk, an interface, a node, a file.
    pub(crate) device: String,
    /// What uses it in one or two words: a mount point, a holder, a command's name.
    pub(crate) by: String,
    /// The process, where it is one.
    pub(crate) process: Option<ProcessRef>,
    /// A sentence for people.
    pub(crate) description: String,
}

impl User {
    /// A use that is not a process's.
    pub(crate) fn new(
        kind: Danger,
        address: PciAddress,
        device: impl Into<String>,
        by: impl Into<String>,
        description: impl Into<String>,
    ) -> Self {
        Self { kind, address, device: device.into(), by: by.into(), process: None, description: description.into() }
    }
}

/// Everything that is known of the users of some functions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageReport {
    /// The users, gravest first.
    pub found: Vec<User>,
    /// Uses of disks that several of the functions lead to, at each of them but that in `found`: for whoever tells of the
    /// functions one by one.
    #[serde(skip)]
    pub(crate) elsewhere: Vec<User>,
    /// What could not be looked into, and why, a line each.
    pub unchecked: Vec<String>,
    /// What nobody can see, said because it may matter here; it refuses nothing.
    pub(crate) notes: Vec<String>,
    /// Unset for a dumped tree without proc, of which only part can be told.
    #[serde(skip)]
    pub(crate) is_complete: bool,
}

impl UsageReport {
    /// The users of these functions, each once.
    pub(crate) fn of(&self, is_one: impl Fn(PciAddress) -> bool) -> Vec<User> {
        let mut users: Vec<User> = self.found.iter().filter(|user| is_one(user.address)).cloned().collect();
        for user in self.elsewhere.iter().filter(|user| is_one(user.address)) {
            if !users.iter().any(|told| told.kind == user.kind && told.description == user.description) {
                users.push(user.clone());
            }
        }
        order::sort(&mut users);
        users
    }

    /// Puts the users in order, each once.
    pub(crate) fn sort(&mut self) {
        order::sort(&mut self.found);
        self.found.dedup();
        self.unchecked.sort_unstable();
        self.unchecked.dedup();
    }
}

/// The descriptions of the first few users, and how many more there are.
pub(crate) fn describe_users<'a>(users: impl IntoIterator<Item = &'a User>) -> String {
    const SHOWN: usize = 6;
    let all: Vec<&User> = users.into_iter().collect();
    let mut words: Vec<String> = all.iter().take(SHOWN).map(|user| user.description.clone()).collect();
    if all.len() > SHOWN {
        words.push(format!("and {} more users", all.len() - SHOWN));
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(kind: Danger, description: &str) -> User {
        let address = PciAddress { domain: 0, bus: 1, device: 0, function: 0 };
        User::new(kind, address, "sda", "/data", description.to_owned())
    }

    #[test]
    fn six_users_are_named_and_the_others_counted() {
        let users: Vec<User> = (1..8).map(|number| user(Danger::Mounted, &number.to_string())).collect();
        assert_eq!(describe_users(&users[..1]), "1");
        assert_eq!(describe_users(&users[..6]), "1; 2; 3; 4; 5; 6");
        assert_eq!(describe_users(&users), "1; 2; 3; 4; 5; 6; and 1 more users");
    }

    #[test]
    fn what_is_used_by_way_of_another_is_told_once_for_each_danger() {
        let report = UsageReport {
            found: vec![user(Danger::Mounted, "here")],
            elsewhere: vec![user(Danger::Mounted, "here"), user(Danger::Swap, "here"), user(Danger::Mounted, "there")],
            ..UsageReport::default()
        };
        let told = report.of(|_| true);
        let told: Vec<_> = told.iter().map(|user| (user.kind, user.description.as_str())).collect();
        assert_eq!(told, [(Danger::Mounted, "here"), (Danger::Mounted, "there"), (Danger::Swap, "here")]);
    }

    #[test]
    fn each_danger_has_a_word_which_documents_have_too_and_a_meaning_of_its_own() {
        let mut meanings = std::collections::BTreeSet::new();
        for danger in Danger::ALL {
            assert_eq!(serde_json::to_value(danger).unwrap(), danger.name());
            assert!(meanings.insert(danger.meaning()) && danger.meaning().contains(' '), "{}", danger.name());
        }
    }

    #[test]
    fn users_are_told_gravest_first_and_each_once() {
        let mut report = UsageReport {
            found: [Danger::Swap, Danger::Mounted, Danger::Swap].map(|kind| user(kind, "here")).to_vec(),
            unchecked: ["b", "a", "b"].map(str::to_owned).to_vec(),
            ..UsageReport::default()
        };
        report.sort();
        assert_eq!(report.found, [Danger::Mounted, Danger::Swap].map(|kind| user(kind, "here")));
        assert_eq!(report.unchecked, ["a", "b"]);
    }
}
