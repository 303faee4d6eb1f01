// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator's host: a vCPU as src/emulate/ sees it, and the exits that an instruction makes.
 *
 * How an instruction meets a device that userspace emulates:
 *  - A write is queued while the instruction runs and goes out when it is done: one exit for each
 *    piece of at most 8 bytes, RIP already behind the instruction.
 *  - A read stops the instruction before it has changed anything. The next RUN brings the data;
 *    they go into a log, and the instruction is executed again, its reads so far answered from the
 *    log. If the client has done nothing else to the vCPU meanwhile, it isn't fetched and decoded
 *    again; else it is, from its first byte, and mode, registers and code may be others.
 *
 * What the client can change at any time, the run page and the one behind it, is read once.
 */
#include <linux/entry-kvm.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>

#include "minivmm.h"
#include "emulate/emulate.h"

/* ---- the emulator's host state --------------------------------------------------------------- */

#define MMIO_PIECE	8	/* bytes that one exit carries */
#define MAX_READS	8	/* of devices by one instruction or iteration */
#define MAX_WRITES	6	/* 32 bytes, unaligned, across a page boundary */

struct mmio {
	gpa_t gpa;
	u32 len;
	u8 data[MMIO_PIECE];
};

/*
 * Where a page of linear addresses is, for one instruction: a REP has as good a right to a TLB as
 * it has on a CPU.
 */
struct translation {
	gva_t page;	/* or NO_PAGE */
	gpa_t gpa;	/* of the page */
	u32 access;	/* checked for exactly these bits */
};

#define DR6_BT	BIT(15)	/* a task switch to one whose T flag is set */
#define NO_PAGE	(~(gva_t)0)	/* a page's address ends in zeros */
#define TABLE_BATCH	8	/* of EMU_BATCH, for a page table: who fills it by REP has it as data */

enum { TLB_READ, TLB_WRITE, TLB_CODE, NR_TLB };

struct emulator {
	struct emu emu;
	struct vcpu *vcpu;
	bool decoded;	/* emu is as the last run left it, but for data that it waits for */

	/* reads of devices, so far, of the instruction that is being done; how many of them this run
	 * has used; and after EMU_IO, if not for a port, the one behind them is asked for */
	struct mmio log[MAX_READS];
	int logged, replayed;

	/* writes for userspace, of the instruction that was done; and the next to go out */
	struct mmio queue[MAX_WRITES];
	int queued, sent;

	/* vcpu->pio: a port access that userspace does or has just done */
	bool pio_wanted;		/* asked for by the instruction that is being done */
	bool pio_ready;			/* pio_data holds what an IN has brought */

	struct translation tlb[NR_TLB];
	struct kept_walk code;		/* of tlb[TLB_CODE], if that holds something */
	struct guest_fault fault;	/* of the last walk, if it found one */

	bool single;			/* TF, or an interrupt shadow: one instruction */
	bool tpr_lowered;		/* CR8, of which the client's APIC must hear */
	int error;			/* EMU_ERROR: RUN's errno */
	const char *why;		/* EMU_UNHANDLED: if not for the instruction itself */
};

static struct emulator *to_emulator(struct emu *e)
{
	return container_of(e, struct emulator, emu);
}

static struct emulator *emulator_get(struct vcpu *vcpu)
{
	struct emulator *em = vcpu->emulator;

	if (likely(em))
		return em;
	em = kzalloc(sizeof(*em), GFP_KERNEL_ACCOUNT);
	if (!em)
		return NULL;
	em->emu.kept = kvzalloc(EMU_KEPT * sizeof(*em->emu.kept), GFP_KERNEL_ACCOUNT);
	if (!em->emu.kept) {
		kfree(em);
		return NULL;
	}
	em->vcpu = vcpu;
	em->emu.regs = vcpu->r;
	em->emu.port_data = vcpu->pio_data;
	vcpu->emulator = em;
	return em;
}

/**
 * emulator_free() - frees what emulation has allocated for a vCPU
 * @vcpu: the vCPU, which doesn't run any more
 */
void emulator_free(struct vcpu *vcpu)
{
	if (vcpu->emulator)
		kvfree(vcpu->emulator->emu.kept);
	kfree(vcpu->emulator);
	vcpu->emulator = NULL;
}

/**
 * emulator_forget() - the vCPU may not be what it was when an instruction asked for data
 * @vcpu: the vCPU
 */
void emulator_forget(struct vcpu *vcpu)
{
	if (vcpu->emulator)
		vcpu->emulator->decoded = false;
}

/* ---- exits ------------------------------------------------------------------------------------ */

static int exit_mmio(struct emulator *em, const struct mmio *mmio, bool write)
{
	struct minivmm_run *run = em->vcpu->run;

	em->vcpu->io_rip = em->vcpu->r[R_RIP];	/* cached since emulator_load() */
	em->vcpu->stats.mmio_exits++;
	run->exit_reason = MINIVMM_EXIT_MMIO;
	run->mmio.phys_addr = mmio->gpa;
	run->mmio.len = mmio->len;
	run->mmio.is_write = write;
	if (write)
		memcpy(run->mmio.data, mmio->data, sizeof(run->mmio.data));
	return 0;
}

/* ---- ports ------------------------------------------------------------------------------------ */

enum emu_result emu_host_in(struct emu *e, u16 port, unsigned int size, unsigned int *count)
{
	struct emulator *em = to_emulator(e);
	struct pio *pio = &em->vcpu->pio;
	unsigned int i;
	u64 item;

