//! `locks` as a tree: nodes, and below each one who holds or waits for its lock.

use colored::Colorize;

use crate::host::text::escaped;
use crate::lock::holders::age_in_words;
use crate::lock::proc_locks::Role;
use crate::report::change::{LockNode, LockParty};
use crate::report::guard::WriterAtFile;
use crate::report::text::tree::Branches;
use crate::report::text::words::mode;

/// The forest as text. Holders that only pass through a node are left out, unless somebody waits there.
pub(crate) fn lock_forest(roots: &[LockNode]) -> String {
    let mut text = String::new();
    for root in roots.iter().filter(|root| matters(root)) {
        text.push_str(&format!("{}\n", root.place.to_string().bold()));
        draw_below(root, "", Branches::of_locale(), &mut text);
    }
    text
}

fn draw_below(node: &LockNode, indent: &str, branches: &Branches, text: &mut String) {
    let children: Vec<&LockNode> = node.children.iter().filter(|child| matters(child)).collect();
    let passes_on = if children.is_empty() { "   " } else { branches.pass };
    for party in shown(node) {
        text.push_str(&format!("{indent}{passes_on}{}\n", line(party)));
    }
    for (index, child) in children.iter().enumerate() {
        let is_last = index + 1 == children.len();
        let step = child.place.chain().rsplit('/').next().unwrap_or_default().bold();
        let address = child.address.map(|address| format!(" {address}")).unwrap_or_default();
        text.push_str(&format!("{indent}{}{step}{address}\n", if is_last { branches.last } else { branches.child }));
        let deeper = format!("{indent}{}", if is_last { "   " } else { branches.pass });
        draw_below(child, &deeper, branches, text);
    }
}

/// Whether there is anything to show at or below a node: a reader of the whole machine holds every one of them.
fn matters(node: &LockNode) -> bool {
    shown(node).next().is_some() || node.children.iter().any(matters)
}

fn shown(node: &LockNode) -> impl Iterator<Item = &LockParty> {
    let waited_for = node.holders.iter().any(|party| party.holder.role == Role::Waits);
    node.holders.iter().filter(move |party| waited_for || !party.holder.intention)
}

/// `held exclusive by pid 4711 uid 0 for 12 s: pcictl remove 0000:03:00.0`
fn line(LockParty { holder, on_behalf_of }: &LockParty) -> String {
    let role = if holder.role == Role::Holds { "held".normal() } else { "waits".yellow() };
    let uid = holder.process.uid.map(|uid| format!(" uid {uid}")).unwrap_or_default();
    let age = holder.age_seconds.map(|age| format!(" for {}", age_in_words(age))).unwrap_or_default();
    let elsewhere = if holder.intention { ", for what is below or above" } else { "" };
    let writer = |WriterAtFile { pid, comm, file, .. }: &WriterAtFile| {
        format!(", for pid {pid} ({}) in /sys/{}", escaped(comm), escaped(file))
    };
    format!(
        "{role} {}{elsewhere}, pid {}{uid}{age}: {}{}",
        mode(holder.mode),
        holder.process.pid,
        escaped(&holder.process.command),
        on_behalf_of.iter().map(writer).collect::<String>()
    )
}
