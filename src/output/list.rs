//! `list` as a table.

use clap::ValueEnum;

use crate::report::{Column, FunctionRow, Link};

/// A table: columns as wide as their widest cell, two spaces between, `-` for what is not there.
pub fn listed(rows: &[FunctionRow], wanted: &[Column], header: bool) -> String {
    let mut table: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 1);
    if header {
        table.push(wanted.iter().map(|column| heading(*column)).collect());
    }
    table.extend(rows.iter().map(|row| wanted.iter().map(|column| cell(row, *column)).collect()));
    let widths: Vec<usize> =
        (0..wanted.len()).map(|i| table.iter().map(|line| line[i].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &table {
        let mut end = text.len();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            end = text.len();
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.truncate(end);
        text.push('\n');
    }
    text
}

/// The columns there are, one a line with what it holds.
pub fn columns() -> String {
    let mut text = String::new();
    for column in Column::value_variants() {
        if let Some(value) = column.to_possible_value() {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            text.push_str(&format!("{:<12}{help}\n", value.get_name()));
        }
    }
    text
}

fn heading(column: Column) -> String {
    column.to_possible_value().map(|value| value.get_name().to_uppercase()).unwrap_or_default()
}

fn cell(row: &FunctionRow, column: Column) -> String {
    let cell = match column {
        Column::Address => Some(row.address.to_string()),
        Column::Class => row.class.clone(),
        Column::ClassCode => row.class_code.clone(),
        Column::Name => row.name.clone(),
        Column::Ids => row.ids.clone(),
        Column::Subsystem => row.subsystem.clone(),
        Column::Driver => row.driver.clone(),
        Column::Link => row.link.as_ref().map(link),
        Column::Numa => row.numa_node.map(|node| node.to_string()),
        Column::Slot => row.slot.clone(),
        Column::Iommu => row.iommu_group.map(|group| group.to_string()),
        Column::Place => row.place.as_ref().map(|place| place.chain().to_owned()),
    };
    cell.filter(|cell| !cell.is_empty()).unwrap_or_else(|| "-".to_owned())
}

/// `16GT/s x16`, and ` of 32GT/s x16` where it could be more.
pub(super) fn link(link: &Link) -> String {
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
