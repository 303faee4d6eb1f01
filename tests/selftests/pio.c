// SPDX-License-Identifier: GPL-2.0
/* Port I/O: every width, the string forms, and when the state that an exit leaves is complete. */
#include <string.h>

#include "vm.h"

#define PORT	0x510
#define COUNT	300

/* ---- single accesses ------------------------------------------------------------------------- */

GUEST64(outs_of_each_size,
	mov $0x1122334455667788, %rax;
	out %al, $0x10;
	out %ax, $0x10;
	out %eax, $0x10;
	mov $PORT, %edx;
	out %al, %dx;
	out %ax, %dx;
	out %eax, %dx;
	mov $0xffff, %edx;
	out %al, %dx;
	hlt)

TEST(out_of_each_size)
{
	struct vcpu *v = BOOT(LONG64, outs_of_each_size);

	RUN_TO_OUT(v, 0x10, 0x88, 1);
	RUN_TO_OUT(v, 0x10, 0x7788, 2);
	RUN_TO_OUT(v, 0x10, 0x55667788, 4);
	RUN_TO_OUT(v, PORT, 0x88, 1);
	RUN_TO_OUT(v, PORT, 0x7788, 2);
	RUN_TO_OUT(v, PORT, 0x55667788, 4);
	RUN_TO_OUT(v, 0xffff, 0x88, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x1122334455667788);
}

GUEST64(ins_of_each_size,
	mov $0x1122334455667788, %rax;
	in $0x10, %al;
	mov %rax, %rbx;
	in $0x10, %ax;
	mov %rax, %rcx;
	in $0x10, %eax;
	mov %rax, %rsi;
	mov $PORT, %edx;
	in %dx, %al;
	in %dx, %ax;
	in %dx, %eax;
	hlt)

/* 8 and 16 bits leave the rest of RAX alone, 32 clear the upper half. */
TEST(in_of_each_size)
{
	struct vcpu *v = BOOT(LONG64, ins_of_each_size);
	struct minivmm_regs r;

	*(u8 *)RUN_TO_IN(v, 0x10, 1) = 0xa1;
	*(u16 *)RUN_TO_IN(v, 0x10, 2) = 0xb2b1;
	*(u32 *)RUN_TO_IN(v, 0x10, 4) = 0xf4f3f2f1;
	*(u8 *)RUN_TO_IN(v, PORT, 1) = 1;
	*(u16 *)RUN_TO_IN(v, PORT, 2) = 2;
	*(u32 *)RUN_TO_IN(v, PORT, 4) = 3;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	r = get_regs(v);
	CHECK_EQ(r.rbx, 0x11223344556677a1);
	CHECK_EQ(r.rcx, 0x112233445566b2b1);
	CHECK_EQ(r.rsi, 0xf4f3f2f1);
	CHECK_EQ(r.rax, 3);
}

GUEST16(io16,
	mov $0xabcd, %ax;
	mov $PORT, %dx;
	out %al, %dx;
	out %ax, %dx;
	out %eax, %dx;
	in %dx, %al;
	hlt)

TEST(io_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, io16);

	RUN_TO_OUT(v, PORT, 0xcd, 1);
	RUN_TO_OUT(v, PORT, 0xabcd, 2);
	RUN_TO_OUT(v, PORT, 0xabcd, 4);
	*(u8 *)RUN_TO_IN(v, PORT, 1) = 0x77;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0xab77);
}

GUEST32(io32,
	mov $0x89abcdef, %eax;
	mov $PORT, %edx;
	out %eax, %dx;
	in %dx, %ax;
	hlt)

TEST(io_in_protected_mode)
{
	struct vcpu *v = BOOT(PROT32, io32);

	RUN_TO_OUT(v, PORT, 0x89abcdef, 4);
	*(u16 *)RUN_TO_IN(v, PORT, 2) = 0x7766;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x89ab7766);
}

