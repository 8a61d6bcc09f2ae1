"""The shared bytes in which children say what they do."""

import os

from itkwsgi.runtime import slots
from itkwsgi.runtime.slots import Slots


def test_the_lowest_free_slot_is_taken_first():
    table = Slots(3)
    assert [table.take() for _ in range(4)] == [0, 1, 2, None]
    table.free(1)
    assert table.take() == 1


def test_free_tells_the_last_state():
    table = Slots(1)
    table.take()
    table.mark(0, slots.BUSY)
    assert table.free(0) == slots.BUSY
    assert table.count(slots.FREE) == 1


def test_a_forked_child_is_seen():
    table = Slots(4)
    slot = table.take()
    pid = os.fork()
    if pid == 0:
        table.mark(slot, slots.BUSY)
        os._exit(0)
    os.waitpid(pid, 0)
    assert table.count(slots.BUSY) == 1
    assert table.count(slots.IDLE) == 0


def test_one_child_only_takes_the_wish_to_end():
    table = Slots(4)
    assert not table.should_end()
    table.ask_one_to_end(True)
    assert [table.should_end(), table.should_end()] == [True, False]


def test_the_pool_is_woken_when_spares_run_low():
    table = Slots(8)
    for _ in range(6):
        table.take()
    table.wake_below(4)
    seen = []
    for number in range(6):
        table.mark(number, slots.BUSY)
        seen.append(table.pool_is_needed())
    assert seen == [False, True, True, True, True, True]
    table.wake_below(0)
    assert table.pool_is_needed()


def test_the_wish_is_no_child():
    table = Slots(2)
    table.ask_one_to_end(True)
    table.wake_below(1)
    assert table.count(1) == 0
