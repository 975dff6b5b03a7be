# Who has a /run of its own, as in a container, is refused: the locks there would protect nothing. In a storm of operators
# inside and outside only those outside change anything, and nothing gets stuck.
# topology: nested
# kernels: any
# append: slub_debug=FPZU
# timeout: 600
before=$(functions)
switch=$(of_kind upstream | nth 1)
endpoint=$(of_kind edu | nth 1)
# inside COMMAND...: with a mount namespace and a /run of its own.
inside() {
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount -t tmpfs -o mode=755 run /run && exec "$@"' sh "$@"
}
# contained COMMAND...: with process ids of its own, too.
contained() {
    # shellcheck disable=SC2016
    unshare -m -p -f sh -c 'mount -t proc proc /proc && exec "$@"' sh "$@"
}
for what in "remove $endpoint" "rescan $switch" "replug $endpoint" "lock $endpoint -- true"; do
    # shellcheck disable=SC2086 # words
    expect_status 4 inside pcictl $what
    contains "$err" 'another directory for this process than for the rest of the machine'
    # shellcheck disable=SC2086
    expect_status 4 contained pcictl $what
    contains "$err" 'runs in a container'
done
same "$before" "$(functions)"
# Looking is free.
expect_status 0 inside pcictl list

# operator NAME HOW TARGET: removals and rescans of it, HOW being `inside`, or `env` for outside.
operator() {
    for count in 1 2 3; do
        for what in remove 'rescan --settle 0'; do
            status=0
            # shellcheck disable=SC2086
            $2 pcictl $what --wait 100 "$3" >"/tmp/case/$1.out" 2>&1 || status=$?
            echo "$status $1 $count $what $3: $(one_line 300 <"/tmp/case/$1.out")" >>"/tmp/case/log.$2"
        done
    done
}
{
    operator one env "$switch" &
    operator two inside "$endpoint" &
    operator three env "$endpoint" &
    operator four inside "$switch" &
}
wait
note "outside: $(cut -d ' ' -f 1 /tmp/case/log.env | sort -n | uniq -c | awk '{ printf "%d times %d, ", $1, $2 }')"
bad=$(grep -vhE '^(0|3|5|6) ' /tmp/case/log.env) && fail "outside: $bad"
# What is gone just now is no such device (3).
bad=$(grep -vhE '^(3|4) ' /tmp/case/log.inside) && fail "inside: $bad"
[ "$(wc -l </tmp/case/log.inside)" = 12 ] || fail "$(wc -l </tmp/case/log.inside) operations inside"
expect_status 0 pcictl rescan --all
same "$before" "$(functions)"
