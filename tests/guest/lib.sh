# shellcheck shell=sh
# What the cases have at hand inside the guest. Sourced by ./run-cases, and so by each case, under `set -u`.
pci=/sys/bus/pci/devices

# fail MESSAGE...: end the case as failed.
fail() {
    echo "FAIL: $*" >&2
    exit 1
}

# note MESSAGE...: a line that the report of the run shows although the case passed, as for a time that was measured.
note() {
    echo "note: $*"
}

# --- What is there -----------------------------------------------------------------------------------------------------

# functions: every PCI function with its ids and driver, sorted. Equal output means an identical set.
functions() {
    for device in "$pci"/*; do
        # Hardly a process: one takes ten milliseconds in an emulated machine.
        { read -r vendor <"$device/vendor" && read -r kind <"$device/device"; } 2>/dev/null || continue
        driver=$(readlink "$device/driver")
        driver=${driver##*/}
        echo "${device##*/} $vendor:$kind ${driver:--}"
    done
}

# of_kind KIND: the addresses of all functions of a kind that the topologies name, sorted.
of_kind() {
    case $1 in
    root-port) ids=0x1b36:0x000c ;;
    upstream) ids=0x104c:0x8232 ;;
    downstream) ids=0x104c:0x8233 ;;
    edu) ids=0x1234:0x11e8 ;;
    nvme) ids=0x1b36:0x0010 ;;
    e1000e) ids=0x8086:0x10d3 ;;
    igb) ids=0x8086:0x10c9 ;;
    igbvf) ids=0x8086:0x10ca ;;
    *) fail "of_kind: unknown kind $1" ;;
    esac
    functions | awk -v ids="$ids" '$2 == ids { print $1 }'
}

# nth N: the Nth line of stdin. As in: of_kind edu | nth 1
nth() {
    sed -n "$1p"
}

# parent_of ADDRESS: the bridge above it. Not for a function on a root bus.
parent_of() {
    basename "$(dirname "$(readlink -f "$pci/$1")")"
}

# below ADDRESS: the functions below that bridge, sorted.
below() {
    find "$(readlink -f "$pci/$1")" -mindepth 2 -name vendor -path '*:*/vendor' 2>/dev/null |
        sed 's|/vendor$||; s|.*/||' | sort
}

# drop ADDRESS / scan ADDRESS: the raw write that pcictl is there to replace.
drop() {
    echo 1 >"$pci/$1/remove"
}
scan() {
    echo 1 >"$pci/$1/rescan"
}

# new_file_system DISK: on the disk of that name, which its driver adds some time after it was bound.
new_file_system() {
    wait_until 20 [ -b "/dev/$1" ] || fail "no disk $1"
    mke2fs "/dev/$1" >/dev/null 2>&1 || fail 'no file system'
}

# mount_new DISK DIRECTORY: a new file system on the disk of that name, at the directory.
mount_new() {
    new_file_system "$1"
    mkdir -p "$2"
    mount -t ext4 "/dev/$1" "$2" || fail "not mounted: $(dmesg | tail -n 3)"
}

# slow PARAMETER VALUE: set up the slow driver, see slowpci/slowpci.c. It is fast again after the case.
slow() {
    echo "$2" >"/sys/module/slowpci/parameters/$1"
}

# give ADDRESS DRIVER: have that driver take it, whoever has it now; with '' the one that the kernel chooses.
give() {
    echo "$2" >"$pci/$1/driver_override"
    [ ! -e "$pci/$1/driver" ] || echo "$1" >"$pci/$1/driver/unbind"
    echo "$1" >/sys/bus/pci/drivers_probe
}

# is_validating: this kernel has a lock validator, and panics when a task hangs. What ordinary kernels do to raw writers without a
# guard is shown on those: here it would end the boot and tell nothing new.
is_validating() {
    case $(uname -r) in *-debug) ;; *) return 1 ;; esac
}

