/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the architecture says of a linear address: SDM volume 3, "Paging", as a function of the
 * tables in memory and of the control registers. Read from the manual, not from the walker that it
 * is compared with: first the entries that are used, then what each of them says, then the answer.
 *
 * Who includes this defines pm_read() before: the entry of 4 or 8 bytes at a physical address.
 */
#ifndef PAGING_MODEL_H
#define PAGING_MODEL_H

#define PM_P		1ull		/* bits of entries */
#define PM_W		2ull
#define PM_U		4ull
#define PM_A		0x20ull
#define PM_D		0x40ull
#define PM_PS		0x80ull
#define PM_XD		(1ull << 63)

#define PM_OK		~0u		/* no page fault; else the error code: */
#define PM_ERR_P	1u
#define PM_ERR_W	2u
#define PM_ERR_U	4u
#define PM_ERR_RSVD	8u
#define PM_ERR_ID	16u

enum pm_mode { PM_NONE = 0, PM_32 = 2, PM_PAE = 3, PM_LONG = 4 };	/* = its levels */

struct pm_cpu {
	enum pm_mode mode;
	unsigned int maxphyaddr;
	bool pse, gbpages;		/* CR4.PSE; CPUID's 1-GByte pages */
	bool wp, nxe, smep, smap;
	u64 cr3;
	u64 pdpte[4];			/* PAE: as they were when CR3 was loaded */
};

struct pm_access {
	u64 address;
	bool write, fetch;
	bool user;			/* at CPL 3 */
	bool implicit;			/* of a descriptor table or the like: the supervisor's */
	bool ac;			/* EFLAGS.AC */
};

struct pm_entry {
	u64 at, value;
	int level;
	bool in_memory;			/* a PDPTE of PAE paging isn't */
};

/* The entries used for an address, the last of which maps the page or stops the walk. */
struct pm_walk {
	struct pm_entry entry[4];
	int n;
	unsigned int stopped;		/* PM_OK, 0 (not present) or PM_ERR_P | PM_ERR_RSVD */
	u64 physical;
};

static u64 pm_read(u64 at, int size);

/* Bits hi … lo. */
static inline u64 pm_bits(int hi, int lo)
{
	return hi < lo ? 0 : (~0ull >> (63 - hi)) & (~0ull << lo);
}

static inline int pm_entry_size(const struct pm_cpu *c)
{
	return c->mode == PM_32 ? 4 : 8;
}

/* The lowest bit of the linear address that is an index at this level. */
static inline int pm_shift(const struct pm_cpu *c, int level)
{
	static const int of_8_bytes[] = { 0, 12, 21, 30, 39 }, of_4_bytes[] = { 0, 12, 22 };

	return c->mode == PM_32 ? of_4_bytes[level] : of_8_bytes[level];
}

static inline unsigned int pm_index(const struct pm_cpu *c, u64 address, int level)
{
	return address >> pm_shift(c, level) & (c->mode == PM_32 ? 1023 : 511);
}

/* Does the entry map a page of its level's size, rather than point to a table? */
static inline bool pm_maps_page(const struct pm_cpu *c, u64 value, int level)
{
	if (level == 1)
		return true;
	if (!(value & PM_PS))
		return false;
	switch (c->mode) {
	case PM_32:
		return c->pse;
	case PM_PAE:
		return level == 2;
	default:
		return level == 2 || (level == 3 && c->gbpages);
	}
}

/* The tables "Format of …": what is marked as reserved (must be 0). */
static inline u64 pm_reserved(const struct pm_cpu *c, u64 value, int level)
{
	bool page = pm_maps_page(c, value, level);
	u64 r = 0;

	if (c->mode == PM_32) {
		int width = c->maxphyaddr < 40 ? c->maxphyaddr : 40;

		return page && level == 2 ? pm_bits(21, width - 19) : 0;
	}
	if (!c->nxe)
		r |= PM_XD;
	r |= pm_bits(c->mode == PM_PAE ? 62 : 51, c->maxphyaddr);
	if (page && level > 1)
		r |= pm_bits(pm_shift(c, level) - 1, 13);
	if (!page && (level == 4 || level == 3))
		r |= PM_PS;
	return r;
}

static inline u64 pm_physical(const struct pm_cpu *c, u64 value, int level, u64 address)
{
	int shift = pm_shift(c, level);
	u64 base;

	if (c->mode == PM_32 && level == 2)	/* PSE-36 */
		base = (value & pm_bits(31, 22)) | (value & pm_bits(20, 13)) << 19;
	else
		base = value & pm_bits(c->mode == PM_32 ? 31 : 51, shift);
	return base | (address & pm_bits(shift - 1, 0));
}

