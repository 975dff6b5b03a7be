# shellcheck shell=sh
# What both guests of tests/demo have at hand. Sourced after lib.sh.
mkdir -p /usr/share/misc
[ ! -e /rig/pci.ids ] || ln -s /rig/pci.ids /usr/share/misc/pci.ids
[ ! -e /rig/no-color ] || export NO_COLOR=1

say() {
    echo
    for line in "$@"; do echo "# $line"; done
}
# show COMMAND...: as if typed at a prompt.
show() {
    echo
    echo "\$ $*"
    "$@"
    status=$?
    [ $status = 0 ] || echo "(exit status $status)"
}
# shellcheck disable=SC2034 # for those who source this
switch=$(of_kind upstream)
