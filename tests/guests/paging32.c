// SPDX-License-Identifier: GPL-2.0
/*
 * 32-bit and PAE paging, and protected mode without any: this guest leaves 64-bit mode for a single
 * access with the tables in question, and comes back with what the access did.
 */
#include "rights.h"

/* For enter32 below: keep the offsets in step. */
struct visit {
	u32 cr0, cr3, cr4;		/* 0, 4, 8 */
	u32 nxe;			/* 12 */
	u32 kind, address, user;	/* 16, 20, 24 */
	u32 vector, error, cr2;		/* 28, 32, 36: what came of it */
	u32 value;			/* 40: what was read */
	u32 saved_cr0, saved_cr3, saved_cr4, saved_efer;	/* 44 … 56 */
	u64 saved_rsp;			/* 64 */
} visit __attribute__((aligned(64)));

void enter32(void);
extern char fault_stubs32[], done32[];
extern char user_stack_top[], stack_top[];

asm(".pushsection .text\n"
    ".globl enter32, fault_stubs32, done32\n"
    "enter32:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, visit + 64\n"
    "	mov %cr0, %rax; mov %eax, visit + 44\n"
    "	mov %cr3, %rax; mov %eax, visit + 48\n"
    "	mov %cr4, %rax; mov %eax, visit + 52\n"
    "	mov $0xc0000080, %ecx; rdmsr; mov %eax, visit + 56\n"
    "	movl $-1, visit + 28\n"
    "	pushq $0x18; pushq $1f; lretq\n"
    ".code32\n"
    "1:	mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov $0xc0000080, %ecx; xor %edx, %edx; mov visit + 12, %eax; shl $11, %eax; wrmsr\n"
    "	mov visit + 8, %eax; mov %eax, %cr4\n"
    "	mov visit + 4, %eax; mov %eax, %cr3\n"
    "	lidt idtr32\n"
    "	mov visit, %eax; mov %eax, %cr0\n"
    "	jmp 2f\n"
    "2:	cmpl $0, visit + 24; je 3f\n"
    "	mov $0x23, %eax; mov %eax, %ds; mov %eax, %es\n"
    "	pushl $0x23; pushl $user_stack_top; pushl $2; pushl $0x33; pushl $3f; iret\n"
    "3:	mov visit + 20, %edi\n"
    "	mov visit + 16, %eax\n"
    "	cmp $2, %eax; je 4f\n"
    "	cmp $16, %eax; je 5f\n"
    "	movzbl (%edi), %ebx; jmp 6f\n"
    "4:	movb $0xc3, (%edi); jmp 6f\n"
    "5:	call *%edi\n"
    "6:	int $0x80\n"
    /* Vectors 0 … 14, 8 bytes each. */
    "	.balign 8\n"
    "fault_stubs32:\n"
    "	.set v, 0\n"
    "	.rept 15\n"
    "	.balign 8\n"
    "	push $v; jmp 7f\n"
    "	.set v, v + 1\n"
    "	.endr\n"
    "7:	popl %ss:visit + 28\n"
    "	popl %ss:visit + 32\n"
    "	mov %cr2, %eax; mov %eax, %ss:visit + 36\n"
    "done32:\n"
    "	mov $0x10, %eax; mov %eax, %ds; mov %eax, %es\n"
    "	mov %ebx, visit + 40\n"
    "	mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "	mov visit + 52, %eax; mov %eax, %cr4\n"
    "	mov visit + 48, %eax; mov %eax, %cr3\n"
    "	mov $0xc0000080, %ecx; xor %edx, %edx; mov visit + 56, %eax; wrmsr\n"
    "	mov visit + 44, %eax; mov %eax, %cr0\n"
    "	ljmp $0x08, $8f\n"
    ".code64\n"
    "8:	mov visit + 64, %rsp\n"
    "	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    "	.popsection\n");

static u64 idt32[256];
struct {
	u16 limit;
	u64 base;
} __attribute__((packed)) idtr32;

static u64 gate32(u64 target, u64 dpl)
{
	return (target & 0xffff) | (u64)SEL_CODE32 << 16 | (0x8e00ull | dpl << 13) << 32 |
	       (target & 0xffff0000) << 32;
}

/* Comes back with visit.vector: -1 for none. */
static void go(void)
{
	u64 rsp0 = tss.rsp[0];

	for (int i = 0; i < 15; i++)
		idt32[i] = gate32((u64)fault_stubs32 + 8 * i, 0);
	idt32[0x80] = gate32((u64)done32, 3);
	idtr32.limit = sizeof(idt32) - 1;
	idtr32.base = (u64)idt32;
	/* As a task state of 32 bits: ESP0, then SS0. */
	tss.rsp[0] = ((u64)stack_top - 4096) | (u64)SEL_DATA << 32;
	enter32();
	tss.rsp[0] = rsp0;
	load_idt(256 * 16 - 1);
}

/* ---- tables ---------------------------------------------------------------------------------- */

#define WINDOW	0x40000000u
#define OFFSET	0x123

static u8 *page;

static void prepare_page(void)
{
	if (!page)
		page = new_page();
	page[OFFSET] = 0xc3;
}

/* One way of 32 bits: its tables map the first 32 MiB to themselves, and the window to `leaf`. */
struct paging {
	const char *name;
	bool pae, large;
	void *root;
	void *leaf;
	u64 leaf_size;
};

static void make_2_level(struct paging *p, bool user)
{
	u32 *pd = (u32 *)new_page(), *pt = (u32 *)new_page();

	for (u32 i = 0; i < 8; i++)
		pd[i] = i << 22 | PTE_P | PTE_W | PTE_LARGE | (user ? PTE_U : 0);
	pd[WINDOW >> 22] = (u32)(u64)pt | PTE_P | PTE_W | PTE_U;
	p->root = pd;
	p->leaf = p->large ? &pd[WINDOW >> 22] : &pt[0];
	p->leaf_size = p->large ? 4 * MiB : PAGE;
}

static void make_pae(struct paging *p, bool user)
{
	u64 *pdpt = new_page(), *low = new_page(), *pd = new_page(), *pt = new_page();

	for (u64 i = 0; i < 16; i++)
		low[i] = i << 21 | PTE_P | PTE_W | PTE_LARGE | (user ? PTE_U : 0);
	pdpt[0] = (u64)low | PTE_P;
	pdpt[WINDOW >> 30] = (u64)pd | PTE_P;
	pd[0] = (u64)pt | PTE_P | PTE_W | PTE_U;
	p->root = pdpt;
	p->leaf = p->large ? pd : pt;
	p->leaf_size = p->large ? 2 * MiB : PAGE;
}

static void make_tables(struct paging *p, bool user)
{
	prepare_page();
	if (p->pae)
		make_pae(p, user);
	else
		make_2_level(p, user);
}

static void set_leaf(const struct paging *p, u64 v)
{
	if (p->pae)
		*(volatile u64 *)p->leaf = v;
	else
		*(volatile u32 *)p->leaf = v;
}

static u64 get_leaf(const struct paging *p)
{
	return p->pae ? *(volatile u64 *)p->leaf : *(volatile u32 *)p->leaf;
}

static u32 window(const struct paging *p)
{
	return WINDOW + ((u64)page & (p->leaf_size - 1)) + OFFSET;
}

static void prepare_visit(const struct paging *p, const struct setup *s)
{
	visit.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | (s->wp ? CR0_WP : 0);
	visit.cr3 = (u64)p->root;
	visit.cr4 = (p->pae ? CR4_PAE : CR4_PSE) |
		    (s->smep ? CR4_SMEP : 0) | (s->smap ? CR4_SMAP : 0);
	visit.nxe = s->nxe;
	visit.kind = s->kind;
	visit.user = s->user;
	visit.address = window(p);
}

/* ---- rights ---------------------------------------------------------------------------------- */

static void check_access(const struct paging *p, const struct setup *s)
{
	u64 before = ((u64)page & ~(p->leaf_size - 1)) | s->flags | (p->large ? PTE_LARGE : 0);
	u64 want = expected_error(s);

	set_leaf(p, before);
	prepare_visit(p, s);
	go();
	context("%s, leaf %lx, %s by %s, wp %d, nxe %d, smep %d, smap %d", p->name, s->flags,
		kind_name(s->kind), s->user ? "user" : "kernel",
		s->wp, s->nxe, s->smep, s->smap);
	if (want == NO_FAULT) {
		CHECK_EQ(visit.vector, 0xffffffff);
		CHECK_EQ(get_leaf(p), before | PTE_A | (s->kind == WRITE ? PTE_D : 0));
		return;
	}
	CHECK_EQ(visit.vector, PF);
	CHECK_EQ(visit.error, want);
	CHECK_EQ(visit.cr2, window(p));
	CHECK_EQ(get_leaf(p), before);
}

static void check_all(struct paging *p, struct setup s)
{
	make_tables(p, !s.smep && !s.smap);
	for (u32 f = 0; f < ARRAY_SIZE(leaf_flags); f++)
		for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
			s.flags = leaf_flags[f];
			s.kind = kinds[k];
			if (s.flags & PTE_NX && (!p->pae || !has_nx()))
				continue;
			check_access(p, &s);
		}
}

