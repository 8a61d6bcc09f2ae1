"""What the settings of a site forbid it: each word of ``disable``, open_basedir, private_tmp, max_processes.

All sites here have one user, so that nothing but the setting stands in the way.  The control of each attempt is made
by the site that has no settings.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.root.attacks.table import ALLOWED, FORBIDDEN
from tests.support.attacking import as_user, make_code, write
from tests.support.daemon import Daemon, wait_until
from tests.support.faults import answers_at_once
from tests.support.forked import in_child

UID, CROWDED, TEMPORARY = 50111, 50112, 50113
MOST = 40
SETTINGS = {
    **{word: f"disable = ['{word}']" for word in ("exec", "network", "fork", "ptrace")},
    "open_basedir": "open_basedir = ['{code}']",
}
LIMITED = '[vhost.admin_value]\nmax_open_files = 200\nmax_file_size = "1M"\nmax_processes = 300\n'
LIMITS = {"NOFILE": 200, "FSIZE": 1 << 20, "NPROC": 300}
HOSTS = {
    "free.test": "",
    **{f"{name.replace('_', '-')}.test": f"[vhost.admin_value]\n{said}\n" for name, said in SETTINGS.items()},
}
ATTEMPTS = [(setting, name) for setting, ways in FORBIDDEN.items() for name in ways]

BOMB = """
import os, time

def application(environ, start_response):
    '''As many processes as there are to be had, kept for a while.'''
    made = 0
    try:
        while made < 3000:
            if os.fork() == 0:
                time.sleep(5)
                os._exit(0)
            made += 1
    except OSError as error:
        start_response("200 OK", [])
        return [f"{made} {error.errno}".encode()]
    start_response("200 OK", [])
    return [f"{made} 0".encode()]
"""
PLACES = """
import json, os

def application(environ, start_response):
    '''Which files there are in /tmp, and one more of ours.'''
    found = os.listdir("/tmp")
    with open("/tmp/" + environ["QUERY_STRING"], "w") as file:
        file.write("here")
    start_response("200 OK", [])
    return [json.dumps([found, os.listdir("/tmp")]).encode()]
"""


class Settings:
    """One daemon with a site for each setting, and what the attempts brought."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place, self.code = place, place / "code"
        make_code(self.code)
        (self.code / "bomb.py").write_text(BOMB)
        self.results: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
        self.daemon = Daemon(place / "server", self.vhosts())

    def vhosts(self) -> str:
        lines = [self.vhost(host, "", more) for host, more in HOSTS.items()]
        lines += [self.vhost(f"import.{host}", name_of(host), more) for host, more in HOSTS.items()]
        lines.append(self.vhost("limited.test", "", LIMITED))
        lines.append(self.vhost("softly.test", "", LIMITED.replace("admin_value", "value")))
        bomb = self.vhost("bomb.test", "", f"[vhost.admin_value]\nmax_processes = {MOST}\n")
        lines.append(bomb.replace("tests.root.attacks.attacker:application", "bomb.py").replace(str(UID), str(CROWDED)))
        return "".join(lines)

    def vhost(self, host: str, when: str, more: str) -> str:
        return (
            f"[[vhost]]\nname = '{host}'\nroot = '{self.code}'\napp = 'tests.root.attacks.attacker:application'\n"
            f"user = {UID}\nenv = {{ TARGETS = '{self.code}/targets.json', WHEN = '{when}' }}\n"
        ) + more.replace("{code}", str(self.code))

    def tell(self, outside: int) -> None:
        """``outside``: a process of the same user."""
        write(self.place / "outside", 0, 0o644)
        told = {
            "files": {"outside": f"{self.place}/outside"}, "descriptors of": {"request": [], "import": []},
            "same user": outside, "abstract": f"itkwsgi-test-{os.getpid()}", "port": self.daemon.port,
        }  # fmt: skip
        (self.code / "targets.json").write_text(json.dumps(told))

    def outcome(self, host: str, setting: str, name: str) -> dict[str, str]:
        if (host, setting) not in self.results:
            path = "/" if host.startswith("import.") else f"/{setting}"
            answer = self.daemon.get(host, path, timeout=40)
            assert answer.status == 200, answer.text + self.daemon.error_log()
            self.results[host, setting] = json.loads(answer.body)
        return self.results[host, setting][name]


def name_of(host: str) -> str:
    return host.partition(".")[0].replace("-", "_").replace("free", "")


