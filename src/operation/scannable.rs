//! Whether the part of the machine that is to be scanned can bear it.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::{PciAddress, listed};
use crate::resolve::scan_target::ScanTarget;
use crate::resolve::unfit_bridges::{WAS_RESET, dead_bridge, reset_bridges};
use crate::topology::fields::Fields;
use crate::verify::snapshot::Snapshot;

/// Refuses a scan below a bridge that does not answer, or over one that was reset; those that are `gone` by then do not count.
///
/// # Errors
/// There is one, or nobody can tell.
pub(crate) fn refuse_unfit_bridges(sysfs: &Sysfs, targets: &[ScanTarget], gone: &[PciAddress]) -> Result<()> {
    refuse_dead_bridges(sysfs, targets)?;
    let fields = Fields { buses: true, virtual_of: true, ..Fields::default() };
    refuse_reset_bridges(sysfs, &Snapshot::take_with(sysfs, targets, fields)?, gone)
}

/// Refuses a scan below a bridge that does not answer.
///
/// # Errors
/// There is one, or nobody can tell.
pub(crate) fn refuse_dead_bridges(sysfs: &Sysfs, targets: &[ScanTarget]) -> Result<()> {
    for target in targets {
        if let Some(address) = dead_bridge(sysfs, target)? {
            let message = format!(
                "{address}: does not answer (its configuration space reads all ones); scanning below it could deal out bus numbers that are in use. Bring the bridge itself back first: remove it, then rescan the bus it sits on"
            );
            return Err(Error::new(ErrorKind::Refused, message).about(address));
        }
    }
    Ok(())
}

/// Refuses a scan over bridges that have lost their bus numbers.
///
/// # Errors
/// There are some, or nobody can tell.
pub(crate) fn refuse_reset_bridges(sysfs: &Sysfs, there: &Snapshot, gone: &[PciAddress]) -> Result<()> {
    let mut reset: Vec<PciAddress> = Vec::new();
    for (topology, functions) in there.parts() {
        let bridges = reset_bridges(sysfs, topology, functions)?;
        reset.extend(bridges.into_iter().map(|id| topology.function(id).address));
    }
    // Those that go anyway are named with the others: to bring them back alone would be refused over these.
    let Some(first) = reset.iter().find(|address| !gone.contains(address)) else { return Ok(()) };
    let message = format!(
        "{}: {WAS_RESET}; a scan would give it another one beside what the kernel has, and corrupt the kernel",
        listed(&reset)
    );
    let names: Vec<String> = reset.iter().map(ToString::to_string).collect();
    let hint = brings_back(&reset);
    Err(Error::new(ErrorKind::Refused, message).about(*first).hint(hint).fact("reset", names))
}

/// What gives bridges that were reset their numbers again, with all that is below them. They must go together, for the scan
/// after that leads over all of them.
pub(crate) fn brings_back(reset: &[PciAddress]) -> String {
    let names: Vec<String> = reset.iter().map(ToString::to_string).collect();
    format!("pcictl replug {} brings back what is there", names.join(" "))
}
