"""How each role is started: what it is to be, and exactly what it is given.  Nothing is launched here."""

import os
import signal
import socket
import sys
from dataclasses import replace

import pytest

from itkwsgi.config.model import Ids
from itkwsgi.errors import OperatorError
from itkwsgi.front import settings as front
from itkwsgi.linux import fds, filters, kernel
from itkwsgi.linux.identity import Identity
from itkwsgi.supervisor import roles as module
from itkwsgi.supervisor.loglink import LogLink
from itkwsgi.supervisor.plan import ZygotePlan
from itkwsgi.supervisor.roles import Launcher, Role
from itkwsgi.wire import control, orders
from tests.support.configured import make_vhost

FRONT, ZYGOTE, LOG = (Ids(uid, uid, (99,)) for uid in (65530, 65531, 65532))
PLAN = ZygotePlan("flask", "flask", "/venvs/flask/bin/python", ("flask",))


class Launches:
    """Stands in for `launch`: keeps each spec, and what its descriptors are."""

    def __init__(self):
        self.specs = []
        self.places = []
        self.contents = {}
        self.error = None

    def __call__(self, spec):
        if self.error:
            raise self.error
        self.specs.append(spec)
        self.places.append({target: os.readlink(f"/proc/self/fd/{fd}") for target, fd in spec.fds.items()})
        if control.SETTINGS_FD in spec.fds:
            memory = spec.fds[control.SETTINGS_FD]
            self.contents[spec.name] = os.pread(memory, os.fstat(memory).st_size, 0)
        return 4711


@pytest.fixture
def launches(monkeypatch):
    made = Launches()
    monkeypatch.setattr(module, "launch", made)
    return made


@pytest.fixture
def start(configured, where, launches):
    """Start a role; ``start(lambda launcher: …)`` returns it, its spec and where its descriptors lead."""
    links, started, listeners = [], [], [socket.socket() for _ in range(2)]

    def make(how, *vhosts, privileged=True, **server):
        ids = {"front_ids": FRONT, "zygote_ids": ZYGOTE, "log_ids": LOG, "user_id": Ids(33, 33)}
        ranges = {"uid_range": (1000, 2000), "gid_range": (1000, 3000)}
        config = configured(*(vhosts or [make_vhost(0)]), **ids, **ranges, **server)
        link = LogLink(lambda seconds, callback: None)
        links.append(link)
        started.append(how(Launcher(config, where, listeners, link, privileged=privileged)))
        return started[-1], launches.specs[-1], launches.places[-1]

    make.links = links
    yield make
    for role in started:
        role.channel.close()
    for sock in listeners:
        sock.close()
    for link in links:
        for key in list(link.sources):
            link.remove(key)


# --- each role


def test_the_log_writes_to_the_operator_and_has_nothing_else(start):
    role, spec, places = start(Launcher.start_log)
    assert (role.kind, role.key, role.pid, role.ready) == ("log", "", 4711, False)
    assert spec.argv == [sys.executable, "-I", "-m", "itkwsgi.log"]
    assert sorted(places) == [0, 1, 2, control.CONTROL_FD]
    assert (places[1], places[2]) == (os.readlink("/proc/self/fd/2"),) * 2
    assert spec.identity == Identity(65532, 65532)
    assert (spec.keep, spec.no_new_privs, spec.death_signal, spec.env) == (frozenset(), True, None, {})


def test_a_front_has_its_listeners_its_table_and_two_pipes(start, where, launches):
    role, spec, places = start(lambda launcher: launcher.start_front(1))
    assert (role.kind, role.key) == ("front", "1")
    assert spec.argv == [sys.executable, "-I", "-m", "itkwsgi.front"]
    assert sorted(places) == [0, 1, 2, control.CONTROL_FD, control.SETTINGS_FD, 5, 6, 7]
    assert places[1] == places[2] != places[7]
    assert all(places[fd].startswith("pipe:") for fd in (1, 7))
    assert all(places[fd].startswith("socket:") for fd in (control.CONTROL_FD, 5, 6))
    assert spec.identity == Identity(65530, 65530)
    assert spec.cwd == where.pools
    assert (spec.keep, spec.no_new_privs, spec.death_signal) == (frozenset(), True, signal.SIGKILL)
    settings = front.load(launches.contents["itkwsgi front"])
    assert [listener.fd for listener in settings.listeners] == [5]
    assert (settings.access_fd, settings.spool_dir) == (7, where.bodies)


def test_a_fronts_pipes_are_known_to_the_log(start):
    _, _, places = start(lambda launcher: launcher.start_front(1))
    sources = start.links[0].sources
    assert sources["front 1"][0] == {"do": "front", "number": 1}
    assert sources["notes front 1"][0] == {"do": "notes", "name": "front 1"}
    leads = {key: os.readlink(f"/proc/self/fd/{descriptors[0]}") for key, (_, descriptors) in sources.items()}
    assert leads == {"front 1": places[7], "notes front 1": places[1]}


