//! The columns of `list` and `tree`.

/// A column of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The address, as sysfs spells it.
    Address,
    /// The class by name.
    Class,
    /// The class code, six hexadecimal digits.
    ClassCode,
    /// Vendor and device by name.
    Name,
    /// Vendor and device id.
    Ids,
    /// Subsystem vendor and device id.
    Subsystem,
    /// Revision.
    Revision,
    /// The driver that has it.
    Driver,
    /// What its `driver_override` says.
    Override,
    /// Link speed and width; what it could be, where that is more.
    Link,
    /// Class devices that people know by name.
    Names,
    /// Serial numbers.
    Serial,
    /// MAC addresses.
    Mac,
    /// NUMA node.
    Numa,
    /// Slot name.
    Slot,
    /// IOMMU group.
    Iommu,
    /// The other functions of its IOMMU group.
    IommuMembers,
    /// Its virtual functions.
    Vfs,
    /// Its power state.
    PowerState,
    /// How it can be reset.
    Reset,
    /// Errors that were counted.
    Aer,
    /// Who uses it.
    InUse,
    /// Who is at its lock.
    Lock,
    /// Place in the device tree, which names its lock.
    Place,
}

impl Column {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Address,
        Self::Class,
        Self::ClassCode,
        Self::Name,
        Self::Ids,
        Self::Subsystem,
        Self::Revision,
        Self::Driver,
        Self::Override,
        Self::Link,
        Self::Names,
        Self::Serial,
        Self::Mac,
        Self::Numa,
        Self::Slot,
        Self::Iommu,
        Self::IommuMembers,
        Self::Vfs,
        Self::PowerState,
        Self::Reset,
        Self::Aer,
        Self::InUse,
        Self::Lock,
        Self::Place,
    ];

    /// Those that the ids of a function tell.
    pub(crate) const OF_IDS: [Self; 5] = [Self::Class, Self::ClassCode, Self::Name, Self::Ids, Self::Subsystem];

    /// The word that stands for it on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Class => "class",
            Self::ClassCode => "class-code",
            Self::Name => "name",
            Self::Ids => "ids",
            Self::Subsystem => "subsystem",
            Self::Revision => "revision",
            Self::Driver => "driver",
            Self::Override => "override",
            Self::Link => "link",
            Self::Names => "names",
            Self::Serial => "serial",
            Self::Mac => "mac",
            Self::Numa => "numa",
            Self::Slot => "slot",
            Self::Iommu => "iommu",
            Self::IommuMembers => "iommu-members",
            Self::Vfs => "vfs",
            Self::PowerState => "power-state",
            Self::Reset => "reset",
            Self::Aer => "aer",
            Self::InUse => "in-use",
            Self::Lock => "lock",
            Self::Place => "place",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Address => "Address, as sysfs spells it",
            Self::Class => "Class name",
            Self::ClassCode => "Class code, six hexadecimal digits",
            Self::Name => "Vendor and device names",
            Self::Ids => "Vendor and device id",
            Self::Subsystem => "Subsystem vendor and device id",
            Self::Revision => "Revision, two hexadecimal digits",
            Self::Driver => "Driver bound to it",
            Self::Override => "Driver override",
            Self::Link => "Link speed and width, and the maximum if that is more",
            Self::Names => "Interfaces, disks and the like",
            Self::Serial => "Serial numbers of NVMe controllers",
            Self::Mac => "MAC addresses of its interfaces",
            Self::Numa => "NUMA node",
            Self::Slot => "Slot name",
            Self::Iommu => "IOMMU group",
            Self::IommuMembers => "The other functions of its IOMMU group",
            Self::Vfs => "VFs that are there, of those it supports",
            Self::PowerState => "Power state as the kernel remembers it",
            Self::Reset => "Reset methods, in the order they are tried",
            Self::Aer => "Errors counted: correctable, nonfatal, fatal",
            Self::InUse => "Users of it and of what is below it: mounts, interfaces, processes; looks at every process",
            Self::Lock => "Who holds its lock, or waits for it",
            Self::Place => "Place in the device tree, the name of its lock",
        }
    }
}

/// Some of the columns, small enough for every row to know its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnSet(u32);

impl ColumnSet {
    /// These.
    pub(crate) fn of(columns: &[Column]) -> Self {
        Self(columns.iter().fold(0, |set, column| set | 1 << *column as u32))
    }

    /// Whether it is one of them.
    pub(crate) fn has(self, column: Column) -> bool {
        self.0 & (1 << column as u32) != 0
    }
}

/// The columns that were asked for: those that were named, the default ones if none was, or both.
pub(crate) fn chosen(default: &[Column], named: &[NamedColumn]) -> Vec<Column> {
    // As with lsblk, a plus in front of the first one is for all of them.
    let is_added = named.first().is_none_or(|first| first.is_added);
    let mut columns: Vec<Column> = if is_added { default.to_vec() } else { Vec::new() };
    for named in named {
        if !is_added || !columns.contains(&named.column) {
            columns.push(named.column);
        }
    }
    columns
}

/// A column as it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamedColumn {
    /// The column.
    pub(crate) column: Column,
    /// It was written with a plus in front.
    pub(crate) is_added: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_adds_to_the_default_columns() {
        let default = [Column::Address, Column::Driver];
        let named = |is_added: bool, columns: &[Column]| {
            let named: Vec<NamedColumn> = columns
                .iter()
                .enumerate()
                .map(|(index, column)| NamedColumn { column: *column, is_added: is_added && index == 0 })
                .collect();
            chosen(&default, &named)
        };
        assert_eq!(named(false, &[]), default);
        assert_eq!(named(false, &[Column::Slot]), [Column::Slot]);
        assert_eq!(named(true, &[Column::Slot, Column::Driver]), [Column::Address, Column::Driver, Column::Slot]);
    }
}
