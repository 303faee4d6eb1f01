// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory: slots of the client's address space, found by guest physical address.
 *
 * The array of slots is never changed in place. A change publishes a new one; what readers (under
 * vm->srcu) may still hold of the old one is freed when none can. Creating a slot needs no waiting: the
 * old array is kept until the next change that does, or until a few have gathered.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/unaligned.h>

#include "minivmm.h"

#define MAX_RETIRED	8	/* old arrays of a VM that may wait to be freed */

/* ---- finding --------------------------------------------------------------------------------- */

/* How many slots begin at or before gfn. */
static int slots_up_to(const struct memslots *slots, gfn_t gfn)
{
	int low = 0, high = slots->count;

	while (low < high) {
		int mid = (low + high) / 2;

		if (slots->slot[mid].base_gfn <= gfn)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The number of the one that holds gfn, or -1. */
static int find_slot(const struct memslots *slots, gfn_t gfn)
{
	int i = slots_up_to(slots, gfn) - 1;

	return i >= 0 && gfn - slots->slot[i].base_gfn < slots->slot[i].npages ? i : -1;
}

struct memslot *gfn_to_slot(struct vm *vm, gfn_t gfn)
{
	struct memslots *slots = srcu_dereference(vm->slots, &vm->srcu);
	int i = find_slot(slots, gfn);

	return i < 0 ? NULL : &slots->slot[i];
}

struct memslot *vcpu_find_slot(struct vcpu *vcpu, struct memslots *slots, gfn_t gfn)
{
	struct slot_cache *cache = &vcpu->slot_cache;
	int n = slots_up_to(slots, gfn);
	struct memslot *slot = n ? &slots->slot[n - 1] : NULL;
	gfn_t end = slot ? slot->base_gfn + slot->npages : 0;

	if (cache->generation != slots->generation)
		*cache = (struct slot_cache){ .generation = slots->generation };
	if (gfn < end) {
		cache->slot = slot;
		cache->found.base_gfn = slot->base_gfn;
		cache->found.npages = slot->npages;
		return slot;
	}
	cache->hole.base_gfn = end;
	cache->hole.npages = (n < slots->count ? slots->slot[n].base_gfn : ~0ull) - end;
	return NULL;
}

/* ---- reading and writing ---------------------------------------------------------------------- */

static int copy_guest(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len, bool write)
{
	while (len) {
		unsigned int n = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(gpa));
		struct memslot *slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gpa));
		void __user *p;

		if (!slot || (write && (slot->flags & MINIVMM_MEM_READONLY)))
			return -EFAULT;
		p = (void __user *)(slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa));
		/* access_ok() was asked for the whole slot when it was made */
		if (write ? __copy_to_user(p, data, n) : __copy_from_user(data, p, n))
			return -EFAULT;
		if (write) {
			mark_page_dirty(slot, gpa_to_gfn(gpa));
			mmu_guest_wrote(vcpu->vm, gpa, n);
		}
		gpa += n;
		data += n;
		len -= n;
	}
	return 0;
}

/*
 * A table entry, or an instruction's bytes, within a page: what is read most. 8 to 16 bytes are read
 * as two words that may overlap.
 */
static bool read_words(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len)
{
	struct memslot *slot = vcpu_gfn_to_slot(vcpu, gpa_to_gfn(gpa));
	u64 first, last;
	hva_t hva;

	if (!slot || offset_in_page(gpa) + len > PAGE_SIZE)
		return false;
	hva = slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa);
	/* access_ok() was asked for the whole slot when it was made */
	__uaccess_begin_nospec();
	unsafe_get_user(first, (u64 __user *)hva, unreadable);
	unsafe_get_user(last, (u64 __user *)(hva + len - 8), unreadable);
	__uaccess_end();
	put_unaligned(last, (u64 *)(data + len - 8));
	put_unaligned(first, (u64 *)data);
	return true;
unreadable:
	__uaccess_end();
	return false;
}

int read_guest(struct vcpu *vcpu, gpa_t gpa, void *data, unsigned int len)
{
	if (len >= 8 && len <= 16 && read_words(vcpu, gpa, data, len))
		return 0;
	return copy_guest(vcpu, gpa, data, len, false);
}