# deadlock BRIDGE: raw writes, rescans of what is below it in a loop and a removal above them, until the kernel is stuck.
deadlock() {
    for child in $(below "$1" | head -n 4); do
        scan_on "$child" &
    done
    wait_until 30 all_scanned || fail "no rescan ended: $(stuck_tasks)"
    drop "$1" &
    wait_until 30 is_deadlocked || fail "the raw writes got through: $(stuck_tasks)"
}
scan_on() {
    scan "$1"
    : >"/tmp/case/scanned.$1"
    while scan "$1"; do :; done
}
all_scanned() {
    [ "$(echo /tmp/case/scanned.* | wc -w)" = 4 ]
}
is_deadlocked() {
    tasks=$(stuck_tasks)
    # The compiler of 5.10 made one function of the two.
    case $tasks in *kernfs_drain* | *__kernfs_remove*) ;; *) return 1 ;; esac
    case $tasks in *dev_rescan_store*) ;; *) return 1 ;; esac
}

# use_freed_memory BRIDGE: raw removals of it and of something below it, side by side, up to ten times, until the kernel complains.
use_freed_memory() {
    above=$(parent_of "$1")
    for try in 1 2 3 4 5 6 7 8 9 10; do
        child=$(below "$1" | nth 1)
        drop "$1" &
        drop "$child" &
        sleep 2
        if complaints >/tmp/complaints; then
            note "at try $try: $(head -n 1 /tmp/complaints)"
            return
        fi
        wait
        scan "$above"
    done
    fail "ten times two removals, and the kernel had nothing to say"
}

# monitor COMMAND...: have QEMU's human monitor do that; its answer, on one line, is printed, and empty if all is well.
# What a hand does on a real machine: `monitor device_del CARD` pulls a card, `monitor device_add KIND,bus=SLOT` puts one in.
monitor() {
    command=$*
    printf '@frame %s monitor %d\n%s\n' "$0" "${#command}" "$command" >/dev/ttyS1
    read -r answer </dev/ttyS1
    echo "$answer"
}

# --- Operators, for storms ---------------------------------------------------------------------------------------------

# next: another number in $seed, the same after the same one in each run.
next() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
}

# any WORD...: one of the words, by that number.
any() {
    next
    eval "echo \"\${$((seed / 65536 % $# + 1))}\""
}

# one_line LENGTH: what comes in, as one line of at most so many characters. Not by xargs, which begins a new one at a lone quote.
one_line() {
    tr -s '\n ' ' ' | cut -c "1-$1"
}

# operate WORD...: pcictl with these words, as operation $count of the operator $name, and a line in /tmp/case/log.$name: the
# exit status, whose it was, the words, from when to when, and what was said.
# shellcheck disable=SC2154 # the caller's
operate() {
    status=0
    read -r from _ </proc/uptime
    pcictl "$@" >"/tmp/case/out.$name" 2>&1 || status=$?
    read -r to _ </proc/uptime
    echo "$status $name $count $* [$from to $to]: $(one_line 400 <"/tmp/case/out.$name")" >>"/tmp/case/log.$name"
}

# --- Raw writers, for storms -------------------------------------------------------------------------------------------
#
# What they write to is found by name each time, as runbooks do it: it may have gone, and may be gone in the next moment. What
# open(2) or write(2) answer is kept in /tmp/case/errors.

# raw VALUE FILE: a raw write, if the file is there.
raw() {
    [ -e "$2" ] || return 0
    echo "$1" 2>>/tmp/case/errors >"$2"
}
# Rescan the function; remove it, or bring back what is gone.
raw_rescan() { raw 1 "$pci/$1/rescan"; }
raw_remove() { if [ -e "$pci/$1" ]; then raw 1 "$pci/$1/remove"; else raw 1 /sys/bus/pci/rescan; fi; }