static void check_rights(struct paging *p)
{
	bool nxe = p->pae && has_nx();

	check_all(p, (struct setup){ .wp = true, .nxe = nxe });
	check_all(p, (struct setup){ .wp = false, .nxe = nxe });
	check_all(p, (struct setup){ .wp = true, .nxe = nxe, .user = true });
}

GUEST_TEST(rights_of_2_levels)
{
	check_rights(&(struct paging){ .name = "2 levels" });
}

GUEST_TEST(rights_of_4m_pages)
{
	check_rights(&(struct paging){ .name = "4M pages", .large = true });
}

GUEST_TEST(rights_of_pae)
{
	check_rights(&(struct paging){ .name = "PAE", .pae = true });
}

GUEST_TEST(rights_of_pae_without_nx)
{
	check_all(&(struct paging){ .name = "PAE", .pae = true }, (struct setup){ .wp = true });
}

GUEST_TEST(rights_of_2m_pages_by_pae)
{
	check_rights(&(struct paging){ .name = "PAE, 2M pages", .pae = true, .large = true });
}

static bool has_7b(int bit)
{
	return has_leaf(7) && cpuid(7, 0).b >> bit & 1;
}

GUEST_TEST(rights_with_smep)
{
	if (!has_7b(7))
		skip("no SMEP in this CPU");
	check_all(&(struct paging){ .name = "2 levels" },
		  (struct setup){ .wp = true, .smep = true });
	check_all(&(struct paging){ .name = "PAE", .pae = true },
		  (struct setup){ .wp = true, .nxe = true, .smep = true });
}

