# make                  builds target/release/pcictl
# make STATIC=1         one that needs no library, in target/static
# make install          as root: everything below /usr/local
# make install DESTDIR=/tmp/root PREFIX=/usr SYSCONFDIR=/etc     what packages are made of
#
# What is installed is the program, man pages, completions, the JSON Schema, units and their catalog, tmpfiles.d, examples,
# and an /etc/pcictl/protected.d that says how to fill it.

CARGO ?= cargo
INSTALL ?= install
PREFIX ?= /usr/local
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
DATADIR ?= $(PREFIX)/share
LIBDIR ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc
DOCDIR ?= $(DATADIR)/doc/pcictl
BASHDIR ?= $(DATADIR)/bash-completion/completions
ZSHDIR ?= $(DATADIR)/zsh/site-functions
FISHDIR ?= $(DATADIR)/fish/vendor_completions.d
# systemd reads units below /usr/local as well.
UNITDIR ?= $(LIBDIR)/systemd/system
CATALOGDIR ?= $(LIBDIR)/systemd/catalog
TMPFILESDIR ?= $(LIBDIR)/tmpfiles.d

# Naming the target keeps the flags of a static program away from procedural macros, which cannot be static.
ifdef STATIC
TARGETDIR ?= target/static
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
PROGRAM ?= $(TARGETDIR)/$(TARGET)/release/pcictl
FLAGS = -C target-feature=+crt-static $(SHORT)
# The addresses to be adjusted at the start, in a form that takes a hundred kilobytes less. The program does that itself, and the
# C library in it can from glibc 2.36 on. A linker that knows no such form says so, and goes on.
SHORT := $(shell getconf GNU_LIBC_VERSION 2>/dev/null | awk '$$1 == "glibc" && $$2 >= 2.36 { \
	print "-C link-arg=-Wl,-z,pack-relative-relocs" }')
CARGOFLAGS = --target $(TARGET)
else
TARGETDIR ?= target
PROGRAM ?= $(TARGETDIR)/release/pcictl
endif

# Where the sources and crates lay is nobody's business, and the same program comes out wherever it is built.
CARGO_HOME ?= $(HOME)/.cargo
REMAP = --remap-path-prefix=$(CURDIR)=/pcictl --remap-path-prefix=$(CARGO_HOME)=/cargo
# What --version tells; an archive without git tells none.
PCICTL_COMMIT ?= $(shell git -C $(CURDIR) describe --always --dirty --exclude '*' 2>/dev/null)
export PCICTL_COMMIT

.PHONY: all build where install

all: build

build:
	RUSTFLAGS="$(RUSTFLAGS) $(FLAGS) $(REMAP)" \
		$(CARGO) build --release --locked --bin pcictl --target-dir $(TARGETDIR) $(CARGOFLAGS)

where:
	@echo $(abspath $(PROGRAM))

# Not a prerequisite: `sudo make install` shall need no compiler.
$(PROGRAM):
	@echo "$(PROGRAM) is not there: run make first" >&2; false

install: $(PROGRAM)
	$(INSTALL) -D -m 755 $(PROGRAM) $(DESTDIR)$(SBINDIR)/pcictl
	for section in 5 7 8; do \
		$(INSTALL) -D -m 644 -t $(DESTDIR)$(MANDIR)/man$$section man/*.$$section || exit; \
	done
	$(INSTALL) -D -m 644 completions/pcictl.bash $(DESTDIR)$(BASHDIR)/pcictl
	$(INSTALL) -D -m 644 completions/_pcictl $(DESTDIR)$(ZSHDIR)/_pcictl
	$(INSTALL) -D -m 644 completions/pcictl.fish $(DESTDIR)$(FISHDIR)/pcictl.fish
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(DATADIR)/pcictl/schema packaging/schema/pcictl-1.json
	for unit in packaging/systemd/*.service; do \
		sed 's|/usr/sbin/pcictl|$(SBINDIR)/pcictl|' $$unit | \
			$(INSTALL) -D -m 644 /dev/stdin $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit; \
	done
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(CATALOGDIR) packaging/systemd/pcictl.catalog
	$(INSTALL) -D -m 644 packaging/systemd/tmpfiles.conf $(DESTDIR)$(TMPFILESDIR)/pcictl.conf
	$(INSTALL) -D -m 644 -t $(DESTDIR)$(DOCDIR) README.md CHANGELOG.md SECURITY.md THIRD-PARTY.md LICENSE-MIT LICENSE-APACHE
	cd packaging/examples && find * -type f ! -perm -u+x -exec $(INSTALL) -D -m 644 '{}' '$(DESTDIR)$(DOCDIR)/examples/{}' ';'
	cd packaging/examples && find * -type f -perm -u+x -exec $(INSTALL) -D -m 755 '{}' '$(DESTDIR)$(DOCDIR)/examples/{}' ';'
	$(INSTALL) -d -m 755 $(DESTDIR)$(SYSCONFDIR)/pcictl/protected.d
	[ -e $(DESTDIR)$(SYSCONFDIR)/pcictl/protected.d/README ] || \
		$(INSTALL) -m 644 packaging/protected.d-README $(DESTDIR)$(SYSCONFDIR)/pcictl/protected.d/README
