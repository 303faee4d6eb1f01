# SPDX-License-Identifier: GPL-2.0
# The tests of src/emulate/: the emulator compiled for the host, with a model of a guest around it.
# Zydis (libzydis-dev) is the oracle for lengths and addresses.
#
# A Makefile that includes this gets $(EMULATE_TESTS), programs to run; by itself:
#	make -f emulate.mk check

EMULATE_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
EMULATE_TOP := $(EMULATE_DIR)../..
EMULATE_OUT := $(EMULATE_DIR)build/emulate

EMULATE_TESTS := $(patsubst $(EMULATE_DIR)%.c,$(EMULATE_OUT)/%,$(wildcard $(EMULATE_DIR)emulate_*.c))
EMULATE_OBJS := $(addprefix $(EMULATE_OUT)/,decode.o execute.o model.o)

EMULATE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter \
		  -Wno-sign-compare -Wno-missing-field-initializers \
		  -I$(EMULATE_DIR)shim/emulate -I$(EMULATE_TOP)/src -I$(EMULATE_TOP)/include/uapi \
		  -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP

.PHONY: emulate-tests check-emulate
emulate-tests: $(EMULATE_TESTS)
check-emulate: $(EMULATE_TESTS)
	@set -e; for t in $^; do $$t; done
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-emulate
endif

$(EMULATE_OUT)/%.o: $(EMULATE_TOP)/src/emulate/%.c
	@mkdir -p $(@D)
	$(CC) $(EMULATE_CFLAGS) -c -o $@ $<

$(EMULATE_OUT)/%.o: $(EMULATE_DIR)shim/emulate/%.c
	@mkdir -p $(@D)
	$(CC) $(EMULATE_CFLAGS) -c -o $@ $<

$(EMULATE_TESTS): $(EMULATE_OUT)/%: $(EMULATE_DIR)%.c $(EMULATE_OBJS)
	$(CC) $(EMULATE_CFLAGS) -o $@ $< $(EMULATE_OBJS) -lcmocka -lZydis

-include $(wildcard $(EMULATE_OUT)/*.d)
