// SPDX-License-Identifier: GPL-2.0
/* Console, results, vectors and page tables of guest programs. */
#include <stdarg.h>

#include "guest.h"

extern struct image image;
extern char vector_stubs[];
extern char stack_top[];

struct gate idt[256] __attribute__((aligned(16)));
struct tss tss __attribute__((aligned(128)));
volatile struct trap last_trap;
volatile u64 recover;
volatile u32 vector_count[256];
static handler *handlers[256];
u64 pml4[512] __attribute__((aligned(4096)));
static char context_text[128];

/* ---- console --------------------------------------------------------------------------------- */

/* Where formatted text goes: the console, or memory. */
struct sink {
	char *at, *end;
};

static void put(struct sink *s, char c)
{
	if (!s->at)
		outb(PORT_CONSOLE, c);
	else if (s->at < s->end)
		*s->at++ = c;
}

static void put_string(struct sink *s, const char *text)
{
	while (*text)
		put(s, *text++);
}

static void put_number(struct sink *s, u64 v, unsigned int base)
{
	char digits[24];
	int n = 0;

	do {
		digits[n++] = "0123456789abcdef"[v % base];
	} while (v /= base);
	while (n)
		put(s, digits[--n]);
}

static void put_signed(struct sink *s, long v)
{
	if (v < 0)
		put(s, '-');
	put_number(s, v < 0 ? -(u64)v : (u64)v, 10);
}

/* %s, %d, %u, %x, each with l for 64 bits. */
static void vformat(struct sink *s, const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		bool wide;

		if (*fmt != '%') {
			put(s, *fmt);
			continue;
		}
		wide = *++fmt == 'l';
		fmt += wide;
		if (*fmt == 's')
			put_string(s, va_arg(ap, const char *));
		else if (*fmt == 'd')
			put_signed(s, wide ? va_arg(ap, long) : va_arg(ap, int));
		else
			put_number(s, wide ? va_arg(ap, u64) : va_arg(ap, u32),
				   *fmt == 'x' ? 16 : 10);
	}
}

/* The console and the exit are ports: at CPL 3 they need IOPL, which on_user_io gives. */
static void allow_io(void)
{
	u16 cs;

	asm volatile("mov %%cs, %0" : "=r"(cs));
	if (cs & 3)
		asm volatile("int $0x81");
}

void print(const char *fmt, ...)
{
	struct sink console = { 0 };
	va_list ap;

	allow_io();
	va_start(ap, fmt);
	vformat(&console, fmt, ap);
	va_end(ap);
}

void context(const char *fmt, ...)
{
	struct sink s = { context_text, context_text + sizeof(context_text) - 1 };
	va_list ap;

	va_start(ap, fmt);
	vformat(&s, fmt, ap);
	va_end(ap);
	*s.at = 0;
}

static void on_user_io(struct frame *f)
{
	f->rflags |= 3 << 12;
}

/* By whichever CPU. */
static _Noreturn void leave(u32 result)
{
	allow_io();
	for (;;) {
		outl(PORT_EXIT, result);
		asm volatile("hlt");
	}
}

void fail(const char *fmt, ...)
{
	struct sink console = { 0 };
	va_list ap;

	allow_io();
	va_start(ap, fmt);
	vformat(&console, fmt, ap);
	va_end(ap);
	if (*context_text)
		print("\n  with %s", context_text);
	print("\n");
	leave(RESULT_FAILED);
}

void skip(const char *why)
{
	print("%s\n", why);
	leave(RESULT_SKIPPED);
}

/* ---- vectors --------------------------------------------------------------------------------- */

static u64 read_dr6(void)
{
	u64 v;

	asm volatile("mov %%dr6, %0" : "=r"(v));
	return v;
}

void on_vector(struct frame *f)
{
	vector_count[f->vector]++;
	if (handlers[f->vector]) {
		handlers[f->vector](f);
		return;
	}
	last_trap.vector = f->vector;
	last_trap.error = f->error;
	last_trap.rip = f->rip;
	last_trap.cs = f->cs;
	last_trap.rflags = f->rflags;
	last_trap.rsp = f->rsp;
	last_trap.cr2 = f->vector == PF ? read_cr2() : 0;
	last_trap.dr6 = f->vector == DB ? read_dr6() : 0;
	if (!recover)
		fail("unexpected vector %lu, error code %lx, at %lx, cr2 %lx", f->vector, f->error,
		     f->rip, read_cr2());
	f->rip = recover;
	f->rflags &= ~(RFLAGS_TF | RFLAGS_AC | RFLAGS_NT);
}

void handle(int vector, handler *h)
{
	handlers[vector] = h;
	vector_count[vector] = 0;
}

