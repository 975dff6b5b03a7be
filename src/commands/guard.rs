//! `pcictl guard`: makes raw writers take part.

use crate::cli::guard::GuardArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::guard::checks::Conditions;
use crate::guard::serve::serve;
use crate::guard::status::ask;
use crate::operation::context::Context;
use crate::report::text::guard::guard;

pub(crate) fn run(context: &Context, args: &GuardArgs) -> Result<ExitStatus> {
    if args.status {
        return status(context);
    }
    if context.machine.sysfs.is_dump() && !context.machine.has_own_run_directory() {
        let message = "--sysroot: nobody writes to a dumped tree but who tries the guard; set PCICTL_RUN_DIR to do so";
        return Err(Error::usage(message));
    }
    let options = args.options();
    if context.machine.sysfs.is_dump() && options.conditions != Conditions::default() {
        return Err(Error::usage("--sysroot: drivers and users of a dumped tree are not this machine's"));
    }
    serve(context, &options)
}

fn status(context: &Context) -> Result<ExitStatus> {
    let Some(report) = ask(&context.machine.run)? else {
        let hint = "systemctl start pcictl-guard, or pcictl guard in the foreground";
        return Err(Error::new(ErrorKind::Failed, "no guard is running: raw writes are not held up").hint(hint));
    };
    context.output.report(&report, guard);
    Ok(ExitStatus::Done)
}
