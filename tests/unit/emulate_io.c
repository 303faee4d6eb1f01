// SPDX-License-Identifier: GPL-2.0
/*
 * src/io.c, src/emulator.c and src/debug.c, around a vCPU that is only its registers: buses, exits to
 * userspace and their completion, and a client that does what it shouldn't with the pages it shares
 * with us.
 */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "io_kernel.h"

#include <cmocka.h>

#define boot_cpu_has(feature) true

#include "io.c"
#include "emulator.c"
#include "debug.c"

/* ---- a machine ------------------------------------------------------------------------------- */

#define CODE_AT		0x1000
#define BUF		0x4000
#define MEM_SIZE	0x10000
#define ROM		0x20000		/* a read-only slot */
#define MMIO		0x40000
#define LAPIC		0x50000
#define UNMAPPED	0x60000		/* no translation */
#define NO_TABLES	0x70000		/* nor tables for one */
#define READ_ONLY	0x80000		/* in the guest's tables; its memory is BUF's */
#define PORT		0x1f0

int shim_rcu_depth;
bool shim_work_pending;

static struct {
	struct vcpu vcpu;
	struct vm vm;
	struct minivmm_run run;
	u8 pio_data[PAGE_SIZE];
	_Alignas(PAGE_SIZE) u8 mem[MEM_SIZE], rom[PAGE_SIZE];
	struct memslots *slots;

	enum { REAL, LONG } mode;
	int cpl, skipped, walks, dirty, lapic_reads, lapic_writes, shadow_cleared;
	u32 last_access;
	u64 lapic_value;
	struct exception injected;
	struct minivmm_segment seg[NR_SEGS];
	struct minivmm_dtable idt, gdt;
	bool runnable, shadow, nmi_masked;
	int events, halts;
	char failure[512];
	bool bad_memory;
	int invlpgs, flushes;
	bool lacks_invpcid;
	gva_t invlpg;
} t;

static void put_code(const void *bytes, size_t len)
{
	memcpy(t.mem + CODE_AT, bytes, len);
	t.vcpu.r[R_RIP] = CODE_AT;
}

#define CODE(...) put_code((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

static int setup(void **state)
{
	static struct memslots *slots;
	int i;

	memset(&t, 0, sizeof(t));
	if (!slots)
		slots = calloc(1, sizeof(*slots) + 2 * sizeof(*slots->slot));
	slots->count = 2;
	slots->slot[0] = (struct memslot){ 0, MEM_SIZE >> 12, (hva_t)t.mem };
	slots->slot[1] = (struct memslot){ ROM >> 12, 1, (hva_t)t.rom, MINIVMM_MEM_READONLY };
	t.slots = slots;
	t.vm.slots = slots;
	t.vcpu.vm = &t.vm;
	t.vcpu.run = &t.run;
	t.vcpu.pio_data = t.pio_data;
	t.vcpu.reg_avail = ~0ul;
	t.vcpu.rflags = 2;
	t.vcpu.cr0 = X86_CR0_PE | X86_CR0_PG;
	t.vcpu.efer = 1 << 10;
	t.vcpu.pending_irq = -1;
	for (i = 0; i < NR_SEGS; i++)
		t.seg[i] = (struct minivmm_segment){ .limit = 0xffff, .type = 3, .present = 1 };
	t.mode = LONG;
	return 0;
}

static int teardown(void **state)
{
	io_bus_destroy(&t.vm);
	emulator_free(&t.vcpu);
	assert_int_equal(shim_rcu_depth, 0);
	assert_int_equal(t.vm.srcu.x, 0);
	return 0;
}

/* The next RUN: what was left to be done. */
static int run_again(void)
{
	complete_fn fn = t.vcpu.complete;

	t.vcpu.complete = NULL;
	return fn ? fn(&t.vcpu) : 1;
}

/* An ioctl that isn't RUN. */
static struct vcpu *client_changes(void)
{
	emulator_forget(&t.vcpu);
	return &t.vcpu;
}

/* ---- what io.c asks of the others ------------------------------------------------------------ */

void hw_cache_reg(struct vcpu *vcpu, int reg) { fail(); }
void hw_skip_instruction(struct vcpu *vcpu) { t.skipped++; vcpu->r[R_RIP]++; }
u64 hw_segment_base(struct vcpu *vcpu, enum seg seg) { return 0; }
void hw_set_rflags(struct vcpu *vcpu, u64 rflags) { vcpu->rflags = rflags; }
void hw_clear_interrupt_shadow(struct vcpu *vcpu) { t.shadow_cleared++; t.shadow = false; }

void hw_cache_code_state(struct vcpu *vcpu)
{
	vcpu->code.l = t.mode == LONG;
	vcpu->code.cpl = t.cpl;
}

void hw_get_segment(struct vcpu *vcpu, struct minivmm_segment *s, enum seg seg)
{
	*s = t.seg[seg];
}

void hw_set_segment(struct vcpu *vcpu, const struct minivmm_segment *s, enum seg seg)
{
	t.seg[seg] = *s;
}

void hw_get_dt(struct vcpu *vcpu, struct minivmm_dtable *idt, struct minivmm_dtable *gdt)
{
	*idt = t.idt;
	*gdt = t.gdt;
}

void hw_set_dt(struct vcpu *vcpu, const struct minivmm_dtable *idt, const struct minivmm_dtable *gdt)
{
	t.idt = *idt;
	t.gdt = *gdt;
}

