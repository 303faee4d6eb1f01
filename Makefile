# SPDX-License-Identifier: GPL-2.0
# minivmm: the module, its runner, their tests, and the virtual lab that runs them. `make help`

# The kernel to build the module for: this machine's if its headers are installed, else the newest.
HEADERS := $(patsubst /lib/modules/%/build/Makefile,%,$(wildcard /lib/modules/*/build/Makefile))
NEWEST := $(shell printf '%s\n' $(HEADERS) | grep -v -e cloud -e -rt- | sort -V | tail -n 1)
KVER ?= $(or $(filter $(shell uname -r),$(HEADERS)),$(NEWEST))
KDIR ?= /lib/modules/$(KVER)/build

# W=1 and C=1 (sparse) are the kernel's build's own.
W ?= 0
C ?= 0

# Where the lab is: bochs, qemu or host (Documentation/lab.md).
LAB ?= bochs
export LAB

JOBS := $(shell nproc)
MAKEFLAGS += --no-print-directory

PROGRAMS := tools/vmrun tests/guests tests/selftests

all: module $(PROGRAMS)

help:
	@echo 'For people:'
	@echo '  make              build minivmm.ko, tools/vmrun/vmrun and the test programs'
	@echo '  make demo         boot Debian as a guest of minivmm in the lab, to a shell prompt'
	@echo '  make lab-shell    a shell in the lab, with the module loaded'
	@echo '  make install      install the module, vmrun and the udev rule on this machine'
	@echo
	@echo 'For those who change it:'
	@echo '  make check        every test; ends with "N passed, N failed"'
	@echo '  make check-all    the same on every CPU model, without each feature, and check-debug'
	@echo '  make check-debug  the same on a kernel that checks itself, and on a preemptible one'
	@echo '  make bench        what each operation costs, beside KVM'
	@echo '  make sparse       check the module with sparse'
	@echo '  make deps         install the Debian packages in tests/packages that are missing'
	@echo '  make clean        remove what was built, but for the lab'\''s snapshots'
	@echo '  make distclean    remove these, too'
	@echo
	@echo 'Variables:'
	@echo '  LAB=$(LAB)        where demo, check, bench and lab-shell run: bochs emulates a machine'
	@echo '                   with VT-x, qemu needs nested VT-x in KVM, host is this machine itself'
	@echo '  MMU=ept|shadow   the MMU of the demo'\''s guest'
	@echo '  KVER=$(KVER)'
	@echo '                   the kernel to build the module for'
	@echo '  W=1, C=1         more warnings; sparse'
	@echo '  JOBS=$(JOBS)           so many tests at a time'
	@echo "  ONLY=…           only those checks that match: make check ONLY=\"unit 'penryn *'\""

module:
	@test -e '$(KDIR)/Makefile' || \
		{ echo 'There are no kernel headers to build the module with: make deps' >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) W=$(W) C=$(C) modules

$(PROGRAMS):
	$(MAKE) -C $@

tests/selftests: tests/guests

deps:
	@tests/install-packages $(DEPS)

check: DEPS := check
check-debug: DEPS := check debug
check-all: DEPS := check debug all
bench: DEPS := bench

# These install what is missing, then begin anew: only then is it known which kernel there is.
demo lab-shell bench: deps
	@$(MAKE) run-$@

check check-all check-debug: deps
	@$(MAKE) run-$@ || $(fail_quietly)

# The count of tests is the last line, also where some failed: without make's own "Error 1" behind it.
# The exit status is that of a program that SIGPIPE ended, or make's usual one where that is ignored.
fail_quietly = { kill -PIPE $$PPID; exit 1; }

run-demo: build-for-use
	@KVER='$(KVER)' tests/lab/demo/run

run-lab-shell: build-for-use
	@tests/lab/lab shell --kernel '$(KVER)' --module minivmm.ko --file tools/vmrun/vmrun

build-for-use:
	$(MAKE) -j$(JOBS) module tools/vmrun

run-check:
	@tests/check --kernel '$(KVER)' --jobs $(JOBS) $(ONLY) || $(fail_quietly)

run-check-all:
	@tests/check --kernel '$(KVER)' --jobs $(JOBS) --all-models $(ONLY) || $(fail_quietly)

run-check-debug:
	@tests/check --kernel '$(KVER)' --jobs $(JOBS) --debug $(ONLY) || $(fail_quietly)

run-bench: all
	@$(MAKE) -C tests/bench run

sparse:
	@rm -f $$(find src -name '*.o')
	$(MAKE) module C=1

install: all
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install
	install -D -m 755 tools/vmrun/vmrun $(DESTDIR)/usr/local/bin/vmrun
	install -D -m 644 tools/vmrun/vmrun.1 $(DESTDIR)/usr/local/share/man/man1/vmrun.1
	install -D -m 644 tools/vmrun/vmrun.bash \
		$(DESTDIR)/usr/local/share/bash-completion/completions/vmrun
	install -D -m 644 tools/60-minivmm.rules $(DESTDIR)/etc/udev/rules.d/60-minivmm.rules

clean:
	@test ! -e '$(KDIR)/Makefile' || $(MAKE) -C $(KDIR) M=$(CURDIR) clean
	@for d in $(PROGRAMS) tests/unit tests/bench; do \
		test ! -e $$d/Makefile || $(MAKE) -C $$d clean || exit; \
	done
	rm -rf $(filter-out build/lab,$(wildcard build/*))

distclean: clean
	rm -rf build

.PHONY: all help module deps sparse install clean distclean build-for-use $(PROGRAMS)
.PHONY: $(foreach t,demo lab-shell check check-all check-debug bench,$(t) run-$(t))
