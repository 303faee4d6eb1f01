// SPDX-License-Identifier: GPL-2.0
/*
 * Every form of access to a device's memory: each instruction is run on memory, by the CPU, and on a
 * device that behaves as memory does, by the emulator. Registers, flags and what was written must
 * be the same.
 */
#include <stdio.h>
#include <string.h>

#include "vm.h"

#define RAM	0x20000ul	/* the operand, as memory */
#define DEVICE	0xd0000ul	/* no memory there */
#define WINDOW	256
#define STACK	0x21000
#define XMM	0x22000		/* where XMM0 is put afterwards */

#define CF 0x1
#define PF 0x4
#define AF 0x10
#define ZF 0x40
#define SF 0x80
#define OF 0x800

enum { B16 = 1, B32 = 2, B64 = 4, ALL = 7 };
enum { BYTE = 1,	/* there's no other operand size */
       FIXED = 2,	/* the operand size isn't to be changed */
       VECTOR = 4, AVX = 8 };

struct form {
	const char *bytes;
	u8 len, modes, flags;
	u16 undefined;
};

#define F(text, modes, flags, undefined) \
	{ text, sizeof(text) - 1, modes, flags, undefined }
/* The operand is (%ebx), the register ECX or XMM0; strings go from ESI to EDI. */
static const struct form forms[] = {
	F("\x88\x0b", ALL, BYTE, 0), F("\x88\x2b", ALL, BYTE, 0), F("\x89\x0b", ALL, 0, 0),
	F("\x8a\x0b", ALL, BYTE, 0), F("\x8a\x2b", ALL, BYTE, 0), F("\x8b\x0b", ALL, 0, 0),
	F("\xc6\x03\x5a", ALL, BYTE, 0), F("\x66\xc7\x03\x5a\xa5\xf4\xf4", B32 | B64, FIXED, 0),
	F("\x8c\x2b", ALL, FIXED, 0),
	F("\x0f\xb6\x0b", ALL, 0, 0), F("\x0f\xb7\x0b", ALL, 0, 0), F("\x0f\xbe\x0b", ALL, 0, 0),
	F("\x0f\xbf\x0b", ALL, 0, 0), F("\x63\x0b", B64, 0, 0),
	F("\x86\x0b", ALL, BYTE, 0), F("\x87\x0b", ALL, 0, 0),
	F("\x0f\xb0\x0b", ALL, BYTE, 0), F("\x0f\xb1\x0b", ALL, 0, 0),
	F("\xf0\x0f\xb1\x0b", ALL, 0, 0), F("\x0f\xc0\x0b", ALL, BYTE, 0),
	F("\xf0\x0f\xc1\x0b", ALL, 0, 0), F("\x0f\xc7\x0b", ALL, FIXED, 0),
	F("\xf0\x48\x0f\xc7\x0b", B64, FIXED, 0),
	F("\x00\x0b", ALL, BYTE, 0), F("\x01\x0b", ALL, 0, 0), F("\x02\x0b", ALL, BYTE, 0),
	F("\x03\x0b", ALL, 0, 0), F("\xf0\x01\x0b", ALL, 0, 0),
	F("\x08\x0b", ALL, BYTE, AF), F("\x09\x0b", ALL, 0, AF), F("\x0b\x0b", ALL, 0, AF),
	F("\x11\x0b", ALL, 0, 0), F("\x13\x0b", ALL, 0, 0), F("\x19\x0b", ALL, 0, 0),
	F("\x1b\x0b", ALL, 0, 0), F("\x21\x0b", ALL, 0, AF), F("\x23\x0b", ALL, 0, AF),
	F("\x29\x0b", ALL, 0, 0), F("\x2b\x0b", ALL, 0, 0), F("\x31\x0b", ALL, 0, AF),
	F("\x33\x0b", ALL, 0, AF), F("\x38\x0b", ALL, BYTE, 0), F("\x39\x0b", ALL, 0, 0),
	F("\x3a\x0b", ALL, BYTE, 0), F("\x3b\x0b", ALL, 0, 0),
	F("\x80\x0b\x81", ALL, BYTE, AF), F("\x83\x03\xfe", ALL, 0, 0), F("\x83\x0b\x71", ALL, 0, AF),
	F("\x83\x13\x12", ALL, 0, 0), F("\x83\x1b\x12", ALL, 0, 0), F("\x83\x23\x71", ALL, 0, AF),
	F("\xf0\x83\x2b\x71", ALL, 0, 0), F("\x83\x33\x71", ALL, 0, AF), F("\x83\x3b\x71", ALL, 0, 0),
	F("\x84\x0b", ALL, BYTE, AF), F("\x85\x0b", ALL, 0, AF), F("\xf6\x03\x81", ALL, BYTE, AF),
	F("\xf7\x13", ALL, 0, 0), F("\xf7\x1b", ALL, 0, 0), F("\xf6\x1b", ALL, BYTE, 0),
	F("\xf7\x23", ALL, 0, SF | ZF | AF | PF), F("\xf7\x2b", ALL, 0, SF | ZF | AF | PF),
	F("\xf6\x23", ALL, BYTE, SF | ZF | AF | PF),
	F("\xfe\x03", ALL, BYTE, 0), F("\xff\x03", ALL, 0, 0), F("\xf0\xff\x0b", ALL, 0, 0),
	F("\xd0\x03", ALL, BYTE, AF), F("\xd1\x0b", ALL, 0, AF), F("\xd1\x13", ALL, 0, AF),
	F("\xd1\x1b", ALL, 0, AF), F("\xd1\x23", ALL, 0, AF), F("\xd1\x2b", ALL, 0, AF),
	F("\xd1\x3b", ALL, 0, AF), F("\xc1\x23\x03", ALL, 0, AF | OF), F("\xd3\x2b", ALL, 0, AF | OF),
	F("\x0f\xa4\x0b\x03", ALL, 0, AF | OF), F("\x0f\xac\x0b\x03", ALL, 0, AF | OF),
	F("\x0f\xba\x23\x05", ALL, 0, OF | SF | AF | PF), F("\x0f\xba\x2b\x05", ALL, 0, OF | SF | AF | PF),
	F("\xf0\x0f\xba\x33\x05", ALL, 0, OF | SF | AF | PF),
	F("\x0f\xba\x3b\x05", ALL, 0, OF | SF | AF | PF),
	F("\x0f\xa3\x13", ALL, 0, OF | SF | AF | PF), F("\x0f\xab\x13", ALL, 0, OF | SF | AF | PF),
	F("\xf0\x0f\xb3\x13", ALL, 0, OF | SF | AF | PF), F("\x0f\xbb\x13", ALL, 0, OF | SF | AF | PF),
	F("\x0f\xbc\x0b", ALL, 0, CF | OF | SF | AF | PF),
	F("\x0f\xbd\x0b", ALL, 0, CF | OF | SF | AF | PF),
	F("\x0f\xaf\x0b", ALL, 0, SF | ZF | AF | PF), F("\x6b\x0b\x07", ALL, 0, SF | ZF | AF | PF),
	F("\x0f\x94\x03", ALL, BYTE, 0), F("\x0f\x44\x0b", ALL, 0, 0), F("\x0f\x45\x0b", ALL, 0, 0),
	F("\x0f\xc3\x0b", B32 | B64, FIXED, 0), F("\xff\x33", ALL, 0, 0), F("\x8f\x03", ALL, 0, 0),
	F("\xa4", ALL, BYTE, 0), F("\xa5", ALL, 0, 0), F("\xf3\xa4", ALL, BYTE, 0),
	F("\xf3\xa5", ALL, 0, 0), F("\xaa", ALL, BYTE, 0), F("\xab", ALL, 0, 0),
	F("\xf3\xab", ALL, 0, 0), F("\xac", ALL, BYTE, 0), F("\xad", ALL, 0, 0),
	F("\xa6", ALL, BYTE, 0), F("\xa7", ALL, 0, 0), F("\xf3\xa6", ALL, BYTE, 0),
	F("\xae", ALL, BYTE, 0), F("\xaf", ALL, 0, 0), F("\xf2\xae", ALL, BYTE, 0),
	F("\xd7", ALL, FIXED, 0), F("\x0f\x01\x03", ALL, FIXED, 0), F("\x0f\x01\x23", ALL, FIXED, 0),
	/* vector registers */
	F("\x0f\x10\x03", ALL, VECTOR, 0), F("\x0f\x11\x03", ALL, VECTOR, 0),
	F("\x0f\x28\x03", ALL, VECTOR, 0), F("\x0f\x29\x03", ALL, VECTOR, 0),
	F("\xf3\x0f\x10\x03", ALL, VECTOR, 0), F("\xf3\x0f\x11\x03", ALL, VECTOR, 0),
	F("\xf2\x0f\x10\x03", ALL, VECTOR, 0), F("\xf2\x0f\x11\x03", ALL, VECTOR, 0),
	F("\x0f\x12\x03", ALL, VECTOR, 0), F("\x0f\x13\x03", ALL, VECTOR, 0),
	F("\x0f\x16\x03", ALL, VECTOR, 0), F("\x0f\x17\x03", ALL, VECTOR, 0),
	F("\x0f\x2b\x03", ALL, VECTOR, 0), F("\x66\x0f\x6e\x03", ALL, VECTOR, 0),
	F("\x66\x0f\x6f\x03", ALL, VECTOR, 0), F("\xf3\x0f\x6f\x03", ALL, VECTOR, 0),
	F("\x66\x0f\x7e\x03", ALL, VECTOR, 0), F("\xf3\x0f\x7e\x03", ALL, VECTOR, 0),
	F("\x66\x0f\x7f\x03", ALL, VECTOR, 0), F("\xf3\x0f\x7f\x03", ALL, VECTOR, 0),
	F("\x66\x0f\xd6\x03", ALL, VECTOR, 0), F("\x66\x0f\xe7\x03", ALL, VECTOR, 0),
	F("\xc5\xf8\x10\x03", B64, AVX, 0), F("\xc5\xf8\x11\x03", B64, AVX, 0),
	F("\xc5\xfc\x10\x03", B64, AVX, 0), F("\xc5\xfc\x11\x03", B64, AVX, 0),
	F("\xc5\xfd\x6f\x03", B64, AVX, 0), F("\xc5\xfd\x7f\x03", B64, AVX, 0),
	F("\xc5\xfe\x6f\x03", B64, AVX, 0), F("\xc5\xfe\x7f\x03", B64, AVX, 0),
	F("\xc5\xf9\x6e\x03", B64, AVX, 0), F("\xc5\xf9\x7e\x03", B64, AVX, 0),
	F("\xc5\xfa\x10\x03", B64, AVX, 0), F("\xc5\xfb\x11\x03", B64, AVX, 0),
};