void hw_set_dr7(struct vcpu *vcpu, u64 dr7) { }
void hw_update_exceptions(struct vcpu *vcpu) { fail(); }
void inject_breakpoint(struct vcpu *vcpu) { fail(); }
bool is_64bit_code(struct vcpu *vcpu) { return true; }
u32 hw_interrupt_shadow(struct vcpu *vcpu) { return t.shadow; }
void hw_set_interrupt_shadow(struct vcpu *vcpu, u32 shadow) { t.shadow = true; }
bool hw_interrupt_allowed(struct vcpu *vcpu) { return vcpu->rflags & X86_EFLAGS_IF && !t.shadow; }
void hw_set_nmi_masked(struct vcpu *vcpu, bool masked) { t.nmi_masked = masked; }
void mmu_invlpg(struct vcpu *vcpu, gva_t gva) { t.invlpgs++; t.invlpg = gva; }
void mmu_flush_guest(struct vcpu *vcpu) { t.flushes++; }
void mmu_guest_wrote(struct vm *vm, gpa_t gpa, unsigned int len) { }
bool mmu_unprotect(struct vcpu *vcpu) { return false; }
bool mmu_kept_from_table(struct vcpu *vcpu) { return false; }
bool hw_can_run(struct vcpu *vcpu) { return t.runnable; }
bool lapic_has_events(struct vcpu *vcpu) { return false; }
bool vcpu_runnable(struct vcpu *vcpu) { return vcpu->mp_state == MP_RUNNABLE; }
void lapic_timer_sleep(struct vcpu *vcpu) { }
bool vcpu_irq_window_open(struct vcpu *vcpu)
{
	return vcpu->run->request_interrupt_window && vcpu->rflags & X86_EFLAGS_IF;
}
bool guest_has(struct vcpu *vcpu, unsigned int x86_feature) { return !t.lacks_invpcid; }
u64 guest_tsc(struct vcpu *vcpu) { return 0x123456789; }
u64 get_cr8(struct vcpu *vcpu) { return vcpu->cr8; }
u64 get_dr(struct vcpu *vcpu, int dr) { return vcpu->dr[dr & 3]; }
int set_cr3(struct vcpu *vcpu, u64 cr3) { vcpu->cr3 = cr3; return 0; }
int set_cr4(struct vcpu *vcpu, u64 cr4) { vcpu->cr4 = cr4; return 0; }
int set_cr8(struct vcpu *vcpu, u64 cr8) { vcpu->cr8 = cr8; return cr8 > 15; }
int set_dr(struct vcpu *vcpu, int dr, u64 value) { vcpu->dr[dr & 3] = value; return 0; }
int set_xcr(struct vcpu *vcpu, u32 index, u64 value) { vcpu->xcr0 = value; return 0; }
int msr_get(struct vcpu *vcpu, u32 index, u64 *data, bool by_client) { *data = index; return 0; }
int msr_set(struct vcpu *vcpu, u32 index, u64 data, bool by_client) { return index == 1; }
void emu_host_get_vector(struct emu *e, unsigned int r, void *data, unsigned int len) { fail(); }
void emu_host_set_vector(struct emu *e, unsigned int r, const void *p, unsigned int len) { fail(); }
u16 emu_host_fpu(struct emu *e, enum emu_fpu what, u16 value) { return value; }

int set_cr0(struct vcpu *vcpu, u64 cr0)
{
	vcpu->cr0 = cr0;
	t.runnable = cr0 & X86_CR0_PE;
	return 0;
}

void cpuid_guest(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	*ebx = *ecx = *edx = *eax;
}

int vcpu_halt(struct vcpu *vcpu)
{
	t.halts++;
	vcpu->mp_state = MP_HALTED;
	return 1;
}

/* As event.c's, of one exception or one interrupt: pending_irq. */
int events_deliver(struct vcpu *vcpu)
{
	struct exception e = t.injected;
	int vector = vcpu->pending_irq;

	t.events++;
	if (vcpu->exception.pending) {
		vcpu->exception.pending = t.injected.pending = false;
		return emulator_deliver(vcpu, e.vector, false, false, NULL);
	}
	if (vector < 0 || !hw_interrupt_allowed(vcpu))
		return 1;
	vcpu->pending_irq = -1;
	return emulator_deliver(vcpu, vector, false, true, NULL);
}

void inject_exception(struct vcpu *vcpu, u8 vector)
{
	t.injected = (struct exception){ .pending = true, .vector = vector };
	vcpu->exception.pending = true;
}

void inject_exception_error(struct vcpu *vcpu, u8 vector, u32 error_code)
{
	t.injected = (struct exception){
		.pending = true, .vector = vector, .has_error_code = true, .error_code = error_code,
	};
	vcpu->exception.pending = true;
}

void inject_page_fault(struct vcpu *vcpu, gva_t cr2, u32 error_code)
{
	inject_exception_error(vcpu, X86_TRAP_PF, error_code);
	t.injected.cr2 = cr2;
}

void vcpu_fail(struct vcpu *vcpu, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);	/* %*ph is the kernel's alone: up to there */
	vsnprintf(t.failure, sizeof(t.failure), fmt, args);
	va_end(args);
}

int exit_internal_error(struct vcpu *vcpu, u32 suberror, int ndata, const u64 *data)
{
	t.run.exit_reason = MINIVMM_EXIT_INTERNAL_ERROR;
	t.run.internal.suberror = suberror;
	t.run.internal.ndata = ndata;
	memcpy(t.run.internal.data, data, ndata * sizeof(*data));
	return 0;
}