# raw_loop NAME TIMES COMMAND LIST: so often the command with a line of the file, picked by a small generator, the same in
# each run. A line is logged for each.
raw_loop() {
    seed=$(printf %d "'$1") count=0
    seed=$((seed * 7919 + ${#1}))
    while [ "$count" -lt "$2" ]; do
        next
        target=$(sed -n "$((seed / 65536 % $(wc -l <"$4") + 1))p" "$4")
        # shellcheck disable=SC2086 # an address, or a value and a file
        "$3" $target
        count=$((count + 1))
        echo "$1 $count $3 $target" >>"/tmp/case/log.$1"
    done 2>>/tmp/case/errors
}
# raw_done COUNT: whether the loops have done so many.
raw_done() {
    [ "$(cat /tmp/case/log.* 2>/dev/null | wc -l)" -ge "$1" ]
}

# tell_raw LEAST: what the guard's log says of them. Fails if one was denied, or if fewer had to wait: that would prove nothing.
tell_raw() {
    let_through=$(cat /run/pcictl/guard.log* | grep -c '"outcome":"done"')
    waited=$(cat /tmp/case/guards /tmp/case/guard 2>/dev/null | grep -c 'waited ')
    denied=$(cat /run/pcictl/guard.log* | grep '"outcome":"denied"')
    note "$let_through raw writes were let through, $waited of them had to wait"
    note "errors of the writers: $(sed 's/.*: //' /tmp/case/errors | sort | uniq -c | xargs)"
    [ -z "$denied" ] || fail "denied: $(echo "$denied" | head -n 3)"
    [ "$waited" -ge "$1" ] || fail "nobody met anybody, so this proves nothing"
    ! complaints || fail "the kernel complains"
}

# --- What to expect ----------------------------------------------------------------------------------------------------

# expect_status N COMMAND...: run it; any other exit status fails the case. Its output is kept in $out and $err, and the JSON
# documents of pcictl for the host, which compares them with the published form.
expect_status() {
    wanted=$1
    shift
    got=0
    "$@" >/tmp/expect.out 2>/tmp/expect.err || got=$?
    out=$(cat /tmp/expect.out)
    err=$(cat /tmp/expect.err)
    case $1$out in 'pcictl{'*) [ ! -d /tmp/result ] || cat /tmp/expect.out >>/tmp/result/documents ;; esac
    [ "$got" = "$wanted" ] || fail "$* ended with $got, not $wanted
$out
$err"
}

# contains TEXT PART: TEXT has PART in it.
contains() {
    case $1 in
    *"$2"*) ;;
    *) fail "no '$2' in:
$1" ;;
    esac
}

# same BEFORE AFTER: two texts are equal.
same() {
    [ "$1" = "$2" ] && return
    echo "$1" >/tmp/same.before
    echo "$2" >/tmp/same.after
    fail "not the same: $(diff /tmp/same.before /tmp/same.after)"
}

# wait_until SECONDS COMMAND...: until it succeeds; 1 if it does not in that time.
wait_until() {
    deadline=$(($(now) + $1 * 100))
    shift
    until "$@"; do
        [ "$(now)" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# runbook TITLE N: have the commands done that the Nth example of that section of pcictl-runbooks(7) has, one after the other,
# and see each end with the status that its comment begins with, or with 0. The case has set the names that the example
# begins with. A line that is a comment is handed to by_hand, which does what it says. What they print is kept in
# /tmp/case/said.
runbook() {
    awk -v title="# $1" -v wanted="$2" '
        /^# / { here = $0 == title; example = inside = 0 }
        /^[^ ]/ { inside = 0 }
        here && /^    / { if (!inside++) example++; if (example == wanted) print substr($0, 5) }' \
        /rig/pcictl-runbooks.7.txt >/tmp/case/runbook
    [ -s /tmp/case/runbook ] || fail "the page has no example $2 in '$1'"
    while read -r line <&3; do
        case ${line%% *} in
        '' | *=*) ;;
        '#') by_hand "${line#\# }" ;;
        *)
            wanted=$(expr "$line" : '.* # \([0-9]*\)$' '|' 0)
            expect_status "$wanted" eval "$line"
            printf '%s\n' "$out" "$err" >>/tmp/case/said
            ;;
        esac
    done 3</tmp/case/runbook
}

