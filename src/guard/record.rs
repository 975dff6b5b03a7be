//! What is told of each raw write: a line for people, and a record for programs.
//!
//! The records are lines of JSON in `guard.log` of the run directory. When it is long, it becomes `guard.log.1`, and the one
//! before that is gone: what is to be kept for longer is in the log of the service manager.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc;
use serde::Serialize;

use crate::guard::kinds::{Kind, MarkedFile};
use crate::guard::opener::Opener;

/// So many bytes a log has before the next one is begun.
const LONGEST: u64 = 1 << 20;

/// Its name below the run directory.
const NAME: &str = "guard.log";

/// What became of somebody who opened a file of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fate {
    /// He was let go on, and is done.
    Done,
    /// He was inside when the guard came, and is done.
    WasInside,
    /// He was not let go on.
    Denied,
    /// He was let go on, though others were in the way: only a report was asked for.
    Reported,
    /// He was killed, or gave up, while he waited.
    GaveUp,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    schema: u32,
    /// Seconds since 1970.
    time: f64,
    /// What became of him.
    pub(crate) outcome: Fate,
    /// What a write does.
    kind: Kind,
    /// The file.
    file: String,
    /// Who.
    #[serde(flatten)]
    opener: Opener,
    /// How long he waited.
    waited_seconds: f64,
    /// How long he was inside; none if he never was.
    took_seconds: Option<f64>,
    /// Why he was denied.
    why: Option<String>,
}

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    length: u64,
}

impl Record {
    /// Of somebody who waited so long, and was inside so long.
    pub(crate) fn new(
        outcome: Fate,
        (opener, file): (&Opener, &MarkedFile),
        waited: Duration,
        took: Option<Duration>,
        why: Option<String>,
    ) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self {
            schema: 1,
            time: rounded(time),
            outcome,
            kind: file.kind,
            file: file.path.clone(),
            opener: opener.clone(),
            waited_seconds: rounded(waited.as_secs_f64()),
            took_seconds: took.map(|took| rounded(took.as_secs_f64())),
            why,
        }
    }

    /// The line for people.
    pub(crate) fn in_words(&self) -> String {
        let user = match (self.opener.uid, self.opener.login_uid) {
            (_, Some(login)) if Some(login) != self.opener.uid => format!(", logged in as uid {login}"),
            (Some(uid), _) if uid != 0 => format!(", uid {uid}"),
            _ => String::new(),
        };
        let who = format!("{}{user}", self.opener.name());
        let (file, waited) = (&self.file, self.waited_seconds);
        let why = self.why.as_deref().unwrap_or("it took too long");
        let took = self.took_seconds.unwrap_or_default();
        match self.outcome {
            Fate::Done if waited < 0.05 => format!("{who}: wrote to /sys/{file} in {took:.3} s"),
            Fate::Done => format!("{who}: waited {waited:.1} s, then wrote to /sys/{file} in {took:.3} s"),
            Fate::WasInside => format!("{who}: left /sys/{file}, which it had open before the guard came"),
            Fate::Denied => format!("{who}: may not write to /sys/{file}: {why}"),
            Fate::Reported => format!("{who}: writes to /sys/{file}; {why}"),
            Fate::GaveUp => format!("{who}: gave up after {waited:.1} s before it could write to /sys/{file}"),
        }
    }
}

impl Log {
    /// The one in this run directory.
    pub(crate) fn in_directory(run: &Path) -> Self {
        let mut log = Self { path: run.join(NAME), file: None, length: 0 };
        log.open();
        log
    }

    /// Adds a record. One that cannot be written is lost: nobody is to wait for it.
    pub(crate) fn add(&mut self, record: &Record) {
        let mut line = serde_json::to_vec(record).unwrap_or_default();
        line.push(b'\n');
        if self.length > LONGEST {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            let _ = self.replace(Path::new(&older));
            self.open();
        }
        self.length += line.len() as u64;
        let _ = self.file.as_mut().map(|file| file.write_all(&line));
    }

    #[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "a log of this boot, which need not be on disk"))]
    fn replace(&self, older: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, older)
    }

    fn open(&mut self) {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        self.file = options.open(&self.path).ok();
        let length = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.len());
        self.length = length.unwrap_or_default();
    }
}

/// Microseconds are all that anybody can use.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
