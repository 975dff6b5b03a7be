//! Why an operation stopped, in one sentence that also says what was rolled back.

use nix::errno::Errno;

use crate::error::{Error, ErrorKind};
use crate::execute::outcome::{Outcome, Outcomes, Undone};
use crate::plan::action::{Action, Step};
use crate::plan::step_state::{NO_SUCH_VF, NOBODY_BOUND, NOT_KEPT};
use crate::report::text::words;

/// Why an operation does not go on.
pub(crate) struct StepFailure {
    /// What happened, to which device.
    pub(crate) message: String,
    /// The kind of error that it is if everything can be put back.
    pub(crate) kind: ErrorKind,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl StepFailure {
    pub(crate) fn new(kind: ErrorKind, message: String) -> Self {
        Self { message, kind, hint: None }
    }

    /// A method answers ENOTTY both where it does not apply and where the device or its link does not come back in time
    /// (pcie_flr, pci_dev_wait, pci_bridge_wait_for_secondary_bus in drivers/pci/pci.c).
    fn no_method(kind: ErrorKind, action: &Action) -> Self {
        let message = format!("{}: no method that the kernel tried worked", words::describe_action(action));
        let hint = "dmesg tells whether the device or its link did not come back in time; pcictl reset --list shows the methods";
        Self { hint: Some(hint.to_owned()), ..Self::new(kind, message) }
    }

    /// The journal could not be written, or no process could be started that writes: the kernel was not asked.
    fn not_begun(kind: ErrorKind, what: &str, errno: Errno) -> Self {
        let hint = match errno {
            Errno::EAGAIN | Errno::ENOMEM => {
                "no process could be started for it: see ulimit -u, pids.max of the control group"
            }
            Errno::EMFILE | Errno::ENFILE => "it needs more open files: see ulimit -n, fs.file-max",
            _ => "the journal could not be written: see df and dmesg about the file system of the run directory",
        };
        let message = format!("{what}: the kernel was not asked: {}", errno.desc());
        Self { hint: Some(hint.to_owned()), ..Self::new(kind, message) }
    }

    /// What kept these steps from being done, if anything did.
    pub(crate) fn first(steps: &[Step], outcomes: &Outcomes) -> Option<Self> {
        if let Some((index, errno)) = outcomes.failure() {
            let kind = match errno {
                _ if outcomes.interrupted => ErrorKind::Interrupted,
                Errno::EACCES | Errno::EPERM | Errno::EROFS => ErrorKind::NotPermitted,
                _ => ErrorKind::Failed,
            };
            let action = &steps[index].action;
            if errno == Errno::ENOTTY && matches!(action, Action::Reset { .. }) {
                return Some(Self::no_method(kind, action));
            }
            let what = words::describe_action(action);
            if errno == Errno::EOPNOTSUPP && matches!(action, Action::SetVf { .. }) && kind == ErrorKind::Failed {
                let message = format!("{what}: the driver of the physical function cannot do that");
                return Some(Self::new(ErrorKind::Unsupported, message));
            }
            if outcomes.not_begun == Some(index) {
                return Some(Self::not_begun(kind, &what, errno));
            }
            return Some(Self::new(kind, format!("{what}: {}", why_not(action, errno))));
        }
        if outcomes.interrupted {
            let done = outcomes.each().iter().filter(|outcome| matches!(outcome, Outcome::Done(..))).count();
            let message = format!("interrupted after {done} of {} steps", steps.len());
            return Some(Self::new(ErrorKind::Interrupted, message));
        }
        None
    }
}

/// What the kernel answered, in words.
fn errno_text(errno: Errno) -> String {
    match errno {
        Errno::ECANCELED => "its writer was killed".to_owned(),
        NOBODY_BOUND => "the driver did not take it, though the kernel reported success; dmesg may tell why".to_owned(),
        NOT_KEPT => "the kernel reported success and tells another value; dmesg may tell why".to_owned(),
        NO_SUCH_VF => "no interface of the physical function tells of its VFs".to_owned(),
        errno => format!("the kernel said no: {}", errno.desc()),
    }
}

/// Why an action was not done, in words.
pub(crate) fn why_not(action: &Action, errno: Errno) -> String {
    if lacks_driver(action, errno) {
        "it has no driver, or one that knows no VFs".to_owned()
    } else {
        errno_text(errno)
    }
}

/// Whether VFs were refused because their physical function has no driver, or one without sriov_configure
/// (sriov_numvfs_store in drivers/pci/iov.c).
pub(crate) fn lacks_driver(action: &Action, errno: Errno) -> bool {
    errno == Errno::ENOENT && matches!(action, Action::SetVfs { .. } | Action::CreateVfs { .. })
}

/// What could not be undone, and why.
fn lost(undone: &Undone) -> Vec<String> {
    let lost = undone.each.iter().filter_map(|(action, outcome)| match outcome {
        Outcome::Failed(errno) => Some(format!("{}: {}", words::describe_action(action), why_not(action, *errno))),
        _ => None,
    });
    lost.collect()
}

/// What to do about what could not be undone.
fn remedy(undone: &Undone) -> Option<String> {
    let driverless = undone.each.iter().find_map(|(action, outcome)| match outcome {
        Outcome::Failed(errno) if lacks_driver(action, *errno) => action.address(),
        _ => None,
    })?;
    Some(format!("pcictl bind {driverless} gives it its driver; pcictl recover tries again then"))
}

/// All was done as planned, and then not all could be put back; none if it could.
pub(crate) fn not_put_back(undone: &Undone) -> Option<Error> {
    let lost = lost(undone);
    let first = undone.each.iter().find(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))?.0.address();
    let error = Error::new(ErrorKind::Partly, format!("it is done, but not all was put back: {}", lost.join("; ")));
    let hint = remedy(undone).unwrap_or_else(|| "pcictl recover tries again".to_owned());
    let error = error.hint(hint).fact("not_undone", lost);
    Some(match first {
        Some(address) => error.about(address),
        None => error,
    })
}

pub(crate) fn rollback_error(undone: &Undone, why: StepFailure, lasting: &str) -> Error {
    let lost = lost(undone);
    let mut message = why.message;
    if !lasting.is_empty() {
        message.push_str(&format!("; {lasting}"));
    }
    message.push_str(&match (undone.each.len(), lost.len()) {
        (0, _) if lasting.is_empty() => "; nothing was changed".to_owned(),
        (0, _) => String::new(),
        (1, 0) => "; the one step was undone".to_owned(),
        (all, 0) => format!("; all {all} steps were undone"),
        (all, failed) => format!("; {} of {all} steps were undone, and not: {}", all - failed, lost.join("; ")),
    });
    let kind = match why.kind {
        ErrorKind::Interrupted => ErrorKind::Interrupted,
        kind if lost.is_empty() && lasting.is_empty() => kind,
        _ => ErrorKind::Partly,
    };
    let error = Error::new(kind, message).fact("undone", undone.each.len() - lost.len());
    let error = match why.hint.or_else(|| remedy(undone)) {
        Some(hint) => error.hint(hint),
        None => error,
    };
    if lost.is_empty() { error } else { error.fact("not_undone", lost) }
}
