# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#
# The front door; the build behind it is meson's and ninja's.
#
#   make              builds the libraries and programs in build/release
#   make install      installs them under $(DESTDIR)$(PREFIX)
#   make demo         boots a Linux guest on a libvhost disk
#   make check        runs every test; `scripts/check STAGE` runs a part
#   make lab          runs the tests that need the kernel's own vhost devices
#   make lab-shell    opens a shell where these are
#   make bench        measures, as JSON and as a table
#   make fuzz T=60    fuzzes each target for T seconds
#   make lint         the checks of the source text alone
#   make clean        removes everything that was built
#
# demo, check, lab, bench, fuzz and lint first install the Debian packages that
# they need and that are missing (scripts/packages), as root or with sudo.

PREFIX ?= /usr/local
T ?= 60
RELEASE := build/release
BENCH := build/bench
PLAIN := build/check/plain

.PHONY: all install demo check lab lab-shell bench fuzz lint clean

all: $(RELEASE)/build.ninja
	@ninja -C $(RELEASE)

$(RELEASE)/build.ninja:
	@scripts/install-packages --only-ask build
	@meson setup $(RELEASE) --buildtype=release -Dtests=false \
		--prefix="$(PREFIX)"

install: all
	@meson configure $(RELEASE) -Dprefix="$(PREFIX)"
	@ninja -C $(RELEASE)
	@DESTDIR="$(DESTDIR)" meson install -C $(RELEASE) --no-rebuild

demo:
	@scripts/install-packages build demo
	@$(MAKE) --no-print-directory all
	@scripts/demo $(RELEASE)

check:
	@scripts/install-packages build demo check
	@scripts/check

$(PLAIN)/build.ninja:
	@scripts/install-packages build demo check
	@meson setup $(PLAIN) --buildtype=release

lab: $(PLAIN)/build.ninja
	@meson test -C $(PLAIN) --suite lab

lab-shell: $(PLAIN)/build.ninja
	@ninja -C $(PLAIN) lab-programs
	@BUILD_DIR=$(PLAIN) tests/lab/boot --shell

lint:
	@scripts/install-packages build check
	@scripts/check lint

bench:
	@scripts/install-packages build demo check bench
	@meson setup $(BENCH) --buildtype=release \
		$$(test ! -f $(BENCH)/build.ninja || echo --reconfigure)
	@ninja -C $(BENCH)
	@scripts/bench $(BENCH)

fuzz:
	@scripts/install-packages build check
	@scripts/fuzz $(T)

clean:
	rm -rf build
