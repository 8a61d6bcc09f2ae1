"""itkwsgi beside its peers, measured in one run on one machine: ``python -m benchmarks``.

Absolute figures say more about the machine than about a server, so everything here leads to ratios between servers
that took turns under the same load. Only the standard library is used; the load comes from wrk.
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """Something that makes a measurement impossible; the text says what, and what to do about it."""
