"""Nothing is left: what a site started, at import or in a request, ends with its request or with its pool, and all of
it with the server, whichever of its processes is killed.

Looked for by uid, in the whole machine: what escaped is no descendant of ours any more.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.daemon import Daemon, children, wait_until
from tests.support.faults import answers, answers_at_once, heals, nobody_left, running_as, status_of

UID, OTHER = 50141, 50142
STRAY = 50144
HELD = 50143  # of the one server that lasts for the whole module

# Ways to stay: each is Python that leaves something running when it has been run.
WAYS = {
    "a child": "fork()",
    "a session of its own": "fork(os.setsid)",
    "a daemon by the book": "fork(os.setsid, again)",
    "a daemon that closed everything": "fork(os.setsid, again, lambda: os.closerange(0, 1000))",
    "a group of its own": "fork(lambda: os.setpgid(0, 0))",
    "ignores every signal": "fork(os.setsid, ignore)",
    "another program": "subprocess.Popen(['sleep', '300'], start_new_session=True)",
    "a program by a shell": "os.system('setsid sleep 300 >/dev/null 2>&1 </dev/null &')",
    "a subreaper": "fork(subreaper, again)",
    "traced by its own": "fork(os.setsid, traced)",
    "stopped": "fork(os.setsid, lambda: os.kill(os.getpid(), signal.SIGSTOP))",
    "forks and ends without end": "fork(os.setsid, hydra)",
    "many": "[fork(os.setsid) for _ in range(30)]",
    "a thread": "threading.Thread(target=time.sleep, args=(300,)).start()",
    "no death signal": "fork(lambda: LIBC.prctl(1, 0, 0, 0, 0), os.setsid)",
    "holds the interpreter": "fork(os.setsid, spin)",
}
SITE = """
import ctypes, os, signal, subprocess, sys, threading, time

LIBC = ctypes.CDLL(None)

def fork(*steps):
    '''A child that takes these steps, and stays.'''
    if os.fork() == 0:
        try:
            for step in steps:
                step()
            while True:
                time.sleep(300)
        finally:
            os._exit(0)

def again():
    if os.fork():
        os._exit(0)

def ignore():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

def subreaper():
    LIBC.prctl(36, 1, 0, 0, 0)

def traced():
    pid = os.fork()
    if pid == 0:
        time.sleep(300)
    LIBC.ptrace(0x4206, pid, 0, 0x00100000)

def hydra():
    '''Its pid is another one every moment.'''
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        time.sleep(0.001)

def spin():
    sys.setswitchinterval(1e6)
    while True:
        pass

def application(environ, start_response):
    name = environ["QUERY_STRING"].replace("%20", " ")
    if name:
        exec(WAYS[name])
    start_response("200 OK", [])
    return [b"answered"]
"""


@pytest.fixture(scope="module")
def apps(sites):
    (sites / "stays.py").write_text(f"WAYS = {WAYS!r}\n{SITE}")
    for number, source in enumerate(WAYS.values()):
        (sites / f"stays{number}.py").write_text(f"from stays import *\nfrom stays import application\n{source}\n")
    return sites


def vhost(name, root, app, uid=UID, more=""):
    return f"[[vhost]]\nname = '{name}'\nroot = '{root}'\napp = '{app}'\nuser = {uid}\nexit_grace = '200ms'\n{more}\n"


def query(name):
    return f"/?{name.replace(' ', '%20')}"


@pytest.fixture(scope="module")
def requests(place, apps):
    vhosts = vhost("a.test", apps, "stays.py", HELD) + vhost("b.test", apps, "probe.py", HELD)
    with Daemon(place / "stays", vhosts, server='graceful_timeout = "1s"') as one:
        yield one


@pytest.mark.parametrize("name", WAYS)
def test_what_a_request_leaves_ends_with_it(requests, name):
    heals(requests, "a.test")
    assert answers(requests, "a.test", query(name)) == 200
    only = {"pool", "child a.test (idle)"}
    wait_until(lambda: not strangers(requests), 5, f"the end of {name}, when only {only} are left")
    answers_at_once(requests, "b.test")
    heals(requests, "a.test")


def strangers(one):
    """Processes of the site's user that are neither its pool nor a spare that waits for a visitor."""
    known = {*one.named("pool a.test"), *one.named("child a.test (idle)")}
    known |= {*one.named("pool b.test"), *one.named("child b.test (idle)")}
    return [pid for pid in running_as(HELD) if pid not in known]


@pytest.mark.parametrize("number", range(len(WAYS)), ids=list(WAYS))
def test_what_an_import_leaves_ends_with_its_pool(daemon, apps, number):
    """And with the server: here the pool is killed, then the server stopped."""
    one = daemon(
        vhost("a.test", apps, f"stays{number}.py", UID) + vhost("b.test", apps, "probe.py", OTHER),
        server='graceful_timeout = "1s"',
    )
    answers(one, "a.test")
    answers_at_once(one, "b.test")
    before = set(running_as(UID))
    [pool] = pools_of(one)
    os.kill(pool, signal.SIGKILL)
    wait_until(lambda: not before & set(running_as(UID)), 5, "the end of what came with the pool")
    heals(one, "a.test")
    assert one.stop() == 0
    nobody_left(UID)


def pools_of(one):
    """Its zygote's children; whatever a site forked has the title of its pool as well."""
    [zygote] = one.named("itkwsgi: zygote")
    return [pid for pid in children(zygote) if pid in running_as(UID)]


STUBBORN = ("a daemon that closed everything", "ignores every signal", "forks and ends without end", "a subreaper")
ROLES = ("supervisor", "zygote", "front", "log", "pool")


@pytest.mark.parametrize("role", ROLES)
def test_kill_9_of_any_role_leaves_nothing_that_a_site_started(daemon, apps, role):
    """Sites leave all they can, at import and in a request that is still running; then that role is killed."""
    numbers = [list(WAYS).index(name) for name in STUBBORN]
    names = [f"i{number}.test" for number in numbers]
    one = daemon(
        "".join(vhost(name, apps, f"stays{number}.py") for name, number in zip(names, numbers, strict=True))
        + vhost("b.test", apps, "probe.py", OTHER),
        server='graceful_timeout = "1s"',
    )
    for name in names:
        assert answers(one, name) == 200
    before = set(running_as(UID))
    if role == "supervisor":
        assert one.stop(signal.SIGKILL) == -signal.SIGKILL
        nobody_left(UID)
        assert running_as(OTHER) == []
        return
    for pid in pools_of(one) if role == "pool" else one.named(f"itkwsgi: {role}"):
        os.kill(pid, signal.SIGKILL)
    if role in ("zygote", "pool"):
        wait_until(lambda: not before & set(running_as(UID)), 5, "the end of all that came with it")
    heals(one, "b.test")
    assert one.stop() == 0
    nobody_left(UID)


def test_the_search_by_uid_finds_what_escaped():
    """The control: a daemon by the book, of a user whom nobody looks after."""
    pid = os.fork()
    if pid == 0:
        os.setresgid(STRAY, STRAY, STRAY)
        os.setresuid(STRAY, STRAY, STRAY)
        os.setsid()
        if os.fork() == 0:
            signal.pause()
        os._exit(0)
    os.waitpid(pid, 0)
    found = running_as(STRAY)
    parents = [status_of(each)["PPid"] for each in found]
    for each in found:
        os.kill(each, signal.SIGKILL)
    assert len(found) == 1 and str(os.getpid()) not in parents
    nobody_left(STRAY)
