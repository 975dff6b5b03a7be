//! What a physical function keeps for its VFs: do_setvfinfo and rtnl_fill_vfinfo of net/core/rtnetlink.c, for network cards.
//!
//! A tree tells it in a file, a setting a line; without VFs there is none.

use std::fs;
use std::path::PathBuf;

use nix::errno::Errno;
use pcictl::pci::address::PciAddress;
use pcictl::topology::vf_setting::VfSetting;

use super::FakeKernel;

/// The directory of these files, at the top of the tree.
pub const KEPT_FOR_VFS: &str = "rtnetlink";

/// What a driver keeps for a VF to which nobody has given anything.
const INITIAL: [&str; 6] = [
    "mac 00:00:00:00:00:00",
    "vlan 0 qos 0 proto 802.1Q",
    "spoofchk on",
    "trust off",
    "state auto",
    "min_tx_rate 0 max_tx_rate 0",
];

impl FakeKernel {
    fn kept_file(&self, physical: PciAddress) -> PathBuf {
        self.tree.path().join(KEPT_FOR_VFS).join("vfs").join(physical.to_string())
    }

    /// VFs that came have nothing yet.
    pub(super) fn keep_for_vfs(&self, physical: PciAddress, count: usize) {
        if !self.device(physical).join("net").is_dir() {
            return;
        }
        let lines = (0..count).flat_map(|vf| INITIAL.map(|setting| format!("vf {vf} {setting}\n")));
        let file = self.kept_file(physical);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(file, lines.collect::<String>()).expect("kept");
    }

    pub(super) fn forget_vfs(&self, physical: PciAddress) {
        let _ = fs::remove_file(self.kept_file(physical));
    }

    /// With the answers of the writer, which sends nothing for what is so already.
    pub(super) fn set_vf(&self, physical: PciAddress, setting: VfSetting) -> Result<(), Errno> {
        if !self.device(physical).join("net").is_dir() || !self.device(physical).join("driver").is_symlink() {
            return Err(Errno::ENXIO);
        }
        let kept = fs::read_to_string(self.kept_file(physical)).map_err(|_| Errno::ENXIO)?;
        let of = |text: &str| text.split(' ').take(3).map(str::to_owned).collect::<Vec<_>>();
        let wanted = setting.to_string();
        let mut lines: Vec<String> = kept.lines().map(str::to_owned).collect();
        let line = lines.iter_mut().find(|line| of(line) == of(&wanted)).ok_or(Errno::EINVAL)?;
        if *line == wanted {
            return Err(Errno::EALREADY);
        }
        *line = wanted;
        fs::write(self.kept_file(physical), lines.join("\n") + "\n").map_err(|_| Errno::EIO)
    }
}