	if (em->pio_ready && pio->port == port && pio->size == size && pio->count <= *count) {
		em->pio_ready = false;
		*count = pio->count;
		return EMU_OK;
	}
	for (i = 0; i < *count; i++) {
		if (io_bus_access(em->vcpu, BUS_PIO, port, size, &item, false))
			break;
		memcpy(e->port_data + i * size, &item, size);
	}
	if (i) {
		*count = i;
		return EMU_OK;
	}
	*pio = (struct pio){ .port = port, .size = size, .in = true, .count = *count };
	memset(e->port_data, 0, *count * size);
	em->pio_wanted = true;
	return EMU_IO;
}

enum emu_result emu_host_out(struct emu *e, u16 port, unsigned int size, unsigned int count)
{
	struct emulator *em = to_emulator(e);
	unsigned int i;
	u64 item = 0;

	for (i = 0; i < count; i++) {
		void *data = e->port_data + i * size;

		memcpy(&item, data, size);	/* the client may change it any time */
		if (!io_bus_access(em->vcpu, BUS_PIO, port, size, &item, true))
			continue;
		/* a device that left in the middle: the client gets what it hasn't seen */
		memmove(e->port_data, data, (count - i) * size);
		em->vcpu->pio = (struct pio){ .port = port, .size = size, .count = count - i };
		em->pio_wanted = true;
		e->stop = true;
		break;
	}
	return EMU_OK;
}

/* ---- the guest's memory and devices ---------------------------------------------------------- */

static inline bool is_memory(struct vcpu *vcpu, gpa_t gpa, bool write)
{
	struct memslot *slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gpa));

	return slot && !(write && slot->flags & MINIVMM_MEM_READONLY);
}

static enum emu_result host_error(struct emulator *em, int error)
{
	em->error = error;
	return EMU_ERROR;
}

static enum emu_result unhandled(struct emulator *em, const char *why)
{
	em->why = why;
	return EMU_UNHANDLED;
}

static struct translation *tlb_entry(struct emulator *em, u32 access)
{
	return &em->tlb[access & ACCESS_FETCH ? TLB_CODE :
			access & ACCESS_WRITE ? TLB_WRITE : TLB_READ];
}

static inline void tlb_clear(struct emulator *em)
{
	em->tlb[TLB_READ].page = NO_PAGE;
	em->tlb[TLB_WRITE].page = NO_PAGE;
	em->tlb[TLB_CODE].page = NO_PAGE;
}

/* walk_guest() hasn't found what it was to. */
static noinline enum emu_result no_translation(struct emulator *em, int r)
{
	if (r == -EAGAIN)
		return unhandled(em, "its page tables aren't in memory");
	if (r < 0)
		return host_error(em, r);
	em->emu.fault = (struct emu_fault){
		.vector = em->fault.vector, .has_code = true,
		.code = em->fault.error_code, .address = em->fault.address,
	};
	return EMU_FAULT;
}

static noinline enum emu_result tlb_fill(struct emulator *em, struct translation *t, gva_t gva,
					 u32 access)
{
	int r;

	t->page = NO_PAGE;
	r = walk_guest(em->vcpu, gva, access, &t->gpa, &em->fault);
	if (r)
		return no_translation(em, r);
	t->page = gva & PAGE_MASK;
	t->gpa &= PAGE_MASK;
	t->access = access;
	return EMU_OK;
}

/* Where a linear address is, for an access by the bits of a page fault's error code. */
static inline enum emu_result translate(struct emulator *em, gva_t gva, u32 access, gpa_t *gpa)
{
	struct translation *t = tlb_entry(em, access);
	enum emu_result r = EMU_OK;

	if (t->page != (gva & PAGE_MASK) || t->access != access)
		r = tlb_fill(em, t, gva, access);
	*gpa = t->gpa | offset_in_page(gva);
	return r;
}

static u32 walk_access(const struct emu *e, unsigned int access)
{
	u32 bits = access & EMU_WRITE ? ACCESS_WRITE : 0;

	if (e->cpl == 3 && !(access & EMU_SYSTEM))
		bits |= ACCESS_USER;
	return bits;
}

static bool in_one_page(u64 linear, unsigned int len)
{
	return offset_in_page(linear) + len <= PAGE_SIZE;
}

/* Linear addresses end at 4G but for 64-bit code, and for the CPU itself in long mode. */
static bool wraps_at_4g(const struct emu *e, unsigned int access)
{
	return access & EMU_SYSTEM ? !e->long_mode : e->mode != EMU_LONG;
}

/* A linear range that crosses into another page. */
struct span {
	struct { gpa_t gpa; unsigned int len; } part[2];
};

/* Both pages, before anything happens to the first: the second may fault. */
static enum emu_result translate_span(struct emulator *em, gva_t gva, unsigned int len,
				      unsigned int access, struct span *span)
{
	unsigned int first = PAGE_SIZE - offset_in_page(gva);
	u32 bits = walk_access(&em->emu, access);
	enum emu_result r;

	span->part[0].len = first;
	r = translate(em, gva, bits, &span->part[0].gpa);
	if (r != EMU_OK)
		return r;
	gva += first;
	if (wraps_at_4g(&em->emu, access))
		gva = (u32)gva;
	span->part[1].len = len - first;
	return translate(em, gva, bits, &span->part[1].gpa);
}

