//! `list` as a table.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::host::text::escaped;
use crate::report::rows::{Column, FunctionRow};
use crate::topology::attributes::LinkStatus;

/// A table: columns as wide as their widest cell, two spaces between, `-` for what is not there.
///
/// # Errors
/// It cannot be written.
pub(crate) fn table(out: &mut dyn Write, rows: &[FunctionRow], wanted: &[Column], header: bool) -> io::Result<()> {
    let mut scratch = String::new();
    let mut widths: Vec<usize> =
        wanted.iter().map(|column| if header { width(&heading(*column)) } else { 0 }).collect();
    for row in rows {
        for (column, widest) in wanted.iter().zip(&mut widths) {
            *widest = width(&cell(row, *column, &mut scratch)).max(*widest);
        }
    }
    if header {
        let headings: Vec<String> = wanted.iter().map(|column| heading(*column)).collect();
        line(out, headings.iter().map(String::as_str), &widths)?;
    }
    let mut text = Vec::new();
    for row in rows {
        text.clear();
        for (column, width) in wanted.iter().zip(&widths) {
            padded(&mut text, &cell(row, *column, &mut scratch), *width);
        }
        end_line(out, &mut text)?;
    }
    Ok(())
}

fn line<'a>(out: &mut dyn Write, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> io::Result<()> {
    let mut text = Vec::new();
    for (cell, width) in cells.zip(widths) {
        padded(&mut text, cell, *width);
    }
    end_line(out, &mut text)
}

fn padded(text: &mut Vec<u8>, cell: &str, wide: usize) {
    text.extend_from_slice(cell.as_bytes());
    text.resize(text.len() + wide.saturating_sub(width(cell)) + 2, b' ');
}

fn end_line(out: &mut dyn Write, text: &mut Vec<u8>) -> io::Result<()> {
    let end = text.trim_ascii_end().len();
    text.truncate(end);
    text.push(b'\n');
    out.write_all(text)
}

fn width(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}

/// The available columns, one a line with its meaning.
pub(crate) fn columns() -> String {
    let mut text = String::new();
    for column in Column::ALL {
        text.push_str(&format!("{:<12}{}\n", column.name(), column.meaning()));
    }
    text
}

pub(crate) fn heading(column: Column) -> String {
    column.name().to_uppercase()
}

/// The text of a cell; `scratch` holds it if it has to be put together.
pub(crate) fn cell<'a>(row: &'a FunctionRow, column: Column, scratch: &'a mut String) -> Cow<'a, str> {
    scratch.clear();
    let cell = match column {
        Column::Address => composed(scratch, Some(row.address)),
        Column::Class => row.class.as_deref(),
        Column::ClassCode => row.class_code.as_deref(),
        Column::Name => row.name.as_deref(),
        Column::Ids => row.ids.as_deref(),
        Column::Subsystem => row.subsystem.as_deref(),
        Column::Driver => row.driver.as_deref(),
        Column::Link => composed(scratch, row.link.as_deref().map(link)),
        Column::Numa => composed(scratch, row.numa_node),
        Column::Slot => row.slot.as_deref(),
        Column::Iommu => composed(scratch, row.iommu_group),
        // A dash is a promise that nobody uses it.
        Column::InUse => composed(
            scratch,
            Some(
                row.in_use_by.as_ref().map_or_else(|| "?".to_owned(), |users| crate::report::text::users::short(users)),
            ),
        ),
        Column::Place => row.place.as_ref().map(|place| place.chain()),
    };
    escaped(cell.filter(|cell| !cell.is_empty()).unwrap_or("-"))
}

fn composed(scratch: &mut String, value: Option<impl std::fmt::Display>) -> Option<&str> {
    // Writing to a string cannot fail.
    let _ = write!(scratch, "{}", value?);
    Some(scratch)
}

/// `16GT/s x16`, and ` of 32GT/s x16` where the maximum is more.
pub(crate) fn link(link: &LinkStatus) -> String {
    if link.asleep {
        return "asleep".to_owned();
    }
    let part = |speed: Option<f64>, width: Option<u32>| match (speed, width) {
        (Some(speed), Some(width)) => Some(format!("{speed}GT/s x{width}")),
        (None, Some(width)) => Some(format!("x{width}")),
        _ => None,
    };
    match (part(link.speed, link.width), part(link.max_speed, link.max_width)) {
        (Some(now), Some(most)) if now != most => format!("{now} of {most}"),
        (Some(now), _) => now,
        (None, Some(most)) => format!("down, of {most}"),
        (None, None) => "down".to_owned(),
    }
}
