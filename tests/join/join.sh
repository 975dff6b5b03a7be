#!/usr/bin/env bash
# join.sh LOCKS PLACE COMMAND...: runs COMMAND with PLACE locked:
# join.sh /run/pcictl/locks pci0000:00/03.0/00.0 ./reset-card
set -eu

fail() { # WHY
    echo "join.sh: $1" >&2
    exit 75
}

take() { # FILE MODE TAG: locks it; $fd is its descriptor
    local since
    [ -f "$1" ] || fail "$1 is missing; have pcictl lock it once"
    exec {fd}<>"$1"
    since=$(awk '{ printf "%d", $1 * 1000 }' /proc/uptime)
    dd bs=1 count=0 seek=$((since << 2 | $3)) conv=notrunc \
        status=none >&"$fd"
    flock --wait 30 "$2" "$fd" || fail "$1 is locked"
}

hold() { # NODE MODE TAG
    local gate id named
    take "$1.gate" --exclusive "$3"
    gate=$fd
    take "$1.lock" "$2" "$3"
    exec {gate}>&-
    id=$(stat --dereference --format=%D:%i "/proc/$$/fd/$fd")
    named=$(stat --format=%D:%i "$1.lock")
    [ "$id $(cat "$1.lock")" = "$named pcictl $id $PWD/$1.lock" ] ||
        fail "$1.lock is new; have pcictl lock it once"
}

cd -P "$1"
protocol=$(readlink protocol || echo 1)
[ "$protocol" = 1 ] || fail "these locks are of protocol $protocol"
place=${2//\//+}
shift 2
hold root --shared 2
node=
while [[ $place = *+* ]]; do
    node=$node${node:++}${place%%+*}
    place=${place#*+}
    hold "$node" --shared 2
done
hold "$node${node:++}$place" --exclusive 1
exec "$@"