/* A device in the kernel: 0, or -EOPNOTSUPP. Under vm->srcu. */
static inline int mmio_device(struct vcpu *vcpu, gpa_t gpa, int len, void *data, bool write)
{
	if (vcpu->lapic && lapic_in_range(vcpu, gpa))
		return write ? lapic_mmio_write(vcpu, gpa, len, data) :
			       lapic_mmio_read(vcpu, gpa, len, data);
	return io_bus_access(vcpu, BUS_MMIO, gpa, len, data, write);
}

static enum emu_result mmio_read(struct emulator *em, gpa_t gpa, unsigned int len, void *data)
{
	struct mmio *entry;

	if (em->replayed == MAX_READS)
		return unhandled(em, "it reads devices too often");
	entry = &em->log[em->replayed];
	if (em->replayed < em->logged) {
		if (entry->gpa == gpa && entry->len == len)
			goto logged;
		em->logged = em->replayed;	/* it isn't the same instruction any more */
	}
	*entry = (struct mmio){ .gpa = gpa, .len = len };
	if (mmio_device(em->vcpu, gpa, len, entry->data, false)) {
		return EMU_IO;
	}
	em->logged++;
logged:
	em->replayed++;
	memcpy(data, entry->data, len);
	return EMU_OK;
}

static enum emu_result read_device(struct emulator *em, gpa_t gpa, unsigned int len, void *data)
{
	enum emu_result r = EMU_OK;
	unsigned int n;

	for (; len && r == EMU_OK; len -= n, gpa += n, data += n) {
		n = min_t(unsigned int, len, MMIO_PIECE);
		r = mmio_read(em, gpa, n, data);
	}
	return r;
}

static inline enum emu_result read_part(struct emulator *em, gpa_t gpa, unsigned int len,
					void *data)
{
	struct memslot *slot = vcpu_gfn_to_slot(em->vcpu, gpa_to_gfn(gpa));

	if (!slot)
		return read_device(em, gpa, len, data);
	if (user_read(slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa), data, len))
		return host_error(em, -EFAULT);
	return EMU_OK;
}

static noinline enum emu_result read_across(struct emulator *em, u64 linear, void *data,
					    unsigned int len, unsigned int access)
{
	enum emu_result r;
	struct span span;

	r = translate_span(em, linear, len, access, &span);
	if (r == EMU_OK)
		r = read_part(em, span.part[0].gpa, span.part[0].len, data);
	if (r == EMU_OK)
		r = read_part(em, span.part[1].gpa, span.part[1].len, data + span.part[0].len);
	return r;
}

enum emu_result emu_host_read(struct emu *e, u64 linear, void *data, unsigned int len,
			      unsigned int access)
{
	struct emulator *em = to_emulator(e);
	enum emu_result r;
	gpa_t gpa;

	if (!in_one_page(linear, len))
		return read_across(em, linear, data, len, access);
	r = translate(em, linear, walk_access(e, access), &gpa);
	return r == EMU_OK ? read_part(em, gpa, len, data) : r;
}

/* A device's: at once if it is in the kernel, else when the instruction is done. */
static enum emu_result mmio_write(struct emulator *em, gpa_t gpa, unsigned int len,
				  const void *data)
{
	struct mmio *entry;
	unsigned int n;

	for (; len; len -= n, gpa += n, data += n) {
		if (em->queued == MAX_WRITES)
			return unhandled(em, "it writes too much to a device at once");
		n = min_t(unsigned int, len, MMIO_PIECE);
		entry = &em->queue[em->queued];
		*entry = (struct mmio){ .gpa = gpa, .len = n };
		memcpy(entry->data, data, n);
		if (mmio_device(em->vcpu, gpa, n, entry->data, true)) {
			em->queued++;
			em->emu.stop = true;	/* so that iterations reach it in order */
		}
	}
	return EMU_OK;
}

static inline enum emu_result write_part(struct emulator *em, gpa_t gpa, unsigned int len,
					 const void *data)
{
	struct memslot *slot = vcpu_gfn_to_slot(em->vcpu, gpa_to_gfn(gpa));

	if (!slot || slot->flags & MINIVMM_MEM_READONLY)
		return mmio_write(em, gpa, len, data);
	if (user_write(slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa), data, len))
		return host_error(em, -EFAULT);
	if (slot->dirty_bitmap)
		mark_page_dirty(slot, gpa_to_gfn(gpa));
	mmu_guest_wrote(em->vcpu->vm, gpa, len);
	return EMU_OK;
}

static noinline enum emu_result write_across(struct emulator *em, u64 linear, const void *data,
					     unsigned int len, unsigned int access)
{
	enum emu_result r;
	struct span span;

	r = translate_span(em, linear, len, access, &span);
	if (r == EMU_OK)
		r = write_part(em, span.part[0].gpa, span.part[0].len, data);
	if (r == EMU_OK)
		r = write_part(em, span.part[1].gpa, span.part[1].len, data + span.part[0].len);
	return r;
}

enum emu_result emu_host_write(struct emu *e, u64 linear, const void *data, unsigned int len,
			       unsigned int access)
{
	struct emulator *em = to_emulator(e);
	enum emu_result r;
	gpa_t gpa;

	if (!in_one_page(linear, len))
		return write_across(em, linear, data, len, access);
	r = translate(em, linear, walk_access(e, access), &gpa);
	return r == EMU_OK ? write_part(em, gpa, len, data) : r;
}

