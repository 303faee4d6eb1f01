// SPDX-License-Identifier: GPL-2.0
/*
 * Which tables a vCPU runs on, and what its control registers do to them.
 *
 * EPT: one root for the VM; the guest's paging is its own business. Shadow: roots that follow the
 * guest's CR3. Flat: one root for the VM, in PAE's format, for a guest that has paging off where the CPU
 * can't run that with EPT.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "mmu/mmu.h"

/* ---- the guest's mode ------------------------------------------------------------------------- */

static int wanted_kind(struct vcpu *vcpu)
{
	if (vcpu->vm->mmu_mode == MMU_EPT && (is_paging(vcpu) || hw_has_unrestricted_guest()))
		return ROOT_EPT;
	return is_paging(vcpu) ? ROOT_SHADOW : ROOT_FLAT;
}

/* Of the guest's root table, or of the four that CR3 stands for. */
static union mmu_role root_role(struct vcpu *vcpu)
{
	bool wp = vcpu_cr0(vcpu) & X86_CR0_WP;

	return (union mmu_role){
		.level = is_long_mode(vcpu) ? 4 : 2,
		.guest_levels = is_long_mode(vcpu) ? 4 : is_pae(vcpu) ? 3 : 2,
		.access = CAN_ALL,
		.nxe = !!(vcpu->efer & EFER_NX),
		.wp = wp,
		.smep_without_wp = !wp && vcpu->cr4 & X86_CR4_SMEP,
		.smap_without_wp = !wp && vcpu->cr4 & X86_CR4_SMAP,
		.pse = !is_pae(vcpu) && vcpu->cr4 & X86_CR4_PSE,
	};
}

/* ---- shadow roots ---------------------------------------------------------------------------- */

static gfn_t root_gfn(struct vcpu *vcpu)
{
	u64 cr3 = vcpu_cr3(vcpu);

	return gpa_to_gfn(cr3 & (is_long_mode(vcpu) ? PTE_ADDRESS : GENMASK_ULL(31, 12)));
}

static void put_roots(struct vcpu_mmu *mmu)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(mmu->root); i++)
		shadow_put_root(mmu, i);
}

/*
 * The roots that there are already. Outside of long mode the first fault in a gigabyte brings what
 * isn't. False: a root must be made.
 */
static bool find_roots(struct vcpu *vcpu)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	union mmu_role role = mmu->role;
	struct mmu_page *page;
	gfn_t gfn = root_gfn(vcpu);
	int i;

	if (role.level == ROOT_LEVEL) {
		page = shadow_find(vcpu->vm, gfn, role);
		if (page)
			shadow_set_root(mmu, 0, page);
		return page;
	}
	for (i = 0; i < 4; i++) {
		if (role.guest_levels == 2)
			role.quadrant = i;
		else if (hw_get_pdptr(vcpu, i) & PTE_P)
			gfn = gpa_to_gfn(hw_get_pdptr(vcpu, i) & PTE_ADDRESS);
		else
			continue;
		page = shadow_find(vcpu->vm, gfn, role);
		if (page)
			shadow_set_root(mmu, i, page);
	}
	return true;
}

static hpa_t root_address(const struct vcpu_mmu *mmu)
{
	/* a CR3 that points to no memory: every walk ends at an entry that isn't there */
	return __pa(mmu->root[0] && mmu->role.level == ROOT_LEVEL ? mmu->root[0]->table : mmu->pae);
}

static int load_shadow(struct vcpu *vcpu)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	struct vm *vm = vcpu->vm;
	bool created = false, flush = false;
	LIST_HEAD(freed);
	int r, idx;

	r = mmu_cache_fill_shadow(&mmu->cache);
	if (r)
		return r;
	if (!list_empty(&vm->shadow.unsync))
		shadow_sync(vm);
	idx = srcu_read_lock(&vm->srcu);
	spin_lock(&vm->mmu_lock);
	mmu->role = root_role(vcpu);
	shadow_make_room(vm, &freed);
	if (!find_roots(vcpu) && gfn_to_slot(vm, root_gfn(vcpu)))
		shadow_set_root(mmu, 0, shadow_get(vm, &mmu->cache, root_gfn(vcpu), mmu->role,
						   &created, &flush));
	if (flush || !list_empty(&freed))
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
	hw_set_root(vcpu, HW_ROOT_GUEST, root_address(mmu));
	return 0;
}

static void unload_shadow(struct vcpu *vcpu)
{
	spin_lock(&vcpu->vm->mmu_lock);
	put_roots(vcpu->mmu);
	spin_unlock(&vcpu->vm->mmu_lock);
}

