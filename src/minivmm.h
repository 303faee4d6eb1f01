/* SPDX-License-Identifier: GPL-2.0 */
/*
 * minivmm: the map. The types that several files share, then the prototypes, grouped under the
 * file that owns them. What one file alone needs isn't here.
 *
 * Conventions
 *  - Exit and fault handlers return 1 = resume the guest, 0 = to userspace with vcpu->run filled
 *    in, negative errno = RUN fails with it.
 *  - "Context" in a comment says what a function may do: "vcpu" = the caller holds vcpu->mutex and
 *    has the vCPU loaded on this CPU; "any" = from anywhere, interrupts on or off.
 */
#ifndef MINIVMM_H
#define MINIVMM_H

#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/mm_types.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/types.h>
#include <asm/fpu/types.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include <linux/minivmm.h>

struct vm;
struct vcpu;
struct irqchip;		/* irq/ */
struct lapic;
struct pit;
struct emulator;	/* emulator.c */
struct cpuid_table;

/* ---- addresses ------------------------------------------------------------------------------- */

typedef u64 gva_t;	/* guest virtual (linear) */
typedef u64 gpa_t;	/* guest physical */
typedef u64 gfn_t;	/* guest page frame: gpa >> PAGE_SHIFT */
typedef unsigned long hva_t;	/* address in the client's process */
typedef u64 hpa_t;	/* host physical */

#define INVALID_GPA	(~(gpa_t)0)
#define INVALID_GFN	(~(gfn_t)0)
#define INVALID_HPA	(~(hpa_t)0)

static inline gfn_t gpa_to_gfn(gpa_t gpa) { return gpa >> PAGE_SHIFT; }
static inline gpa_t gfn_to_gpa(gfn_t gfn) { return gfn << PAGE_SHIFT; }

/* ---- limits ---------------------------------------------------------------------------------- */

#define MAX_VCPUS	64
#define MAX_VCPU_ID	64			/* ids are APIC ids: 0 .. 63 */
#define MAX_MEMSLOTS	512
#define MAX_SLOT_PAGES	((1UL << 31) - 1)	/* as KVM's */
#define SHADOW_REGIONS_2M	4096		/* that have a count of their own: 8G */
#define SHADOW_REGIONS_1G	64
#define MIN_TABLE_LIMIT	64ul			/* shadow tables that a VM may have: as KVM's */
#define MAX_CPUID	256
#define MAX_MCE_BANKS	32			/* as KVM's */
#define MAX_MSRS	256			/* of one GET_MSRS or SET_MSRS, as KVM's */

/* ---- registers ------------------------------------------------------------------------------- */

enum reg {	/* the order of instruction encodings */
	R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI,
	R_R8, R_R9, R_R10, R_R11, R_R12, R_R13, R_R14, R_R15,
	NR_GPRS,
	R_RIP = NR_GPRS,
	NR_REGS,
	/* read from the VMCS on first use after an exit, like RSP and RIP */
	R_RFLAGS = NR_REGS, R_CR0, R_CR3, R_CR4,
};

enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, NR_SEGS };

/* ---- guest memory: memslot.c ----------------------------------------------------------------- */

struct memslot {
	gfn_t base_gfn;
	unsigned long npages;
	hva_t hva;			/* of the first page */
	u32 flags;			/* MINIVMM_MEM_* */
	u16 id;
	unsigned long *dirty_bitmap;	/* while MEM_LOG_DIRTY_PAGES is set */
	struct slot_rmaps *rmaps;	/* of a shadow VM: mmu/ */
};

/* The slots of a VM, by gfn. Replaced whole, never changed in place; read under vm->srcu. */
struct memslots {
	struct memslots *retired;	/* older ones that a reader may still hold */
	u64 generation;			/* never used twice */
	int count;
	struct memslot slot[];
};

/*
 * What a vCPU's lookups have found last: a slot, and a range where there is none, which is where
 * devices are. For the array of this generation; a range of no pages is none.
 */
struct slot_cache {
	u64 generation;
	struct memslot *slot;
	struct { gfn_t base_gfn; unsigned long npages; } found, hole;
};

/* ---- the VM: vm.c ---------------------------------------------------------------------------- */

enum mmu_mode { MMU_EPT, MMU_SHADOW };

struct vm_stats {
	u64 remote_tlb_flushes;
	u64 table_pages, tables_reclaimed;
};

/* Time, as all of a VM's vCPUs see it: clock.c. */
struct vm_clock {
	raw_spinlock_t lock;
	bool by_tsc;			/* the clock is the TSC of the host's, from this moment on: */
	u64 base_tsc, base_ns;
	s64 offset;			/* else: the host's raw clock and this */
	u64 wall_clock;			/* its MSR */
	/* the last write of a TSC: those that follow soon, to much the same, are meant to be the same */
	u64 write_value, write_ns, write_offset;
	u32 write_khz;			/* 0: none yet */
};

/* A device in the kernel on one of a VM's buses. Handlers run under vm->srcu, in vcpu context. */
struct io_device {
	/* Return 0, or -EOPNOTSUPP if this access isn't theirs after all: it then goes to userspace. */
	int (*read)(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, void *data);
	int (*write)(struct vcpu *vcpu, struct io_device *dev, u64 addr, int len, const void *data);
	bool atomic;			/* on BUS_PIO: may be called with interrupts off */
};

enum io_bus_id { BUS_PIO, BUS_MMIO, NR_BUSES };

struct vm {
	refcount_t users;		/* the VM's descriptors and its vCPUs */
	struct mm_struct *mm;		/* the creator's; grabbed, not pinned */
	enum mmu_mode mmu_mode;

	struct mutex lock;		/* vCPU creation, chips, TSS and identity-map address */
	struct vcpu *vcpus[MAX_VCPUS];	/* in order of creation; published by nr_vcpus */
	int nr_vcpus;
	int vcpu_ids;			/* ids are below this; 0: not settled yet */
	u32 boot_vcpu_id;		/* of the one that starts by itself */
	int yielded_to;			/* index of the vCPU that a spinning one last let run */

