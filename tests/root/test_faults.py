"""Faults of the kernel, of the account database, and of sites that do their worst.

During each: the other site is served within a second.  After each: the site heals, or serves nobody; nobody is ever
served under a wrong identity.  What fails inside the switch itself: test_switch_faults.py; here it is the way there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.support.daemon import Daemon, alive, children, wait_until
from tests.support.faults import answers, answers_at_once, heals, injected, running_as, status_of

OTHER, ANOTHER = 50130, 50129
SITES, IMPORTING = range(50170, 50190), range(50190, 50205)
FIRST = 50131
SITE = """
import os, probe
from probe import application, text

def do_out_of_order(environ, start_response):
    '''Whatever the path names, by what it knows of the server.'''
    source = BAD[environ["QUERY_STRING"].replace("%20", " ")]
    with open(os.path.join(os.environ["TMPDIR"], "did"), "w") as file:
        file.write(source)
    exec(source)
    return text(start_response, "did it")

def do_did(environ, start_response):
    with open(os.path.join(os.environ["TMPDIR"], "did")) as file:
        return text(start_response, file.read())

probe.do_out_of_order, probe.do_did = do_out_of_order, do_did
"""

# --- each step from the zygote to the site

# (system call and fault and file, with an interpreter of its own): nobody is served, nothing runs.
STEPS = [
    ("setsid:error=EPERM", False),
    ("dup3,dup2,fcntl:error=EMFILE", False),
    ("pread64:error=EIO", False),
    ("rt_sigaction:error=EINVAL", False),
    ("rt_sigprocmask:error=EINVAL", False),
    ("setpriority:error=EPERM", False),
    ("openat:error=EACCES /dev/null", False),
    ("openat:error=EACCES /proc/self/oom_score_adj", False),
    ("openat:error=EMFILE /proc/self/status", False),
    ("capget:error=EPERM", False),
    ("capset:retval=0", False),
    ("setgroups:error=EPERM", False),
    ("setgroups:retval=0", False),
    ("setresgid:error=EINVAL", False),
    ("setresgid:retval=0", False),
    ("setresuid:error=EPERM", False),
    ("setresuid:retval=0", False),
    ("getresuid:error=EFAULT", False),
    ("getresgid:error=EFAULT", False),
    ("getgroups:error=EINVAL", False),
    ("keyctl:error=ENOMEM", False),
    ("prctl:error=EPERM", False),
    ("prctl:error=EINVAL", False),
    ("prctl:retval=0", False),
    ("prlimit64:error=EPERM", False),
    ("getppid:retval=1", False),
    ("memfd_create:error=EMFILE", True),
    ("execve:error=EACCES", True),
    ("execve:error=ENOMEM", True),
]


def vhost(name, root, app, uid, more=""):
    return f"[[vhost]]\nname = '{name}'\nroot = '{root}'\napp = '{app}'\nuser = {uid}\n{more}\n"


@pytest.fixture(scope="module")
def steps(place, sites):
    """A sleeping site for each step, and another one that is awake."""
    vhosts = vhost("b.test", sites, "probe.py", OTHER)
    for number, (fault, own) in enumerate(STEPS):
        more = "nice = 1\n" + ("python = '/usr/bin/python3'" if own else "")
        vhosts += vhost(f"s{number}.test", sites, "probe.py", FIRST + number, more)
        assert fault
    with Daemon(place / "steps", vhosts) as one:
        assert one.get("b.test").status == 200
        yield one


@pytest.mark.parametrize(("number", "fault"), [(number, fault) for number, (fault, _) in enumerate(STEPS)])
def test_whatever_step_fails_nobody_is_served(steps, number, fault):
    host, uid = f"s{number}.test", FIRST + number
    zygote = steps.named("itkwsgi: zygote")[0]
    call, _, path = fault.partition(" ")
    with injected(zygote, call, path=path):
        assert answers(steps, host, "/facts") in (500, 503)
        answers_at_once(steps, "b.test")
        assert not running_as(uid)
        assert not [pid for pid in children(zygote) if status_of(pid)["Uid"] == status_of(zygote)["Uid"]]


def test_and_after_all_of_that_each_site_is_served_as_its_user(steps):
    """The control, and the healing."""
    for number in range(len(STEPS)):
        host = f"s{number}.test"
        heals(steps, host)
        assert json.loads(steps.get(host, "/facts").body)["uid"] == [FIRST + number] * 3


# --- no process to be had (16)

NO_FORK = "clone,clone3,?fork,?vfork"


@pytest.fixture(scope="module")
def pair(place, sites):
    (sites / "bad.py").write_text(f"BAD = {BAD!r}\n{SITE}")
    vhosts = vhost("a.test", sites, "bad.py", SITES[0]) + vhost("b.test", sites, "probe.py", ANOTHER)
    vhosts += "".join(vhost(f"bad{n}.test", sites, "bad.py", SITES[1 + n]) for n in range(len(BAD)))
    for uid, (name, source) in zip(IMPORTING, BAD_IMPORTS.items(), strict=False):
        began = "import os\nopen(os.environ['TMPDIR'] + '/began', 'w').close()\n"
        (sites / f"bad_{name}.py").write_text(began + source)
        vhosts += vhost(f"{name.replace('_', '-')}.test", sites, f"bad_{name}.py", uid, "startup_timeout = '2s'")
    with Daemon(place / "pair", vhosts, server='graceful_timeout = "1s"') as one:
        yield one


@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_a_zygote_that_cannot_fork_refuses_and_heals(pair, error):
    pool = pair.named("pool a.test")
    for pid in pool:
        os.kill(pid, 9)
    answers_at_once(pair, "b.test")
    with injected(pair.named("itkwsgi: zygote")[0], f"{NO_FORK}:error={error}"):
        assert answers(pair, "a.test") in (500, 503)
        answers_at_once(pair, "b.test")
    heals(pair, "a.test")


@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_a_pool_that_cannot_fork_says_so_and_heals(pair, error):
    """Spares still answer; whoever comes next waits until there is a process again."""
    heals(pair, "a.test")
    pool = pair.named("pool a.test")[0]
    said = complaints(pair)
    with injected(pool, f"{NO_FORK}:error={error}:when=1..5", follow=False):
        before = cpu_time(pool)
        wait_until(lambda: answers(pair, "a.test", timeout=10) == 200 and complaints(pair) > said, 10, "a complaint")
        assert cpu_time(pool) - before < 0.5  # no busy loop
        answers_at_once(pair, "b.test")
    assert pair.named("pool a.test") == [pool]


def complaints(one):
    return one.error_log().count("no process for another request")


def cpu_time(pid):
    """Seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("error", ["ENFILE", "ENOMEM"])