/* ---- direct roots ---------------------------------------------------------------------------- */

/* Made by the first vCPU that needs it; the CPU finds a flat one by a CR3 of 32 bits. */
static int make_root(struct vm *vm, struct mmu_page **root, int level, int format)
{
	struct mmu_page *page;

	if (READ_ONCE(*root))
		return 0;
	page = mmu_page_alloc(format == FORMAT_FLAT ? __GFP_DMA32 : 0);
	if (!page)
		return -ENOMEM;
	page->role.level = level;
	page->role.direct = true;
	page->role.guest_levels = format;
	spin_lock(&vm->mmu_lock);
	if (!*root) {
		WRITE_ONCE(*root, page);
		page = NULL;
	}
	spin_unlock(&vm->mmu_lock);
	if (page)
		mmu_page_free(page);
	return 0;
}

static int load_direct(struct vcpu *vcpu, int kind)
{
	struct vm *vm = vcpu->vm;
	int r;

	if (kind == ROOT_EPT)
		r = make_root(vm, &vm->root, ROOT_LEVEL, FORMAT_EPT);
	else
		r = make_root(vm, &vm->flat, 3, FORMAT_FLAT);
	if (r)
		return r;
	if (kind == ROOT_EPT)
		hw_set_root(vcpu, HW_ROOT_EPT, __pa(vm->root->table));
	else
		hw_set_root(vcpu, HW_ROOT_GUEST, __pa(vm->flat->table));
	return 0;
}

/* ---- what the run loop and the control registers ask for -------------------------------------------- */

/**
 * mmu_load() - give the vCPU the root that its mode and CR3 want
 * @vcpu: the vCPU
 *
 * Context: vcpu; may sleep.
 * Return: 0 or -ENOMEM; then it is asked for again.
 */
int mmu_load(struct vcpu *vcpu)
{
	int kind = wanted_kind(vcpu), r;

	if (vcpu->mmu->kind == ROOT_SHADOW)
		unload_shadow(vcpu);
	vcpu->mmu->kind = ROOT_NONE;
	vcpu_request(vcpu, REQ_TLB_FLUSH);
	r = kind == ROOT_SHADOW ? load_shadow(vcpu) : load_direct(vcpu, kind);
	if (r)
		vcpu_request(vcpu, REQ_MMU_RELOAD);
	else
		vcpu->mmu->kind = kind;
	return r;
}

/**
 * mmu_flush_guest() - what the guest's tables were is forgotten, as by a flush of its whole TLB
 * @vcpu: the vCPU
 *
 * After a change of CR0, CR4 or EFER in a bit that paging depends on, and for whatever else flushes.
 *
 * Context: vcpu; interrupts on or off.
 */
void mmu_flush_guest(struct vcpu *vcpu)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	int kind = wanted_kind(vcpu);

	mmu->mmio.generation = 0;
	mmu_forget_recent(mmu);
	hw_flush_guest_tlb(vcpu);
	/* on EPT nothing of ours depends on the guest's mode, but whether EPT can be used at all */
	if (mmu->kind == ROOT_EPT && kind == ROOT_EPT)
		return;
	/* tables that are in step, and serve this mode, too: a flush was all (CR4.PGE) */
	if (mmu->kind == ROOT_SHADOW && kind == ROOT_SHADOW && list_empty(&vcpu->vm->shadow.unsync) &&
	    mmu->role.level == ROOT_LEVEL && root_role(vcpu).word == mmu->role.word &&
	    mmu->root[0] && mmu->root[0]->gfn == root_gfn(vcpu))
		return;
	vcpu_request(vcpu, REQ_MMU_RELOAD);
}

/*
 * Address spaces in which the guest has been since it last flushed anything else than one of them.
 * What a table out of step still has of them, their TLB entries could have, too.
 */
static bool is_recent(struct vcpu_mmu *mmu, u64 cr3)
{
	u64 *recent = &mmu->recent[(cr3 ^ cr3 >> PAGE_SHIFT) % ARRAY_SIZE(mmu->recent)];
	bool known = *recent == (cr3 | X86_CR3_PCID_NOFLUSH);

	*recent = cr3 | X86_CR3_PCID_NOFLUSH;
	mmu->has_recent = true;
	return known;
}

/**
 * mmu_set_cr3() - another CR3, which has been checked
 * @vcpu: the vCPU
 * @cr3: its value
 * @keep: bit 63 of the operand asked for no flush (CR4.PCIDE)
 *
 * What is kept may lag behind the guest's tables as a TLB may. An address space that is new here has
 * nothing to keep: all tables are brought in step first.
 *
 * Context: vcpu; interrupts on or off.
 */
