"""Between fork and the site's code: each step in a fork, and their order."""

import os
import resource
import signal
import socket

import pytest

from itkwsgi.linux import fds, kernel
from itkwsgi.linux.identity import Identity, SwitchError
from itkwsgi.runtime import main as runtime_main
from itkwsgi.wire import orders
from itkwsgi.zygote import spawn as module
from itkwsgi.zygote.spawn import Parent, PoolOrder
from tests.support.forked import in_child
from tests.support.running import NO_WALLS, become_ordinary, ended, forked, ordinary_ids

PLAN = {
    "name": "a.example",
    "nice": 0,
    "external": False,
    "interpreter": None,
    "privileged": False,
    "no_new_privs": True,
    "umask": 0o027,
    "binary": None,
    "optimize": 0,
    "confine": NO_WALLS,
}
ZYGOTE = Parent(4711, "/boot.py", [(1000, 1010)], [(1000, 1010), (7, 8)])


@pytest.fixture
def handed():
    """Five descriptors as they come with an order; the fourth holds the plan."""
    listener, external = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    channel, supervisor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    memory = fds.memfd_with(orders.encode(PLAN), "plan")
    yield [listener.fileno(), channel.fileno(), writer, memory, external.fileno()]
    for sock in (listener, external, channel, supervisor):
        sock.close()
    for fd in (reader, writer, memory):
        os.close(fd)


def ordered(plan, handed):
    """An order for this plan."""
    order = PoolOrder(handed)
    order.memory = fds.memfd_with(orders.encode(plan), "plan")
    order.plan = plan
    return order


def what(fd):
    return os.readlink(f"/proc/self/fd/{fd}")


# --- descriptors


def test_each_descriptor_has_its_place(handed):
    listener, channel, log, _, external = handed
    assert PoolOrder(handed[:4]).descriptors() == {1: log, 2: log, 3: listener, 4: channel}
    with_external = PoolOrder(handed, ("external",))
    assert with_external.descriptors() == {1: log, 2: log, 3: listener, 4: channel, 5: external}


def test_the_plan_is_read_in_the_fork(handed):
    order = PoolOrder(handed)
    assert order.plan == {}
    assert order.read_plan() == order.plan == PLAN


@pytest.mark.parametrize("count", [4, 5])
def test_the_zygotes_copies_are_closed(handed, count):
    def close():
        before = set(fds.open_descriptors())
        PoolOrder(handed[:count], ("external",)).close()
        return before - set(fds.open_descriptors())

    assert in_child(close) == set(handed[:count])


@pytest.mark.parametrize("count", [4, 5])
def test_exactly_those_are_open_in_a_pool(handed, count):
    def place():
        module.place_descriptors(PoolOrder(handed[:count], ("external",)))
        return fds.open_descriptors()

    listener, channel, log, _, external = map(what, handed)
    wanted = {0: "/dev/null", 1: log, 2: log, 3: listener, 4: channel, 5: external}
    assert in_child(place) == {fd: name for fd, name in wanted.items() if fd <= count}


# --- signals, limits, the end of the zygote


RESET = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD)


def test_signals_are_as_in_a_plain_script():
    def reset():
        _, writer = os.pipe2(os.O_NONBLOCK)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        module.reset_signals()
        handlers = [signal.getsignal(number) for number in RESET]
        ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return [int(handler) for handler in handlers], ours, len(blocked), signal.set_wakeup_fd(-1)

    assert in_child(reset) == ([int(signal.SIG_DFL)] * 4, True, 0, -1)


def test_limits_hold_before_a_line_of_the_site_runs():
    def limit():
        become_ordinary()
        kernel.set_dumpable(False)
        os.umask(0)
        module.limit_before_switch({**PLAN, "nice": 3})
        with open("/proc/self/oom_score_adj") as file:
            score = int(file.read())
        return os.getpriority(os.PRIO_PROCESS, 0), score, os.umask(0)

    assert in_child(limit) == (os.getpriority(os.PRIO_PROCESS, 0) + 3, module.SITE_OOM_SCORE, 0o027)


def test_resource_limits_hold_too():
    def limit():
        rlimits = [(resource.RLIMIT_NPROC, 50, 60), (resource.RLIMIT_NOFILE, 100, 100)]
        module.limit_before_switch({**PLAN, "confine": {**NO_WALLS, "rlimits": rlimits}})
        return resource.getrlimit(resource.RLIMIT_NPROC), resource.getrlimit(resource.RLIMIT_NOFILE)

    assert in_child(limit) == ((50, 60), (100, 100))


def test_a_limit_that_did_not_take_hold_is_a_surprise(monkeypatch):
    monkeypatch.setattr(module.resource, "setrlimit", lambda limit, both: None)
    plan = {**PLAN, "confine": {**NO_WALLS, "rlimits": [(resource.RLIMIT_NPROC, 1, 2)]}}
    with pytest.raises(SwitchError, match="resource limit"):
        in_child(module.limit_before_switch, plan)


@pytest.mark.parametrize(
    ("uid", "gid", "groups"), [(999, 1000, ()), (1011, 1000, ()), (1000, 999, ()), (1000, 1000, (7, 9)), (33, 33, ())]
)
def test_an_identity_outside_the_ranges_is_refused_at_the_last_moment(uid, gid, groups):
    with pytest.raises(SwitchError, match="is outside what sites may be"):
        module.refuse_outside(Identity(uid, gid, groups), ZYGOTE)


