//! Bridges that a scan must not go over: those that do not answer, and those that were reset.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::host::patience::read_bytes;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::resolve::scan_target::ScanTarget;
use crate::topology::model::{FunctionId, Topology};

/// What to say of a bridge that [`reset_bridges`] found.
pub(crate) const WAS_RESET: &str = "lost the number of the bus below it in a reset";
/// So much of configuration space has the bus numbers in it; everybody may read it.
const HEADER: usize = 64;
/// The whole of it, as far as capabilities are listed by bytes; for root alone.
const WHOLE: usize = 256;
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
    let (mut path, mut bridges, mut paths) = (String::new(), Vec::new(), Vec::new());
    for step in target.bridge.split('/') {
        path = if path.is_empty() { step.to_owned() } else { format!("{path}/{step}") };
        if let Some(address) = PciAddress::from_sysfs_name(step) {
            bridges.push(address);
            paths.push(path.clone());
        }
    }
    let spaces = configuration(sysfs, &paths, HEADER)?;
    let dead = spaces.iter().position(|space| space.as_deref().is_some_and(is_dead));
    Ok(dead.map(|number| bridges[number]))
}

/// Those of these bridges that have lost the number of the bus below them, as by a reset of a bridge above, after which the
/// kernel sets up nothing but that one again. What is below such a one goes and comes with it, and is not named.
///
/// A scan would give it another number and another bus in the kernel, while all that is known of the old one stays
/// (pci_scan_bridge_extend in drivers/pci/probe.c, "bridge configuration invalid"); when that is removed, the kernel reads what
/// it has freed (seen in pcie_update_aspm_capable). One that does not answer at all is left alone by a scan.
///
/// # Errors
/// A configuration space cannot be read.
pub(crate) fn reset_bridges(
    sysfs: &Sysfs,
    topology: &Topology,
    functions: impl IntoIterator<Item = FunctionId>,
) -> Result<Vec<FunctionId>> {
    let bridges: Vec<(FunctionId, u8)> = functions
        .into_iter()
        .filter_map(|id| topology.function(id).secondary.map(|secondary| (id, secondary.bus)))
        .collect();
    let paths =
        |bridges: &[(FunctionId, u8)]| -> Vec<String> { bridges.iter().map(|(id, _)| topology.path(*id)).collect() };
    let answers_with_another =
        |space: &[u8], bus: u8| !is_dead(space) && space.get(SECONDARY_BUS).is_some_and(|number| *number != bus);
    let spaces = configuration(sysfs, &paths(&bridges), HEADER)?;
    let others: Vec<(FunctionId, u8)> = bridges
        .into_iter()
        .zip(&spaces)
        .filter(|((_, bus), space)| space.as_deref().is_some_and(|space| answers_with_another(space, *bus)))
        .map(|(bridge, _)| bridge)
        .collect();
    let spaces = configuration(sysfs, &paths(&others), WHOLE)?;
    let is_reset = |space: &Option<Vec<u8>>| space.as_deref().is_some_and(|space| !has_fixed_numbers(space));
    let reset: BTreeSet<FunctionId> =
        others.iter().zip(&spaces).filter(|(_, space)| is_reset(space)).map(|((id, _), _)| *id).collect();
    let is_below = |id: &FunctionId| topology.functions_above(*id).any(|above| reset.contains(&above));
    Ok(reset.iter().filter(|id| !is_below(id)).copied().collect())
}

fn is_dead(space: &[u8]) -> bool {
    space.iter().all(|byte| *byte == 0xff)
}

/// The first bytes of the configuration space of each of these directories.
fn configuration(sysfs: &Sysfs, paths: &[String], length: usize) -> Result<Vec<Option<Vec<u8>>>> {
    let files: Vec<String> = paths.iter().map(|path| format!("{path}/config")).collect();
    let spaces = read_bytes(sysfs, &files, length)
        .map_err(|(number, why)| Error::new(ErrorKind::Failed, format!("{}: {why}", sysfs.display(&files[number]))))?;
    Ok(spaces.into_iter().map(|space| space.filter(|bytes| bytes.len() >= 4)).collect())
}

/// Whether its bus numbers are wired (pci_ea_fixed_busnrs in drivers/pci/probe.c): the kernel knows them, whatever the register
/// says. What cannot be read has none.
fn has_fixed_numbers(space: &[u8]) -> bool {
    /// More do not fit: a list that goes round in circles ends here.
    const MOST: usize = 48;
    if space.get(STATUS).is_none_or(|status| status & HAS_CAPABILITIES == 0) {
        return false;
    }
    let mut at = space.get(FIRST_CAPABILITY).copied().unwrap_or_default();
    for _ in 0..MOST {
        // The last two bits are reserved.
        let here = usize::from(at & !3);
        let (Some(kind), Some(next)) = (space.get(here), space.get(here + 1)) else { return false };
        if here < HEADER {
            return false;
        }
        if *kind == ENHANCED_ALLOCATION {
            return true;
        }
        at = *next;
    }
    false
}
