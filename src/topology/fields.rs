//! What to read of each function, so that a command reads no more than it shows.

/// What to read of each function besides its place in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Ids and class.
    pub ids: IdsOf,
    /// The driver that has it.
    pub driver: bool,
    /// Which functions are virtual, and of which one.
    pub virtual_of: bool,
    /// Which `virtfnN` each virtual function is: part of its place.
    pub index: bool,
    /// The buses that bridges lead to.
    pub buses: bool,
}

/// Whose ids and class to read: three calls each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdsOf {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of the functions that were asked for, not of what is below them.
    Targets,
    /// Everybody's, but of a PF's virtual functions only one: the kernel gives them all the same ids, read once from
    /// the first (pci_iov_add_virtfn and pci_read_vf_config_common in drivers/pci/iov.c).
    Devices,
    /// Everybody's, each from its own file.
    Everyone,
}

impl Fields {
    /// All that is needed to change something.
    pub const ALL: Self = Self { ids: IdsOf::Everyone, driver: true, virtual_of: true, index: true, buses: true };

    /// What is needed to say what would be changed.
    pub const PLAN: Self = Self { ids: IdsOf::Targets, buses: false, ..Self::ALL };
}