struct result {
	struct minivmm_regs regs;
	u8 window[WINDOW], stack[64], xmm[32];
};

static u8 device[WINDOW];

/* The device's part of it: -1 if the instruction isn't done. */
static int run_with_device(struct vcpu *v)
{
	struct minivmm_run *run = v->run;
	u64 offset;

	for (int n = 0; n < 200; n++) {
		CHECK_OK(vcpu_run(v));
		if (run->exit_reason == MINIVMM_EXIT_HLT)
			return 0;
		if (run->exit_reason == MINIVMM_EXIT_INTERNAL_ERROR)
			return -1;
		CHECK_EXIT(v, MINIVMM_EXIT_MMIO);
		offset = run->mmio.phys_addr - DEVICE;
		CHECK(offset + run->mmio.len <= WINDOW);
		if (run->mmio.is_write)
			memcpy(device + offset, run->mmio.data, run->mmio.len);
		else
			memcpy(run->mmio.data, device + offset, run->mmio.len);
	}
	return -1;
}

static void set_base(struct minivmm_segment *s, u64 base)
{
	s->selector = base >> 4;
	s->base = base;
}

static void fill(u8 *window)
{
	for (int i = 0; i < WINDOW; i++)
		window[i] = i * 37 + 11;
}

/* Registers, with the operand at base. */
static void prepare(struct vcpu *v, enum mode mode, u64 base, bool rep)
{
	struct minivmm_sregs s = get_sregs(v);
	struct minivmm_regs r = {
		.rax = 0x1100ffeeddcc0b0c, .rcx = rep ? 4 : 0x1234567800000004, .rdx = 0x33,
		.rip = mode == REAL16 ? 0 : CODE, .rsp = mode == REAL16 ? 0x20 : STACK + 0x20, .rflags = 0x3,
	};
	u64 at = base;

	if (mode == REAL16) {
		set_base(&s.ds, base);
		set_base(&s.es, base);
		set_base(&s.ss, STACK);
		set_sregs(v, &s);
		at = 0;
	}
	r.rbx = r.rsi = at + 32;
	r.rdi = at + 96;
	set_regs(v, &r);
}

