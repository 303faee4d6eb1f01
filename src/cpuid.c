// SPDX-License-Identifier: GPL-2.0
/*
 * CPUID: what a guest may be told, what it has been told, and what follows from that.
 *
 * What GET_SUPPORTED_CPUID reports holds for both MMU modes. The client makes of it what it likes
 * and sets it per vCPU; the instruction then only looks it up. A few bits follow the vCPU's state
 * and are put in at that moment, dynamic_bits().
 */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/msr-index.h>
#include <asm/processor.h>

#include "minivmm.h"

#define MAX_BASIC	0x0d
#define MAX_EXTENDED	0x80000008
#define HYPERVISOR	0x40000000

/* Leaves 0 .. 31 of each of the three classes are found at once. */
#define NR_CLASSES	3
#define NR_DIRECT	32

struct cpuid_table {
	u32 features[NCAPINTS];			/* as the kernel numbers them */
	u16 first[NR_CLASSES][NR_DIRECT];	/* a leaf's first entry + 1; 0 = none */
	int count;
	struct minivmm_cpuid_entry2 entry[];
};

/* ---- features -------------------------------------------------------------------------------- */

/*
 * What a guest may have if the host has it (and its kernel uses it: what that has disabled isn't
 * offered either).
 *
 * Not here, and why: PKU, LA57, CET (no MMU here knows them), VMX, SMX, SGX, MONITOR, WAITPKG, MPX,
 * AMX, PT (not virtualised), PDCM, DS (no PMU), XSAVES (no component needs it), SPEC_CTRL and what
 * goes with it (no such MSR yet). The hypervisor bit and TSC_DEADLINE_TIMER are the client's to set, as
 * with KVM: the one says that it wants to be seen, the other needs its interrupt chip.
 */
static const u16 allowed_features[] = {
	/* 1.EDX */
	X86_FEATURE_FPU, X86_FEATURE_VME, X86_FEATURE_DE, X86_FEATURE_PSE, X86_FEATURE_TSC,
	X86_FEATURE_MSR, X86_FEATURE_PAE, X86_FEATURE_MCE, X86_FEATURE_CX8, X86_FEATURE_APIC,
	X86_FEATURE_SEP, X86_FEATURE_MTRR, X86_FEATURE_PGE, X86_FEATURE_MCA, X86_FEATURE_CMOV,
	X86_FEATURE_PAT, X86_FEATURE_PSE36, X86_FEATURE_CLFLUSH, X86_FEATURE_MMX,
	X86_FEATURE_FXSR, X86_FEATURE_XMM, X86_FEATURE_XMM2, X86_FEATURE_SELFSNOOP,
	/* 1.ECX */
	X86_FEATURE_XMM3, X86_FEATURE_PCLMULQDQ, X86_FEATURE_SSSE3, X86_FEATURE_FMA,
	X86_FEATURE_CX16, X86_FEATURE_PCID, X86_FEATURE_XMM4_1, X86_FEATURE_XMM4_2, X86_FEATURE_MOVBE,
	X86_FEATURE_POPCNT, X86_FEATURE_AES, X86_FEATURE_XSAVE, X86_FEATURE_AVX,
	X86_FEATURE_F16C, X86_FEATURE_RDRAND,
	/* 7.0.EBX */
	X86_FEATURE_FSGSBASE, X86_FEATURE_BMI1, X86_FEATURE_HLE, X86_FEATURE_AVX2,
	X86_FEATURE_FDP_EXCPTN_ONLY, X86_FEATURE_SMEP, X86_FEATURE_BMI2, X86_FEATURE_ERMS,
	X86_FEATURE_INVPCID,
	X86_FEATURE_RTM, X86_FEATURE_ZERO_FCS_FDS, X86_FEATURE_AVX512F, X86_FEATURE_AVX512DQ,
	X86_FEATURE_RDSEED, X86_FEATURE_ADX, X86_FEATURE_SMAP, X86_FEATURE_AVX512IFMA,
	X86_FEATURE_CLFLUSHOPT, X86_FEATURE_CLWB, X86_FEATURE_AVX512PF, X86_FEATURE_AVX512ER,
	X86_FEATURE_AVX512CD, X86_FEATURE_SHA_NI, X86_FEATURE_AVX512BW, X86_FEATURE_AVX512VL,
	/* 7.0.ECX */
	X86_FEATURE_AVX512VBMI, X86_FEATURE_RDPID, X86_FEATURE_UMIP, X86_FEATURE_AVX512_VBMI2,
	X86_FEATURE_GFNI, X86_FEATURE_VAES, X86_FEATURE_VPCLMULQDQ, X86_FEATURE_AVX512_VNNI,
	X86_FEATURE_AVX512_BITALG, X86_FEATURE_AVX512_VPOPCNTDQ, X86_FEATURE_CLDEMOTE,
	X86_FEATURE_MOVDIRI, X86_FEATURE_MOVDIR64B,
	/* 7.0.EDX */
	X86_FEATURE_AVX512_4VNNIW, X86_FEATURE_AVX512_4FMAPS, X86_FEATURE_FSRM,
	X86_FEATURE_AVX512_VP2INTERSECT, X86_FEATURE_MD_CLEAR, X86_FEATURE_SERIALIZE,
	X86_FEATURE_TSXLDTRK, X86_FEATURE_AVX512_FP16,
	/* 7.1.EAX */
	X86_FEATURE_AVX_VNNI, X86_FEATURE_AVX512_BF16,
	/* D.1.EAX */
	X86_FEATURE_XSAVEOPT, X86_FEATURE_XSAVEC, X86_FEATURE_XGETBV1,
	/* 80000001.EDX and ECX */
	X86_FEATURE_SYSCALL, X86_FEATURE_NX, X86_FEATURE_GBPAGES, X86_FEATURE_RDTSCP,
	X86_FEATURE_LM, X86_FEATURE_LAHF_LM, X86_FEATURE_ABM, X86_FEATURE_3DNOWPREFETCH,
	/* 80000008.EBX */
	X86_FEATURE_WBNOINVD,
};

