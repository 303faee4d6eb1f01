// SPDX-License-Identifier: GPL-2.0
/*
 * Is each instruction that the emulator does done by a test? This program is emulate_native,
 * _model, _legacy, _far and _system in one. It notes what they execute; then it walks through the
 * opcode maps in every mode, has Zydis say what each encoding is, tries it, and wants that it
 *
 *	- was executed by a test to its end, if the emulator does it, or
 *	- is listed in Documentation/emulator.md, with what happens in its stead.
 *
 * A form is what has a line of its own in the manual: a mnemonic, an opcode, register or memory,
 * the sizes of the operands, LOCK, REP. A row of the document that fits nothing is a failure too.
 */
#include <cpuid.h>
#include <stdio.h>

#include <Zydis/Zydis.h>

#include "model.h"

/* emulate_*.c, their main() renamed */
int native_main(void);
int model_main(void);
int legacy_main(void);
int far_main(void);
int system_main(void);

enum {	/* what is known of a form */
	BY_NATIVE = 1, BY_MODEL = 2,		/* executed by these tests */
	WALKED = 4,				/* the walk came by, and in some mode saw it */
	DONE = 8, REFUSED = 16, UNDEFINED = 32,
	TRIED = 64,				/* in EMU_REAL; the bits above: in the others */
};

struct form {
	u64 key;		/* 0: none */
	unsigned int flags;
	u8 mode, bytes[EMU_INSN_MAX];	/* of one of them */
};

#define FORMS	(1 << 15)

static struct form forms[FORMS];
static ZydisDecoder decoders[EMU_LONG + 1];
static unsigned int source;
static bool native_ran;	/* it can be forbidden */

/* ---- forms ----------------------------------------------------------------------------------- */

struct decoded {
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static bool decode(struct decoded *d, unsigned int mode, const u8 *bytes, unsigned int len)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoders[mode], bytes, len, &d->zi,
						   d->operands));
}

static unsigned int operand_size(const struct decoded *d, unsigned int n)
{
	return n < d->zi.operand_count_visible ? d->operands[n].size / 8 & 0x7f : 0;
}

static u64 key_of(const struct decoded *d, const struct insn *insn)
{
	const ZydisDecodedInstruction *zi = &d->zi;
	const u64 rep = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE;
	u64 key = zi->mnemonic;

	key = key << 3 | zi->encoding;
	key = key << 3 | zi->opcode_map;
	key = key << 8 | zi->opcode;
	key = key << 1 | insn->mem;
	key = key << 3 | (insn->flags & GROUP ? zi->raw.modrm.reg : 0);
	key = key << 2 | (zi->attributes & rep ? insn->rep & 3 : 0);
	key = key << 1 | !!(zi->attributes & ZYDIS_ATTRIB_HAS_LOCK);
	key = key << 7 | operand_size(d, 0);
	return key << 7 | operand_size(d, 1);
}

static struct form *find_form(u64 key)
{
	struct form *f = &forms[(key * 0x9e3779b97f4a7c15) >> 49];

	while (f->key && f->key != key)
		f = f == &forms[FORMS - 1] ? forms : f + 1;
	return f;
}

static struct form *get_form(const struct decoded *d, const struct model *m, unsigned int mode,
			     const u8 *bytes)
{
	struct form *f = find_form(key_of(d, &m->e.insn));
	static unsigned int n;

	if (!f->key) {
		assert_true(++n < FORMS);
		f->key = key_of(d, &m->e.insn);
		f->mode = mode;
		memcpy(f->bytes, bytes, EMU_INSN_MAX);
	}
	return f;
}

