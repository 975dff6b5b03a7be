//! The one write that is no write to a file: a setting of a VF, by rtnetlink at the interface of its physical function.
//!
//! It is made by the writer as the others are, for the kernel waits for rtnl_lock in it and the driver for its device. What is
//! so already is not sent: a driver may refuse to set what it has by itself.

use std::io;

use nix::errno::Errno;

use crate::host::netlink::{Netlink, SET_LINK};
use crate::host::sysfs::{Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::plan::step_state::{ALREADY_SO, NO_SUCH_VF, NOT_KEPT};
use crate::topology::vf_link::{find, interfaces, to_set};
use crate::topology::vf_setting::{VfSetting, VfValue};

/// What stands for the place of a setting: the directory of the physical function's interfaces.
const INTERFACES: &str = "/net";

/// The physical function's directory below `sys` and the setting, if this is what a path and a value mean. Nothing can be
/// written to a directory, so no other write looks like it.
pub(crate) fn parse<'a>(path: &'a str, value: &str) -> Option<(&'a str, VfSetting)> {
    let directory = path.strip_prefix("/sys/")?.strip_suffix(INTERFACES)?;
    Some((directory, value.parse().ok()?))
}

/// Sets it, and looks whether it is so afterwards.
pub(crate) fn set(directory: &str, setting: VfSetting) -> Result<(), Errno> {
    let sysfs = Sysfs::open(None).map_err(|_| Errno::ENOENT)?;
    let physical = PciAddress::from_sysfs_name(last_step(directory)).ok_or(Errno::ENODEV)?;
    let interfaces = interfaces(&sysfs, directory);
    let mut kernel = Netlink::route().map_err(errno)?;
    let (interface, before) = find(&mut kernel, &interfaces, physical).map_err(errno)?.ok_or(NO_SUCH_VF)?;
    if told(&before, setting) == Some(setting.value) {
        return Err(ALREADY_SO);
    }
    kernel.change(SET_LINK, &to_set(interface, setting)).map_err(errno)?;
    let (_, after) = find(&mut kernel, &interfaces, physical).map_err(errno)?.ok_or(NO_SUCH_VF)?;
    // A driver need not tell everything that it takes.
    if told(&after, setting).is_some_and(|value| value != setting.value) {
        return Err(NOT_KEPT);
    }
    Ok(())
}

/// What is told of the same thing.
fn told(settings: &[VfSetting], wanted: VfSetting) -> Option<VfValue> {
    let is_it = |setting: &&VfSetting| setting.vf == wanted.vf && setting.value.is_of_kind(&wanted.value);
    settings.iter().find(is_it).map(|setting| setting.value)
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_setting_at_the_interfaces_of_a_function_is_sent() {
        let setting = "vf 0 mac 02:00:00:00:00:01";
        let path = "/sys/bus/pci/devices/0000:01:00.0/net";
        assert_eq!(parse(path, setting), Some(("bus/pci/devices/0000:01:00.0", setting.parse().unwrap())));
        for (path, value) in [(path, "1"), ("/sys/bus/pci/rescan", setting), ("/tmp/net", setting)] {
            assert_eq!(parse(path, value), None, "{path} {value}");
        }
    }

    #[test]
    fn another_setting_of_the_vf_tells_nothing() {
        let settings = ["vf 0 trust on", "vf 1 trust off"].map(|text| text.parse().unwrap());
        assert_eq!(told(&settings, "vf 1 trust on".parse().unwrap()), Some(VfValue::Trust(false)));
        assert_eq!(told(&settings, "vf 1 spoofchk on".parse().unwrap()), None);
    }
}