enum emu_result emu_host_cmpxchg(struct emu *e, u64 linear, const void *old, const void *new,
				 unsigned int len, unsigned int access)
{
	struct emulator *em = to_emulator(e);
	struct memslot *slot;
	enum emu_result r;
	gpa_t gpa;
	int ret;

	/* across pages it can't be done at once; a device has no such thing */
	if (!in_one_page(linear, len))
		return write_across(em, linear, new, len, access);
	r = translate(em, linear, walk_access(e, access), &gpa);
	if (r != EMU_OK)
		return r;
	if (!is_memory(em->vcpu, gpa, true))
		return mmio_write(em, gpa, len, new);
	slot = vcpu_gfn_to_slot(em->vcpu, gpa_to_gfn(gpa));
	ret = user_cmpxchg(slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa), old, new, len);
	if (ret < 0)
		return host_error(em, ret);
	mark_page_dirty(slot, gpa_to_gfn(gpa));
	mmu_guest_wrote(em->vcpu->vm, gpa, len);
	return ret ? EMU_RETRY : EMU_OK;
}

enum emu_result emu_host_probe(struct emu *e, u64 linear, unsigned int access)
{
	struct emulator *em = to_emulator(e);
	enum emu_result r;
	gpa_t gpa;

	r = translate(em, linear, walk_access(e, access), &gpa);
	if (r != EMU_OK)
		return r;
	return is_memory(em->vcpu, gpa, access & EMU_WRITE) ? EMU_OK : EMU_IO;
}

/* Where the page of code is. */
static noinline enum emu_result find_code(struct emulator *em, gva_t linear, u32 access)
{
	struct translation *t = &em->tlb[TLB_CODE];
	int r;

	t->page = NO_PAGE;
	r = walk_guest_code(em->vcpu, linear, access, &em->code, &em->fault);
	if (r)
		return no_translation(em, r);
	if (!em->code.code)
		return unhandled(em, "it isn't in memory");
	t->page = linear & PAGE_MASK;
	t->access = access;
	return EMU_OK;
}

/* Mostly there are so many bytes that two words, which may overlap, are all. */
enum emu_result emu_host_fetch(struct emu *e, u64 linear, void *bytes, unsigned int len)
{
	struct emulator *em = to_emulator(e);
	u32 access = ACCESS_FETCH | walk_access(e, EMU_READ);
	u64 first, last;
	hva_t hva;

	if (em->tlb[TLB_CODE].page != (linear & PAGE_MASK) || em->tlb[TLB_CODE].access != access) {
		enum emu_result r = find_code(em, linear, access);

		if (r != EMU_OK)
			return r;
	}
	hva = em->code.code + offset_in_page(linear);
	if (len < 8)
		return __copy_from_user(bytes, (void __user *)hva, len) ? host_error(em, -EFAULT) :
									   EMU_OK;
	__uaccess_begin_nospec();
	unsafe_get_user(first, (u64 __user *)hva, unreadable);
	unsafe_get_user(last, (u64 __user *)(hva + len - 8), unreadable);
	__uaccess_end();
	memcpy(bytes + len - 8, &last, 8);
	memcpy(bytes, &first, 8);
	return EMU_OK;
unreadable:
	__uaccess_end();
	return host_error(em, -EFAULT);
}

/* ---- the vCPU -------------------------------------------------------------------------------- */

void emu_host_segment(struct emu *e, unsigned int seg, struct minivmm_segment *s)
{
	BUILD_BUG_ON((int)EMU_ES != (int)SEG_ES || (int)EMU_TR != (int)SEG_TR ||
		     (int)EMU_NR_SEGS != (int)NR_SEGS);
	hw_get_segment(to_emulator(e)->vcpu, s, seg);
}

u64 emu_host_segment_base(struct emu *e, unsigned int seg)
{
	return hw_segment_base(to_emulator(e)->vcpu, seg);
}

void emu_host_get_table(struct emu *e, bool idt, struct minivmm_dtable *table)
{
	struct minivmm_dtable other;

	hw_get_dt(to_emulator(e)->vcpu, idt ? table : &other, idt ? &other : table);
}

void emu_host_set_table(struct emu *e, bool idt, const struct minivmm_dtable *table)
{
	struct vcpu *vcpu = to_emulator(e)->vcpu;
	struct minivmm_dtable tables[2];

	hw_get_dt(vcpu, &tables[1], &tables[0]);
	tables[idt] = *table;
	hw_set_dt(vcpu, &tables[1], &tables[0]);
}

u64 emu_host_get(struct emu *e, unsigned int reg)
{
	struct vcpu *vcpu = to_emulator(e)->vcpu;

	switch (reg) {
	case EMU_CR0:
		return vcpu_cr0(vcpu);
	case EMU_CR2:
		return vcpu->cr2;
	case EMU_CR3:
		return vcpu_cr3(vcpu);
	case EMU_CR4:
		return vcpu_cr4(vcpu);
	case EMU_CR8:
		return get_cr8(vcpu);
	case EMU_XCR0:
		return vcpu->xcr0;
	case EMU_TSC:
		return guest_tsc(vcpu);
	}
	return get_dr(vcpu, reg - EMU_DR0);
}

