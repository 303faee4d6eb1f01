/* SPDX-License-Identifier: GPL-2.0 */
/* Every touch point that differs between kernel versions, and nothing else. */
#ifndef MINIVMM_COMPAT_H
#define MINIVMM_COMPAT_H

#include <linux/shrinker.h>
#include <linux/version.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xstate.h>
#include <asm/nospec-branch.h>
#include <asm/reboot.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "minivmm needs Linux 6.1 or newer"
#endif

/*
 * The kernel's slot for what must switch VMX off in an emergency. Debian's 6.1 has it as a
 * backport, so Kbuild looks for the symbol. Without it the kernel's own emergency path switches VMX
 * off wherever CR4.VMXE is set, and there is nothing to register.
 */
#ifdef HAVE_EMERGENCY_VIRT_CALLBACK
static inline void compat_take_emergency_slot(void (*callback)(void))
{
	cpu_emergency_register_virt_callback(callback);
}

static inline void compat_give_emergency_slot(void (*callback)(void))
{
	cpu_emergency_unregister_virt_callback(callback);
}
#else
static inline void compat_take_emergency_slot(void (*callback)(void)) {}
static inline void compat_give_emergency_slot(void (*callback)(void)) {}
#endif

/* Later than the first 6.1; the SDM's bits. */
#ifndef ARCH_CAP_GDS_NO
#define ARCH_CAP_GDS_NO		BIT(26)
#endif
#ifndef ARCH_CAP_RFDS_NO
#define ARCH_CAP_RFDS_NO	BIT(27)
#define ARCH_CAP_RFDS_CLEAR	BIT(28)
#endif
#ifndef ARCH_CAP_ITS_NO
#define ARCH_CAP_ITS_NO		BIT_ULL(62)
#endif

/* What this CPU isn't vulnerable to, as far as the kernel knows of it, as bits of ARCH_CAPABILITIES. */
static inline u64 compat_immune_to_late_bugs(void)
{
	u64 caps = 0;

#ifdef X86_BUG_GDS
	/* a guest can't switch off what the microcode does about it */
	if (!boot_cpu_has_bug(X86_BUG_GDS) || gds_ucode_mitigated())
		caps |= ARCH_CAP_GDS_NO;
#endif
#ifdef X86_BUG_RFDS
	if (!boot_cpu_has_bug(X86_BUG_RFDS))
		caps |= ARCH_CAP_RFDS_NO;
#endif
#ifdef X86_BUG_ITS
	if (!boot_cpu_has_bug(X86_BUG_ITS))
		caps |= ARCH_CAP_ITS_NO;
#endif
	return caps;
}

/* VMSCAPE: the kernel issues an IBPB before this CPU returns to user mode, where it was asked to. */
static inline void compat_note_guest_ran(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#endif
}

static inline int compat_register_shrinker(struct shrinker *shrinker, const char *name)
{
	return register_shrinker(shrinker, "%s", name);
}

int compat_init(void);		/* module load */
void compat_exit(void);

/* Rescheduling, task work and the like before the guest is entered again. 0, or -EINTR: a signal. */
int compat_handle_guest_mode_work(void);

/*
 * The guest's FPU state in the format of XSAVE; components left at their reset values read so. No
 * guest has protection keys.
 */
static inline void compat_copy_guest_fpu(struct fpu_guest *fpu, void *buffer, unsigned int size,
					 u64 components)
{
	fpu_copy_guest_fpstate_to_uabi(fpu, buffer, size, components | XFEATURE_MASK_FPSSE, 0);
}

/* The other way: 0, or -EINVAL for other components, or what an XRSTOR wouldn't take. */
static inline int compat_set_guest_fpu(struct fpu_guest *fpu, struct xregs_state *buffer,
				       u64 components)
{
	u32 pkru;

	/* what the host has switched off for the guest can't be anything but its reset value */
	buffer->header.xfeatures &= ~fpu->fpstate->xfd;
	return fpu_copy_uabi_to_guest_fpstate(fpu, buffer, components, &pkru);
}

/*
 * An NMI that made the guest exit is blocked until the next IRET, and was not delivered: INT 2
 * runs the host's handler on its IST stack, as the CPU would have, and its IRET unblocks.
 */
static __always_inline void compat_run_host_nmi(void)
{
	asm volatile("int $2" : : : "memory");
}

#endif