def test_a_zygote_that_can_open_no_file_goes_on(pair, error):
    """ENFILE: the system's table of files is full, and any user may fill it.  A pool ends, and is reaped, just then."""
    heals(pair, "a.test")
    answers_at_once(pair, "b.test")
    zygote = pair.named("itkwsgi: zygote")
    with injected(zygote[0], f"openat:error={error}", follow=False):
        pool = pair.named("pool a.test")[0]
        os.kill(pool, 9)
        wait_until(lambda: not os.path.exists(f"/proc/{pool}"), 5, "that it is reaped")
        answers_at_once(pair, "b.test")
    heals(pair, "a.test")
    assert pair.named("itkwsgi: zygote") == zygote


@pytest.mark.parametrize("error", ["ENFILE", "ENOMEM"])
def test_root_that_can_open_no_file_goes_on(daemon, sites, error):
    """The same for the supervisor, when a role of its own ends."""
    one = daemon(vhost("b.test", sites, "probe.py", ANOTHER))
    answers(one, "b.test")
    log = one.named("itkwsgi: log")
    with injected(one.pid, f"openat:error={error}", follow=False):
        os.kill(log[0], 9)
        wait_until(lambda: not alive(log[0]), 5, "the end of the log")
        answers_at_once(one, "b.test")
    wait_until(lambda: one.named("itkwsgi: log") not in ([], log), 10, "the next log")
    answers_at_once(one, "b.test")


