// SPDX-License-Identifier: GPL-2.0
/*
 * A guest access that our tables don't allow: find the memory behind it, and map it.
 *
 * The host is asked for the page without any lock of ours; then, under mmu_lock, the notifier's
 * sequence tells whether the answer still holds. Nothing is pinned: the reference is dropped as
 * soon as the page is mapped, and the notifier unmaps it before it goes anywhere.
 */
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "mmu/mmu.h"

/* ---- asking the host ------------------------------------------------------------------------- */

bool slot_writable(const struct memslot *slot)
{
	return !(slot->flags & MINIVMM_MEM_READONLY);
}

/* A page that is mapped writable can be had without sleeping: nearly always the case. */
static bool host_page_fast(struct fault *f)
{
	if (!slot_writable(f->slot) || !get_user_page_fast_only(f->hva, FOLL_WRITE, &f->page))
		return false;
	f->writable = true;
	return true;
}

/* Memory without struct pages, such as a device's mapped by its driver. */
static int host_pfnmap(struct fault *f)
{
	struct vm_area_struct *vma;
	bool unlocked = false;
	spinlock_t *ptl;
	pte_t *ptep;
	int r;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, f->hva);
	r = -EFAULT;
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)) || (f->write && !(vma->vm_flags & VM_WRITE)))
		goto out;
	r = follow_pte(vma->vm_mm, f->hva, &ptep, &ptl);
	if (r) {
		r = fixup_user_fault(current->mm, f->hva, f->write ? FAULT_FLAG_WRITE : 0, &unlocked);
		if (!r)
			r = unlocked ? -EAGAIN : follow_pte(vma->vm_mm, f->hva, &ptep, &ptl);
		if (r)
			goto out;
	}
	__acquire(ptl);		/* for sparse: follow_pte() took it, and isn't annotated */
	f->writable = pte_write(*ptep) && slot_writable(f->slot);
	f->pfn = pte_pfn(*ptep);
	pte_unmap_unlock(ptep, ptl);
	/* a page that is refcounted must be had with a reference, which this can't give */
	r = pfn_valid(f->pfn) && !PageReserved(pfn_to_page(f->pfn)) ? -EFAULT : 0;
	if (!r && f->write && !f->writable)
		r = -EFAULT;
out:
	mmap_read_unlock(current->mm);
	return r;
}

static int host_page_slow(struct fault *f)
{
	unsigned int flags = FOLL_HWPOISON | (f->write ? FOLL_WRITE : 0);
	long n = get_user_pages_unlocked(f->hva, 1, &f->page, flags);

	if (n == 1) {
		f->writable = f->write;
		return 0;
	}
	f->page = NULL;
	if (n == -EHWPOISON || n == -EINTR || n == -ERESTARTSYS || n == -ENOMEM)
		return n;
	return host_pfnmap(f);
}

static int ask_for_page(struct fault *f)
{
	int r;

	if (!host_page_fast(f)) {
		r = host_page_slow(f);
		if (r)
			return r;
	}
	if (f->page)
		f->pfn = page_to_pfn(f->page);
	return 0;
}

/*
 * How large the host maps what lies at hva: 1 .. 3. Its tables are read without a lock: with
 * interrupts off they aren't freed; whether they change is for the notifier's sequence to tell.
 */