static int set_register(struct emulator *em, unsigned int reg, u64 value)
{
	struct vcpu *vcpu = em->vcpu;

	switch (reg) {
	case EMU_CR0:
		return set_cr0(vcpu, value);
	case EMU_CR2:
		vcpu->cr2 = value;
		return 0;
	case EMU_CR3:
		return set_cr3(vcpu, value);
	case EMU_CR4:
		return set_cr4(vcpu, value);
	case EMU_CR8:
		em->tpr_lowered = !vcpu->lapic && value < vcpu->cr8;
		return set_cr8(vcpu, value);
	case EMU_XCR0:
		return set_xcr(vcpu, 0, value);
	}
	return set_dr(vcpu, reg - EMU_DR0, value);
}

static enum emu_result gp_if(struct emu *e, bool fault)
{
	return fault ? emu_gp(e) : EMU_OK;
}

enum emu_result emu_host_set(struct emu *e, unsigned int reg, u64 value)
{
	struct emulator *em = to_emulator(e);

	tlb_clear(em);
	return gp_if(e, set_register(em, reg, value));
}

enum emu_result emu_host_rdmsr(struct emu *e, u32 index, u64 *data)
{
	return gp_if(e, msr_get(to_emulator(e)->vcpu, index, data, false));
}

enum emu_result emu_host_wrmsr(struct emu *e, u32 index, u64 data)
{
	e->seg_valid = 0;	/* FS and GS bases are MSRs too */
	return gp_if(e, msr_set(to_emulator(e)->vcpu, index, data, false));
}

void emu_host_cpuid(struct emu *e, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	cpuid_guest(to_emulator(e)->vcpu, eax, ebx, ecx, edx);
}

bool emu_host_has(struct emu *e, enum emu_feature feature)
{
	switch (feature) {
	case EMU_HAS_BMI1:
		return boot_cpu_has(X86_FEATURE_BMI1);
	case EMU_HAS_LZCNT:
		return boot_cpu_has(X86_FEATURE_ABM);
	case EMU_HAS_POPCNT:
		return boot_cpu_has(X86_FEATURE_POPCNT);
	case EMU_HAS_CX16:
		return boot_cpu_has(X86_FEATURE_CX16);
	case EMU_HAS_INVPCID:	/* which the CPU, too, does only for who has it by CPUID */
		return guest_has(to_emulator(e)->vcpu, X86_FEATURE_INVPCID);
	case EMU_HAS_SMAP:
		return guest_has(to_emulator(e)->vcpu, X86_FEATURE_SMAP);
	case EMU_HAS_BMI2:
		return boot_cpu_has(X86_FEATURE_BMI2);
	case EMU_HAS_ADX:
		return boot_cpu_has(X86_FEATURE_ADX);
	case EMU_HAS_SSE42:
		return boot_cpu_has(X86_FEATURE_XMM4_2);
	case EMU_HAS_RDPID:
		return guest_has(to_emulator(e)->vcpu, X86_FEATURE_RDPID);
	}
	return false;
}

void emu_host_invlpg(struct emu *e, u64 linear)
{
	tlb_clear(to_emulator(e));
	mmu_invlpg(to_emulator(e)->vcpu, linear);
}

/* More is forgotten than was asked for, but for an address of the current address space. */
void emu_host_invpcid(struct emu *e, unsigned int type, u16 pcid, u64 linear)
{
	struct vcpu *vcpu = to_emulator(e)->vcpu;
	u16 current_pcid = vcpu_cr4(vcpu) & X86_CR4_PCIDE ? vcpu_cr3(vcpu) & 0xfff : 0;

	tlb_clear(to_emulator(e));
	if (type == 0 && pcid == current_pcid)
		mmu_invlpg(vcpu, linear);
	else
		mmu_flush_guest(vcpu);
}

bool emu_host_takes_int3(struct emu *e)
{
	return debug_takes_int3(to_emulator(e)->vcpu, e->insn.len);
}

static enum emu_mode emulator_mode(struct vcpu *vcpu)
{
	if (!is_protected(vcpu))
		return EMU_REAL;
	if (vcpu->rflags & X86_EFLAGS_VM)
		return EMU_VM86;
	if (vcpu->code.l && is_long_mode(vcpu))
		return EMU_LONG;
	return vcpu->code.db ? EMU_PROT32 : EMU_PROT16;
}

/* What the instruction finds. Its registers it takes from vcpu->r. */
static inline void emulator_load(struct emulator *em)
{
	struct vcpu *vcpu = em->vcpu;
	struct emu *e = &em->emu;

	BUILD_BUG_ON((int)EMU_RDI != (int)R_RDI || (int)EMU_NR_REGS != (int)NR_GPRS);
	hw_cache_code_state(vcpu);
	e->rip = vcpu->r[R_RIP];
	e->rflags = vcpu->rflags;
	e->mode = emulator_mode(vcpu);
	e->long_mode = is_long_mode(vcpu);
	e->real32 = vcpu->code.db;
	e->cpl = e->mode == EMU_REAL ? 0 : e->mode == EMU_VM86 ? 3 : vcpu->code.cpl;
	e->batch = e->rflags & X86_EFLAGS_TF ? 1 : EMU_BATCH;
	e->seg_valid = 0;
	tlb_clear(em);
}