# has_link ADDRESS: its network interface has.
has_link() {
    [ "$(cat "$pci/$1"/net/*/carrier 2>/dev/null)" = 1 ]
}

# has_mac PF N MAC: what the driver of its VF N has made of it. A driver asks the physical function, which resets itself when its VFs
# become more or fewer, and on a busy machine takes longer than igbvf waits: it is bound again then, when there is a link, until it
# gets an answer.
has_mac() {
    vf=$(basename "$(readlink "$pci/$1/virtfn$2")") times=0
    mac=$(cat "$pci/$vf"/net/*/address)
    while [ "$mac" != "$3" ] && [ "$times" -lt 10 ] && was_in_reset "$vf"; do
        times=$((times + 1))
        wait_until 60 has_link "$1" || fail "$1 has no link"
        echo "$vf" >/sys/bus/pci/drivers/igbvf/unbind
        echo "$vf" >/sys/bus/pci/drivers/igbvf/bind
        mac=$(cat "$pci/$vf"/net/*/address)
    done
    same "$3" "$mac"
}
# was_in_reset VF: its physical function, when the driver asked last.
was_in_reset() {
    dmesg | grep "igbvf $1: " | tail -n 6 | grep -q 'PF still in reset state'
}

# in_background COMMAND...: start a `hold`, and wait until it holds what it should. Its process id is in $holder.
in_background() {
    : >/tmp/holder
    "$@" >/tmp/holder 2>&1 &
    holder=$!
    wait_until 30 grep -q ready /tmp/holder || fail "$*: $(cat /tmp/holder)"
}

# guarded OPTION...: start the guard, and wait until it serves. Its process id is in $guard, what it says in /tmp/case/guard.
guarded() {
    cat /tmp/case/guard >>/tmp/case/guards 2>/dev/null
    pcictl guard "$@" 2>/tmp/case/guard &
    guard=$!
    wait_until 60 guard_serves || fail "the guard does not serve: $(cat /tmp/case/guard)"
}
guard_serves() {
    [ -e "/proc/$guard" ] && grep -q guarding /tmp/case/guard
}

# guard_says TEXT: wait for it to say so. It says what it did after it did it: a writer may be back before.
guard_says() {
    wait_until 20 grep -qF -- "$1" /tmp/case/guard || fail "no '$1' in: $(cat /tmp/case/guard)"
}

# unguarded: end it as an operator does.
unguarded() {
    kill "$guard"
    wait "$guard" || fail "the guard ended with $?: $(tail -n 5 /tmp/case/guard)"
    wait_until 30 no_keeper || fail "its keeper is still there"
}
no_keeper() {
    ! grep -q guard-keeper /proc/[0-9]*/cmdline 2>/dev/null
}

# end_sleepers: end every `sleep`, and with it what it stands for.
end_sleepers() {
    for sleeper in $(pidof sleep); do kill -9 "$sleeper"; done
}

# let_go: end the last one.
let_go() {
    kill -9 "$holder"
    wait "$holder" 2>/dev/null
}

# refused ADDRESS KIND PART...: pcictl refuses to remove it, says each PART, and that KIND would have to be forced; nothing
# changes.
refused() {
    address=$1 kind=$2
    shift 2
    before_refusal=$(functions)
    expect_status 4 pcictl remove "$address"
    [ -z "$out" ] || fail "remove $address printed: $out"
    for part in "$@"; do contains "$err" "$part"; done
    contains "$err" "--force $kind"
    contains "$err" 'nothing was changed'
    [ "$(echo "$err" | wc -l)" = 2 ] || fail "more than a line and a hint: $err"
    same "$before_refusal" "$(functions)"
}

