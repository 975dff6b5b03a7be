# shellcheck shell=sh
# Inside the guest of ./guest: what it takes to find out who uses a function, among so and so many processes with 55 descriptors
# each, where the kernel is asked at once and where each is looked at. Processor time least of three rounds.
set -u
# shellcheck source=tests/guest/lib.sh
. /rig/lib.sh

device=$(of_kind edu | nth 1)
types=/sys/kernel/btf

# sleeper: has 55 descriptors, and sleeps. busybox's shell knows none of two digits.
sleeper() {
    fd=3
    opened=
    while [ "$fd" -le 54 ]; do
        opened="$opened $fd</dev/null"
        fd=$((fd + 1))
    done
    echo "exec $opened; exec sleep 10000"
}
sleeper >/tmp/sleeper

# spent COMMAND...: processor time in milliseconds, least of three, of that with its children.
spent() {
    least=
    for _ in 1 2 3; do
        used=$( (time -p "$@" >/tmp/shown) 2>&1 | awk '$1 == "user" || $1 == "sys" { sum += $2 } END { printf "%d", sum * 1000 }')
        [ -n "$least" ] && [ "$least" -le "$used" ] || least=$used
    done
    echo "$least"
}

processes=0
printf '%9s %12s %12s %12s\n' processes 'show, at once' 'show, each' '--version'
for wanted in 0 128 400; do
    while [ "$processes" -lt "$wanted" ]; do
        bash-static /tmp/sleeper &
        processes=$((processes + 1))
    done
    asleep() { [ "$(grep -lx sleep /proc/[0-9]*/comm 2>/dev/null | wc -l)" -ge "$wanted" ]; }
    wait_until 120 asleep || fail "there are not $wanted of them"
    at_once=$(spent pcictl show "$device")
    mount -t tmpfs none "$types"
    each=$(spent pcictl show "$device")
    umount "$types"
    printf '%9s %12s %12s %12s\n' "$wanted" "$at_once" "$each" "$(spent pcictl --version)"
done