/* What few instructions change. */
static noinline void commit_rest(struct emulator *em)
{
	struct vcpu *vcpu = em->vcpu;
	struct emu *e = &em->emu;
	int seg;

	for (seg = 0; seg < EMU_NR_SEGS; seg++)
		if (e->out.seg_changed & 1 << seg)
			hw_set_segment(vcpu, &e->out.seg[seg], seg);
	if (e->out.what & EMU_IRET) {
		hw_set_nmi_masked(vcpu, false);
		vcpu_request(vcpu, REQ_EVENT);
	}
	if (e->out.what & (EMU_STI | EMU_MOV_SS))
		hw_set_interrupt_shadow(vcpu, e->out.what & EMU_MOV_SS ?
					MINIVMM_X86_SHADOW_INT_MOV_SS : MINIVMM_X86_SHADOW_INT_STI);
	if (e->out.what & EMU_TRAP) {
		vcpu->dr6 |= DR6_BT;
		inject_exception(vcpu, X86_TRAP_DB);
	}
}

/* Takes over what the instruction has changed. It ends an interrupt shadow; TF traps after it. */
static __always_inline void emulator_commit(struct emulator *em)
{
	struct vcpu *vcpu = em->vcpu;
	struct emu *e = &em->emu;
	unsigned long changed = e->out.changed;
	int reg;

	for_each_set_bit(reg, &changed, EMU_NR_REGS)
		reg_write(vcpu, reg, e->out.regs[reg]);
	if (e->out.rip != vcpu->r[R_RIP])
		reg_write(vcpu, R_RIP, e->out.rip);
	if (e->out.rflags != e->rflags)
		hw_set_rflags(vcpu, e->out.rflags);
	hw_clear_interrupt_shadow(vcpu);
	if (unlikely(e->out.what | e->out.seg_changed))
		commit_rest(em);
	if (e->rflags & X86_EFLAGS_TF && !(e->out.what & EMU_NO_STEP))
		debug_step_done(vcpu);
}

static void emulator_inject(struct emulator *em)
{
	const struct emu_fault *fault = &em->emu.fault;

	if (fault->vector == X86_TRAP_PF)
		inject_page_fault(em->vcpu, fault->address, fault->code);
	else if (fault->has_code)
		inject_exception_error(em->vcpu, fault->vector, fault->code);
	else
		inject_exception(em->vcpu, fault->vector);
}

/* As KVM's: the guest gets #UD; if it was its kernel, the client hears of it first. */
static noinline int emulator_give_up(struct emulator *em)
{
	static const char * const modes[] = { "real", "vm86", "16-bit", "32-bit", "64-bit" };
	const struct insn *insn = &em->emu.insn;
	struct vcpu *vcpu = em->vcpu;
	u64 data[3] = { MINIVMM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES };

	/* a write to a page table, which need not be emulated */
	if (mmu_unprotect(vcpu))
		return 1;
	inject_exception(vcpu, X86_TRAP_UD);
	if (em->emu.cpl)
		return 1;
	vcpu_fail(vcpu, "an instruction couldn't be emulated: %s\nRIP %#llx, %s mode, bytes %*ph\n",
		  em->why ?: "the emulator doesn't know it", em->emu.rip, modes[em->emu.mode],
		  insn->avail, insn->bytes);
	if (!insn->avail) {
		data[0] = 0;
		return exit_internal_error(vcpu, MINIVMM_INTERNAL_ERROR_EMULATION, 1, data);
	}
	memset(&data[1], 0x90, 16);
	((u8 *)&data[1])[0] = insn->avail;
	memcpy((u8 *)&data[1] + 1, insn->bytes, insn->avail);
	return exit_internal_error(vcpu, MINIVMM_INTERNAL_ERROR_EMULATION, 3, data);
}

/* The next write for userspace, if there is one left. */
static int send_writes(struct vcpu *vcpu)
{
	struct emulator *em = vcpu->emulator;

	if (em->sent == em->queued)
		return 1;
	exit_mmio(em, &em->queue[em->sent++], true);
	if (em->sent < em->queued)
		vcpu->complete = send_writes;
	return 0;
}

static int emulate_again(struct emulator *em);

static int complete_mmio_read(struct vcpu *vcpu)
{
	struct emulator *em = vcpu->emulator;
	struct mmio *read = &em->log[em->logged];

	if (!io_same_place(vcpu))
		return 1;
	memcpy(read->data, vcpu->run->mmio.data, MMIO_PIECE);
	if (em->decoded && emu_finish_load(&em->emu, read->data, read->len) == EMU_OK) {
		em->decoded = false;
		emulator_commit(em);
		return 1;
	}
	em->logged++;
	return emulate_again(em);
}

static int complete_string_in(struct vcpu *vcpu)
{
	struct emulator *em = vcpu->emulator;

	if (!io_same_place(vcpu))
		return 1;
	em->pio_ready = true;
	return emulate_again(em);
}

static int ask_userspace(struct emulator *em)
{
	if (em->pio_wanted) {
		em->vcpu->complete = complete_string_in;
		return exit_pio(em->vcpu);
	}
	em->vcpu->complete = complete_mmio_read;
	return exit_mmio(em, &em->log[em->logged], false);
}

static noinline int exit_after(struct emulator *em)
{
	if (!em->tpr_lowered)
		return vcpu_halt(em->vcpu);
	em->tpr_lowered = false;
	em->vcpu->run->exit_reason = MINIVMM_EXIT_SET_TPR;
	return 0;
}