	/* memory */
	struct mutex slots_lock;	/* changes of slots and buses; outside of mmu_lock */
	unsigned long slot_pages;	/* in all slots */
	struct srcu_struct srcu;	/* readers of slots and buses */
	struct memslots __rcu *slots;
	u32 manual_dirty_log;		/* MINIVMM_DIRTY_LOG_*: how the log is read */
	bool pml;			/* the CPU logs writes through entries whose D bit is clear */
	bool logging;			/* with pml: there is a slot that is logged */
	struct io_bus __rcu *bus[NR_BUSES];

	/* MMU */
	spinlock_t mmu_lock;		/* page tables; taken inside the host's page-table locks */
	struct mmu_page *root;		/* EPT */
	struct mmu_page *flat;		/* for unpaged guests where EPT can't run them */
	struct {			/* shadow paging; under mmu_lock, if nothing else is said */
		struct hlist_head *hash;	/* tables, by gfn */
		u32 *tables_2m, *tables_1g;	/* guest tables that are shadowed, by region */
		struct list_head pages;	/* tables by use: the first to be reclaimed is the last */
		struct list_head unsync;	/* leaf tables that the guest may write */
		unsigned long nr;	/* tables, and their bound if it was set; else 0 */
		unsigned long limit;
		unsigned long seq;	/* goes up when what a walk has read may have changed */
		u64 nx;			/* the NX bit, where the CPU has it */
		bool stale_tlbs;	/* vCPUs may have cached what no entry maps any more */
		struct list_head link;	/* of all shadow VMs; under the shrinker's mutex */
	} shadow;
	struct mm_watch *watch;		/* this mm's notifier */
	const struct memslot *leaving;	/* out of the array, still mapped; under mmu_lock */
	struct list_head watch_link;
	int watch_users;		/* callbacks that use this VM now; under the watch's lock */
	bool hw_accessed_bits;		/* the CPU keeps A and D bits in our tables */
	bool maps_devices;		/* some of its memory is a device's */
	cpumask_var_t kick_mask;	/* scratch, under mmu_lock */

	/* interrupts */
	struct irqchip *irqchip;	/* PICs, I/O APIC, routing; NULL = chips are the client's */
	struct pit *pit;
	spinlock_t irqfds_lock;		/* taken inside of eventfds' own */
	struct list_head irqfds;
	struct list_head resamplers;	/* irqfds; read under srcu */
	int nr_resamplers;
	struct list_head ioeventfds;	/* these two under lock */
	int nr_ioeventfds;
	struct coalesced *coalesced;	/* its ring and zones; NULL: none asked for */

	struct vm_clock clock;

	struct vm_stats stats;
};

/* ---- the vCPU: vcpu.c ------------------------------------------------------------------------ */

enum vcpu_mode {	/* who must be told what: vcpu_kick() */
	VCPU_OUTSIDE,	/* in the host; looks at its requests before it enters */
	VCPU_IN_GUEST,	/* or about to be: needs an IPI */
	VCPU_EXITING,	/* has been sent one */
};

enum mp_state {		/* KVM's numbers */
	MP_RUNNABLE = 0,
	MP_UNINITIALIZED = 1,	/* waits for INIT */
	MP_INIT_RECEIVED = 2,	/* waits for SIPI */
	MP_HALTED = 3,
};

enum request {
	REQ_TLB_FLUSH,		/* everything this vCPU may have cached */
	REQ_EVENT,		/* look for something to inject */
	REQ_TRIPLE_FAULT,
	REQ_MMU_RELOAD,		/* the root is gone */
	REQ_EMULATE,		/* the CPU may be unable to run the guest's state: hw_can_run() */
	REQ_DIRTY_LOG,		/* vm->logging has changed, or the log is about to be read */
	REQ_EOI_EXIT,		/* EXIT_IOAPIC_EOI */
	REQ_CLOCK,		/* kvmclock's page */
	REQ_WALL_CLOCK,		/* the page that says when kvmclock was 0 */
	REQ_STEAL_TIME,
	REQ_DEBUG,		/* EXIT_DEBUG, with what vcpu->debug has */
};

struct exception {
	bool soft;		/* INT3, INTO, ICEBP: begun by an instruction of event_len bytes */
	bool pending;		/* to be injected at the next entry */
	bool injected;		/* delivery was begun and must be repeated if interrupted */
	bool has_error_code;
	u8 vector;
	u32 error_code;
	u64 cr2;		/* for #PF; set when it is injected */
};

struct vcpu_stats {
	u64 exits;
	u64 exit[80];		/* by reason: the vendor's numbers, named by hw_exit_name() */
	u64 io_exits, mmio_exits;	/* to userspace */
	u64 signal_exits, halt_exits, irq_window_exits;
	u64 faults, faults_fixed, faults_around, emulated;
	u64 injected_irqs, injected_nmis, injected_exceptions;
	u64 tlb_flushes, host_state_loads;
};

/* A port access that userspace does or has just done. */
struct pio {
	u16 port;
	u8 size;
	bool in;
	u32 count;
};

/* What a RUN that returned for I/O has still to do when it is called again. */
typedef int (*complete_fn)(struct vcpu *vcpu);

enum { RETURN_SIGMASK = 1, RETURN_SYNC_REGS = 2 };

struct vcpu {
	struct vm *vm;
	int id;				/* and APIC id */
	int index;			/* in vm->vcpus */

	/* what another CPU looks at */
	int mode;			/* enum vcpu_mode */
	unsigned long requests;		/* bits: enum request */
	int cpu;			/* loaded on, or -1 */
	struct rcuwait wait;		/* the halted vCPU's thread */

	/* registers: r[RSP], r[RIP], rflags, cr* are valid if their bit of reg_avail is set, else in
	 * the VMCS; those in reg_dirty go there at the next entry */
	u64 r[NR_REGS];
	unsigned long reg_avail, reg_dirty;
	u64 rflags, cr0, cr3, cr4;
	u64 pdptr[4];			/* of PAE paging, while the vCPU doesn't run on EPT */
	u64 cr2, cr8, efer, xcr0;	/* cr8: without a local APIC in the kernel */
	u64 dr[4], dr6, dr7;
	u64 hw_dr[4], hw_dr7;		/* the CPU's while the guest runs: those, or a debugger's */
	struct {
		u32 control;		/* MINIVMM_GUESTDBG_* */
		u8 exception;		/* of REQ_DEBUG */
		u64 conditions;
	} debug;
	u64 apic_base;
	/* set by hw_cache_code_state(), for its caller; without meaning outside of protected mode */
	struct { bool db, l; u8 cpl; } code;