/* What is made here, whatever the host has. */
static const u16 emulated_features[] = {
	X86_FEATURE_X2APIC, X86_FEATURE_TSC_ADJUST, X86_FEATURE_ARCH_CAPABILITIES,
};

/* Where the kernel's words of features stand in CPUID. */
static const struct feature_word {
	u32 function;
	u16 index;
	u16 reg;		/* enum cpuid_regs_idx */
} feature_words[NCAPINTS] = {
	[CPUID_1_EDX] = { 1, 0, CPUID_EDX },
	[CPUID_1_ECX] = { 1, 0, CPUID_ECX },
	[CPUID_7_0_EBX] = { 7, 0, CPUID_EBX },
	[CPUID_7_ECX] = { 7, 0, CPUID_ECX },
	[CPUID_7_EDX] = { 7, 0, CPUID_EDX },
	[CPUID_7_1_EAX] = { 7, 1, CPUID_EAX },
	[CPUID_D_1_EAX] = { 0xd, 1, CPUID_EAX },
	[CPUID_8000_0001_EDX] = { 0x80000001, 0, CPUID_EDX },
	[CPUID_8000_0001_ECX] = { 0x80000001, 0, CPUID_ECX },
	[CPUID_8000_0008_EBX] = { 0x80000008, 0, CPUID_EBX },
};

static u32 *entry_reg(struct minivmm_cpuid_entry2 *e, unsigned int reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &e->eax;
	case CPUID_EBX:
		return &e->ebx;
	case CPUID_ECX:
		return &e->ecx;
	default:
		return &e->edx;
	}
}

static u32 feature_bit(unsigned int feature)
{
	return BIT(feature & 31);
}

/* The bits of a word that a guest may have; raw is what the CPU says itself. */
static u32 supported_word(unsigned int word, u32 raw)
{
	u32 bits = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(allowed_features); i++) {
		unsigned int f = allowed_features[i];

		if (f / 32 == word && raw & feature_bit(f) && test_cpu_cap(&boot_cpu_data, f) &&
		    hw_allows_feature(f))
			bits |= feature_bit(f);
	}
	for (i = 0; i < ARRAY_SIZE(emulated_features); i++)
		if (emulated_features[i] / 32 == word)
			bits |= feature_bit(emulated_features[i]);
	return bits;
}