int write_guest(struct vcpu *vcpu, gpa_t gpa, const void *data, unsigned int len)
{
	return copy_guest(vcpu, gpa, (void *)data, len, true);
}

void mark_page_dirty(struct memslot *slot, gfn_t gfn)
{
	if (slot->dirty_bitmap)
		set_bit_le(gfn - slot->base_gfn, slot->dirty_bitmap);
}

/* ---- changing -------------------------------------------------------------------------------- */

static struct memslots *current_slots(struct vm *vm)
{
	return rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->slots_lock) ||
					 !refcount_read(&vm->users));
}

static void free_retired(struct memslots *slots)
{
	struct memslots *retired = slots->retired, *next;

	for (; retired; retired = next) {
		next = retired->retired;
		kvfree(retired);
	}
	slots->retired = NULL;
}

static int count_retired(const struct memslots *slots)
{
	int n = 0;

	for (slots = slots->retired; slots; slots = slots->retired)
		n++;
	return n;
}

/*
 * Those in the guest leave it, and what the CPU has logged of their writes is in the bitmaps when it
 * returns; each looks at vm->logging before it enters again.
 */
static void sync_dirty_log(struct vm *vm)
{
	if (!vm->pml)
		return;
	spin_lock(&vm->mmu_lock);
	vm_kick_and_wait(vm, REQ_DIRTY_LOG);
	spin_unlock(&vm->mmu_lock);
}

/* The CPU's log is on before the first D bit is cleared: what it would miss is missed for good. */
static void update_logging(struct vm *vm, const struct memslots *slots)
{
	bool logging = false;
	int i;

	for (i = 0; i < slots->count; i++)
		logging |= slots->slot[i].dirty_bitmap != NULL;
	if (vm->logging == logging)
		return;
	WRITE_ONCE(vm->logging, logging);
	sync_dirty_log(vm);
}

/* Makes new the VM's array. With wait, no reader holds an older one when it returns. */
static void publish(struct vm *vm, struct memslots *new, bool wait)
{
	struct memslots *old = current_slots(vm);
	int i;

	for (vm->slot_pages = 0, i = 0; i < new->count; i++)
		vm->slot_pages += new->slot[i].npages;
	new->generation = old->generation + 1;
	new->retired = old;
	rcu_assign_pointer(vm->slots, new);
	if (wait || count_retired(new) > MAX_RETIRED) {
		synchronize_srcu_expedited(&vm->srcu);
		free_retired(new);
	}
	update_logging(vm, new);
}

/* The array without slot without (-1: all), and with slot with (NULL: none) in its place. */
static struct memslots *copy_slots(const struct memslots *old, int without, const struct memslot *with)
{
	struct memslots *new;
	int i, n = 0;

	new = kvzalloc(struct_size(new, slot, old->count + 1), GFP_KERNEL_ACCOUNT);
	if (!new)
		return NULL;
	for (i = 0; i < old->count; i++) {
		if (with && with->base_gfn < old->slot[i].base_gfn) {
			new->slot[n++] = *with;
			with = NULL;
		}
		if (i != without)
			new->slot[n++] = old->slot[i];
	}
	if (with)
		new->slot[n++] = *with;
	new->count = n;
	return new;
}

static bool overlaps(const struct memslots *slots, int except, gfn_t base, unsigned long npages)
{
	int i;

	for (i = 0; i < slots->count; i++) {
		const struct memslot *s = &slots->slot[i];

		if (i != except && base < s->base_gfn + s->npages && s->base_gfn < base + npages)
			return true;
	}
	return false;
}

static int find_id(const struct memslots *slots, u16 id)
{
	int i;

	for (i = 0; i < slots->count; i++)
		if (slots->slot[i].id == id)
			return i;
	return -1;
}

static int alloc_dirty_bitmap(struct vm *vm, struct memslot *slot)
{
	slot->dirty_bitmap = kvcalloc(BITS_TO_LONGS(slot->npages), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty_bitmap)
		return -ENOMEM;
	if (vm->manual_dirty_log & MINIVMM_DIRTY_LOG_INITIALLY_SET)
		bitmap_set(slot->dirty_bitmap, 0, slot->npages);
	return 0;
}