GUEST64(out_then_hlt, mov $PORT, %edx; out %al, %dx; hlt)
GUEST64(in_then_hlt, mov $PORT, %edx; in %dx, %al; hlt)

TEST(data_is_in_the_second_page)
{
	struct vcpu *v = BOOT(LONG64, out_then_hlt);

	RUN_TO_OUT(v, PORT, 0, 1);
	CHECK_EQ(v->run->io.data_offset, MINIVMM_PIO_PAGE_OFFSET * PAGE);
	CHECK(v->run_size >= (MINIVMM_PIO_PAGE_OFFSET + 1) * PAGE);
}

/* The next RUN completes an access, also one that returns at once. */
TEST(immediate_exit_completes_out)
{
	struct vcpu *v = BOOT(LONG64, out_then_hlt);

	RUN_TO_OUT(v, PORT, 0, 1);
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_regs(v).rip, CODE + 6);
}

TEST(immediate_exit_completes_in)
{
	struct vcpu *v = BOOT(LONG64, in_then_hlt);

	*(u8 *)RUN_TO_IN(v, PORT, 1) = 0x5a;
	v->run->immediate_exit = 1;
	CHECK_ERRNO(vcpu_run(v), EINTR);
	CHECK_EQ(get_regs(v).rip, CODE + 6);
	CHECK_EQ(get_regs(v).rax, 0x5a);
	v->run->immediate_exit = 0;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rax, 0x5a);
}

/* A client that sends the guest elsewhere while an OUT is pending isn't overruled. */
TEST(rip_set_during_out_stays)
{
	struct vcpu *v = BOOT(LONG64, out_then_hlt);
	struct minivmm_regs r;

	RUN_TO_OUT(v, PORT, 0, 1);
	r = get_regs(v);
	r.rip = DATA;
	v->vm->mem[DATA] = 0xf4;
	set_regs(v, &r);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rip, DATA + 1);
}

/* ---- string accesses ------------------------------------------------------------------------- */

/*
 * What the guest writes, or reads, by port until it halts, from data on; the exits may carry any
 * number of items. Returns how many bytes.
 */
static size_t transfer(struct vcpu *v, u8 direction, u8 size, u8 *data, size_t room)
{
	size_t n = 0;

	for (;;) {
		u32 bytes;

		CHECK_OK(vcpu_run(v));
		if (v->run->exit_reason == MINIVMM_EXIT_HLT)
			return n;
		CHECK_EQ(v->run->exit_reason, MINIVMM_EXIT_IO);
		CHECK_EQ(v->run->io.direction, direction);
		CHECK_EQ(v->run->io.port, PORT);
		CHECK_EQ(v->run->io.size, size);
		bytes = v->run->io.count * size;
		CHECK(v->run->io.count >= 1 && bytes <= PAGE && n + bytes <= room);
		if (direction == MINIVMM_EXIT_IO_OUT)
			memcpy(data + n, pio_data(v), bytes);
		else
			memcpy(pio_data(v), data + n, bytes);
		n += bytes;
	}
}

static void fill(u8 *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = i * 7 + (i >> 8) + 1;
}

GUEST64(rep_outsb, mov $PORT, %edx; rep outsb; hlt)
GUEST64(rep_outsw, mov $PORT, %edx; rep outsw; hlt)
GUEST64(rep_outsl, mov $PORT, %edx; rep outsl; hlt)
GUEST64(rep_insb, mov $PORT, %edx; rep insb; hlt)
GUEST64(rep_insw, mov $PORT, %edx; rep insw; hlt)
GUEST64(rep_insl, mov $PORT, %edx; rep insl; hlt)
GUEST64(outsb_once, mov $PORT, %edx; outsb; hlt)
GUEST64(insb_once, mov $PORT, %edx; insb; hlt)
GUEST64(rep_outsb_backward, mov $PORT, %edx; std; rep outsb; hlt)
GUEST64(rep_insw_backward, mov $PORT, %edx; std; rep insw; hlt)