	/* events */
	struct exception exception;
	struct { bool injected, soft; u8 vector; } interrupt;
	struct { bool injected, masked; u8 pending; } nmi;
	atomic_t nmi_queued;		/* come since the vCPU's thread last looked */
	u8 fault_chain[4];		/* exceptions that led to a triple fault; [0] = how many */
	u32 event_len;			/* of the instruction that begins a soft event again */
	int pending_irq;		/* of INTERRUPT, without chips in the kernel: vector or -1 */
	int mp_state;			/* enum mp_state */

	struct lapic *lapic;		/* NULL without chips in the kernel */

	/* RUN */
	struct mutex mutex;		/* one ioctl at a time */
	struct minivmm_run *run;	/* the page that is mmap'ed; hostile: read once */
	void *pio_data;			/* the second one */
	complete_fn complete;
	struct pio pio;
	u64 io_rip;			/* at an exit for I/O: the client may set another */
	struct emulator *emulator;
	struct preempt_notifier preempt_notifier;
	struct pid __rcu *pid;		/* of the thread that RUNs it */
	bool preempted;			/* that thread wants a CPU and has none */
	unsigned int halt_poll_ns;	/* how long a halt is polled before it sleeps */
	sigset_t sigmask;
	u8 at_return;			/* of RUN, RETURN_*: what there is to do besides */
	bool has_run;			/* its model can't be changed any more */

	/* MMU */
	struct slot_cache slot_cache;
	struct vcpu_mmu *mmu;

	/* the virtual CPU's model */
	struct cpuid_table *cpuid;	/* NULL: none set */
	u8 maxphyaddr;			/* guest's */
	u64 cr4_reserved, efer_reserved;	/* bits that its CPUID doesn't allow */
	u64 msr_pat, msr_misc_enable;
	u64 msr_mtrr_def_type, msr_mtrr_fixed[11], msr_mtrr_var[16];
	u64 msr_tsc_adjust, msr_ucode, msr_feat_ctl, msr_arch_capabilities;
	u64 tsc_offset;
	u64 tsc_ratio;			/* of the guest's rate to the host's, << 48; 0: it's the same */
	u32 tsc_khz;			/* the guest's */
	u64 tsc_shift;			/* what tsc_offset has of jumps of the host's TSC */
	u64 timer_at;			/* vcpu_host_tsc() when its CPU leaves the guest; 0: never */
	u64 tsc_at_put;
	struct {
		u64 clock, steal;	/* MSRs */
		bool stopped;		/* the guest is to be told */
		struct task_struct *steal_task;	/* never followed: whose run_delay was steal_seen */
		u64 steal_seen;
	} pv;

	struct {
		u64 cap, ctl, status;	/* MCG_* */
		u64 banks[MAX_MCE_BANKS * 4];	/* CTL, STATUS, ADDR, MISC of each */
	} mce;

	struct fpu_guest fpu;
	struct minivmm_failure *failure;	/* why RUN can't go on; empty = it can */
	struct vcpu_stats stats;
};

static inline void vcpu_request(struct vcpu *vcpu, enum request r)
{
	/* pairs with the barrier between mode = VCPU_IN_GUEST and the look at requests */
	smp_wmb();
	set_bit(r, &vcpu->requests);
}

static inline bool vcpu_take_request(struct vcpu *vcpu, enum request r)
{
	if (!test_bit(r, &vcpu->requests))
		return false;
	clear_bit(r, &vcpu->requests);
	smp_mb__after_atomic();
	return true;
}

#define for_each_vcpu(i, vcpu, vm) \
	for ((i) = 0; (i) < smp_load_acquire(&(vm)->nr_vcpus) && ((vcpu) = (vm)->vcpus[i]); (i)++)

/* ---- the CPU's virtualisation extension: vmx/ ------------------------------------------------- */
/* All that the rest asks of it; another vendor's folder would offer the same. */

/* Module load: is it there and allowed? 0, -ENODEV, -EOPNOTSUPP; the reason is logged. */
int hw_init(void);
void hw_exit(void);
/* This CPU into and out of VMX operation. Interrupts off. -EBUSY: someone else has it. */
int hw_enable_cpu(void);
void hw_disable_cpu(void);
bool hw_cpu_enabled(void);	/* preemption off */
void hw_emergency_disable(void);	/* any context, NMI included */
bool hw_has_ept(void);
bool hw_has_unrestricted_guest(void);
bool hw_has_ept_ad(void);
bool hw_has_pml(void);
bool hw_has_timer(void);	/* it leaves the guest at vcpu->timer_at, and calls lapic_timer_due() */
/* Large pages may not be executable (the ITLB_MULTIHIT erratum, and the host mitigates it). */
bool hw_no_exec_large_pages(void);
/* Largest page level that EPT maps: 1 = 4K, 2 = 2M, 3 = 1G. */
int hw_max_ept_level(void);
int hw_max_shadow_level(void);

struct vcpu *hw_vcpu_alloc(struct vm *vm);	/* may sleep; ERR_PTR */
void hw_vcpu_free(struct vcpu *vcpu);		/* may sleep */
void hw_vcpu_reset(struct vcpu *vcpu, bool init);
void hw_vcpu_load(struct vcpu *vcpu, int cpu);	/* preemption off */
void hw_vcpu_put(struct vcpu *vcpu);		/* preemption off */
/* One turn of the run loop, in this order; see run_once() in vcpu.c. */
void hw_prepare(struct vcpu *vcpu);		/* preemption off */
void hw_enter(struct vcpu *vcpu);		/* interrupts off */
int hw_handle_exit(struct vcpu *vcpu);		/* may sleep: the handlers' contract */
void hw_inject_exception(struct vcpu *vcpu);	/* with the next entry: vcpu->exception */
void hw_inject_interrupt(struct vcpu *vcpu);	/* vcpu->interrupt */
void hw_inject_nmi(struct vcpu *vcpu);
void hw_cancel_injection(struct vcpu *vcpu);	/* the entry won't happen */
void hw_request_irq_window(struct vcpu *vcpu);	/* exit when the guest could take one */
void hw_request_nmi_window(struct vcpu *vcpu);

