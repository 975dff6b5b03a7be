# What the kernel answers to the writes that pcictl makes, right and wrong ones, and what has become of the device then.
# The kernel made of files that other tests run against is asked the same, from the same list (tests/it/kernel_answers.rs).
# topology: sriov
# kernels: all
before=$(functions)
edu=$(of_kind edu)
pf=$(of_kind nvme)

# ask FILE VALUE: write it, and leave the kernel's answer in $answer.
ask() {
    if (echo "$2" >"$1") 2>/tmp/case/answer; then
        answer=ok
        return
    fi
    case $(cat /tmp/case/answer) in
    *"No such device"*) answer=ENODEV ;;
    *"No such file"* | *"nonexistent directory"*) answer=ENOENT ;;
    *"Device or resource busy"*) answer=EBUSY ;;
    *) answer=$(cat /tmp/case/answer) ;;
    esac
}
# state ADDRESS: its driver, `none`, or `gone`.
state() {
    [ -e "$pci/$1" ] || { echo gone && return; }
    driver=$(readlink "$pci/$1/driver") || driver=none
    echo "${driver##*/}"
}
vfs_of() {
    find "$pci/$1/" -name 'virtfn*' | wc -l
}
# The write, its device, its value, the answer, and the device's driver or the PF's VFs afterwards.
while read -r write who value wanted after; do
    # Before 5.14, a device that has a driver gets the answer of one that the driver does not match (bind_store()).
    case "$(uname -r) $write $wanted" in 5.10.*' bind EBUSY') wanted=ENODEV ;; esac
    case $who in edu) device=$edu ;; pf) device=$pf ;; esac
    case $write in
    unbind | bind) ask "/sys/bus/pci/drivers/$value/$write" "$device" ;;
    remove) ask "$pci/$device/remove" 1 ;;
    rescan) ask /sys/bus/pci/rescan 1 ;;
    vfs) ask "$pci/$device/sriov_numvfs" "$value" ;;
    esac
    came=$(state "$device")
    [ "$write" != vfs ] || came=$(vfs_of "$device")
    same "$write $who $value $wanted $after" "$write $who $value $answer $came"
done <<ANSWERS
unbind edu slowpci ok none
unbind edu slowpci ENODEV none
unbind edu pcieport ENODEV none
unbind edu nosuch ENOENT none
bind edu nosuch ENOENT none
bind edu slowpci ok slowpci
bind edu slowpci EBUSY slowpci
unbind edu nvme ENODEV slowpci
unbind edu slowpci ok none
remove edu - ok gone
remove edu - ENOENT gone
unbind edu slowpci ENODEV gone
bind edu slowpci ENODEV gone
rescan edu - ok slowpci
rescan edu - ok slowpci
vfs pf 0 ok 0
vfs pf 0 ok 0
vfs pf 4 ok 4
vfs pf 4 ok 4
vfs pf 2 EBUSY 4
vfs pf 0 ok 0
ANSWERS
same "$before" "$(functions)"
