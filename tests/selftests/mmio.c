// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses to guest-physical addresses without memory: each form of MOV, strings, page boundaries.
 */
#include <string.h>

#include "vm.h"

/* What the registers hold when a form begins. */
#define RAX	0x8182838485868788
#define RCX	3
#define RDX	0x9192939495969798
#define R9	0xa1a2a3a4a5a6a7a8
#define ANSWER	0xf1f2f3f4f5f6f7f8

static void set_registers(struct vcpu *v)
{
	struct minivmm_regs r = get_regs(v);

	r.rax = RAX;
	r.rbx = MMIO;
	r.rcx = RCX;
	r.rdx = RDX;
	r.rsi = DATA;
	r.rdi = MMIO;
	r.r9 = R9;
	r.r12 = MMIO;
	r.r13 = MMIO;
	set_regs(v, &r);
}

/* ---- stores ---------------------------------------------------------------------------------- */

static void check_write(struct vcpu *v, u64 gpa, u64 value, u32 size)
{
	set_registers(v);
	RUN_TO_WRITE(v, gpa, value, size);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, RAX);
	CHECK_EQ(get_regs(v).rdx, RDX);
}

#define WRITES(id, gpa, value, size, ...)				\
	GUEST64(id, __VA_ARGS__; hlt)					\
	TEST(id) { check_write(BOOT(LONG64, id), gpa, value, size); }

WRITES(mov_r8_to_m, MMIO, 0x88, 1, mov %al, (%rbx))
WRITES(mov_high_byte_to_m, MMIO, 0x87, 1, mov %ah, (%rbx))
WRITES(mov_rex_byte_to_m, MMIO, 0xa8, 1, mov %r9b, (%rbx))
WRITES(mov_sil_to_m, MMIO, DATA & 0xff, 1, mov %sil, (%rbx))
WRITES(mov_r16_to_m, MMIO, 0x9798, 2, mov %dx, (%rbx))
WRITES(mov_r32_to_m, MMIO, 0x95969798, 4, mov %edx, (%rbx))
WRITES(mov_r64_to_m, MMIO, RDX, 8, mov %rdx, (%rbx))
WRITES(mov_r9_to_m, MMIO, R9, 8, mov %r9, (%rbx))
WRITES(mov_imm8_to_m, MMIO, 0xab, 1, movb $0xab, (%rbx))
WRITES(mov_imm16_to_m, MMIO, 0xabcd, 2, movw $0xabcd, (%rbx))
WRITES(mov_imm32_to_m, MMIO, 0x89abcdef, 4, movl $0x89abcdef, (%rbx))
WRITES(mov_imm32_to_m64, MMIO, 0xffffffff89abcdef, 8, movq $-0x76543211, (%rbx))
WRITES(mov_al_to_moffs, MMIO + 1, 0x88, 1, movabs %al, MMIO + 1)
WRITES(mov_ax_to_moffs, MMIO + 2, 0x8788, 2, movabs %ax, MMIO + 2)
WRITES(mov_eax_to_moffs, MMIO + 4, 0x85868788, 4, movabs %eax, MMIO + 4)
WRITES(mov_rax_to_moffs, MMIO + 8, RAX, 8, movabs %rax, MMIO + 8)
WRITES(stos_8, MMIO, 0x88, 1, stosb)
WRITES(stos_16, MMIO, 0x8788, 2, stosw)
WRITES(stos_32, MMIO, 0x85868788, 4, stosl)
WRITES(stos_64, MMIO, RAX, 8, stosq)
WRITES(write_with_disp8, MMIO - 4, 0x95969798, 4, mov %edx, -4(%rbx))
WRITES(write_with_disp32, MMIO + 0x12345678, 0x95969798, 4, mov %edx, 0x12345678(%rbx))
WRITES(write_with_scaled_index, MMIO + 0x20 + 8 * RCX, 0x95969798, 4, mov %edx, 0x20(%rbx,%rcx,8))
WRITES(write_with_index_and_no_base, MMIO + 2 * RCX, 0x95969798, 4, mov %edx, MMIO(,%rcx,2))
WRITES(write_through_r12, MMIO, 0x95969798, 4, mov %edx, (%r12))
WRITES(write_through_r13, MMIO, 0x95969798, 4, mov %edx, (%r13))
WRITES(write_with_32_bit_address, MMIO + 0x10, 0x95969798, 4, mov %edx, 0x10(%ebx))
WRITES(write_relative_to_rip, MMIO, 0x95969798, 4, mov %edx, MMIO - CODE - 6(%rip))
WRITES(write_of_unaligned_8_bytes, MMIO + 3, RDX, 8, mov %rdx, 3(%rbx))
WRITES(write_at_end_of_page, MMIO + 0xff8, RDX, 8, mov %rdx, 0xff8(%rbx))

