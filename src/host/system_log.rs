//! The machine's log: systemd's journal by its native protocol, else syslog.
//!
//! The protocol is a datagram of fields (systemd.io/JOURNAL_NATIVE_PROTOCOL); syslog's a line with a priority (RFC 3164).
//! Nobody is waited for: a log that does not take a record at once does not get it, and the caller learns why.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::host::text::cut;

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

/// Longer values are cut: a datagram has to fit.
const LONGEST: usize = 4096;

/// How much a record matters (syslog(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// Something did not end well.
    Warning = 4,
    /// Something happened that an administrator wants to find again.
    Notice = 5,
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct LogRecord {
    /// How much it matters.
    pub(crate) priority: Priority,
    /// What kind of record it is: 128 random bits that never change (`journalctl --new-id128`).
    pub(crate) message_id: &'static str,
    /// What people read.
    pub(crate) message: String,
    /// Fields by name, which is upper case and may come more than once.
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// Sends a record to the journal of this machine, or to its syslog where there is no journal.
///
/// # Errors
/// Neither is there, or it does not take the record.
pub(crate) fn send(record: &LogRecord) -> io::Result<()> {
    send_to(Path::new(JOURNAL), Path::new(SYSLOG), record)
}

fn send_to(journal: &Path, syslog: &Path, record: &LogRecord) -> io::Result<()> {
    match datagram(journal, &record.native()) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            datagram(syslog, record.line().as_bytes())
        }
        sent => sent,
    }
}

fn datagram(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match socket.send_to(bytes, path) {
        // "Try again" is what we do not.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(io::Error::new(error.kind(), "it takes nothing more at the moment"))
        }
        sent => sent.map(|_| ()),
    }
}

impl LogRecord {
    fn native(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let priority = (self.priority as u8).to_string();
        let first = [
            ("MESSAGE", self.message.as_str()),
            ("MESSAGE_ID", self.message_id),
            ("PRIORITY", &priority),
            ("SYSLOG_IDENTIFIER", "pcictl"),
        ];
        let fields = self.fields.iter().map(|(name, value)| (*name, value.as_str()));
        first.into_iter().chain(fields).for_each(|(name, value)| field(&mut bytes, name, value));
        bytes
    }

    /// Facility 3: system daemons.
    fn line(&self) -> String {
        const FACILITY: u8 = 3;
        let priority = FACILITY * 8 + self.priority as u8;
        let message: String =
            cut(&self.message, LONGEST).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("<{priority}>pcictl[{}]: {message}", std::process::id())
    }
}

/// A field as the protocol has it: a value with a line feed is told with its length.
fn field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let value = cut(value, LONGEST);
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        LogRecord {
            priority: Priority::Notice,
            message_id: "00112233445566778899aabbccddeeff",
            message: "remove 0000:03:00.0".to_owned(),
            fields: vec![("PCICTL_DEVICE", "0000:03:00.0".to_owned()), ("PCICTL_COMMAND", "a\nb".to_owned())],
        }
    }

    #[test]
    fn the_journal_gets_fields_and_syslog_a_line_where_there_is_no_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let received = |socket: &UnixDatagram| {
            let mut bytes = vec![0; 65_536];
            let length = socket.recv(&mut bytes).unwrap();
            bytes.truncate(length);
            bytes
        };
        assert_eq!(send_to(&path("j"), &path("s"), &record()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let syslog = UnixDatagram::bind(path("s")).unwrap();
        send_to(&path("j"), &path("s"), &record()).unwrap();
        let line = String::from_utf8(received(&syslog)).unwrap();
        assert_eq!(line, format!("<29>pcictl[{}]: remove 0000:03:00.0", std::process::id()));
        let journal = UnixDatagram::bind(path("j")).unwrap();
        send_to(&path("j"), &path("s"), &record()).unwrap();
        let bytes = received(&journal);
        let expected = "MESSAGE=remove 0000:03:00.0\nMESSAGE_ID=00112233445566778899aabbccddeeff\nPRIORITY=5\n\
            SYSLOG_IDENTIFIER=pcictl\nPCICTL_DEVICE=0000:03:00.0\nPCICTL_COMMAND\n\x03\0\0\0\0\0\0\0a\nb\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn a_log_that_is_full_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (journal, syslog) = (directory.path().join("j"), directory.path().join("s"));
        let _full = UnixDatagram::bind(&journal).unwrap();
        let error = (0..100_000).find_map(|_| send_to(&journal, &syslog, &record()).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "ä".repeat(LONGEST);
        assert_eq!(cut(&long, LONGEST).len(), LONGEST);
        assert_eq!(cut(&format!("x{long}"), LONGEST).len(), LONGEST - 1);
    }
}
