//! Operations that are not over, as `status`, `recover` and `doctor` see them.

use std::path::Path;

use crate::doctor::leftovers::Leftover;
use crate::host::clock::Moment;
use crate::operation::context::Context;
use crate::plan::action::Action;
use crate::report::status::{OperationState, OperationStatus};
use crate::report::text::words;
use crate::state::file::Invalid;
use crate::state::journal::progress::{Assessment, Progress, RecoveryAction, other_device};
use crate::state::journal::record::{Header, OperationRecord};
use crate::state::journal::store::JournalFile;

/// Every operation that is not over: of these journals, the oldest first, and what is known of those before the last boot.
pub(crate) fn operations(context: &Context, journals: &[JournalFile]) -> Vec<OperationStatus> {
    let boot = context.machine.boot_id();
    let mut operations: Vec<OperationStatus> =
        journals.iter().filter_map(|found| operation(context, found, &boot)).collect();
    let orphans = context.journals().orphans(&boot);
    operations.extend(orphans.rebooted.iter().map(of_cut_off));
    operations.extend(orphans.lost.iter().map(of_lost));
    operations.extend(orphans.bad.iter().map(|(path, why)| of_bad(path, why)));
    operations
}

/// A journal or a marker that gives nothing.
fn of_bad(path: &Path, why: &Invalid) -> OperationStatus {
    let state = if why.is_damaged() { OperationState::Damaged } else { OperationState::Unreadable };
    let why = format!("{}: {why}", path.display());
    OperationStatus { why: Some(why), ..OperationStatus::of(state) }
}

fn of_lost(header: &Header) -> OperationStatus {
    let why = "its journal is gone, and nobody noted its end".to_owned();
    let commands = vec![format!("pcictl recover {}", header.id)];
    OperationStatus { why: Some(why), commands, ..of_header(header, OperationState::Lost) }
}

fn of_header(header: &Header, state: OperationState) -> OperationStatus {
    OperationStatus {
        id: Some(header.id.clone()),
        command: Some(header.command.clone()),
        began_at: Some(Moment(header.began)),
        pid: Some(header.pid),
        ..OperationStatus::of(state)
    }
}

fn of_cut_off(header: &Header) -> OperationStatus {
    let why = "the machine was booted anew since, and has found its devices by itself".to_owned();
    // A process id of another boot is somebody else's by now.
    OperationStatus { why: Some(why), pid: None, ..of_header(header, OperationState::CutOff) }
}

fn operation(context: &Context, found: &JournalFile, boot: &str) -> Option<OperationStatus> {
    let record = match &found.record {
        Ok(record) => record,
        Err(Invalid::Absent) => return None,
        // What is being written to may be of any form.
        Err(_) if found.busy => {
            let id = Some(found.id().to_owned());
            return Some(OperationStatus { id, ..OperationStatus::of(OperationState::Running) });
        }
        Err(why) => return Some(of_bad(&found.path, why)),
    };
    if record.closed.is_some() {
        return None;
    }
    let header = &record.header;
    if found.busy {
        let in_kernel = in_kernel(record);
        return Some(OperationStatus { in_kernel, ..of_header(header, OperationState::Running) });
    }
    if header.boot != boot {
        return Some(of_cut_off(header));
    }
    if let Some(address) = other_device(record, &context.machine.sysfs) {
        let why = format!("{address} is another device now, so nothing of this may be gone on with");
        return Some(OperationStatus { why: Some(why), ..of_header(header, OperationState::Foreign) });
    }
    let look = Assessment::of(record, &context.machine.sysfs);
    let standing = look.progress();
    let state = match standing {
        Progress::NotStarted | Progress::Complete => OperationState::Settled,
        Progress::Partial => OperationState::HalfDone,
    };
    let way = look.action();
    Some(OperationStatus {
        why: (standing == Progress::NotStarted).then(|| "all is as it was before".to_owned()),
        done: look.done().map(|step| words::describe_action(&step.action)).collect(),
        left: left(&look),
        way: (state == OperationState::HalfDone).then_some(way),
        commands: commands(record, &look, state),
        ..of_header(header, state)
    })
}

/// What is left to be done.
fn left(look: &Assessment) -> Vec<String> {
    let steps = look.left().map(|(_, step)| words::describe_action(&step.action));
    let drivers = look.undriven_vfs().map(|(physical, _)| words::give_drivers(physical));
    steps.chain(drivers).collect()
}

/// Steps that the kernel has begun and not ended.
fn in_kernel(record: &OperationRecord) -> Vec<String> {
    let open = record.ends.iter().filter(|(_, end)| end.is_none());
    open.filter_map(|(mark, _)| match mark.undo {
        true => record.undo_actions.get(&mark.step),
        false => record.steps.get(mark.step).map(|step| &step.action),
    })
    .map(words::describe_action)
    .collect()
}

/// The exact commands that bring it to an end: first what `recover` would do, then, if that is to undo it, what completes
/// it. Completing stops drivers, and so goes through the command that looks for users first.
fn commands(record: &OperationRecord, look: &Assessment, state: OperationState) -> Vec<String> {
    if state != OperationState::HalfDone {
        return Vec::new();
    }
    let mut commands = vec![format!("pcictl recover {}", record.header.id)];
    let removes = look.left().filter(|(_, step)| matches!(step.action, Action::Remove { .. }));
    let left: Vec<String> = removes.filter_map(|(_, step)| step.action.address()).map(|a| a.to_string()).collect();
    let is_off =
        |action: &Action| matches!(action, Action::SlotPower { on: false, .. }) && !action.removes().is_empty();
    for (_, step) in look.left().filter(|(_, step)| is_off(&step.action)) {
        if let Action::SlotPower { slot, .. } = &step.action {
            commands.push(format!("pcictl slot off {slot}"));
        }
    }
    if look.action() == RecoveryAction::RollBack && !left.is_empty() {
        let scans = look.left().any(|(_, step)| step.action.is_scan());
        commands.push(format!("pcictl {} {}", if scans { "replug" } else { "remove" }, left.join(" ")));
    }
    commands
}

/// What the doctor says of an operation that nobody finishes.
pub(crate) fn leftover(operation: &OperationStatus) -> Option<Leftover> {
    let id = operation.id.clone().unwrap_or_default();
    let (what, helps) = match operation.state {
        OperationState::Running | OperationState::Settled => return None,
        OperationState::HalfDone => (
            format!("operation {id} ({}) is half done", operation.command.as_deref().unwrap_or_default()),
            operation.commands.join(", or "),
        ),
        OperationState::CutOff => (format!("operation {id} was cut off by a reboot"), format!("pcictl recover {id}")),
        OperationState::Lost => (
            format!("operation {id} ({}) has lost its journal", operation.command.as_deref().unwrap_or_default()),
            operation.commands.join(", or "),
        ),
        OperationState::Unreadable => (
            format!("a journal cannot be read: {}", operation.why.as_deref().unwrap_or_default()),
            "it stays where it is; a newer pcictl, or whoever may read it, tells what it says".to_owned(),
        ),
        OperationState::Damaged | OperationState::Foreign => (
            format!("a journal cannot be trusted: {}", operation.why.as_deref().unwrap_or_default()),
            "pcictl recover sets it aside".to_owned(),
        ),
    };
    Some(Leftover { address: None, what, helps })
}
