//! `pcictl recover`: brings interrupted operations to their end or back to their start, under the locks.

use crate::cli::args::RecoverArgs;
use crate::commands::status;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::operation::context::Context;
use crate::operation::options::ChangeOptions;
use crate::operation::recover::{close_rebooted, forget_rebooted, recover, recover_lost, set_aside};
use crate::report::status::{RecoverReport, Recovered};
use crate::report::text;
use crate::state::file::Invalid;
use crate::state::journal::progress::other_device;
use crate::state::journal::store::{JournalFile, Orphans};

pub(crate) fn run(context: &Context, args: &RecoverArgs) -> Result<ExitStatus> {
    let options = &args.options();
    if options.dry_run {
        return status::once(context);
    }
    context.refuse_in_dump(options)?;
    let boot = context.machine.boot_id();
    let mut recovery = Recovery { context, options, ids: &args.ids, boot, seen: Vec::new(), is_whole: true };
    let mut report = RecoverReport::default();
    for found in context.journals().list()? {
        let found = if found.busy { look_again(context, &found)? } else { found };
        report.operations.extend(recovery.journal(&found)?);
    }
    let orphans = context.journals().orphans(&recovery.boot);
    report.operations.extend(recovery.orphans(orphans)?);
    if let Some(unknown) = args.ids.iter().find(|id| !recovery.seen.contains(id)) {
        let message = format!("{unknown}: there is no such operation");
        return Err(Error::new(ErrorKind::NoSuchDevice, message).hint("pcictl status lists those that there are"));
    }
    context.output.outcome(&report, text::status::recovered);
    Ok(if recovery.is_whole { ExitStatus::Done } else { ExitStatus::Partly })
}

fn look_again(context: &Context, found: &JournalFile) -> Result<JournalFile> {
    context.journals().look_again(found).map_err(|error| Error::io("the journals", &error))
}

/// A recovery on its way from one operation to the next.
struct Recovery<'a> {
    context: &'a Context<'a>,
    options: &'a ChangeOptions,
    /// Those that were asked for; all if none.
    ids: &'a [String],
    boot: String,
    seen: Vec<String>,
    /// Nothing was found that cannot be used.
    is_whole: bool,
}

impl Recovery<'_> {
    fn is_wanted(&mut self, id: &str) -> bool {
        let is_wanted = self.ids.is_empty() || self.ids.iter().any(|wanted| wanted == id);
        if is_wanted {
            self.seen.push(id.to_owned());
        }
        is_wanted
    }

    fn journal(&mut self, found: &JournalFile) -> Result<Option<Recovered>> {
        let context = self.context;
        if !self.is_wanted(found.id()) {
            return Ok(None);
        }
        // Whoever works on it knows better than anybody who reads what is being written.
        if found.busy {
            let is_closed = found.record.as_ref().is_ok_and(|record| record.closed.is_some());
            return Ok((!is_closed).then(|| Recovered::new(found.id(), "is under way; nothing to recover")));
        }
        match &found.record {
            Err(Invalid::Absent) => Ok(None),
            Err(why) if why.is_damaged() => {
                self.is_whole = false;
                set_aside(context, found, &why.to_string()).map(Some)
            }
            Err(why) => Ok(Some(self.left_alone(found.id(), why))),
            Ok(record) if record.closed.is_some() => Ok(None),
            Ok(record) if record.header.boot != self.boot => close_rebooted(context, found).map(Some),
            Ok(record) => match other_device(record, &context.machine.sysfs) {
                Some(address) => {
                    self.is_whole = false;
                    set_aside(context, found, &format!("{address} is another device now")).map(Some)
                }
                None => recover(context, self.options, found, record).map(Some),
            },
        }
    }

    fn orphans(&mut self, orphans: Orphans) -> Result<Vec<Recovered>> {
        let (context, journals) = (self.context, self.context.journals());
        let mut recovered = Vec::new();
        for header in orphans.rebooted {
            if self.is_wanted(&header.id) {
                recovered.push(forget_rebooted(context, &header)?);
            }
        }
        for header in orphans.lost {
            if self.is_wanted(&header.id) {
                recovered.push(recover_lost(context, self.options, &header)?);
            }
        }
        for (path, why) in orphans.bad.iter().filter(|_| self.ids.is_empty()) {
            let name = path.display().to_string();
            if why.is_damaged() {
                self.is_whole = false;
                let aside = journals.set_aside(path).map_err(|error| Error::io(path.display(), &error))?;
                recovered.push(Recovered::new(&name, &format!("set aside as {}", aside.display())));
            } else {
                recovered.push(self.left_alone(&name, why));
            }
        }
        Ok(recovered)
    }

    /// What could be good for somebody else, or later, is never moved.
    fn left_alone(&mut self, id: &str, why: &Invalid) -> Recovered {
        self.is_whole = false;
        Recovered::new(id, &format!("cannot be read, and was left where it is: {why}"))
    }
}