bool lapic_in_range(struct vcpu *vcpu, gpa_t gpa)
{
	return gpa >> 12 == LAPIC >> 12;
}

int lapic_mmio_read(struct vcpu *vcpu, gpa_t gpa, int len, void *data)
{
	t.lapic_reads++;
	memset(data, 0x10 + t.lapic_reads, len);
	return 0;
}

int lapic_mmio_write(struct vcpu *vcpu, gpa_t gpa, int len, const void *data)
{
	t.lapic_writes++;
	t.lapic_value = 0;
	memcpy(&t.lapic_value, data, len);
	return 0;
}

struct memslot *vcpu_find_slot(struct vcpu *vcpu, struct memslots *slots, gfn_t gfn)
{
	int i;

	for (i = 0; i < slots->count; i++)
		if (gfn - slots->slot[i].base_gfn < slots->slot[i].npages)
			return &slots->slot[i];
	return NULL;
}

/* Slots go on being there when their memory doesn't. */
bool shim_user(const void *p)
{
	return !t.bad_memory || ((u8 *)p >= t.mem && (u8 *)p < t.mem + BUF);
}

int user_read(hva_t hva, void *data, unsigned int len)
{
	assert_true((hva & 4095) + len <= 4096);
	if (!shim_user((void *)hva))
		return -EFAULT;
	memcpy(data, (void *)hva, len);
	return 0;
}

int user_write(hva_t hva, const void *data, unsigned int len)
{
	assert_true((hva & 4095) + len <= 4096);
	if (!shim_user((void *)hva))
		return -EFAULT;
	memcpy((void *)hva, data, len);
	return 0;
}

int user_cmpxchg(hva_t hva, const void *old, const void *new, unsigned int len)
{
	if (!shim_user((void *)hva))
		return -EFAULT;
	if (memcmp((void *)hva, old, len))
		return 1;
	memcpy((void *)hva, new, len);
	return 0;
}

void mark_page_dirty(struct memslot *slot, gfn_t gfn) { t.dirty++; }

int walk_guest(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, struct guest_fault *fault)
{
	bool read_only = gva >> 12 == READ_ONLY >> 12;

	t.walks++;
	t.last_access = access;
	if (gva >> 12 == NO_TABLES >> 12)
		return -EAGAIN;
	if (gva >> 12 == UNMAPPED >> 12 || (read_only && access & ACCESS_WRITE)) {
		*fault = (struct guest_fault){ X86_TRAP_PF, access | read_only, gva };
		return 1;
	}
	*gpa = read_only ? gva - READ_ONLY + BUF : gva;
	return 0;
}

int walk_guest_code(struct vcpu *vcpu, gva_t gva, u32 access, struct kept_walk *kept,
		    struct guest_fault *fault)
{
	gpa_t gpa;
	int r = walk_guest(vcpu, gva, access, &gpa, fault);
	struct memslot *slot = r ? NULL : vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gpa));

	kept->code = slot ? slot_hva(slot, gpa_to_gfn(gpa)) : 0;
	return r;
}

/* ---- a device that remembers ----------------------------------------------------------------- */

struct toy {
	struct io_device dev;
	u64 addr, value;
	int len, reads, writes;
	bool not_mine;
};

static int toy_read(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data)
{
	struct toy *toy = container_of(dev, struct toy, dev);

	if (toy->not_mine)
		return -EOPNOTSUPP;
	assert_true(vcpu->vm->srcu.x > 0);
	toy->addr = addr;
	toy->len = len;
	toy->reads++;
	memset(data, 0xa0 + toy->reads, len);
	return 0;
}

static int toy_write(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, const void *data)
{
	struct toy *toy = container_of(dev, struct toy, dev);

	if (toy->not_mine)
		return -EOPNOTSUPP;
	assert_true(vcpu->vm->srcu.x > 0);
	toy->addr = addr;
	toy->len = len;
	toy->value = 0;
	memcpy(&toy->value, data, len);
	toy->writes++;
	return 0;
}

#define TOY(name) struct toy name = { .dev = { toy_read, toy_write } }

/* ---- buses ----------------------------------------------------------------------------------- */

static void test_bus_ranges(void **state)
{
	TOY(a);
	TOY(b);
	struct vm *vm = &t.vm;

	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x40, 4, &a.dev), 0);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x20, 2, &b.dev), 0);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x60, 1, &a.dev), 0);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x43, 2, &b.dev), -EEXIST);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x3f, 2, &b.dev), -EEXIST);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x30, 0x80, &b.dev), -EEXIST);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x43, 0, &b.dev), -EEXIST);
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x50, 0, &b.dev), 0);
	assert_true(bus_has(vm, BUS_PIO, 0x50, 1));
	assert_true(bus_has(vm, BUS_PIO, 0x50, 4));
	assert_false(bus_has(vm, BUS_PIO, 0x51, 1));
	assert_int_equal(io_bus_register(vm, BUS_MMIO, ~0ull, 2, &b.dev), -EINVAL);
	assert_int_equal(io_bus_register(vm, BUS_MMIO, ~0ull, 1, &b.dev), 0);
	assert_true(bus_has(vm, BUS_PIO, 0x40, 4));
	assert_true(bus_has(vm, BUS_PIO, 0x43, 1));
	assert_false(bus_has(vm, BUS_PIO, 0x43, 2));
	assert_false(bus_has(vm, BUS_PIO, 0x3f, 1));
	assert_false(bus_has(vm, BUS_PIO, 0x3f, 2));
	assert_true(bus_has(vm, BUS_PIO, 0x21, 1));
	assert_true(bus_has(vm, BUS_MMIO, ~0ull, 1));

	io_bus_unregister(vm, BUS_PIO, &a.dev);
	assert_false(bus_has(vm, BUS_PIO, 0x40, 1));
	assert_false(bus_has(vm, BUS_PIO, 0x60, 1));
	assert_true(bus_has(vm, BUS_PIO, 0x20, 1));
	assert_int_equal(io_bus_register(vm, BUS_PIO, 0x43, 2, &b.dev), 0);
	assert_int_equal(vm->bus[BUS_PIO]->count, 3);
	io_bus_unregister(vm, BUS_MMIO, &a.dev);
}