void hw_cache_reg(struct vcpu *vcpu, int reg);	/* VMCS -> vcpu; sets reg_avail */
void hw_get_segment(struct vcpu *vcpu, struct minivmm_segment *s, enum seg seg);
void hw_set_segment(struct vcpu *vcpu, const struct minivmm_segment *s, enum seg seg);
u64 hw_segment_base(struct vcpu *vcpu, enum seg seg);
int hw_cpl(struct vcpu *vcpu);
void hw_cs_db_l(struct vcpu *vcpu, bool *db, bool *l);
/* What an instruction depends on, in one go: caches RSP, RIP, RFLAGS and CR3, and sets vcpu->code. */
void hw_cache_code_state(struct vcpu *vcpu);
void hw_get_dt(struct vcpu *vcpu, struct minivmm_dtable *idt, struct minivmm_dtable *gdt);
void hw_set_dt(struct vcpu *vcpu, const struct minivmm_dtable *idt, const struct minivmm_dtable *gdt);
void hw_set_cr0(struct vcpu *vcpu, u64 cr0);	/* values already checked by the caller */
void hw_set_cr3(struct vcpu *vcpu, u64 cr3);
void hw_set_cr4(struct vcpu *vcpu, u64 cr4);
void hw_set_efer(struct vcpu *vcpu, u64 efer);
void hw_set_dr7(struct vcpu *vcpu, u64 dr7);
void hw_update_exceptions(struct vcpu *vcpu);	/* those that make it exit: vcpu->debug has changed */
void hw_set_rflags(struct vcpu *vcpu, u64 rflags);
void hw_set_pdptrs(struct vcpu *vcpu, const u64 pdptr[4]);
u64 hw_get_pdptr(struct vcpu *vcpu, int i);
int hw_get_msr(struct vcpu *vcpu, u32 index, u64 *data);	/* -ENOENT: not one of its own */
int hw_set_msr(struct vcpu *vcpu, u32 index, u64 data);
void hw_set_pat(struct vcpu *vcpu, u64 pat);
void hw_set_tsc_offset(struct vcpu *vcpu, u64 offset);
/*
 * Can the CPU run the guest's state? While it can't, REQ_EMULATE stays set; set whenever a change
 * from outside may have made it so.
 */
bool hw_can_run(struct vcpu *vcpu);
bool hw_has_tsc_scaling(void);
void hw_set_tsc_ratio(struct vcpu *vcpu, u64 ratio);	/* << 48; 0: the host's rate */
u32 hw_interrupt_shadow(struct vcpu *vcpu);	/* 0 = none; MINIVMM_X86_SHADOW_INT_* */
void hw_set_interrupt_shadow(struct vcpu *vcpu, u32 shadow);
void hw_clear_interrupt_shadow(struct vcpu *vcpu);
bool hw_interrupt_allowed(struct vcpu *vcpu);	/* RFLAGS.IF, no shadow, nothing being injected */
bool hw_nmi_masked(struct vcpu *vcpu);
void hw_set_nmi_masked(struct vcpu *vcpu, bool masked);
void hw_flush_tlb(struct vcpu *vcpu);		/* on this CPU, all of this vCPU's translations */
void hw_flush_guest_tlb(struct vcpu *vcpu);	/* those that its own tables make */
void hw_flush_address(struct vcpu *vcpu, gva_t gva);	/* at least those of one address */
/* What the vCPU runs on: EPT, or tables in the place of the guest's own. */
enum hw_root { HW_ROOT_EPT, HW_ROOT_GUEST };
void hw_set_root(struct vcpu *vcpu, enum hw_root kind, hpa_t root);
void hw_update_dirty_log(struct vcpu *vcpu);	/* as vm->logging says; vcpu */
void hw_skip_instruction(struct vcpu *vcpu);	/* after an exit that gives the length */
const char *hw_exit_name(unsigned int reason);	/* NULL: not a reason */
/* What the CPU does of a local APIC by itself, in the page of its registers. */
#define HW_APIC_TPR		BIT(0)	/* the guest changes the TPR without an exit */
#define HW_APIC_DELIVERY	BIT(1)	/* takes interrupts from IRR to ISR, and ends them */
unsigned int hw_apic_features(void);
void hw_apic_changed(struct vcpu *vcpu, void *page, bool x2apic);
void hw_apic_sync(struct vcpu *vcpu, int irr, int isr, const u64 eoi_exits[4]);
void hw_cpuid_changed(struct vcpu *vcpu);	/* the guest's model was set */
/* May a guest have this feature of the host's? Not if it takes a control that this CPU lacks. */
bool hw_allows_feature(unsigned int x86_feature);

/* ---- registers ------------------------------------------------------------------------------- */

static inline u64 reg_read(struct vcpu *vcpu, int reg)
{
	if (!test_bit(reg, &vcpu->reg_avail))
		hw_cache_reg(vcpu, reg);
	return vcpu->r[reg];
}

static inline void reg_write(struct vcpu *vcpu, int reg, u64 value)
{
	vcpu->r[reg] = value;
	__set_bit(reg, &vcpu->reg_avail);
	__set_bit(reg, &vcpu->reg_dirty);
}

static inline u64 vcpu_rflags(struct vcpu *vcpu)
{
	if (!test_bit(R_RFLAGS, &vcpu->reg_avail))
		hw_cache_reg(vcpu, R_RFLAGS);
	return vcpu->rflags;
}

static inline u64 vcpu_cr0(struct vcpu *vcpu)
{
	if (!test_bit(R_CR0, &vcpu->reg_avail))
		hw_cache_reg(vcpu, R_CR0);
	return vcpu->cr0;
}

static inline u64 vcpu_cr3(struct vcpu *vcpu)
{
	if (!test_bit(R_CR3, &vcpu->reg_avail))
		hw_cache_reg(vcpu, R_CR3);
	return vcpu->cr3;
}