/* What follows from an instruction that was run. */
static int settle(struct emulator *em, enum emu_result r)
{
	struct vcpu *vcpu = em->vcpu;

	em->decoded = r == EMU_IO;
	switch (r) {
	case EMU_OK:
	case EMU_PART:
		emulator_commit(em);
		if (unlikely(em->tpr_lowered || em->emu.out.what & EMU_HALT))
			return exit_after(em);
		return em->pio_wanted && !vcpu->pio.in ? exit_pio(vcpu) : send_writes(vcpu);
	case EMU_FAULT:
		if (em->emu.out.what & EMU_COMMIT)
			emulator_commit(em);
		emulator_inject(em);
		return 1;
	case EMU_IO:
		return ask_userspace(em);
	case EMU_RETRY:
		return 1;
	case EMU_UNHANDLED:
		return emulator_give_up(em);
	case EMU_ERROR:
		break;
	}
	return em->error;
}

static inline void forget_accesses(struct emulator *em)
{
	em->replayed = 0;
	em->queued = 0;
	em->sent = 0;
	em->pio_wanted = false;
	em->why = NULL;
}

/* Runs the instruction, from its first byte or as it was decoded, and does what follows from it. */
static int emulate(struct emulator *em, bool decoded)
{
	struct vcpu *vcpu = em->vcpu;
	enum emu_result r;
	int idx;

	forget_accesses(em);
	em->emu.out.what = 0;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = decoded ? emu_execute(&em->emu) : emu_run(&em->emu);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return settle(em, r);
}

/* With the data that it had to wait for. */
static int emulate_again(struct emulator *em)
{
	bool decoded = em->decoded;

	if (!decoded)
		emulator_load(em);
	return emulate(em, decoded);
}

/* With a translation that is known already, or NO_PAGE; so many iterations of REP at most. */
static int emulate_first(struct vcpu *vcpu, gva_t page, gpa_t gpa, bool write, u16 batch)
{
	struct emulator *em = emulator_get(vcpu);
	u32 access;

	if (!em)
		return -ENOMEM;
	vcpu->stats.emulated++;
	em->logged = 0;
	em->pio_ready = false;
	emulator_load(em);
	em->emu.batch = min(em->emu.batch, batch);
	access = walk_access(&em->emu, write ? EMU_WRITE : EMU_READ);
	*tlb_entry(em, access) = (struct translation){ page, gpa, access };
	return emulate(em, false);
}

/**
 * emulate_instruction() - does the instruction at RIP in the CPU's place
 * @vcpu: who was about to
 *
 * With REP it does a bounded number of iterations; if some are left RIP stays, and the guest comes
 * back here after interrupts have had their turn.
 *
 * Context: vcpu; may sleep.
 * Return: 1 = resume, 0 = to userspace, negative = errno of RUN.
 */
int emulate_instruction(struct vcpu *vcpu)
{
	return emulate_first(vcpu, NO_PAGE, 0, false, EMU_BATCH);
}

/**
 * emulate_mmio() - the same after an access that the CPU has translated already, which saves a walk
 * @vcpu: who did it
 * @gva: its linear address
 * @gpa: where that is. Not of an access to the guest's page tables.
 * @write: whether it was a write
 *
 * Context: vcpu; may sleep.
 * Return: as emulate_instruction().
 */
int emulate_mmio(struct vcpu *vcpu, gva_t gva, gpa_t gpa, bool write)
{
	return emulate_first(vcpu, gva & PAGE_MASK, gpa & PAGE_MASK, write,
			     mmu_kept_from_table(vcpu) ? TABLE_BATCH : EMU_BATCH);
}

/* ---- events and tasks ------------------------------------------------------------------------ */

/* Nothing but memory can be asked for here: the CPU's own structures lie in it. */
static int settle_delivery(struct emulator *em, enum emu_result r, int vector)
{
	u64 data[] = { vector, em->emu.rip };

	if (r == EMU_OK || r == EMU_FAULT || r == EMU_ERROR)
		return settle(em, r);
	vcpu_fail(em->vcpu, "the delivery of event %d (rip %#llx) can't be emulated: %s", vector,
		  em->emu.rip, em->why ?: "it reads a device");
	return exit_internal_error(em->vcpu, MINIVMM_INTERNAL_ERROR_DELIVERY_EV, ARRAY_SIZE(data),
				   data);
}

static struct emulator *emulator_start(struct vcpu *vcpu)
{
	struct emulator *em = emulator_get(vcpu);

	if (!em)
		return NULL;
	forget_accesses(em);
	em->logged = 0;
	em->pio_ready = false;
	em->decoded = false;
	emulator_load(em);
	em->emu.out.what = 0;
	return em;
}

/**
 * emulator_deliver() - delivers an interrupt or exception in the CPU's place
 * @vcpu: to whom
 * @vector: its number
 * @soft: begun by an instruction, of vcpu->event_len bytes
 * @interrupt: not an exception
 * @error_code: NULL for none
 *
 * If that faults the fault is pending when it returns.
 *
 * Context: vcpu; may sleep.
 * Return: the handlers' contract.
 */
int emulator_deliver(struct vcpu *vcpu, u8 vector, bool soft, bool interrupt, const u32 *error_code)
{
	const struct emu_event event = {
		.vector = vector, .soft = soft, .interrupt = interrupt, .has_code = error_code,
		.code = error_code ? *error_code : 0,
	};
	struct emulator *em = emulator_start(vcpu);
	enum emu_result r;
	int idx;

	if (!em)
		return -ENOMEM;
	if (soft)
		em->emu.rip += vcpu->event_len;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	do {
		r = emu_deliver(&em->emu, &event);
	} while (r == EMU_RETRY && !signal_pending(current));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return settle_delivery(em, r, vector);
}