static void test_bus_is_bounded(void **state)
{
	TOY(a);
	struct io_bus *old;
	int i, n = 0;

	/* in some order */
	for (i = 0; i < BUS_MAX_RANGES; i++)
		assert_int_equal(io_bus_register(&t.vm, BUS_MMIO, i * 7919 % 1000 * 16, 16, &a.dev),
				 0);
	assert_int_equal(io_bus_register(&t.vm, BUS_MMIO, 1000 * 16, 16, &a.dev), -ENOSPC);
	for (old = t.vm.bus[BUS_MMIO]->retired; old; old = old->retired)
		n++;
	assert_true(n <= BUS_MAX_RETIRED);
	for (i = 0; i < 16000; i++)
		assert_true(bus_has(&t.vm, BUS_MMIO, i, 1));
	shim_fail_alloc = 1;
	io_bus_unregister(&t.vm, BUS_MMIO, &a.dev);	/* which needs no memory */
	assert_int_equal(io_bus_register(&t.vm, BUS_MMIO, 0, 1, &a.dev), -ENOMEM);
	assert_int_equal(io_bus_register(&t.vm, BUS_MMIO, 0, 1, &a.dev), 0);
	assert_int_equal(t.vm.bus[BUS_MMIO]->count, 1);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void test_pio_in_the_kernel(void **state)
{
	TOY(a);

	io_bus_register(&t.vm, BUS_PIO, PORT, 8, &a.dev);
	t.vcpu.r[R_RAX] = 0x1122334455667788;
	assert_int_equal(pio_access(&t.vcpu, PORT + 1, 2, false), 1);
	assert_int_equal(a.value, 0x7788);
	assert_int_equal(a.addr, PORT + 1);
	assert_int_equal(t.skipped, 1);
	assert_int_equal(pio_access(&t.vcpu, PORT, 2, true), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0x112233445566a1a1);
	assert_int_equal(pio_access(&t.vcpu, PORT, 4, true), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0xa2a2a2a2);
	a.not_mine = true;
	assert_int_equal(pio_access(&t.vcpu, PORT, 4, true), 0);
	assert_int_equal(t.run.exit_reason, MINIVMM_EXIT_IO);
}

static void test_out_to_userspace(void **state)
{
	t.vcpu.r[R_RAX] = 0x11223344;
	t.vcpu.r[R_RIP] = 0x100;
	assert_int_equal(pio_access(&t.vcpu, PORT, 2, false), 0);
	assert_int_equal(t.run.io.direction, MINIVMM_EXIT_IO_OUT);
	assert_int_equal(t.run.io.port, PORT);
	assert_int_equal(t.run.io.size, 2);
	assert_int_equal(t.run.io.count, 1);
	assert_int_equal(t.run.io.data_offset, 4096);
	assert_memory_equal(t.pio_data, "\x44\x33", 2);
	assert_int_equal(t.vcpu.r[R_RIP], 0x100);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RIP], 0x101);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.skipped, 1);
}

/* The size is ours to know: the client's page says what it likes. */
static void test_in_from_hostile_userspace(void **state)
{
	t.vcpu.r[R_RAX] = ~0ull;
	assert_int_equal(pio_access(&t.vcpu, PORT, 1, true), 0);
	assert_int_equal(*(u32 *)t.pio_data, 0);
	memset(&t.run, 0xff, sizeof(t.run));
	memset(t.pio_data, 0x5a, sizeof(t.pio_data));
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0xffffffffffffff5a);
}

static void test_client_sets_rip(void **state)
{
	t.vcpu.r[R_RAX] = 7;
	assert_int_equal(pio_access(&t.vcpu, PORT, 1, true), 0);
	t.vcpu.r[R_RIP] = 0xfff0;
	t.pio_data[0] = 0x5a;
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RIP], 0xfff0);
	assert_int_equal(t.vcpu.r[R_RAX], 7);
}

static void test_no_memory(void **state)
{
	shim_fail_alloc = 1;
	assert_int_equal(emulate_instruction(&t.vcpu), -ENOMEM);
}

/* ---- string ports ---------------------------------------------------------------------------- */

static void set_string(u64 address, u64 count)
{
	t.vcpu.r[R_RSI] = t.vcpu.r[R_RDI] = address;
	t.vcpu.r[R_RCX] = count;
	t.vcpu.r[R_RDX] = PORT;
}