/* Replaces what the CPU says in each of this leaf's feature words by what of it may be said. */
static void mask_features(struct minivmm_cpuid_entry2 *e)
{
	int word;

	for (word = 0; word < NCAPINTS; word++) {
		const struct feature_word *w = &feature_words[word];
		u32 *reg = entry_reg(e, w->reg);

		if (w->function && w->function == e->function && w->index == e->index)
			*reg = supported_word(word, *reg);
	}
}

/* ---- XSAVE ----------------------------------------------------------------------------------- */

#define XCR0_ALLOWED	(XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512)

/**
 * supported_xcr0() - the bits of XCR0 that a guest may set
 *
 * Context: any.
 * Return: those the host has enabled and we know; 0 without XSAVE.
 */
u64 supported_xcr0(void)
{
	if (!boot_cpu_has(X86_FEATURE_OSXSAVE))
		return 0;
	return xgetbv(XCR_XFEATURE_ENABLED_MASK) & XCR0_ALLOWED;
}

/* Bytes that XSAVE (compacted: XSAVEC, XSAVES) needs for these components. */
static u32 xstate_size(u64 components, bool compacted)
{
	u32 size = FXSAVE_SIZE + XSAVE_HDR_SIZE, eax, ebx, ecx, edx;
	int i;

	for (i = 2; i < 63; i++) {
		u32 offset = size;

		if (!(components & BIT_ULL(i)))
			continue;
		cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx);
		if (!compacted)
			offset = ebx;
		else if (ecx & 2)
			offset = ALIGN(size, 64);
		size = max(size, offset + eax);
	}
	return size;
}

/* Of leaf 0xD, subleaf 1: EBX is then the size of what XSAVEC and XSAVES write. */
static bool has_compacted_form(const struct minivmm_cpuid_entry2 *e)
{
	return e->eax & (feature_bit(X86_FEATURE_XSAVEC) | feature_bit(X86_FEATURE_XSAVES));
}

/* ---- GET_SUPPORTED_CPUID --------------------------------------------------------------------- */

struct cpuid_list {
	struct minivmm_cpuid_entry2 *entry;
	int count, room;
};

static bool is_indexed(u32 function)
{
	return function == 4 || function == 7 || function == 0xb || function == 0xd;
}

/* The host's own answer, appended to the list; NULL = no room. */
static struct minivmm_cpuid_entry2 *list_host(struct cpuid_list *list, u32 function, u32 index)
{
	struct minivmm_cpuid_entry2 *e;

	if (list->count == list->room)
		return NULL;
	e = &list->entry[list->count++];
	e->function = function;
	e->index = index;
	if (is_indexed(function))
		e->flags = MINIVMM_CPUID_FLAG_SIGNIFCANT_INDEX;
	if (function >> 30 != HYPERVISOR >> 30)
		cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	mask_features(e);
	return e;
}

static void keep(struct minivmm_cpuid_entry2 *e, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
	e->eax &= eax;
	e->ebx &= ebx;
	e->ecx &= ecx;
	e->edx &= edx;
}

static void set_signature(struct minivmm_cpuid_entry2 *e)
{
	static const char signature[12] = "KVMKVMKVM";	/* the ABI is KVM's: so is the guest's */

	e->eax = HYPERVISOR + 1;
	memcpy(&e->ebx, signature, 4);
	memcpy(&e->ecx, signature + 4, 4);
	memcpy(&e->edx, signature + 8, 4);
}