static void note(const struct model *m, enum emu_result r)
{
	struct decoded d;

	if ((r == EMU_OK || r == EMU_PART) &&
	    decode(&d, m->e.mode, m->e.insn.bytes, EMU_INSN_MAX))
		get_form(&d, m, m->e.mode, m->e.insn.bytes)->flags |= source;
	if (source == BY_NATIVE)
		native_ran = true;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static struct model *guest;

/* What the CPUs that we are about have never had, or no longer have. */
static bool is_foreign(const ZydisDecodedInstruction *zi)
{
	return zi->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW ||
	       zi->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
	       zi->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX;
}

/* A guest in which as much as possible is allowed. */
static void permissive(struct model *m, unsigned int mode, const u8 *bytes)
{
	unsigned int i;

	model_init(m, mode);
	m->sys[EMU_CR4] = 1 << 9 | 1 << 16 | 1 << 18;	/* OSFXSR, FSGSBASE, OSXSAVE */
	m->sys[EMU_XCR0] = 7;
	for (i = 0; i < 8; i++)
		m->msr[i].index = (u32[]){ 0x174, 0x175, 0x176, 0xc0000080, 0xc0000103, 0xc0000100,
					   0xc0000102, 0xc0000101 }[i];
	m->msr[3].value = 1;				/* EFER.SCE */
	model_code(m, bytes, EMU_INSN_MAX);
}

static void try(unsigned int mode, const u8 *bytes)
{
	struct model *m = guest;
	enum emu_result r;
	struct decoded d;
	struct form *f;

	if (!decode(&d, mode, bytes, EMU_INSN_MAX) || is_foreign(&d.zi))
		return;
	m->e.mode = mode;
	model_code(m, bytes, EMU_INSN_MAX);
	emu_decode(&m->e);
	f = get_form(&d, m, mode, bytes);
	if (f->flags & TRIED << mode)
		return;
	permissive(m, mode, bytes);
	r = model_run(m);
	f->flags |= WALKED | TRIED << mode;
	if (r == EMU_UNHANDLED)
		f->flags |= REFUSED;
	else if (r == EMU_FAULT && m->e.fault.vector == X86_UD)
		f->flags |= UNDEFINED;
	else
		f->flags |= DONE;
	permissive(m, mode, bytes);
}

/* Each opcode with each ModRM.reg on memory, and each ModRM byte that names a register. */
static void walk_map(const u8 *lead, unsigned int n)
{
	u8 bytes[EMU_INSN_MAX] = { 0 };
	unsigned int opcode, modrm, mode;

	if (n)
		memcpy(bytes, lead, n);
	for (opcode = 0; opcode < 256; opcode++)
		for (modrm = 0; modrm < 256; modrm++) {
			if (modrm < 0xc0 && modrm & 0xc7)
				continue;
			bytes[n] = opcode;
			bytes[n + 1] = modrm;
			for (mode = EMU_REAL; mode <= EMU_LONG; mode++)
				try(mode, bytes);
		}
}

#define MAP(...) walk_map((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

static void walk_legacy(const u8 *prefixes, unsigned int n)
{
	static const u8 maps[][2] = { { 0x0f }, { 0x0f, 0x38 }, { 0x0f, 0x3a } };
	u8 lead[4];
	int i;

	if (n)
		memcpy(lead, prefixes, n);
	walk_map(lead, n);
	for (i = 0; i < 3; i++) {
		memcpy(lead + n, maps[i], 2);
		walk_map(lead, n + 1 + (i > 0));
	}
}

#define PREFIXED(...) walk_legacy((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* VEX and EVEX: each mandatory prefix, map, W and length. */
static void walk_vector(void)
{
	unsigned int pp, map, w, l;

	for (pp = 0; pp < 4; pp++)
		for (map = 1; map <= 3; map++)
			for (w = 0; w < 2; w++) {
				for (l = 0; l < 2; l++)
					MAP(0xc4, 0xe0 | map, w << 7 | 0x78 | l << 2 | pp);
				MAP(0x62, 0xf0 | map, w << 7 | 0x7c | pp, 0x48);
			}
}

static void walk(void)
{
	walk_legacy(NULL, 0);
	PREFIXED(0x66);
	PREFIXED(0xf0);
	PREFIXED(0xf2);
	PREFIXED(0xf3);
	PREFIXED(0x48);
	PREFIXED(0x67);
	PREFIXED(0x66, 0xf0);
	PREFIXED(0x66, 0xf2);
	PREFIXED(0x66, 0xf3);
	PREFIXED(0xf0, 0x48);
	PREFIXED(0xf2, 0x48);
	PREFIXED(0xf3, 0x48);
	walk_vector();
}

/* ---- the document ---------------------------------------------------------------------------- */

/* A row of a table: | `NAME` `NAME*` … | word | …; the word says which table it is of. */
struct row {
	char names[20][24];
	unsigned int n, used;	/* used: by bits, which of the names fit something */
	char word[16];
};

static struct row rows[64];
static unsigned int nr_rows;

static bool is_word(const char *word)
{
	static const char *const words[] = { "all", "some", "none", "exit", "#UD", "#GP" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

static void parse_row(const char *line)
{
	struct row *row = &rows[nr_rows];
	const char *end = strchr(line + 1, '|'), *p = line;

	*row = (struct row){ 0 };
	if (!end || sscanf(end + 1, " %15s", row->word) != 1 || !is_word(row->word))
		return;
	while ((p = strchr(p, '`')) && p < end) {
		assert_true(row->n < ARRAY_SIZE(row->names));
		assert_int_equal(sscanf(p + 1, "%23[^`]", row->names[row->n]), 1);
		p += strlen(row->names[row->n++]) + 2;
	}
	assert_true(++nr_rows < ARRAY_SIZE(rows));
}

static int read_document(void)
{
	FILE *f = fopen(DOCUMENT, "r");
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (line[0] == '|' && strchr(line, '`'))
			parse_row(line);
	fclose(f);
	return 0;
}

static bool fits(const char *name, const char *what)
{
	unsigned int len = strlen(name);

	return name[len - 1] == '*' ? !strncmp(name, what, len - 1) : !strcmp(name, what);
}

/* Does a row with this word name what? */
static bool is_documented(const char *word, const char *what)
{
	bool found = false;
	unsigned int i, j;

	for (i = 0; i < nr_rows; i++)
		for (j = 0; j < rows[i].n && !strcmp(rows[i].word, word); j++)
			if (fits(rows[i].names[j], what)) {
				rows[i].used |= 1u << j;
				found = true;
			}
	return found;
}

/* ---- what must hold -------------------------------------------------------------------------- */

static void print_form(const char *what, const struct form *f, const struct decoded *d)
{
	ZydisFormatter formatter;
	char text[100];
	unsigned int i;

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	ZydisFormatterFormatInstruction(&formatter, &d->zi, d->operands,
					d->zi.operand_count_visible, text, sizeof(text), 0, NULL);
	printf("# %s: %s (%s, mode %u:", what, text, ZydisISASetGetString(d->zi.meta.isa_set),
	       f->mode);
	for (i = 0; i < d->zi.length; i++)
		printf(" %02x", f->bytes[i]);
	printf(")\n");
}

static unsigned int leaf7(bool ecx)
{
	unsigned int a, b = 0, c = 0, d;

	__get_cpuid_count(7, 0, &a, &b, &c, &d);
	return ecx ? c : b;
}

/* emulate_native leaves out what the CPU that it runs on hasn't. */
static bool cpu_lacks(const ZydisDecodedInstruction *zi)
{
	switch (zi->meta.isa_set) {
	case ZYDIS_ISA_SET_MOVBE:
		return !__builtin_cpu_supports("movbe");
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_BMI2:
		return !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2");
	case ZYDIS_ISA_SET_ADOX_ADCX:
		return !(leaf7(false) & 1 << 19);
	case ZYDIS_ISA_SET_MOVDIR:
		return !(leaf7(true) & 1 << 27);
	case ZYDIS_ISA_SET_SSE42:
		return !__builtin_cpu_supports("sse4.2");
	case ZYDIS_ISA_SET_PENTIUMMMX:
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_AVX:
	case ZYDIS_ISA_SET_AVX2:
		return !__builtin_cpu_supports("avx2");
	default:
		return false;
	}
}

/* Of the forms that the walk has met, the next. */
static const struct form *next_form(const struct form *f, struct decoded *d)
{
	for (f = f ? f + 1 : forms; f < forms + FORMS; f++)
		if (f->flags & WALKED) {
			assert_true(decode(d, f->mode, f->bytes, EMU_INSN_MAX));
			return f;
		}
	return NULL;
}

static bool is_named(const char *word, const struct decoded *d)
{
	bool by_set = is_documented(word, ZydisISASetGetString(d->zi.meta.isa_set));

	return is_documented(word, ZydisMnemonicGetString(d->zi.mnemonic)) || by_set;
}

/* But for those that are named with the fault that they always end in. */
static void test_what_is_done_is_tested(void **state)
{
	unsigned int missing = 0, lacking = 0, done = 0;
	const struct form *f = NULL;
	struct decoded d;

	if (!native_ran)
		skip();
	while ((f = next_form(f, &d))) {
		if (!(f->flags & DONE))
			continue;
		done++;
		if (f->flags & REFUSED) {
			print_form("not in every mode", f, &d);
			missing++;
		}
		if (f->flags & (BY_NATIVE | BY_MODEL) || is_named("#GP", &d))
			continue;
		if (cpu_lacks(&d.zi)) {
			lacking++;
			continue;
		}
		print_form("no test executes it", f, &d);
		missing++;
	}
	printf("# %u forms\n", done);
	if (lacking)
		printf("# remark: %u forms are not tested: this CPU lacks them\n", lacking);
	assert_int_equal(missing, 0);
	assert_true(done > 1000);
}

static void test_what_is_not_done_is_documented(void **state)
{
	const struct form *f = NULL;
	unsigned int missing = 0;
	struct decoded d;

	while ((f = next_form(f, &d))) {
		const char *word = f->flags & REFUSED ? "exit" : "#UD";

		if (f->flags & DONE || is_named(word, &d))
			continue;
		print_form(word, f, &d);
		missing++;
	}
	assert_int_equal(missing, 0);
}

/* By category: are all of its forms compared with the CPU, some of them, or none? */
static void test_how_is_documented(void **state)
{
	unsigned int done[ZYDIS_CATEGORY_MAX_VALUE + 1] = { 0 };
	unsigned int native[ZYDIS_CATEGORY_MAX_VALUE + 1] = { 0 };
	static const char *const words[] = { "none", "some", "all" };
	unsigned int i, wrong = 0;
	const struct form *f = NULL;
	struct decoded d;

	if (!native_ran)
		skip();
	while ((f = next_form(f, &d))) {
		unsigned int category = d.zi.meta.category;

		if (f->flags & DONE && cpu_lacks(&d.zi)) {	/* may be the whole of a row */
			for (i = 0; i < 3; i++)
				is_documented(words[i], ZydisCategoryGetString(category));
		} else if (f->flags & DONE) {
			done[category]++;
			native[category] += f->flags & BY_NATIVE;
		}
	}
	for (i = 0; i <= ZYDIS_CATEGORY_MAX_VALUE; i++) {
		const char *word = words[native[i] == done[i] ? 2 : !!native[i]];

		if (!done[i] || is_documented(word, ZydisCategoryGetString(i)))
			continue;
		printf("# %s: %s\n", ZydisCategoryGetString(i), word);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* After the others. */
static void test_document_says_no_more(void **state)
{
	unsigned int i, j, wrong = 0;

	if (!native_ran)
		skip();
	for (i = 0; i < nr_rows; i++)
		for (j = 0; j < rows[i].n; j++)
			if (!(rows[i].used >> j & 1)) {
				printf("# %s %s: nothing is\n", rows[i].names[j], rows[i].word);
				wrong++;
			}
	assert_int_equal(wrong, 0);
	assert_true(nr_rows > 10);
}

/* ---- all of them as one program -------------------------------------------------------------- */

static struct CMUnitTest tests[256];
static unsigned int nr_tests;
static CMFixtureFunction teardowns[8];
static unsigned int nr_teardowns;

static int by_native(void **state)
{
	source = BY_NATIVE;
	return 0;
}

static int by_model(void **state)
{
	source = BY_MODEL;
	return 0;
}

/* What the others call for cmocka_run_group_tests(). */
int collect_tests(const char *name, const struct CMUnitTest *of, size_t n, CMFixtureFunction setup,
		  CMFixtureFunction teardown);

int collect_tests(const char *name, const struct CMUnitTest *of, size_t n, CMFixtureFunction setup,
		  CMFixtureFunction teardown)
{
	void *state = NULL;

	for (; n--; of++) {
		tests[nr_tests] = *of;
		if (!of->setup_func)
			tests[nr_tests].setup_func = source == BY_NATIVE ? by_native : by_model;
		if (++nr_tests == ARRAY_SIZE(tests))
			abort();
	}
	if (teardown)
		teardowns[nr_teardowns++ % ARRAY_SIZE(teardowns)] = teardown;
	return setup ? setup(&state) : 0;
}

/* After they have run. */
static int look_back(void **state)
{
	model_ran = NULL;
	guest = model_new(EMU_LONG);
	model_map(guest, guest->e.rip, PAGE_ALL);
	walk();
	model_free(guest);
	return read_document();
}

int main(void)
{
	static const struct CMUnitTest own[] = {
		cmocka_unit_test_setup(test_what_is_done_is_tested, look_back),
		cmocka_unit_test(test_what_is_not_done_is_documented),
		cmocka_unit_test(test_how_is_documented),
		cmocka_unit_test(test_document_says_no_more),
	};
	static const struct { ZydisMachineMode machine; ZydisStackWidth width; } modes[] = {
		{ ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_REAL_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16 },
		{ ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32 },
		{ ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64 },
	};
	void *state = NULL;
	int failed, i;

	for (i = 0; i <= EMU_LONG; i++)
		ZydisDecoderInit(&decoders[i], modes[i].machine, modes[i].width);
	model_ran = note;
	source = BY_NATIVE;
	failed = native_main();
	source = BY_MODEL;
	failed |= model_main() | legacy_main() | far_main() | system_main();
	failed |= collect_tests("", own, ARRAY_SIZE(own), NULL, NULL);
	failed |= _cmocka_run_group_tests("instructions", tests, nr_tests, NULL, NULL);
	while (nr_teardowns)
		teardowns[--nr_teardowns](&state);
	return failed;
}
