//! Operations that this process is detached from.

use crate::doctor::stack::Waits;
use crate::execute::outcome::DetachedWrite;
use crate::plan::action::Action;
use crate::report::text::words::describe_action;

/// What the kernel is doing for a write, in lines: in words, then the evidence.
pub(crate) fn kernel_state(unfinished: &DetachedWrite) -> Vec<String> {
    let kernel = &unfinished.kernel;
    let mut lines = Vec::new();
    let mut line = format!("writer pid {}", unfinished.helper);
    if let Some(thread) = unfinished.thread {
        line.push_str(&format!(", thread {thread}"));
    }
    match kernel.state {
        Some(state) => line.push_str(&format!(", state {state}")),
        None => line.push_str(", just ended"),
    }
    if let Some(wchan) = &kernel.wchan {
        line.push_str(&format!(", in {wchan}"));
    }
    if !kernel.stack.is_empty() {
        line.push_str(&format!(", stack: {}", kernel.stack.join(" < ")));
    }
    lines.push(line);
    for stuck in &kernel.stuck {
        lines.extend(stuck.evidence.iter().cloned());
        lines.push(stuck.helps.clone());
    }
    lines
}

/// One line: what is waited for, and which process waits now.
pub(crate) fn unfinished(unfinished: &DetachedWrite) -> String {
    let what = format!("{}: {}", describe_action(&unfinished.action), waiting(unfinished));
    let how_long = format!("{:.1} s", unfinished.waited_seconds);
    let scope = unfinished.scope.as_ref().map_or_else(String::new, |scope| format!(", {scope}"));
    let who = match unfinished.background {
        Some(pid) => format!("it goes on in the background (pid {pid}, writer pid {}{scope})", unfinished.helper),
        None => format!(
            "writer pid {} goes on with what was begun, the steps after it wait for pcictl recover",
            unfinished.helper
        ),
    };
    let keeps = "and keeps its locks until the kernel is done";
    if unfinished.late {
        format!("{what}, not finished after {how_long}; {who} {keeps}")
    } else {
        format!("{what}, interrupted twice after {how_long}; {who} {keeps}")
    }
}

/// What the kernel is doing, as an administrator would say it.
fn waiting(unfinished: &DetachedWrite) -> String {
    let kernel = &unfinished.kernel;
    if kernel.stuck.iter().any(|stuck| stuck.blocks_all) {
        return "the kernel's PCI core is deadlocked".to_owned();
    }
    let device = unfinished.action.address().map_or_else(String::new, |address| format!(" {address}"));
    match (&kernel.waits, &unfinished.action) {
        (Some(Waits::Driver { name, stopping: true }), _) => format!("waiting for driver {name} to stop{device}"),
        (Some(Waits::Driver { name, stopping: false }), _) => format!("waiting for driver {name} to start{device}"),
        // Without root, or before the kernel got there.
        (None | Some(Waits::Other { .. }), Action::Unbind { driver, .. }) => {
            format!("waiting for driver {driver} to stop{device}")
        }
        (Some(waits), _) => format!("waiting for {waits}"),
        (None, _) => "waiting for the kernel".to_owned(),
    }
}