static inline u64 vcpu_cr4(struct vcpu *vcpu)
{
	if (!test_bit(R_CR4, &vcpu->reg_avail))
		hw_cache_reg(vcpu, R_CR4);
	return vcpu->cr4;
}

static inline bool is_boot_vcpu(struct vcpu *vcpu) { return vcpu->id == vcpu->vm->boot_vcpu_id; }
static inline bool is_long_mode(struct vcpu *vcpu) { return vcpu->efer & (1 << 10); /* LMA */ }
/* The guest can't change these bits without an exit: they needn't be read from the VMCS. */
static inline bool is_paging(struct vcpu *vcpu) { return vcpu->cr0 & X86_CR0_PG; }
static inline bool is_protected(struct vcpu *vcpu) { return vcpu->cr0 & X86_CR0_PE; }
static inline bool is_pae(struct vcpu *vcpu) { return vcpu->cr4 & X86_CR4_PAE; }
bool is_64bit_code(struct vcpu *vcpu);		/* vcpu.c: LMA and CS.L */

/* ---- main.c ---------------------------------------------------------------------------------- */

/* VMX on, on every CPU, from the first VM to a second after the last. May sleep. */
int virt_get(void);
void virt_put(void);
long check_extension(struct vm *vm, unsigned long cap);
extern bool hw_shutting_down;		/* reboot, panic: VMX is going off for good */

/* ---- vm.c ------------------------------------------------------------------------------------ */

long vm_create(unsigned long type);		/* a descriptor, or errno */
unsigned long vm_types_supported(void);
unsigned long vm_type(struct vm *vm);		/* MINIVMM_VM_MMU_* */
int vm_check_parameters(void);			/* module load */
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);			/* may sleep */

/* ---- vcpu.c ---------------------------------------------------------------------------------- */

long vcpu_create(struct vm *vm, unsigned long id);
void vcpu_destroy(struct vcpu *vcpu);
/* Makes it notice its requests: an IPI if it is in the guest, a wake-up if it is halted. Any. */
void vcpu_kick(struct vcpu *vcpu);
/* Kicks those in the guest and waits until each has left it. Preemption on, or mmu_lock held. */
void vm_kick_and_wait(struct vm *vm, enum request request);
void vcpu_reset(struct vcpu *vcpu, bool init);
void vcpu_start_at_sipi(struct vcpu *vcpu, u8 vector);
bool vcpu_runnable(struct vcpu *vcpu);
bool vcpu_irq_window_open(struct vcpu *vcpu);	/* is it time for EXIT_IRQ_WINDOW_OPEN? vcpu */
int vcpu_halt(struct vcpu *vcpu);	/* after HLT */
void vcpu_directed_yield(struct vcpu *vcpu);	/* it spins: lets another vCPU run */
/* Records why this VM can't go on; the first reason wins (DESIGN, "guest errors are text"). vcpu. */
__printf(2, 3) void vcpu_fail(struct vcpu *vcpu, const char *fmt, ...);
void vcpu_note_fault_chain(struct vcpu *vcpu, u8 first, u8 second);
/* EXIT_SHUTDOWN, with a record of the state. vcpu. */
void vcpu_triple_fault(struct vcpu *vcpu);
/* The exit for what isn't handled: EXIT_INTERNAL_ERROR with data. Returns 0. */
int exit_internal_error(struct vcpu *vcpu, u32 suberror, int ndata, const u64 *data);

/* ---- vcpu_state.c: a vCPU's state, in and out ------------------------------------------------ */

long vcpu_state_ioctl(struct vcpu *vcpu, unsigned int ioctl, unsigned long arg);	/* vcpu */
/* The register sets of the run page: what RUN takes from it, and leaves in it. vcpu. */
int vcpu_take_sync_regs(struct vcpu *vcpu);
void vcpu_give_sync_regs(struct vcpu *vcpu);

/* ---- event.c --------------------------------------------------------------------------------- */

/* By the architecture's rules: contributory faults, #DF, triple fault. vcpu. */
void inject_exception(struct vcpu *vcpu, u8 vector);
void inject_exception_error(struct vcpu *vcpu, u8 vector, u32 error_code);
void inject_page_fault(struct vcpu *vcpu, gva_t cr2, u32 error_code);
void inject_gp(struct vcpu *vcpu, u32 error_code);
void inject_breakpoint(struct vcpu *vcpu);
void inject_nmi(struct vcpu *vcpu);		/* any context */
bool event_nmi_pending(struct vcpu *vcpu);
void events_get(struct vcpu *vcpu, struct minivmm_vcpu_events *events);
int events_set(struct vcpu *vcpu, const struct minivmm_vcpu_events *events);
void events_prepare(struct vcpu *vcpu);
int events_deliver(struct vcpu *vcpu);		/* the same by the emulator; the handlers' contract */
bool event_ready_for_interrupt(struct vcpu *vcpu);

/* ---- debug.c: the client as a debugger --------------------------------------------------------- */

void debug_update(struct vcpu *vcpu);	/* the debug registers have changed */
int debug_stop(struct vcpu *vcpu, u8 exception, u64 conditions);
int debug_stop_now(struct vcpu *vcpu);	/* REQ_DEBUG */
void debug_inject(struct vcpu *vcpu, u64 conditions);
void debug_step_done(struct vcpu *vcpu);
bool debug_hits_breakpoint(struct vcpu *vcpu, gva_t at);
bool debug_takes_int3(struct vcpu *vcpu, unsigned int len);
static inline bool debug_blocks_interrupts(const struct vcpu *vcpu)
{
	return vcpu->debug.control & MINIVMM_GUESTDBG_BLOCKIRQ;
}

void debug_arm_step(struct vcpu *vcpu);	/* RFLAGS were set; or the guest has stopped */
u64 debug_hide_step(struct vcpu *vcpu, u64 rflags);	/* RFLAGS as the client sees them */
int debug_set(struct vcpu *vcpu, const struct minivmm_guest_debug *debug);
void debug_get_registers(struct vcpu *vcpu, struct minivmm_debugregs *regs);
int debug_set_registers(struct vcpu *vcpu, const struct minivmm_debugregs *regs);
void debug_translate(struct vcpu *vcpu, struct minivmm_translation *t);