static void set_string(struct vcpu *v, u64 address, u64 count)
{
	struct minivmm_regs r = get_regs(v);

	r.rsi = r.rdi = address;
	r.rcx = count;
	set_regs(v, &r);
}

/* The buffer lies across a page boundary. */
#define BUFFER	(DATA + PAGE - 130)

static void check_rep_outs(struct vcpu *v, u8 size)
{
	u8 got[4 * COUNT];

	set_string(v, BUFFER, COUNT);
	fill(v->vm->mem + BUFFER, COUNT * size);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_OUT, size, got, sizeof(got)), COUNT * size);
	CHECK_MEM(got, v->vm->mem + BUFFER, COUNT * size);
	CHECK_EQ(get_regs(v).rsi, BUFFER + COUNT * size);
	CHECK_EQ(get_regs(v).rcx, 0);
}

TEST(rep_outs_8) { check_rep_outs(BOOT(LONG64, rep_outsb), 1); }
TEST(rep_outs_16) { check_rep_outs(BOOT(LONG64, rep_outsw), 2); }
TEST(rep_outs_32) { check_rep_outs(BOOT(LONG64, rep_outsl), 4); }

static void check_rep_ins(struct vcpu *v, u8 size)
{
	u8 data[4 * COUNT];

	set_string(v, BUFFER, COUNT);
	fill(data, COUNT * size);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_IN, size, data, sizeof(data)), COUNT * size);
	CHECK_MEM(v->vm->mem + BUFFER, data, COUNT * size);
	CHECK_EQ(v->vm->mem[BUFFER - 1], 0);
	CHECK_EQ(v->vm->mem[BUFFER + COUNT * size], 0);
	CHECK_EQ(get_regs(v).rdi, BUFFER + COUNT * size);
	CHECK_EQ(get_regs(v).rcx, 0);
}

TEST(rep_ins_8) { check_rep_ins(BOOT(LONG64, rep_insb), 1); }
TEST(rep_ins_16) { check_rep_ins(BOOT(LONG64, rep_insw), 2); }
TEST(rep_ins_32) { check_rep_ins(BOOT(LONG64, rep_insl), 4); }

TEST(outs_without_rep)
{
	struct vcpu *v = BOOT(LONG64, outsb_once);

	set_string(v, DATA, 5);
	v->vm->mem[DATA] = 0x42;
	RUN_TO_OUT(v, PORT, 0x42, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsi, DATA + 1);
	CHECK_EQ(get_regs(v).rcx, 5);
}

TEST(ins_without_rep)
{
	struct vcpu *v = BOOT(LONG64, insb_once);

	set_string(v, DATA, 5);
	*(u8 *)RUN_TO_IN(v, PORT, 1) = 0x42;
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(v->vm->mem[DATA], 0x42);
	CHECK_EQ(get_regs(v).rdi, DATA + 1);
	CHECK_EQ(get_regs(v).rcx, 5);
}

TEST(rep_of_zero_does_nothing)
{
	struct vcpu *v = BOOT(LONG64, rep_outsb);

	set_string(v, DATA, 0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsi, DATA);
}

TEST(rep_outs_backward)
{
	struct vcpu *v = BOOT(LONG64, rep_outsb_backward);
	u8 *mem = v->vm->mem, got[COUNT];
	u64 last = BUFFER + COUNT - 1;

	set_string(v, last, COUNT);
	fill(mem + BUFFER, COUNT);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_OUT, 1, got, sizeof(got)), COUNT);
	for (int i = 0; i < COUNT; i++)
		CHECK_EQ(got[i], mem[last - i]);
	CHECK_EQ(get_regs(v).rsi, BUFFER - 1);
}

TEST(rep_ins_backward)
{
	struct vcpu *v = BOOT(LONG64, rep_insw_backward);
	u16 data[COUNT], *got = (u16 *)(v->vm->mem + BUFFER);

	fill((u8 *)data, sizeof(data));
	set_string(v, BUFFER + 2 * (COUNT - 1), COUNT);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_IN, 2, (u8 *)data, sizeof(data)), sizeof(data));
	for (int i = 0; i < COUNT; i++)
		CHECK_EQ(got[COUNT - 1 - i], data[i]);
	CHECK_EQ(get_regs(v).rdi, BUFFER - 2);
}

