# SPDX-License-Identifier: GPL-2.0
# The tests of src/emulate/: the emulator compiled for the host, with a model of a guest around it.
# Zydis (libzydis-dev) is the oracle for lengths and addresses.
#
# A Makefile that includes this gets $(EMULATE_TESTS), programs to run; by itself:
#	make -f emulate.mk check

EMULATE_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
EMULATE_TOP := $(EMULATE_DIR)../..
EMULATE_OUT := $(EMULATE_DIR)build/emulate

# emulate_io.c takes src/io.c, src/emulator.c and src/debug.c in, and kernel.h in the place of the
# kernel's headers
EMULATE_HEADERS := $(sort $(filter-out linux/types.h linux/ioctl.h linux/minivmm.h, \
	$(shell sed -n 's,^.include <\(\(linux\|asm\)/.*\.h\)>.*,\1,p' $(EMULATE_TOP)/src/minivmm.h \
		$(EMULATE_TOP)/src/io.c $(EMULATE_TOP)/src/emulator.c $(EMULATE_TOP)/src/debug.c \
		$(EMULATE_TOP)/src/emulate/*.[ch])))
EMULATE_SHIM := $(addprefix $(EMULATE_OUT)/include/,$(EMULATE_HEADERS))

EMULATE_CORPUS := $(abspath $(EMULATE_DIR)emulate_corpus.txt)
EMULATE_TESTS := $(patsubst $(EMULATE_DIR)%.c,$(EMULATE_OUT)/%,$(wildcard $(EMULATE_DIR)emulate_*.c))

# emulate_coverage.c is these in one, and looks what they have executed. Each can be had by itself:
#	make -f emulate.mk build/emulate/emulate_native
EMULATE_COVERED := native model legacy far system
EMULATE_TESTS := $(filter-out $(EMULATE_COVERED:%=$(EMULATE_OUT)/emulate_%),$(EMULATE_TESTS))
EMULATE_CORE := $(patsubst $(EMULATE_TOP)/src/emulate/%.c,$(EMULATE_OUT)/%.o, \
	$(wildcard $(EMULATE_TOP)/src/emulate/*.c))
EMULATE_OBJS := $(EMULATE_CORE) $(EMULATE_OUT)/model.o

EMULATE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter \
		  -Wno-sign-compare -Wno-missing-field-initializers \
		  -I$(EMULATE_TOP)/src -I$(EMULATE_TOP)/include/uapi \
		  -fsanitize=address,undefined -fno-sanitize-recover=all -MMD -MP
EMULATE_PURE := -I$(EMULATE_DIR)shim/emulate -DCORPUS='"$(EMULATE_CORPUS)"' \
		-DDOCUMENT='"$(abspath $(EMULATE_TOP)/Documentation/emulator.md)"'
EMULATE_IO := -I$(EMULATE_OUT)/include -I$(EMULATE_DIR)shim

.PHONY: emulate-tests check-emulate
emulate-tests: $(EMULATE_TESTS)
check-emulate: $(EMULATE_TESTS)
	@set -e; for t in $^; do $$t; done
ifeq ($(firstword $(MAKEFILE_LIST)),$(lastword $(MAKEFILE_LIST)))
.PHONY: check
check: check-emulate
endif

$(EMULATE_SHIM):
	@mkdir -p $(@D)
	@echo '#include <kernel.h>' > $@

$(EMULATE_OUT)/%.o: $(EMULATE_TOP)/src/emulate/%.c
	@mkdir -p $(@D)
	$(CC) $(EMULATE_CFLAGS) $(EMULATE_PURE) -c -o $@ $<

$(EMULATE_OUT)/%.o: $(EMULATE_DIR)shim/emulate/%.c
	@mkdir -p $(@D)
	$(CC) $(EMULATE_CFLAGS) $(EMULATE_PURE) -c -o $@ $<

$(EMULATE_OUT)/emulate_io: $(EMULATE_DIR)emulate_io.c $(EMULATE_DIR)shim/kernel.c $(EMULATE_CORE) \
		| $(EMULATE_SHIM)
	$(CC) $(EMULATE_CFLAGS) $(EMULATE_IO) -o $@ $(EMULATE_DIR)emulate_io.c \
		$(EMULATE_DIR)shim/kernel.c $(EMULATE_CORE) -lcmocka -lpthread

$(EMULATE_OUT)/part_%.o: $(EMULATE_DIR)emulate_%.c
	@mkdir -p $(@D)
	$(CC) $(EMULATE_CFLAGS) $(EMULATE_PURE) -Dmain=$*_main -D_cmocka_run_group_tests=collect_tests \
		-c -o $@ $<

$(EMULATE_OUT)/emulate_coverage: $(EMULATE_COVERED:%=$(EMULATE_OUT)/part_%.o)
$(EMULATE_OUT)/emulate_coverage: EMULATE_OBJS += $(EMULATE_COVERED:%=$(EMULATE_OUT)/part_%.o)

$(EMULATE_OUT)/%: $(EMULATE_DIR)%.c $(EMULATE_OBJS)
	$(CC) $(EMULATE_CFLAGS) $(EMULATE_PURE) -o $@ $< $(EMULATE_OBJS) -lcmocka -lZydis

# libFuzzer over emulate_corpus.c; needs clang. FUZZ says for how long, or names a file to run:
#	make -f emulate.mk fuzz FUZZ=-max_total_time=3600
# What it learns is in build/emulate/learnt; `make -f emulate.mk corpus` keeps the least of it that
# reaches as much. FUZZ_DIRS: where else inputs lie.
FUZZ ?= -max_total_time=600
FUZZ_SOURCES := $(wildcard $(EMULATE_TOP)/src/emulate/*.c) $(EMULATE_DIR)shim/emulate/model.c

.PHONY: fuzz corpus
fuzz: $(EMULATE_OUT)/fuzzer $(EMULATE_OUT)/kept
	@mkdir -p $(EMULATE_OUT)/learnt
	$< $(FUZZ) -max_len=512 -artifact_prefix=$(EMULATE_OUT)/found- $(EMULATE_OUT)/learnt \
		$(EMULATE_OUT)/kept

corpus: $(EMULATE_OUT)/fuzzer $(EMULATE_OUT)/kept
	rm -rf $(EMULATE_OUT)/least
	@mkdir -p $(EMULATE_OUT)/least $(EMULATE_OUT)/learnt
	$< -set_cover_merge=1 -use_counters=0 -max_len=512 $(EMULATE_OUT)/least \
		$(EMULATE_OUT)/learnt $(EMULATE_OUT)/kept $(FUZZ_DIRS)
	for f in $(EMULATE_OUT)/least/*; do od -An -v -to1 $$f | tr -d ' \n'; echo; done | \
		LC_ALL=C sort > $(EMULATE_CORPUS)

# The corpus as libFuzzer wants it: a file for each line.
$(EMULATE_OUT)/kept: $(EMULATE_CORPUS)
	@rm -rf $@; mkdir -p $@
	@n=0; while read -r line; do n=$$((n + 1)); \
		printf "$$(printf %s "$$line" | sed 's/.../\\&/g')" > $@/$$n; done < $<

$(EMULATE_OUT)/fuzzer: $(EMULATE_DIR)emulate_corpus.c $(FUZZ_SOURCES)
	@mkdir -p $(@D)
	clang -std=gnu11 -D_GNU_SOURCE -DFUZZING -g -O1 -Wno-gnu -I$(EMULATE_TOP)/src \
		-I$(EMULATE_TOP)/include/uapi $(EMULATE_PURE) \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $^ -lcmocka

-include $(wildcard $(EMULATE_OUT)/*.d)
