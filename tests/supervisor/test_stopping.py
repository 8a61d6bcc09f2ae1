"""The phases of a stop, with a clock to turn and processes that are only numbers."""

from types import SimpleNamespace

import pytest

from itkwsgi.supervisor import stopping as module
from itkwsgi.supervisor.rows import CRASHED, LEAVING, SERVING
from itkwsgi.supervisor.stopping import DONE, FRONTS, LOG, POOLS, RUNNING, ZYGOTES, Stopping
from itkwsgi.supervisor.timers import Timers
from itkwsgi.wire import control

GRACEFUL = 30.0


class Scene:
    """What a stop sees of its supervisor, and what it does to it."""

    def __init__(self):
        self.now = 1000.0
        self.timers = Timers(lambda: self.now)
        self.roles = {}
        self.pools = SimpleNamespace(pools={}, closed=False)
        self.roster = SimpleNamespace(of_kind=lambda kind: [role for role in self.roles.values() if role.kind == kind])
        self.config = SimpleNamespace(server=SimpleNamespace(graceful_timeout=GRACEFUL))
        self.room = 1000  # for orders, in the zygotes' channels
        self.keeper = SimpleNamespace(
            tell=self.tell,
            may_order=lambda pool: self.room > 0,
            order=self.order,
            remove_sockets=lambda: self.did("sockets"),
            cgroups=None,
        )
        self.log = SimpleNamespace(close=lambda: self.did("log"))
        self.exit_status = None
        self.done = []
        self.killed = []
        self.stopping = Stopping(self)

    def did(self, *what):
        self.done.append(what[0] if len(what) == 1 else what)

    def tell(self, pid, kind, index):
        self.did("tell", pid, kind)

    def order(self, pool, do):
        self.room -= 1
        self.did("order", pool.pid, do)

    def note(self, text):
        self.did("note", text)

    def hang_up(self, role):
        self.did("hang up", role.pid)

    def add(self, kind, pid, channel=9):
        self.roles[pid] = SimpleNamespace(kind=kind, pid=pid, channel=SimpleNamespace(fileno=lambda: channel))

    def add_pool(self, pid, state=SERVING):
        self.pools.pools[pid] = SimpleNamespace(pid=pid, state=state)

    def gone(self, *pids):
        """These ended, and were reaped."""
        for pid in pids:
            self.roles.pop(pid, None)
            self.pools.pools.pop(pid, None)
        self.stopping.advance()

    def pass_time(self, seconds):
        self.now += seconds
        self.timers.run()

    def took(self):
        """What was done since the last time this was asked."""
        done, self.done = self.done, []
        return done


@pytest.fixture
def scene(monkeypatch):
    made = Scene()
    monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(module.os, "kill", lambda pid, number: made.killed.append((pid, int(number))))
    monkeypatch.setattr(module.orphans, "end_all_children", lambda longest: [])
    made.add("log", 10)
    made.add("zygote", 20)
    made.add("front", 30)
    made.add_pool(40)
    return made


STOP_FRONT = ("tell", 30, control.STOP)


def test_a_graceful_stop_waits_for_each_in_turn(scene):
    stopping = scene.stopping
    assert (stopping.phase, stopping.begun) == (RUNNING, False)
    stopping.begin(graceful=True)
    assert (stopping.phase, stopping.begun, scene.took()) == (FRONTS, True, [STOP_FRONT])
    scene.gone(30)
    assert (stopping.phase, scene.took()) == (POOLS, [("order", 40, control.TERMINATE)])
    scene.gone(40)
    assert (stopping.phase, scene.took()) == (ZYGOTES, [("hang up", 20)])
    scene.gone(20)
    assert (stopping.phase, scene.took()) == (LOG, [("note", "stopped"), "log"])
    assert scene.exit_status is None
    scene.gone(10)
    assert (stopping.phase, scene.took()) == (DONE, ["sockets"])
    assert (scene.exit_status, scene.killed) == (0, [])


def test_nothing_is_started_from_then_on(scene):
    scene.stopping.begin(graceful=True)
    assert scene.pools.closed


def test_what_is_not_there_is_not_waited_for(scene):
    scene.gone(10, 20, 30, 40)
    scene.stopping.begin(graceful=True)
    assert (scene.stopping.phase, scene.exit_status) == (DONE, 0)


def test_fronts_have_their_time_and_a_second_more(scene):
    scene.stopping.begin(graceful=True)
    scene.pass_time(GRACEFUL + module.FRONT_GRACE - 0.1)
    assert (scene.stopping.phase, scene.killed) == (FRONTS, [])
    scene.pass_time(0.1)
    assert (scene.stopping.phase, scene.killed) == (POOLS, [(30, 9)])