/* ---- control.c ------------------------------------------------------------------------------- */

/* Registers with the architecture's checks: 0, or 1 = the guest gets #GP(0). vcpu. */
int set_cr0(struct vcpu *vcpu, u64 cr0);
int set_cr3(struct vcpu *vcpu, u64 cr3);
int set_cr4(struct vcpu *vcpu, u64 cr4);
int set_cr8(struct vcpu *vcpu, u64 cr8);
u64 get_cr8(struct vcpu *vcpu);
int set_xcr(struct vcpu *vcpu, u32 index, u64 value);
int set_dr(struct vcpu *vcpu, int dr, u64 value);
u64 get_dr(struct vcpu *vcpu, int dr);
bool uses_pdptrs(u64 cr0, u64 cr4, u64 efer);	/* PAE paging */
/* Of PAE paging, from memory at cr3: 0, 1 = malformed or not there. */
int load_pdptrs(struct vcpu *vcpu, u64 cr3);

/* ---- memslot.c ------------------------------------------------------------------------------- */

int set_memory_region(struct vm *vm, const struct minivmm_userspace_memory_region *mem);
int get_dirty_log(struct vm *vm, const struct minivmm_dirty_log *log);
int clear_dirty_log(struct vm *vm, const struct minivmm_clear_dirty_log *log);
int memslots_create(struct vm *vm);
void memslots_destroy(struct vm *vm);
/* Under vm->srcu. */
struct memslot *gfn_to_slot(struct vm *vm, gfn_t gfn);
struct memslot *vcpu_find_slot(struct vcpu *vcpu, struct memslots *slots, gfn_t gfn);
static inline hva_t slot_hva(const struct memslot *slot, gfn_t gfn)
{
	return slot->hva + ((gfn - slot->base_gfn) << PAGE_SHIFT);
}
/* As gfn_to_slot(), what was found last being tried first. */
static inline struct memslot *vcpu_gfn_to_slot(struct vcpu *vcpu, gfn_t gfn)
{
	struct memslots *slots = srcu_dereference(vcpu->vm->slots, &vcpu->vm->srcu);
	const struct slot_cache *cache = &vcpu->slot_cache;

	if (likely(cache->generation == slots->generation)) {
		if (gfn - cache->found.base_gfn < cache->found.npages)
			return cache->slot;
		if (gfn - cache->hole.base_gfn < cache->hole.npages)
			return NULL;
	}
	return vcpu_find_slot(vcpu, slots, gfn);
}

static inline u64 vcpu_slots_generation(struct vcpu *vcpu)
{
	return srcu_dereference(vcpu->vm->slots, &vcpu->vm->srcu)->generation;
}

/* Guest memory by physical address; 0, or -EFAULT where there is none. Under vm->srcu; may sleep. */
int read_guest(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len);
int write_guest(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len);
void mark_page_dirty(struct memslot *slot, gfn_t gfn);

/* ---- mmu/ ------------------------------------------------------------------------------------ */

/* A guest page fault, as a guest walk finds it. */
struct guest_fault {
	u8 vector;		/* #PF; #GP or #SS for a non-canonical address is the caller's */
	u32 error_code;
	gva_t address;
};

#define ACCESS_WRITE	X86_PF_WRITE	/* the bits of a #PF error code */
#define ACCESS_USER	X86_PF_USER
#define ACCESS_FETCH	X86_PF_INSTR
#define ACCESS_IMPLICIT	BIT(31)		/* a supervisor's whatever CPL is: to a descriptor, a TSS */

int mmu_init(void);		/* module */
void mmu_exit(void);
int watch_join(struct vm *vm);		/* the host's changes reach the VM from here on; may sleep */
void watch_leave(struct vm *vm);	/* may sleep: waits for a callback that is using the VM */
int mmu_vm_create(struct vm *vm);
void mmu_vm_destroy(struct vm *vm);
int mmu_vcpu_create(struct vcpu *vcpu);
void mmu_vcpu_destroy(struct vcpu *vcpu);
int mmu_slot_create(struct vm *vm, struct memslot *slot);	/* what mmu/ keeps of it. May sleep. */
void mmu_slot_destroy(struct memslot *slot);
unsigned long mmu_table_limit(struct vm *vm);	/* shadow: how many tables it may have */
void mmu_set_table_limit(struct vm *vm, unsigned long limit);	/* MIN_TABLE_LIMIT on; may sleep */
int mmu_load(struct vcpu *vcpu);	/* a root for the guest's paging mode. May sleep. */
/* What the guest's control registers ask of its translations; the registers are set already. vcpu. */
void mmu_set_cr3(struct vcpu *vcpu, u64 cr3, bool keep);
void mmu_flush_guest(struct vcpu *vcpu);
void mmu_invlpg(struct vcpu *vcpu, gva_t gva);
/*
 * A guest access to gpa that the tables don't allow. 1 = mapped, resume; 0 or negative as usual;
 * MMU_EMULATE = there is no memory (MMIO), or it may not be written.
 */
#define MMU_EMULATE	2
int mmu_fault(struct vcpu *vcpu, gpa_t gpa, u32 access);
/* The same for #PF on tables that aren't the guest's own; *gpa: where it wanted to. */
int mmu_page_fault(struct vcpu *vcpu, gva_t gva, u32 error_code, gpa_t *gpa);
/* After MMU_EMULATE, for what can't be emulated: true = it was a page table, and may be written now. */
bool mmu_unprotect(struct vcpu *vcpu);
/* The last fault was a write that was kept out of a guest table. */
bool mmu_kept_from_table(struct vcpu *vcpu);
/* Guest memory was written by us: under vm->srcu. */
void mmu_guest_wrote(struct vm *vm, gpa_t gpa, unsigned int len);
/* Nothing maps the slot any more when it returns, and no vCPU has it cached. gone: for good. May sleep. */
void mmu_zap_slot(struct vm *vm, const struct memslot *slot, bool gone);
/* The next write to each page is noticed: by a fault, or with vm->pml by the CPU's log. May sleep. */
void mmu_write_protect(struct vm *vm, const struct memslot *slot, gfn_t start, gfn_t end);
/*
 * The guest's own page tables: gva -> gpa for an access, setting its A and D bits as the CPU would.
 * 0, or 1 with *fault filled in, or -EAGAIN if a table lies outside memory. vcpu; may sleep.
 */