static void test_outs(void **state)
{
	int i;

	CODE(0xf3, 0x6e);
	set_string(BUF, 300);
	for (i = 0; i < 300; i++)
		t.mem[BUF + i] = i;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.io.count, 300);
	assert_int_equal(t.run.io.size, 1);
	assert_memory_equal(t.pio_data, t.mem + BUF, 300);
	assert_int_equal(t.vcpu.r[R_RCX], 0);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
}

static void test_outs_to_device(void **state)
{
	TOY(a);

	io_bus_register(&t.vm, BUS_PIO, PORT, 1, &a.dev);
	CODE(0xf3, 0x6e);
	set_string(BUF, 300);
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(a.writes, 300);
}

static void test_ins(void **state)
{
	CODE(0xf3, 0x6d);
	set_string(BUF + 0xff8, 5);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.io.direction, MINIVMM_EXIT_IO_IN);
	assert_int_equal(t.run.io.count, 2);
	assert_int_equal(t.vcpu.r[R_RCX], 5);
	memset(&t.run, 0xee, sizeof(t.run));
	memset(t.pio_data, 0x11, sizeof(t.pio_data));
	/* the other page is the next run's */
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RCX], 3);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT);
	assert_int_equal(t.mem[BUF + 0xfff], 0x11);
	assert_int_equal(t.mem[BUF + 0x1000], 0);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.io.count, 3);
	memset(t.pio_data, 0x22, sizeof(t.pio_data));
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
	assert_int_equal(t.mem[BUF + 0x100b], 0x22);
	assert_int_equal(t.mem[BUF + 0x100c], 0);
}

/* A client that changes the registers gets no more written than they say. */
static void test_ins_with_changed_registers(void **state)
{
	CODE(0xf3, 0x6c);
	set_string(BUF, 100);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.io.count, 100);
	client_changes()->r[R_RCX] = 10;
	memset(t.pio_data, 0x33, sizeof(t.pio_data));
	assert_int_equal(run_again(), 0);		/* asks again */
	assert_int_equal(t.run.io.count, 10);
	memset(t.pio_data, 0x44, sizeof(t.pio_data));
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.mem[BUF + 9], 0x44);
	assert_int_equal(t.mem[BUF + 10], 0);
}

static void test_ins_changed_into_another(void **state)
{
	CODE(0xf3, 0x6c);
	set_string(BUF, 100);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	client_changes()->r[R_RDX] = PORT + 1;
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.io.port, PORT + 1);
	client_changes();
	CODE(0x90);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RCX], 100);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 1);
}

static void test_ins_to_mmio(void **state)
{
	CODE(0xf3, 0x6d);
	set_string(MMIO + 0xffe, 2);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.io.count, 1);
	memcpy(t.pio_data, "abcd", 4);
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.exit_reason, MINIVMM_EXIT_MMIO);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 0xffe);
	assert_int_equal(t.run.mmio.len, 2);
	assert_memory_equal(t.run.mmio.data, "ab", 2);
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 0x1000);
	assert_memory_equal(t.run.mmio.data, "cd", 2);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RCX], 1);
}

/* ---- memory-mapped --------------------------------------------------------------------------- */

static void test_mmio_write(void **state)
{
	CODE(0x48, 0x89, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RAX] = 0x1122334455667788;
	t.vcpu.rflags |= 0x10000;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.exit_reason, MINIVMM_EXIT_MMIO);
	assert_int_equal(t.run.mmio.is_write, 1);
	assert_int_equal(t.run.mmio.len, 8);
	assert_memory_equal(t.run.mmio.data, "\x88\x77\x66\x55\x44\x33\x22\x11", 8);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 3);
	assert_int_equal(t.vcpu.rflags, 2);
	assert_int_equal(t.shadow_cleared, 1);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.walks, 2);
}

static void test_known_translation_saves_a_walk(void **state)
{
	CODE(0x89, 0x03);
	t.vcpu.r[R_RBX] = MMIO + 4;
	assert_int_equal(emulate_mmio(&t.vcpu, MMIO + 4, MMIO + 0x5004, true), 0);
	assert_int_equal(t.walks, 1);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 0x5004);
	/* another kind of access, another page: it doesn't hold */
	t.vcpu.r[R_RIP] = CODE_AT;
	assert_int_equal(emulate_mmio(&t.vcpu, MMIO + 4, MMIO + 0x5004, false), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 4);
	t.vcpu.r[R_RIP] = CODE_AT;
	assert_int_equal(emulate_mmio(&t.vcpu, MMIO + 0x1004, MMIO + 0x5004, true), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 4);
	/* nor for the instruction after */
	t.vcpu.r[R_RIP] = CODE_AT;
	t.walks = 0;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.walks, 2);
}

static void test_mmio_read(void **state)
{
	CODE(0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RAX] = ~0ull;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.mmio.is_write, 0);
	assert_int_equal(t.run.mmio.len, 4);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT);
	memset(&t.run, 0xff, sizeof(t.run));		/* len among it */
	memcpy(t.run.mmio.data, "abcdefgh", 8);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0x64636261);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
}

/* One page's device is in the kernel, the other's isn't: each is read once. */
static void test_replay(void **state)
{
	TOY(a);

	io_bus_register(&t.vm, BUS_MMIO, MMIO + 0xffc, 4, &a.dev);
	CODE(0x48, 0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO + 0xffc;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 0x1000);
	memcpy(t.run.mmio.data, "\x01\x02\x03\x04", 4);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0x04030201a1a1a1a1);
	assert_int_equal(a.reads, 1);
}