def test_each_phase_ends_when_its_time_is_over(scene):
    scene.stopping.begin(graceful=True)
    scene.pass_time(GRACEFUL + module.FRONT_GRACE)
    scene.pass_time(GRACEFUL)
    assert (scene.stopping.phase, scene.killed) == (ZYGOTES, [(30, 9)])  # pools are the zygotes' children, not ours
    scene.pass_time(module.ZYGOTE_SECONDS)
    assert (scene.stopping.phase, scene.killed[1:]) == (LOG, [(20, 9)])
    scene.pass_time(module.LOG_SECONDS)
    assert (scene.stopping.phase, scene.killed[2:]) == (DONE, [(10, 9)])
    assert scene.exit_status == 0


def test_a_stop_that_does_not_wait_kills_fronts_and_goes_straight_to_the_zygotes(scene):
    scene.stopping.begin(graceful=False)
    assert (scene.stopping.phase, scene.killed) == (ZYGOTES, [(30, 9)])
    assert scene.took() == [("hang up", 20)]


@pytest.mark.parametrize("ended", [(), (30,)])
def test_a_second_signal_while_draining_does_not_wait_any_more(scene, ended):
    scene.stopping.begin(graceful=True)
    scene.gone(*ended)
    scene.stopping.begin(graceful=False)
    assert scene.stopping.phase == ZYGOTES
    assert scene.killed == [] if ended else [(30, 9)]


def test_a_second_graceful_signal_changes_nothing(scene):
    scene.stopping.begin(graceful=True)
    scene.took()
    scene.stopping.begin(graceful=True)
    assert (scene.stopping.phase, scene.took(), scene.killed) == (FRONTS, [], [])


def test_a_signal_while_zygotes_end_their_pools_changes_nothing(scene):
    scene.stopping.begin(graceful=False)
    scene.took()
    scene.stopping.begin(graceful=False)
    assert (scene.stopping.phase, scene.took(), scene.killed) == (ZYGOTES, [], [(30, 9)])


def test_a_status_is_that_of_the_first_reason(scene):
    scene.stopping.begin(graceful=False, status=1)
    scene.stopping.begin(graceful=False)
    scene.gone(10, 20, 30)
    assert scene.exit_status == 1


def test_a_pool_that_crashed_or_never_came_to_be_is_not_waited_for(scene):
    scene.pools.pools = {}
    scene.add_pool(41, CRASHED)
    scene.add_pool(0)
    scene.stopping.begin(graceful=True)
    scene.gone(30)
    assert scene.stopping.phase == ZYGOTES


def test_a_pool_that_leaves_already_is_waited_for(scene):
    scene.add_pool(41, LEAVING)
    scene.stopping.begin(graceful=True)
    scene.gone(30, 40)
    assert scene.stopping.phase == POOLS
    scene.gone(41)
    assert scene.stopping.phase == ZYGOTES


def test_pools_are_told_as_their_zygotes_take_it_and_all_of_them(scene):
    for pid in range(1000, 1200):
        scene.add_pool(pid)
    scene.room = 100
    scene.stopping.begin(graceful=True)
    scene.took()
    scene.gone(30)
    told = scene.took()
    assert len(told) == 100
    for _ in range(3):
        scene.room = 50
        scene.pass_time(module.ORDERS_SECONDS)
        told += scene.took()
    assert sorted(pid for _, pid, _ in told) == [40, *range(1000, 1200)]


def test_pools_are_told_nothing_any_more_when_their_zygotes_end(scene):
    scene.room = 0
    scene.stopping.begin(graceful=True)
    scene.gone(30)
    scene.stopping.begin(graceful=False)
    scene.took()
    scene.room = 1000
    scene.pass_time(module.ORDERS_SECONDS)
    assert scene.took() == []


def test_a_zygote_that_hung_up_first_is_not_hung_up_on(scene):
    scene.add("zygote", 21, channel=-1)
    scene.stopping.begin(graceful=False)
    assert scene.took() == [("hang up", 20)]


def test_what_cannot_be_ended_is_named(scene, monkeypatch):
    said = []
    monkeypatch.setattr(module.orphans, "end_all_children", lambda longest: [4711])
    monkeypatch.setattr(module, "tell_operator", said.append)
    scene.stopping.begin(graceful=False)
    scene.gone(10, 20, 30)
    assert said == ["itkwsgi: these hang in the kernel and could not be ended: [4711]"]
    assert scene.exit_status == 0


def test_after_the_end_nothing_happens_twice(scene):
    scene.stopping.begin(graceful=False)
    scene.gone(10, 20, 30)
    scene.took()
    scene.pass_time(1000)
    scene.stopping.advance()
    assert (scene.took(), scene.stopping.phase) == ([], DONE)


def test_control_groups_end_with_the_server(scene):
    scene.keeper.cgroups = SimpleNamespace(close=lambda: scene.did("groups"))
    scene.stopping.begin(graceful=True)
    scene.gone(30, 40, 20, 10)
    scene.gone()
    assert scene.took()[-2:] == ["sockets", "groups"]
