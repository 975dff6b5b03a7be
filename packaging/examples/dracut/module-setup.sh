#!/bin/bash
# Puts pcictl into the initramfs of dracut, with the names of devices: for machines whose disk does not come up.
# Install as /usr/lib/dracut/modules.d/50pcictl/module-setup.sh, then run dracut --force --add pcictl.

# dracut looks for programs in the directories of packages alone.
program() {
    PATH=$PATH:/usr/local/sbin command -v pcictl
}

# Only where it is asked for.
check() {
    program >/dev/null || return 1
    return 255
}

depends() {
    return 0
}

install() {
    inst "$(program)" /usr/sbin/pcictl
    inst_multiple -o /usr/share/misc/pci.ids /usr/share/hwdata/pci.ids
}
