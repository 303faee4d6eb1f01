# SPDX-License-Identifier: GPL-2.0
"""The host's side of the virtual lab. Documentation/lab.md says how it works and where to begin."""
