# SPDX-License-Identifier: GPL-2.0
# The test of src/vmx/entry_rules.c: compiled for the host with shim/ in the kernel's place, but with
# the kernel's own numbers of VMCS fields and controls, from the headers the module is built with.
#
# A Makefile that includes this gets $(ENTRY_CHECK_TESTS), programs to run; by itself:
#	make -f entry_check.mk check

ENTRY_CHECK_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
ENTRY_CHECK_OUT := $(ENTRY_CHECK_DIR)build/entry_check

ENTRY_CHECK_TESTS := $(ENTRY_CHECK_OUT)/entry_check

KERNEL_HEADERS ?= $(lastword $(sort $(wildcard /usr/src/linux-headers-*-common)))
ENTRY_CHECK_ARCH := $(KERNEL_HEADERS)/arch/x86/include

ENTRY_CHECK_SHIM := $(addprefix $(ENTRY_CHECK_OUT)/include/linux/,types.h bits.h bitops.h kernel.h)
ENTRY_CHECK_REAL := $(addprefix $(ENTRY_CHECK_OUT)/include/, \
		      asm/vmx.h asm/vmxfeatures.h asm/msr-index.h uapi/asm/vmx.h)

ENTRY_CHECK_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror \
		      -I$(ENTRY_CHECK_OUT)/include -I$(ENTRY_CHECK_DIR)shim \
		      -I$(ENTRY_CHECK_DIR)../../src \
		      -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP

.PHONY: check-entry_check
check-entry_check: $(ENTRY_CHECK_TESTS)
	$<
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-entry_check
endif

$(ENTRY_CHECK_SHIM):
	@mkdir -p $(@D)
	@echo '#include <entry_rules.h>' > $@

$(ENTRY_CHECK_REAL): $(ENTRY_CHECK_OUT)/include/%: $(ENTRY_CHECK_ARCH)/%
	@mkdir -p $(@D)
	@echo '#include "$<"' > $@

$(ENTRY_CHECK_TESTS): $(ENTRY_CHECK_DIR)entry_check.c | $(ENTRY_CHECK_SHIM) $(ENTRY_CHECK_REAL)
	$(CC) $(ENTRY_CHECK_CFLAGS) -o $@ $< -lcmocka

-include $(wildcard $(ENTRY_CHECK_OUT)/*.d)
