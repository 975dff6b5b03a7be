//! Errors: one line that says what happened, to which device and why, one that says what to do next, and the exit status.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// The exit statuses of the contract. Never 0 when the kernel said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done, or already so where `--if-present` allows that.
    Done = 0,
    /// Failed; nothing is left changed.
    Failed = 1,
    /// The command line is not valid.
    Usage = 2,
    /// No such device; nothing matched.
    NoSuchDevice = 3,
    /// Refused: in use, protected, or not safe.
    Refused = 4,
    /// Partly done; the report says what is and what is not.
    Partly = 5,
    /// Done, but what came back is not what was expected.
    Unexpected = 6,
    /// Somebody else holds a lock that is needed.
    Locked = 75,
    /// Not permitted.
    NotPermitted = 77,
    /// The kernel did not finish in time, and the operation continues and keeps its lock; or `wait` waited in vain.
    Unfinished = 124,
    /// `pcictl lock`: the command is there but cannot be run.
    CannotRun = 126,
    /// `pcictl lock`: there is no such command.
    NoSuchCommand = 127,
    /// Interrupted; the state is restored or reported.
    Interrupted = 130,
}

impl ExitStatus {
    /// Every status.
    const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoSuchDevice,
        Self::Refused,
        Self::Partly,
        Self::Unexpected,
        Self::Locked,
        Self::NotPermitted,
        Self::Unfinished,
        Self::CannotRun,
        Self::NoSuchCommand,
        Self::Interrupted,
    ];

    /// The same of a number that was recorded.
    pub(crate) fn outcome_of(code: u8) -> Option<&'static str> {
        Self::ALL.into_iter().find(|status| *status as u8 == code).map(Self::outcome)
    }

    /// How a command that ends with it went, in a word.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "invalid",
            Self::NoSuchDevice => "no such device",
            Self::Refused => "refused",
            Self::Partly => "partly done",
            Self::Unexpected => "not as expected",
            Self::Locked => "locked",
            Self::NotPermitted => "not permitted",
            Self::Unfinished => "not finished",
            Self::CannotRun | Self::NoSuchCommand => "not run",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// The kinds of error, as `error.kind` of the JSON document names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line is not valid.
    Usage,
    /// A selector matches several functions where one is needed.
    Ambiguous,
    /// Nothing matches a selector, or what is there does not read as a PCI function.
    NoSuchDevice,
    /// pcictl will not do this.
    Refused,
    /// The device is in use, or that could not be checked.
    InUse,
    /// A lock is held by someone else.
    Locked,
    /// The lock files are untrusted or cannot be created.
    LockFiles,
    /// The kernel or the file system refused for lack of permission.
    NotPermitted,
    /// A call failed, and nothing is left changed.
    Failed,
    /// What this device, slot or kernel cannot do.
    Unsupported,
    /// Some of the work is done and some is not.
    Partly,
    /// The kernel did not finish in the time that this process waits.
    Unfinished,
    /// What was waited for is not so in the time that was given.
    TimedOut,
    /// A signal asked it to stop.
    Interrupted,
    /// The command to run under a lock cannot be run.
    CannotRun,
    /// The command to run under a lock is not found.
    NoSuchCommand,
}

impl ErrorKind {
    /// The kind's name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Ambiguous => "ambiguous",
            Self::NoSuchDevice => "no_such_device",
            Self::Refused => "refused",
            Self::InUse => "in_use",
            Self::Locked => "locked",
            Self::LockFiles => "lock_files",
            Self::NotPermitted => "not_permitted",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Partly => "partly",
            Self::Unfinished => "unfinished",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::CannotRun => "cannot_run",
            Self::NoSuchCommand => "no_such_command",
        }
    }

    /// The exit status that this kind of error ends with.
    pub(crate) fn status(self) -> ExitStatus {
        match self {
            Self::Usage | Self::Ambiguous => ExitStatus::Usage,
            Self::NoSuchDevice => ExitStatus::NoSuchDevice,
            Self::Refused | Self::InUse => ExitStatus::Refused,
            Self::Locked => ExitStatus::Locked,
            Self::NotPermitted => ExitStatus::NotPermitted,
            Self::LockFiles | Self::Failed | Self::Unsupported => ExitStatus::Failed,
            Self::Partly => ExitStatus::Partly,
            Self::Unfinished | Self::TimedOut => ExitStatus::Unfinished,
            Self::Interrupted => ExitStatus::Interrupted,
            Self::CannotRun => ExitStatus::CannotRun,
            Self::NoSuchCommand => ExitStatus::NoSuchCommand,
        }
    }
}

/// An error as people and runbooks see it.
///
/// The message is one line: what happened, to which device, why. What to do next is the hint. Both are written where the
/// facts are known; what a program may want of them goes into `facts` as well.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    facts: Map<String, Value>,
}

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What to do where rights are missing; root is not told to be root.
pub(crate) fn rights_hint() -> &'static str {
    if nix::unistd::geteuid().is_root() {
        "a container or an LSM takes a right from root; run it on the host, with all capabilities"
    } else {
        "run it as root"
    }
}

impl Error {
    /// An error of this kind; the message is one line without a full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, facts: Map::new() }
    }

    /// Says what to do next, in one line without a full stop: printed on a line of its own after `hint:`.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a fact to the JSON document.
    #[must_use]
    pub(crate) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Says first what it was that failed.
    #[must_use]
    pub(crate) fn prefixed(mut self, doing: &str) -> Self {
        self.message.insert_str(0, doing);
        self
    }

    /// The same error after a part of the work was done, so that nobody reads that nothing is changed.
    #[must_use]
    pub(crate) fn partly(mut self, what_now: &str) -> Self {
        if !matches!(self.kind, ErrorKind::Interrupted | ErrorKind::Unfinished) {
            self.kind = ErrorKind::Partly;
        }
        self.message = format!("{}; {what_now}", self.message);
        self
    }

    /// Names the device that the error is about in the JSON document.
    #[must_use]
    pub(crate) fn about(self, address: impl fmt::Display) -> Self {
        self.fact("address", address.to_string())
    }

    /// A command line that is not valid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// A call that failed: EACCES, EPERM and EROFS become "not permitted", all else "failed".
    pub(crate) fn io(doing: impl fmt::Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        match error.kind() {
            Io::PermissionDenied => {
                let error = Self::new(ErrorKind::NotPermitted, format!("{doing}: {}", plain(error)));
                // Of root it may be the file's own rights, or anything else.
                if nix::unistd::geteuid().is_root() { error } else { error.hint(rights_hint()) }
            }
            Io::ReadOnlyFilesystem => Self::new(ErrorKind::NotPermitted, format!("{doing}: {}", plain(error)))
                .hint("in a container, run it on the host"),
            _ => Self::new(ErrorKind::Failed, format!("{doing}: {}", plain(error))),
        }
    }

    /// What to do next, where anything helps.
    pub fn next(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit status it ends with.
    pub fn status(&self) -> ExitStatus {
        self.kind.status()
    }
}

/// `error` of the JSON document: kind, message and exit code, then the facts.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("exit_code", &(self.status() as u8))?;
        if let Some(hint) = &self.hint {
            map.serialize_entry("hint", hint)?;
        }
        for (name, value) in &self.facts {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The system's words for an error, without Rust's "(os error N)".
pub(crate) fn plain(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| nix::errno::Errno::from_raw(code).desc().to_owned())
}
