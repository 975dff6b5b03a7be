//! `tree` with branches; lines where the locale can show them, ASCII elsewhere.

use colored::Colorize;

use crate::report::TreeNode;

/// What a tree is drawn with.
pub(super) struct Branches {
    pub(super) child: &'static str,
    pub(super) last: &'static str,
    pub(super) pass: &'static str,
}

impl Branches {
    /// What the locale can show.
    pub(super) fn of_locale() -> &'static Self {
        if is_utf8() { &LINES } else { &ASCII }
    }
}

const LINES: Branches = Branches { child: "├─ ", last: "└─ ", pass: "│  " };
const ASCII: Branches = Branches { child: "|- ", last: "`- ", pass: "|  " };

/// The forest as text.
pub fn drawn(roots: &[TreeNode]) -> String {
    let branches = Branches::of_locale();
    let mut text = String::new();
    for root in roots {
        text.push_str(&describe(root));
        text.push('\n');
        draw_below(root, "", branches, &mut text);
    }
    text
}

fn draw_below(node: &TreeNode, indent: &str, branches: &Branches, text: &mut String) {
    for (index, child) in node.children.iter().enumerate() {
        let is_last = index + 1 == node.children.len();
        text.push_str(indent);
        text.push_str(if is_last { branches.last } else { branches.child });
        text.push_str(&describe(child));
        text.push('\n');
        let deeper = format!("{indent}{}", if is_last { "   " } else { branches.pass });
        draw_below(child, &deeper, branches, text);
    }
}

/// `0000:03:00.0 [04] PCI bridge: Vendor Device (pcieport)`
fn describe(node: &TreeNode) -> String {
    let mut line = node.name.bold().to_string();
    if let Some(bus) = node.bus.filter(|_| node.function.is_some()) {
        line.push_str(&format!(" [{:02x}]", bus.bus));
    }
    let Some(function) = &node.function else { return line };
    if node.physical_function.is_some() {
        line.push_str(" VF");
    }
    match (&function.class, &function.name) {
        (Some(class), Some(name)) => line.push_str(&format!(" {class}: {name}")),
        _ => line.push_str(" (cannot be read)"),
    }
    if let Some(driver) = &function.driver {
        line.push_str(&format!(" ({})", driver.green()));
    }
    line
}

/// The locale's word, in POSIX's order of precedence.
fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    set.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}
