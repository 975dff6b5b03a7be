//! RDMA devices of the functions, and what of the kernel uses them. Processes are found by the nodes that they have open.
//!
//! Each consumer in the kernel has a protection domain or a connection, which the kernel lists with its name
//! (fill_res_name_pid, drivers/infiniband/core/nldev.c). Nothing else is asked for: queue pairs would be asked of the
//! device. The list waits while a device is registered or taken away, so a child asks.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use crate::error::plain;
use crate::host::child::{Sender, look_at_each};
use crate::host::netlink::{Netlink, Question, Told, attributes, number};
use crate::host::sysfs::{Sysfs, follow};
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::Scope;

const CLASS: &str = "class/infiniband";

/// Whoever only looks wants an answer.
const PATIENCE: Duration = Duration::from_millis(1000);

/// An RDMA device of the functions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    address: PciAddress,
    name: String,
    /// The interface that a device made of software stands on.
    parent: Option<String>,
}

/// Who uses the RDMA devices of the functions, and what could not be told. `owned` are their interfaces.
pub(crate) fn users(
    sysfs: &Sysfs,
    scope: &Scope,
    owned: &[(PciAddress, String)],
    deadline: Instant,
) -> (Vec<User>, Option<String>) {
    let devices = devices(sysfs, scope, owned);
    let soft = |Device { address, name, parent }: &Device| {
        let parent = parent.as_ref()?;
        Some(User::new(Danger::Network, *address, parent, name, format!("{parent} carries RDMA device {name}")))
    };
    let mut users: Vec<User> = devices.iter().filter_map(soft).collect();
    if devices.is_empty() || sysfs.is_dump() {
        return (users, None);
    }
    let mut trouble = None;
    let look = |device: &Device, sender: &mut Sender| {
        sender.send(&consumers(&device.name).map_err(|error| plain(&error)));
    };
    let take = |at: usize, said: Result<BTreeSet<String>, String>| match said {
        Ok(found) => users.extend(found.iter().map(|consumer| {
            let Device { address, name, .. } = &devices[at];
            let description = format!("{consumer} of the kernel uses RDMA device {name}");
            User::new(Danger::Holders, *address, name, consumer, description)
        })),
        Err(why) => trouble = Some(cannot_tell(&devices[at], &why)),
    };
    let unseen = look_at_each(&devices, 1, &[], deadline.min(Instant::now() + PATIENCE), &look, take);
    if let Some((at, _)) = unseen.first() {
        trouble = Some(cannot_tell(&devices[*at], "the kernel does not answer"));
    }
    (users, trouble)
}

fn cannot_tell(device: &Device, why: &str) -> String {
    format!("what of the kernel uses RDMA device {} cannot be told: {why}", device.name)
}

fn devices(sysfs: &Sysfs, scope: &Scope, owned: &[(PciAddress, String)]) -> Vec<Device> {
    let device = |name: String| {
        let path = follow(CLASS, &sysfs.link(&format!("{CLASS}/{name}")).ok().flatten()?)?;
        if let Some(address) = scope.owner(&path) {
            return Some(Device { address, name, parent: None });
        }
        // Of those without a device below them only: rxe and siw answer it from memory.
        let parent = path.starts_with("devices/virtual/").then(|| sysfs.read(&format!("{CLASS}/{name}/parent")));
        let parent = parent?.ok().flatten()?.trim().to_owned();
        let (address, _) = owned.iter().find(|(_, interface)| *interface == parent)?;
        Some(Device { address: *address, name, parent: Some(parent) })
    };
    let mut found: Vec<Device> =
        sysfs.names(CLASS).ok().flatten().unwrap_or_default().into_iter().filter_map(device).collect();
    order::sort(&mut found);
    found
}

/// RDMA_NLDEV_ATTR_DEV_INDEX, DEV_NAME and RES_KERN_NAME (uapi/rdma/rdma_netlink.h).
const INDEX: u16 = 1;
const NAME: u16 = 2;
const KERNEL_NAME: u16 = 29;

/// RDMA_NLDEV_CMD_GET, and RES_CM_ID_GET and RES_PD_GET with the attribute of their lists.
const GET: u16 = 1;
const LISTS: [(u16, u16); 2] = [(11, 30), (14, 46)];

/// A question of RDMA_NL_NLDEV.
const fn kind(command: u16) -> u16 {
    (5 << 10) + command
}

/// The parts of the kernel that use this device. It may wait for ever.
fn consumers(device: &str) -> io::Result<BTreeSet<String>> {
    let mut asker = Netlink::rdma()?;
    let mut index = None;
    let mut take = |told: Told<'_>| {
        let Told::Answer(body) = told else { return };
        let all = attributes(body, 0);
        if all.value(NAME).map(text).as_deref() == Some(device) {
            index = all.value(INDEX).and_then(number);
        }
    };
    asker.dump(kind(GET), &Question::new(&[]), &mut take)?;
    let index = index.ok_or(io::ErrorKind::NotFound)?;
    let mut found = BTreeSet::new();
    for (command, list) in LISTS {
        let question = Question::new(&[]).with(INDEX, &index.to_ne_bytes());
        let mut take = |told: Told<'_>| {
            let Told::Answer(body) = told else { return };
            found.extend(names(body, list).into_iter().filter(|name| !is_own(name)));
        };
        asker.dump(kind(command), &question, &mut take)?;
    }
    Ok(found)
}

/// The kernel's names in a list of an answer.
fn names(body: &[u8], list: u16) -> Vec<String> {
    let entries = attributes(body, 0).value(list).unwrap_or_default();
    attributes(entries, 0).filter_map(|(_, entry)| attributes(entry, 0).value(KERNEL_NAME).map(text)).collect()
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// What every device has: of the core, of its own driver, and of IPoIB, whose interface counts by what it carries.
fn is_own(name: &str) -> bool {
    matches!(name, "ib_core" | "ib_ipoib" | "hns_roce" | "irdma" | "rdma_rxe" | "siw" | "qedr" | "efa" | "erdma")
        || ["mlx4_ib", "mlx5_ib", "mana_ib", "ib_mthca", "iw_cxgb4", "bnxt_re", "ocrdma"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_entries_of_their_list() {
        let entry = |name: &[u8]| Question::new(&[]).with(28, &[0; 4]).with(KERNEL_NAME, name);
        let entries = Question::new(&[]).with(47, entry(b"nvme_rdma\0").bytes()).with(47, entry(b"ib_core\0").bytes());
        let user = Question::new(&[]).with(47, Question::new(&[]).with(28, &[9; 4]).bytes());
        let body = Question::new(&[]).with(INDEX, &[0; 4]).with(46, &[entries.bytes(), user.bytes()].concat());
        assert_eq!(names(body.bytes(), 46), ["nvme_rdma", "ib_core"]);
        assert!(names(body.bytes(), 30).is_empty() && is_own("ib_core") && !is_own("nvme_rdma"));
    }
}