/* What of the host's answer isn't feature words, and what may be said of it. */
static void mask_leaf(struct minivmm_cpuid_entry2 *e)
{
	switch (e->function) {
	case 0:
		e->eax = min_t(u32, e->eax, MAX_BASIC);
		break;
	case 1:	/* of EBX only the size of CLFLUSH: APIC id and topology are the client's */
		keep(e, ~0, 0xff00, ~0, ~0);
		break;
	case 2:
	case 4:
		break;
	case 6:	/* ARAT: the timer never stops */
		keep(e, 0, 0, 0, 0);
		e->eax = 4;
		break;
	case 7:
		if (e->index)
			keep(e, ~0, 0, 0, 0);
		else
			e->eax = min_t(u32, e->eax, 1);
		break;
	case HYPERVISOR:
		set_signature(e);
		break;
	case HYPERVISOR + 1:
		keep(e, 0, 0, 0, 0);
		e->eax = clock_pv_features();
		break;
	case 0x80000000:
		e->eax = min_t(u32, e->eax, MAX_EXTENDED);
		break;
	case 0x80000001:
		keep(e, ~0, 0, ~0, ~0);
		break;
	case 0x80000002 ... 0x80000006:
		break;
	case 0x80000007:	/* TSC that never stops or changes its rate */
		keep(e, 0, 0, 0, boot_cpu_data.x86_power & BIT(8));
		break;
	case 0x80000008:
		keep(e, 0, ~0, 0, 0);
		e->eax = boot_cpu_data.x86_phys_bits | 48 << 8;
		break;
	default:		/* 0xb among them: no topology */
		keep(e, 0, 0, 0, 0);
		break;
	}
}

/* Caches, until the one of type 0 that ends the list. */
static int list_caches(struct cpuid_list *list, struct minivmm_cpuid_entry2 *e)
{
	int i;

	for (i = 1; e->eax & 0x1f; i++) {
		e = list_host(list, 4, i);
		if (!e)
			return -E2BIG;
	}
	return 0;
}

static int list_xsave(struct cpuid_list *list, struct minivmm_cpuid_entry2 *e)
{
	u64 xcr0 = supported_xcr0();
	int i;

	keep(e, xcr0, 0, 0, xcr0 >> 32);
	if (!xcr0)
		return 0;
	e->ebx = e->ecx = xstate_size(xcr0, false);

	e = list_host(list, 0xd, 1);
	if (!e)
		return -E2BIG;
	keep(e, ~0, 0, 0, 0);
	if (has_compacted_form(e))
		e->ebx = xstate_size(xcr0, true);

	for (i = 2; i < 63; i++) {
		if (!(xcr0 & BIT_ULL(i)))
			continue;
		e = list_host(list, 0xd, i);
		if (!e)
			return -E2BIG;
		keep(e, ~0, ~0, 2, 0);
	}
	return 0;
}

/* One leaf with all its subleaves. */
static int list_leaf(struct cpuid_list *list, u32 function)
{
	struct minivmm_cpuid_entry2 *e = list_host(list, function, 0);

	if (!e)
		return -E2BIG;
	if (function == 0xd)
		return list_xsave(list, e);
	mask_leaf(e);
	if (function == 4)
		return list_caches(list, e);
	if (function == 7 && e->eax) {
		e = list_host(list, 7, 1);
		if (!e)
			return -E2BIG;
		mask_leaf(e);
	}
	return 0;
}

static int list_all(struct cpuid_list *list)
{
	static const u32 classes[] = { 0, 0x80000000, HYPERVISOR };
	int i, ret = 0;
	u32 f, last;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		last = classes[i];
		for (f = classes[i]; !ret && f <= last; f++) {
			ret = list_leaf(list, f);
			if (!ret && f == classes[i])
				last = list->entry[list->count - 1].eax;
		}
	}
	return ret;
}

/**
 * cpuid_supported() - GET_SUPPORTED_CPUID
 * @arg: nent says how much room there is; in return how many there are
 *
 * Context: may sleep.
 * Return: 0, -E2BIG if there is too little room, -EFAULT, -ENOMEM.
 */
int cpuid_supported(struct minivmm_cpuid2 __user *arg)
{
	struct cpuid_list list = {};
	struct minivmm_cpuid2 head;
	int ret;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!head.nent)
		return -E2BIG;
	list.room = min_t(u32, head.nent, MAX_CPUID);
	list.entry = kvcalloc(list.room, sizeof(*list.entry), GFP_KERNEL);
	if (!list.entry)
		return -ENOMEM;

	get_cpu();	/* one CPU's answers */
	ret = list_all(&list);
	put_cpu();

	head.nent = list.count;
	if (!ret && (copy_to_user(arg->entries, list.entry, list.count * sizeof(*list.entry)) ||
		     copy_to_user(arg, &head, sizeof(head))))
		ret = -EFAULT;
	kvfree(list.entry);
	return ret;
}

