# shellcheck shell=sh
# Devices that go and come back where udev loads their modules, names interfaces and makes links.
# shellcheck disable=SC2154,SC2317 # called by name, with what main sets

# links_to NODE: udev's links to it, sorted, without those that count how often disks came.
links_to() {
    find /dev/disk -lname "*/$1" | grep -v by-diskseq | sort
}

# name_of ADDRESS: of its network interface.
name_of() {
    ls "$pci/$1/net"
}

# Drives with partitions: all go, their module is unloaded, and one after the other comes back. Nothing is waited for after the
# report: the module is loaded, and every link is there.
udev_drives() {
    printf 'label: gpt\n- 64M - -\n- - - -\n' | sfdisk --quiet --wipe always "/dev/$(disk_of "$bay1")" || fail 'no partitions'
    udevadm settle
    disk=$(disk_of "$bay1")
    for name in "$disk" "${disk}p1" "${disk}p2"; do links_to "$name"; done >/tmp/case/links
    contains "$(cat /tmp/case/links)" /dev/disk/by-id/nvme-
    contains "$(cat /tmp/case/links)" /dev/disk/by-partuuid/
    note "links: $(wc -l </tmp/case/links)"
    expect_status 0 pcictl remove --each driver:nvme
    udevadm settle
    same '' "$(find /dev/disk -lname '*nvme*')"
    expect_status 0 modprobe -r nvme
    [ ! -d /sys/module/nvme ] || fail 'the module is still there'

    expect_status 0 pcictl rescan --expect driver=nvme "$bay1"
    for name in "$disk" "${disk}p1" "${disk}p2"; do links_to "$name"; done >/tmp/case/links.after
    [ -d /sys/module/nvme ] || fail 'no module'
    contains "$out" "+ $bay1"
    contains "$out" '(nvme)'
    same "$(cat /tmp/case/links)" "$(cat /tmp/case/links.after)"
    expect_status 0 pcictl rescan --expect driver=nvme,count=1 "$bay2"
    expect_status 0 pcictl rescan --expect driver=nvme,count=1 "$bay3"
    same "$before" "$(functions)"
    udevadm settle
    wipefs --all --quiet "/dev/$(disk_of "$bay1")" || fail 'the partitions stay'
}
disk_of() { basename "$(echo "$pci/$1"/nvme/nvme*/nvme*n*)"; }

# A card whose module is unloaded, and whose interface udev takes three seconds to name: the report has the name that it ends up
# with. Under a name that an administrator gives meanwhile it is not what it was.
udev_network() {
    was=$(name_of "$card")
    case $was in enp*) ;; *) fail "udev did not name it: $was" ;; esac
    expect_status 0 pcictl remove "$card"
    expect_status 0 modprobe -r e1000e
    printf '#!/bin/sh\nsleep 3\n' >/run/late
    chmod +x /run/late
    mkdir -p /run/udev/rules.d
    echo 'ACTION=="add", SUBSYSTEM=="net", PROGRAM="/run/late"' >/run/udev/rules.d/00-late.rules
    udevadm control --reload
    expect_status 0 pcictl rescan --json --expect driver=e1000e "$card"
    after=$(name_of "$card")
    same "$was" "$after"
    contains "$out" '"differences": []'
    dmesg | grep -q "$was: renamed from" || fail 'it was never renamed'
    rm /run/udev/rules.d/00-late.rules

    mac=$(cat "$pci/$card/net/$was/address")
    mkdir -p /run/systemd/network
    printf '[Match]\nMACAddress=%s\n[Link]\nName=uplink0\n' "$mac" >/run/systemd/network/10-uplink.link
    udevadm control --reload
    expect_status 6 pcictl replug "$card"
    same uplink0 "$(name_of "$card")"
    contains "$out" "$was -> uplink0"
    note "renamed: $(echo "$out" | grep uplink0)"
    rm /run/systemd/network/10-uplink.link
    udevadm control --reload
    expect_status 0 pcictl replug --accept names "$card"
    same "$was" "$(name_of "$card")"
    same "$before" "$(functions)"
}

# Virtual functions: the module of theirs is loaded and their interfaces are named before `sriov` is done, and with --restore
# before `rescan` is.
udev_vfs() {
    [ ! -d /sys/module/igbvf ] || expect_status 0 modprobe -r igbvf
    expect_status 0 pcictl sriov "$vf_card" 2
    names=$(vf_names)
    same 2 "$(echo "$names" | wc -w)"
    case " $names" in *' eth'*) fail "not named: $names" ;; esac
    note "named: $names"
    expect_status 0 pcictl remove "$vf_card"
    expect_status 0 modprobe -r igbvf igb
    expect_status 0 pcictl rescan --restore "$vf_card"
    same "$names" "$(vf_names)"
    expect_status 0 pcictl sriov "$vf_card" 0
    same "$before" "$(functions)"
}
vf_names() { cd "$pci/$vf_card" && echo virtfn*/net/* | sed 's|virtfn[0-9]*/net/||g'; }
