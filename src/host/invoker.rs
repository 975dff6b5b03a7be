//! Who runs this: what the kernel knows of it, and what the environment says.
//!
//! The kernel's login user id survives su and sudo (audit(7)); what comes from the environment is what the caller left there,
//! and proves nothing.

use std::path::Path;

use nix::unistd::{geteuid, getuid};
use serde::{Deserialize, Serialize};

use crate::host::procfs::Procfs;

/// What the kernel says where nobody has logged in: (uid_t) -1.
const NOT_SET: u32 = u32::MAX;

/// Who runs this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Invoker {
    /// The real user id.
    pub(crate) uid: u32,
    /// The effective user id, where it is another.
    pub(crate) effective_uid: Option<u32>,
    /// The user that logged in; none where nobody did, as in a unit, or the kernel does not tell.
    pub(crate) login_uid: Option<u32>,
    /// The user that logged in, by name, where /etc/passwd has it.
    pub(crate) login_user: Option<String>,
    /// Who called sudo, by sudo's word.
    pub(crate) sudo_user: Option<String>,
    /// The terminal.
    pub(crate) tty: Option<String>,
    /// Address and port that ssh says its client has.
    pub(crate) ssh_client: Option<String>,
    /// The systemd unit or scope, by the control group.
    pub(crate) unit: Option<String>,
}

impl Invoker {
    /// Of this process.
    pub(crate) fn of_this_process() -> Self {
        let procfs = Procfs::live().ok();
        let read = |path: &str| procfs.as_ref()?.text(path).ok().flatten();
        let (uid, effective) = (getuid().as_raw(), geteuid().as_raw());
        let login = read("self/loginuid").and_then(|text| login_uid(&text));
        Self {
            uid,
            effective_uid: (effective != uid).then_some(effective),
            login_uid: login,
            login_user: login.and_then(user_name),
            sudo_user: variable("SUDO_USER"),
            tty: terminal(),
            ssh_client: variable("SSH_CONNECTION").or_else(|| variable("SSH_CLIENT")).and_then(client),
            unit: read("self/cgroup").and_then(|text| unit(&text)),
        }
    }

    /// In a few words: `alice by sudo, pts/0, from 192.0.2.7`.
    pub(crate) fn in_words(&self) -> String {
        let name = |uid: u32| user_name(uid).unwrap_or_else(|| format!("uid {uid}"));
        let mut words = match (&self.login_user, &self.sudo_user, self.login_uid) {
            (_, Some(user), _) => format!("{user} by sudo"),
            (Some(user), None, _) => user.clone(),
            (None, None, Some(uid)) => name(uid),
            (None, None, None) => name(self.uid),
        };
        if let Some(tty) = &self.tty {
            words.push_str(&format!(", {tty}"));
        }
        if let Some(client) = &self.ssh_client {
            words.push_str(&format!(
                ", from {}",
                client.rsplit_once(' ').map_or(client.as_str(), |(address, _)| address)
            ));
        } else if let (None, Some(unit)) = (&self.tty, &self.unit) {
            words.push_str(&format!(", {unit}"));
        }
        words
    }
}

/// The command line as a text; what is not UTF-8 is replaced, for it is only to be read.
pub(crate) fn command_line() -> String {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// The user that logged in, by a process's `loginuid`.
pub(crate) fn login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != NOT_SET)
}

/// What the environment says, cut to what a line of a log bears.
fn variable(name: &str) -> Option<String> {
    const LONGEST: usize = 128;
    let value = std::env::var_os(name)?.to_string_lossy().chars().take(LONGEST).collect::<String>();
    Some(value).filter(|value| !value.is_empty())
}

/// `192.0.2.7 51234` of `192.0.2.7 51234 192.0.2.1 22`.
pub(crate) fn client(connection: String) -> Option<String> {
    let mut words = connection.split(' ');
    Some(format!("{} {}", words.next()?, words.next()?))
}

/// The terminal that one of the first three descriptors leads to.
fn terminal() -> Option<String> {
    let leads_to = |number: u8| std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let is_terminal = |path: &Path| path.starts_with("/dev/pts") || path.to_string_lossy().starts_with("/dev/tty");
    let path = [0, 1, 2].into_iter().filter_map(leads_to).find(|path| is_terminal(path))?;
    Some(path.strip_prefix("/dev").unwrap_or(&path).display().to_string())
}

/// The last part of the control group that systemd named: `nightly.service`, `session-4.scope`.
pub(crate) fn unit(cgroup: &str) -> Option<String> {
    let path = cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:")?.1.into()))?;
    let is_unit = |step: &&str| [".service", ".scope"].iter().any(|end| step.ends_with(end));
    path.rsplit('/').find(is_unit).map(str::to_owned)
}

/// A user's name by /etc/passwd alone: asking the network could take as long as it likes.
fn user_name(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut fields = users.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_one() {
        assert_eq!(unit("0::/system.slice/nightly.service\n").as_deref(), Some("nightly.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-4.scope\n").as_deref(), Some("session-4.scope"));
        assert_eq!(unit("12:cpu:/\n1:name=systemd:/system.slice/a.service/sub\n").as_deref(), Some("a.service"));
        assert_eq!((unit("0::/\n"), unit("")), (None, None));
    }

    #[test]
    fn who_is_told_in_a_few_words() {
        let invoker = Invoker {
            sudo_user: Some("alice".into()),
            tty: Some("pts/0".into()),
            ssh_client: client("192.0.2.7 51234 192.0.2.1 22".into()),
            ..Invoker::default()
        };
        assert_eq!(invoker.in_words(), "alice by sudo, pts/0, from 192.0.2.7");
        let unit =
            Invoker { unit: Some("nightly.service".into()), login_user: Some("bob".into()), ..Invoker::default() };
        assert_eq!(unit.in_words(), "bob, nightly.service");
        assert_eq!(Invoker { uid: 4_000_000_000, ..Invoker::default() }.in_words(), "uid 4000000000");
    }
}
