//! pcictl removes PCI devices and brings them back without hanging the kernel.
