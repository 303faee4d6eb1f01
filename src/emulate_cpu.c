// SPDX-License-Identifier: GPL-2.0
/*
 * What the emulator has the CPU itself do: the guest's vector and x87 registers, which are in the
 * CPU's own while RUN is inside, and a locked access that the kernel has no function for.
 */
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/unaligned.h>

#include "minivmm.h"
#include "emulate/emulate.h"

/* ---- vector registers ------------------------------------------------------------------------ */

/* From here on nobody takes the guest's registers away. */
static void use_guest_fpu(void)
{
	fpregs_lock();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

struct bytes8 { u8 b[8]; };
struct bytes16 { u8 b[16]; };
struct bytes32 { u8 b[32]; };

#define EIGHT(m)	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7)
#define SIXTEEN(m)	EIGHT(m) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15)

#define GET(n, insn, bytes, name)						\
	case n: asm volatile(insn " %%" name #n ", %0" : "=m" (*(bytes *)data)); break;
#define SET(n, insn, bytes, name)						\
	case n: asm volatile(insn " %0, %%" name #n : : "m" (*(const bytes *)data)); break;

#define GET_MM(n)	GET(n, "movq", struct bytes8, "mm")
#define SET_MM(n)	SET(n, "movq", struct bytes8, "mm")
#define GET_XMM(n)	GET(n, "movdqu", struct bytes16, "xmm")
#define SET_XMM(n)	SET(n, "movdqu", struct bytes16, "xmm")
#define GET_YMM(n)	GET(n, "vmovdqu", struct bytes32, "ymm")
#define SET_YMM(n)	SET(n, "vmovdqu", struct bytes32, "ymm")

void emu_host_get_vector(struct emu *e, unsigned int reg, void *data, unsigned int len)
{
	use_guest_fpu();
	if (len == 8)
		switch (reg) { EIGHT(GET_MM) }
	else if (len == 16)
		switch (reg) { SIXTEEN(GET_XMM) }
	else
		switch (reg) { SIXTEEN(GET_YMM) }
	fpregs_unlock();
}

void emu_host_set_vector(struct emu *e, unsigned int reg, const void *data, unsigned int len)
{
	use_guest_fpu();
	if (len == 8)
		switch (reg) { EIGHT(SET_MM) }
	else if (len == 16)
		switch (reg) { SIXTEEN(SET_XMM) }
	else
		switch (reg) { SIXTEEN(SET_YMM) }
	fpregs_unlock();
}

/* ---- x87 ------------------------------------------------------------------------------------- */

/* FLDCW alone waits for exceptions, and its caller has seen that there is none. */
u16 emu_host_fpu(struct emu *e, enum emu_fpu what, u16 value)
{
	use_guest_fpu();
	switch (what) {
	case EMU_FNINIT:
		asm volatile("fninit");
		break;
	case EMU_FNCLEX:
		asm volatile("fnclex");
		break;
	case EMU_FNSTSW:
		asm volatile("fnstsw %0" : "=a" (value));
		break;
	case EMU_FNSTCW:
		asm volatile("fnstcw %0" : "=m" (value));
		break;
	case EMU_FLDCW:
		asm volatile("fldcw %0" : : "m" (value));
		break;
	}
	fpregs_unlock();
	return value;
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* access_ok() was asked for the whole slot when it was made. */
#define BY_SIZE(len, do_it, otherwise)						\
	((len) == 1 ? do_it(u8) : (len) == 2 ? do_it(u16) : (len) == 4 ? do_it(u32) :	\
	 (len) == 8 ? do_it(u64) : (otherwise))

/**
 * user_read() - reads the client's memory, of which a slot has been made
 * @hva: where
 * @data: where to; undefined if it fails
 * @len: how much, within a page. 1, 2, 4 and 8 bytes are read at once
 *
 * Return: 0 or not.
 */
int user_read(hva_t hva, void *data, unsigned int len)
{
#define LOAD(type) ({							\
	type v;								\
	int error = __get_user(v, (type __user *)hva);			\
	put_unaligned(v, (type *)data);					\
	error;								\
})
	return BY_SIZE(len, LOAD, __copy_from_user(data, (void __user *)hva, len));
}

/**
 * user_write() - writes it
 * @hva: where
 * @data: what
 * @len: how much, as above
 *
 * Return: 0 or not.
 */
int user_write(hva_t hva, const void *data, unsigned int len)
{
#define STORE(type)	__put_user(get_unaligned((const type *)data), (type __user *)hva)
	return BY_SIZE(len, STORE, __copy_to_user((void __user *)hva, data, len));
}

static int cmpxchg16(hva_t hva, const u64 old[2], const u64 new[2])
{
	struct bytes16 __user *p = (void __user *)hva;
	u64 low = old[0], high = old[1];
	u8 differs = 1;
	int error = 0;

	if (!user_access_begin(p, sizeof(*p)))
		return -EFAULT;
	asm volatile("1:	lock cmpxchg16b %[mem]\n"
		     "	setne %[differs]\n"
		     "2:\n"
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[error])
		     : [error] "+r" (error), [differs] "+q" (differs), "+a" (low), "+d" (high),
		       [mem] "+m" (*(struct bytes16 __force *)p)
		     : "b" (new[0]), "c" (new[1]) : "memory", "cc");
	user_access_end();
	return error ?: differs;
}

/**
 * user_cmpxchg() - a locked CMPXCHG on it
 * @hva: where
 * @old: what must be there
 * @new: what is to be
 * @len: 1, 2, 4, 8, or 16 with @hva, @old and @new aligned
 *
 * Return: 0; 1 if there was something else; -EFAULT.
 */
int user_cmpxchg(hva_t hva, const void *old, const void *new, unsigned int len)
{
#define CMPXCHG(type) ({						\
	type o = get_unaligned((const type *)old);			\
	type n = get_unaligned((const type *)new);			\
	__try_cmpxchg_user((type __user *)hva, &o, n, fault_##type);	\
})
	return BY_SIZE(len, CMPXCHG, cmpxchg16(hva, old, new));
}