/**
 * emulate_task_switch() - finishes a task switch that made the guest exit
 * @vcpu: the vCPU, RIP where the old task will go on
 * @selector: of the new task's TSS
 * @source: how it came about, as the exit qualification says it
 * @vector: by a task gate: of the event that went through it; -1 = none did
 * @soft: that was INT n, INT3 or INTO
 * @error_code: its, NULL for none
 *
 * Context: vcpu; may sleep.
 * Return: the handlers' contract.
 */
int emulate_task_switch(struct vcpu *vcpu, u16 selector, unsigned int source, int vector, bool soft,
			const u32 *error_code)
{
	const struct emu_event event = {
		.vector = vector, .soft = soft, .has_code = error_code,
		.code = error_code ? *error_code : 0,
	};
	struct emulator *em = emulator_start(vcpu);
	enum emu_result r;
	int idx;

	if (!em)
		return -ENOMEM;
	idx = srcu_read_lock(&vcpu->vm->srcu);
	do {
		r = emu_task_switch(&em->emu, selector, source, vector < 0 ? NULL : &event);
	} while (r == EMU_RETRY && !signal_pending(current));
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return settle_delivery(em, r, vector);
}

/* ---- a guest that the CPU can't run ------------------------------------------------------------ */

#define RUN_BUDGET	10000	/* instructions between two looks at the host's own affairs */

/* Has the instruction done more than change general registers, RIP and flags? */
static inline bool is_special(const struct emulator *em)
{
	const struct emu *e = &em->emu;

	/* translations depend on AC, by SMAP; what else is taken away doesn't matter at once */
	return e->out.what | e->out.seg_changed | em->queued | em->pio_wanted | em->tpr_lowered |
	       em->single | ((e->out.rflags ^ e->rflags) & (e->out.rflags | X86_EFLAGS_AC) &
			     (X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_AC));
}

static inline bool has_work(struct vcpu *vcpu, unsigned long other_than)
{
	return READ_ONCE(vcpu->requests) & ~(other_than | BIT(REQ_EMULATE) | BIT(REQ_TLB_FLUSH)) ||
	       __xfer_to_guest_mode_work_pending() || (vcpu->lapic && lapic_has_events(vcpu));
}

static bool must_leave(struct vcpu *vcpu)
{
	return !vcpu_runnable(vcpu) || has_work(vcpu, BIT(REQ_EVENT)) || hw_can_run(vcpu) ||
	       vcpu_irq_window_open(vcpu);
}

/* Does DR7 ask for #DB before the instruction here? */
static noinline bool hits_breakpoint(struct emulator *em)
{
	struct emu *e = &em->emu;
	gva_t at = e->rip;

	if (e->rflags & X86_EFLAGS_RF)
		return false;
	if (e->mode != EMU_LONG)
		at = (u32)(at + hw_segment_base(em->vcpu, SEG_CS));
	return debug_hits_breakpoint(em->vcpu, at);
}

/*
 * Instruction after instruction until one is special or there is work: RIP and flags stay in emu
 * meanwhile, segments and translations in their caches, as a CPU would have them.
 */
static int run_batch(struct emulator *em, int *budget)
{
	struct vcpu *vcpu = em->vcpu;
	struct emu *e = &em->emu;
	enum emu_result r;
	unsigned long changed;
	int idx, n = 0;

	em->single = e->rflags & X86_EFLAGS_TF || hw_interrupt_shadow(vcpu);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	do {
		em->logged = em->replayed = 0;
		e->out.what = 0;
		r = EMU_RETRY;
		if (unlikely(vcpu->hw_dr7 & 0xff) && hits_breakpoint(em))
			break;
		r = emu_run(e);
		n++;
		if (r > EMU_PART || is_special(em))
			break;
		for (changed = e->out.changed; changed; changed &= changed - 1)
			vcpu->r[__ffs(changed)] = e->out.regs[__ffs(changed)];
		e->rip = e->out.rip;
		e->rflags = e->out.rflags;
	} while (n < *budget && !has_work(vcpu, 0));
	srcu_read_unlock(&vcpu->vm->srcu, idx);

	*budget -= n;
	vcpu->stats.emulated += n;
	vcpu->reg_dirty |= BIT(R_RSP);
	reg_write(vcpu, R_RIP, e->rip);
	if (e->rflags != vcpu->rflags)
		hw_set_rflags(vcpu, e->rflags);
	return r > EMU_PART || is_special(em) ? settle(em, r) : 1;
}

/**
 * emulate_run() - runs the guest in the CPU's place
 * @vcpu: whose state the CPU can't run
 *
 * Context: vcpu; may sleep.
 * Return: the handlers' contract; 1 also when there is something else to do first.
 */
int emulate_run(struct vcpu *vcpu)
{
	int r = 1, budget = RUN_BUDGET;
	struct emulator *em;

	do {
		if (vcpu->timer_at)
			lapic_timer_sleep(vcpu);
		if (vcpu_take_request(vcpu, REQ_EVENT) || vcpu->exception.pending ||
		    hw_interrupt_allowed(vcpu)) {
			r = events_deliver(vcpu);
			if (r <= 0)
				return r;
		}
		if (vcpu->exception.pending)	/* of that delivery */
			continue;
		em = emulator_start(vcpu);
		if (!em)
			return -ENOMEM;
		r = run_batch(em, &budget);
	} while (r > 0 && budget > 0 && !must_leave(vcpu));
	vcpu_request(vcpu, REQ_EVENT);
	return r;
}