# survives_kills DEVICE PREPARE COMMAND...: have the command, which works on that device alone, killed by SIGKILL at each of
# its system calls that changes anything: pcictl, then its writer, then all at once. Each time `recover` brings the machine
# to the planned end or back to the start, and nothing is left over. PREPARE is done before each. A function `from_end`, if
# there is one, brings the planned end back to the start by raw writes. Counts in $undone, $completed and $nothing what
# recover did.
survives_kills() {
    undone=0 completed=0 nothing=0
    victim=$1 unharmed=$(functions)
    shift
    for who in main writer all; do
        point=1
        while killed_at "$point" "$who" "$@"; do point=$((point + 1)); done
        note "$who: $((point - 1)) points"
        [ "$point" -gt 1 ] || fail "$who was never killed"
    done
    note "undone $undone, completed $completed, nothing left to do $nothing"
}

# killed_at N WHO PREPARE COMMAND...: 1 if the command ended before its Nth call.
killed_at() {
    where="$2 killed at $1"
    $3
    got=0
    n=$1 who=$2
    shift 3
    kill-at "$n" "$who" "$@" >/tmp/case/out 2>&1 || got=$?
    case $got in 0 | 3 | 4) ;; *) fail "kill-at ended with $got: $(cat /tmp/case/out)" ;; esac
    wait_until 20 nobody_at_work || fail "$where: somebody goes on: $(stuck_tasks)"
    state=0
    pcictl status >/tmp/case/status 2>&1 || state=$?
    case $state in 0 | 5) ;; *) fail "$where: status ended with $state: $(cat /tmp/case/status)" ;; esac
    pcictl recover >/tmp/case/recover 2>&1 || fail "$where: recover: $(cat /tmp/case/status /tmp/case/recover)"
    case $(cat /tmp/case/recover) in
    *undone*) undone=$((undone + 1)) ;;
    *completed*) completed=$((completed + 1)) ;;
    *) nothing=$((nothing + 1)) ;;
    esac
    ! command -v from_end >/dev/null || from_end
    # One that came back is crossed off by a look at what it is now, as the doctor says.
    [ -e "$pci/$victim" ] && pcictl doctor >/dev/null 2>&1 || pcictl rescan --settle 20 "$victim" >/tmp/case/rescan 2>&1 ||
        fail "$where: rescan: $(cat /tmp/case/recover /tmp/case/rescan)"
    [ "$(functions)" = "$unharmed" ] || fail "$where: neither the start nor the end:
$(functions)
$(cat /tmp/case/out /tmp/case/status /tmp/case/recover)"
    pcictl status >/tmp/case/status 2>&1 || fail "$where, recovered, and then: $(cat /tmp/case/status)"
    pcictl doctor >/tmp/case/doctor 2>&1 || fail "$where, recovered, and then: $(cat /tmp/case/doctor)"
    [ "$got" != 3 ]
}

# nobody_at_work: no pcictl is there any more.
nobody_at_work() {
    ! pidof pcictl pcictl-write >/dev/null
}

# now: hundredths of a second since boot.
now() {
    read -r up _ </proc/uptime
    echo "${up%.*}${up#*.}" | sed 's/^0*\(.\)/\1/'
}

# --- What went wrong ---------------------------------------------------------------------------------------------------

# complaints: the lines of the kernel log that must never be there.
complaints() {
    dmesg | grep -E 'Oops|BUG|WARNING|refcount|general protection fault|kernel NULL pointer|list_(add|del) corruption|cannot create duplicate|left SR-IOV enabled|blocked for more than|soft lockup|self-detected stall|Kernel panic|possible circular locking'
}

# stuck_tasks: each task in D state: pid, command, and what it waits in. A driver that sleeps is in D state as well, so
# what counts is a task that stays so.
stuck_tasks() {
    for stat in /proc/[0-9]*/task/[0-9]*/stat; do
        state=$(sed 's/.*) //; s/ .*//' "$stat" 2>/dev/null)
        [ "$state" = D ] || continue
        task=${stat%/stat}
        echo "${task##*/} $(cat "$task/comm" 2>/dev/null) $(cat "$task/wchan" 2>/dev/null)"
        sed 's/^/        /' "$task/stack" 2>/dev/null
    done
}

# no_stuck_tasks: right now.
no_stuck_tasks() {
    [ -z "$(stuck_tasks)" ]
}
