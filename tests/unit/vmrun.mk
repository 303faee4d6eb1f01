# SPDX-License-Identifier: GPL-2.0
# The tests of tools/vmrun: each program is one file vmrun_NAME.c, linked with all of vmrun but its
# main().

VMRUN_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
VMRUN_TOP := $(VMRUN_DIR)../..
VMRUN_SRC := $(VMRUN_TOP)/tools/vmrun
VMRUN_OUT := $(VMRUN_DIR)build/vmrun

VMRUN_TESTS := $(patsubst $(VMRUN_DIR)%.c,$(VMRUN_OUT)/%,$(wildcard $(VMRUN_DIR)vmrun_*.c))
VMRUN_OBJS := $(patsubst $(VMRUN_SRC)/%.c,$(VMRUN_OUT)/%.o,$(filter-out %/main.c,\
	$(wildcard $(addprefix $(VMRUN_SRC)/,*.c loaders/*.c devices/*.c))))

include $(VMRUN_SRC)/libraries.mk

VMRUN_CFLAGS := $(LIBRARY_CFLAGS) -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -pthread \
		-DVMRUN_SOURCE='"$(abspath $(VMRUN_SRC))"' -I$(VMRUN_TOP)/include/uapi -I$(VMRUN_SRC) -MMD -MP \
		-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.PHONY: check-vmrun
check-vmrun: $(VMRUN_TESTS)
	@set -e; for t in $^; do $$t; done
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-vmrun
endif

$(VMRUN_OBJS): $(VMRUN_OUT)/%.o: $(VMRUN_SRC)/%.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(CC) $(VMRUN_CFLAGS) -c -o $@ $<

$(VMRUN_TESTS): $(VMRUN_OUT)/%: $(VMRUN_DIR)%.c $(VMRUN_OBJS)
	@echo "  CC      $@"
	@$(CC) $(VMRUN_CFLAGS) -o $@ $< $(VMRUN_OBJS) -lelf $(LIBRARY_LDLIBS) -lcmocka

-include $(wildcard $(VMRUN_OUT)/*.d $(VMRUN_OUT)/*/*.d)
