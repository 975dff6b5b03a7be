//! The doctor's report, operations that are not over, and what was recovered.

use colored::Colorize as _;

use crate::doctor::diagnosis::{Finding, Stuck, Trouble};
use crate::doctor::stack::Waits;
use crate::host::text::escaped;
use crate::report::status::{
    DoctorReport, Health, OperationState, OperationStatus, RecoverReport, StatusReport, Unclear,
};
use crate::report::text::guard::guard;

/// The doctor's report: what is stuck, who is busy, what was left behind.
pub(crate) fn diagnosed(report: &DoctorReport) -> String {
    let mut text = String::new();
    for stuck in &report.diagnosis.stuck {
        text.push_str(&one_stuck(stuck, report.behind));
    }
    let member =
        |finding: &&Finding| !report.diagnosis.stuck.iter().any(|stuck| stuck.members.contains(&finding.task.tid));
    for finding in report.diagnosis.tasks.iter().filter(member) {
        text.push_str(&format!("{}: {}\n", "busy".yellow(), escaped(&finding.in_words())));
        if let Some(unclear) = report.unclear.iter().find(|unclear| unclear.tid == finding.task.tid) {
            text.push_str(&one_unclear(unclear));
        } else if matches!(finding.position.waits, Waits::Driver { .. }) {
            text.push_str("  fix: wait; a slow driver takes its time, and no signal speeds it up\n");
        }
    }
    for finding in report.diagnosis.tasks.iter().filter(|finding| finding.raw) {
        text.push_str(&format!(
            "{}: {} writes to the kernel past pcictl's locks\n  fix: run it as: pcictl lock SELECTOR -- COMMAND\n",
            "raw".yellow(),
            escaped(&finding.task.in_words())
        ));
    }
    for leftover in &report.leftovers {
        text.push_str(&format!("{}: {}\n", "warning".yellow(), escaped(&leftover.what)));
        if !leftover.helps.is_empty() {
            text.push_str(&format!("  fix: {}\n", escaped(&leftover.helps)));
        }
    }
    text.push_str(match report.verdict {
        Health::Healthy | Health::Busy => "healthy: ",
        Health::Unknown => "unknown: ",
        Health::Leftovers | Health::Stuck => "",
    });
    text + verdict(report) + "\n"
}

/// The verdict in a line, without its grade.
pub(super) fn verdict(report: &DoctorReport) -> &'static str {
    match report.verdict {
        Health::Healthy => "no task is inside the kernel's PCI core",
        Health::Unknown if !report.unclear.is_empty() => "a driver has been stopping for long and may never end",
        Health::Unknown => "this tree has no /proc that would tell",
        Health::Busy => "operations in progress are slow, not stuck",
        Health::Leftovers => "healthy, with warnings",
        Health::Stuck => "stuck",
    }
}

fn one_unclear(unclear: &Unclear) -> String {
    let mut text = format!(
        "  in {} for up to {} s: whether it ends cannot be told\n",
        escaped(&unclear.function),
        unclear.seconds
    );
    for user in &unclear.users {
        text.push_str(&format!("  {}: {}\n", user.kind.name(), escaped(&user.description)));
    }
    for why in &unclear.unchecked {
        text.push_str(&format!("  unchecked: {}\n", escaped(why)));
    }
    let helps =
        if unclear.users.is_empty() { "find what uses the device, and stop it" } else { "stop what uses the device" };
    text + &format!("  fix: {helps}; the driver may be waiting for that\n")
}

/// What is stuck, in words.
pub(super) fn trouble(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::RemoveAgainstFile => "a removal and a write below it wait for each other",
        Trouble::RemoveAgainstHotplug => "a removal and a hotplug event below it wait for each other",
        Trouble::RemoveAgainstVfs => "a removal and a change of VFs wait for each other",
        Trouble::AgainstItself => "a task waits for itself",
        Trouble::Vfio => "vfio waits until user space closes a device",
        Trouble::Nvidia => "the nvidia driver waits until its users are gone",
    }
}

fn one_stuck(stuck: &Stuck, behind: usize) -> String {
    let mut text = format!("{}: {}", "stuck".red().bold(), trouble(stuck.trouble));
    if stuck.blocks_all {
        text.push_str("; every PCI removal, rescan and hotplug event on this machine waits for it");
    }
    if stuck.blocks_all && behind > 0 {
        text.push_str(&format!(" ({behind} already do)"));
    }
    text.push('\n');
    for line in &stuck.evidence {
        text.push_str(&format!("  {}\n", escaped(line)));
    }
    text.push_str(&format!("  fix: {}\n", escaped(&stuck.helps)));
    text
}

/// Operations in progress or interrupted, and missing devices.
pub(crate) fn status(report: &StatusReport) -> String {
    let mut text: String = report.operations.iter().map(operation).collect();
    for device in &report.removed {
        text.push_str(&format!("{}: removed and not back; pcictl rescan {}\n", device.address, device.address));
    }
    for line in &report.invalid_entries {
        text.push_str(&format!("{}\n", escaped(line)));
    }
    if text.is_empty() {
        text.push_str("nothing is under way, interrupted or removed\n");
    }
    if let Some(trouble) = &report.guard_trouble {
        text.push_str(&format!("guard: {}\n", escaped(trouble)));
    }
    text + &report.guard.as_ref().map(|report| format!("guard: {}", guard(report))).unwrap_or_default()
}

fn operation(operation: &OperationStatus) -> String {
    let id = escaped(operation.id.as_deref().unwrap_or("unknown"));
    let command = escaped(operation.command.as_deref().unwrap_or_default());
    let why = escaped(operation.why.as_deref().unwrap_or_default());
    let mut text = match operation.state {
        OperationState::Running => format!("{id}: under way: {command}\n"),
        OperationState::HalfDone => format!("{id}: {}: {command}\n", "interrupted, half done".red()),
        OperationState::Settled if why.is_empty() => format!("{id}: interrupted, but complete: {command}\n"),
        OperationState::Settled => format!("{id}: interrupted, and {why}: {command}\n"),
        OperationState::CutOff => format!("{id}: cut off by a reboot: {command}; {why}\n"),
        OperationState::Lost => format!("{id}: {}: {command}; {why}\n", "interrupted".red()),
        OperationState::Unreadable => format!("{}: {why}\n", "unreadable journal".red()),
        OperationState::Damaged | OperationState::Foreign => {
            format!("{}: {why}; pcictl recover sets it aside\n", "untrusted journal".red())
        }
    };
    for (title, lines) in
        [("in the kernel's hands", &operation.in_kernel), ("done", &operation.done), ("not done", &operation.left)]
    {
        for line in lines {
            text.push_str(&format!("  {title}: {}\n", escaped(line)));
        }
    }
    for (index, command) in operation.commands.iter().enumerate() {
        let what = match (index, operation.way) {
            (0, Some(crate::state::journal::progress::RecoveryAction::RollBack)) => "to undo it",
            _ => "to complete it",
        };
        text.push_str(&format!("  {what}: {}\n", escaped(command)));
    }
    text
}

/// The outcome for each interrupted operation.
pub(crate) fn recovered(report: &RecoverReport) -> String {
    let mut text = String::new();
    for operation in &report.operations {
        text.push_str(&format!("{}: {}\n", escaped(&operation.id), escaped(&operation.what)));
        for step in &operation.steps {
            text.push_str(&format!("  {}\n", escaped(step)));
        }
    }
    if text.is_empty() { "nothing to recover\n".to_owned() } else { text }
}