/* ---- the guest's table ----------------------------------------------------------------------- */

static struct minivmm_cpuid_entry2 *cpuid_find(struct cpuid_table *t, u32 function, u32 index)
{
	u32 class = function >> 30, leaf = function & GENMASK(29, 0);
	int i = 0;

	if (!t)
		return NULL;
	if (class < NR_CLASSES && leaf < NR_DIRECT) {
		i = t->first[class][leaf] - 1;
		if (i < 0)
			return NULL;
	}
	for (; i < t->count; i++) {
		struct minivmm_cpuid_entry2 *e = &t->entry[i];

		if (e->function == function &&
		    (!(e->flags & MINIVMM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

u64 guest_xcr0(struct vcpu *vcpu)
{
	struct minivmm_cpuid_entry2 *e = vcpu->cpuid ? cpuid_find(vcpu->cpuid, 0xd, 0) : NULL;

	return XFEATURE_MASK_FP | (e ? (e->eax | (u64)e->edx << 32) & supported_xcr0() : 0);
}

static void fill_index(struct cpuid_table *t)
{
	int i;

	for (i = t->count - 1; i >= 0; i--) {
		u32 class = t->entry[i].function >> 30;
		u32 leaf = t->entry[i].function & GENMASK(29, 0);

		if (class < NR_CLASSES && leaf < NR_DIRECT)
			t->first[class][leaf] = i + 1;
	}
}

static void fill_features(struct cpuid_table *t)
{
	int word;

	for (word = 0; word < NCAPINTS; word++) {
		const struct feature_word *w = &feature_words[word];
		struct minivmm_cpuid_entry2 *e;

		e = w->function ? cpuid_find(t, w->function, w->index) : NULL;
		if (e)
			t->features[word] = *entry_reg(e, w->reg);
	}
}

/**
 * guest_has() - has the guest's CPU this feature?
 * @vcpu: the vCPU
 * @x86_feature: X86_FEATURE_*, one that CPUID reports
 *
 * Context: any, but not beside SET_CPUID2.
 * Return: what its CPUID says, as the client set it.
 */
bool guest_has(struct vcpu *vcpu, unsigned int x86_feature)
{
	if (!vcpu->cpuid || x86_feature / 32 >= NCAPINTS)
		return false;
	return vcpu->cpuid->features[x86_feature / 32] & feature_bit(x86_feature);
}

static void change_bit_to(u32 *reg, unsigned int feature, bool value)
{
	*reg = (*reg & ~feature_bit(feature)) | (value ? feature_bit(feature) : 0);
}

/* What depends on the vCPU's state: tells of CR4, the APIC's and XCR0's. */
static void dynamic_bits(struct vcpu *vcpu, struct minivmm_cpuid_entry2 *e)
{
	if (e->function == 1) {
		change_bit_to(&e->ecx, X86_FEATURE_OSXSAVE, vcpu_cr4(vcpu) & X86_CR4_OSXSAVE);
		change_bit_to(&e->edx, X86_FEATURE_APIC,
			      vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
	} else if (e->function == 0xd && e->index == 0) {
		e->ebx = xstate_size(vcpu->xcr0, false);
	} else if (e->function == 0xd && e->index == 1) {
		if (has_compacted_form(e))
			e->ebx = xstate_size(vcpu->xcr0, true);
	}
}

/* Intel: a leaf beyond its class's last is answered as the last basic one. AMD: by zeroes. */
static struct minivmm_cpuid_entry2 *out_of_range(struct cpuid_table *t, u32 *function, u32 index)
{
	struct minivmm_cpuid_entry2 *basic = cpuid_find(t, 0, 0), *class;
	u32 first;

	if (!basic || basic->ebx != 0x756e6547 /* Genu */)
		return NULL;
	if (*function >> 28 == HYPERVISOR >> 28)
		first = *function & 0xffffff00;
	else if (*function >= 0xc0000000)
		first = 0xc0000000;
	else
		first = *function & 0x80000000;
	class = cpuid_find(t, first, 0);
	if (class && *function <= class->eax)
		return NULL;
	*function = basic->eax;
	return cpuid_find(t, basic->eax, index);
}

/* Subleaves of the topology leaf that don't exist: the index and the x2APIC id still come back. */
static void missing_topology(struct cpuid_table *t, u32 index, struct minivmm_cpuid_entry2 *out)
{
	struct minivmm_cpuid_entry2 *e = cpuid_find(t, out->function, 1);

	if (e) {
		out->ecx = index & 0xff;
		out->edx = e->edx;
	}
}

/**
 * cpuid_guest() - the CPUID instruction
 * @vcpu: who executes it
 * @eax: in: leaf
 * @ebx: out
 * @ecx: in: subleaf
 * @edx: out
 *
 * Context: vcpu.
 */
void cpuid_guest(struct vcpu *vcpu, u32 *eax, u32 *ebx, u32 *ecx, u32 *edx)
{
	struct minivmm_cpuid_entry2 *e, out = { .function = *eax };
	u32 index = *ecx;

	e = cpuid_find(vcpu->cpuid, out.function, index);
	if (unlikely(!e))
		e = out_of_range(vcpu->cpuid, &out.function, index);
	if (e) {
		out = *e;
		dynamic_bits(vcpu, &out);
	} else if (out.function == 0xb || out.function == 0x1f) {
		missing_topology(vcpu->cpuid, index, &out);
	}
	*eax = out.eax;
	*ebx = out.ebx;
	*ecx = out.ecx;
	*edx = out.edx;
}

/* ---- what follows from the table ------------------------------------------------------------- */

static u8 guest_maxphyaddr(struct cpuid_table *t)
{
	struct minivmm_cpuid_entry2 *max = cpuid_find(t, 0x80000000, 0), *e = NULL;

	if (max && max->eax >= 0x80000008)
		e = cpuid_find(t, 0x80000008, 0);
	/* outside of these bounds no page table makes sense */
	return e ? clamp_t(u8, e->eax & 0xff, 32, 52) : 36;
}

/* Bits of CR4 that come with a feature. Of a guest without CPUID all that the host can do. */
static u64 guest_cr4_reserved(struct vcpu *vcpu)
{
	static const struct { u16 feature; u64 bit; } depends[] = {
		{ X86_FEATURE_XSAVE, X86_CR4_OSXSAVE },
		{ X86_FEATURE_SMEP, X86_CR4_SMEP },
		{ X86_FEATURE_SMAP, X86_CR4_SMAP },
		{ X86_FEATURE_FSGSBASE, X86_CR4_FSGSBASE },
		{ X86_FEATURE_UMIP, X86_CR4_UMIP },
		{ X86_FEATURE_PCID, X86_CR4_PCIDE },
	};
	u64 allowed = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		      X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		      X86_CR4_OSXMMEXCPT;
	int i;

	for (i = 0; i < ARRAY_SIZE(depends); i++)
		if (test_cpu_cap(&boot_cpu_data, depends[i].feature) &&
		    (!vcpu->cpuid || guest_has(vcpu, depends[i].feature)))
			allowed |= depends[i].bit;
	return ~allowed;
}

static u64 guest_efer_reserved(struct vcpu *vcpu)
{
	u64 allowed = EFER_SCE;

	if (!vcpu->cpuid || guest_has(vcpu, X86_FEATURE_LM))
		allowed |= EFER_LME | EFER_LMA;
	if (boot_cpu_has(X86_FEATURE_NX) && (!vcpu->cpuid || guest_has(vcpu, X86_FEATURE_NX)))
		allowed |= EFER_NX;
	return ~allowed;
}

/**
 * cpuid_update() - derives what depends on CPUID: at creation of a vCPU, and when CPUID is set
 * @vcpu: the vCPU, loaded or new
 */
void cpuid_update(struct vcpu *vcpu)
{
	vcpu->maxphyaddr = guest_maxphyaddr(vcpu->cpuid);
	vcpu->cr4_reserved = guest_cr4_reserved(vcpu);
	vcpu->efer_reserved = guest_efer_reserved(vcpu);
}

/**
 * cpuid_free() - frees a vCPU's table
 * @vcpu: the vCPU, which doesn't run any more
 */
void cpuid_free(struct vcpu *vcpu)
{
	kvfree(vcpu->cpuid);
	vcpu->cpuid = NULL;
}

/* ---- SET_CPUID2, GET_CPUID2 ------------------------------------------------------------------ */

static struct cpuid_table *table_from_user(const struct minivmm_cpuid_entry2 __user *entries,
					   u32 count)
{
	struct cpuid_table *t;

	t = kvzalloc(struct_size(t, entry, count), GFP_KERNEL_ACCOUNT);
	if (!t)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(t->entry, entries, count * sizeof(*entries))) {
		kvfree(t);
		return ERR_PTR(-EFAULT);
	}
	t->count = count;
	fill_index(t);
	fill_features(t);
	return t;
}

static int check_table(struct cpuid_table *t)
{
	struct minivmm_cpuid_entry2 *e = cpuid_find(t, 0x80000008, 0);
	u32 linear_bits = e ? e->eax >> 8 & 0xff : 0;

	return !linear_bits || linear_bits == 48 || linear_bits == 57 ? 0 : -EINVAL;
}

/* As the guest would see them now: dynamic bits don't make a difference. */
static bool same_table(struct vcpu *vcpu, struct cpuid_table *a, struct cpuid_table *b)
{
	int i;

	if ((a ? a->count : 0) != (b ? b->count : 0))
		return false;
	for (i = 0; a && i < a->count; i++) {
		struct minivmm_cpuid_entry2 x = a->entry[i], y = b->entry[i];

		dynamic_bits(vcpu, &x);
		dynamic_bits(vcpu, &y);
		if (memcmp(&x, &y, offsetof(struct minivmm_cpuid_entry2, padding)))
			return false;
	}
	return true;
}

/**
 * cpuid_set() - SET_CPUID2
 * @vcpu: whose
 * @head: says how many
 * @entries: the table
 *
 * Once the vCPU has run its model is fixed: page tables were made for it. The same table again is
 * accepted, some clients do that when they reset a vCPU.
 *
 * Context: vcpu; may sleep.
 * Return: 0, -E2BIG for too many, -EINVAL for an impossible table or a change after RUN, -EFAULT,
 * -ENOMEM.
 */
int cpuid_set(struct vcpu *vcpu, const struct minivmm_cpuid2 *head,
	      const struct minivmm_cpuid_entry2 __user *entries)
{
	struct cpuid_table *t;
	int ret;

	if (head->nent > MAX_CPUID)
		return -E2BIG;
	t = table_from_user(entries, head->nent);
	if (IS_ERR(t))
		return PTR_ERR(t);
	if (vcpu->has_run) {
		ret = same_table(vcpu, vcpu->cpuid, t) ? 0 : -EINVAL;
		kvfree(t);
		return ret;
	}
	ret = check_table(t);
	if (ret) {
		kvfree(t);
		return ret;
	}
	kvfree(vcpu->cpuid);
	vcpu->cpuid = t;
	cpuid_update(vcpu);
	hw_cpuid_changed(vcpu);
	return 0;
}

/**
 * cpuid_get() - GET_CPUID2
 * @vcpu: whose
 * @head: in: room; out: how many there are
 * @entries: where to
 *
 * Context: vcpu; may sleep.
 * Return: 0, -E2BIG if there is too little room, -EFAULT.
 */
int cpuid_get(struct vcpu *vcpu, struct minivmm_cpuid2 *head,
	      struct minivmm_cpuid_entry2 __user *entries)
{
	u32 room = head->nent;
	int i;

	head->nent = vcpu->cpuid ? vcpu->cpuid->count : 0;
	if (room < head->nent)
		return -E2BIG;
	for (i = 0; i < head->nent; i++) {
		struct minivmm_cpuid_entry2 e = vcpu->cpuid->entry[i];

		dynamic_bits(vcpu, &e);
		if (copy_to_user(&entries[i], &e, sizeof(e)))
			return -EFAULT;
	}
	return 0;
}