GUEST64(rep_outsb_addr32, mov $PORT, %edx; rep outsb (%esi), %dx; hlt)

/* A 32-bit address size takes only the lower halves of RCX and RSI, and clears the upper. */
TEST(rep_outs_with_32_bit_addresses)
{
	struct vcpu *v = BOOT(LONG64, rep_outsb_addr32);
	u8 got[8];

	set_string(v, 0x700000000 + DATA, 0x300000004);
	fill(v->vm->mem + DATA, sizeof(got));
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_OUT, 1, got, sizeof(got)), 4);
	CHECK_MEM(got, v->vm->mem + DATA, 4);
	CHECK_EQ(get_regs(v).rsi, DATA + 4);
	CHECK_EQ(get_regs(v).rcx, 0);
}

GUEST16(rep_insb16,
	mov $0x2000, %ax;
	mov %ax, %es;
	mov $PORT, %dx;
	mov $0xfff0, %di;
	mov $32, %cx;
	rep insb;
	hlt)

/* DI wraps at 64 KiB. */
TEST(rep_ins_wraps_in_real_mode)
{
	struct vcpu *v = BOOT(REAL16, rep_insb16);
	u8 *mem = v->vm->mem, data[32];

	fill(data, sizeof(data));
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_IN, 1, data, sizeof(data)), sizeof(data));
	CHECK_MEM(mem + 0x2fff0, data, 16);
	CHECK_MEM(mem + 0x20000, data + 16, 16);
	CHECK_EQ(mem[0x30000], 0);
	CHECK_EQ(get_regs(v).rdi, 16);
}

GUEST16(rep_outsw16,
	mov $PORT, %dx;
	mov $0x2000, %ax;
	mov %ax, %fs;
	mov $0x10, %si;
	mov $3, %cx;
	rep outsw %fs:(%si), %dx;
	hlt)

TEST(rep_outs_with_segment_override)
{
	struct vcpu *v = BOOT(REAL16, rep_outsw16);
	u8 got[8];

	fill(v->vm->mem + 0x20010, 8);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_OUT, 2, got, sizeof(got)), 6);
	CHECK_MEM(got, v->vm->mem + 0x20010, 6);
}

/* Consecutive in the guest, apart in the client. */
TEST(rep_ins_across_slots)
{
	struct vcpu *v = BOOT(LONG64, rep_insl);
	u8 *high = host_memory(PAGE), data[64];

	add_slot(v->vm, 1, 0, MEM_SIZE, PAGE, high);
	fill(data, sizeof(data));
	set_string(v, MEM_SIZE - 32, sizeof(data) / 4);
	CHECK_EQ(transfer(v, MINIVMM_EXIT_IO_IN, 4, data, sizeof(data)), sizeof(data));
	CHECK_MEM(v->vm->mem + MEM_SIZE - 32, data, 32);
	CHECK_MEM(high, data + 32, 32);
}

/* Where there is no memory, a string access becomes MMIO. */
TEST(outs_from_mmio)
{
	struct vcpu *v = BOOT(LONG64, outsb_once);

	set_string(v, MMIO, 1);
	RUN_TO_READ(v, MMIO, 1, 0x99);
	RUN_TO_OUT(v, PORT, 0x99, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rsi, MMIO + 1);
}

TEST(ins_to_mmio)
{
	struct vcpu *v = BOOT(LONG64, insb_once);

	set_string(v, MMIO, 1);
	*(u8 *)RUN_TO_IN(v, PORT, 1) = 0x88;
	RUN_TO_WRITE(v, MMIO, 0x88, 1);
	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK_EQ(get_regs(v).rdi, MMIO + 1);
}