GUEST64(write_through_gs, mov %edx, %gs:0x40(%rbx); hlt)

TEST(write_with_segment_base)
{
	struct vcpu *v = BOOT(LONG64, write_through_gs);
	struct minivmm_sregs s = get_sregs(v);

	s.gs.base = 0x100000;
	set_sregs(v, &s);
	check_write(v, MMIO + 0x100040, 0x95969798, 4);
}

/* ---- loads ----------------------------------------------------------------------------------- */

static void check_read(struct vcpu *v, u64 gpa, u32 size, u64 rdx)
{
	set_registers(v);
	RUN_TO_READ(v, gpa, size, ANSWER);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdx, rdx);
}

#define READS(id, gpa, size, rdx, ...)					\
	GUEST64(id, __VA_ARGS__; hlt)					\
	TEST(id) { check_read(BOOT(LONG64, id), gpa, size, rdx); }

READS(mov_m_to_r8, MMIO, 1, 0x91929394959697f8, mov (%rbx), %dl)
READS(mov_m_to_high_byte, MMIO, 1, 0x919293949596f898, mov (%rbx), %dh)
READS(mov_m_to_r16, MMIO, 2, 0x919293949596f7f8, mov (%rbx), %dx)
READS(mov_m_to_r32, MMIO, 4, 0xf5f6f7f8, mov (%rbx), %edx)
READS(mov_m_to_r64, MMIO, 8, ANSWER, mov (%rbx), %rdx)
READS(movzx_8_to_16, MMIO, 1, 0x91929394959600f8, movzbw (%rbx), %dx)
READS(movzx_8_to_32, MMIO, 1, 0xf8, movzbl (%rbx), %edx)
READS(movzx_8_to_64, MMIO, 1, 0xf8, movzbq (%rbx), %rdx)
READS(movzx_16_to_32, MMIO, 2, 0xf7f8, movzwl (%rbx), %edx)
READS(movzx_16_to_64, MMIO, 2, 0xf7f8, movzwq (%rbx), %rdx)
READS(movsx_8_to_16, MMIO, 1, 0x919293949596fff8, movsbw (%rbx), %dx)
READS(movsx_8_to_32, MMIO, 1, 0xfffffff8, movsbl (%rbx), %edx)
READS(movsx_8_to_64, MMIO, 1, 0xfffffffffffffff8, movsbq (%rbx), %rdx)
READS(movsx_16_to_32, MMIO, 2, 0xfffff7f8, movswl (%rbx), %edx)
READS(movsx_16_to_64, MMIO, 2, 0xfffffffffffff7f8, movswq (%rbx), %rdx)
READS(movsxd_32_to_64, MMIO, 4, 0xfffffffff5f6f7f8, movslq (%rbx), %rdx)
READS(mov_moffs_to_al, MMIO + 1, 1, 0x81828384858687f8, movabs MMIO + 1, %al; mov %rax, %rdx)
READS(mov_moffs_to_ax, MMIO + 2, 2, 0x818283848586f7f8, movabs MMIO + 2, %ax; mov %rax, %rdx)
READS(mov_moffs_to_eax, MMIO + 4, 4, 0xf5f6f7f8, movabs MMIO + 4, %eax; mov %rax, %rdx)
READS(mov_moffs_to_rax, MMIO + 8, 8, ANSWER, movabs MMIO + 8, %rax; mov %rax, %rdx)
READS(lods_8, MMIO, 1, 0x81828384858687f8, mov %rbx, %rsi; lodsb; mov %rax, %rdx)
READS(lods_16, MMIO, 2, 0x818283848586f7f8, mov %rbx, %rsi; lodsw; mov %rax, %rdx)
READS(lods_32, MMIO, 4, 0xf5f6f7f8, mov %rbx, %rsi; lodsl; mov %rax, %rdx)
READS(lods_64, MMIO, 8, ANSWER, mov %rbx, %rsi; lodsq; mov %rax, %rdx)
READS(read_to_its_own_base, MMIO, 8, ANSWER, mov (%rbx), %rbx; mov %rbx, %rdx)

