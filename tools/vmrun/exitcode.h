/* SPDX-License-Identifier: GPL-2.0 */
/* vmrun's exit codes. 0 to 99 belong to the guest; Documentation/vmrun.md explains them. */
#ifndef VMRUN_EXITCODE_H
#define VMRUN_EXITCODE_H

enum {
	EXIT_GUEST_OK = 0,		/* the guest reset or powered off, or the user quit */
	EXIT_GUEST_MAX = 99,		/* the largest code that a guest can pass on */
	EXIT_GUEST_FAILED = 100,	/* triple fault, failed entry, internal error */
	EXIT_HOST_FAILED = 101,		/* no hypervisor, no memory, a system call that failed */
	EXIT_USAGE = 102,		/* the command line */
	EXIT_IMAGE = 103,		/* an image that can't be started */
	EXIT_TIMEOUT = 104,		/* --timeout ran out */
	EXIT_SIGNAL = 128,		/* + the signal that ended vmrun */
};

#endif
