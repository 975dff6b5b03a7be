# shellcheck shell=bash
# Sourced by what boots a Debian that ./debian made. Wants $here, the directory of this file.
# shellcheck disable=SC2154
guest=$here/../guest
# shellcheck source=tests/guest/install.sh
. "$guest/install.sh"

# make_rig DIR: into DIR, for ./init and ./boot-debian, what every such guest gets; `main` is left to the caller. Beside it, as DIR.key, is the
# key that its root lets in, and as DIR.known_hosts what its sshd shows.
make_rig() {
    need ssh-keygen=openssh-client
    mkdir -p "$1"
    cp "$here/init" "$here/report" "$here/cases.sh" "$guest/lib.sh" "$1/"
    [ -e "$1.key" ] || ssh-keygen -q -t ed25519 -N '' -C soak -f "$1.key"
    cp "$1.key.pub" "$1/key.pub"
    [ -e "$1/ssh_host_ed25519_key" ] || ssh-keygen -q -t ed25519 -N '' -C guest -f "$1/ssh_host_ed25519_key"
    sed 's/^/* /' "$1/ssh_host_ed25519_key.pub" >"$1.known_hosts"
}