GUEST_TEST(rights_with_smap)
{
	if (!has_7b(20))
		skip("no SMAP in this CPU");
	check_all(&(struct paging){ .name = "2 levels" },
		  (struct setup){ .wp = true, .smap = true });
	check_all(&(struct paging){ .name = "PAE", .pae = true },
		  (struct setup){ .wp = true, .nxe = true, .smap = true });
}

/* ---- reserved bits --------------------------------------------------------------------------- */

static void check_reserved(struct paging *p, u64 leaf)
{
	set_leaf(p, leaf);
	prepare_visit(p, &(struct setup){ .wp = true });
	go();
	context("%s, leaf %lx", p->name, leaf);
	CHECK_EQ(visit.vector, PF);
	CHECK_EQ(visit.error, PFERR_P | PFERR_RSVD);
}

GUEST_TEST(reserved_bits)
{
	struct paging pae = { .name = "PAE", .pae = true };
	struct paging pae_2m = { .name = "PAE, 2M pages", .pae = true, .large = true };
	struct paging four_m = { .name = "4M pages", .large = true };

	make_tables(&pae, true);
	check_reserved(&pae, (u64)page | PTE_P | PTE_W | 1ul << 62);
	check_reserved(&pae, (u64)page | PTE_P | PTE_W | PTE_NX);
	make_tables(&pae_2m, true);
	check_reserved(&pae_2m, PTE_P | PTE_W | PTE_LARGE | 1 << 13);
	make_tables(&four_m, true);
	check_reserved(&four_m, PTE_P | PTE_W | PTE_LARGE | 1 << 21);
}

