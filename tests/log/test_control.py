"""Orders: each is carried out with the descriptors it says it has; anything else is refused before it does anything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import Bug
from itkwsgi.log import control


class Recorder:
    """Writes down what it is told to do."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.done.append((name, *arguments))


def carried_out(order: Any, fds: Any = ()) -> list[Any]:
    recorder = Recorder()
    data = order if isinstance(order, bytes) else json.dumps(order).encode()
    control.obey(data, fds, recorder)
    return recorder.done


@pytest.mark.parametrize(
    ("order", "fds", "done"),
    [
        ({"do": "files", "error": True, "access": True}, [7, 8], ("use_files", 7, 8, 0)),
        ({"do": "files", "error": False, "access": True, "limit": 9}, [8], ("use_files", None, 8, 9)),
        ({"do": "files", "error": False, "access": False}, [], ("use_files", None, None, 0)),
        ({"do": "names", "first": 5, "names": ["a.example", "*.b"]}, [], ("learn_names", 5, ["a.example", "*.b"])),
        (
            {"do": "site", "index": 3, "name": "a.example", "own_error": True, "own_access": True},
            [5, 6, 7],
            ("open_site", 3, "a.example", 5, 6, 7),
        ),
        (
            {"do": "site", "index": 0, "name": "a.example", "own_error": False, "own_access": True},
            [5, 6],
            ("open_site", 0, "a.example", 5, None, 6),
        ),
        (
            {"do": "site", "index": 0, "name": "a.example", "own_error": False, "own_access": False},
            [5],
            ("open_site", 0, "a.example", 5, None, None),
        ),
        ({"do": "reopen", "index": 3, "own_error": True, "own_access": False}, [5], ("reopen_site", 3, 5, None)),
        ({"do": "asleep", "index": 3}, [], ("site_asleep", 3)),
        ({"do": "front", "number": 1}, [5], ("open_front", 1, 5)),
        ({"do": "notes", "name": "zygote x"}, [5], ("open_notes", "zygote x", 5)),
    ],
)
def test_what_is_carried_out(order, fds, done):
    assert carried_out(order, fds) == [done]
    for wrong in (fds[:-1] if fds else [9], [*fds, 9]):
        with pytest.raises(Bug):
            carried_out(order, wrong)


SITE = {"do": "site", "index": 0, "name": "a.example", "own_error": False, "own_access": False}


@pytest.mark.parametrize(
    ("order", "fds"),
    [
        (b"", []),
        (b"{", []),
        (b"\xff", []),
        (b"[" * 100_000, []),
        (b"[]", []),
        (b"3", []),
        ({}, []),
        ({"do": None}, []),
        ({"do": ["site"]}, []),
        ({"do": "serve"}, []),
        ({"do": "files"}, []),
        ({"do": "files", "error": 1, "access": True}, [5, 6]),
        ({"do": "files", "error": True, "access": True, "limit": "1G"}, [5, 6]),
        ({"do": "files", "error": True, "access": True, "limit": -1}, [5, 6]),
        ({"do": "files", "error": True, "access": True, "limit": None}, [5, 6]),
        ({"do": "asleep"}, []),
        ({"do": "asleep", "index": True}, []),
        ({"do": "asleep", "index": "3"}, []),
        ({"do": "asleep", "index": -1}, []),
        ({"do": "notes", "name": "a\nb"}, [5]),
        ({"do": "notes"}, [5]),
        ({"do": "names", "first": 0, "names": "a.example"}, []),
        ({"do": "names", "first": 0, "names": ["a b"]}, []),
        ({**SITE, "name": ""}, [5]),
        ({**SITE, "name": "two words"}, [5]),
        ({**SITE, "name": " a.example"}, [5]),
        ({**SITE, "name": "a\n"}, [5]),
        ({**SITE, "name": "a\u2028b"}, [5]),
        ({**SITE, "name": 7}, [5]),
    ],
)
def test_what_is_a_bug(order, fds):
    with pytest.raises(Bug):
        carried_out(order, fds)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ORDERS = st.fixed_dictionaries(
    {"do": st.sampled_from(["files", "names", "site", "reopen", "asleep", "front", "notes"])},
    optional=dict.fromkeys(
        ("index", "name", "names", "first", "number", "own_error", "own_access", "error", "access", "limit"), JSON
    ),
)


@given(st.one_of(st.binary(), JSON, ORDERS), st.integers(0, 4))
def test_an_order_is_carried_out_or_a_bug(order, count):
    fds: list[Any] = [object() for _ in range(count)]
    try:
        done = carried_out(order, fds)
    except Bug:
        return
    assert len(done) == 1
    assert [argument for argument in done[0] if type(argument) is object] == fds
