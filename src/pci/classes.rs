//! Names of device classes, for machines without pci.ids: rescue systems, where a number says nothing.
//!
//! The names are those of the PCI ID Project's list (classes of the PCI Code and ID Assignment Specification).

/// A base class: its code, its name, and the subclasses with names of their own.
type BaseClass = (u8, &'static str, &'static [(u8, &'static str)]);

const CLASSES: &[BaseClass] = &[
    (
        0x00,
        "Unclassified device",
        &[
            (0x00, "Non-VGA unclassified device"),
            (0x01, "VGA compatible unclassified device"),
            (0x05, "Image coprocessor"),
        ],
    ),
    (
        0x01,
        "Mass storage controller",
        &[
            (0x00, "SCSI storage controller"),
            (0x01, "IDE interface"),
            (0x02, "Floppy disk controller"),
            (0x03, "IPI bus controller"),
            (0x04, "RAID bus controller"),
            (0x05, "ATA controller"),
            (0x06, "SATA controller"),
            (0x07, "Serial Attached SCSI controller"),
            (0x08, "Non-Volatile memory controller"),
            (0x09, "Universal Flash Storage controller"),
        ],
    ),
    (
        0x02,
        "Network controller",
        &[
            (0x00, "Ethernet controller"),
            (0x01, "Token ring network controller"),
            (0x02, "FDDI network controller"),
            (0x03, "ATM network controller"),
            (0x04, "ISDN controller"),
            (0x05, "WorldFip controller"),
            (0x06, "PICMG controller"),
            (0x07, "Infiniband controller"),
            (0x08, "Fabric controller"),
        ],
    ),
    (
        0x03,
        "Display controller",
        &[(0x00, "VGA compatible controller"), (0x01, "XGA compatible controller"), (0x02, "3D controller")],
    ),
    (
        0x04,
        "Multimedia controller",
        &[
            (0x00, "Multimedia video controller"),
            (0x01, "Multimedia audio controller"),
            (0x02, "Computer telephony device"),
            (0x03, "Audio device"),
        ],
    ),
    (0x05, "Memory controller", &[(0x00, "RAM memory"), (0x01, "FLASH memory"), (0x02, "CXL")]),
    (
        0x06,
        "Bridge",
        &[
            (0x00, "Host bridge"),
            (0x01, "ISA bridge"),
            (0x02, "EISA bridge"),
            (0x03, "MicroChannel bridge"),
            (0x04, "PCI bridge"),
            (0x05, "PCMCIA bridge"),
            (0x06, "NuBus bridge"),
            (0x07, "CardBus bridge"),
            (0x08, "RACEway bridge"),
            (0x09, "Semi-transparent PCI-to-PCI bridge"),
            (0x0a, "InfiniBand to PCI host bridge"),
        ],
    ),
    (
        0x07,
        "Communication controller",
        &[
            (0x00, "Serial controller"),
            (0x01, "Parallel controller"),
            (0x02, "Multiport serial controller"),
            (0x03, "Modem"),
            (0x04, "GPIB controller"),
            (0x05, "Smart Card controller"),
        ],
    ),
    (
        0x08,
        "Generic system peripheral",
        &[
            (0x00, "PIC"),
            (0x01, "DMA controller"),
            (0x02, "Timer"),
            (0x03, "RTC"),
            (0x04, "PCI Hot-plug controller"),
            (0x05, "SD Host controller"),
            (0x06, "IOMMU"),
            (0x80, "System peripheral"),
            (0x99, "Timing Card"),
        ],
    ),
    (
        0x09,
        "Input device controller",
        &[
            (0x00, "Keyboard controller"),
            (0x01, "Digitizer Pen"),
            (0x02, "Mouse controller"),
            (0x03, "Scanner controller"),
            (0x04, "Gameport controller"),
        ],
    ),
    (0x0a, "Docking station", &[(0x00, "Generic Docking Station"), (0x80, "Docking Station")]),
    (0x0b, "Processor", &[(0x40, "Co-processor")]),
    (
        0x0c,
        "Serial bus controller",
        &[
            (0x00, "FireWire (IEEE 1394)"),
            (0x01, "ACCESS Bus"),
            (0x02, "SSA"),
            (0x03, "USB controller"),
            (0x04, "Fibre Channel"),
            (0x05, "SMBus"),
            (0x06, "InfiniBand"),
            (0x07, "IPMI Interface"),
            (0x08, "SERCOS interface"),
            (0x09, "CANBUS"),
        ],
    ),
    (
        0x0d,
        "Wireless controller",
        &[
            (0x00, "IRDA controller"),
            (0x01, "Consumer IR controller"),
            (0x10, "RF controller"),
            (0x11, "Bluetooth"),
            (0x12, "Broadband"),
            (0x20, "802.1a controller"),
            (0x21, "802.1b controller"),
        ],
    ),
    (0x0e, "Intelligent controller", &[(0x00, "I2O")]),
    (0x0f, "Satellite communications controller", &[]),
    (
        0x10,
        "Encryption controller",
        &[(0x00, "Network and computing encryption device"), (0x10, "Entertainment encryption device")],
    ),
    (
        0x11,
        "Signal processing controller",
        &[
            (0x00, "DPIO module"),
            (0x01, "Performance counters"),
            (0x10, "Communication synchronizer"),
            (0x20, "Signal processing management"),
        ],
    ),
    (0x12, "Processing accelerators", &[(0x01, "SNIA Smart Data Accelerator Interface (SDXI) controller")]),
    (0x13, "Non-Essential Instrumentation", &[]),
    (0x40, "Coprocessor", &[]),
    (0xff, "Unassigned class", &[]),
];

/// The name of a 24-bit class code: of its subclass, else of its base class.
pub(crate) fn class_name(class: u32) -> Option<&'static str> {
    let [_, base, sub, _] = class.to_be_bytes();
    let (_, name, subclasses) = CLASSES.iter().find(|(code, ..)| *code == base)?;
    Some(subclasses.iter().find(|(code, _)| *code == sub).map_or(*name, |(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_subclass_or_else_the_class() {
        assert_eq!(class_name(0x06_0400), Some("PCI bridge"));
        assert_eq!(class_name(0x02_8000), Some("Network controller"));
        assert_eq!(class_name(0x77_0000), None);
    }
}
