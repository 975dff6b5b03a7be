//! `pcictl status`: operations that are under way or were interrupted, and devices removed and not back yet.

use crate::cli::args::StatusArgs;
use crate::error::{ExitStatus, Result};
use crate::guard;
use crate::host::clock::Moment;
use crate::operation::acquire::other_world;
use crate::operation::context::Context;
use crate::operation::interrupted::{leftover, operations};
use crate::operation::removal_record;
use crate::operation::watch::{Sources, watch};
use crate::report::status::{MissingDevice, StatusReport};
use crate::report::text::status;
use crate::verify::record::RemovedDevice;

pub(crate) fn run(context: &Context, args: &StatusArgs) -> Result<ExitStatus> {
    let sources = Sources { devices: true, files: true, users: false };
    watch(context, args.watching.watch, sources, &|| once(context))
}

pub(crate) fn once(context: &Context) -> Result<ExitStatus> {
    context.tell_notes(&other_world(context).into_iter().collect::<Vec<_>>());
    let listing = removal_record::listing(context);
    let (_, gone) = removal_record::back_and_missing(context, listing.entries)?;
    let missing =
        |entry: RemovedDevice| MissingDevice { address: entry.record.address, removed_at: Moment(entry.removed_at) };
    let (guard, guard_trouble) = match guard::status::of_machine(&context.machine) {
        Ok(guard) => (guard, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let report = StatusReport {
        operations: operations(context, &context.journals().list()?),
        removed: gone.into_iter().map(missing).collect(),
        invalid_entries: listing.bad.iter().map(ToString::to_string).collect(),
        guard,
        guard_trouble,
    };
    let open =
        !report.invalid_entries.is_empty() || report.operations.iter().any(|operation| leftover(operation).is_some());
    context.output.report(&report, status::status);
    Ok(if open { ExitStatus::Partly } else { ExitStatus::Done })
}