def test_an_identity_within_the_ranges_is_not():
    module.refuse_outside(Identity(1010, 1000, (7, 8, 1005)), ZYGOTE)


def test_nice_zero_leaves_the_zygotes():
    def limit():
        os.setpriority(os.PRIO_PROCESS, 0, 7)
        module.limit_before_switch(PLAN)
        return os.getpriority(os.PRIO_PROCESS, 0)

    assert in_child(limit) == 7


def test_a_pool_dies_with_its_zygote():
    def die():
        module.die_with(os.getppid())
        return kernel.get_death_signal()

    assert in_child(die) == signal.SIGKILL


def test_a_zygote_that_is_gone_already_has_no_pool():
    assert ended(forked(lambda: module.die_with(os.getppid() + 1))) == 0


# --- the whole way


@pytest.fixture
def steps(monkeypatch):
    """The steps in the order they are taken, which are not taken."""
    taken = []

    def recording(name):
        return lambda *args, **kwargs: taken.append((name, args, kwargs))

    for name in ("place_descriptors", "reset_signals", "limit_before_switch", "become", "die_with"):
        monkeypatch.setattr(module, name, recording(name))
    for name in ("execute", "confine"):
        monkeypatch.setattr(module, name, recording(name))
    monkeypatch.setattr(module.os, "setsid", recording("setsid"))
    monkeypatch.setattr(module.by_ctypes, "set_dumpable", recording("set_dumpable"))
    monkeypatch.setattr(runtime_main, "run_pool", recording("run_pool"))
    return taken


@pytest.mark.parametrize(
    ("interpreter", "last"), [(None, ["confine", "run_pool"]), ("/opt/python", ["execute", "confine", "run_pool"])]
)
def test_the_order_of_the_steps(handed, steps, interpreter, last):
    plan = {**PLAN, "uid": 1001, "gid": 1002, "groups": [7, 8], "privileged": True, "interpreter": interpreter}
    module.turn_into_pool(ordered(plan, handed), ZYGOTE)
    names = [name for name, _, _ in steps]
    before = ["place_descriptors", "reset_signals", "setsid", "limit_before_switch"]
    assert names == [*before, "become", "die_with", "set_dumpable", *last]
    _, args, kwargs = steps[names.index("become")]
    assert args[0] == Identity(1001, 1002, (7, 8))
    assert kwargs == {"privileged": True, "no_new_privs": True}
    assert steps[names.index("die_with")][1] == (4711,)


def test_fork_gives_the_pools_pid_to_the_zygote(handed, monkeypatch):
    monkeypatch.setattr(module, "turn_into_pool", lambda order, zygote: os._exit(int(zygote is ZYGOTE)))
    assert ended(module.fork_pool(PoolOrder(handed), ZYGOTE)) == 1


@pytest.mark.parametrize("error", [RuntimeError("surprise\ud800"), SystemExit(0), KeyboardInterrupt()])
def test_whatever_surprises_ends_the_process_and_is_said(handed, monkeypatch, place, error):
    def surprise(order, zygote):
        log = os.open(place / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 2)
        raise error

    monkeypatch.setattr(module, "turn_into_pool", surprise)
    assert ended(module.fork_pool(ordered({**PLAN, "uid": 1001}, handed), ZYGOTE)) == 70
    said = (place / "log").read_text()
    assert said.startswith(f"itkwsgi: a.example: could not start as uid 1001: {type(error).__name__}: ")
    assert said.count("\n") == 1


def test_a_log_that_is_gone_does_not_keep_it_alive(handed, monkeypatch):
    def surprise(order, zygote):
        os.close(2)
        raise RuntimeError

    monkeypatch.setattr(module, "turn_into_pool", surprise)
    assert ended(module.fork_pool(ordered({**PLAN, "uid": 1001}, handed), ZYGOTE)) == 70


def test_a_pool_enters_its_control_group_before_anything_else(handed, steps):
    reader, group = os.pipe()
    order = PoolOrder([*handed[:4], group], ("cgroup",))
    order.memory = fds.memfd_with(orders.encode({**PLAN, "uid": 1001, "gid": 1002, "groups": []}), "plan")
    module.turn_into_pool(order, ZYGOTE)
    assert os.read(reader, 10) == b"0"
    os.close(reader)
    os.close(group)
    os.close(order.memory)


def test_a_plan_of_another_user_is_refused_by_the_kernel(handed, place):
    """The whole way, as an ordinary user: what it is not it does not become."""
    plan = {**PLAN, **ordinary_ids(), "uid": 4242}

    def zygote():
        os.dup2(os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), handed[2])
        become_ordinary()
        return ended(module.fork_pool(ordered(plan, handed[:4]), Parent(os.getpid(), "/boot.py")))

    assert in_child(zygote) == 70
    assert "could not become uid 4242: SwitchError: verify: user ids" in (place / "log").read_text()


@pytest.mark.parametrize(("binary", "executed"), [(None, "/site/python"), ("/usr/bin/python3", "/usr/bin/python3")])
def test_a_confined_site_is_given_a_binary_that_is_roots(handed, steps, binary, executed):
    """Its own name for it could be made to mean another at any time, and would be run before the walls are up."""
    ids = {"uid": 1001, "gid": 1002, "groups": []}
    module.turn_into_pool(ordered({**PLAN, **ids, "interpreter": "/site/python", "binary": binary}, handed), ZYGOTE)
    _, args, _ = next(step for step in steps if step[0] == "execute")
    assert args[1:] == (executed, "/boot.py")
