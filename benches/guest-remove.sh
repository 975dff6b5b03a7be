# shellcheck shell=sh
# Inside the guest of ./guest: what a removal takes, by echo and by pcictl, and for how long others wait meanwhile.
set -u
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh

outer=$(of_kind upstream | nth 1)
port=$(parent_of "$outer")
inner=$(of_kind upstream | nth 2)
inner_port=$(parent_of "$inner")
far=$(of_kind root-port | nth 2)
far_edu=$(of_kind edu | tail -n 1)
all=$(functions)

# clock: sets $at to hundredths of a second since boot, without starting a process.
clock() {
    read -r at _ </proc/uptime
    at=${at%.*}${at#*.}
}

# watch FILE: rescan the other host bridge's port over and over, and keep the longest time that took.
watch() {
    longest=0
    while [ ! -e /tmp/enough ]; do
        clock
        from=$at
        echo 1 >"$pci/$far/rescan"
        clock
        [ $((at - from)) -le "$longest" ] || longest=$((at - from))
    done
    echo "$longest" >"$1"
}

# timed TITLE MILLISECONDS COMMAND...: with drivers that take that long to stop, while another bridge is rescanned.
timed() {
    title=$1
    slow remove_ms "$2"
    shift 2
    rm -f /tmp/enough /tmp/waited
    watch /tmp/waited &
    watcher=$!
    sleep 0.3
    clock
    from=$at
    "$@" >/tmp/timed.out 2>&1 || echo "FAILED: $*: $(cat /tmp/timed.out)"
    clock
    took=$((at - from))
    : >/tmp/enough
    wait "$watcher"
    slow remove_ms 0
    echo "$title: $((took * 10)) ms, an unrelated rescan waited $(($(cat /tmp/waited) * 10)) ms $(tr -d ' \n' </tmp/timed.out | grep -o '"stop_seconds":[0-9.]*,"remove_seconds":[0-9.]*')"
}

# back BRIDGE: everything as it was.
back() {
    scan "$1"
    [ "$(functions)" = "$all" ] || echo "FAILED: not everything came back below $1"
}

chain() {
    echo "$far_edu" >/sys/bus/pci/drivers/slowpci/unbind
}

# An emulator translates each program when it first runs, which on a processor takes no time.
pcictl remove "$far_edu" >/dev/null && pcictl rescan "$far" >/dev/null || echo "FAILED: to remove and rescan $far_edu"

timed "nothing at all" 0 sleep 1
timed "one driver of 1 s" 1000 chain
echo "$far_edu" >/sys/bus/pci/drivers/slowpci/bind

timed "8 x 1 s below one switch, echo" 1000 drop "$inner"
back "$inner_port"
timed "8 x 1 s below one switch, pcictl" 1000 pcictl --json remove "$inner"
back "$inner_port"
timed "32 x 0.5 s below two levels, echo" 500 drop "$outer"
back "$port"
timed "32 x 0.5 s below two levels, pcictl" 500 pcictl --json remove "$outer"
back "$port"

# repeat TITLE COMMAND...: 20 times, with what follows in $after not timed.
repeat() {
    title=$1
    shift
    sum=0
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        clock
        from=$at
        "$@" >/dev/null 2>&1 || echo "FAILED: $*"
        clock
        sum=$((sum + at - from))
        $after
    done
    echo "$title: $((sum * 10 / 20)).$((sum * 10 % 20 / 2)) ms each"
}
again() {
    scan "$far"
}
after=:
repeat "nothing" true
repeat "a busybox process" busybox true
repeat "pcictl --version" pcictl --version
repeat "pcictl show of an idle endpoint" pcictl show "$far_edu"
repeat "pcictl remove --dry-run of it" pcictl remove --dry-run "$far_edu"
after=again
repeat "echo 1 >remove of it" drop "$far_edu"
repeat "pcictl remove of it" pcictl remove "$far_edu"
