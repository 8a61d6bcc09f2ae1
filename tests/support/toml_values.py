"""What a reader of TOML may hand to a parser of values, and what the parser says of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from itkwsgi.ini.values import Fault, Wrong

toml_values = st.recursive(
    st.none().map(lambda _: datetime.date(2020, 1, 1))
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 1e308, 1e-300])
    | st.floats()
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def refusal(parse: Callable[[object], object], raw: object) -> str:
    """The message and the hint."""
    with pytest.raises(Wrong) as caught:
        parse(raw)
    fault = caught.value.faults[0]
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message


def faults_of(parse: Callable[[object], object], raw: object) -> tuple[Fault, ...]:
    """All that is wrong with it; () for nothing."""
    try:
        parse(raw)
    except Wrong as wrong:
        return wrong.faults
    return ()
