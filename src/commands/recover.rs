//! `pcictl recover`: brings interrupted operations to their end or back to their start, under the locks.

use crate::cli::args::RecoverArgs;
use crate::commands::status;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::operation::context::Context;
use crate::operation::recover::{close, recover, set_aside};
use crate::report::status::{RecoverReport, Recovered};
use crate::report::text;
use crate::state::journal::progress::other_device;
use crate::state::journal::store::JournalFile;

pub(crate) fn run(context: &Context, args: &RecoverArgs) -> Result<ExitStatus> {
    let options = &args.options();
    if context.is_only_to_look_at() {
        return Err(Error::usage("--sysroot is for looking; pcictl status --sysroot DIR shows what is interrupted"));
    }
    if options.dry_run {
        return status::run(context);
    }
    let journals = context.journals();
    let boot = context.machine.boot_id();
    let mut report = RecoverReport::default();
    let wanted = |id: &str| args.ids.is_empty() || args.ids.iter().any(|wanted| wanted == id);
    let mut seen = Vec::new();
    for found in journals.list()? {
        let id = found.record.as_ref().map_or_else(|_| file_name(&found), |record| record.header.id.clone());
        if !wanted(&id) {
            continue;
        }
        seen.push(id.clone());
        let recovered = match &found.record {
            Err(why) => set_aside(context, &found, &id, why)?,
            Ok(record) if record.closed.is_some() => continue,
            Ok(_) if found.busy => Recovered::new(&id, "is under way; nothing to recover"),
            Ok(record) if record.header.boot != boot => close(context, &found, record, "cut off by a reboot")?,
            Ok(record) => match other_device(record, &context.machine.sysfs) {
                Some(address) => set_aside(context, &found, &id, &format!("{address} is another device now"))?,
                None => recover(context, options, &found, record)?,
            },
        };
        report.operations.push(recovered);
    }
    let (cut_off, bad) = journals.interrupted_by_reboot(&boot);
    for header in cut_off.iter().filter(|header| wanted(&header.id)) {
        seen.push(header.id.clone());
        journals.remove_marker(&header.id).map_err(|error| Error::io("the note cannot be removed", &error))?;
        report.operations.push(Recovered::new(&header.id, "was cut off by a reboot; nothing is left of it"));
    }
    for path in bad.iter().filter(|_| args.ids.is_empty()) {
        let aside = journals.set_aside(path).map_err(|error| Error::io(path.display(), &error))?;
        report
            .operations
            .push(Recovered::new(&path.display().to_string(), &format!("set aside as {}", aside.display())));
    }
    if let Some(unknown) = args.ids.iter().find(|id| !seen.contains(id)) {
        let message = format!("{unknown}: there is no such operation; pcictl status lists those that there are");
        return Err(Error::new(ErrorKind::NoSuchDevice, message));
    }
    context.output.outcome(&report, text::status::recovered);
    Ok(ExitStatus::Done)
}

fn file_name(found: &JournalFile) -> String {
    let name = found.path.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
