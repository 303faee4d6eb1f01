# SPDX-License-Identifier: GPL-2.0
"""How a lab run can end other than with the command's own exit status."""

WARNINGS = 122  # the command succeeded, but the lab's kernel logged a warning
CRASHED = 123  # the lab's kernel or machine went down
HUNG = 124  # the tick limit (or the wall-clock backstop) was reached
CANNOT = 125  # the lab could not run the command at all


class LabError(Exception):
    """The lab cannot do what was asked; the text is a sentence for the user."""
