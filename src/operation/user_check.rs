//! Users of a device are looked for before it is removed: each is a reason to refuse, or is overridden and reported.
//!
//! Commands call [`check`] before they take their locks, for the question to the operator may wait for hours, and
//! [`UserApproval::recheck`] under them, right before they stop anything: a disk can be mounted in a moment.

use std::io::{BufRead, IsTerminal};

use crate::error::{Error, ErrorKind, Result};
use crate::operation::context::Context;
use crate::operation::options::ForceOptions;
use crate::usage::find;
use crate::usage::model::{Danger, UsageReport, User, describe_users};
use crate::usage::policy::{Decision, decide};
use crate::usage::process::scan::Seen;
use crate::usage::scope::Scope;

/// What may be overridden: it was forced and, on a terminal, confirmed.
#[derive(Debug)]
pub(crate) struct UserApproval {
    users: Vec<User>,
    unchecked: Vec<String>,
    /// Whether a person confirmed this very list.
    asked: bool,
    /// What the first look saw of processes, for the second.
    seen: Seen,
}

/// Looks for users: refuses, or reports what is overridden and asks whether to go on `doing` that to `what`.
///
/// # Errors
/// One of the functions is in use, and that danger is not forced or not confirmed.
pub(crate) fn check(
    context: &Context,
    scope: &Scope,
    forcing: &ForceOptions,
    doing: &str,
    what: &str,
) -> Result<UserApproval> {
    let (users, seen) = find::find_first(&context.machine, scope)?;
    context.tell_notes(&users.notes);
    match decide(&users, &forcing.force) {
        Decision::Allow => Ok(UserApproval { users: Vec::new(), unchecked: Vec::new(), asked: false, seen }),
        Decision::Refuse { users, unchecked, missing } => Err(refused(what, &users, &unchecked, &missing)),
        Decision::Override(users, unchecked) => {
            announce(context, &users, &unchecked);
            let asked = !forcing.yes && std::io::stdin().is_terminal();
            if asked && !confirmed(context, &question(doing, what, &users, &unchecked)) {
                let message = format!("{what}: not confirmed; nothing was changed");
                return Err(Error::new(ErrorKind::Refused, message));
            }
            Ok(UserApproval { users, unchecked, asked, seen })
        }
    }
}

/// Refuses what would hit others of the functions' hives that are in use: amdgpu resets a hive as a whole.
///
/// # Errors
/// One of them is in use, and that danger is not forced.
pub(crate) fn refuse_busy_hive(context: &Context, scope: &Scope, forcing: &ForceOptions) -> Result<()> {
    for (member, users) in find::hive_users(&context.machine, scope)? {
        if let Decision::Refuse { users, unchecked, missing } = decide(&users, &forcing.force) {
            let what = format!("{}: a reset would hit {}, which is of the same XGMI hive", member.of, member.address);
            return Err(refused(&what, &users, &unchecked, &missing));
        }
    }
    Ok(())
}

/// Refuses what would hit these functions besides while they are in use.
///
/// # Errors
/// One of them is in use, and that danger is not forced.
pub(crate) fn refuse_busy_others(context: &Context, others: &Scope, forcing: &ForceOptions, what: &str) -> Result<()> {
    match decide(&find::find(&context.machine, others)?, &forcing.force) {
        Decision::Refuse { users, unchecked, missing } => Err(refused(what, &users, &unchecked, &missing)),
        Decision::Allow | Decision::Override(..) => Ok(()),
    }
}

impl UserApproval {
    /// Looks again and returns the users that are overridden.
    ///
    /// # Errors
    /// New users appeared.
    pub(crate) fn recheck(
        self,
        context: &Context,
        scope: &Scope,
        forcing: &ForceOptions,
        what: &str,
    ) -> Result<Vec<User>> {
        let now = find::find_again(&context.machine, scope, &self.seen)?;
        if let Decision::Refuse { users, unchecked, missing } = decide(&now, &forcing.force) {
            return Err(refused(what, &users, &unchecked, &missing));
        }
        let new = UsageReport {
            found: now.found.iter().filter(|user| !self.users.contains(user)).cloned().collect(),
            unchecked: now.unchecked.iter().filter(|line| !self.unchecked.contains(line)).cloned().collect(),
            ..UsageReport::default()
        };
        if new.found.is_empty() && new.unchecked.is_empty() {
            return Ok(now.found);
        }
        if self.asked {
            let message = format!(
                "{what}: new users appeared after you confirmed: {}; nothing was changed",
                listed(&new.found, &new.unchecked)
            );
            return Err(Error::new(ErrorKind::InUse, message)
                .hint("run the command again")
                .fact("users", serde_json::json!(new.found)));
        }
        announce(context, &new.found, &new.unchecked);
        Ok(now.found)
    }
}

/// The dangers that would have to be forced besides these: for dry runs and `show`.
pub(crate) fn needs_force(users: &UsageReport, forced: &[Danger]) -> Vec<Danger> {
    match decide(users, forced) {
        Decision::Refuse { missing, .. } => missing,
        Decision::Allow | Decision::Override(..) => Vec::new(),
    }
}

fn refused(what: &str, users: &[User], unchecked: &[String], missing: &[Danger]) -> Error {
    let force: Vec<&str> = missing.iter().map(|kind| kind.name()).collect();
    let next = if missing == [Danger::Unchecked] { "resolve that first" } else { "stop using it first" };
    let message = format!("{what}: {}; nothing was changed", listed(users, unchecked));
    Error::new(ErrorKind::InUse, message)
        .hint(format!("{next}, or override with --force {}", force.join(",")))
        .fact("users", serde_json::json!(users))
        .fact("unchecked", serde_json::json!(unchecked))
        .fact("force", serde_json::json!(force))
}

fn listed(users: &[User], unchecked: &[String]) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !users.is_empty() {
        parts.push(describe_users(users));
    }
    parts.extend(unchecked.iter().map(|why| format!("cannot be checked: {why}")));
    parts.join("; ")
}

/// Reports what is overridden, a line each.
fn announce(context: &Context, users: &[User], unchecked: &[String]) {
    for user in users {
        context.output.say(&format!("overriding {}: {}", user.kind.name(), user.description));
    }
    for why in unchecked {
        context.output.say(&format!("overriding unchecked: {why}"));
    }
}

/// What is asked of who forces something.
fn question(doing: &str, what: &str, users: &[User], unchecked: &[String]) -> String {
    let first = users.first().map_or_else(
        || unchecked.first().map_or_else(String::new, |why| format!("not everything could be checked ({why})")),
        |user| user.description.clone(),
    );
    let more = match users.len() + unchecked.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    format!("go on {doing} {what} although {first}{more}? [y/N] ")
}

/// Asks on the terminal; any answer but yes means no.
fn confirmed(context: &Context, question: &str) -> bool {
    context.output.ask(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_says_what_will_be_done_and_to_whom() {
        let address = "0000:01:00.0".parse().unwrap();
        let user = |description: &str| User::new(Danger::Mounted, address, "sda", "/srv", description);
        let users = [user("/srv is mounted from sda1"), user("/home is mounted from sda2")];
        let asked = |users: &[User]| question("unbinding", "0000:01:00.0", users, &["maps: denied".to_owned()]);
        assert_eq!(
            asked(&users),
            "go on unbinding 0000:01:00.0 although /srv is mounted from sda1 (and 2 more)? [y/N] "
        );
        assert_eq!(
            asked(&[]),
            "go on unbinding 0000:01:00.0 although not everything could be checked (maps: denied)? [y/N] "
        );
    }
}
