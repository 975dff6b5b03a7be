# The point of the stop phase: a switch with eight slow drivers is removed at least 6 times faster than by echo, in the
# same boot, and both ways everything comes back as it was. (The drivers take 12 s, so that emulated process starts of
# seconds do not blur it.)
# topology: switch8
# timeout: 600
switch=$(of_kind upstream)
port=$(parent_of "$switch")
before=$(functions)

slow remove_ms 12000
started=$(now)
drop "$switch"
raw=$(($(now) - started))
slow remove_ms 0
scan "$port"
same "$before" "$(functions)"

# Three tries, because whatever else this machine is doing slows the start of a process far more than a driver's sleep.
for try in 1 2 3; do
    slow remove_ms 12000
    started=$(now)
    expect_status 0 pcictl remove "$switch"
    ours=$(($(now) - started))
    slow remove_ms 0
    [ -z "$(of_kind upstream; of_kind edu)" ] || fail "not gone: $(functions)"
    expect_status 0 pcictl rescan "$port"
    same "$before" "$(functions)"
    note "try $try: echo took $((raw * 10)) ms, pcictl $((ours * 10)) ms"
    [ "$raw" -lt $((6 * ours)) ] || exit 0
done
fail "not even 6 times as fast"