/* The instruction isn't the same when its data come: nothing of them is used. */
static void test_code_changes(void **state)
{
	CODE(0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RAX] = 1;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	client_changes();
	CODE(0x66, 0x8b, 0x43, 0x08);
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 8);
	assert_int_equal(t.run.mmio.len, 2);
	assert_int_equal(t.vcpu.r[R_RAX], 1);
	client_changes();
	CODE(0x89, 0xc3);
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RBX], 1);
}

/* An instruction that was fetched goes on as it is, if nobody has touched the vCPU. */
static void test_goes_on_without_fetch(void **state)
{
	CODE(0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	CODE(0x0f, 0x0b);
	memcpy(t.run.mmio.data, "abcd", 4);
	t.walks = 0;
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.walks, 0);
	assert_int_equal(t.vcpu.r[R_RAX], 0x64636261);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
}

/* Loads of each width, with and without extension: the parts of the register that they leave. */
static void test_loads(void **state)
{
	static const struct { u8 code[4]; u8 len; u64 result; } loads[] = {
		{ { 0x8a, 0x03 }, 1, 0xffffffffffffff81 },
		{ { 0x8a, 0x23 }, 1, 0xffffffffffff81ff },
		{ { 0x66, 0x8b, 0x03 }, 2, 0xffffffffffff8281 },
		{ { 0x8b, 0x03 }, 4, 0x84838281 },
		{ { 0x48, 0x8b, 0x03 }, 8, 0x8887868584838281 },
		{ { 0x0f, 0xb6, 0x03 }, 1, 0x81 },
		{ { 0x48, 0x0f, 0xb7, 0x03 }, 2, 0x8281 },
		{ { 0x0f, 0xbe, 0x03 }, 1, 0xffffff81 },
		{ { 0x48, 0x0f, 0xbf, 0x03 }, 2, 0xffffffffffff8281 },
		{ { 0x48, 0x63, 0x03 }, 4, 0xffffffff84838281 },
	};
	int i;

	t.vcpu.r[R_RBX] = MMIO;
	for (i = 0; i < ARRAY_SIZE(loads); i++) {
		t.vcpu.r[R_RAX] = ~0ull;
		put_code(loads[i].code, sizeof(loads[i].code));
		assert_int_equal(emulate_instruction(&t.vcpu), 0);
		assert_int_equal(t.run.mmio.len, loads[i].len);
		memcpy(t.run.mmio.data, "\x81\x82\x83\x84\x85\x86\x87\x88", 8);
		assert_int_equal(run_again(), 1);
		assert_int_equal(t.vcpu.r[R_RAX], loads[i].result);
	}
}

/* A load that the client was asked about twice, for a page each. */
static void test_load_across_pages(void **state)
{
	CODE(0x48, 0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO + 0xffc;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	memcpy(t.run.mmio.data, "abcd", 4);
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 0x1000);
	memcpy(t.run.mmio.data, "efgh", 4);
	assert_int_equal(run_again(), 1);
	assert_memory_equal(&t.vcpu.r[R_RAX], "abcdefgh", 8);
}

/* BTC mem,reg finds its address anew each time it is executed. */
static void test_bit_string(void **state)
{
	CODE(0x0f, 0xbb, 0x0b);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RCX] = 64 + 3;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 8);
	memcpy(t.run.mmio.data, "\1\0\0\0", 4);
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.mmio.is_write, 1);
	assert_int_equal(t.run.mmio.phys_addr, MMIO + 8);
	assert_memory_equal(t.run.mmio.data, "\x9\0\0\0", 4);
}

/* The slots change while the client is asked: where the device was there is memory now. */
static void test_memory_comes_during_read(void **state)
{
	CODE(0x03, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	t.slots->slot[1].base_gfn = MMIO >> 12;
	t.slots->generation++;
	memcpy(t.run.mmio.data, "abcd", 4);
	t.bad_memory = true;
	assert_int_equal(run_again(), -EFAULT);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT);
}

static void test_client_sets_rip_during_read(void **state)
{
	CODE(0x8b, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RAX] = 1;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	t.vcpu.r[R_RIP] = 0x2000;
	assert_int_equal(run_again(), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 1);
	assert_int_equal(t.vcpu.r[R_RIP], 0x2000);
}

static void test_read_modify_write(void **state)
{
	CODE(0xf0, 0x01, 0x03);
	t.vcpu.r[R_RBX] = MMIO;
	t.vcpu.r[R_RAX] = 5;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.mmio.is_write, 0);
	t.run.mmio.data[0] = 0x10;
	t.run.mmio.data[1] = t.run.mmio.data[2] = t.run.mmio.data[3] = 0;
	assert_int_equal(run_again(), 0);
	assert_int_equal(t.run.mmio.is_write, 1);
	assert_memory_equal(t.run.mmio.data, "\x15\0\0\0", 4);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 3);
	assert_int_equal(run_again(), 1);
}

static void test_movs_between_devices(void **state)
{
	int i;

	CODE(0xf3, 0xa5);
	set_string(MMIO, 2);
	t.vcpu.r[R_RDI] = MMIO + 0x100;
	for (i = 0; i < 2; i++) {
		assert_int_equal(emulate_instruction(&t.vcpu), 0);
		assert_int_equal(t.run.mmio.is_write, 0);
		assert_int_equal(t.run.mmio.phys_addr, MMIO + 4 * i);
		t.run.mmio.data[0] = i;
		assert_int_equal(run_again(), 0);
		assert_int_equal(t.run.mmio.is_write, 1);
		assert_int_equal(t.run.mmio.phys_addr, MMIO + 0x100 + 4 * i);
		assert_int_equal(t.run.mmio.data[0], i);
		assert_int_equal(run_again(), 1);
	}
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 2);
}

