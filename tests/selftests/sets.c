// SPDX-License-Identifier: GPL-2.0
/* Sets of registers: in the run page (SYNC_REGS), SREGS2, XSAVE, XCRS. */
#include <string.h>

#include "vm.h"

#define BAD_POINTER	((void *)8)

#define ALL	MINIVMM_SYNC_X86_VALID_FIELDS
#define CR0_PG	(1u << 31)
#define CR4_PAE	(1u << 5)
#define CR4_OSXSAVE	(1u << 18)

/* ---- SYNC_REGS ----------------------------------------------------------------------------------- */

GUEST64(counts, 1: inc %rbx; out %al, $0x10; jmp 1b)

TEST(sync_regs_are_given)
{
	struct vcpu *v = BOOT(LONG64, counts);
	struct minivmm_sync_regs *s = &v->run->s.regs;
	struct minivmm_vcpu_events events;
	struct minivmm_sregs sregs;
	struct minivmm_regs regs;

	CHECK_EQ(node_extension(MINIVMM_CAP_SYNC_REGS), ALL);
	v->run->valid_regs = ALL;
	for (u64 i = 1; i < 4; i++) {
		RUN_TO(v, MINIVMM_EXIT_IO);
		CHECK_EQ(s->regs.rbx, i);
		regs = get_regs(v);
		sregs = get_sregs(v);
		CHECK_OK(ioctl(v->fd, MINIVMM_GET_VCPU_EVENTS, &events));
		CHECK_MEM(&s->regs, &regs, sizeof(regs));
		CHECK_MEM(&s->sregs, &sregs, sizeof(sregs));
		CHECK_MEM(&s->events, &events, sizeof(events));
	}
	/* what isn't asked for isn't written */
	v->run->valid_regs = MINIVMM_SYNC_X86_REGS;
	memset(&s->sregs, 0x5a, sizeof(s->sregs));
	sregs = s->sregs;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(s->regs.rbx, 4);
	CHECK_MEM(&s->sregs, &sregs, sizeof(sregs));
	v->run->valid_regs = 0;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(s->regs.rbx, 4);
}

TEST(sync_regs_are_taken)
{
	struct vcpu *v = BOOT(LONG64, counts);
	struct minivmm_sync_regs *s = &v->run->s.regs;

	v->run->valid_regs = ALL;
	RUN_TO(v, MINIVMM_EXIT_IO);
	s->regs.rbx = 100;
	s->sregs.cr2 = 0xabc;
	s->events.flags = MINIVMM_VCPUEVENT_VALID_SHADOW;
	s->events.interrupt.shadow = MINIVMM_X86_SHADOW_INT_STI;
	v->run->dirty_regs = ALL;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(v->run->dirty_regs, 0);
	CHECK_EQ(s->regs.rbx, 101);
	CHECK_EQ(get_sregs(v).cr2, 0xabc);
	/* what isn't marked isn't taken, whether or not it is given */
	s->regs.rbx = 7;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(s->regs.rbx, 102);
	/* and need not be given to be taken */
	v->run->valid_regs = 0;
	s->regs.rbx = 7;
	v->run->dirty_regs = MINIVMM_SYNC_X86_REGS;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(get_regs(v).rbx, 8);
	CHECK_EQ(s->regs.rbx, 7);
}

TEST(sync_regs_refuses)
{
	struct vcpu *v = BOOT(LONG64, counts);
	struct minivmm_sync_regs *s = &v->run->s.regs;

	for (int bit = 3; bit < 64; bit += 15) {
		v->run->valid_regs = 1ull << bit;
		CHECK_ERRNO(vcpu_run(v), EINVAL);
		v->run->valid_regs = 0;
		v->run->dirty_regs = 1ull << bit;
		CHECK_ERRNO(vcpu_run(v), EINVAL);
		v->run->dirty_regs = 0;
	}
	v->run->valid_regs = ALL;
	RUN_TO(v, MINIVMM_EXIT_IO);
	s->sregs.cr0 = CR0_PG;		/* without PE */
	v->run->dirty_regs = MINIVMM_SYNC_X86_SREGS;
	CHECK_ERRNO(vcpu_run(v), EINVAL);
	CHECK_EQ(v->run->dirty_regs, MINIVMM_SYNC_X86_SREGS);
	v->run->dirty_regs = 0;
	RUN_TO(v, MINIVMM_EXIT_IO);
	s->events.flags = 1u << 31;
	v->run->dirty_regs = MINIVMM_SYNC_X86_EVENTS;
	CHECK_ERRNO(vcpu_run(v), EINVAL);
	v->run->dirty_regs = 0;
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(s->regs.rbx, 3);
}

