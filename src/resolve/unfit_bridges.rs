//! Bridges that a scan must not go over: those that do not answer, and those that were reset.

use std::os::unix::fs::FileExt as _;

use crate::error::{Error, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::resolve::scan_target::ScanTarget;
use crate::topology::model::{FunctionId, Topology};

/// So much of configuration space has the bus numbers in it; everybody may read it.
const HEADER: usize = 64;
/// The number of the bus below a bridge (PCI_SECONDARY_BUS in include/uapi/linux/pci_regs.h).
const SECONDARY_BUS: usize = 0x19;
/// Whether there are capabilities, and where the first is (PCI_STATUS, PCI_CAPABILITY_LIST).
const STATUS: usize = 0x06;
const HAS_CAPABILITIES: u8 = 0x10;
const FIRST_CAPABILITY: usize = 0x34;
/// Enhanced Allocation: bus numbers may be fixed in it (PCI_CAP_ID_EA).
const ENHANCED_ALLOCATION: u8 = 0x14;

/// The first bridge on the way down to a bus that does not answer: its configuration space reads all ones.
///
/// Scanning below it would find nothing where devices are, and could deal out bus numbers that are in use.
///
/// # Errors
/// A configuration space cannot be read.
pub(crate) fn dead_bridge(sysfs: &Sysfs, target: &ScanTarget) -> Result<Option<PciAddress>> {
    let mut path = String::new();
    for step in target.bridge.split('/') {
        path = if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
        let Some(address) = PciAddress::from_sysfs_name(step) else { continue };
        if header(sysfs, &path)?.is_some_and(|header| is_dead(&header)) {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// Whether a bridge has lost the number of the bus below it, as by a reset of a bridge above, after which the kernel sets up
/// nothing but that one again.
///
/// A scan would give it another number and another bus in the kernel, while all that is known of the old one stays
/// (pci_scan_bridge_extend in drivers/pci/probe.c, "bridge configuration invalid"); when that is removed, the kernel reads what
/// it has freed (seen in pcie_update_aspm_capable). One that does not answer at all is left alone by a scan.
///
/// # Errors
/// Its configuration space cannot be read.
pub(crate) fn was_reset(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Result<bool> {
    let Some(bus) = topology.function(id).secondary else { return Ok(false) };
    let path = topology.path(id);
    let Some(header) = header(sysfs, &path)?.filter(|header| !is_dead(header)) else { return Ok(false) };
    match header.get(SECONDARY_BUS) {
        Some(number) if *number != bus.bus => Ok(!has_fixed_numbers(sysfs, &path, &header)),
        _ => Ok(false),
    }
}

fn is_dead(header: &[u8]) -> bool {
    header.iter().all(|byte| *byte == 0xff)
}

fn header(sysfs: &Sysfs, path: &str) -> Result<Option<Vec<u8>>> {
    let file = format!("{path}/config");
    let read = sysfs.read_bytes(&file, HEADER).map_err(|e| Error::io(sysfs.display(&file), &e))?;
    Ok(read.filter(|bytes| bytes.len() >= 4))
}

/// Whether its bus numbers are wired (pci_ea_fixed_busnrs in drivers/pci/probe.c): the kernel knows them, whatever the register
/// says. What cannot be read has none.
fn has_fixed_numbers(sysfs: &Sysfs, path: &str, header: &[u8]) -> bool {
    /// More do not fit: a list that goes round in circles ends here.
    const MOST: usize = 48;
    if header.get(STATUS).is_none_or(|status| status & HAS_CAPABILITIES == 0) {
        return false;
    }
    let Ok(Some(file)) = sysfs.file(&format!("{path}/config")) else { return false };
    let mut at = header.get(FIRST_CAPABILITY).copied().unwrap_or_default();
    for _ in 0..MOST {
        let mut head = [0; 2];
        // The last two bits are reserved.
        if at < HEADER as u8 || file.read_exact_at(&mut head, u64::from(at & !3)).is_err() {
            return false;
        }
        if head[0] == ENHANCED_ALLOCATION {
            return true;
        }
        at = head[1];
    }
    false
}
