"""The supervisor's loop for real, in a fork; its roles are processes that sleep, and this test speaks for them."""

import contextlib
import json
import os
import select
import signal
import socket
import time

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.linux import fds, kernel, process_status
from itkwsgi.supervisor import daemon as module
from itkwsgi.supervisor import pools, roles, stopping
from itkwsgi.supervisor.daemon import Supervisor
from itkwsgi.wire import control, orders
from itkwsgi.wire.control import PoolState
from tests.support.configured import make_environment, make_vhost
from tests.support.daemon import alive, wait_gone, wait_until
from tests.support.running import PATIENCE, become_plain, ended, forked, nobody_left


class RoleEnd:
    """One role as the test plays it: the far end of its channel, and the pid of a process that sleeps."""

    def __init__(self, name, pid, channel):
        self.name = name
        self.pid = pid
        self.channel = channel
        self.channel.settimeout(PATIENCE)
        self.received = []

    def hear(self):
        """The next message and its descriptors; b"" at the end."""
        data, received = fds.receive_message(self.channel, control.MAX_ORDER, 5)
        self.received += received
        return data, received

    def say(self, data):
        self.channel.send(data)

    def hears_the_end(self):
        """Skip what is said before."""
        while self.hear()[0]:
            continue
        return True

    def die(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def hang_up(self):
        self.channel.close()

    def close(self):
        self.channel.close()
        for fd in self.received:
            os.close(fd)
        self.received.clear()


class LogEnd(RoleEnd):
    """The log: reads the notes of the supervisor."""

    notes = -1

    def read_orders(self):
        """All orders up to the supervisor's own pipe."""
        found = []
        while self.notes < 0:
            data, received = self.hear()
            found.append(json.loads(data))
            if found[-1] == {"do": "notes", "name": "supervisor"}:
                self.notes = received[0]
                os.set_blocking(self.notes, False)
        return found


class RunningSupervisor:
    """The fork, and whatever it launches."""

    def __init__(self, place, config, where, refuse=lambda name, number: False, before=lambda: None):
        self.place = place
        self.hub, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hub.settimeout(PATIENCE)
        stderr = os.open(place / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        hub = max(theirs.fileno(), 10)
        places = {0: null, 1: stderr, 2: stderr, hub: theirs.fileno()}

        def serve():
            kernel.set_subreaper()
            roles.launch = self.fake_launch(hub, refuse)
            before()
            os._exit(Supervisor(config, where, [], privileged=False).run())

        self.pid = forked(lambda: become_plain(places), serve)
        theirs.close()
        os.close(stderr)
        os.close(null)
        self.roles = []
        self.said = ""

    @staticmethod
    def fake_launch(hub, refuse):
        """In the supervisor: start a process that sleeps, and hand its channel to the test."""
        counts = {}

        def launch(spec):
            counts[spec.name] = counts.get(spec.name, 0) + 1
            if refuse(spec.name, counts[spec.name]):
                raise OperatorError(f"{spec.name}: cannot start: refused by the test")
            pid = forked(lambda: fds.close_all_except(()), signal.pause)
            told = json.dumps([spec.name.removeprefix("itkwsgi "), pid]).encode()
            with socket.socket(fileno=os.dup(hub)) as sock:
                fds.send_message(sock, told, [spec.fds[control.CONTROL_FD]])
            return pid

        return launch

    def next_role(self, name=None):
        """The next one that is launched; it must be of this kind, if one is said."""
        data, [channel] = fds.receive_message(self.hub, 1000, 1)
        launched, pid = json.loads(data)
        kind = LogEnd if launched == "log" else RoleEnd
        self.roles.append(kind(launched, pid, socket.socket(fileno=channel)))
        assert name in (None, launched)
        return self.roles[-1]

    def stderr(self):
        return (self.place / "stderr").read_text()

    def noted(self, text):
        """Wait until the supervisor noted this; returns all notes so far."""
        deadline = time.monotonic() + PATIENCE
        pipe = [role.notes for role in self.roles if isinstance(role, LogEnd) and role.notes >= 0][-1]
        while text not in self.said:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.said!r}\n{self.stderr()}"
            if select.select([pipe], [], [], 0.1)[0]:
                self.said += os.read(pipe, 65536).decode()
        return self.said

    def kill(self, number=signal.SIGTERM):
        os.kill(self.pid, number)

    def end_roles(self):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in process_status.children_of(self.pid):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        """End it, if the test did not; its roles go as soon as it waits for them."""
        try:
            for number in (signal.SIGINT, signal.SIGCONT):
                os.kill(self.pid, number)
            deadline = time.monotonic() + PATIENCE
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                assert time.monotonic() < deadline, self.stderr()
                self.end_roles()
                time.sleep(0.002)
        except (ProcessLookupError, ChildProcessError):
            return
        finally:
            for role in self.roles:
                role.close()
            self.hub.close()


@pytest.fixture
def supervise(base, configured, where):
    """Start a supervisor: what it launches is played by this test."""
    started = []

    def make(*vhosts, refuse=lambda name, number: False, before=lambda: None, **server):
        config = configured(*(vhosts or [make_vhost(0)]), **server)
        started.append(RunningSupervisor(base, config, where, refuse, before))
        return started[-1]

    with nobody_left():
        yield make
        for one in started:
            one.close()


@pytest.fixture
def impatient(monkeypatch):
    """Roles have little time to end."""
    monkeypatch.setattr(stopping, "ZYGOTE_SECONDS", 0.05)
    monkeypatch.setattr(stopping, "LOG_SECONDS", 0.05)


class Served:
    """A supervisor that is ready, and its three roles."""

    def __init__(self, one):
        self.one = one
        self.log, self.zygote, self.front = one.next_role("log"), one.next_role("zygote"), one.next_role("front")
        self.orders = self.log.read_orders()
        be_ready(one, self.zygote, self.front)

    def wake(self, index=0, generation=1):
        self.front.say(control.pack(control.WAKE, index, generation))

    def ordered(self):
        """The next order to the zygote with its plan, and what came with it: listener, channel, log."""
        data, received = self.zygote.hear()
        order, received = orders.decode_order(data), received.copy()
        if order["do"] == orders.SPAWN:
            order["plan"] = orders.decode(os.pread(received.pop(3), orders.MAX_ORDER, 0))
        return order, received

    def told(self):
        return control.unpack(self.front.hear()[0])

    def awake(self, index=0):
        """A pool that serves; its serial and its end of its channel."""
        self.wake(index)
        order, [_, channel, _] = self.ordered()
        serial = order["plan"]["serial"]
        self.zygote.say(control.pack_notice(control.SPAWNED, serial, 4711, 4711))
        for word in (PoolState.SWITCHED, PoolState.SERVING):
            os.write(channel, word)
        assert self.told() == (control.AWAKE, index, 1)
        return serial, channel


def be_ready(one, *waiting):
    for role in waiting:
        ready = orders.pack_notice(orders.ZYGOTE_READY) if role.name == "zygote" else control.pack(control.READY)
        role.say(ready)
    wait_until(lambda: "ready\n" in one.stderr(), what=f"ready ({one.stderr()})")


@pytest.fixture
def served(supervise):
    return Served(supervise(make_vhost(0), make_vhost(1)))


# --- starting


def test_the_log_comes_first_and_ready_is_said_last(supervise):
    one = supervise()
    log, zygote, front = (one.next_role(name) for name in ("log", "zygote", "front"))
    told = log.read_orders()
    assert [order["do"] for order in told] == ["files", "names", "notes"]
    assert told[1] == {"do": "names", "first": 0, "names": ["site0.example"]}
    assert one.stderr() == ""
    zygote.say(orders.pack_notice(orders.ZYGOTE_READY))
    assert [json.loads(log.hear()[0])["do"] for _ in range(3)] == ["notes", "front", "notes"]
    assert one.stderr() == ""
    front.say(control.pack(control.READY))
    wait_until(lambda: one.stderr() == "ready\n", what="ready")


def test_a_zygote_for_each_environment_and_as_many_fronts_as_are_said(supervise):
    one = supervise(
        make_vhost(0), make_vhost(1, environment="flask"), environments=[make_environment("flask")], fronts=3
    )
    for name in ("log", "zygote", "zygote", "front", "front", "front"):
        one.next_role(name)


def test_names_of_many_sites_take_several_orders(supervise):
    one = supervise(*[make_vhost(index) for index in range(2 * module.NAMES_AT_ONCE + 1)])
    names = [order for order in one.next_role("log").read_orders() if order["do"] == "names"]
    assert [order["first"] for order in names] == [0, module.NAMES_AT_ONCE, 2 * module.NAMES_AT_ONCE]
    assert sum(len(order["names"]) for order in names) == 2 * module.NAMES_AT_ONCE + 1


def test_a_role_that_ends_while_starting_ends_the_start(impatient, supervise):
    one = supervise()
    for name in ("log", "zygote"):
        one.next_role(name)
    one.next_role("front").die()
    assert ended(one.pid) == 1
    assert "front 0 ended while starting (status -9); see " in one.stderr()


def test_a_start_that_takes_too_long_ends(impatient, supervise, monkeypatch):
    monkeypatch.setattr(module, "START_SECONDS", 0.1)
    one = supervise()
    _, zygote, _ = (one.next_role(name) for name in ("log", "zygote", "front"))
    zygote.say(orders.pack_notice(orders.ZYGOTE_READY))
    assert ended(one.pid) == 1
    assert "not ready after 0.1 s: front 0; see " in one.stderr()


# --- fronts and pools


def test_a_visitor_wakes_a_pool(served):
    served.wake(1)
    order, [listener, channel, log] = served.ordered()
    assert (order["do"], order["plan"]["index"], order["plan"]["name"]) == (orders.SPAWN, 1, "site1.example")
    served.zygote.say(control.pack_notice(control.SPAWNED, order["plan"]["serial"], 4711, 4711))
    os.write(channel, PoolState.SWITCHED)
    assert served.told() == (control.AWAKE, 1, 1)
    assert len({listener, channel, log}) == 3


def test_a_zygote_that_has_no_process_to_give_refuses(served):
    served.wake()
    order, _ = served.ordered()
    served.zygote.say(control.pack_notice(control.NOT_SPAWNED, order["plan"]["serial"], 0, 11))
    assert served.told() == (control.REFUSED, 0, 1)


def test_a_pool_whose_switch_failed_is_said_and_refuses(served):
    served.wake()
    order, _ = served.ordered()
    served.zygote.say(control.pack_notice(control.EXITED, order["plan"]["serial"], 4711, 70 << 8))
    assert served.told() == (control.REFUSED, 0, 1)
    served.one.noted("site0.example: its pool 0 exited with status 70 while ordered")


def test_messages_of_another_generation_are_not_for_this_table(served):
    served.wake(0, generation=2)
    served.wake(1)
    assert served.ordered()[0]["plan"]["index"] == 1


def test_an_overdue_pool_is_ended(served):
    serial, _ = served.awake()
    served.front.say(control.pack(control.END, 0, 1))
    assert served.ordered() == ({"do": orders.KILL, "serial": serial}, [])


@pytest.mark.parametrize("nonsense", [b"x", b"x" * control.FRONT_MESSAGE_SIZE, control.pack(control.AWAKE), b"y" * 999])
def test_a_front_that_talks_nonsense_is_ended_and_another_started(served, nonsense):
    served.front.say(nonsense)
    served.one.next_role("front")
    assert wait_gone([served.front.pid]) == []
    served.one.noted("it is ended")


def test_a_zygote_that_talks_nonsense_is_ended_and_another_started(served):
    served.zygote.say(b"nonsense")
    served.one.next_role("zygote")
    assert wait_gone([served.zygote.pid]) == []
    served.one.noted("it is ended")


def test_descriptors_that_a_role_sends_are_not_kept(served):
    """From Linux 6.16 on they cannot even be sent (SO_PASSRIGHTS)."""
    reader, writer = os.pipe()
    with contextlib.suppress(PermissionError):
        fds.send_message(served.front.channel, control.pack(control.WAKE, 0, 1), [writer])
    os.close(writer)
    assert select.select([reader], [], [], PATIENCE)[0], "the pipe's other end is still open"
    assert os.read(reader, 1) == b""
    os.close(reader)


# --- what ends by itself


@pytest.mark.parametrize("name", ["front", "zygote", "log"])
def test_a_role_that_dies_is_started_again(served, name):
    old = getattr(served, name)
    old.die()
    new = served.one.next_role(name)
    assert new.pid != old.pid
    if name == "log":
        new.read_orders()
    else:
        be_ready(served.one, new)
    served.one.noted(f"({old.pid}) ended (status -9); it is started again in 0 s")


def test_its_end_and_the_end_of_its_channel_may_be_seen_at_once(served):
    """Both are there when the loop looks: the one handler closes what the other was to read."""
    served.one.kill(signal.SIGSTOP)
    for role in (served.front, served.zygote, served.log):
        role.die()
        role.hang_up()
    served.one.kill(signal.SIGCONT)
    assert {served.one.next_role().name for _ in range(3)} == {"front", "zygote", "log"}


def test_a_role_that_only_hangs_up_is_ended(supervise, monkeypatch):
    monkeypatch.setattr(module, "HUNG_UP_SECONDS", 0.05)
    served = Served(supervise())
    served.front.hang_up()
    served.one.next_role("front")
    assert wait_gone([served.front.pid], 0) == []
    served.one.noted(f"front 0 ({served.front.pid}) closed its channel and lives on; it is ended")


def test_a_pool_goes_with_its_zygote_and_the_next_zygote_starts_it_again(supervise, monkeypatch):
    monkeypatch.setattr(pools, "HANG_SECONDS", 3600.0)
    served = Served(supervise())
    serial, _ = served.awake()
    served.zygote.die()
    served.zygote = served.one.next_role("zygote")
    served.one.noted("site0.example: its pool 4711 went with its zygote")
    served.wake()
    served.zygote.say(orders.pack_notice(orders.ZYGOTE_READY))
    assert served.ordered()[0]["plan"]["serial"] != serial


def test_a_new_log_is_told_of_every_pipe(served):
    served.awake()
    served.log.die()
    log = served.one.next_role("log")
    told = [json.loads(log.hear()[0]) for _ in range(7)]
    assert {order["do"] for order in told} == {"files", "names", "notes", "front", "site"}
    assert {"do": "front", "number": 0} in told


def test_while_the_log_is_away_sites_wake_and_fall_asleep(supervise, monkeypatch):
    monkeypatch.setattr(module.Backoff, "failed", lambda self, now: 3600.0)
    served = Served(supervise(make_vhost(0), make_vhost(1)))
    serial, channel = served.awake(0)
    served.log.die()
    assert served.log.hears_the_end()
    served.log.hang_up()
    wait_until(lambda: not alive(served.log.pid), what="the end of the log")
    os.write(channel, PoolState.LEAVING)
    served.zygote.say(control.pack_notice(control.EXITED, serial, 4711, 0))
    served.awake(1)
    served.awake(0)


def test_a_role_that_cannot_be_started_is_tried_again_later(supervise):
    served = Served(supervise(refuse=lambda name, number: name == "itkwsgi front" and number == 2))
    served.front.die()
    served.one.next_role("front")
    served.one.noted("front 0 cannot be started: itkwsgi front: cannot start: refused by the test")


def test_whatever_else_becomes_ours_is_ended(supervise, base):
    """A process that nobody knows, as a site's leftovers are when their pool and its zygote are gone."""

    def leave_behind():
        (base / "stranger").write_text(str(forked(lambda: fds.close_all_except(()), signal.pause)))

    served = Served(supervise(before=leave_behind))
    stranger = int((base / "stranger").read_text())
    assert alive(stranger)
    served.front.die()  # a child ended: it looks
    served.one.next_role("front")
    assert wait_gone([stranger]) == []


# --- signals


def test_hup_says_that_it_does_nothing(served):
    served.one.kill(signal.SIGHUP)
    served.one.noted("HUP: the configuration is read at the start only")


def test_usr1_opens_the_servers_logs_anew(served, base):
    os.rename(base / "log" / "error.log", base / "log" / "error.log.1")
    served.one.kill(signal.SIGUSR1)
    while json.loads((message := served.log.hear())[0])["do"] != "files":
        continue
    assert [os.readlink(f"/proc/self/fd/{fd}") for fd in message[1]] == [
        f"{base}/log/error.log",
        f"{base}/log/access.log",
    ]


def test_usr1_with_a_log_that_cannot_be_had_is_said(served, base):
    os.rename(base / "log" / "error.log", base / "log" / "error.log.1")
    (base / "log" / "error.log").mkdir()
    served.one.kill(signal.SIGUSR1)
    served.one.noted("error.log: Is a directory")
    served.wake()
    assert served.ordered()[0]["do"] == orders.SPAWN


def test_many_signals_of_one_kind_are_one(served):
    served.one.kill(signal.SIGSTOP)
    for _ in range(20):
        served.one.kill(signal.SIGHUP)
    served.one.kill(signal.SIGCONT)
    served.wake()
    assert served.ordered()[0]["do"] == orders.SPAWN
    assert served.one.noted("HUP").count("HUP: ") == 1


def test_term_drains_fronts_pools_zygotes_and_the_log_in_this_order(served, where):
    one = served.one
    serial, _ = served.awake()
    assert os.listdir(where.pools) == ["0.sock"]
    one.kill(signal.SIGTERM)
    assert served.told() == (control.STOP, 0, 1)
    served.wake(1)  # too late: nothing is started any more
    served.front.die()
    assert served.ordered() == ({"do": orders.TERMINATE, "serial": serial}, [])
    served.zygote.say(control.pack_notice(control.EXITED, serial, 4711, 0))
    assert served.zygote.hears_the_end()
    served.zygote.die()
    assert served.log.hears_the_end()
    assert alive(one.pid)
    served.log.die()
    assert ended(one.pid) == 0
    assert os.listdir(where.pools) == []


def test_int_waits_for_nobody(served):
    one = served.one
    served.awake()
    one.kill(signal.SIGINT)
    assert served.zygote.hears_the_end()
    assert wait_gone([served.front.pid]) == []
    served.zygote.die()
    assert served.log.hears_the_end()
    served.log.die()
    assert ended(one.pid) == 0


def test_int_while_draining_waits_no_longer(served):
    served.one.kill(signal.SIGTERM)
    assert served.told() == (control.STOP, 0, 1)
    served.one.kill(signal.SIGINT)
    assert served.zygote.hears_the_end()
    assert wait_gone([served.front.pid]) == []


def test_roles_that_do_not_go_are_ended_when_their_time_is_over(impatient, served):
    served.one.kill(signal.SIGINT)
    assert ended(served.one.pid) == 0
    assert wait_gone([served.zygote.pid, served.log.pid], 0) == []


def test_a_role_that_dies_while_the_server_stops_is_not_started_again(served):
    served.one.kill(signal.SIGTERM)
    assert served.told() == (control.STOP, 0, 1)
    served.zygote.die()
    served.front.die()
    assert served.log.hears_the_end()
    served.log.die()
    assert ended(served.one.pid) == 0
    served.one.hub.setblocking(False)
    assert served.one.hub.recv(1000) == b""  # nothing more was launched