static int host_level(struct mm_struct *mm, hva_t hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

int host_mapping_level(struct vm *vm, const struct fault *f, int level)
{
	const struct memslot *slot = f->slot;

	if (level == 1 || !f->page || !PageCompound(f->page) || slot->dirty_bitmap)
		return 1;
	level = min(level, host_level(vm->mm, f->hva));
	for (; level > 1; level--) {
		gfn_t mask = level_pages(level) - 1, first = f->gfn & ~mask;

		if (((slot->hva >> PAGE_SHIFT) & mask) == (slot->base_gfn & mask) &&
		    first >= slot->base_gfn && first + mask < slot->base_gfn + slot->npages)
			break;
	}
	return level;
}

/* ---- neighbours ------------------------------------------------------------------------------ */

/*
 * The pages from the next one to the end of the window, as far as the host has them mapped, and
 * writable: taken as they are, nothing is faulted in.
 */
static void ask_around(struct fault *f)
{
	gfn_t last = min((f->gfn | (AROUND - 1)) + 1, f->slot->base_gfn + f->slot->npages);
	int wanted = last - f->gfn - 1;

	f->nr_around = 0;
	if (wanted <= 0 || !f->page || !f->writable || f->slot->dirty_bitmap)
		return;
	f->nr_around = max(get_user_pages_fast_only(f->hva + PAGE_SIZE, wanted, FOLL_WRITE,
						    f->around), 0);
}

/*
 * What the guest may write counts as written from here on: the host sees nothing of its writes, and
 * would drop a page whose own entries are clean. Cleaning it again goes through the notifier.
 */
static void release_page(struct page *page, bool writable)
{
	if (writable && !PageReserved(page) && !PageDirty(page))
		set_page_dirty_lock(page);
	put_page(page);
}

void release_host_pages(struct fault *f)
{
	int i;

	for (i = 0; i < f->nr_around; i++)
		release_page(f->around[i], true);
	if (f->page)
		release_page(f->page, f->writable);
}

/*
 * ask_host() - what does the host have where a fault is?
 * @f: gfn, slot, write and exec are set
 * @around: of its neighbours, too
 *
 * Context: vcpu, under vm->srcu; may sleep.
 * Return: 0: until host_changed() says no, the answer in *f may be used, and release_host_pages() is to
 * follow; else negative, for no_memory_behind().
 */
int ask_host(struct vcpu *vcpu, struct fault *f, bool around)
{
	int r;

	f->seq = watch_begin(vcpu->vm->watch);
	f->hva = slot_hva(f->slot, f->gfn);
	f->page = NULL;
	f->writable = false;
	f->nr_around = 0;
	r = ask_for_page(f);
	if (!r && around)
		ask_around(f);
	return r;
}

bool host_changed(struct vm *vm, struct fault *f)
{
	hva_t start = f->hva & PAGE_MASK;

	return watch_retry(vm->watch, f->seq, start, start + (f->nr_around + 1) * PAGE_SIZE);
}

/* The slot is there but the memory behind it isn't: RUN fails, as under KVM, and says where. */
int no_memory_behind(struct vcpu *vcpu, struct fault *f, int r)
{
	switch (r) {
	case -EAGAIN:		/* the host's tables changed while they were read */
		return 1;
	case -EINTR:
	case -ERESTARTSYS:	/* a fatal signal */
		return -EINTR;
	case -ENOMEM:
		vcpu_fail(vcpu, "the host has no memory for guest physical address %#llx, or for its page tables",
			  f->gpa);
		return r;
	case -EHWPOISON:
		vcpu_fail(vcpu, "the guest touched memory that the host has taken out of use as faulty: guest physical address %#llx",
			  f->gpa);
		send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f->hva, PAGE_SHIFT, current);
		return 1;
	default:
		vcpu_fail(vcpu, "guest physical address %#llx is in slot %u, but its memory at %#lx can't be %s: not mapped, or protected",
			  f->gpa, f->slot->id, f->hva, f->write ? "written" : "read");
		return -EFAULT;
	}
}

/* ---- the fault ------------------------------------------------------------------------------- */

static struct mmu_page *direct_root(struct vcpu *vcpu)
{
	return vcpu->mmu->kind == ROOT_FLAT ? vcpu->vm->flat : vcpu->vm->root;
}

static int direct_mapping_level(struct vcpu *vcpu, const struct fault *f)
{
	bool flat = vcpu->mmu->kind == ROOT_FLAT;
	int level;

	if (flat)
		return host_mapping_level(vcpu->vm, f, min(hw_max_shadow_level(), 2));
	if (hw_no_exec_large_pages() && f->exec)
		return 1;
	level = host_mapping_level(vcpu->vm, f, hw_max_ept_level());
	/* a table that a fetch has put there stays, or the two would replace each other without end */
	if (level > 1 && hw_no_exec_large_pages())
		level = min(level, direct_level(vcpu->vm->root, f->gfn));
	return level;
}