/* The four entries at CR3 are loaded with it, and refused then. */
GUEST_TEST(reserved_bits_of_pdptes)
{
	struct paging p = { .name = "PAE", .pae = true };

	make_tables(&p, true);
	set_leaf(&p, (u64)page | PTE_P);
	((u64 *)p.root)[2] = PTE_P | PTE_W;
	prepare_visit(&p, &(struct setup){ .wp = true });
	/* CR0.PG isn't set then: the fault comes from the MOV to CR0. */
	go();
	CHECK_EQ(visit.vector, GP);
	((u64 *)p.root)[2] = 0;
	go();
	CHECK_EQ(visit.vector, 0xffffffff);
}

/* ---- what is mapped where -------------------------------------------------------------------- */

static u32 read_through(struct paging *p, u64 leaf)
{
	set_leaf(p, leaf);
	prepare_visit(p, &(struct setup){ .wp = true });
	go();
	CHECK_EQ(visit.vector, 0xffffffff);
	return visit.value;
}

static void check_mapping(struct paging *p)
{
	u8 *other = new_page();

	make_tables(p, true);
	other[OFFSET] = 0x77;
	context("%s", p->name);
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(read_through(p, (u64)page | PTE_P | PTE_W), 0xc3);
		CHECK_EQ(read_through(p, (u64)other | PTE_P | PTE_W), i ? i : 0x77);
		other[OFFSET] = i + 1;
	}
}

GUEST_TEST(mappings_change)
{
	struct paging two = { .name = "2 levels" }, pae = { .name = "PAE", .pae = true };

	prepare_page();
	check_mapping(&two);
	check_mapping(&pae);
}

/* One directory is at once another's table: every entry of it is both. */
GUEST_TEST(directory_that_maps_itself)
{
	struct paging p = { .name = "2 levels" };
	u32 *pd;

	make_tables(&p, true);
	pd = p.root;
	pd[1023] = (u32)(u64)pd | PTE_P | PTE_W;
	prepare_visit(&p, &(struct setup){ .wp = true });
	visit.address = 0xfffff000u + 4 * 1023 + 1;
	go();
	CHECK_EQ(visit.vector, 0xffffffff);
	CHECK_EQ(visit.value, (u64)pd >> 8 & 0xff);
}

GUEST_TEST(protected_mode_without_paging)
{
	struct paging none = { .name = "no paging" };

	prepare_page();
	prepare_visit(&none, &(struct setup){ .kind = READ });
	visit.cr0 = CR0_PE | CR0_ET | CR0_NE;
	visit.cr4 = 0;
	visit.address = (u64)page + OFFSET;
	page[OFFSET] = 0x5a;
	for (int i = 0; i < 5; i++) {
		visit.kind = READ;
		go();
		CHECK_EQ(visit.vector, 0xffffffff);
		CHECK_EQ(visit.value, i ? 0xc3 : 0x5a);
		visit.kind = WRITE;
		go();
		CHECK_EQ(visit.vector, 0xffffffff);
		CHECK_EQ(page[OFFSET], 0xc3);
		visit.kind = FETCH;
		visit.user = i & 1;
		go();
		CHECK_EQ(visit.vector, 0xffffffff);
	}
}
