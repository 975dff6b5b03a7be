//! Operations that are not over, as `status`, `recover` and `doctor` see them.

use crate::doctor::leftovers::Leftover;
use crate::operation::context::Context;
use crate::plan::action::Action;
use crate::report::status::{OperationState, OperationStatus};
use crate::report::text::words;
use crate::state::journal::progress::{Assessment, Progress, RecoveryAction, other_device};
use crate::state::journal::record::{Header, OperationRecord};
use crate::state::journal::store::JournalFile;

/// Every operation that is not over: of these journals, the oldest first, and what is known of those before the last boot.
pub(crate) fn operations(context: &Context, journals: &[JournalFile]) -> Vec<OperationStatus> {
    let boot = context.machine.boot_id();
    let mut operations: Vec<OperationStatus> =
        journals.iter().filter_map(|found| operation(context, found, &boot)).collect();
    let (cut_off, bad) = context.journals().interrupted_by_reboot(&boot);
    operations.extend(cut_off.iter().map(of_cut_off));
    for path in bad {
        let why = format!("{}: not written by pcictl, or damaged", path.display());
        operations.push(OperationStatus { why: Some(why), ..OperationStatus::of(OperationState::Damaged) });
    }
    operations
}

fn of_header(header: &Header, state: OperationState) -> OperationStatus {
    OperationStatus {
        id: Some(header.id.clone()),
        command: Some(header.command.clone()),
        began: Some(header.began),
        pid: Some(header.pid),
        ..OperationStatus::of(state)
    }
}

fn of_cut_off(header: &Header) -> OperationStatus {
    let why = "the machine was booted anew since, and has found its devices by itself".to_owned();
    // A process id of another boot is somebody else's by now.
    OperationStatus { why: Some(why), pid: None, ..of_header(header, OperationState::CutOff) }
}

pub(crate) fn operation(context: &Context, found: &JournalFile, boot: &str) -> Option<OperationStatus> {
    let record = match &found.record {
        Ok(record) => record,
        Err(why) => {
            let why = format!("{}: {why}", found.path.display());
            return Some(OperationStatus { why: Some(why), ..OperationStatus::of(OperationState::Damaged) });
        }
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
        left: look.left().map(|(_, step)| words::describe_action(&step.action)).collect(),
        way: (state == OperationState::HalfDone).then_some(way),
        commands: commands(record, &look, state),
        ..of_header(header, state)
    })
}

/// Steps that the kernel has begun and not ended.
fn in_kernel(record: &OperationRecord) -> Vec<String> {
    let open = record.ends.iter().filter(|(_, end)| end.is_none());
    let action = |step: usize| record.header.steps.get(step).map(|step| &step.action).or(record.extra_steps.get(&step));
    open.filter_map(|(mark, _)| {
        let action = action(mark.step)?;
        let action = if mark.undo { action.undo()? } else { action.clone() };
        Some(words::describe_action(&action))
    })
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
        OperationState::Damaged | OperationState::Foreign => (
            format!("a journal cannot be trusted: {}", operation.why.as_deref().unwrap_or_default()),
            "pcictl recover sets it aside".to_owned(),
        ),
    };
    Some(Leftover { address: None, what, helps })
}
