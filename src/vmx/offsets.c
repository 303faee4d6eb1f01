// SPDX-License-Identifier: GPL-2.0
/* Not linked: compiled to assembly, from which the build takes the numbers for enter.S. */
#define COMPILE_OFFSETS
#include <linux/kbuild.h>
#include "vmx/vmx.h"

static void __used offsets(void)
{
	OFFSET(VMX_REGS, vmx_vcpu, vcpu.r);
	OFFSET(VMX_HOST_RSP, vmx_vcpu, host_rsp);
	DEFINE(VMCS_HOST_RSP, HOST_RSP);
}
