"""The control messages: what is accepted, and that nothing else is."""

import marshal
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import Bug
from itkwsgi.wire import control, orders
from itkwsgi.wire.orders import WORD_BITS, PoolState

ALL = control.FRONT_MAY_SAY | control.FRONT_MAY_HEAR


@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_front_message_comes_back_as_it_was(kind, index, generation):
    data = control.pack(kind, index, generation)
    assert len(data) == control.FRONT_MESSAGE_SIZE
    assert control.unpack(data) == (kind, index, generation)


@given(st.binary(max_size=64))
def test_anything_else_is_a_bug(data):
    try:
        kind = control.unpack(data).kind
    except Bug:
        return
    assert data[:4] == control.MAGIC
    assert kind in ALL


@pytest.mark.parametrize("kind", sorted(control.FRONT_MAY_HEAR))
def test_a_front_may_not_say_what_only_the_supervisor_says(kind):
    with pytest.raises(Bug):
        control.unpack(control.pack(kind), control.FRONT_MAY_SAY)


@given(
    st.sampled_from(sorted(control.ZYGOTE_MAY_SAY)),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
def test_a_notice_comes_back_as_it_was(kind, serial, pid, value):
    assert control.unpack_notice(control.pack_notice(kind, serial, pid, value)) == (kind, serial, pid, value)


@given(st.binary(max_size=64))
def test_no_other_notice_is_taken(data):
    try:
        kind = control.unpack_notice(data).kind
    except Bug:
        return
    assert data[:4] == control.MAGIC
    assert kind in control.ZYGOTE_MAY_SAY


def test_a_notice_is_no_front_message():
    with pytest.raises(Bug):
        control.unpack_notice(control.pack(control.WAKE))
    with pytest.raises(Bug):
        control.unpack(control.pack_notice(control.SPAWNED))


def test_orders():
    assert orders.decode_order(orders.encode({"do": orders.SPAWN, "plan": {}}))["plan"] == {}
    with pytest.raises(Bug):
        orders.decode_order(orders.encode({"do": "something else"}))
    with pytest.raises(Bug):
        orders.encode({"do": orders.SPAWN, "plan": "x" * orders.MAX_ORDER})
    with pytest.raises(Bug):
        control.encode_log_order({"do": "site", "name": "x" * orders.MAX_ORDER})


@pytest.mark.parametrize("data", [b"", b"\0", b"{}", marshal.dumps([]), marshal.dumps({})[:-1]])
def test_what_is_no_table_is_no_order(data):
    with pytest.raises(Bug):
        orders.decode(data)


def test_orders_read_the_same_in_every_python():
    """Format 2 of marshal: no references, which 3.4 brought, and nothing that a later version added."""
    plan = {
        "do": "spawn",
        "plan": {"uid": 50001, "env": {"A": "b"}, "groups": [1, 2], "nice": -5, "none": None, "on": True},
    }
    encoded = orders.encode(plan)
    assert encoded[0:1] == b"{"
    assert orders.decode(encoded) == plan


COUNTS = st.lists(st.integers(0, 2**WORD_BITS - 1), min_size=7, max_size=7)


def sum_of(counts):
    """As an eventfd has it, when each word was said so often."""
    parts = zip(counts, PoolState.IN_ORDER, strict=True)
    return sum(count * int.from_bytes(word, sys.byteorder) for count, word in parts).to_bytes(8, sys.byteorder)


@given(COUNTS.filter(any))
def test_words_are_counted_apart_and_come_in_their_order(counts):
    said = dict(zip(PoolState.IN_ORDER, counts, strict=True))
    heard = control.words_of(sum_of(counts))
    assert [word for word, _ in heard] == [word for word in PoolState.IN_ORDER if word in dict(heard)]
    turns = {PoolState.IDLE, PoolState.ACTIVE}
    assert {word: times for word, times in heard if word not in turns} == {
        word: times for word, times in said.items() if times and word not in turns
    }
    more = said[PoolState.IDLE] - said[PoolState.ACTIVE]
    assert dict(heard).get(PoolState.IDLE, 0) - dict(heard).get(PoolState.ACTIVE, 0) == more
    assert len(turns & dict(heard).keys()) == bool(more)


@pytest.mark.parametrize("data", [bytes(8), b"", b"x", bytes(7), b"\xff" * 8, (1 << 63).to_bytes(8, sys.byteorder)])
def test_what_is_no_count_is_nonsense(data):
    with pytest.raises(Bug, match="nonsense"):
        control.words_of(data)


def test_an_eventfd_takes_every_word():
    with open(os.eventfd(0), "rb+", buffering=0) as channel:
        for word in PoolState.IN_ORDER:
            channel.write(word)
        assert [word for word, _ in control.words_of(channel.read(8))] == [
            word for word in PoolState.IN_ORDER if word not in (PoolState.IDLE, PoolState.ACTIVE)
        ]