/* Deleting and moving: nobody uses the old slot, and nothing maps it, when this returns. */
static int replace_slot(struct vm *vm, int index, const struct memslot *with)
{
	struct memslots *old = current_slots(vm);
	struct memslot gone = old->slot[index];
	struct memslots *new = copy_slots(old, index, with);

	if (!new)
		return -ENOMEM;
	/* what was written at the old place is in the log that moves along */
	if (with && gone.dirty_bitmap) {
		mmu_zap_slot(vm, &gone, false);
		sync_dirty_log(vm);
	}
	/* the host's changes must find what maps it until nothing does */
	spin_lock(&vm->mmu_lock);
	vm->leaving = &gone;
	spin_unlock(&vm->mmu_lock);
	publish(vm, new, true);
	mmu_zap_slot(vm, &gone, true);
	spin_lock(&vm->mmu_lock);
	vm->leaving = NULL;
	spin_unlock(&vm->mmu_lock);
	if (!with || with->dirty_bitmap != gone.dirty_bitmap)
		kvfree(gone.dirty_bitmap);
	mmu_slot_destroy(&gone);
	return 0;
}

static int create_slot(struct vm *vm, struct memslot *slot)
{
	struct memslots *new;

	if ((slot->flags & MINIVMM_MEM_LOG_DIRTY_PAGES) && alloc_dirty_bitmap(vm, slot))
		return -ENOMEM;
	if (mmu_slot_create(vm, slot))
		goto free;
	new = copy_slots(current_slots(vm), -1, slot);
	if (!new)
		goto free;
	publish(vm, new, false);
	return 0;

free:
	mmu_slot_destroy(slot);
	kvfree(slot->dirty_bitmap);
	return -ENOMEM;
}

static int set_slot_flags(struct vm *vm, int index, u32 flags)
{
	struct memslot slot = current_slots(vm)->slot[index];
	struct memslots *new;
	unsigned long *old_bitmap = slot.dirty_bitmap;

	slot.flags = flags;
	slot.dirty_bitmap = NULL;
	if ((flags & MINIVMM_MEM_LOG_DIRTY_PAGES) && alloc_dirty_bitmap(vm, &slot))
		return -ENOMEM;
	new = copy_slots(current_slots(vm), index, &slot);
	if (!new) {
		kvfree(slot.dirty_bitmap);
		return -ENOMEM;
	}
	publish(vm, new, true);
	kvfree(old_bitmap);
	if (!slot.dirty_bitmap)		/* its large pages may come back */
		mmu_zap_slot(vm, &slot, false);
	else if (!(vm->manual_dirty_log & MINIVMM_DIRTY_LOG_INITIALLY_SET))
		mmu_write_protect(vm, &slot, slot.base_gfn, slot.base_gfn + slot.npages);
	return 0;
}

static int change_slot(struct vm *vm, int index, struct memslot *want)
{
	const struct memslot *old = &current_slots(vm)->slot[index];
	int r;

	if (want->hva != old->hva || want->npages != old->npages ||
	    ((want->flags ^ old->flags) & MINIVMM_MEM_READONLY))
		return -EINVAL;
	if (want->base_gfn == old->base_gfn)
		return want->flags == old->flags ? 0 : set_slot_flags(vm, index, want->flags);
	if (overlaps(current_slots(vm), index, want->base_gfn, want->npages))
		return -EEXIST;
	/* a moved slot keeps its log if it goes on being logged */
	want->dirty_bitmap = old->dirty_bitmap;
	if (!(want->flags & MINIVMM_MEM_LOG_DIRTY_PAGES))
		want->dirty_bitmap = NULL;
	else if (!want->dirty_bitmap && alloc_dirty_bitmap(vm, want))
		return -ENOMEM;
	r = mmu_slot_create(vm, want) ?: replace_slot(vm, index, want);
	if (r) {
		mmu_slot_destroy(want);
		if (want->dirty_bitmap != old->dirty_bitmap)
			kvfree(want->dirty_bitmap);
	}
	return r;
}