static void map_around(struct vcpu *vcpu, struct fault *f, struct list_head *freed, bool *flush)
{
	struct mmu_page *root = direct_root(vcpu);
	int i;

	for (i = 0; i < f->nr_around; i++) {
		struct mapping m = {
			.gfn = f->gfn + 1 + i, .pfn = page_to_pfn(f->around[i]), .level = 1,
			.writable = true, .exec = true, .speculative = true,
		};

		if (direct_present(root, m.gfn))
			continue;
		direct_map(vcpu->vm, root, &vcpu->mmu->cache, &m, freed, flush);
		vcpu->stats.faults_around++;
	}
}

static void map_fault(struct vcpu *vcpu, struct fault *f)
{
	struct vm *vm = vcpu->vm;
	struct mapping m;
	LIST_HEAD(freed);
	bool flush = false;

	spin_lock(&vm->mmu_lock);
	if (host_changed(vm, f)) {
		spin_unlock(&vm->mmu_lock);
		return;		/* the guest tries again, and so do we */
	}
	m = (struct mapping){
		.level = direct_mapping_level(vcpu, f), .writable = f->writable, .device = !f->page,
	};
	m.gfn = f->gfn & ~(level_pages(m.level) - 1);
	m.pfn = f->pfn & ~(level_pages(m.level) - 1);
	m.exec = m.level == 1 || !hw_no_exec_large_pages();
	/* a write that comes later must fault, to be logged */
	if (f->slot->dirty_bitmap && !f->write)
		m.writable = false;
	if (m.device)
		vm->maps_devices = true;
	direct_map(vm, direct_root(vcpu), &vcpu->mmu->cache, &m, &freed, &flush);
	if (m.level == 1)
		map_around(vcpu, f, &freed, &flush);
	if (flush)
		vm_kick_and_wait(vm, REQ_TLB_FLUSH);
	mmu_audit(vm, false);
	spin_unlock(&vm->mmu_lock);

	free_tables(&freed);
	if (f->write)
		mark_page_dirty(f->slot, f->gfn);
	vcpu->stats.faults_fixed++;
}

/* Apart from mmu_fault(), for what isn't memory to get by without so large a frame. */
static noinline int map_gpa(struct vcpu *vcpu, struct memslot *slot, gpa_t gpa, u32 access)
{
	struct fault f = {
		.gpa = gpa, .gfn = gpa_to_gfn(gpa), .slot = slot,
		.write = access & ACCESS_WRITE, .exec = access & ACCESS_FETCH,
	};
	int r;

	r = mmu_cache_fill(&vcpu->mmu->cache, ROOT_LEVEL - 1);
	if (!r)
		r = ask_host(vcpu, &f, false);
	if (r)
		return no_memory_behind(vcpu, &f, r);
	/* a large page needs no neighbours; what it is to be is decided under the lock */
	if (host_mapping_level(vcpu->vm, &f, 2) == 1)
		ask_around(&f);
	map_fault(vcpu, &f);
	release_host_pages(&f);
	return 1;
}

/**
 * mmu_fault() - make a guest physical address accessible
 * @vcpu: the vCPU, whose tables are direct
 * @gpa: the address
 * @access: ACCESS_WRITE, ACCESS_FETCH
 *
 * Context: vcpu; may sleep.
 * Return: 1 = resume; MMU_EMULATE = not memory, or not writable; -EFAULT, -ENOMEM, -EINTR.
 */
int mmu_fault(struct vcpu *vcpu, gpa_t gpa, u32 access)
{
	int r = MMU_EMULATE, idx = srcu_read_lock(&vcpu->vm->srcu);
	struct memslot *slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gpa));

	if (slot && !(access & ACCESS_WRITE && !slot_writable(slot)))
		r = map_gpa(vcpu, slot, gpa, access);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}
