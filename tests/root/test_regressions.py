"""What went wrong in other servers of this kind, by name: each must not come back here.

First mpm-itk's own history, an entry of its CHANGES for each; then the classes of the known vulnerabilities of
mpm-itk's relatives.  Of most there is more elsewhere: attempts without number in test_attacks.py, and in test_faults.py
and test_switch_faults.py a fault for each step.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from tests.root.attacks.attempt import outcome_of
from tests.root.attacks.ways import identity
from tests.support.daemon import Daemon, children, wait_until
from tests.support.faults import answers, answers_at_once, heals, injected, running_as, status_of
from tests.support.forked import in_child
from tests.support.running import Visitor
from tests.support.switching import SITE, ZYGOTE, become_site, begin

FRONT = 65530
A, B, OWNER = 50151, 50152, 50153
SOURCE = """
import atexit, json, os, threading

NOTES = os.path.join(os.environ["TMPDIR"], "notes")

def note(stage):
    with open(NOTES, "a") as file:
        file.write(f"{stage} {os.getresuid()} {os.getresgid()} {os.getgroups()} {powers()}\\n")

def powers():
    with open("/proc/self/status") as file:
        return "".join(line.split()[1] for line in file if line.startswith("Cap")).strip("0") or "none"

class Body:
    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        note("iteration")
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            yield part

    def close(self):
        note("close")

note("import")

def application(environ, start_response):
    note("request")
    what = environ["PATH_INFO"].strip("/")
    atexit.register(note, f"exit after {what}")
    thread = threading.Thread(target=note, args=("thread",))
    thread.start()
    thread.join()
    try:
        if what == "raises":
            raise RuntimeError("raised")
        if what == "exits":
            raise SystemExit(3)
        if what == "notes":
            start_response("200 OK", [])
            return [open(NOTES, "rb").read()]
        if what == "own":
            start_response("200 OK", [])
            return [open(environ["QUERY_STRING"], "rb").read()]
        if what == "headers":
            start_response("200 OK", [])
            shown = {key: value for key, value in environ.items() if isinstance(value, str)}
            return [json.dumps([os.getresuid(), shown, dict(os.environ)]).encode()]
        start_response("200 OK", [])
        return Body(b"y" * 500_000, RuntimeError("breaks off") if what == "breaks off" else b"z" * 500_000)
    finally:
        note(f"finally of {what}")
