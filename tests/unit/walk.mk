# SPDX-License-Identifier: GPL-2.0
# The tests of src/mmu/walk.c: the walker compiled for the host, against the model of the
# architecture in tests/guests/lib.
#
# A Makefile that includes this gets $(WALK_TESTS), programs to run; by itself:
#	make -f walk.mk check

WALK_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
WALK_TOP := $(WALK_DIR)../..
WALK_OUT := $(WALK_DIR)build/walk

WALK_TESTS := $(patsubst $(WALK_DIR)%.c,$(WALK_OUT)/%,$(wildcard $(WALK_DIR)walk_*.c))

WALK_HEADERS := $(sort $(filter-out linux/types.h linux/ioctl.h linux/minivmm.h, \
	$(shell sed -n 's,^.include <\(\(linux\|asm\)/.*\.h\)>.*,\1,p' $(WALK_TOP)/src/minivmm.h \
		$(WALK_TOP)/src/mmu/walk.c $(WALK_TOP)/src/mmu/mmu.h)))
WALK_SHIM := $(addprefix $(WALK_OUT)/include/,$(WALK_HEADERS))

WALK_CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter \
	       -Wno-sign-compare -Wno-missing-field-initializers \
	       -I$(WALK_OUT)/include -I$(WALK_DIR)shim -I$(WALK_TOP)/src -I$(WALK_TOP)/include/uapi \
	       -I$(WALK_TOP)/tests/guests/lib \
	       -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP

.PHONY: walk-tests check-walk
walk-tests: $(WALK_TESTS)
check-walk: $(WALK_TESTS)
	@set -e; for t in $^; do $$t; done
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-walk
endif

$(WALK_SHIM):
	@mkdir -p $(@D)
	@echo '#include <kernel.h>' > $@

$(WALK_TESTS): $(WALK_OUT)/%: $(WALK_DIR)%.c | $(WALK_SHIM)
	$(CC) $(WALK_CFLAGS) -o $@ $< -lcmocka -lpthread

-include $(wildcard $(WALK_OUT)/*.d)