/* The client answers a read, and changes registers meanwhile. */
GUEST64(reads, mov $MMIO, %esi; mov (%rsi), %eax; out %al, $0x10; hlt)

TEST(sync_regs_with_a_read_under_way)
{
	struct vcpu *v = BOOT(LONG64, reads);

	if (opt.oracle)
		skip("KVM loses what was read");
	v->run->valid_regs = MINIVMM_SYNC_X86_REGS;
	RUN_TO_READ(v, MMIO, 4, 0x77);
	v->run->s.regs.regs.rbx = 0x1111;
	v->run->dirty_regs = MINIVMM_SYNC_X86_REGS;
	RUN_TO_OUT(v, 0x10, 0x77, 1);
	CHECK_EQ(get_regs(v).rbx, 0x1111);
}

/* ---- SREGS2 ------------------------------------------------------------------------------------- */

static struct minivmm_sregs2 get_sregs2(struct vcpu *v)
{
	struct minivmm_sregs2 s;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_SREGS2, &s));
	return s;
}

TEST(sregs2_come_back)
{
	struct vcpu *v = BOOT(LONG64, counts);
	struct minivmm_sregs2 two = get_sregs2(v), again;
	struct minivmm_sregs one = get_sregs(v);

	CHECK_EQ(node_extension(MINIVMM_CAP_SREGS2), 1);
	CHECK_MEM(&two, &one, offsetof(struct minivmm_sregs, interrupt_bitmap));
	CHECK_EQ(two.flags, 0);
	two.cr2 = 0x1234;
	two.fs.base = 0x5678;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SREGS2, &two));
	again = get_sregs2(v);
	CHECK_MEM(&again, &two, sizeof(two));
	RUN_TO(v, MINIVMM_EXIT_IO);
}

GUEST32(reads_high, mov 0x40000000, %eax; out %al, $0x10; 1: hlt; jmp 1b)

/* PAE's four are taken as they are given, whatever memory has. */
TEST(sregs2_have_pdptrs)
{
	struct vcpu *v = BOOT(PROT32, reads_high);
	u64 *pdpt = (u64 *)(v->vm->mem + DATA), *pd = (u64 *)(v->vm->mem + DATA + PAGE);
	struct minivmm_sregs2 s = get_sregs2(v);

	CHECK_EQ(s.flags, 0);
	pdpt[0] = (DATA + PAGE) | 1;
	pd[0] = 0x83;
	s.cr3 = DATA;
	s.cr4 |= CR4_PAE;
	s.cr0 |= CR0_PG;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SREGS2, &s));
	s = get_sregs2(v);
	CHECK_EQ(s.flags, MINIVMM_SREGS2_FLAGS_PDPTRS_VALID);
	CHECK_EQ(s.pdptrs[0], pdpt[0]);
	CHECK_EQ(s.pdptrs[1], 0);
	s.pdptrs[1] = (DATA + PAGE) | 1;
	v->vm->mem[0] = 0x99;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_SREGS2, &s));
	CHECK_EQ(get_sregs2(v).pdptrs[1], (DATA + PAGE) | 1);
	RUN_TO_OUT(v, 0x10, 0x99, 1);
}

TEST(sregs2_refuses)
{
	struct vcpu *v = BOOT(LONG64, counts);
	struct minivmm_sregs2 s = get_sregs2(v);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_SREGS2, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS2, BAD_POINTER), EFAULT);
	s.flags = 2;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS2, &s), EINVAL);
	s.flags = MINIVMM_SREGS2_FLAGS_PDPTRS_VALID;	/* in long mode there are none */
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS2, &s), EINVAL);
	s.flags = 0;
	s.cr0 = CR0_PG;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_SREGS2, &s), EINVAL);
}