"""


def vhost(name, root, app, user, more=""):
    return f"[[vhost]]\nname = '{name}'\nroot = '{root}'\napp = '{app}'\n{f'user = {user}' if user else ''}\n{more}\n"


@pytest.fixture(scope="module")
def homes(place):
    """Two homes of mode 0700 with an app in each that only its owner can read."""
    for name, uid in (("a", A), ("b", B)):
        home = place / f"home-of-{name}"
        home.mkdir()
        (home / "app.py").write_text(SOURCE)
        (home / "secret").write_text(f"the secret of {name}")
        for path, mode in ((home / "app.py", 0o600), (home / "secret", 0o600), (home, 0o700)):
            os.chown(path, uid, uid)
            path.chmod(mode)
    return {"a": place / "home-of-a", "b": place / "home-of-b"}


@pytest.fixture(scope="module")
def pair(place, sites, homes):
    vhosts = vhost("a.test", homes["a"], "app.py", A) + vhost("b.test", homes["b"], "app.py", B)
    vhosts += vhost("nobody-named.test", sites, "probe.py", None)
    with Daemon(place / "regressions", vhosts) as one:
        yield one


# --- mpm-itk's CHANGES


def test_itk_2_4_7_04_an_app_that_only_its_owner_can_read(pair):
    """Root of another machine (NFS, root_squash) could not read it either: opened after the switch, and only then."""
    assert pair.get("a.test", "/own?secret").text == "the secret of a"


def test_itk_2_4_7_03_the_answer_is_whole_before_the_connection_ends(pair):
    """``Connection: close`` and keep-alive, the close done by whoever served, after the last byte."""
    data = pair.raw(b"GET /whole HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body.count(b"y") == body.count(b"z") == 500_000
    connection = pair.connect()
    for host in ("a.test", "b.test", "a.test"):
        connection.request("GET", "/whole", headers={"Host": host})
        assert len(connection.getresponse().read()) == 1_000_000
    connection.close()


def test_itk_2_4_7_02_minus_one_is_unchanged_under_the_filter():
    """setresuid(-1, uid, -1) within the range goes through; the same with an id outside does not."""
    from itkwsgi.linux import filters, seccomp

    def change():
        begin("zygote")
        seccomp.install(filters.zygote_filter([(50000, 50099)], [(50000, 50099)]))
        tried = [(os.setresuid, (-1, 50003, -1)), (os.setresgid, (-1, 50013, -1)), (os.setreuid, (-1, 50004))]
        allowed = [call(*args) for call, args in tried]
        refused = 0
        for call, args in ((os.setresuid, (-1, 0, -1)), (os.setresuid, (-1, 60000, -1)), (os.setresgid, (0, -1, -1))):
            try:
                call(*args)
            except PermissionError:
                refused += 1
        return len(allowed), refused, os.geteuid()

    assert in_child(change) == (3, 3, 50004)


@pytest.mark.parametrize("error", ["EAGAIN", "ENOMEM"])
def test_itk_2_4_4_04_a_fork_that_fails(pair, error):
    """Nobody is served twice, by a parent that took itself for its child, and nobody hangs for ever."""
    heals(pair, "a.test", "/own?secret")
    pool = pair.named("pool a.test")[0]
    served = notes(pair).count("request ")
    with injected(pool, f"clone,clone3,?fork,?vfork:error={error}:when=1..3", follow=False):
        statuses = [answers(pair, "a.test", "/own?secret", timeout=10) for _ in range(3)]
        answers_at_once(pair, "b.test", "/own?secret")
    assert set(statuses) <= {200, 503}
    assert pair.named("pool a.test") == [pool]
    assert notes(pair).count("request ") - served == statuses.count(200) + 1  # and the one that asks now


def notes(one):
    return one.get("a.test", "/notes").text


def test_itk_2_4_4_03_a_child_has_no_listener_and_no_channel(three):
    """Nor a connection of another's."""
    links = json.loads(three.get("u50001.test", "/facts").body)["fds"]
    assert sorted(link.partition(":")[0] for link in links.values()) == ["/dev/null", "socket", "socket", "socket"]
    assert links["1"] == links["2"]  # the log; so one connection is left


def test_itk_2_4_4_02_a_site_that_names_no_user_loses_every_privilege(pair):
    found = json.loads(pair.get("nobody-named.test", "/facts").body)
    assert 0 not in (*found["uid"], *found["gid"], *found["groups"])
    assert re.findall(r"Cap\w+:\t(\w+)", found["status"]) == ["0" * 16] * 5


def test_itk_2_4_4_02_every_stage_of_every_request_is_switched(pair):
    """Import, request, iteration, close, a thread, at exit: of those that go well and of those that do not."""
    for path in ("/whole", "/raises", "/exits", "/breaks%20off", "/nowhere"):
        answers(pair, "a.test", path)
    pair.ask("HEAD", "a.test", "/whole")
    pair.ask("POST", "a.test", "/whole", body=b"x" * 100_000)
    wait_until(lambda: "exit after breaks off" in notes(pair), 5, "the last of it")
    lines = notes(pair).splitlines()
    stages = {line.partition(" (")[0] for line in lines}
    assert {"import", "request", "iteration", "close", "thread"} <= stages
    assert {line.partition(" (")[2] for line in lines} == {f"{A}, {A}, {A}) ({A}, {A}, {A}) [] none"}


