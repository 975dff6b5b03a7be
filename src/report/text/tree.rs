//! `tree` with branches; lines where the locale can show them, ASCII elsewhere.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use colored::Colorize;

use crate::host::text::escaped;
use crate::report::columns::Column;
use crate::report::rows::TreeNode;
use crate::report::text::cells::{Cells, cell, heading};
use crate::report::text::fit::is_utf8;

/// The characters a tree is drawn with.
pub(crate) struct Branches {
    pub(crate) child: &'static str,
    pub(crate) last: &'static str,
    pub(crate) pass: &'static str,
}

impl Branches {
    /// Those that the locale can show.
    pub(crate) fn of_locale() -> &'static Self {
        if is_utf8() { &LINES } else { &ASCII }
    }
}

const LINES: Branches = Branches { child: "├─ ", last: "└─ ", pass: "│  " };

const ASCII: Branches = Branches { child: "|- ", last: "`- ", pass: "|  " };

/// The forest as text, with these columns for each function.
///
/// # Errors
/// It cannot be written.
pub(crate) fn forest(out: &mut dyn Write, roots: &[TreeNode], wanted: &[Column]) -> io::Result<()> {
    let (line, indent, scratch) = (String::new(), String::new(), String::new());
    let mut pen = Pen { out, branches: Branches::of_locale(), wanted, line, indent, scratch };
    for root in roots {
        pen.line(root, "")?;
        pen.below(root)?;
    }
    Ok(())
}

struct Pen<'a> {
    out: &'a mut dyn Write,
    branches: &'static Branches,
    wanted: &'a [Column],
    line: String,
    indent: String,
    scratch: String,
}

impl Pen<'_> {
    fn below(&mut self, node: &TreeNode) -> io::Result<()> {
        let indented = self.indent.len();
        for (index, child) in node.children.iter().enumerate() {
            let is_last = index + 1 == node.children.len();
            self.line(child, if is_last { self.branches.last } else { self.branches.child })?;
            self.indent.push_str(if is_last { "   " } else { self.branches.pass });
            self.below(child)?;
            self.indent.truncate(indented);
        }
        Ok(())
    }

    fn line(&mut self, node: &TreeNode, branch: &str) -> io::Result<()> {
        self.line.clear();
        self.line.push_str(&self.indent);
        self.line.push_str(branch);
        // Writing to a string cannot fail.
        let _ = self.describe(node);
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    /// `0000:03:00.0 [04] PCI bridge: Vendor Device (pcieport)`, and `numa 0` where that was asked for.
    fn describe(&mut self, node: &TreeNode) -> fmt::Result {
        let line = &mut self.line;
        write!(line, "{}", escaped(&node.node.to_string()).bold())?;
        if let Some(bus) = node.bus.filter(|_| node.function.is_some()) {
            write!(line, " [{:02x}]", bus.bus)?;
        }
        let Some(function) = &node.function else { return Ok(()) };
        if node.physical_function.is_some() {
            line.push_str(" VF");
        }
        match (&function.class, &function.name) {
            (Some(class), Some(name)) => write!(line, " {}: {}", escaped(class), escaped(name))?,
            (Some(only), None) | (None, Some(only)) => write!(line, " {}", escaped(only))?,
            (None, None) if self.wanted.contains(&Column::Class) => line.push_str(" (cannot be read)"),
            (None, None) => {}
        }
        if let Some(driver) = &function.driver {
            write!(line, " ({})", escaped(driver))?;
        }
        for column in self.wanted {
            let in_line = [Column::Address, Column::Class, Column::Name, Column::Driver];
            if !in_line.contains(column) {
                let cell = cell(function, *column, Cells::Whole, &mut self.scratch);
                write!(line, " {} {cell}", heading(*column).to_lowercase())?;
            }
        }
        Ok(())
    }
}