static void on_user_return(struct frame *f)
{
	f->cs = SEL_CODE64;
	f->ss = SEL_DATA;
	f->rip = (u64)user_return;
	f->rsp = (u64)stack_top - 8192;
	f->rflags &= ~(RFLAGS_TF | RFLAGS_AC | RFLAGS_IF);
}

static void set_gate(int vector, u64 target, u8 dpl)
{
	idt[vector] = (struct gate){
		.offset0 = target, .offset1 = target >> 16, .offset2 = target >> 32,
		.selector = SEL_CODE64, .type = 0x8e | dpl << 5,
	};
}

void load_idt(u16 limit)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) r = { limit, (u64)idt };

	asm volatile("lidt %0" : : "m"(r));
}

static void set_up_vectors(void)
{
	u64 base = (u64)&tss;

	for (int i = 0; i < 256; i++)
		set_gate(i, (u64)vector_stubs + 16 * i,
			 i == BP || i == OF || i == 0x80 || i == 0x81 ? 3 : 0);
	handle(0x80, on_user_return);
	handle(0x81, on_user_io);
	load_idt(sizeof(idt) - 1);
	tss.rsp[0] = (u64)stack_top - 4096;
	tss.iomap = sizeof(tss);
	gdt[SEL_TSS / 8] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
			   (base >> 24 & 0xff) << 56;
	gdt[SEL_TSS / 8 + 1] = base >> 32;
	asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* ---- the CPU --------------------------------------------------------------------------------- */

volatile struct trap *try_rdmsr(u32 index, u64 *value)
{
	u32 lo = 0, hi = 0;

	CATCH("rdmsr", : "+a"(lo), "+d"(hi) : "c"(index));
	*value = lo | (u64)hi << 32;
	return &last_trap;
}

volatile struct trap *try_wrmsr(u32 index, u64 value)
{
	return CATCH("wrmsr", : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)));
}

bool has_leaf(u32 leaf)
{
	return cpuid(leaf & 0x80000000, 0).a >= leaf;
}

bool has_nx(void)
{
	return cpuid(0x80000001, 0).d >> 20 & 1;
}

bool has_x2apic(void)
{
	return cpuid(1, 0).c >> 21 & 1;
}

/* ---- paging ---------------------------------------------------------------------------------- */

/* Pages are handed out from behind the image and never come back. */
void *new_page(void)
{
	static u64 next;
	u64 *page;

	if (!next)
		next = (image.end + PAGE - 1) & ~(PAGE - 1);
	page = (u64 *)next;
	next += PAGE;
	if (next > IMAGE_MEMORY)
		fail("out of pages");
	for (int i = 0; i < 512; i++)
		page[i] = 0;
	return page;
}

u64 *new_table(void)
{
	return new_page();
}

#define TABLE_ADDRESS	0x000ffffffffff000ul

u64 *root_table(void)
{
	return (u64 *)(read_cr3() & TABLE_ADDRESS);
}

u64 *entry_at(u64 address, int level)
{
	u64 *table = root_table();

	for (int l = 4; ; l--) {
		u64 *e = &table[address >> (3 + 9 * l) & 511];

		if (l == level)
			return e;
		if (!(*e & PTE_P) || *e & PTE_LARGE)
			*e = (u64)new_table() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(*e & TABLE_ADDRESS);
	}
}

u64 *map_at(u64 address, u64 physical, int level, u64 flags)
{
	u64 *e = entry_at(address, level);

	*e = physical | flags | PTE_P | (level > 1 ? PTE_LARGE : 0);
	invlpg((void *)address);
	return e;
}

/* The first 4 GiB to themselves, for the user too. */
static void set_up_paging(void)
{
	u64 *pdpt = new_table();

	pml4[0] = (u64)pdpt | PTE_P | PTE_W | PTE_U;
	for (u64 i = 0; i < 4; i++) {
		u64 *pd = new_table();

		pdpt[i] = (u64)pd | PTE_P | PTE_W | PTE_U;
		for (u64 k = 0; k < 512; k++)
			pd[k] = (i * GiB + k * 2 * MiB) | PTE_P | PTE_W | PTE_U | PTE_LARGE;
	}
	write_cr3((u64)pml4);
}

/* ---- running tests --------------------------------------------------------------------------- */

static void run_test(const struct image_test *t)
{
	*context_text = 0;
	((void (*)(void))t->body)();
}

/* All of them, for a person who boots the image: a line for each. */
static void run_all(void)
{
	const struct image_test *t = (const void *)image.tests;

	for (u32 i = 0; i < image.count; i++) {
		print("%s\n", (const char *)t[i].name);
		run_test(&t[i]);
	}
}

void guest_main(void)
{
	set_up_paging();
	set_up_vectors();
	write_cr4(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	outb(PORT_START, 0);
	if (image.selected < image.count)
		run_test((const struct image_test *)image.tests + image.selected);
	else
		run_all();
	leave(RESULT_PASSED);
}