@pytest.fixture(scope="module")
def settings(place):
    one = Settings(place / "settings")
    outside = subprocess.Popen(["/bin/sleep", "300"], user=UID, group=UID, extra_groups=[])
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(f"\0itkwsgi-test-{os.getpid()}")
            listener.listen(100)
            one.tell(outside.pid)
            with one.daemon:
                yield one
        finally:
            outside.kill()
            outside.wait()


@pytest.mark.parametrize("where", ["", "import."], ids=["in a request", "at import"])
@pytest.mark.parametrize(("setting", "name"), ATTEMPTS)
def test_a_setting_forbids(settings, setting, name, where):
    outcome = settings.outcome(f"{where}{setting.replace('_', '-')}.test", setting, name)
    assert "refused" in outcome, outcome


@pytest.mark.parametrize(("setting", "name"), ATTEMPTS)
def test_a_site_without_the_setting_may(settings, setting, name):
    outcome = settings.outcome("free.test", setting, name)
    if outcome.get("errno", outcome.get("refused")) == "EAFNOSUPPORT":
        pytest.skip("this machine has nothing of the kind")
    assert "got" in outcome, outcome


@pytest.mark.parametrize("setting", SETTINGS)
def test_what_is_not_forbidden_still_works(settings, setting):
    """Each setting takes what it names and nothing more; to run a program takes a fork, and the right to read it."""
    host = f"{setting.replace('_', '-')}.test"
    for other in {"exec", "network"} - {setting} - ({"exec"} if setting in ("fork", "open_basedir") else set()):
        for name in FORBIDDEN[other]:
            free = settings.outcome("free.test", other, name)
            outcome = settings.outcome(host, other, name)
            assert "got" not in free or "got" in outcome, (name, outcome)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ALLOWED)
def test_whatever_is_forbidden_this_is_not(settings, setting, name):
    assert "got" in settings.outcome(f"{setting.replace('_', '-')}.test", "allowed", name)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_the_admin_fixed_cannot_be_raised(settings, name):
    """``admin_value`` is the hard limit, ``value`` the soft one."""
    fixed = settings.outcome("limited.test", "limits", f"see RLIMIT_{name}")
    assert fixed["got"] == str((LIMITS[name], LIMITS[name]))
    assert settings.outcome("limited.test", "limits", f"raise RLIMIT_{name}")["refused"] == "EPERM"
    soft = settings.outcome("softly.test", "limits", f"see RLIMIT_{name}")["got"]
    assert soft.startswith(f"({LIMITS[name]}, ") and soft != fixed["got"]
    assert "got" in settings.outcome("softly.test", "limits", f"raise the soft RLIMIT_{name}")  # the control


def test_a_fork_bomb_is_held(settings):
    """While it lasts others are served within a second, and after it the site is."""
    assert settings.daemon.get("free.test", "/network", timeout=40).status == 200
    with ThreadPoolExecutor() as pool:
        bomb = pool.submit(settings.daemon.get, "bomb.test", timeout=40)
        while not bomb.done():
            answers_at_once(settings.daemon, "free.test", "/one?setresuid_of_-1,_-1,_-1")
        made, error = bomb.result().text.split()
    assert int(made) < MOST and error == "11"
    wait_until(lambda: settings.daemon.get("bomb.test").status == 200, 10, "the site that heals")


def test_the_bomb_has_no_limit_of_its_own():
    """The control: the same user outside the server forks more than that."""

    def bomb():
        pids = []
        for _ in range(MOST + 20):
            pid = os.fork()
            if pid == 0:
                time.sleep(20)
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
        return len(pids)

    assert in_child(as_user, CROWDED, bomb) == MOST + 20


@pytest.mark.parametrize("private", [True, False])
def test_a_tmp_of_its_own(daemon, place, private):
    (place / "places").mkdir(exist_ok=True)
    (place / "places" / "places.py").write_text(PLACES)
    there = Path(f"/tmp/itkwsgi-there-{os.getpid()}")
    ours = Path(f"/tmp/itkwsgi-ours-{os.getpid()}")
    one = daemon(
        "".join(
            f"[[vhost]]\nname = '{name}'\nroot = '{place}/places'\napp = 'places.py'\nuser = {TEMPORARY}\n{more}\n"
            for name, more in (("a.test", f"private_tmp = {str(private).lower()}"), ("b.test", ""))
        )
    )
    there.touch()
    try:
        before, after = json.loads(one.get("a.test", f"/?{ours.name}").body)
        assert ours.name in after
        assert (there.name in before) is not private
        assert ours.exists() is not private
        assert (ours.name in json.loads(one.get("b.test", f"/?{ours.name}-b").body)[0]) is not private
    finally:
        for path in (there, ours, Path(f"{ours}-b")):
            path.unlink(missing_ok=True)
