//! The record of an operation: at its start and at its end, in the state directory and in the machine's log.
//!
//! Failing to record is a warning: whoever has to get a device back does not want to mend a log first.

use std::collections::BTreeSet;
use std::io;
use std::time::{Instant, SystemTime};

use crate::error::{Error, ExitStatus, plain};
use crate::execute::signals::Signals;
use crate::host::clock::rfc3339;
use crate::host::invoker::{Invoker, command_line};
use crate::host::sysfs::Sysfs;
use crate::host::system_log::{self, LogRecord, Priority};
use crate::operation::context::Context;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::ids::{Ids, ids_text};
use crate::pci::place::Place;
use crate::plan::action::Step;
use crate::report::inspector::Inspector;
use crate::state::audit::{AuditRecord, AuditedDevice, BeginRecord, EndRecord, OpenRecord, seconds};

/// Kinds of records in the machine's log; packaging/systemd/pcictl.catalog explains them.
const BEGINS: &str = "6d27cdc1799c48f9a4ff090645639b4c";
const ENDED: &str = "54875ccd7e26475f8af32e2b04939cb8";

/// So many devices are told of by name.
const NAMED: usize = 32;

/// Records that an operation begins, which works on these places in these steps.
pub(crate) fn begin(context: &Context, operation_id: &str, places: &[Place], steps: &[Step]) {
    let command = command_line();
    let all: BTreeSet<PciAddress> = order::set(steps.iter().filter_map(|step| step.action.address()));
    let named: Vec<PciAddress> = all.iter().copied().take(NAMED).collect();
    let boot_id = Some(context.machine.boot_id()).filter(|id| !id.is_empty());
    let record = BeginRecord {
        operation_id: operation_id.to_owned(),
        time: rfc3339(SystemTime::now()),
        boot_id,
        kernel_release: context.machine.kernel_release(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        command: command.clone(),
        invoker: Invoker::of_this_process(),
        places: places.to_vec(),
        devices: devices(&context.machine.sysfs, &named),
        more_devices: all.len() - named.len(),
    };
    let message = format!("operation {operation_id} begins: {command} (by {})", record.invoker.in_words());
    let mut fields = device_fields(operation_id, &command, &named);
    fields.extend(places.iter().map(|place| ("PCICTL_PLACE", place.to_string())));
    fields.extend(invoker_fields(&record.invoker));
    let begun = OpenRecord { operation_id: operation_id.to_owned(), command, devices: named, since: Instant::now() };
    context.recorded.replace(Some(begun));
    write(context, AuditRecord::Begin(Box::new(record)));
    log(context, &LogRecord { priority: Priority::Notice, message_id: BEGINS, message, fields });
}

/// Records how the operation that has begun ended, if one has.
pub(crate) fn end(context: &Context, result: Result<ExitStatus, &Error>) {
    let status = result.unwrap_or_else(Error::status);
    let error = result.err().map(ToString::to_string);
    let changed = Some(context.output.has_changed());
    ended(context, status as u8, status.outcome(), changed, error);
}

/// The same of a command that ran under locks: what it did is not known.
pub(crate) fn end_of_command(context: &Context, exit_code: u8) {
    let outcome = if exit_code == 0 { ExitStatus::Done } else { ExitStatus::Failed }.outcome();
    ended(context, exit_code, outcome, None, None);
}

fn ended(context: &Context, exit_code: u8, outcome: &str, changed: Option<bool>, error: Option<String>) {
    let Some(begun) = context.recorded.take() else { return };
    // What was done is done: a wish to stop that comes only now must not make it end as interrupted.
    let _too_late = if context.rehearsal.is_none() { Signals::listen().ok() } else { None };
    let record = EndRecord {
        operation_id: begun.operation_id.clone(),
        time: rfc3339(SystemTime::now()),
        pid: std::process::id(),
        exit_code,
        changed,
        seconds: seconds(begun.since.elapsed()),
        error: error.clone(),
    };
    let how = error.map_or_else(|| outcome.to_owned(), |error| format!("{outcome}: {error}"));
    let message =
        format!("operation {} ended after {:.1} s, {how}: {}", begun.operation_id, record.seconds, begun.command);
    let mut fields = device_fields(&begun.operation_id, &begun.command, &begun.devices);
    fields.extend([
        ("PCICTL_OUTCOME", outcome.to_owned()),
        ("PCICTL_EXIT_CODE", record.exit_code.to_string()),
        ("PCICTL_SECONDS", record.seconds.to_string()),
    ]);
    fields.extend(changed.map(|changed| ("PCICTL_CHANGED", u8::from(changed).to_string())));
    let priority = if exit_code == 0 { Priority::Notice } else { Priority::Warning };
    write(context, AuditRecord::End(record));
    log(context, &LogRecord { priority, message_id: ENDED, message, fields });
}

/// Another process goes on with the operation, and records its end.
pub(crate) fn leave(context: &Context) {
    context.recorded.take();
}

fn write(context: &Context, record: AuditRecord) {
    let file = context.audit_file();
    if let Err(error) = file.append(&record) {
        warn(context, &file.path().display().to_string(), &error);
    }
}

fn log(context: &Context, record: &LogRecord) {
    // What is only rehearsed did not happen.
    if context.rehearsal.is_some() {
        return;
    }
    match system_log::send(record) {
        // A rescue system has no log.
        Err(error) if error.kind() != io::ErrorKind::NotFound => warn(context, "the machine's log", &error),
        _ => {}
    }
}

fn warn(context: &Context, what: &str, error: &io::Error) {
    context.tell_once(format!("this operation cannot be recorded in {what}: {}", plain(error)));
}

fn devices(sysfs: &Sysfs, addresses: &[PciAddress]) -> Vec<AuditedDevice> {
    let mut inspector = Inspector::new(sysfs);
    let device = |address: &PciAddress| {
        let ids = sysfs.modalias(*address).and_then(|alias| Ids::from_modalias(&alias));
        AuditedDevice {
            address: *address,
            ids: ids.map(ids_text),
            driver: sysfs.driver(&address.sysfs_link()),
            slot: inspector.attributes.slot(*address),
            serial: inspector.serial_number(*address),
            names: inspector.things_on(*address),
            name: ids.map(|ids| inspector.description(ids)),
        }
    };
    addresses.iter().filter(|address| sysfs.has_function(**address)).map(device).collect()
}

fn device_fields(operation_id: &str, command: &str, devices: &[PciAddress]) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("PCICTL_OPERATION", operation_id.to_owned()),
        ("PCICTL_COMMAND", command.to_owned()),
        ("PCICTL_VERSION", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    fields.extend(devices.iter().map(|address| ("PCICTL_DEVICE", address.to_string())));
    fields
}

fn invoker_fields(invoker: &Invoker) -> Vec<(&'static str, String)> {
    let told = [
        ("PCICTL_UID", Some(invoker.uid.to_string())),
        ("PCICTL_LOGIN_UID", invoker.login_uid.map(|uid| uid.to_string())),
        ("PCICTL_SUDO_USER", invoker.sudo_user.clone()),
        ("PCICTL_TTY", invoker.tty.clone()),
        ("PCICTL_SSH_CLIENT", invoker.ssh_client.clone()),
        ("PCICTL_UNIT", invoker.unit.clone()),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOG: &str = include_str!("../../packaging/systemd/pcictl.catalog");
    const MANUAL: &str = include_str!("../../man/pcictl-history.8");

    #[test]
    fn the_catalog_and_the_manual_explain_both_kinds_of_records() {
        let entries: Vec<&str> = CATALOG.split("\n-- ").skip(1).collect();
        let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.lines().next()).collect();
        assert_eq!(ids, [BEGINS, ENDED]);
        for entry in entries {
            // systemd knows no other keys, and takes all up to the first empty line for them.
            let (head, text) = entry.split_once("\n\n").unwrap();
            let keys: Vec<&str> = head.lines().skip(1).filter_map(|line| Some(line.split_once(": ")?.0)).collect();
            assert_eq!(keys, ["Subject", "Defined-By", "Documentation", "Documentation"]);
            let fields: Vec<&str> = entry.split('@').skip(1).step_by(2).collect();
            assert!(fields.len() > 1 && text.contains("pcictl status"), "{entry}");
            for field in fields {
                assert!(include_str!("audit.rs").contains(&format!("(\"{field}\"")), "{field} is sent by nobody");
            }
        }
        for id in [BEGINS, ENDED] {
            assert!(MANUAL.contains(&format!("MESSAGE_ID={id}")), "{id}");
        }
    }
}