/* ---- XSAVE --------------------------------------------------------------------------------------- */

/* In units of 4 bytes: SDM "Legacy Region of an XSAVE Area". */
enum { X_MXCSR = 6, X_ST0 = 8, X_XMM0 = 40, X_BV = 128, X_COMP_BV = 130, X_RESERVED = 140, X_YMMH0 = 144 };

static u64 get_xsave(struct vcpu *v, struct minivmm_xsave *x)
{
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_XSAVE, x));
	return x->region[X_BV] | (u64)x->region[X_BV + 1] << 32;
}

static bool has_avx(void)
{
	return has_cpuid(1, 'c', 28);
}

GUEST64(uses_sse,
	out %al, $0x10;
	movq %xmm3, %rax;
	mov $0x1234567, %ebx;
	movd %ebx, %xmm4;
	out %al, $0x11;
	hlt)

TEST(xsave_area_comes_back)
{
	static struct minivmm_xsave x, again;
	struct vcpu *v = BOOT(LONG64, uses_sse);

	CHECK_EQ(node_extension(MINIVMM_CAP_XSAVE), 1);
	RUN_TO(v, MINIVMM_EXIT_IO);
	get_xsave(v, &x);
	x.region[X_BV] |= 3;
	x.region[X_MXCSR] = 0x1f80 | 0x6000;
	x.region[X_ST0] = 0x12345678;
	x.region[X_XMM0 + 3 * 4] = 0x5678;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XSAVE, &x));
	CHECK_EQ(get_xsave(v, &again) & 3, 3);
	CHECK_EQ(again.region[X_MXCSR], 0x7f80);
	CHECK_EQ(again.region[X_ST0], 0x12345678);
	CHECK_EQ(again.region[X_XMM0 + 3 * 4], 0x5678);
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(get_regs(v).rax & 0xffffffff, 0x5678);
	get_xsave(v, &again);
	CHECK_EQ(again.region[X_XMM0 + 4 * 4], 0x1234567);
	CHECK_EQ(again.region[X_MXCSR], 0x7f80);
}

TEST(xsave2_is_xsave)
{
	static struct { struct minivmm_xsave x; } one, two;
	struct vcpu *v = BOOT(LONG64, uses_sse);
	struct minivmm_xsave *x = &two.x;

	CHECK_EQ(vm_extension(v->vm, MINIVMM_CAP_XSAVE2), sizeof(*x));
	RUN_TO(v, MINIVMM_EXIT_IO);
	RUN_TO(v, MINIVMM_EXIT_IO);
	get_xsave(v, &one.x);
	CHECK_OK(ioctl(v->fd, MINIVMM_GET_XSAVE2, x));
	CHECK_MEM(&one, &two, sizeof(one));
}

TEST(set_xsave_refuses)
{
	static struct minivmm_xsave good, x;
	struct vcpu *v = BOOT(LONG64, uses_sse);

	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_XSAVE, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_XSAVE2, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XSAVE, BAD_POINTER), EFAULT);
	get_xsave(v, &good);
	good.region[X_BV] |= 3;
	x = good;
	x.region[X_BV + 1] |= 1u << 30;	/* a component that no host has */
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XSAVE, &x), EINVAL);
	x = good;
	x.region[X_MXCSR] = 0xffffffff;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XSAVE, &x), EINVAL);
	if (node_extension(MINIVMM_CAP_XCRS)) {
		x = good;
		x.region[X_RESERVED] = 1;
		CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XSAVE, &x), EINVAL);
		x = good;
		x.region[X_COMP_BV + 1] = 1u << 31;
		CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XSAVE, &x), EINVAL);
	}
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XSAVE, &good));
	RUN_TO(v, MINIVMM_EXIT_IO);
}

/* ---- XCRS ---------------------------------------------------------------------------------------- */

static struct minivmm_xcrs get_xcrs(struct vcpu *v)
{
	struct minivmm_xcrs x;

	CHECK_OK(ioctl(v->fd, MINIVMM_GET_XCRS, &x));
	return x;
}

static void need_xcrs(void)
{
	if (!node_extension(MINIVMM_CAP_XCRS))
		skip("no XSAVE on this CPU");
}

