//! Power settings of functions: what they are, and what came of changing them.

use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::host::sysfs::Sysfs;
use crate::operation::change::InPlaceTarget;
use crate::operation::context::Context;
use crate::operation::options::InPlaceOptions;
use crate::pci::address::PciAddress;
use crate::pci::selector::Selector;
use crate::plan::action::Action;
use crate::plan::power::{CONTROL, D3COLD, PowerSettings, WAKEUP, plan_power};
use crate::report::power::{FunctionPower, NotTaken, PowerReport};
use crate::topology::model::{FunctionId, Topology};
use crate::verify::capture::memory_without_address;

/// Reads what is to be set.
///
/// # Errors
/// A function lacks a setting, or must not sleep.
pub(crate) fn read(
    context: &Context,
    selectors: &[Selector],
    options: &InPlaceOptions,
    wanted: &PowerSettings,
) -> Result<InPlaceTarget> {
    let sysfs = &context.machine.sysfs;
    InPlaceTarget::read(context, selectors, options, "changing", |topology, ids| {
        if wanted.control == Some("auto") {
            ids.iter().try_for_each(|id| refuse_unassigned(sysfs, topology, *id))?;
        }
        plan_power(topology, ids, wanted, &|path, file| sysfs.value(&format!("{path}/{file}")))
    })
}

/// The kernel saves a function's registers when it goes to sleep and restores them when it wakes (pci_save_state,
/// pci_restore_state in drivers/pci/pci.c): addresses that are dealt out between would be lost, or be those of another.
fn refuse_unassigned(sysfs: &Sysfs, topology: &Topology, id: FunctionId) -> Result<()> {
    let bars = memory_without_address(sysfs, &topology.path(id));
    let Some(first) = bars.first() else { return Ok(()) };
    let address = topology.function(id).address;
    let message = format!(
        "{address}: must not sleep while its BAR {first} has no address; it would wake with what was saved before it gets one"
    );
    let error = Error::new(ErrorKind::Refused, message).about(address).fact("bars", bars);
    Err(error.hint(format!("pcictl replug {address} has addresses dealt out again")))
}

/// What is set now.
pub(crate) fn report(sysfs: &Sysfs, addresses: &[PciAddress]) -> PowerReport {
    PowerReport { functions: addresses.iter().map(|address| of_function(sysfs, *address)).collect(), changed: false }
}

/// What is set now that this was changed; read back, as the kernel takes some values and keeps others.
pub(crate) fn report_change(sysfs: &Sysfs, subject: &InPlaceTarget) -> PowerReport {
    let mut report = report(sysfs, &subject.addresses);
    report.changed = !subject.plan.steps.is_empty();
    for function in &mut report.functions {
        let steps = subject.plan.steps.iter().map(|step| &step.action);
        function.not_taken = steps.filter_map(|action| not_taken(sysfs, function.address, action)).collect();
    }
    report
}

fn not_taken(sysfs: &Sysfs, of: PciAddress, action: &Action) -> Option<NotTaken> {
    let Action::Set { address, file, value, .. } = action else { return None };
    let says = (*address == of).then(|| sysfs.value(&format!("{}/{file}", of.sysfs_link())))?;
    let is_other = says.as_ref() != Some(value);
    is_other.then(|| NotTaken { setting: file.clone(), written: value.clone(), says })
}

/// What is set now of one function. All of it is told from memory, and wakes nobody.
pub(crate) fn of_function(sysfs: &Sysfs, address: PciAddress) -> FunctionPower {
    let read = |file: &str| sysfs.value(&format!("{}/{file}", address.sysfs_link())).filter(|text| !text.is_empty());
    FunctionPower {
        address,
        runtime: read(CONTROL),
        runtime_status: read("power/runtime_status"),
        power_state: read("power_state"),
        d3cold: read(D3COLD).map(|text| text != "0"),
        wakeup: read(WAKEUP).map(|text| text == "enabled"),
        not_taken: Vec::new(),
    }
}

/// 6 if something does not say what was written to it.
pub(crate) fn status(report: &PowerReport) -> ExitStatus {
    let is_taken = report.functions.iter().all(|function| function.not_taken.is_empty());
    if is_taken { ExitStatus::Done } else { ExitStatus::Unexpected }
}