int walk_guest(struct vcpu *vcpu, gva_t gva, u32 access, gpa_t *gpa, struct guest_fault *fault);

/* A walk for a fetch, with all that it depended on, so that a few reads tell if it still holds. */
struct kept_walk {
	hva_t code;		/* of the page that was found; 0 = it isn't memory */
	int count;		/* of entries; 0 = nothing is kept */
	u32 access;
	gva_t page;
	u64 cr3, cr4, efer, generation;
	hva_t entry_hva[4];
	u64 entry[4];
};

int walk_guest_code(struct vcpu *vcpu, gva_t gva, u32 access, struct kept_walk *kept,
		    struct guest_fault *fault);

/* ---- io.c: the buses, and port I/O ------------------------------------------------------------- */

int io_bus_register(struct vm *vm, enum io_bus_id bus, u64 addr, u64 len, struct io_device *dev);
/* All of a device's ranges; when it returns no handler of the device runs any more. May sleep. */
void io_bus_unregister(struct vm *vm, enum io_bus_id bus, struct io_device *dev);
void io_bus_destroy(struct vm *vm);
/* Under vm->srcu: 0, or -EOPNOTSUPP if the access is userspace's. vcpu. */
int io_bus_access(struct vcpu *vcpu, enum io_bus_id bus, u64 addr, int len, void *data, bool write);
int exit_pio(struct vcpu *vcpu);		/* with vcpu->pio */
/* Is it where it was at the exit? Else the client has sent it elsewhere, and that's that. */
bool io_same_place(struct vcpu *vcpu);
bool pio_access_atomic(struct vcpu *vcpu, u16 port, int size, bool in);
/* IN or OUT without string prefix: done by a device in the kernel (1) or to userspace (0). vcpu. */
int pio_access(struct vcpu *vcpu, u16 port, int size, bool in);

/* ---- emulator.c ------------------------------------------------------------------------------ */

/* The instruction at RIP, one or, with REP, a bounded number of iterations. vcpu. */
int emulate_instruction(struct vcpu *vcpu);
/* The same after an access to gva that the CPU has translated already, not for a page-table walk. */
int emulate_mmio(struct vcpu *vcpu, gva_t gva, gpa_t gpa, bool write);
/*
 * In the CPU's place until it can run the guest's state, or there is something else to do: 1. With
 * interrupts and exceptions, which events_deliver() hands to emulator_deliver().
 */
int emulate_run(struct vcpu *vcpu);
int emulator_deliver(struct vcpu *vcpu, u8 vector, bool soft, bool interrupt, const u32 *error_code);
/* A task switch that exited; source as the qualification says. has_error: with error_code. */
int emulate_task_switch(struct vcpu *vcpu, u16 selector, unsigned int source, int vector, bool soft,
			const u32 *error_code);
/* For whoever changes a vCPU's state between two RUNs. */
void emulator_forget(struct vcpu *vcpu);
void emulator_free(struct vcpu *vcpu);
/* emulate_cpu.c: memory of a slot. 0 or not; the last 1 if there isn't old, -EFAULT. */
int user_read(hva_t hva, void *data, unsigned int len);
int user_write(hva_t hva, const void *data, unsigned int len);
int user_cmpxchg(hva_t hva, const void *old, const void *new, unsigned int len);

/* ---- cpuid.c --------------------------------------------------------------------------------- */

int cpuid_supported(struct minivmm_cpuid2 __user *arg);	/* GET_SUPPORTED_CPUID */
int cpuid_set(struct vcpu *vcpu, const struct minivmm_cpuid2 *head,
	      const struct minivmm_cpuid_entry2 __user *entries);
int cpuid_get(struct vcpu *vcpu, struct minivmm_cpuid2 *head,
	      struct minivmm_cpuid_entry2 __user *entries);
/* What the guest's CPUID instruction returns: in and out by the pointers. vcpu. */
void cpuid_guest(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx);
/* A feature, by the kernel's X86_FEATURE_*, in the guest's CPUID as it was set. */
bool guest_has(struct vcpu *vcpu, unsigned int x86_feature);
/* maxphyaddr, cr4_reserved and efer_reserved, from CPUID: at creation, and whenever it is set. */
void cpuid_update(struct vcpu *vcpu);
void cpuid_free(struct vcpu *vcpu);
u64 supported_xcr0(void);
u64 guest_xcr0(struct vcpu *vcpu);	/* what its CPUID allows of it */

/* ---- msr.c ----------------------------------------------------------------------------------- */

/* 0; 1 = the guest gets #GP. by_client: an ioctl, which may do more. vcpu. */
int msr_get(struct vcpu *vcpu, u32 index, u64 *data, bool by_client);
int msr_set(struct vcpu *vcpu, u32 index, u64 data, bool by_client);
int msr_index_list(struct minivmm_msr_list __user *arg);
int msr_feature_index_list(struct minivmm_msr_list __user *arg);
long msrs_access(struct vcpu *vcpu, struct minivmm_msrs __user *arg, bool set);
void msr_reset(struct vcpu *vcpu);

/* ---- mce.c ----------------------------------------------------------------------------------- */

int mce_msr_get(struct vcpu *vcpu, u32 index, u64 *data, bool by_client);	/* 1: #GP, or none of its */
int mce_msr_set(struct vcpu *vcpu, u32 index, u64 data, bool by_client);
void mce_reset(struct vcpu *vcpu);
long mce_cap_supported(void __user *arg);
long mce_ioctl(struct vcpu *vcpu, unsigned int ioctl, void __user *arg);

/* ---- irq/ ------------------------------------------------------------------------------------ */