static inline void pm_use(struct pm_walk *w, u64 at, u64 value, int level, bool in_memory)
{
	w->entry[w->n++] = (struct pm_entry){ at, value, level, in_memory };
}

static inline struct pm_walk pm_walk(const struct pm_cpu *c, u64 address)
{
	struct pm_walk w = { .n = 0, .stopped = PM_OK };
	u64 table = c->cr3 & pm_bits(c->mode == PM_LONG ? 51 : 31, 12);
	int level = c->mode;

	if (c->mode == PM_NONE) {
		w.physical = (u32)address;
		return w;
	}
	if (c->mode == PM_PAE) {
		u64 value = c->pdpte[address >> 30 & 3];

		pm_use(&w, (c->cr3 & pm_bits(31, 5)) + (address >> 30 & 3) * 8, value, 3, false);
		if (!(value & PM_P)) {
			w.stopped = 0;
			return w;
		}
		table = value & pm_bits(51, 12);
		level = 2;
	}
	for (;; level--) {
		u64 at = table + pm_index(c, address, level) * pm_entry_size(c);
		u64 value = pm_read(at, pm_entry_size(c));

		pm_use(&w, at, value, level, true);
		if (!(value & PM_P))
			w.stopped = 0;
		else if (value & pm_reserved(c, value, level))
			w.stopped = PM_ERR_P | PM_ERR_RSVD;
		else if (pm_maps_page(c, value, level))
			w.physical = pm_physical(c, value, level, address);
		else {
			table = value & pm_bits(c->mode == PM_32 ? 31 : 51, 12);
			continue;
		}
		return w;
	}
}

/* "Determination of Access Rights", case by case as it stands there. */
static inline bool pm_permitted(const struct pm_cpu *c, const struct pm_walk *w,
				const struct pm_access *a)
{
	bool user_address = true, writable = true, xd = false;
	bool supervisor_access = !a->user || a->implicit;

	if (c->mode == PM_NONE)
		return true;
	for (int i = 0; i < w->n; i++) {
		if (!w->entry[i].in_memory)
			continue;
		user_address &= !!(w->entry[i].value & PM_U);
		writable &= !!(w->entry[i].value & PM_W);
		xd |= c->mode != PM_32 && c->nxe && w->entry[i].value & PM_XD;
	}
	if (!supervisor_access) {
		if (!user_address)
			return false;
		return a->fetch ? !xd : a->write ? writable : true;
	}
	if (a->fetch)
		return !(user_address && c->smep) && !xd;
	if (user_address && c->smap && (a->implicit || !a->ac))
		return false;
	return !a->write || !c->wp || writable;
}

/* PM_OK, or the error code of the page fault. */
static inline unsigned int pm_outcome(const struct pm_cpu *c, const struct pm_walk *w,
				      const struct pm_access *a)
{
	unsigned int error = w->stopped;

	if (error == PM_OK) {
		if (pm_permitted(c, w, a))
			return PM_OK;
		error = PM_ERR_P;
	}
	if (a->write)
		error |= PM_ERR_W;
	if (a->user && !a->implicit)
		error |= PM_ERR_U;
	if (a->fetch && (c->smep || (c->mode != PM_32 && c->nxe)))
		error |= PM_ERR_ID;
	return error;
}

/*
 * "Accessed and Dirty Flags": which bits the access sets in entry i for certain, and which it may
 * set besides. Whoever was present and well-formed may have been used, by a walk that stopped later
 * or by one ahead of time; D is for a write that is made.
 */
static inline void pm_flags_of_use(const struct pm_walk *w, int i, const struct pm_access *a,
				   unsigned int outcome, u64 *must, u64 *may)
{
	bool last = i == w->n - 1;

	if (!w->entry[i].in_memory || (last && w->stopped != PM_OK))
		return;
	*may |= PM_A;
	if (outcome == PM_OK)
		*must |= PM_A | (last && a->write ? PM_D : 0);
	*may |= *must;
}

/* A table that maps itself may have one entry used at several levels. */
static inline void pm_flags(const struct pm_walk *w, int i, const struct pm_access *a,
			    unsigned int outcome, u64 *must, u64 *may)
{
	*must = *may = 0;
	for (int k = 0; k < w->n; k++)
		if (w->entry[k].at == w->entry[i].at)
			pm_flags_of_use(w, k, a, outcome, must, may);
}

#endif
