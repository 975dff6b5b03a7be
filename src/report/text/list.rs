//! `list` as a table.

use std::io::{self, Write};

use crate::report::columns::Column;
use crate::report::rows::FunctionRow;
use crate::report::text::cells::{Cells, cell, heading};
use crate::report::text::fit::{cut, width};

/// How a table is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// With a line of headings.
    pub(crate) header: bool,
    /// The columns of the terminal that it must fit; none where nothing is cut.
    pub(crate) room: Option<usize>,
}

/// Blanks between two columns.
const GAP: usize = 2;

/// A table: columns as wide as their widest cell, two spaces between.
///
/// # Errors
/// It cannot be written.
pub(crate) fn table(out: &mut dyn Write, rows: &[FunctionRow], wanted: &[Column], layout: Layout) -> io::Result<()> {
    let cells = if layout.room.is_some() { Cells::Short } else { Cells::Whole };
    let mut scratch = String::new();
    let headings: Vec<String> = wanted.iter().map(|column| heading(*column)).collect();
    let mut widths: Vec<usize> = headings.iter().map(|name| if layout.header { width(name) } else { 0 }).collect();
    for row in rows {
        for (column, widest) in wanted.iter().zip(&mut widths) {
            *widest = width(&cell(row, *column, cells, &mut scratch)).max(*widest);
        }
    }
    if let Some(room) = layout.room {
        fit(&mut widths, wanted, room);
    }
    let mut text = Vec::new();
    if layout.header {
        for (name, width) in headings.iter().zip(&widths) {
            padded(&mut text, name, *width);
        }
        end_line(out, &mut text)?;
    }
    for row in rows {
        text.clear();
        for (column, wide) in wanted.iter().zip(&widths) {
            let cell = cell(row, *column, cells, &mut scratch);
            let is_cut_name = *column == Column::Name && width(&cell) > *wide;
            padded(&mut text, &if is_cut_name { brief(&cell).into() } else { cell }, *wide);
        }
        end_line(out, &mut text)?;
    }
    Ok(())
}

/// Makes columns narrower until all fit, those first that people miss least. What tells which function a line is about, and
/// its link, stay whole; a terminal narrower than these has lines that break.
fn fit(widths: &mut [usize], wanted: &[Column], room: usize) {
    let is_name = |column: Column| column == Column::Name;
    let is_class = |column: Column| column == Column::Class;
    let is_long = |column: Column| {
        let never = [Column::Address, Column::Link, Column::Name, Column::Class, Column::Driver];
        !never.contains(&column)
    };
    let is_driver = |column: Column| column == Column::Driver;
    type Stage<'a> = (&'a dyn Fn(Column) -> bool, usize);
    let stages: [Stage<'_>; 6] =
        [(&is_name, 24), (&is_class, 16), (&is_name, 12), (&is_long, 12), (&is_class, 8), (&is_name, 6)];
    let last: [Stage<'_>; 2] = [(&is_driver, 8), (&is_long, 6)];
    for (is_one, least) in stages.into_iter().chain(last) {
        let mut over = (widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)).saturating_sub(room);
        for (width, _) in widths.iter_mut().zip(wanted).filter(|(_, column)| is_one(**column)) {
            let less = over.min(width.saturating_sub(least));
            *width -= less;
            over -= less;
        }
    }
}

/// A name without what companies are by law, where it has to be cut: `Intel 82574L` says more than `Intel Corporati`.
fn brief(name: &str) -> String {
    const FORMS: [&str; 8] =
        [" Corporation", " Co., Ltd.", " Co Ltd", ", Inc.", " Inc.", ", Ltd.", " Technologies", " Technology"];
    FORMS.iter().fold(name.to_owned(), |name, form| name.replacen(form, "", 1))
}

fn padded(text: &mut Vec<u8>, cell: &str, wide: usize) {
    let cell = cut(cell, wide);
    text.extend_from_slice(cell.as_bytes());
    text.resize(text.len() + wide.saturating_sub(width(&cell)) + GAP, b' ');
}

fn end_line(out: &mut dyn Write, text: &mut Vec<u8>) -> io::Result<()> {
    let end = text.trim_ascii_end().len();
    text.truncate(end);
    text.push(b'\n');
    out.write_all(text)
}

/// The available columns, one a line with its meaning.
pub(crate) fn columns() -> String {
    let mut text = String::new();
    for column in Column::ALL {
        text.push_str(&format!("{:<15}{}\n", column.name(), column.meaning()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_cut_loses_what_a_company_is_by_law_first() {
        assert_eq!(brief("Intel Corporation 82574L Gigabit"), "Intel 82574L Gigabit");
        assert_eq!(brief("PLX Technology, Inc. PEX 8747"), "PLX PEX 8747");
        assert_eq!(brief("Samsung Electronics Co Ltd NVMe SSD"), "Samsung Electronics NVMe SSD");
        assert_eq!(brief("Device 8086:10d3"), "Device 8086:10d3");
    }

    #[test]
    fn the_name_gives_way_first() {
        let wanted = [Column::Address, Column::Class, Column::Name, Column::Driver, Column::Link, Column::Names];
        let fitted = |room| {
            let mut widths = [12, 30, 80, 8, 24, 10];
            fit(&mut widths, &wanted, room);
            widths
        };
        assert_eq!(fitted(200), [12, 30, 80, 8, 24, 10]);
        assert_eq!(fitted(150), [12, 30, 56, 8, 24, 10]);
        assert_eq!(fitted(110), [12, 22, 24, 8, 24, 10]);
        let narrow = fitted(80);
        assert!(narrow.iter().sum::<usize>() + 10 <= 80 && narrow[0] == 12 && narrow[4] == 24, "{narrow:?}");
    }
}