/* The ioctls on a VM that are about interrupts; -ENOTTY: not one of them. May sleep. */
long irq_ioctl(struct vm *vm, unsigned int ioctl, void __user *arg);
long irq_enable_split(struct vm *vm, u64 pins);
/* With their default routing; split: local APICs alone. vm->lock held. */
int irqchip_create(struct vm *vm, bool split, u32 split_pins);
void irqchip_destroy(struct vm *vm);
int eventfd_init(void);			/* module */
void eventfd_exit(void);
void eventfd_vm_init(struct vm *vm);
void eventfd_vm_destroy(struct vm *vm);	/* no vCPU runs any more; may sleep */
int irqfd_set(struct vm *vm, const struct minivmm_irqfd *args);
int ioeventfd_set(struct vm *vm, const struct minivmm_ioeventfd *args);
int pit_create(struct vm *vm, u32 flags);	/* vm->lock held */
void pit_destroy(struct vm *vm);
/* A GSI's level as one of its sources drives it. <0 ignored (masked), 0 coalesced, >0 delivered. */
int irq_set_line(struct vm *vm, u32 gsi, int level);

int lapic_create(struct vcpu *vcpu);
void lapic_destroy(struct vcpu *vcpu);
void lapic_reset(struct vcpu *vcpu, bool init);
/* Is there an interrupt (local APIC, or PIC through LINT0) that RFLAGS.IF would let through? vcpu
 * context, or the vCPU's thread while it is halted. */
bool irq_pending(struct vcpu *vcpu);
/* The same without those that the CPU delivers by itself. */
bool irq_to_inject(struct vcpu *vcpu);
/* The last thing before an entry: tells the CPU what it is to deliver. vcpu, preemption off. */
void lapic_prepare(struct vcpu *vcpu);
void lapic_ended(struct vcpu *vcpu, u8 vector);	/* by the CPU; someone wants to know. vcpu. */
void lapic_timer_due(struct vcpu *vcpu);	/* vcpu->timer_at has come. vcpu; interrupts may be off */
void lapic_timer_sleep(struct vcpu *vcpu);	/* it is about to halt, or to be emulated. vcpu. */
int irq_acknowledge(struct vcpu *vcpu);	/* its vector, now in service; -1 = none after all */
bool irq_client_may_inject(struct vcpu *vcpu);	/* INTERRUPT's vector would get to the CPU */
bool irq_pics_in_kernel(struct vcpu *vcpu);
long lapic_state_ioctl(struct vcpu *vcpu, struct minivmm_lapic_state __user *arg, bool set);
void lapic_set_sipi(struct vcpu *vcpu, int vector, bool pending);
u8 lapic_ended_vector(struct vcpu *vcpu);	/* of REQ_EOI_EXIT */
/* INIT and SIPI that have come: acts on them (vcpu_reset(), vcpu_start_at_sipi()). vcpu. */
bool lapic_has_events(struct vcpu *vcpu);
void lapic_take_events(struct vcpu *vcpu);
u8 lapic_tpr(struct vcpu *vcpu);	/* the whole register: CR8 is its upper half */
void lapic_set_tpr(struct vcpu *vcpu, u8 tpr);
int lapic_set_base(struct vcpu *vcpu, u64 base, bool by_client);	/* 1 = #GP */
int lapic_msr_get(struct vcpu *vcpu, u32 index, u64 *data);	/* x2APIC and TSC_DEADLINE; 1 = #GP */
int lapic_msr_set(struct vcpu *vcpu, u32 index, u64 data);
bool lapic_in_range(struct vcpu *vcpu, gpa_t gpa);	/* enabled, xAPIC mode, and its page */
int lapic_mmio_read(struct vcpu *vcpu, gpa_t gpa, int len, void *data);
int lapic_mmio_write(struct vcpu *vcpu, gpa_t gpa, int len, const void *data);
u64 guest_tsc(struct vcpu *vcpu);	/* now */

/* ---- coalesced.c: writes that wait in a ring for the client --------------------------------- */

int coalesced_register(struct vm *vm, const struct minivmm_coalesced_mmio_zone *zone);
int coalesced_unregister(struct vm *vm, const struct minivmm_coalesced_mmio_zone *zone);
void *coalesced_ring(struct vm *vm);	/* a page for the client to map; NULL: no memory */
void coalesced_destroy(struct vm *vm);

/* ---- clock.c: TSC, kvmclock, steal time ------------------------------------------------------- */

/* The host TSC as this vCPU has it: never less than it was, even where CPUs' TSCs differ. */
static inline u64 vcpu_host_tsc(const struct vcpu *vcpu)
{
	return rdtsc() + vcpu->tsc_shift;
}

/* What the guest's TSC reads when the host's is at host_tsc. */
static inline u64 tsc_of_guest(const struct vcpu *vcpu, u64 host_tsc)
{
	u64 ratio = READ_ONCE(vcpu->tsc_ratio);

	if (unlikely(ratio))
		host_tsc = mul_u64_u64_shr(host_tsc, ratio, 48);
	return host_tsc + READ_ONCE(vcpu->tsc_offset);
}

void clock_vm_init(struct vm *vm);
long clock_ioctl(struct vm *vm, unsigned int ioctl, void __user *arg);	/* GET_CLOCK, SET_CLOCK */
void clock_suspend(void);		/* the last CPU, interrupts off */
void clock_resume(void);
void clock_vcpu_load(struct vcpu *vcpu);	/* preemption off */
void clock_vcpu_put(struct vcpu *vcpu);
void clock_vcpu_requests(struct vcpu *vcpu);	/* REQ_CLOCK, …; may sleep */
void tsc_write(struct vcpu *vcpu, u64 tsc);	/* by the client, or RESET */
void tsc_move(struct vcpu *vcpu, u64 delta);	/* by the guest */
int tsc_set_khz(struct vcpu *vcpu, unsigned long khz);
int clock_msr_get(struct vcpu *vcpu, u32 index, u64 *data);	/* -ENOENT: not one of them; 1 = #GP */
int clock_msr_set(struct vcpu *vcpu, u32 index, u64 data);
int clock_kvmclock_ctrl(struct vcpu *vcpu);
u32 clock_pv_features(void);		/* CPUID 0x40000001.EAX */

/* ---- stats.c --------------------------------------------------------------------------------- */

long stats_fd_vcpu(struct vcpu *vcpu);
long stats_fd_vm(struct vm *vm);

#endif