def test_itk_2_4_2_02_no_way_back_even_without_a_filter():
    """libcap alone was of no use: setuid(0) was still open.  Here the switch itself closes it, not seccomp."""

    def change():
        begin("zygote")
        become_site()
        targets = {"ids": {"root": 0, "zygote": ZYGOTE.uid, "front": FRONT, "victim": SITE.uid + 1}}
        ways = {name: way for name, way in identity.WAYS.items() if " by " in name}
        return {name: outcome for name, way in ways.items() if "refused" not in (outcome := outcome_of(way, targets))}

    assert in_child(change) == {}


def test_itk_2_4_2_01_no_site_gets_the_refusals_of_another_on_one_connection(pair, homes):
    """Files of mode 0600, in turn: a process that served the one before would be refused, or show the other's."""
    connection = pair.connect()
    for number in range(60):
        name = "ab"[number % 2]
        connection.request("GET", f"/own?{homes[name]}/secret", headers={"Host": f"{name}.test"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, f"the secret of {name}".encode())
    connection.close()


@pytest.mark.parametrize("path", ["whole", "raises", "exits", "breaks off"])
def test_itk_2_4_2_01_cleanups_run_however_a_request_ends(pair, path):
    wait_until(lambda: answers(pair, "a.test", f"/{path.replace(' ', '%20')}") is not Ellipsis, 5)
    for stage in (f"finally of {path}", f"exit after {path}"):
        wait_until(lambda stage=stage: stage in notes(pair), 5, stage)


@pytest.mark.parametrize("name", [".itk.toml", ".htaccess", ".user.ini", "itk.toml"])
def test_itk_2_4_1_pre01_no_identity_from_a_file_of_the_sites(pair, homes, name):
    """AssignUserID was taken from .htaccess once."""
    file = homes["a"] / name
    file.write_text(
        f"AssignUserID #{B} #{B}\nAssignUserIDExpr root\nuser = {B}\ngroup = 0\n"
        f"[vhost]\nuser = {B}\n[value]\nuser = {B}\n"
    )
    os.chown(file, A, A)
    try:
        for pid in pair.named("pool a.test"):
            os.kill(pid, 9)
        heals(pair, "a.test", "/own?secret")
        assert json.loads(pair.get("a.test", "/headers").body)[0] == [A] * 3
    finally:
        file.unlink()


# --- CVE-2014-0240 and CVE-2014-8583, mod_wsgi: what setuid and setgroups return was not looked at


@pytest.mark.parametrize("fault", ["setresuid:error=EAGAIN", "setresuid:retval=0", "setgroups:retval=0"])
def test_cve_2014_0240_a_setuid_that_fails_or_only_says_it_worked(daemon, sites, fault):
    one = daemon(vhost("a.test", sites, "probe.py", OWNER) + vhost("b.test", sites, "probe.py", B))
    answers(one, "b.test")
    [zygote] = one.named("itkwsgi: zygote")
    with injected(zygote, fault):
        assert answers(one, "a.test") == 500
        assert {status_of(pid)["Uid"].split()[0] for pid in children(zygote)} <= {str(B)}
        answers_at_once(one, "b.test")
    heals(one, "a.test")


def test_cve_2014_8583_groups_of_whoever_started_the_server_do_not_stay(place, sites):
    """Root with groups of its own: no role and no site has any of them."""
    (place / "grouped").mkdir()
    wrapper = place / "grouped/python"
    wrapper.write_text(f'#!/bin/sh\nexec setpriv --groups 4,27,50159 {shlex.quote(sys.executable)} "$@"\n')
    wrapper.chmod(0o755)
    one = Daemon(place / "grouped/server", vhost("a.test", sites, "probe.py", A))
    with mock.patch.object(sys, "executable", str(wrapper)):
        one.start()
    try:
        assert status_of(one.pid)["Groups"].split() == ["4", "27", "50159"]  # the control
        assert json.loads(one.get("a.test", "/facts").body)["groups"] == []
        assert {groups_of(pid) for pid in one.family()} == {""}
    finally:
        one.stop()


def groups_of(pid):
    """Of one that ended meanwhile (a child that had served its request): none."""
    try:
        return status_of(pid)["Groups"]
    except (FileNotFoundError, ProcessLookupError):
        return ""


# --- mod_ruid2: capabilities kept for the way back, in the process that runs the site


def test_mod_ruid2_no_process_that_runs_a_site_keeps_what_leads_back(pair):
    heals(pair, "a.test", "/own?secret")
    pids = running_as(A)
    assert pids
    for status in map(status_of, pids):
        assert status["Uid"].split() == [str(A)] * 4  # the saved one as well
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


# --- Passenger, CVE-2014-1831, -1832, CVE-2018-12026 to 12029: paths that others can foresee, and put something there


def serve(config):
    return subprocess.run(
        [sys.executable, "-m", "itkwsgi", "serve", str(config)], capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize("key", ["run_dir", "spool_dir"])
@pytest.mark.parametrize("trap", ["a directory", "a link to a directory", "a file below a directory"])
def test_passenger_a_directory_that_somebody_else_put_there_first(place, sites, key, trap):
    """In a sticky directory that all may write, as /tmp is: the server refuses, and changes nothing in it."""
    shared = place / f"shared-{key}-{trap.replace(' ', '-')}"
    shared.mkdir()
    shared.chmod(0o1777)
    mine = shared / "itkwsgi"
    theirs = place / f"theirs-{key}-{trap.replace(' ', '-')}"
    theirs.mkdir()
    if trap == "a link to a directory":
        mine.symlink_to(theirs)
    else:
        mine.mkdir()
    os.chown(mine, A, A, follow_symlinks=False)
    said = str(mine / "below" if trap == "a file below a directory" else mine)
    one = Daemon(place / f"trapped-{shared.name}", vhost("a.test", sites, "probe.py", A))
    one.config.write_text(re.sub(rf'{key} = "\w+"', f'{key} = "{said}"', one.config.read_text()))
    done = serve(one.config)
    assert done.returncode == 1
    assert f"belongs to uid {A}" in done.stderr or "is not a directory" in done.stderr
    assert list(mine.iterdir()) == list(theirs.iterdir()) == []
    assert os.lstat(mine).st_uid == A


def test_passenger_nothing_of_the_servers_stands_in_a_directory_that_others_write(pair):
    """Of all it made: no name could have been foreseen and taken."""
    for top in ("run", "spool", "log"):
        for path, *_ in os.walk(pair.place / top):
            found = os.lstat(path)
            if found.st_uid == 0:
                assert not found.st_mode & 0o022, path


# --- CVE-2016-1247 and its like: a log that is a link


@pytest.mark.parametrize("key", ["error_log", "access_log"])
def test_cve_2016_1247_a_log_that_is_a_link_is_not_followed(place, sites, key):
    victim = place / f"victim-of-{key}"
    victim.write_text("as it was")
    one = Daemon(place / f"linked-{key}", vhost("a.test", sites, "probe.py", A))
    (one.place / "log").mkdir()
    (one.place / f"log/{key.replace('_', '.')}").symlink_to(victim)
    done = serve(one.config)
    assert done.returncode == 1
    assert "another log file" in done.stderr
    assert victim.read_text() == "as it was"


# --- CVE-2019-0211 (Apache), CVE-2021-21703 (PHP-FPM): root believed memory that it shares with a worker


def test_cve_2019_0211_no_privileged_process_shares_memory_that_a_site_can_write(pair):
    heals(pair, "a.test", "/own?secret")
    for name in ("supervisor", "zygote", "front"):
        pid = pair.pid if name == "supervisor" else pair.named(f"itkwsgi: {name}")[0]
        maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        shared = [line for line in maps if line.split()[1] == "rw-s" and "[io_uring]" not in line]  # that is the kernel
        assert not shared, name
    maps = Path(f"/proc/{pair.named('pool a.test')[0]}/maps").read_text()
    assert "rw-s" in maps  # the control: a pool does share some, with its children


# --- CVE-2007-3304 (Apache): root signalled pids that a worker had written down


def test_cve_2007_3304_no_message_of_a_pool_holds_a_pid(daemon, sites, place):
    """A pool may count.  One that writes pids into its channel instead has nobody killed but itself."""
    stranger = subprocess.Popen(["/bin/sleep", "60"], user=B, group=B)
    try:
        (sites / "says_pids.py").write_text(
            f"import os, struct\nfor number in ({stranger.pid}, 1, -1, 0):\n"
            "    for form in ('=i', '=q', '!i', '<4sBxxxQii'):\n"
            "        data = struct.pack(form, *((b'ITK1', 35, 0, number, 9) if 's' in form else (number,)))\n"
            "        try:\n"
            "            os.write(4, data)\n"
            "        except OSError:\n"
            "            pass\n"
            "from probe import application\n"
        )
        one = daemon(vhost("a.test", sites, "says_pids.py", A) + vhost("b.test", sites, "probe.py", OWNER))
        answers(one, "a.test")
        answers_at_once(one, "b.test")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


# --- PHP-FPM (PHP_ADMIN_VALUE), uWSGI (UWSGI_FILE and kin): settings in parameters of the protocol

POISON = {
    "PHP_VALUE": "auto_prepend_file = /etc/passwd", "PHP_ADMIN_VALUE": "open_basedir = /\nuser = root",
    "UWSGI_FILE": "/etc/passwd", "UWSGI_SCRIPT": "os", "UWSGI_MODULE": "os", "UWSGI_HOME": "/tmp",
    "UWSGI_APPID": "/b", "UWSGI_SETENV": "USER=root", "SCRIPT_FILENAME": "/etc/passwd", "DOCUMENT_ROOT": "/",
    "mod_wsgi.process_group": "root", "mod_wsgi.application_group": "b", "PASSENGER_APP_ROOT": "/",
    "PASSENGER_USER": "root", "REMOTE_USER": "root", "USER": "root", "HOME": "/root", "LD_PRELOAD": "/x.so",
    "PYTHONPATH": "/tmp", "TMPDIR": "/tmp", "WSGI_USER": "root",
}  # fmt: skip


def test_fpm_and_uwsgi_no_parameter_of_the_protocol_changes_a_setting(pair):
    """Said by root on the pool's own socket, which not even the front does."""
    heals(pair, "a.test", "/own?secret")
    with Visitor(str(pair.place / "run/pools/0.sock")) as visitor:
        visitor.begin("/headers", **POISON)
        visitor.send_body()
        uids, _, environment = json.loads(visitor.answer().text)
    assert uids == [A] * 3
    assert environment["USER"] == str(A)
    assert not set(environment.values()) & (set(POISON.values()) - {"/", "b"})
    assert environment.keys() <= {"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "PWD", "TMPDIR", "LC_CTYPE", "TZ"}


def test_fpm_and_uwsgi_no_header_of_a_visitor_becomes_one(pair):
    names = ("Php-Admin-Value", "Uwsgi-File", "User", "Remote-User", "Proxy", "X-Sendfile", "X-Accel-Redirect")
    headers = dict.fromkeys(names, "root")
    uids, shown, environment = json.loads(pair.ask("GET", "a.test", "/headers", headers=headers).body)
    assert uids == [A] * 3
    assert environment["USER"] == str(A)
    assert "root" not in [value for key, value in shown.items() if not key.startswith("HTTP_")]
    assert not {"HTTP_PROXY", "REMOTE_USER"} & {key for key, value in environment.items() if value == "root"}
