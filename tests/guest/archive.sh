# shellcheck shell=bash
# Sourced after ./install.sh by what takes packages from another Debian suite than this machine's own. The lists of such a
# suite are kept in $cache: that needs no root, and neither sees nor changes what this machine has set up, but for the
# mirror that it takes from there.
cache=${PCICTL_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pcictl-guest}

# With architecture=arm64 before them, the functions below are about the packages of another architecture than this machine's.

# lists_of SUITE: the directory of its lists.
lists_of() {
    echo "$cache/apt/$1${architecture:+-$architecture}"
}

# archive SUITE COMMAND...: run an apt command on the archive of that suite, which `open_archive` has set up.
archive() {
    local suite=$1 lists options=()
    lists=$(lists_of "$1")
    shift
    # What is installed here says nothing of another architecture.
    [ -z "${architecture-}" ] || options+=(-o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture"
        -o Dir::State::status=/dev/null)
    # A backport is taken only when asked for.
    [[ $suite != *-backports ]] || options+=(-o "APT::Default-Release=$suite")
    "$@" -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$lists/lists" -o Dir::Cache="$lists/cache" -o APT::Sandbox::User="$(id -un)" "${options[@]}"
}

# mirrors: the Debian mirrors this machine uses, a line each: `main URI` or `security URI`.
mirrors() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "main" { print ($3 ~ /-security$/ ? "security" : "main"), $4 }' | sort -u
}

# open_archive SUITE: set up the lists that `archive` reads; with X-backports come those of X.
open_archive() {
    local suite=$1 lists found
    lists=$(lists_of "$1")
    found=$(mirrors)
    if [[ $found != *security* ]]; then # lists that were never fetched
        as_root apt-get -qq update || true
        found=$(mirrors)
    fi
    [ -n "$found" ] ||
        die "cannot tell which Debian mirror to take packages from: needs a Debian machine whose apt has a mirror set up, after apt-get update"
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    awk -v suite="$suite" -v release="${suite%-backports}" '
        $1 == "security" { print "deb", $2, release "-security", "main"; next }
        { print "deb", $2, release, "main" }
        suite != release { print "deb", $2, suite, "main" }' <<<"$found" >"$lists/sources.list"
    archive "$suite" apt-get -qq update ||
        die "the mirrors of this machine do not carry Debian $suite: $(cut -d' ' -f2 <<<"$found" | xargs)"
}

# qemu_is_new_enough: a QEMU of 8 or newer, which has the SR-IOV network card `igb`, is there.
qemu_is_new_enough() {
    local version
    version=$(qemu-system-x86_64 --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
    [ "${version:-0}" -ge 8 ]
}

# need_qemu: install one that is new enough: this release's own, or else its backport.
need_qemu() {
    local own suite fresh
    ! qemu_is_new_enough || return 0
    [ -n "$(mirrors)" ] || as_root apt-get -qq update
    own=$(apt-cache policy qemu-system-x86 | awk '$1 == "Candidate:" { print $2 }')
    if dpkg --compare-versions "$own" ge 1:8; then
        install_packages qemu-system-x86
        return
    fi
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")-backports
    echo "installing qemu-system-x86 of Debian $suite" >&2
    open_archive "$suite"
    fresh=$(mktemp -d "$cache/tmp.XXXXXX")
    mkdir "$fresh/partial"
    archive "$suite" apt-get -qq --yes --download-only --no-install-recommends -o Dir::Cache::archives="$fresh" \
        install qemu-system-x86 >"$fresh/log" 2>&1 || {
        cat "$fresh/log" >&2
        die "could not download qemu-system-x86 of Debian $suite"
    }
    install_packages "$fresh"/*.deb
    rm -rf "$fresh"
    qemu_is_new_enough || die "needs QEMU 8 or newer for its network card igb, which Debian $suite does not carry"
}