# --- sites that do their worst (57, 59, 60)

BAD = {
    "kill everybody": "os.kill(-1, 9)",
    "kill the group": "os.killpg(0, 9)",
    "kill the pool": "os.kill(os.getppid(), 9)",
    "stop the pool": "os.kill(os.getppid(), 19)",
    "stop everybody": "os.kill(-1, 19)",
    "segmentation fault": "import ctypes; ctypes.string_at(0)",
    "shut the connection": "import socket; [socket.socket(fileno=fd).shutdown(2) for fd in connections()]",
    "say nothing and leave": "os._exit(0)",
    "close everything": "os.closerange(0, 100)",
    "garbage to the front": "say(os.urandom(4096))",
    "records without end": "flood(b'\\1\\x06\\0\\1\\xff\\xff\\0\\0' + bytes(65535))",
    "a record that breaks off": "say(b'\\1\\6\\0\\1\\xff\\xff\\0\\0abc')",
    "records of a later version": "say(b'\\7' * 64)",
    "the end of a request that is none": "say(b'\\1\\3\\0\\x63\\0\\x08\\0\\0' + bytes(8))",
    "descriptors without end": "send_descriptors()",
}
SITE += """

def connections():
    '''The sockets of this process; each is the front's.'''
    import stat
    return [fd for fd in range(3, 50) if is_socket(fd)]

def is_socket(fd):
    import stat
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False

def say(data):
    for fd in connections():
        os.write(fd, data)
    os._exit(0)

def flood(data):
    '''Until nobody reads any more; 100 MB at most.'''
    [fd] = connections()
    for _ in range(1600):
        os.write(fd, data)
    os._exit(0)

def send_descriptors():
    import array, socket
    [fd] = connections()
    rights = array.array("i", [os.open("/dev/null", os.O_RDONLY) for _ in range(253)])
    for _ in range(20):
        socket.socket(fileno=os.dup(fd)).sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    os._exit(0)
"""


@pytest.mark.parametrize(("number", "name"), list(enumerate(BAD)), ids=list(BAD))
def test_whatever_a_request_does_others_are_served_and_it_heals(pair, number, name):
    host = f"bad{number}.test"
    answers(pair, host)
    answers_at_once(pair, "b.test")
    front = pair.named("itkwsgi: front")
    answers(pair, host, f"/out-of-order?{name.replace(' ', '%20')}", timeout=2)
    answers_at_once(pair, "b.test")
    if name.startswith("stop"):
        for pid in running_as(SITES[1 + number]):  # who stops himself stays so: nobody else has to do with it
            os.kill(pid, 18)
    heals(pair, host)
    assert pair.get(host, "/did").text == BAD[name]
    assert pair.named("itkwsgi: front") == front


def test_none_of_it_left_a_descriptor_in_the_front(pair):
    heals(pair, "a.test")
    front = pair.named("itkwsgi: front")[0]
    before = len(os.listdir(f"/proc/{front}/fd"))
    for name in ("garbage to the front", "descriptors without end", "a record that breaks off"):
        for _ in range(5):
            answers(pair, "a.test", f"/out-of-order?{name.replace(' ', '%20')}")
            heals(pair, "a.test")
    wait_until(lambda: len(os.listdir(f"/proc/{front}/fd")) <= before, 10, "as many descriptors as before")