static int check_region(const struct minivmm_userspace_memory_region *mem)
{
	u64 limit = BIT_ULL(min_t(int, boot_cpu_data.x86_phys_bits, 48));

	if (mem->flags & ~(MINIVMM_MEM_LOG_DIRTY_PAGES | MINIVMM_MEM_READONLY))
		return -EINVAL;
	if (mem->slot >= MAX_MEMSLOTS)
		return -EINVAL;
	if (!PAGE_ALIGNED(mem->memory_size) || !PAGE_ALIGNED(mem->guest_phys_addr) ||
	    !PAGE_ALIGNED(mem->userspace_addr))
		return -EINVAL;
	if (mem->memory_size >> PAGE_SHIFT > MAX_SLOT_PAGES ||
	    mem->guest_phys_addr + mem->memory_size < mem->guest_phys_addr)
		return -EINVAL;
	if (mem->memory_size && mem->guest_phys_addr + mem->memory_size > limit)
		return -EINVAL;
	if (!access_ok((void __user *)(unsigned long)mem->userspace_addr, mem->memory_size))
		return -EINVAL;
	return 0;
}

/**
 * set_memory_region() - SET_USER_MEMORY_REGION
 * @vm: the VM; slots_lock is taken
 * @mem: what the client wants; memory_size 0 deletes
 *
 * Context: may sleep; vCPUs may be running.
 * Return: 0; -EINVAL: unaligned, out of range, unknown flags, no such slot to delete, or a change
 * that isn't a move or of the log flag; -EEXIST: overlaps another slot; -ENOMEM. Nothing is changed
 * unless it returns 0.
 */
