# SPDX-License-Identifier: GPL-2.0
# The tests of src/irq/: the chips compiled for the host, with shim/ in the kernel's place. What is
# the kernel's glue alone, ioctls and eventfds, is for selftests.
#
# A Makefile that includes this gets $(IRQ_TESTS), programs to run; by itself:
#	make -f irq.mk check

IRQ_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
IRQ_TOP := $(IRQ_DIR)../..
IRQ_OUT := $(IRQ_DIR)build/irq

IRQ_TESTS := $(patsubst $(IRQ_DIR)%.c,$(IRQ_OUT)/%,$(wildcard $(IRQ_DIR)irq_*.c))
IRQ_SOURCES := $(filter-out %/ioctl.c %/eventfd.c,$(wildcard $(IRQ_TOP)/src/irq/*.c))
IRQ_OBJS := $(patsubst $(IRQ_TOP)/src/irq/%.c,$(IRQ_OUT)/%.o,$(IRQ_SOURCES)) \
	    $(IRQ_OUT)/kernel.o $(IRQ_OUT)/irq_vm.o

# what src/minivmm.h and src/irq/ include of the kernel, but for what the host has itself
IRQ_HEADERS := $(sort $(filter-out linux/types.h linux/ioctl.h linux/errno.h linux/minivmm.h, \
	$(shell sed -n 's,^.include <\(\(linux\|asm\)/.*\.h\)>.*,\1,p' \
		$(IRQ_TOP)/src/minivmm.h $(IRQ_TOP)/src/irq/irq.h $(IRQ_SOURCES))))
IRQ_SHIM := $(addprefix $(IRQ_OUT)/include/,$(IRQ_HEADERS))

IRQ_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	      -Wno-missing-field-initializers -Werror \
	      -I$(IRQ_OUT)/include -I$(IRQ_DIR)shim -I$(IRQ_TOP)/src -I$(IRQ_TOP)/include/uapi \
	      -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP

.PHONY: irq-tests check-irq
irq-tests: $(IRQ_TESTS)
check-irq: $(IRQ_TESTS)
	@set -e; for t in $^; do $$t; done
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-irq
endif

$(IRQ_SHIM):
	@mkdir -p $(@D)
	@echo '#include <kernel.h>' > $@

$(IRQ_OUT)/%.o: $(IRQ_TOP)/src/irq/%.c | $(IRQ_SHIM)
	$(CC) $(IRQ_CFLAGS) -c -o $@ $<

$(IRQ_OUT)/%.o: $(IRQ_DIR)shim/%.c | $(IRQ_SHIM)
	$(CC) $(IRQ_CFLAGS) -c -o $@ $<

$(IRQ_TESTS): $(IRQ_OUT)/%: $(IRQ_DIR)%.c $(IRQ_OBJS) | $(IRQ_SHIM)
	$(CC) $(IRQ_CFLAGS) -o $@ $< $(IRQ_OBJS) -lcmocka -lpthread

-include $(wildcard $(IRQ_OUT)/*.d)