void mmu_set_cr3(struct vcpu *vcpu, u64 cr3, bool keep)
{
	struct vcpu_mmu *mmu = vcpu->mmu;
	struct vm *vm = vcpu->vm;
	bool found = false;

	hw_set_cr3(vcpu, cr3);
	mmu->mmio.generation = 0;
	/* tags tell vCPUs apart, not address spaces */
	hw_flush_guest_tlb(vcpu);
	if (mmu->kind != ROOT_SHADOW)
		return;
	keep &= is_recent(mmu, cr3);
	if ((keep || list_empty(&vm->shadow.unsync)) && mmu_lock_if_allowed(vm)) {
		put_roots(mmu);
		found = (keep || list_empty(&vm->shadow.unsync)) && find_roots(vcpu);
		spin_unlock(&vm->mmu_lock);
	}
	if (found)
		hw_set_root(vcpu, HW_ROOT_GUEST, root_address(mmu));
	else
		vcpu_request(vcpu, REQ_MMU_RELOAD);
}

bool mmu_kept_from_table(struct vcpu *vcpu)
{
	return vcpu->mmu->protected_gfn != INVALID_GFN;
}

/**
 * mmu_unprotect() - let the guest write where its last fault was kept out of a guest table
 * @vcpu: the vCPU
 *
 * For a write that can't be emulated: the table isn't shadowed any more, until it is walked again.
 *
 * Context: vcpu; takes mmu_lock.
 * Return: whether there was one, and the instruction can be tried again.
 */
bool mmu_unprotect(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	gfn_t gfn = vcpu->mmu->protected_gfn;
	LIST_HEAD(freed);
	bool hit;
	int idx;

	vcpu->mmu->protected_gfn = INVALID_GFN;
	if (gfn == INVALID_GFN || vm->mmu_mode != MMU_SHADOW)
		return false;
	idx = srcu_read_lock(&vm->srcu);
	spin_lock(&vm->mmu_lock);
	hit = shadow_unprotect(vm, gfn, &freed);
	if (hit)
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	spin_unlock(&vm->mmu_lock);
	srcu_read_unlock(&vm->srcu, idx);
	free_tables(&freed);
	return hit;
}

/* ---- life ------------------------------------------------------------------------------------ */

int mmu_vm_create(struct vm *vm)
{
	spin_lock_init(&vm->mmu_lock);
	vm->hw_accessed_bits = hw_has_ept_ad();
	if (!zalloc_cpumask_var(&vm->kick_mask, GFP_KERNEL_ACCOUNT))
		return -ENOMEM;
	if (!shadow_vm_create(vm))
		return 0;
	mmu_vm_destroy(vm);
	return -ENOMEM;
}

static void free_direct(struct vm *vm, struct mmu_page *root)
{
	gfn_t start = 0;
	LIST_HEAD(freed);

	/* no vCPU is left and no notifier comes: nobody else is here */
	while (root && start < ~0ull) {
		direct_zap(vm, root, &start, ~0ull, &freed);
		free_tables(&freed);
		cond_resched();
	}
	if (root)
		mmu_page_free(root);
}

void mmu_vm_destroy(struct vm *vm)
{
	spin_lock(&vm->mmu_lock);
	mmu_audit(vm, true);
	spin_unlock(&vm->mmu_lock);
	free_direct(vm, vm->root);
	free_direct(vm, vm->flat);
	shadow_vm_destroy(vm);
	free_cpumask_var(vm->kick_mask);
}

int mmu_vcpu_create(struct vcpu *vcpu)
{
	struct vcpu_mmu *mmu = kzalloc(sizeof(*mmu), GFP_KERNEL_ACCOUNT);

	vcpu->mmu = mmu;
	if (!mmu)
		return -ENOMEM;
	mmu->protected_gfn = INVALID_GFN;
	if (vcpu->vm->mmu_mode == MMU_SHADOW)
		mmu->pae = (u64 *)get_zeroed_page(GFP_KERNEL_ACCOUNT | __GFP_DMA32);
	return mmu->pae || vcpu->vm->mmu_mode != MMU_SHADOW ? 0 : -ENOMEM;
}

void mmu_vcpu_destroy(struct vcpu *vcpu)
{
	struct vcpu_mmu *mmu = vcpu->mmu;

	if (!mmu)
		return;
	if (mmu->kind == ROOT_SHADOW)
		unload_shadow(vcpu);
	mmu_cache_drain(&mmu->cache);
	free_page((unsigned long)mmu->pae);
	kfree(mmu);
}