int set_memory_region(struct vm *vm, const struct minivmm_userspace_memory_region *mem)
{
	struct memslot slot = {
		.base_gfn = gpa_to_gfn(mem->guest_phys_addr),
		.npages = mem->memory_size >> PAGE_SHIFT,
		.hva = mem->userspace_addr, .flags = mem->flags, .id = mem->slot,
	};
	struct memslots *slots;
	int index, r;

	r = check_region(mem);
	if (r)
		return r;
	mutex_lock(&vm->slots_lock);
	slots = current_slots(vm);
	index = find_id(slots, slot.id);
	if (!slot.npages)
		r = index < 0 ? -EINVAL : replace_slot(vm, index, NULL);
	else if (index >= 0)
		r = change_slot(vm, index, &slot);
	else if (overlaps(slots, -1, slot.base_gfn, slot.npages))
		r = -EEXIST;
	else
		r = create_slot(vm, &slot);
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* ---- the dirty log --------------------------------------------------------------------------- */

#define LOG_GAP	64	/* pages: what lies closer together is protected in one go */

/*
 * Later writes to the pages whose bits are set are logged; so may be those to clean or dirty pages
 * in between, which does no harm. bits[0] is that of page first of the slot.
 */
static void log_again(struct vm *vm, const struct memslot *slot, gfn_t first,
		      const unsigned long *bits, unsigned long npages)
{
	unsigned long start, end, next;

	for (start = find_first_bit(bits, npages); start < npages; start = next) {
		next = start;
		do {
			end = next + 1;
			next = find_next_bit(bits, npages, end);
		} while (next < npages && next - end < LOG_GAP);
		mmu_write_protect(vm, slot, slot->base_gfn + first + start, slot->base_gfn + first + end);
	}
}

/* Takes the log out of the slot: what is written from here on is logged anew. */
static void take_dirty_bits(unsigned long *to, unsigned long *from, unsigned long words)
{
	unsigned long i;

	for (i = 0; i < words; i++)
		if (READ_ONCE(from[i]))
			to[i] = xchg(&from[i], 0);
}

/* Takes out those that are asked for: of them stay in wanted what was set. */
static void take_wanted_bits(unsigned long *wanted, unsigned long *from, unsigned long words)
{
	unsigned long i;

	for (i = 0; i < words; i++)
		if (wanted[i])
			wanted[i] &= atomic_long_fetch_andnot(wanted[i], (atomic_long_t *)&from[i]);
}

/* slots_lock held. */
static struct memslot *logged_slot(struct vm *vm, u16 id)
{
	struct memslots *slots = current_slots(vm);
	int i = find_id(slots, id);

	return i < 0 || !slots->slot[i].dirty_bitmap ? NULL : &slots->slot[i];
}

static int take_dirty_log(struct vm *vm, struct memslot *slot, void __user *to)
{
	size_t words = BITS_TO_LONGS(slot->npages);
	unsigned long *bits;
	int r;

	sync_dirty_log(vm);
	if (vm->manual_dirty_log)
		return copy_to_user(to, slot->dirty_bitmap, words * sizeof(*bits)) ? -EFAULT : 0;
	bits = kvcalloc(words, sizeof(*bits), GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	take_dirty_bits(bits, slot->dirty_bitmap, words);
	log_again(vm, slot, 0, bits, slot->npages);
	r = copy_to_user(to, bits, words * sizeof(*bits)) ? -EFAULT : 0;
	kvfree(bits);
	return r;
}

/**
 * get_dirty_log() - GET_DIRTY_LOG
 * @vm: the VM; slots_lock is taken
 * @log: which slot, and where the bits go
 *
 * The bits are taken first and the pages protected afterwards: a write in between is reported, and is
 * logged again. When it returns, every later write is. With manual protection they stay.
 *
 * Context: may sleep; vCPUs may be running.
 * Return: 0; -EINVAL: no such number; -ENOENT: no such slot, or it isn't logged; -EFAULT; -ENOMEM.
 */
int get_dirty_log(struct vm *vm, const struct minivmm_dirty_log *log)
{
	struct memslot *slot;
	int r;

	if (log->slot >= MAX_MEMSLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, log->slot);
	r = slot ? take_dirty_log(vm, slot, (void __user *)log->dirty_bitmap) : -ENOENT;
	mutex_unlock(&vm->slots_lock);
	return r;
}

static int clear_dirty_bits(struct vm *vm, struct memslot *slot,
			    const struct minivmm_clear_dirty_log *log)
{
	unsigned long words = BITS_TO_LONGS(log->num_pages), *bits;
	int r = -EFAULT;

	if (log->first_page > slot->npages || log->num_pages > slot->npages - log->first_page ||
	    (log->num_pages % 64 && log->num_pages != slot->npages - log->first_page))
		return -EINVAL;
	if (!words)
		return 0;
	bits = kvmalloc_array(words, sizeof(*bits), GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	if (!copy_from_user(bits, (void __user *)log->dirty_bitmap, words * sizeof(*bits))) {
		sync_dirty_log(vm);
		take_wanted_bits(bits, slot->dirty_bitmap + log->first_page / BITS_PER_LONG, words);
		log_again(vm, slot, log->first_page, bits, log->num_pages);
		r = 0;
	}
	kvfree(bits);
	return r;
}

/**
 * clear_dirty_log() - CLEAR_DIRTY_LOG
 * @vm: the VM; slots_lock is taken
 * @log: which slot, from which page on, and the bits of those to be clean
 *
 * Context: may sleep; vCPUs may be running.
 * Return: 0; -EINVAL: no such number, or a range that isn't the slot's or of whole words; -ENOENT: no
 * such slot, or it isn't logged; -EFAULT; -ENOMEM.
 */
int clear_dirty_log(struct vm *vm, const struct minivmm_clear_dirty_log *log)
{
	struct memslot *slot;
	int r;

	if (log->slot >= MAX_MEMSLOTS || log->first_page % 64)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = logged_slot(vm, log->slot);
	r = slot ? clear_dirty_bits(vm, slot, log) : -ENOENT;
	mutex_unlock(&vm->slots_lock);
	return r;
}

/* ---- life ------------------------------------------------------------------------------------ */

int memslots_create(struct vm *vm)
{
	struct memslots *slots = kvzalloc(sizeof(*slots), GFP_KERNEL_ACCOUNT);

	if (!slots)
		return -ENOMEM;
	slots->generation = 1;
	rcu_assign_pointer(vm->slots, slots);
	return 0;
}

/* The last user of the VM has gone. */
void memslots_destroy(struct vm *vm)
{
	struct memslots *slots = rcu_dereference_protected(vm->slots, true);
	int i;

	if (!slots)
		return;
	for (i = 0; i < slots->count; i++) {
		mmu_slot_destroy(&slots->slot[i]);
		kvfree(slots->slot[i].dirty_bitmap);
	}
	free_retired(slots);
	kvfree(slots);
}
