"""Settings on a real server: by configuration, by .itk.toml and from code; and that nobody gets past an admin_value.

The sites run code that a test sends them, as their owner could put it there.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Answer, Daemon, wait_until

LOCKED, FREE, TUNED = 50141, 50142, 50143
MEGA = 2**20
LIMITS = {"memory_limit": 200 * MEGA, "max_open_files": 200, "max_file_size": MEGA, "max_processes": 300}
RESOURCES = {"memory_limit": "DATA", "max_open_files": "NOFILE", "max_file_size": "FSIZE", "max_processes": "NPROC"}

APP = (Path(__file__).parents[1] / "support/told_site.py").read_text()


class Sites:
    """One daemon with a site whose values are fixed, one that has none, and one that is tuned by path."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = place
        for name, uid in (("locked", LOCKED), ("free", FREE), ("tuned", TUNED)):
            for directory in (place / name, place / name / "public", place / name / "public/a", place / name / "own"):
                directory.mkdir()
                os.chown(directory, uid, uid)
            (place / name / "app.py").write_text(APP)
        (place / "outside").write_text("outside")
        self.daemon = Daemon(place / "server", self.vhosts())

    def vhosts(self) -> str:
        fixed = "".join(f"{name} = {value}\n" for name, value in LIMITS.items())
        fixed += f'open_basedir = ["{self.place}/locked"]\ndisable = ["network"]\nmax_execution_time = 1\n'
        return (
            self.vhost("locked", LOCKED, f"[vhost.admin_value]\n{fixed}")
            + self.vhost("free", FREE, "[vhost.value]\nmax_execution_time = 'none'\n")
            + self.vhost("tuned", TUNED, self.areas())
        )

    def vhost(self, name: str, uid: int, more: str) -> str:
        root = self.place / name
        return (
            f'[[vhost]]\nname = "{name}.test"\nuser = {uid}\nroot = "{root}"\npublic = "{root}/public"\n'
            f'app = "app.py"\n{more}\n'
        )

    def areas(self) -> str:
        public = self.place / "tuned/public"
        return f"""
[vhost.value]
timezone = "JST-9"
[vhost.admin_value]
memory_limit = "200M"
[[vhost.directory]]
path = "{public}/a"
value = {{ max_open_files = 100, request_timeout = "500ms" }}
[[vhost.directory]]
path = "{public}/more"
admin_value = {{ memory_limit = "400M" }}
[[vhost.location]]
path = "/hidden/"
admin_value = {{ engine = false, expose_server = false }}
[[vhost.location]]
path = "/small/"
admin_value = {{ post_max_size = 1000, max_file_size = 5000 }}
"""

    def do(self, name: str, code: str, path: str = "/") -> Any:
        answer = self.post(name, code.encode(), path)
        assert answer.status == 200, f"{answer.status} {answer.text}\n{self.daemon.error_log()}"
        return json.loads(answer.body)

    def post(self, name: str, body: bytes, path: str = "/") -> Answer:
        return self.daemon.ask("POST", f"{name}.test", path, body=body, timeout=30)

    def explain(self, url: str) -> Any:
        command = [sys.executable, "-m", "itkwsgi", "explain", str(self.daemon.config), url, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def sites(place: Path) -> Iterator[Sites]:
    found = Sites(place / "tuned-sites")
    with found.daemon:
        yield found


# --- what the administrator fixed

LIMIT = "resource.getrlimit(resource.RLIMIT_{})"
RAISE = {
    "settings.set": "settings.set({name!r}, {more})",
    "settings.set to none": "settings.set({name!r}, None)",
    "setrlimit": "resource.setrlimit(resource.RLIMIT_{kind}, ({more}, {more}))",
    "setrlimit to none": "resource.setrlimit(resource.RLIMIT_{kind}, (-1, -1))",
    "os.environ": "os.environ[{name!r}] = os.environ[{name!r}.upper()] = 'none'",
    "restore": "settings.restore()",
    "prlimit of its pool": "resource.prlimit(os.getppid(), resource.RLIMIT_{kind}, ({more}, {more}))",
}
THEN = {
    "in the request": "found = list({limit})",
    "in another interpreter": (
        "found = json.loads(subprocess.run(['/usr/bin/python3', '-c',"
        " 'import json, resource; print(json.dumps({limit}))'], capture_output=True).stdout)"
    ),
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("way", RAISE)
@pytest.mark.parametrize("where", THEN)
def test_a_fixed_limit_is_the_kernels(sites: Sites, name: str, way: str, where: str) -> None:
    kind, limit = RESOURCES[name], LIMITS[name]
    attempt = RAISE[way].format(name=name, more=limit * 4, kind=kind)
    code = f"try:\n    {attempt}\nexcept Exception as error: print(repr(error))\n"
    code += THEN[where].format(limit=LIMIT.format(kind))
    assert sites.do("locked", code) == [limit, limit]


@pytest.mark.parametrize("name", ["memory_limit", "max_open_files", "max_file_size"])
@pytest.mark.parametrize("where", THEN)
def test_and_what_is_not_fixed_can_be_set(sites: Sites, name: str, where: str) -> None:
    code = f"settings.set({name!r}, {LIMITS[name] * 2})\n" + THEN[where].format(limit=LIMIT.format(RESOURCES[name]))
    assert sites.do("free", code)[0] == LIMITS[name] * 2


@pytest.mark.parametrize("name", LIMITS)
def test_an_own_file_does_not_get_past_it(sites: Sites, name: str) -> None:
    for site in ("locked", "free"):
        own_file(sites, site, f"[value]\n{name} = {LIMITS[name] * 4}\n")
    code = f"found = {LIMIT.format(RESOURCES[name])}[0]"
    assert sites.do("locked", code, "/a/") == LIMITS[name]
    if name != "max_processes":  # which is the administrator's alone
        assert sites.do("free", code, "/a/") == LIMITS[name] * 4
    line = f"{sites.place}/locked/public/a/.itk.toml:2: {name}: has no effect"
    wait_until(lambda: line in sites.daemon.error_log(), what="a line in the log")
    assert any(remark.startswith(line) for remark in sites.explain("http://locked.test/a/")["remarks"])


READ_OUTSIDE = "\ntry: found = open({path!r}).read()\nexcept OSError as error: found = error.errno"
CONNECT = """
try: socket.socket().connect_ex(('127.0.0.1', 9)); found = 'a socket'
except OSError as error: found = error.errno
"""


@pytest.mark.parametrize(
    "attempt",
    [
        "",
        "settings.set('open_basedir', ['/'])",
        "settings.set('open_basedir', None)",
        "os.environ['open_basedir'] = '/'",
        "settings.set('disable', None)",
    ],
)
def test_walls_stay(sites: Sites, attempt: str) -> None:
    own_file(sites, "locked", "[value]\nopen_basedir = 'none'\ndisable = 'none'\n")
    before = f"try:\n    {attempt or 'pass'}\nexcept Exception: pass"
    outside = READ_OUTSIDE.format(path=str(sites.place / "outside"))
    assert sites.do("locked", before + outside, "/a/") == 13 and sites.do("free", before + outside, "/a/") == "outside"
    assert sites.do("locked", before + CONNECT, "/a/") == 1 and sites.do("free", before + CONNECT, "/a/") == "a socket"


BURN = "import signal, time\nsignal.signal(signal.SIGPROF, signal.SIG_IGN)\nsignal.setitimer(signal.ITIMER_PROF, 0)\n"
BURN += "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
FOR = "end = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"


@pytest.mark.parametrize(
    "attempt",
    [
        "",
        "settings.restore()",
        "try: resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\nexcept ValueError: pass\n",
    ],
)
def test_processor_time_is_the_kernels(sites: Sites, attempt: str) -> None:
    code = BURN + attempt + "\n" + FOR.format(seconds=6) + "found = 'six seconds'"
    assert sites.post("locked", code.encode()).status == 500
    line = "was ended by SIGKILL while it worked on POST /"
    wait_until(lambda: line in sites.daemon.error_log(), what="a line in the log")


def test_processor_time_passes_to_another_interpreter(sites: Sites) -> None:
    program = BURN + FOR.format(seconds=6) + "open('own/burnt', 'w')"
    code = f"os.execv('/usr/bin/python3', ['python3', '-c', {program!r}])"
    assert sites.post("locked", code.encode()).status == 500
    time.sleep(0.2)
    assert not (sites.place / "locked/own/burnt").exists()


def test_and_who_has_no_limit_has_none(sites: Sites) -> None:
    assert sites.do("free", BURN + FOR.format(seconds=3.5) + "found = 'burnt'") == "burnt"


def own_file(sites: Sites, name: str, text: str, directory: str = "public/a") -> None:
    """As the owner writes one, over whatever there was."""
    file = sites.place / name / directory / ".itk.toml"
    temporary = file.with_name("new")
    temporary.write_text(text)
    temporary.rename(file)


# --- tuned by path


def test_what_is_said_explained_and_in_force_is_the_same(sites: Sites) -> None:
    own_file(sites, "tuned", "[value]\ntimezone = 'NPT-5:45'\numask = '0077'\n")
    code = (
        "found = {name: settings[name] for name in settings}, time.tzname[0], os.umask(0),"
        " {kind: resource.getrlimit(getattr(resource, 'RLIMIT_' + kind)) for kind in ('DATA', 'NOFILE', 'FSIZE')}"
    )
    expected = {
        "/": ("JST", 0o022, 200, 1024),
        "/a/b/c": ("NPT", 0o077, 200, 100),
        "/more/x": ("JST", 0o022, 400, 1024),
    }
    for path, (zone, mask, mega, files) in expected.items():
        values, zone_, mask_, limits = sites.do("tuned", code, path)
        assert (zone_, mask_) == (zone, mask)
        assert limits["DATA"] == [mega * MEGA, mega * MEGA] and limits["NOFILE"][0] == files
        explained = sites.explain(f"http://tuned.test{path}")["settings"]
        assert {name: row["value"] for name, row in explained.items()} == values
        assert values["memory_limit"] == mega * MEGA and values["max_open_files"] == files


def test_a_directory_that_may_have_more_has_a_pool_of_its_own(sites: Sites) -> None:
    hog = f"found = len(bytearray({300 * MEGA}))"
    assert sites.do("tuned", hog, "/more/") == 300 * MEGA
    assert sites.post("tuned", hog.encode(), "/").status == 500
    assert sites.do("tuned", "found = os.getppid()", "/more/x") != sites.do("tuned", "found = os.getppid()", "/x")
    assert sites.explain("http://tuned.test/more/x")["pool"] == "/more"


@pytest.mark.parametrize("path", ["/more/", "//more//", "/./more/x", "/x/../more/"])
def test_no_spelling_of_a_path_is_served_under_others(sites: Sites, path: str) -> None:
    pool = sites.do("tuned", "found = os.getppid()", "/more/")
    answer = sites.post("tuned", b"found = os.getppid(), settings['memory_limit']", path)
    if answer.status == 200:
        assert json.loads(answer.body) == [pool, 400 * MEGA]
    else:
        assert answer.status == 400


def test_a_tightened_directory_is_tight_and_the_next_request_is_not(sites: Sites) -> None:
    limits = "found = resource.getrlimit(resource.RLIMIT_FSIZE)"
    for _ in range(3):
        assert sites.do("tuned", limits, "/small/x") == [5000, 5000]
        assert sites.do("tuned", limits, "/") == [resource.RLIM_INFINITY] * 2


def test_engine_off(sites: Sites) -> None:
    answer = sites.post("tuned", b"open('own/ran', 'w')", "/hidden/x")
    assert answer.status == 403 and not (sites.place / "tuned/own/ran").exists()
    assert "server" not in answer.headers and "server" in sites.post("tuned", b"pass").headers


def status_by_head(sites: Sites, name: str, path: str, size: int) -> int:
    """What a body of that size is told before any of it was sent."""
    connection = sites.daemon.connect()
    connection.putrequest("POST", path, skip_host=True)
    connection.putheader("Host", f"{name}.test")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_body_that_is_too_large_is_refused_by_its_head(sites: Sites) -> None:
    assert status_by_head(sites, "tuned", "/small/", 1001) == 413
    assert sites.post("tuned", b"#" * 1000, "/small/").status == 200
    assert "post_max_size" in sites.daemon.error_log()


def test_a_site_may_let_itself_have_more_where_that_is_granted(sites: Sites) -> None:
    body = b"found = 'whole' #" + b"x" * (9 * MEGA)
    assert status_by_head(sites, "free", "/", len(body)) == 413  # the default
    own_file(sites, "free", "[value]\npost_max_size = '10M'\n")
    assert sites.do("free", body.decode(), "/a/x") == "whole"
    assert status_by_head(sites, "free", "/a/x", 11 * MEGA) == 413
    assert status_by_head(sites, "free", "/", len(body)) == 413


def test_a_request_that_takes_too_long_is_told_so(sites: Sites) -> None:
    begun = time.monotonic()
    answer = sites.post("tuned", b"time.sleep(20)", "/a/x")
    assert answer.status == 504 and 0.4 < time.monotonic() - begun < 5
    for line in ("request_timeout 0.5 s: POST /a/x is ended", 'File "<string>", line 1 in <module>'):
        wait_until(lambda line=line: line in sites.daemon.error_log(), what="a line in the log")
    assert sites.do("tuned", "time.sleep(1)\nfound = 1", "/") == 1


def test_an_own_files_timeout_is_the_visitors_too(sites: Sites) -> None:
    own_file(sites, "free", "[value]\nrequest_timeout = '300ms'\n")
    begun = time.monotonic()
    assert sites.post("free", b"time.sleep(20)", "/a/x").status == 504
    assert time.monotonic() - begun < 5


def test_an_edit_beside_the_app_shows_on_refresh_and_loses_nobody(sites: Sites) -> None:
    code = "found = settings['timezone']"
    for number in range(4):
        own_file(sites, "free", f"[value]\ntimezone = 'AAA-{number}'\n", "public")
        assert sites.do("free", code, "/") == f"AAA-{number}"
        assert sites.do("free", code, "/") == f"AAA-{number}"
