//! What a function's row shows in a column.
//!
//! `-` stands for what is not there, `?` for what nobody could tell: a dash is a promise.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use crate::host::text::escaped;
use crate::lock::holders::Holder;
use crate::lock::proc_locks::Role;
use crate::report::columns::Column;
use crate::report::details::{Details, DeviceValue};
use crate::report::rows::FunctionRow;
use crate::report::text::users::short;
use crate::resolve::class_names::things;
use crate::topology::attributes::LinkStatus;
use crate::usage::model::User;

/// How much a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cells {
    /// All of it.
    Whole,
    /// The first of several things, and how many more there are: for a terminal.
    Short,
}

const NOTHING: &str = "-";
const UNKNOWN: &str = "?";

/// The heading of a column.
pub(crate) fn heading(column: Column) -> String {
    column.name().to_uppercase()
}

/// The text of a cell; `scratch` holds it if it has to be put together.
pub(crate) fn cell<'a>(row: &'a FunctionRow, column: Column, cells: Cells, scratch: &'a mut String) -> Cow<'a, str> {
    scratch.clear();
    let cell = match column {
        Column::Address => composed(scratch, Some(row.address)),
        Column::Class => row.class.as_deref(),
        Column::ClassCode => composed(scratch, row.class_code()),
        Column::Name => row.name.as_deref(),
        Column::Ids => composed(scratch, row.ids_text()),
        Column::Subsystem => composed(scratch, row.subsystem()),
        Column::Driver => row.driver.as_deref(),
        Column::Link => composed(scratch, row.link.as_deref().map(link)),
        Column::Names => composed(scratch, row.names.as_deref().and_then(|names| listed(things(names), cells))),
        Column::Numa => composed(scratch, row.numa_node),
        Column::Slot => row.slot.as_deref(),
        Column::Iommu => composed(scratch, row.iommu_group),
        Column::InUse => composed(scratch, Some(in_use(row))),
        Column::Place => row.place.as_ref().map(|place| place.chain()),
        Column::Revision
        | Column::Serial
        | Column::Mac
        | Column::Override
        | Column::PowerState
        | Column::Vfs
        | Column::IommuMembers
        | Column::Reset
        | Column::Aer
        | Column::Lock => {
            composed(scratch, row.details.as_deref().and_then(|details| detail(row, details, column, cells)))
        }
    };
    escaped(cell.filter(|cell| !cell.is_empty()).unwrap_or(NOTHING))
}

fn composed(scratch: &mut String, value: Option<impl Display>) -> Option<&str> {
    // Writing to a string cannot fail.
    let _ = write!(scratch, "{}", value?);
    Some(scratch)
}

fn detail(row: &FunctionRow, details: &Details, column: Column, cells: Cells) -> Option<String> {
    let unknown = || Some(UNKNOWN.to_owned());
    let values = |values: &Option<Vec<DeviceValue>>| {
        listed(values.as_deref()?.iter().map(|device| device.value.clone()).collect(), cells)
    };
    match column {
        Column::Revision => details.revision.clone(),
        Column::Serial => values(&details.serial_numbers),
        Column::Mac => values(&details.mac_addresses),
        Column::Override => details.driver_override.clone().unwrap_or_else(unknown),
        Column::PowerState => details.power_state.clone(),
        Column::Vfs => {
            let there = details.virtual_functions.as_ref()?.len();
            Some(format!("{there} of {}", details.total_vfs?))
        }
        Column::IommuMembers => {
            let members = details.iommu_group_members.as_deref()?.iter().filter(|member| **member != row.address);
            listed(members.map(ToString::to_string).collect(), cells)
        }
        Column::Reset => {
            details.reset_methods.as_ref().map_or_else(unknown, |methods| listed(methods.clone(), Cells::Whole))
        }
        Column::Aer => {
            let aer = details.aer.as_ref()?;
            Some(format!("{} {} {}", aer.correctable, aer.nonfatal, aer.fatal))
        }
        Column::Lock => details.holders.as_deref().map_or_else(unknown, |holders| {
            listed(holders.iter().map(|holder| holder_in_short(row, holder)).collect(), cells)
        }),
        _ => None,
    }
}

/// `eth0,eth1`, or `eth0 +1`.
fn listed(items: Vec<String>, cells: Cells) -> Option<String> {
    match items.as_slice() {
        [] => None,
        [first, rest @ ..] if cells == Cells::Short && !rest.is_empty() => Some(format!("{first} +{}", rest.len())),
        items => Some(items.join(",")),
    }
}

/// `pid 4711 pcictl`, `waits: pid 4711 pcictl`
fn holder_in_short(row: &FunctionRow, holder: &Holder) -> String {
    let role = if holder.role == Role::Holds { "" } else { "waits: " };
    let at = if row.place.as_ref() == Some(&holder.place) { "" } else { " above" };
    let command = holder.process.command.split(' ').next().unwrap_or_default();
    let name = command.rsplit('/').next().unwrap_or_default();
    format!("{role}pid {} {name}{at}", holder.process.pid)
}

/// `eth0 qemu[812]`, `below: / eth0` of a bridge, `?` where that could not be checked.
fn in_use(row: &FunctionRow) -> String {
    let own = row.users().map_or_else(|| UNKNOWN.to_owned(), short);
    let below = row.users_below().map(below).unwrap_or_default();
    let parts: Vec<String> = [own, below].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn below(users: &[User]) -> String {
    if users.is_empty() { String::new() } else { format!("below: {}", short(users)) }
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
