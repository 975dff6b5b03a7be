//! Packet sockets: who listens on an interface that need not have an address.

use crate::pci::address::PciAddress;

/// A packet socket that is bound to an interface of the functions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listener {
    /// The function.
    pub(crate) address: PciAddress,
    /// The interface.
    pub(crate) interface: String,
    /// The socket's inode, by which a process's descriptor tells it.
    pub(crate) inode: u64,
    /// Where it is, for people: nothing in pcictl's own namespace.
    pub(crate) of: String,
}

/// The interface's index and the inode of each packet socket in /proc/net/packet (packet_seq_show,
/// net/packet/af_packet.c). Index 0 stands for all interfaces.
pub(crate) fn sockets(table: &str) -> Vec<(u32, u64)> {
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, _, index, _, _, _, inode] = words[..] else { return None };
        Some((index.parse().ok()?, inode.parse().ok()?))
    };
    table.lines().filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_has_the_index_of_its_interface_and_an_inode() {
        let table = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n\
            0000000000000000 3      3    0003   6     1 0      0      51001\n\
            000000007d6a24b0 3      10   88cc   0     1 0      101    51002 \n";
        assert_eq!(sockets(table), [(6, 51001), (0, 51002)]);
    }
}