/* ---- strings --------------------------------------------------------------------------------- */

GUEST64(rep_stosl, rep stosl; hlt)

TEST(rep_stos)
{
	struct vcpu *v = BOOT(LONG64, rep_stosl);

	set_registers(v);
	for (int i = 0; i < RCX; i++)
		RUN_TO_WRITE(v, MMIO + 4 * i, 0x85868788, 4);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdi, MMIO + 4 * RCX);
	CHECK_EQ(get_regs(v).rcx, 0);
}

GUEST64(rep_movsw, rep movsw; hlt)
GUEST64(rep_movsq_backward, std; rep movsq; hlt)

TEST(rep_movs_from_memory)
{
	struct vcpu *v = BOOT(LONG64, rep_movsw);
	u16 *from = (u16 *)(v->vm->mem + DATA);

	for (int i = 0; i < RCX; i++)
		from[i] = 0x1111 * (i + 1);
	set_registers(v);
	for (int i = 0; i < RCX; i++)
		RUN_TO_WRITE(v, MMIO + 2 * i, from[i], 2);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsi, DATA + 2 * RCX);
	CHECK_EQ(get_regs(v).rdi, MMIO + 2 * RCX);
	CHECK_EQ(get_regs(v).rcx, 0);
}

static void set_strings(struct vcpu *v, u64 from, u64 to, u64 count)
{
	struct minivmm_regs r = get_regs(v);

	r.rsi = from;
	r.rdi = to;
	r.rcx = count;
	set_regs(v, &r);
}

TEST(rep_movs_to_memory)
{
	struct vcpu *v = BOOT(LONG64, rep_movsw);
	u16 *to = (u16 *)(v->vm->mem + DATA);

	set_strings(v, MMIO, DATA, 3);
	for (int i = 0; i < 3; i++)
		RUN_TO_READ(v, MMIO + 2 * i, 2, 0x1111 * (i + 1));
	RUN_TO(v, MINIVMM_EXIT_HLT);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(to[i], i < 3 ? 0x1111 * (i + 1) : 0);
}

TEST(rep_movs_from_mmio_to_mmio)
{
	struct vcpu *v = BOOT(LONG64, rep_movsw);

	set_strings(v, MMIO, MMIO + 0x800, 2);
	for (int i = 0; i < 2; i++) {
		RUN_TO_READ(v, MMIO + 2 * i, 2, 0x4321 + i);
		RUN_TO_WRITE(v, MMIO + 0x800 + 2 * i, 0x4321 + i, 2);
	}
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rcx, 0);
}

TEST(rep_movs_backward)
{
	struct vcpu *v = BOOT(LONG64, rep_movsq_backward);
	u64 *from = (u64 *)(v->vm->mem + DATA);

	from[0] = 1;
	from[1] = 2;
	set_strings(v, DATA + 8, MMIO + 8, 2);
	RUN_TO_WRITE(v, MMIO + 8, 2, 8);
	RUN_TO_WRITE(v, MMIO, 1, 8);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsi, DATA - 8);
	CHECK_EQ(get_regs(v).rdi, MMIO - 8);
}

/* From memory the first items need no exit, those beyond the slot's end do. */
TEST(rep_movs_off_the_end_of_memory)
{
	struct vcpu *v = BOOT(LONG64, rep_movsw);
	u16 *from = (u16 *)(v->vm->mem + DATA);

	for (int i = 0; i < 4; i++)
		from[i] = 0x1111 * (i + 1);
	set_strings(v, DATA, MEM_SIZE - 4, 4);
	RUN_TO_WRITE(v, MEM_SIZE, 0x3333, 2);
	RUN_TO_WRITE(v, MEM_SIZE + 2, 0x4444, 2);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_MEM(v->vm->mem + MEM_SIZE - 4, from, 4);
}

/* ---- page boundaries ------------------------------------------------------------------------- */

GUEST64(store_rdx, mov %rdx, (%rdi); hlt)
GUEST64(load_rdx, mov (%rsi), %rdx; hlt)