def test_a_zygote_keeps_four_capabilities_and_nothing_of_the_servers_packages(start, launches):
    role, spec, places = start(lambda launcher: launcher.start_zygote(PLAN))
    assert (role.kind, role.key) == ("zygote", "flask")
    boot = os.path.join(os.path.dirname(front.__file__), os.pardir, "boot.py")
    assert spec.argv[:3] == ["/venvs/flask/bin/python", "-I", "-S"]
    assert os.path.samefile(spec.argv[3], boot)
    assert spec.argv[4:] == ["zygote"]
    assert sorted(places) == [0, 1, 2, control.CONTROL_FD, control.SETTINGS_FD]
    assert spec.identity == Identity(65531, 65531)
    assert spec.keep == {kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SYS_NICE, kernel.CAP_KILL}
    assert (spec.no_new_privs, spec.death_signal, spec.cwd) == (True, None, "/")
    assert (spec.oom_score, spec.binds, spec.id_map) == (module.ZYGOTE_OOM_SCORE, (), None)
    assert orders.decode(launches.contents["itkwsgi zygote"]) == {
        "name": "flask",
        "preload": ["flask"],
        "packages": True,
        "privileged": True,
        "uids": [(1000, 2000), (33, 33)],
        "gids": [(1000, 3000), (33, 33)],
    }
    assert start.links[0].sources["notes zygote flask"][0] == {"do": "notes", "name": "zygote flask"}


def test_the_bare_zygote_has_a_name_in_the_log(start, launches):
    start(lambda launcher: launcher.start_zygote(ZygotePlan("", "system", "/usr/bin/python3", ())))
    assert orders.decode(launches.contents["itkwsgi zygote"])["name"] == "system"
    assert "notes zygote system" in start.links[0].sources


@pytest.mark.parametrize(
    "how", [Launcher.start_log, lambda launcher: launcher.start_front(0), lambda launcher: launcher.start_zygote(PLAN)]
)
def test_an_ordinary_users_roles_are_that_user_without_capabilities(start, how):
    _, spec, _ = start(how, privileged=False)
    assert (spec.identity, spec.keep) == (None, frozenset())
    assert (spec.filter, spec.id_map, spec.binds, spec.oom_score) == (None, None, (), None)


def test_a_zygotes_filter_and_its_namespace_hold_the_sites_ids_and_its_own(start):
    _, spec, _ = start(lambda launcher: launcher.start_zygote(PLAN), id_namespace=True)
    uids, gids = [(1000, 2000), (33, 33), (65531, 65531)], [(1000, 3000), (33, 33), (65531, 65531)]
    assert spec.id_map == (uids, gids)
    assert spec.filter == filters.zygote_filter(uids, gids)


def test_a_zygote_of_a_site_that_may_use_setgid_helpers(start):
    _, spec, _ = start(lambda launcher: launcher.start_zygote(replace(PLAN, no_new_privs=False)))
    assert spec.no_new_privs is False
    assert spec.filter


@pytest.mark.parametrize(("var_tmp", "places"), [(True, ["/tmp", "/var/tmp"]), (False, ["/tmp"])])
def test_a_private_tmp_is_the_sites_own_directory(start, where, monkeypatch, var_tmp, places):
    chowned = []
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, **more: chowned.append((path, uid, gid)))
    vhost = make_vhost(0, ids=Ids(1500, 1501), private_tmp=True, private_var_tmp=var_tmp)
    plan = ZygotePlan("private 0", "private site0.example", "/usr/bin/python3", (), private=vhost)
    _, spec, _ = start(lambda launcher: launcher.start_zygote(plan), vhost)
    own = f"{where.tmp}/site0.example-1500"
    assert spec.binds == tuple((own, place) for place in places)
    assert os.path.isdir(own)
    assert chowned == [(own, 1500, 1501)]


def test_a_zygote_that_is_gone_for_good_leaves_no_pipe(start):
    launchers = []
    start(lambda launcher: (launchers.append(launcher), launcher.start_zygote(PLAN))[1])
    assert "notes zygote flask" in start.links[0].sources
    launchers[0].forget_notes(PLAN)
    assert start.links[0].sources == {}


# --- the channel, and what is left


def test_the_channel_has_two_ends_and_ours_never_blocks(start):
    role, spec, places = start(Launcher.start_log)
    assert places[0] == os.devnull
    assert places[control.CONTROL_FD].startswith("socket:")
    assert not role.channel.getblocking()
    assert role.channel.type == socket.SOCK_SEQPACKET
    assert role.channel.recv(1) == b""  # the other end went with the launch
    assert not os.get_inheritable(role.channel.fileno())
    assert spec.fds[0] not in fds.open_descriptors() or spec.fds[0] == role.channel.fileno()


def opened():
    return sorted(fds.open_descriptors().values())


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        (Launcher.start_log, 0),
        (lambda launcher: launcher.start_front(0), 2),
        (lambda launcher: launcher.start_zygote(PLAN), 1),
    ],
)
def test_only_the_channel_and_the_logs_ends_stay_here(start, how, kept):
    start(how)[0].channel.close()
    before = len(opened())
    start(how)
    assert len(opened()) == before + 1 + kept


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        (Launcher.start_log, 0),
        (lambda launcher: launcher.start_front(0), 2),
        (lambda launcher: launcher.start_zygote(PLAN), 1),
    ],
)
def test_a_launch_that_fails_leaves_nothing_open_but_what_the_log_was_told(start, launches, how, kept):
    launches.error = OperatorError("no interpreter")
    before = len(opened())
    with pytest.raises(OperatorError):
        start(how)
    assert len(opened()) == before + kept


def test_a_table_of_ten_thousand_sites_reaches_the_front(start, launches):
    """In a file, and not in a datagram."""
    start(lambda launcher: launcher.start_front(0), *[make_vhost(index) for index in range(10_000)])
    assert len(front.load(launches.contents["itkwsgi front"]).sites) == 10_000


def test_a_role_is_named_by_kind_and_key():
    assert [str(Role(kind, key, 1, None)) for kind, key in (("front", "0"), ("log", ""), ("zygote", ""))] == [
        "front 0",
        "log",
        "zygote",
    ]