/* More reads of devices in the kernel than the log holds: in several goes. */
static void test_long_read_from_device(void **state)
{
	TOY(a);

	io_bus_register(&t.vm, BUS_MMIO, MMIO, 4096, &a.dev);
	CODE(0xf3, 0xa5);
	set_string(MMIO, 20);
	t.vcpu.r[R_RDI] = BUF;
	while (t.vcpu.r[R_RIP] == CODE_AT)
		assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(a.reads, 20);
	assert_int_equal(t.mem[BUF + 79], 0xa0 + 20);
	assert_int_equal(t.injected.pending, false);
}

static void test_lapic(void **state)
{
	t.vcpu.lapic = (void *)&t;		/* there is one: the rest is ours, above */
	CODE(0x8b, 0x43, 0x20, 0x89, 0x43, 0x20);
	t.vcpu.r[R_RBX] = LAPIC;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0x11111111);
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.lapic_value, 0x11111111);
}

static void test_rom(void **state)
{
	memcpy(t.rom, "rom!", 4);
	CODE(0x8b, 0x03, 0x89, 0x0b, 0xf0, 0x01, 0x0b);
	t.vcpu.r[R_RBX] = ROM;
	t.vcpu.r[R_RCX] = 1;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.vcpu.r[R_RAX], 0x216d6f72);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.mmio.phys_addr, ROM);
	assert_int_equal(run_again(), 1);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);	/* reads memory, writes a device */
	assert_memory_equal(t.run.mmio.data, "som!", 4);
	assert_int_equal(run_again(), 1);
	assert_memory_equal(t.rom, "rom!", 4);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_locked(void **state)
{
	static const u8 sizes[][5] = {
		{ 0xf0, 0x00, 0x0b }, { 0x66, 0xf0, 0x01, 0x0b }, { 0xf0, 0x01, 0x0b },
		{ 0xf0, 0x48, 0x01, 0x0b },
	};
	int i;

	t.vcpu.r[R_RBX] = BUF;
	t.vcpu.r[R_RCX] = 0x1111111111111111;
	for (i = 0; i < 4; i++) {
		memset(t.mem + BUF, 0x22, 16);
		put_code(sizes[i], sizeof(sizes[i]));
		assert_int_equal(emulate_instruction(&t.vcpu), 1);
		assert_int_equal(t.mem[BUF + (1 << i) - 1], 0x33);
		assert_int_equal(t.mem[BUF + (1 << i)], 0x22);
		assert_int_equal(t.dirty, i + 1);
	}
}

static void test_page_fault(void **state)
{
	CODE(0x89, 0x03);
	t.cpl = 3;
	t.vcpu.r[R_RBX] = UNMAPPED + 4;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.vector, X86_TRAP_PF);
	assert_int_equal(t.injected.cr2, UNMAPPED + 4);
	assert_int_equal(t.injected.error_code, ACCESS_WRITE | ACCESS_USER);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT);
	assert_int_equal(t.shadow_cleared, 0);
	t.vcpu.r[R_RIP] = UNMAPPED;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.error_code, ACCESS_FETCH | ACCESS_USER);
}

/* A read's translation doesn't do for a write. */
static void test_read_only_page(void **state)
{
	CODE(0xa5);
	set_string(READ_ONLY, 1);
	t.vcpu.r[R_RDI] = READ_ONLY + 0x10;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.error_code, ACCESS_WRITE | 1);
}

static void test_other_faults(void **state)
{
	CODE(0x89, 0x03);
	t.vcpu.r[R_RBX] = 1ull << 47;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.vector, X86_TRAP_GP);
	assert_true(t.injected.has_error_code);
	CODE(0x0f, 0x0b);
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.vector, X86_TRAP_UD);
	assert_false(t.injected.has_error_code);
}

static void test_unhandled(void **state)
{
	CODE(0x0f, 0x77);
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.injected.vector, X86_TRAP_UD);
	assert_int_equal(t.run.exit_reason, MINIVMM_EXIT_INTERNAL_ERROR);
	assert_int_equal(t.run.emulation_failure.suberror, MINIVMM_INTERNAL_ERROR_EMULATION);
	assert_int_equal(t.run.emulation_failure.ndata, 3);
	assert_int_equal(t.run.emulation_failure.flags, 1);
	assert_int_equal(t.run.emulation_failure.insn_size, 15);
	assert_memory_equal(t.run.emulation_failure.insn_bytes, "\x0f\x77", 2);
	assert_non_null(strstr(t.failure, "0x1000, 64-bit mode"));

	memset(&t.run, 0, sizeof(t.run));		/* a program only gets its #UD */
	t.cpl = 3;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.run.exit_reason, 0);
	t.cpl = 0;
	t.vcpu.r[R_RIP] = MMIO;				/* code in a device */
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.run.emulation_failure.ndata, 1);
	assert_int_equal(t.run.emulation_failure.flags, 0);
	t.vcpu.r[R_RIP] = NO_TABLES;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
}

