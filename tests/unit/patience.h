/* SPDX-License-Identifier: GPL-2.0 */
/* How long tests wait for what must come: on no machine that isn't stuck does it take so long. */
#define PATIENCE_MS	120000
