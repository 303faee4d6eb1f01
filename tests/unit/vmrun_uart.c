// SPDX-License-Identifier: GPL-2.0
/* The 16550A: what a driver's probe, its interrupt handler and its loopback test rely on. */
#include <linux/serial_reg.h>
#include <stdio.h>

#include "vmrun_env.h"

#define COM1	0x3f8
#define IRQ	4

static uint8_t get(struct fake *f, unsigned int reg)
{
	return inb(f, COM1 + reg);
}

static void put(struct fake *f, unsigned int reg, uint8_t value)
{
	outb(f, COM1 + reg, value);
}

static void fifo_on(struct fake *f, uint8_t trigger)
{
	put(f, UART_FCR, UART_FCR_ENABLE_FIFO | trigger);
	put(f, UART_MCR, UART_MCR_OUT2);
}

static void reset_values(void **state)
{
	struct fake *f = *state;

	assert_int_equal(get(f, UART_IER), 0);
	assert_int_equal(get(f, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(get(f, UART_LCR), 0);
	assert_int_equal(get(f, UART_MCR), 0);
	assert_int_equal(get(f, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(get(f, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
	assert_int_equal(get(f, UART_SCR), 0);
}

static void is_a_16550a(void **state)
{
	struct fake *f = *state;

	put(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(get(f, UART_IIR) & 0xc0, 0xc0);
	put(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(get(f, UART_IIR) & 0x20, 0);	/* no 16750 */
	put(f, UART_FCR, 0);
	assert_int_equal(get(f, UART_IIR) & 0xc0, 0);
	put(f, UART_IER, 0xff);
	assert_int_equal(get(f, UART_IER), 0x0f);	/* no sleep mode, no UUE */
	put(f, UART_SCR, 0xa5);
	assert_int_equal(get(f, UART_SCR), 0xa5);
	put(f, UART_MCR, 0xff);
	assert_int_equal(get(f, UART_MCR), 0x1f);	/* no automatic flow control */
}

static void divisor_hides_data(void **state)
{
	struct fake *f = *state;

	put(f, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	put(f, UART_DLL, 12);
	put(f, UART_DLM, 3);
	assert_int_equal(get(f, UART_DLL), 12);
	assert_int_equal(get(f, UART_DLM), 3);
	assert_int_equal(f->out_len, 0);
	put(f, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(get(f, UART_IER), 0);
	put(f, UART_TX, 'x');
	assert_int_equal(f->out_len, 1);
}

static void sends(void **state)
{
	struct fake *f = *state;
	const char *text = "Hello";
	uint8_t two[2] = { '!', 0x0f };

	for (; *text; text++) {
		put(f, UART_TX, *text);
		assert_int_equal(get(f, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	}
	bus_do(&f->ports, COM1, two, 2, true);	/* outw: data, then IER */
	assert_memory_equal(f->out, "Hello!", 6);
	assert_int_equal(get(f, UART_IER), 0x0f);
}

static void transmitter_interrupt(void **state)
{
	struct fake *f = *state;

	fifo_on(f, 0);
	put(f, UART_IER, UART_IER_THRI);
	assert_int_equal(f->level[IRQ], 1);
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(f->level[IRQ], 0);		/* reading IIR took it */
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_NO_INT);

	/* Switched off and on it comes again: drivers test for this. */
	put(f, UART_IER, 0);
	put(f, UART_IER, UART_IER_THRI);
	assert_int_equal(f->level[IRQ], 1);
	assert_int_equal(get(f, UART_IIR) & 0x0f, UART_IIR_THRI);

	/* Writing the same again doesn't make a new one; sending does. */
	put(f, UART_IER, UART_IER_THRI);
	assert_int_equal(f->level[IRQ], 0);
	put(f, UART_TX, 'a');
	assert_int_equal(f->level[IRQ], 1);
}

static void a_burst_moves_the_line_once(void **state)
{
	struct fake *f = *state;
	unsigned int i, before;

	fifo_on(f, 0);
	put(f, UART_IER, UART_IER_THRI);
	get(f, UART_IIR);
	before = f->moves[IRQ];
	for (i = 0; i < 16; i++)
		put(f, UART_TX, 'a' + i);
	assert_int_equal(f->moves[IRQ], before + 1);
	get(f, UART_IIR);
	assert_int_equal(f->moves[IRQ], before + 2);
	assert_memory_equal(f->out, "abcdefghijklmnop", 16);
}

static void out2_gates_the_line(void **state)
{
	struct fake *f = *state;

	put(f, UART_IER, UART_IER_THRI);
	assert_int_equal(f->level[IRQ], 0);
	put(f, UART_MCR, UART_MCR_OUT2);
	assert_int_equal(f->level[IRQ], 1);
	put(f, UART_MCR, UART_MCR_OUT2 | UART_MCR_LOOP);
	assert_int_equal(f->level[IRQ], 0);
	put(f, UART_MCR, 0);
	assert_int_equal(f->level[IRQ], 0);
}

static void receives(void **state)
{
	struct fake *f = *state;

	fifo_on(f, 0);
	put(f, UART_IER, UART_IER_RDI);
	fake_input(f, "ok");
	assert_int_equal(f->level[IRQ], 1);
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_RDI);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_DR, UART_LSR_DR);
	assert_int_equal(get(f, UART_RX), 'o');
	assert_int_equal(f->level[IRQ], 1);
	assert_int_equal(get(f, UART_RX), 'k');
	assert_int_equal(f->level[IRQ], 0);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_DR, 0);
	assert_int_equal(get(f, UART_RX), 0);
}

static void below_the_trigger_it_is_a_timeout(void **state)
{
	struct fake *f = *state;

	fifo_on(f, UART_FCR_TRIGGER_8);
	put(f, UART_IER, UART_IER_RDI);
	fake_input(f, "1234567");
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	fake_input(f, "8");
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_RDI);
}

static void nothing_is_lost_when_much_comes(void **state)
{
	struct fake *f = *state;
	char text[301], got[301] = "";
	unsigned int i;

	for (i = 0; i < 300; i++)
		text[i] = 'a' + i % 26;
	text[300] = 0;
	fifo_on(f, 0);
	fake_input(f, text);
	for (i = 0; get(f, UART_LSR) & UART_LSR_DR; i++)
		got[i] = get(f, UART_RX);
	assert_string_equal(got, text);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_OE, 0);
}

static void receiver_outranks_transmitter(void **state)
{
	struct fake *f = *state;

	fifo_on(f, 0);
	put(f, UART_IER, UART_IER_RDI | UART_IER_THRI);
	fake_input(f, "x");
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_RDI);
	assert_int_equal(get(f, UART_RX), 'x');
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(get(f, UART_IIR), 0xc0 | UART_IIR_NO_INT);
}

static void loopback(void **state)
{
	struct fake *f = *state;

	put(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	put(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(get(f, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	put(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1 | UART_MCR_DTR);
	assert_int_equal(get(f, UART_MSR) & 0xf0, UART_MSR_RI | UART_MSR_DSR);
	put(f, UART_TX, 'L');
	assert_int_equal(f->out_len, 0);
	assert_int_equal(get(f, UART_RX), 'L');
}

static void loopback_overrun(void **state)
{
	struct fake *f = *state;
	unsigned int i;

	put(f, UART_FCR, UART_FCR_ENABLE_FIFO);
	put(f, UART_MCR, UART_MCR_LOOP);
	for (i = 0; i < 17; i++)
		put(f, UART_TX, i);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_OE, UART_LSR_OE);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_OE, 0);
	for (i = 0; i < 16; i++)
		assert_int_equal(get(f, UART_RX), i);
}

static void modem_deltas(void **state)
{
	struct fake *f = *state;

	put(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2);
	get(f, UART_MSR);
	put(f, UART_IER, UART_IER_MSI);
	put(f, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(get(f, UART_IIR) & 0x0f, UART_IIR_MSI);
	assert_int_equal(get(f, UART_MSR) & 0x0f, UART_MSR_DCTS);
	assert_int_equal(get(f, UART_MSR) & 0x0f, 0);
	assert_int_equal(get(f, UART_IIR) & 0x0f, UART_IIR_NO_INT);
}

static void fifo_reset_drops_input(void **state)
{
	struct fake *f = *state;

	fifo_on(f, 0);
	fake_input(f, "gone");
	put(f, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_int_equal(get(f, UART_LSR) & UART_LSR_DR, 0);
	fake_input(f, "n");
	assert_int_equal(get(f, UART_RX), 'n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(reset_values),
		machine_test(is_a_16550a),
		machine_test(divisor_hides_data),
		machine_test(sends),
		machine_test(transmitter_interrupt),
		machine_test(a_burst_moves_the_line_once),
		machine_test(out2_gates_the_line),
		machine_test(receives),
		machine_test(below_the_trigger_it_is_a_timeout),
		machine_test(nothing_is_lost_when_much_comes),
		machine_test(receiver_outranks_transmitter),
		machine_test(loopback),
		machine_test(loopback_overrun),
		machine_test(modem_deltas),
		machine_test(fifo_reset_drops_input),
	};

	return cmocka_run_group_tests_name("vmrun uart", tests, NULL, NULL);
}