static void test_client_unmapped_memory(void **state)
{
	CODE(0x89, 0x03);
	t.vcpu.r[R_RBX] = BUF;
	t.bad_memory = true;
	assert_int_equal(emulate_instruction(&t.vcpu), -EFAULT);
	assert_int_equal(t.vcpu.r[R_RIP], CODE_AT);
}

static void test_single_step(void **state)
{
	CODE(0xf3, 0xab);
	set_string(MMIO, 2);
	t.vcpu.rflags |= X86_EFLAGS_TF;
	assert_int_equal(emulate_instruction(&t.vcpu), 0);
	assert_int_equal(t.vcpu.r[R_RCX], 1);
	assert_int_equal(t.injected.vector, X86_TRAP_DB);
	assert_int_equal(t.vcpu.dr6, DR_STEP);
	assert_int_equal(run_again(), 1);
}

/* The guest hears nothing of a step or breakpoint that is a debugger's. */
static void test_debugger(void **state)
{
	CODE(0x90, 0xcc);
	t.vcpu.rflags |= X86_EFLAGS_TF;
	t.vcpu.debug.control = MINIVMM_GUESTDBG_ENABLE | MINIVMM_GUESTDBG_SINGLESTEP |
			       MINIVMM_GUESTDBG_USE_SW_BP;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_true(t.vcpu.requests & BIT(REQ_DEBUG));
	assert_int_equal(debug_stop_now(&t.vcpu), 0);
	assert_int_equal(t.vcpu.run->debug.arch.exception, X86_TRAP_DB);
	assert_int_equal(t.vcpu.run->debug.arch.pc, CODE_AT + 1);
	assert_true(t.vcpu.run->debug.arch.dr6 & DR_STEP);

	t.vcpu.requests = 0;
	emulate_instruction(&t.vcpu);
	assert_true(t.vcpu.requests & BIT(REQ_DEBUG));
	assert_int_equal(debug_stop_now(&t.vcpu), 0);
	assert_int_equal(t.vcpu.run->debug.arch.exception, X86_TRAP_BP);
	assert_int_equal(t.vcpu.run->debug.arch.pc, CODE_AT + 1);
	assert_int_equal(t.injected.vector, 0);
	assert_int_equal(t.vcpu.dr6, 0);
}

/* An address of the current address space by itself, else everything. */
static void test_invpcid(void **state)
{
	static const struct { u64 type, pcid, cr4, cr3; bool one; } cases[] = {
		{ 0, 0, 0, 0x7018, true }, { 0, 0, X86_CR4_PCIDE, 0x7000, true },
		{ 0, 5, X86_CR4_PCIDE, 0x7005, true }, { 0, 4, X86_CR4_PCIDE, 0x7005, false },
		{ 0, 0, X86_CR4_PCIDE, 0x7005, false }, { 1, 5, X86_CR4_PCIDE, 0x7005, false },
		{ 2, 0, 0, 0x7000, false }, { 3, 0, 0, 0x7000, false },
	};
	u64 d[2] = { 0, 0x12345678 };
	int i;

	t.vcpu.r[R_RBX] = BUF;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		CODE(0x66, 0x0f, 0x38, 0x82, 0x0b);		/* invpcid (%rbx), %rcx */
		t.vcpu.r[R_RCX] = cases[i].type;
		t.vcpu.cr4 = cases[i].cr4;
		t.vcpu.cr3 = cases[i].cr3;
		t.invlpgs = t.flushes = 0;
		d[0] = cases[i].pcid;
		memcpy(t.mem + BUF, d, sizeof(d));
		assert_int_equal(emulate_instruction(&t.vcpu), 1);
		assert_int_equal(t.vcpu.r[R_RIP], CODE_AT + 5);
		assert_int_equal(t.invlpgs, cases[i].one);
		assert_int_equal(t.flushes, !cases[i].one);
		assert_true(!cases[i].one || t.invlpg == d[1]);
	}
	CODE(0x66, 0x0f, 0x38, 0x82, 0x0b);
	t.lacks_invpcid = true;
	assert_int_equal(emulate_instruction(&t.vcpu), 1);
	assert_int_equal(t.injected.vector, X86_TRAP_UD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_bus_ranges),
		TEST(test_bus_is_bounded),
		TEST(test_pio_in_the_kernel),
		TEST(test_out_to_userspace),
		TEST(test_in_from_hostile_userspace),
		TEST(test_client_sets_rip),
		TEST(test_no_memory),
		TEST(test_outs),
		TEST(test_outs_to_device),
		TEST(test_ins),
		TEST(test_ins_with_changed_registers),
		TEST(test_ins_changed_into_another),
		TEST(test_ins_to_mmio),
		TEST(test_mmio_write),
		TEST(test_known_translation_saves_a_walk),
		TEST(test_mmio_read),
		TEST(test_replay),
		TEST(test_code_changes),
		TEST(test_goes_on_without_fetch),
		TEST(test_loads),
		TEST(test_load_across_pages),
		TEST(test_bit_string),
		TEST(test_memory_comes_during_read),
		TEST(test_client_sets_rip_during_read),
		TEST(test_read_modify_write),
		TEST(test_movs_between_devices),
		TEST(test_long_read_from_device),
		TEST(test_lapic),
		TEST(test_rom),
		TEST(test_locked),
		TEST(test_page_fault),
		TEST(test_read_only_page),
		TEST(test_other_faults),
		TEST(test_unhandled),
		TEST(test_client_unmapped_memory),
		TEST(test_single_step),
		TEST(test_debugger),
		TEST(test_invpcid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