# What a pool says to root it counts up in an eventfd, which is its own as much as root's.
CHANNEL = """
import os, time
def say(word):
    try:
        os.write(4, word)
    except OSError:
        pass
"""
BAD_IMPORTS = {
    "kills_everybody": "import os\nos.kill(-1, 9)\n",
    "stops_itself": "import os\nos.kill(os.getpid(), 19)\n",
    "chatters": f"{CHANNEL}for _ in range(100000):\n    say(os.urandom(8))\n",
    "says_all": f"{CHANNEL}for _ in range(1000):\n    say(b'\\xfe' + b'\\xff' * 7)\n",
    "takes_its_words_back": f"{CHANNEL}os.set_blocking(4, True)\nend = time.monotonic() + 0.4\n"
    "while time.monotonic() < end:\n    say(b'\\1' + bytes(7))\n    os.read(4, 8)\n",
    "closes_all": "import os\nos.closerange(0, 100)\n",
    "holds_all": "import signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
    "sys.setswitchinterval(1e6)\nwhile True:\n    pass\n",
    "shuts_listener": "import os, socket\nsocket.socket(fileno=os.dup(3)).shutdown(2)\n",
    "listens_elsewhere": "import os, socket\ns = socket.socket(socket.AF_UNIX)\nos.dup2(s.fileno(), 3)\n",
    "replaces_channel": "import os\nr, w = os.pipe()\nos.dup2(w, 4)\n",
    "crashes": "import ctypes\nctypes.string_at(0)\n",
    "exits": "import os\nos._exit(0)\n",
    "forks_and_leaves": "import os\nif os.fork():\n    os._exit(0)\n",
    "becomes_another": "import os\nos.execv('/bin/true', ['true'])\n",
}


@pytest.mark.parametrize(("number", "name"), list(enumerate(BAD_IMPORTS)), ids=list(BAD_IMPORTS))
def test_whatever_an_import_does_others_are_served(pair, number, name):
    answers_at_once(pair, "b.test")
    answers(pair, f"{name.replace('_', '-')}.test", timeout=0.5)
    answers_at_once(pair, "b.test")
    tmp = pair.place / f"spool/tmp/{name.replace('_', '-')}.test-{IMPORTING[number]}"
    wait_until((tmp / "began").exists, 5, "the import")


# --- the layout of memory


def test_after_a_crash_the_next_pool_has_another_layout(pair):
    """Children are forks: whoever may crash them again and again could otherwise guess addresses byte by byte."""
    heals(pair, "a.test")
    before = layout(pair.named("pool a.test")[0])
    answers(pair, "a.test", "/out-of-order?segmentation%20fault")
    wait_until(lambda: has_another_layout(pair, before), 10, "a pool with another layout")


def has_another_layout(one, before):
    answers(one, "a.test")
    pools = one.named("pool a.test")
    return bool(pools) and not before & layout(pools[0])


def layout(pid):
    """Where its stack and its libraries begin."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.partition("-")[0] for line in lines if "[stack]" in line or "libc.so" in line}


def test_without_a_crash_it_keeps_its_layout(pair):
    """The control: a pool that merely ended is a fork of the same zygote."""
    heals(pair, "b.test")
    before = layout(pair.named("pool b.test")[0])
    os.kill(pair.named("pool b.test")[0], 9)
    wait_until(lambda: answers(pair, "b.test") == 200 and pair.named("pool b.test"), 10, "the next pool")
    assert layout(pair.named("pool b.test")[0]) == before


def test_and_after_all_of_that_the_server_stops_in_time_and_leaves_nobody(place, sites, pair):
    """The last of this module's for that daemon."""
    answers(pair, "holds-all.test", timeout=0.3)
    assert pair.stop() == 0
    assert [pid for uid in (*SITES, *IMPORTING, ANOTHER) for pid in running_as(uid)] == []


# --- the account database (18, 54)


class WithAccounts:
    """A daemon in a mount namespace of its own, whose /etc/passwd and /etc/group are ours to change."""

    def __init__(self, place: Path, vhosts: str) -> None:
        place.mkdir()
        self.passwd, self.group = place / "passwd", place / "group"
        self.passwd.write_text(Path("/etc/passwd").read_text())
        self.group.write_text(Path("/etc/group").read_text())
        self.wrapper = place / "python"
        self.wrapper.write_text(
            "#!/bin/sh\nexec unshare -m --propagation private /bin/sh -c '"
            f"mount --bind {self.passwd} /etc/passwd && mount --bind {self.group} /etc/group && "
            f'exec {sys.executable} "$@"'
            '\' sh "$@"\n'
        )
        self.wrapper.chmod(0o755)
        self.daemon = Daemon(place / "server", vhosts)

    def add(self, name: str, uid: int, groups: dict[str, int]) -> None:
        with open(self.passwd, "a") as file:
            file.write(f"{name}:x:{uid}:{uid}::/nonexistent:/bin/sh\n")
        with open(self.group, "a") as file:
            file.write(f"{name}:x:{uid}:\n" + "".join(f"{group}:x:{gid}:{name}\n" for group, gid in groups.items()))

    def forget(self, name: str) -> None:
        """In place: the bind mount shows this very file."""
        kept = [line for line in self.passwd.read_text().splitlines(True) if not line.startswith(f"{name}:")]
        self.passwd.write_text("".join(kept))

    def __enter__(self):
        with mock.patch.object(sys, "executable", str(self.wrapper)):
            self.daemon.start()
        return self

    def __exit__(self, *exc):
        self.daemon.stop()


