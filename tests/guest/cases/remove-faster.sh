# The point of the stop phase: a switch with eight slow drivers is removed at least 6 times faster than by echo, in the
# same boot, and both ways everything comes back as it was.
# topology: switch8
# kernels: any
# timeout: 480
switch=$(of_kind upstream)
port=$(parent_of "$switch")
before=$(functions)

# The longer the drivers take, the less the start of an emulated process weighs, which a busy host slows a lot: a second
# try, with both measured anew, is for that.
for each in 1500 6000 15000; do
    slow remove_ms $each
    started=$(now)
    drop "$switch"
    raw=$(($(now) - started))
    slow remove_ms 0
    scan "$port"
    same "$before" "$(functions)"

    slow remove_ms $each
    started=$(now)
    expect_status 0 pcictl remove "$switch"
    ours=$(($(now) - started))
    slow remove_ms 0
    [ -z "$(of_kind upstream; of_kind edu)" ] || fail "not gone: $(functions)"
    expect_status 0 pcictl rescan "$port"
    same "$before" "$(functions)"

    note "eight drivers of $each ms: echo took $((raw * 10)) ms, pcictl $((ours * 10)) ms"
    [ "$raw" -lt $((6 * ours)) ] || exit 0
done
fail "not even 6 times as fast"
