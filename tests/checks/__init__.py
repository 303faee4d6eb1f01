# SPDX-License-Identifier: GPL-2.0
"""What `make check` runs. Read cells.py first: it is the table of what runs in the lab."""