@pytest.fixture
def accounts(place, sites, request):
    made = []

    def make(vhosts):
        made.append(WithAccounts(place / f"accounts-{len(made)}-{abs(hash(request.node.name))}", vhosts))
        return made[-1]

    return make


def test_a_user_that_is_deleted_while_it_runs(accounts, sites):
    """The site that is awake goes on; the one that sleeps is refused or wakes as the number it was; never another."""
    sites_of = (("awake.test", "itkgone"), ("asleep.test", "itkgone"), ("b.test", 50130))
    one = accounts("".join(vhost(name, sites, "probe.py", repr(user)) for name, user in sites_of))
    one.add("itkgone", 50161, {})
    with one:
        assert json.loads(one.daemon.get("awake.test", "/facts").body)["uid"] == [50161] * 3
        one.forget("itkgone")
        one.add("itkgone", 50162, {})  # the name is somebody else's now
        assert json.loads(one.daemon.get("awake.test", "/facts").body)["uid"] == [50161] * 3
        answer = one.daemon.get("asleep.test", "/facts")
        assert answer.status == 500 or json.loads(answer.body)["uid"] == [50161] * 3
        assert running_as(50162) == []
        answers_at_once(one.daemon, "b.test")


def test_a_user_that_does_not_exist_is_that_sites_problem(accounts, sites):
    one = accounts(vhost("a.test", sites, "probe.py", "'itknobody'") + vhost("b.test", sites, "probe.py", 50130))
    with one:
        assert "itknobody" in "".join(one.daemon.said)
        assert answers(one.daemon, "a.test") == 500
        answers_at_once(one.daemon, "b.test")


def test_the_groups_of_an_account_are_its_sites_as_far_as_they_are_permitted(accounts, sites, place):
    """As initgroups(3) would, less those outside gid_range; and what a file's group may, the site may."""
    one = accounts(vhost("a.test", sites, "probe.py", "'itkmember'"))
    one.add("itkmember", 50163, {"itkinside": 50164, "itkoutside": 999, "itkhigh": 70000})
    with one:
        found = json.loads(one.daemon.get("a.test", "/facts").body)
    assert (found["uid"], found["groups"]) == ([50163] * 3, [50164])


READS = """
def application(environ, start_response):
    start_response("200 OK", [])
    try:
        return [open(environ["QUERY_STRING"], "rb").read()]
    except PermissionError:
        return [b"refused"]
"""


@pytest.mark.parametrize(("groups", "outcome"), [("groups = [50165]", "the group's"), ("groups = []", "refused")])
def test_a_group_gives_what_it_may_and_no_more(daemon, sites, place, groups, outcome):
    (sites / "reads.py").write_text(READS)
    (place / "of-a-group").write_text("the group's")
    os.chown(place / "of-a-group", 0, 50165)
    (place / "of-a-group").chmod(0o040)
    one = daemon(vhost("a.test", sites, "reads.py", 50166, groups))
    assert one.get("a.test", f"/?{place}/of-a-group").text == outcome


@pytest.mark.parametrize("groups", ["[999]", "[0]", "[70000]", "['root']"])
def test_groups_outside_the_range_stop_the_start(daemon, sites, groups):
    with pytest.raises(AssertionError, match=r"group"):
        daemon(vhost("a.test", sites, "probe.py", 50166, f"groups = {groups}"))
