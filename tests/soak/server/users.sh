# shellcheck shell=sh
# Who uses a drive on a server: LVM, md, and what systemd mounts.
# shellcheck disable=SC2154,SC2317 # called by name, with what main sets

# A volume group on a drive, found by the name that udev gave, and a mirror over two others.
layers() {
    disk=/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_bay1
    expect_status 0 vgcreate --quiet --yes stack $disk
    expect_status 0 lvcreate --quiet --yes --wipesignatures y -L 64M -n data stack
    refused "$bay1" holders 'LVM stack-data'
    note "refused: $(echo "$err" | head -n 1)"
    expect_status 4 pcictl remove --dry-run /dev/stack/data
    contains "$out$err" "LVM stack-data"
    mirror=/dev/md/mirror
    expect_status 0 mdadm --create --run --quiet --metadata=1.2 --level=1 --raid-devices=2 $mirror \
        /dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_bay2 /dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_bay3
    udevadm settle
    node=$(basename "$(readlink -f $mirror)")
    refused "$bay2" redundant "$node"
    note "refused: $(echo "$err" | head -n 1)"

    # The last half of what is mounted is no longer one of several.
    expect_status 0 mke2fs -q $mirror
    mkdir -p /srv/mirror
    expect_status 0 mount $mirror /srv/mirror
    expect_status 0 mdadm --quiet $mirror --fail "/dev/$(disk_of "$bay3")"
    refused "$bay2" mounted /srv/mirror "$node"
    note "refused: $(echo "$err" | head -n 1)"
    umount /srv/mirror
    expect_status 0 mdadm --quiet --stop $mirror
    for half in "$bay2" "$bay3"; do expect_status 0 mdadm --quiet --zero-superblock "/dev/$(disk_of "$half")"; done
}
layers_gone() {
    expect_status 0 vgchange --quiet -an stack
    expect_status 0 pcictl replug "$bay1"
    # The volume group is active again once udev has seen it.
    wait_until 60 [ -e /dev/stack/data ] || fail 'no volume group'
    same "$before" "$(functions)"
}

# A mount unit and an automount on the volume: refused while mounted, and looking never mounts what waits to be asked for.
mounts() {
    expect_status 0 mke2fs -q -F /dev/stack/data
    udevadm settle
    printf '[Mount]\nWhat=/dev/stack/data\nWhere=/srv/data\nType=ext4\n' >/run/systemd/system/srv-data.mount
    printf '[Automount]\nWhere=/srv/data\n' >/run/systemd/system/srv-data.automount
    systemctl daemon-reload
    expect_status 0 systemctl start srv-data.mount
    refused "$bay1" 'mounted,holders' '/srv/data is mounted'
    note "refused: $(echo "$err" | head -n 1)"
    expect_status 0 systemctl stop srv-data.mount
    expect_status 0 systemctl start srv-data.automount
    # An active volume, of which nothing is mounted.
    refused "$bay1" holders 'LVM stack-data'
    expect_status 0 pcictl list -o +in-use
    expect_status 0 pcictl show "$bay1"
    same inactive "$(systemctl is-active srv-data.mount)"
    ls /srv/data >/dev/null || fail 'not mounted when asked for'
    same active "$(systemctl is-active srv-data.mount)"
    refused "$bay1" 'mounted,holders' '/srv/data is mounted'
    expect_status 0 systemctl stop srv-data.automount srv-data.mount
    expect_status 0 vgchange --quiet -an stack
    expect_status 0 pcictl remove "$bay1"
    expect_status 0 pcictl rescan "$bay1"
    wait_until 60 [ -e /dev/stack/data ] || fail 'no volume group'
    expect_status 0 vgremove --quiet --yes stack
    expect_status 0 pvremove --quiet "/dev/$(disk_of "$bay1")"
    same "$before" "$(functions)"
}