TEST(there_are_no_xcrs_without_xsave)
{
	struct vcpu *v = BOOT(LONG64, uses_sse);
	struct minivmm_xcrs x = { 0 };

	if (node_extension(MINIVMM_CAP_XCRS))
		skip("there is XSAVE");
	CHECK_EQ(get_xcrs(v).nr_xcrs, 0);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
}

GUEST64(reads_xcr0, xor %ecx, %ecx; xgetbv; out %al, $0x10; mov $1, %eax; xsetbv; hlt)

TEST(xcr0_comes_back)
{
	struct minivmm_sregs s;
	struct minivmm_xcrs x;
	struct vcpu *v;

	need_xcrs();
	v = BOOT(LONG64, reads_xcr0);
	x = get_xcrs(v);
	CHECK_EQ(x.nr_xcrs, 1);
	CHECK_EQ(x.flags, 0);
	CHECK_EQ(x.xcrs[0].xcr, 0);
	CHECK_EQ(x.xcrs[0].value, 1);
	x.xcrs[0].value = 3;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XCRS, &x));
	CHECK_EQ(get_xcrs(v).xcrs[0].value, 3);
	s = get_sregs(v);
	s.cr4 |= CR4_OSXSAVE;
	set_sregs(v, &s);
	RUN_TO_OUT(v, 0x10, 3, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_xcrs(v).xcrs[0].value, 1);
	/* the others of the list aren't looked at, nor is a list without it refused */
	x.nr_xcrs = 2;
	x.xcrs[0].xcr = 7;
	x.xcrs[1].xcr = 0;
	x.xcrs[1].value = 3;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XCRS, &x));
	CHECK_EQ(get_xcrs(v).xcrs[0].value, 3);
	x.nr_xcrs = 0;
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XCRS, &x));
	CHECK_EQ(get_xcrs(v).xcrs[0].value, 3);
}

TEST(set_xcrs_refuses)
{
	struct minivmm_xcrs x = { .nr_xcrs = 1 };
	struct vcpu *v;

	need_xcrs();
	v = BOOT(LONG64, reads_xcr0);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_GET_XCRS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, BAD_POINTER), EFAULT);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);	/* without x87 */
	x.xcrs[0].value = 5;						/* AVX without SSE */
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
	x.xcrs[0].value = 1ull << 60 | 3;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
	x.xcrs[0].value = 3;
	x.flags = 1;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
	x.flags = 0;
	x.nr_xcrs = MINIVMM_MAX_XCRS + 1;
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
}

/* What the guest's model hasn't it can't have, though the host has. */
TEST(xcr0_is_within_the_model)
{
	struct minivmm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	struct vcpu *v;

	need_xcrs();
	if (!has_avx())
		skip("no AVX on this CPU");
	v = vcpu_create_bare(vm_create(), 0);
	CHECK_ERRNO(ioctl(v->fd, MINIVMM_SET_XCRS, &x), EINVAL);
	v = BOOT(LONG64, reads_xcr0);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XCRS, &x));
}

GUEST64(uses_avx, vxorps %ymm2, %ymm2, %ymm2; vmovups (DATA), %ymm1; out %al, $0x10; hlt)

TEST(xsave_area_has_avx)
{
	struct minivmm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 7 };
	static struct minivmm_xsave x;
	struct minivmm_sregs s;
	struct vcpu *v;

	if (!has_avx())
		skip("no AVX on this CPU");
	v = BOOT(LONG64, uses_avx);
	for (int i = 0; i < 8; i++)
		((u32 *)(v->vm->mem + DATA))[i] = i + 1;
	s = get_sregs(v);
	s.cr4 |= CR4_OSXSAVE;
	set_sregs(v, &s);
	CHECK_OK(ioctl(v->fd, MINIVMM_SET_XCRS, &xcrs));
	RUN_TO(v, MINIVMM_EXIT_IO);
	CHECK_EQ(get_xsave(v, &x) & 4, 4);
	CHECK_EQ(x.region[X_XMM0 + 4], 1);
	CHECK_EQ(x.region[X_YMMH0 + 4], 5);
}
