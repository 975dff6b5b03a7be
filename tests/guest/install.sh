# shellcheck shell=bash
# Sourced by the scripts that need a Debian package: finds out what is missing and installs just that.

# die MESSAGE...: one line, on stderr, that says what to do.
die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# as_root COMMAND...: run it as root, without ever asking for a password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# install_packages PACKAGE...: quiet unless it fails.
install_packages() {
    command -v apt-get >/dev/null ||
        die "this machine has no apt: install what provides these Debian packages and try again: $*"
    echo "installing $*" >&2
    local log
    log=$(mktemp)
    # Lists that are weeks old name files that the archive no longer has, so refresh them first.
    if ! as_root env DEBIAN_FRONTEND=noninteractive sh -ec '
            apt-get -o DPkg::Lock::Timeout=120 -qq update
            apt-get -o DPkg::Lock::Timeout=120 -qq install --yes --no-install-recommends "$@"
        ' sh "$@" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "could not install; run this as root and try again: apt-get install --no-install-recommends $*"
    fi
    rm -f "$log"
}

# unpack_package PACKAGE DIRECTORY: what the package holds, in that directory, without installing it.
unpack_package() {
    local work
    work=$(mktemp -d)
    (cd "$work" && { download_package "$1" || { as_root apt-get -qq update && download_package "$1"; }; }) >&2 ||
        die "cannot download $1 from the mirrors of this machine"
    dpkg -x "$work/$1"_*.deb "$2"
    rm -r "$work"
}
download_package() {
    apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1"
}

# need COMMAND=PACKAGE...: install the packages whose command is missing, all in one go.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# python_environment DIRECTORY PACKAGE...: an environment of Python with these of PyPI, made once.
python_environment() {
    local directory=$1
    shift
    [ ! -e "$directory/made" ] || return 0
    need python3=python3
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    python3 -m venv "$directory"
    "$directory/bin/pip" --quiet --disable-pip-version-check install "$@"
    : >"$directory/made"
}

# cargo_is_new_enough: is the cargo on PATH one that can build pcictl?
cargo_is_new_enough() {
    local version
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    [ -n "$version" ] && [ "$(printf '%s\n' 1.85 "$version" | sort -V | head -n 1)" = 1.85 ]
}

# need_cargo: a cargo of 1.85 or newer, with rustfmt and clippy.
need_cargo() {
    PATH=$PATH:$HOME/.cargo/bin
    # cargo fetches crates over https.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || install_packages ca-certificates
    if ! cargo_is_new_enough; then
        # Debian 13 has it as rustc; Debian 12 beside its own old one, under other names.
        if apt-cache show rustc-web >/dev/null 2>&1 ||
            { as_root apt-get -qq update && apt-cache show rustc-web >/dev/null 2>&1; }; then
            install_packages cargo-web rustc-web rustfmt-web rust-web-clippy gcc libc6-dev
        else
            install_packages cargo rustc rustfmt rust-clippy gcc libc6-dev
        fi
        hash -r
        cargo_is_new_enough ||
            die "needs cargo 1.85 or newer and this machine's packages have only $(cargo --version): install it with rustup"
    fi
}