/* A form as it is in the mode's code, and the storing of XMM0 behind it. */
static void put_code(struct vm *vm, enum mode mode, const struct form *f, unsigned int size)
{
	u8 code[64], *p = code;

	if (size == 8)
		*p++ = 0x48;
	else if (size && (size == 2) != (mode == REAL16))
		*p++ = 0x66;
	if (mode == REAL16)
		*p++ = 0x67;
	if (size && f->bytes[0] == (char)0xf0) {	/* REX comes last */
		u8 rex = *code;

		if (rex == 0x48) {
			code[0] = 0xf0;
			code[1] = 0x48;
			memcpy(code + 2, f->bytes + 1, f->len - 1);
			p = code + 1 + f->len;
			goto done;
		}
	}
	if (size == 8 && (f->bytes[0] == (char)0xf3 || f->bytes[0] == (char)0xf2)) {
		code[0] = f->bytes[0];
		code[1] = 0x48;
		memcpy(code + 2, f->bytes + 1, f->len - 1);
		p = code + 1 + f->len;
		goto done;
	}
	memcpy(p, f->bytes, f->len);
	p += f->len;
done:
	if (f->flags & AVX)
		p = mempcpy(p, "\xc5\xfc\x11\x04\x25\x00\x20\x02\x00", 9);
	else if (f->flags & VECTOR && mode == LONG64)
		p = mempcpy(p, "\x0f\x11\x04\x25\x00\x20\x02\x00", 8);
	else if (f->flags & VECTOR && mode == PROT32)
		p = mempcpy(p, "\x0f\x11\x05\x00\x20\x02\x00", 7);
	*p++ = 0xf4;
	vm_load(vm, CODE, code, p - code);
}

