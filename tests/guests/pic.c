// SPDX-License-Identifier: GPL-2.0
/* The two 8259s and the 8254: lines, masks, priorities, cascade, counters. */
#include "apic.h"

#define BASE	0x20			/* vectors of the lines */

static void init_pics(u8 icw4)
{
	outb(PIC1, 0x11);
	outb(PIC1 + 1, BASE);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, icw4);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, BASE + 8);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, icw4);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
}

/* Only these lines, and the cascade. */
static void unmask(u16 lines)
{
	outb(PIC1 + 1, ~(lines | (lines >> 8 ? 4 : 0)));
	outb(PIC2 + 1, ~(lines >> 8));
}

static u8 pic_irr(u16 pic)
{
	outb(pic, 0x0a);
	return inb(pic);
}

static u8 pic_isr(u16 pic)
{
	outb(pic, 0x0b);
	return inb(pic);
}

static void eoi(struct frame *f)
{
	if (f->vector >= BASE + 8)
		outb(PIC2, PIC_EOI);
	outb(PIC1, PIC_EOI);
}

static void no_eoi(struct frame *f)
{
	(void)f;
}

static int seen[16], seen_count;

static void note_order(struct frame *f)
{
	seen[seen_count++] = f->vector - BASE;
	eoi(f);
}

GUEST_IRQ_TEST(line_reaches_the_cpu)
{
	init_pics(1);
	unmask(1 << 5);
	handle(BASE + 5, eoi);
	raise_line(5);
	CHECK_EQ(vector_count[BASE + 5], 0);
	CHECK_EQ(pic_irr(PIC1), 1 << 5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 1);
	/* An edge, not the level, makes the next one. */
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 1);
	lower_line(5);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 2);
	lower_line(5);
}

GUEST_IRQ_TEST(mask_holds_a_line)
{
	init_pics(1);
	handle(BASE + 5, eoi);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 0);
	CHECK_EQ(inb(PIC1 + 1), 0xff);
	unmask(1 << 5);
	CHECK_EQ(inb(PIC1 + 1), 0xdf);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 1);
}

GUEST_IRQ_TEST(second_chip_comes_through_the_first)
{
	init_pics(1);
	unmask(1 << 10);
	handle(BASE + 10, no_eoi);
	raise_line(10);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 10], 1);
	CHECK_EQ(pic_isr(PIC1), 1 << 2);
	CHECK_EQ(pic_isr(PIC2), 1 << 2);
	outb(PIC2, PIC_EOI);
	outb(PIC1, PIC_EOI);
	CHECK_EQ(pic_isr(PIC1), 0);
	CHECK_EQ(pic_isr(PIC2), 0);
}

GUEST_IRQ_TEST(lower_lines_go_first)
{
	init_pics(1);
	unmask(1 << 3 | 1 << 6 | 1 << 9);
	for (int i = 0; i < 16; i++)
		handle(BASE + i, note_order);
	raise_line(6);
	raise_line(3);
	raise_line(9);
	sti();
	asm volatile("nop; nop; nop");
	cli();
	CHECK_EQ(seen_count, 3);
	CHECK_EQ(seen[0], 9);
	CHECK_EQ(seen[1], 3);
	CHECK_EQ(seen[2], 6);
}

/* Until its end, a line keeps those of its priority and below away, and lets higher ones in. */
GUEST_IRQ_TEST(line_in_service_blocks_lower_ones)
{
	init_pics(1);
	unmask(1 << 3 | 1 << 5 | 1 << 6);
	handle(BASE + 3, eoi);
	handle(BASE + 5, no_eoi);
	handle(BASE + 6, eoi);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 1);
	raise_line(6);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 6], 0);
	raise_line(3);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 3], 1);
	/* Not specific: it ends the highest in service. */
	outb(PIC1, PIC_EOI);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 6], 1);
}

GUEST_IRQ_TEST(specific_end_of_interrupt)
{
	init_pics(1);
	unmask(1 << 5);
	handle(BASE + 5, no_eoi);
	raise_line(5);
	open_interrupts();
	outb(PIC1, 0x60 | 4);
	CHECK_EQ(pic_isr(PIC1), 1 << 5);
	outb(PIC1, 0x60 | 5);
	CHECK_EQ(pic_isr(PIC1), 0);
}

GUEST_IRQ_TEST(automatic_end_of_interrupt)
{
	init_pics(3);
	unmask(1 << 5);
	handle(BASE + 5, no_eoi);
	raise_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 1);
	CHECK_EQ(pic_isr(PIC1), 0);
}

