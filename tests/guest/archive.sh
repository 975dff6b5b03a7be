# shellcheck shell=bash
# Sourced after ./install.sh by what takes packages from another Debian suite than this machine's own. The lists of such a
# suite are kept in $cache: that needs no root, and neither sees nor changes what this machine has set up, but for the
# mirror that it takes from there.
cache=${PCICTL_GUEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pcictl-guest}

# archive SUITE COMMAND...: run an apt command on the archive of that suite, which `open_archive` has set up.
archive() {
    local suite=$1 lists=$cache/apt/$1 release=()
    shift
    # A backport is taken only when asked for.
    [[ $suite != *-backports ]] || release=(-o "APT::Default-Release=$suite")
    "$@" -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$lists/lists" -o Dir::Cache="$lists/cache" -o APT::Sandbox::User="$(id -un)" "${release[@]}"
}

# mirrors: the Debian mirrors this machine uses, a line each: `main URI` or `security URI`.
mirrors() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "main" { print ($3 ~ /-security$/ ? "security" : "main"), $4 }' | sort -u
}

# open_archive SUITE: set up the lists that `archive` reads; with X-backports come those of X.
open_archive() {
    local suite=$1 lists=$cache/apt/$1 found
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
