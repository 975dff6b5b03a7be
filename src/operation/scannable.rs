//! Whether the part of the machine that is to be scanned can bear it.

use crate::error::{Error, ErrorKind, Result};
use crate::operation::context::Context;
use crate::operation::scan::ScanRequest;
use crate::pci::address::{PciAddress, listed};
use crate::resolve::unfit_bridges::{dead_bridge, was_reset};
use crate::topology::fields::Fields;
use crate::verify::snapshot::Snapshot;

/// Refuses a scan below a bridge that does not answer, or over one that was reset; those that are `gone` by then do not count.
///
/// # Errors
/// There is one, or nobody can tell.
pub(crate) fn refuse_unfit_bridges(context: &Context, subject: &ScanRequest, gone: &[PciAddress]) -> Result<()> {
    refuse_dead_bridges(context, subject)?;
    let fields = Fields { buses: true, virtual_of: true, ..Fields::default() };
    refuse_reset_bridges(context, &Snapshot::take_with(&context.machine.sysfs, &subject.targets, fields)?, gone)
}

/// Refuses a scan below a bridge that does not answer.
///
/// # Errors
/// There is one, or nobody can tell.
pub(crate) fn refuse_dead_bridges(context: &Context, subject: &ScanRequest) -> Result<()> {
    for target in &subject.targets {
        if let Some(address) = dead_bridge(&context.machine.sysfs, target)? {
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
pub(crate) fn refuse_reset_bridges(context: &Context, there: &Snapshot, gone: &[PciAddress]) -> Result<()> {
    let mut reset: Vec<PciAddress> = Vec::new();
    for address in there.addresses() {
        let Some((topology, id)) = there.find(address) else { continue };
        if was_reset(&context.machine.sysfs, topology, id)? {
            reset.push(address);
        }
    }
    // Whoever takes away the upper ones takes those below with them.
    let is_below = |address: &PciAddress| {
        let Some((topology, id)) = there.find(*address) else { return false };
        topology.functions_above(id).any(|above| reset.contains(&topology.function(above).address))
    };
    let tops: Vec<PciAddress> = reset.iter().filter(|address| !is_below(address)).copied().collect();
    // Those that go anyway are named with the others: to bring them back alone would be refused over these.
    let Some(first) = tops.iter().find(|address| !gone.contains(address)) else { return Ok(()) };
    let message = format!(
        "{}: lost the number of the bus below it in a reset; a scan would give it another one beside what the kernel has, and corrupt the kernel",
        listed(&tops)
    );
    let names: Vec<String> = tops.iter().map(ToString::to_string).collect();
    let hint = format!("pcictl replug {} brings back what is there", names.join(" "));
    Err(Error::new(ErrorKind::Refused, message).about(*first).hint(hint).fact("reset", names))
}