/* A device that gives up after the third time. */
static void calm_line_5(struct frame *f)
{
	if (vector_count[BASE + 5] == 3)
		lower_line(5);
	eoi(f);
}

GUEST_IRQ_TEST(level_triggered_line)
{
	init_pics(1);
	outb(ELCR, 1 << 5);
	CHECK_EQ(inb(ELCR), 1 << 5);
	unmask(1 << 5);
	handle(BASE + 5, calm_line_5);
	raise_line(5);
	for (int i = 0; i < 10; i++)
		open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 3);
	/* Gone before it was taken. */
	raise_line(5);
	lower_line(5);
	open_interrupts();
	CHECK_EQ(vector_count[BASE + 5], 3);
}

GUEST_IRQ_TEST(elcr_of_lines_that_are_never_level)
{
	outb(ELCR, 0xff);
	CHECK_EQ(inb(ELCR), 0xf8);
	outb(ELCR + 1, 0xff);
	CHECK_EQ(inb(ELCR + 1), 0xde);
}

/* ---- the timer ------------------------------------------------------------------------------- */

#define PIT	0x40

static void set_counter(int channel, int mode, u16 count)
{
	outb(PIT + 3, channel << 6 | 3 << 4 | mode << 1);
	outb(PIT + channel, count);
	outb(PIT + channel, count >> 8);
}

static u16 latch_counter(int channel)
{
	u8 low;

	outb(PIT + 3, channel << 6);
	low = inb(PIT + channel);
	return low | inb(PIT + channel) << 8;
}

GUEST_IRQ_TEST(timer_interrupts)
{
	init_pics(1);
	unmask(1 << 0);
	handle(BASE + 0, eoi);
	set_counter(0, 2, 1193);
	while (vector_count[BASE] < 5)
		sti_hlt();
	/* Stopped by a new mode until it gets a count. */
	outb(PIT + 3, 0x30);
}

GUEST_IRQ_TEST(timer_interrupts_once)
{
	init_pics(1);
	unmask(1 << 0);
	handle(BASE + 0, eoi);
	set_counter(0, 0, 1193);
	while (vector_count[BASE] < 1)
		sti_hlt();
	for (int i = 0; i < 20000; i++)
		inb(0x61);
	open_interrupts();
	CHECK_EQ(vector_count[BASE], 1);
}

static void pass_time(void)
{
	for (int i = 0; i < 50; i++)
		inb(0x61);
}

#define TRIES	20		/* on a host that may do something else at any time, but not always */

GUEST_IRQ_TEST(counter_counts_down)
{
	u16 first, second, latched, third;
	int stood = 0;

	set_counter(2, 2, 0);
	outb(0x61, (inb(0x61) & ~2) | 1);
	first = latch_counter(2);
	do {
		pass_time();
		second = latch_counter(2);
	} while (second == first);	/* 2^16 counts later */
	/* A latched value stays until it's read, whatever else happens. */
	for (int i = 0; i < TRIES; i++) {
		first = latch_counter(2);
		outb(PIT + 3, 2 << 6);
		pass_time();
		latched = inb(PIT + 2) | inb(PIT + 2) << 8;
		third = latch_counter(2);
		/* it's of the time before, not after */
		stood += (u16)(first - latched) < (u16)(latched - third);
	}
	CHECK(stood > TRIES / 2);
}

GUEST_IRQ_TEST(read_back_of_status)
{
	set_counter(0, 2, 1193);
	outb(PIT + 3, 0xe2);
	CHECK_EQ(inb(PIT) & 0x3f, 0x34);
	set_counter(0, 3, 1193);
	outb(PIT + 3, 0xe2);
	CHECK_EQ(inb(PIT) & 0x3f, 0x36);
}

/* How boot code measures time: channel 2 by its gate, until its output goes up. */
GUEST_IRQ_TEST(speaker_port_shows_the_end_of_channel_2)
{
	u64 start, end;
	int tries = 0;

	outb(0x61, (inb(0x61) & ~2) | 1);
	do
		set_counter(2, 0, 11932);
	while (inb(0x61) & 0x20 && ++tries < TRIES);
	CHECK(tries < TRIES);
	start = rdtsc();
	while (!(inb(0x61) & 0x20))
		;
	end = rdtsc();
	CHECK(end > start);
	CHECK_EQ(inb(0x61) & 3, 1);
}