static int run_one(struct vcpu *v, enum mode mode, u64 base, const struct form *f,
		   struct result *result)
{
	bool rep = ((u8)f->bytes[0] & 0xfe) == 0xf2 && f->bytes[1] != 0x0f;
	u8 *mem = v->vm->mem;
	int r;

	memset(mem + STACK, 0x5a, 64);
	memset(mem + XMM, 0, 32);
	fill(mem + RAM);
	fill(device);
	prepare(v, mode, base, rep);
	r = run_with_device(v);
	result->regs = get_regs(v);
	memcpy(result->window, base == RAM ? mem + RAM : device, WINDOW);
	memcpy(result->stack, mem + STACK, 64);
	memcpy(result->xmm, mem + XMM, 32);
	return r;
}

static void compare(const struct form *f, struct result *a, struct result *b, u64 distance)
{
	u64 wanted = ~(u64)f->undefined;

	b->regs.rbx -= distance;
	b->regs.rsi -= distance;
	b->regs.rdi -= distance;
	CHECK_EQ(b->regs.rip, a->regs.rip);
	CHECK_EQ(b->regs.rflags & wanted, a->regs.rflags & wanted);
	CHECK_MEM(b->window, a->window, WINDOW);
	CHECK_MEM(b->stack, a->stack, 64);
	CHECK_MEM(b->xmm, a->xmm, 32);
	a->regs.rflags = b->regs.rflags = 0;
	CHECK_MEM(&b->regs, &a->regs, sizeof(a->regs));
}

static void check_form(struct vcpu *v, enum mode mode, const struct form *f, unsigned int size)
{
	struct result by_cpu = { 0 }, by_emulator = { 0 };

	context("mode %d, operand size %u, %02x %02x %02x %02x %02x", mode, size, (u8)f->bytes[0],
		(u8)f->bytes[1], f->len > 2 ? (u8)f->bytes[2] : 0, f->len > 3 ? (u8)f->bytes[3] : 0,
		f->len > 4 ? (u8)f->bytes[4] : 0);
	put_code(v->vm, mode, f, size);
	CHECK_EQ(run_one(v, mode, RAM, f, &by_cpu), 0);
	if (run_one(v, mode, DEVICE, f, &by_emulator))
		FAIL("it isn't emulated, or doesn't end");
	compare(f, &by_cpu, &by_emulator, mode == REAL16 ? 0 : DEVICE - RAM);
}

GUEST64(set_xcr0,
	xor %edx, %edx;
	xor %ecx, %ecx;
	mov $7, %eax;
	xsetbv;
	hlt)

static void enable_vectors(struct vcpu *v, bool avx)
{
	struct minivmm_sregs s = get_sregs(v);

	s.cr4 |= 0x200 | (avx ? 0x40000 : 0);
	set_sregs(v, &s);
	if (!avx)
		return;
	LOAD(v->vm, CODE, set_xcr0);
	RUN_TO(v, MINIVMM_EXIT_HLT);
}

static void check_forms(enum mode mode, unsigned int mode_bit, bool vectors)
{
	static const u8 sizes[] = { 2, 4, 8 };
	struct vcpu *v;
	bool avx = mode == LONG64 && has_cpuid(1, 'c', 28);

	if (opt.oracle)
		skip("KVM doesn't come back from all of them, and knows no AVX");
	v = vcpu_create(vm_with_memory(0x30000), 0);
	vcpu_enter_mode(v, mode, CODE);
	if (vectors)
		enable_vectors(v, avx);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[i];
		unsigned int fixed = f->flags & (BYTE | FIXED | VECTOR | AVX);

		if (!(f->modes & mode_bit) || !!(f->flags & (VECTOR | AVX)) != vectors)
			continue;
		if (f->flags & AVX && !avx)
			continue;
		for (unsigned int k = 0; k < (fixed ? 1 : mode == LONG64 ? 3 : 2); k++)
			check_form(v, mode, f, fixed ? 0 : sizes[k]);
	}
}

TEST(integers_in_16_bits) { check_forms(REAL16, B16, false); }
TEST(integers_in_32_bits) { check_forms(PROT32, B32, false); }
TEST(integers_in_64_bits) { check_forms(LONG64, B64, false); }
TEST(vectors_in_16_bits) { check_forms(REAL16, B16, true); }
TEST(vectors_in_32_bits) { check_forms(PROT32, B32, true); }
TEST(vectors_in_64_bits) { check_forms(LONG64, B64, true); }
