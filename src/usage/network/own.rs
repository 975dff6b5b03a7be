//! Network use in the namespace that pcictl is in, or that a dump is of.

use crate::error::plain;
use crate::host::child::Limits;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::model::User;
use crate::usage::network::carried::{Facts, Session};
use crate::usage::network::interfaces::{self, View};
use crate::usage::network::packets::Listener;
use crate::usage::network::routes::Routes;
use crate::usage::network::{rdma, rtnetlink};
use crate::usage::scope::Scope;

/// What was found of network use.
#[derive(Debug, Default)]
pub(crate) struct NetworkUse {
    /// The users that are no processes.
    pub(crate) users: Vec<User>,
    /// Packet sockets, whose processes are to be found.
    pub(crate) listeners: Vec<Listener>,
    /// What could not be told.
    pub(crate) unchecked: Vec<String>,
    /// What is said and refuses nothing.
    pub(crate) notes: Vec<String>,
}

/// Looks at the interfaces of the functions. Nothing but links of sysfs is read where they have none.
pub(crate) fn network_use(
    sysfs: &Sysfs,
    proc: &Procfs,
    scope: &Scope,
    session: &dyn Fn() -> Option<Session>,
    limits: Limits,
) -> NetworkUse {
    let mut found = NetworkUse::default();
    let owned = interfaces::owned(sysfs, scope);
    let (users, trouble) = rdma::users(sysfs, scope, &owned, limits.deadline);
    (found.users, found.unchecked) = (users, trouble.into_iter().collect());
    if owned.is_empty() {
        return found;
    }
    let facts = if proc.is_dump() {
        by_files(proc, session())
    } else {
        let asked = rtnetlink::ask_in_child(&interfaces::indexed(sysfs, &owned), session(), limits);
        asked.or_else(|why| {
            found.unchecked.push(why);
            // They tell most of it, and answer always.
            by_files(proc, session())
        })
    };
    let facts = facts.unwrap_or_else(|why| {
        found.unchecked.push(why);
        Facts::default()
    });
    let view = View { sysfs, scope, facts: &facts, of: None };
    found.users.extend(view.users(&owned));
    if proc.is_dump() {
        found.notes.extend(idle(&view, &owned, &found.users));
    }
    match proc.text("net/packet") {
        Ok(table) => {
            let (listeners, everywhere) =
                interfaces::listeners(sysfs, &owned, table.as_deref().unwrap_or_default(), None);
            found.listeners = listeners;
            if everywhere > 0 {
                let sockets = if everywhere == 1 { "1 packet socket listens" } else { "packet sockets listen" };
                found.notes.push(format!("{sockets} on every interface, and so on these"));
            }
        }
        Err(error) => found.unchecked.push(format!("/proc/net/packet: {}", plain(&error))),
    }
    found
}

/// What a dump may hide: said of an interface that is up and that nobody seems to use.
fn idle(view: &View, owned: &[(PciAddress, String)], users: &[User]) -> Option<String> {
    let is_idle = |name: &String| view.is_up(name) && !users.iter().any(|user| user.device == *name);
    let (_, name) = owned.iter().find(|(_, name)| is_idle(name))?;
    Some(format!(
        "{name} is up, and a dump has only the first next hop of each IPv4 route, no IPv4 table but main, and no XDP \
         programs"
    ))
}

fn by_files(proc: &Procfs, session: Option<Session>) -> Result<Facts, String> {
    let text = |name: &str| proc.text(&format!("net/{name}"));
    Ok(Routes::read(&text)?.facts(session))
}
