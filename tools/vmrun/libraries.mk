# SPDX-License-Identifier: GPL-2.0
# The libraries that vmrun can do without: LIBRARY_CFLAGS and LIBRARY_LDLIBS. Included by its Makefile
# and by that of its tests.

LIBRARY_CFLAGS :=
LIBRARY_LDLIBS :=
library = $(if $(shell pkg-config --exists $(1) && echo y),\
	$(eval LIBRARY_CFLAGS += -DWITH_$(2) $(shell pkg-config --cflags $(1)))\
	$(eval LIBRARY_LDLIBS += $(shell pkg-config $(if $(STATIC),--static) --libs $(1))))

$(call library,libseccomp,SECCOMP)
$(call library,liburing,LIBURING)
# Debian has no static one.
$(if $(STATIC),,$(call library,slirp,SLIRP))