TEST(write_across_pages)
{
	struct vcpu *v = BOOT(LONG64, store_rdx);

	set_registers(v);
	set_strings(v, 0, MMIO + PAGE - 3, 0);
	RUN_TO_WRITE(v, MMIO + PAGE - 3, RDX & 0xffffff, 3);
	RUN_TO_WRITE(v, MMIO + PAGE, RDX >> 24, 5);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

TEST(read_across_pages)
{
	struct vcpu *v = BOOT(LONG64, load_rdx);

	set_strings(v, MMIO + PAGE - 3, 0, 0);
	RUN_TO_READ(v, MMIO + PAGE - 3, 3, 0x332211);
	RUN_TO_READ(v, MMIO + PAGE, 5, 0x8877665544);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdx, 0x8877665544332211);
}

TEST(write_from_memory_into_mmio)
{
	struct vcpu *v = BOOT(LONG64, store_rdx);
	u64 rdx = RDX;

	set_registers(v);
	set_strings(v, 0, MEM_SIZE - 2, 0);
	RUN_TO_WRITE(v, MEM_SIZE, RDX >> 16, 6);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_MEM(v->vm->mem + MEM_SIZE - 2, &rdx, 2);
}

TEST(read_from_memory_into_mmio)
{
	struct vcpu *v = BOOT(LONG64, load_rdx);

	v->vm->mem[MEM_SIZE - 2] = 0x11;
	v->vm->mem[MEM_SIZE - 1] = 0x22;
	set_strings(v, MEM_SIZE - 2, 0, 0);
	RUN_TO_READ(v, MEM_SIZE, 6, 0x887766554433);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdx, 0x8877665544332211);
}

/* ---- completion ------------------------------------------------------------------------------ */

TEST(immediate_exit_completes_read)
{
	struct vcpu *v = BOOT(LONG64, load_rdx);

	set_strings(v, MMIO, 0, 0);
	RUN_TO_READ(v, MMIO, 8, ANSWER);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_regs(v).rdx, ANSWER);
	CHECK_EQ(get_regs(v).rip, CODE + 3);
}

TEST(immediate_exit_completes_write)
{
	struct vcpu *v = BOOT(LONG64, store_rdx);

	set_strings(v, 0, MMIO, 0);
	RUN_TO_WRITE(v, MMIO, 0, 8);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_regs(v).rip, CODE + 3);
}

/* ---- other modes ----------------------------------------------------------------------------- */

/* Memory ends at 512 KiB; the window is where a PC has its VGA. */
#define VGA	0xa0000

GUEST16(mmio16,
	mov $VGA >> 4, %ax;
	mov %ax, %ds;
	mov %ax, %ss;
	mov $0x100, %bx;
	mov $0x20, %si;
	mov $0x200, %bp;
	movw $0x1234, (%bx,%si);
	movb $0x56, -2(%bp,%si);
	mov %eax, %ds:0x300;
	mov 4(%bx), %cl;
	mov %ds:0x500, %ax;
	hlt)

TEST(mmio_in_real_mode)
{
	struct vm *vm = vm_with_memory(0x80000);
	struct vcpu *v = BOOT_IN(vm, REAL16, mmio16);

	RUN_TO_WRITE(v, VGA + 0x120, 0x1234, 2);
	RUN_TO_WRITE(v, VGA + 0x21e, 0x56, 1);
	RUN_TO_WRITE(v, VGA + 0x300, VGA >> 4, 4);
	RUN_TO_READ(v, VGA + 0x104, 1, 0x77);
	RUN_TO_READ(v, VGA + 0x500, 2, 0xabcd);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rcx, 0x77);
	CHECK_EQ(get_regs(v).rax, 0xabcd);
}

GUEST32(mmio32,
	mov $MMIO, %ebx;
	mov $2, %ecx;
	mov $0x12345678, %eax;
	mov %eax, 0x10(%ebx,%ecx,4);
	movzwl (%ebx), %edx;
	mov %al, MMIO + 0x40;
	mov MMIO + 0x44, %eax;
	mov %ebx, %edi;
	cld;
	rep stosl;
	hlt)

TEST(mmio_in_protected_mode)
{
	struct vcpu *v = BOOT(PROT32, mmio32);

	RUN_TO_WRITE(v, MMIO + 0x18, 0x12345678, 4);
	RUN_TO_READ(v, MMIO, 2, 0xffee);
	RUN_TO_WRITE(v, MMIO + 0x40, 0x78, 1);
	RUN_TO_READ(v, MMIO + 0x44, 4, 0xaabbccdd);
	RUN_TO_WRITE(v, MMIO, 0xaabbccdd, 4);
	RUN_TO_WRITE(v, MMIO + 4, 0xaabbccdd, 4);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdx, 0xffee);
}
