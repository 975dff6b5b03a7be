# Why pcictl is there: two removals, one above the other, use memory after it was freed. slub_debug makes it show.
# topology: nested
# append: slub_debug=FPZU
# boot: own
# expect: complaint
# allow: stuck changed
top=$(of_kind upstream | nth 1)
root=$(parent_of "$top")
for try in 1 2 3 4 5 6 7 8 9 10; do
    child=$(below "$top" | nth 1)
    drop "$top" &
    drop "$child" &
    sleep 2
    if complaints >/tmp/complaints; then
        note "at try $try: $(head -n 1 /tmp/complaints)"
        exit 0
    fi
    wait
    scan "$root"
done
fail "ten times two removals, and the kernel had nothing to say"
