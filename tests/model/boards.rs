//! The machines on which operators meet: each as small as what it has to show allows, for states grow with every slot.

use crate::board::{Board, Kind, Plugged};

/// A switch below a root port, with two ports and an endpoint below each.
pub fn switch() -> Board {
    let slot = |above, device, kind| Plugged { above, device, function: 0, kind };
    let slots = vec![
        slot(None, 1, Kind::Bridge(1)),
        slot(Some(0), 0, Kind::Bridge(2)),
        slot(Some(1), 0, Kind::Bridge(3)),
        slot(Some(2), 0, Kind::Endpoint),
        slot(Some(1), 1, Kind::Bridge(4)),
        slot(Some(4), 0, Kind::Endpoint),
    ];
    Board::new(slots, 1)
}

/// A port with a physical function, its virtual one of the same number on the next bus, and a neighbour.
pub fn sriov() -> Board {
    let slot = |above, device, kind| Plugged { above, device, function: 0, kind };
    let slots = vec![
        slot(None, 1, Kind::Bridge(1)),
        slot(Some(0), 0, Kind::Bridge(2)),
        slot(Some(1), 0, Kind::Bridge(3)),
        slot(Some(2), 0, Kind::Endpoint),
        slot(Some(3), 0, Kind::Virtual(4)),
        slot(Some(2), 1, Kind::Endpoint),
    ];
    let mut board = Board::new(slots, 1);
    board.hotplug = 1 << 2;
    board
}

/// A port with two physical functions of one device, whose virtual ones are together on the next bus, as igb's are.
pub fn shared_virtual_bus() -> Board {
    let slot = |above, device, function, kind| Plugged { above, device, function, kind };
    let slots = vec![
        slot(None, 1, 0, Kind::Bridge(1)),
        slot(Some(0), 0, 0, Kind::Endpoint),
        slot(Some(0), 0, 1, Kind::Endpoint),
        slot(Some(1), 16, 0, Kind::Virtual(2)),
        slot(Some(2), 16, 1, Kind::Virtual(2)),
    ];
    Board::new(slots, 0)
}

/// A switch with a hotplug port and an endpoint beside it that can be reset only with its whole bus.
pub fn hotplug() -> Board {
    let slot = |above, device, kind| Plugged { above, device, function: 0, kind };
    let slots = vec![
        slot(None, 1, Kind::Bridge(1)),
        slot(Some(0), 0, Kind::Bridge(2)),
        slot(Some(1), 0, Kind::Bridge(3)),
        slot(Some(2), 0, Kind::Endpoint),
        slot(Some(1), 1, Kind::Endpoint),
    ];
    let mut board = Board::new(slots, 1);
    (board.hotplug, board.bus_reset) = (1 << 2, 1 << 4);
    board
}

/// An endpoint with a domain of its own, in which is a port with a device, and a root port beside it.
pub fn domain() -> Board {
    let slot = |above, device, kind| Plugged { above, device, function: 0, kind };
    let slots = vec![
        slot(None, 14, Kind::Domain),
        slot(Some(0), 0, Kind::Bridge(0xe1)),
        slot(Some(1), 0, Kind::Endpoint),
        slot(None, 1, Kind::Bridge(1)),
    ];
    Board::new(slots, 3)
}

/// A host controller that supplies a root port and a USB controller elsewhere, as Thunderbolt's do (tb_acpi_add_link), and
/// a device below that port.
pub fn links() -> Board {
    let slot = |above, device, kind| Plugged { above, device, function: 0, kind };
    let slots = vec![
        slot(None, 1, Kind::Bridge(1)),
        slot(Some(0), 0, Kind::Endpoint),
        slot(None, 2, Kind::Bridge(2)),
        slot(Some(2), 0, Kind::Endpoint),
        slot(None, 3, Kind::Endpoint),
    ];
    let mut board = Board::new(slots, 0);
    board.links = vec![(1, 2), (1, 4)];
    board
}
