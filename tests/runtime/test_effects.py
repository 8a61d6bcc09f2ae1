"""Each setting has an effect, shown in a real child of a real pool: the test that bears its name.

The same child without the setting is the control.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.ini.registry import SETTINGS
from itkwsgi.linux import landlock
from itkwsgi.linux.filters import site_filter
from itkwsgi.linux.rulesets import domain_table, files_table
from itkwsgi.supervisor.confinement import DEVICES, LIBRARIES, READABLE
from itkwsgi.wire import fastcgi
from tests.support.daemon import wait_until
from tests.support.running import RunningPool, request_head

TUNED = (Path(__file__).parents[1] / "support/tuned_site.py").read_text()
MEGA = 2**20
# What acts outside of a site's processes.
IN_THE_FRONT = {"expose_server"}


class Tuned:
    """A pool whose settings a test says: by keywords for the site as a whole, or for /tuned alone (``here``)."""

    def __init__(self, start: Any, place: Path) -> None:
        self.start = start
        self.place = place
        self.one: RunningPool | None = None

    def __call__(self, here: dict[str, Any] | None = None, fixed: bool = False, plan: Any = None, **site: Any) -> Tuned:
        def table(values: dict[str, Any]) -> dict[str, Any]:
            return {name: (value, fixed, "itk.toml:7") for name, value in values.items()}

        settings: dict[str, Any] = {
            "site": table(site),
            "holding": {},
            "directories": [],
            "locations": [["/tuned", table(here)]] if here else [],
            "override": [],
            "public": "",
            "root": str(self.place),
            "filters": {word: site_filter(frozenset({word})) for word in ("exec", "network", "fork")},
            "domain": domain(self.place),
            "untraced": domain_table(landlock.abi()),
        }
        self.one = self.start(TUNED, settings=settings, **(plan or {}))
        return self

    def do(self, code: str = "pass", path: str = "/", **params: str) -> Any:
        """Run that in a request; what it found."""
        answer = self.ask(code, path, **params)
        assert answer.status == 200, self.log()
        return json.loads(answer.body)

    def ask(self, code: str = "pass", path: str = "/", **params: str) -> Any:
        assert self.one is not None
        return self.one.ask(path, HTTP_DO=code, **params)

    def log(self) -> str:
        assert self.one is not None
        return self.one.log()


def domain(place: Path) -> dict[str, Any]:
    """What Python itself needs, for a domain made in a child."""
    rules = [(path, 0b1101, False) for path in (*LIBRARIES, *READABLE, str(Path(__file__).parents[2]))]
    rules += [(path, 0b0110, False) for path in DEVICES]
    return {**files_table(landlock.abi(), rules), "interpreter": 0b1101}


@pytest.fixture
def tuned(pool: Any, place: Path) -> Tuned:
    return Tuned(pool, place)


def test_every_setting_has_one() -> None:
    shown = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {setting.name for setting in SETTINGS} - IN_THE_FRONT <= shown


# --- limits


@pytest.mark.parametrize("fixed", [False, True])
def test_memory_limit(tuned: Tuned, fixed: bool) -> None:
    hog = "found = len(bytearray(300 * 2**20))"
    site = tuned(memory_limit=None, here={"memory_limit": 200 * MEGA}, fixed=fixed)
    assert site.do(hog) == 300 * MEGA
    answer = site.ask(hog, "/tuned/x")
    assert answer.status == 500 and answer.error_id in site.log()
    assert f"GET /tuned/x: memory_limit: there is no more memory within {200 * MEGA} bytes" in site.log()
    limits = site.do("found = resource.getrlimit(resource.RLIMIT_DATA)", "/tuned/")
    assert limits == [200 * MEGA, 200 * MEGA if fixed else resource.RLIM_INFINITY]


def test_memory_limit_of_many_small_things_is_still_a_page_and_a_line(tuned: Tuned) -> None:
    site = tuned(here={"memory_limit": 120 * MEGA}, fixed=True)
    answer = site.ask("hoard = []\nwhile True: hoard.append(bytearray(4096))", "/tuned/")
    assert answer.status == 500 and "memory_limit" in site.log() and answer.error_id in site.log()


SPIN = "while True: pass"


def test_max_execution_time(tuned: Tuned) -> None:
    site = tuned(max_execution_time=None, here={"max_execution_time": 0.2})
    answer = site.ask(SPIN, "/tuned/")
    assert answer.status == 500 and answer.error_id in site.log()
    assert "GET /tuned/: max_execution_time: 0.2 s of processor time are used up" in site.log()
    caught = "try:\n    while True: sum(range(99))\nexcept TimeLimitExceeded as error: found = str(error)"
    assert site.do(caught, "/tuned/").startswith("max_execution_time")
    assert site.do("end = time.process_time() + 0.4\nwhile time.process_time() < end: pass\nfound = 1") == 1


@pytest.mark.parametrize(("fixed", "end"), [(False, "SIGXCPU"), (True, "SIGKILL")])
def test_max_execution_time_of_who_does_not_listen(tuned: Tuned, fixed: bool, end: str) -> None:
    site = tuned(here={"max_execution_time": 0.01}, fixed=fixed)
    deaf = "signal.signal(signal.SIGPROF, signal.SIG_IGN)"
    if fixed:
        deaf += "\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)"
    assert site.ask(f"{deaf}\n{SPIN}", "/tuned/").status is None
    line = f"was ended by {end} while it worked on GET /tuned/"
    wait_until(lambda: line in site.log(), what="a line in the log")


def test_request_timeout(tuned: Tuned) -> None:
    site = tuned(here={"request_timeout": 0.3})
    begun = time.monotonic()
    assert site.ask("time.sleep(20)", "/tuned/").status is None  # the 504 is the front's
    assert time.monotonic() - begun < 5
    assert "request_timeout 0.3 s: GET /tuned/ is ended after 0.3 s" in site.log()
    assert 'File "<string>", line 1 in <module>' in site.log()  # where it was
    wait_until(lambda: "was ended by SIGKILL while it worked on GET /tuned/" in site.log(), what="its end")
    assert site.do("time.sleep(0.5)\nfound = 'slept'") == "slept"


def test_request_timeout_takes_what_the_request_started_with_it(tuned: Tuned) -> None:
    site = tuned(here={"request_timeout": 0.3})
    code = (
        "pid = os.fork()\nif not pid:\n    time.sleep(30)\n    os._exit(0)\nopen('pid', 'w').write(str(pid))\nos.wait()"
    )
    assert site.ask(code, "/tuned/").status is None
    pid = int((tuned.place / "pid").read_text())
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="the end of what it started")


def test_slow_request(tuned: Tuned) -> None:
    site = tuned(here={"slow_request": 0.2})
    assert site.do("time.sleep(0.6)\nfound = 'done'", "/tuned/") == "done"
    assert "slow_request 0.2 s: GET /tuned/ is slow after 0.2 s" in site.log()
    assert 'File "<string>", line 1 in <module>' in site.log()
    before = site.log()
    site.do("time.sleep(0.4)")
    assert site.log() == before


def test_post_max_size(tuned: Tuned) -> None:
    site = tuned(here={"post_max_size": 10})
    read = "found = len(environ['wsgi.input'].read())"
    refused = site.ask(read, "/tuned/", CONTENT_LENGTH="11")
    assert refused.status == 413 and f"413 [{refused.error_id}]: post_max_size: 11 bytes are more than 10" in site.log()
    assert sent(site, "/tuned/", read, b"x" * 10).body == sent(site, "/", read, b"x" * 10).body == b"10"
    assert sent(site, "/tuned/", read, b"x" * 11, CONTENT_LENGTH="").status == 413  # it does not say how much comes
    assert sent(site, "/", read, b"x" * 11, CONTENT_LENGTH="").body == b"11"


def test_max_input_time(tuned: Tuned) -> None:
    site = tuned(here={"max_input_time": 0.2})
    read = "found = len(environ['wsgi.input'].read())"
    assert site.one is not None
    with site.one.visit() as visitor:
        visitor.begin("/tuned/", HTTP_DO=read)
        assert visitor.answer().status == 408
    assert "max_input_time: the body did not come in time" in site.log()
    assert sent(site, "/tuned/", read, b"in time").body == b"7"


def sent(site: Tuned, path: str, code: str, body: bytes, **params: str) -> Any:
    assert site.one is not None
    with site.one.visit() as visitor:
        head = request_head(path, HTTP_DO=code, **{"CONTENT_LENGTH": str(len(body)), **params})
        visitor.sock.sendall(head + fastcgi.encode_stdin(body) + fastcgi.encode_stdin(b""))
        return visitor.answer()


def test_max_processes(tuned: Tuned) -> None:
    limits = "found = resource.getrlimit(resource.RLIMIT_NPROC)[0]"
    site = tuned(here={"max_processes": 77})
    assert site.do(limits, "/tuned/") == 77 != site.do(limits)


def test_max_open_files(tuned: Tuned) -> None:
    code = """
files = []
try:
    while len(files) < 100: files.append(open('/dev/null'))
except OSError: pass
found = len(files)
"""
    site = tuned(here={"max_open_files": 40})
    assert 20 < site.do(code, "/tuned/") < 40
    assert site.do(code) == 100


def test_max_file_size(tuned: Tuned) -> None:
    code = "try:\n    found = open('big', 'wb', 0).write(b'x' * 9000)\nexcept OSError as error: found = error.errno"
    site = tuned(here={"max_file_size": 4096})
    assert site.do(code, "/tuned/") == 4096 and site.do(code) == 9000


def test_recursion_limit(tuned: Tuned) -> None:
    code = """
def deep(n): return 1 + deep(n - 1) if n else 0
try: found = deep(500)
except RecursionError: found = 'too deep'
"""
    site = tuned(here={"recursion_limit": 200})
    assert site.do(code, "/tuned/") == "too deep" and site.do(code) == 500


def test_default_socket_timeout(tuned: Tuned) -> None:
    site = tuned(here={"default_socket_timeout": 0.1})
    code = "a, b = socket.socketpair()\ntry: a.recv(1)\nexcept TimeoutError: found = a.gettimeout()"
    assert site.do(code, "/tuned/") == 0.1
    assert site.do("found = socket.socketpair()[0].gettimeout()") == 60.0


# --- walls

READ = "try: found = open({!r}).read(1) != ''\nexcept PermissionError: found = 'refused'"


def test_open_basedir(tuned: Tuned) -> None:
    site = tuned(here={"open_basedir": (str(tuned.place),)})
    outside, inside = READ.format("/etc/passwd"), READ.format(str(tuned.place / "small_site.py"))
    assert site.do(outside) is True
    assert site.do(outside, "/tuned/") == "refused" and site.do(inside, "/tuned/") is True


def test_open_basedir_that_cannot_be_had_is_a_refusal(tuned: Tuned) -> None:
    site = tuned(here={"open_basedir": (str(tuned.place / "missing"),)})
    answer = site.ask("found = 1", "/tuned/")
    assert answer.status == 500 and "open_basedir or disable cannot be had" in site.log()


def test_disable(tuned: Tuned) -> None:
    site = tuned(here={"disable": ("exec", "network", "fork")})
    for code in (
        "os.execv('/bin/true', ['true'])",
        "socket.socket()",
        "os._exit(0) if os.fork() == 0 else os.wait()",
    ):
        attempt = f"try:\n    {code}\nexcept PermissionError: found = 'refused'"
        assert site.do(attempt, "/tuned/") == "refused", code
    assert site.do("found = os._exit(0) if os.fork() == 0 else os.wait()[1]") == 0


def test_engine(tuned: Tuned) -> None:
    site = tuned(here={"engine": False})
    answer = site.ask("open('ran', 'w')", "/tuned/")
    assert answer.status == 403 and not (tuned.place / "ran").exists()
    assert f"403 [{answer.error_id}]: engine is off here" in site.log()
    site.ask("open('ran', 'w')")
    assert (tuned.place / "ran").exists()


# --- errors

FAIL = "import zlib\nzlib.decompress(b'no such thing')"


def test_display_errors(tuned: Tuned) -> None:
    site = tuned(here={"display_errors": True})
    shown, hidden = site.ask(FAIL, "/tuned/"), site.ask(FAIL)
    assert shown.status == hidden.status == 500
    assert "zlib.error" in shown.text and "zlib" not in hidden.text


def test_log_errors(tuned: Tuned) -> None:
    site = tuned(here={"log_errors": False})
    assert site.ask(FAIL, "/tuned/").status == 500 and "zlib.error" not in site.log()
    assert site.ask(FAIL).error_id in site.log() and "zlib.error" in site.log()


def test_error_log(tuned: Tuned) -> None:
    file = tuned.place / "errors.txt"
    site = tuned(here={"error_log": str(file)})
    answer = site.ask(f"environ['wsgi.errors'].write('a warning\\n')\n{FAIL}", "/tuned/")
    assert "a warning\n" in file.read_text() and answer.error_id in file.read_text()
    assert "a warning\n" in site.log() and answer.error_id in site.log()
    size = file.stat().st_size
    site.ask(FAIL)
    assert file.stat().st_size == size


def test_error_log_that_is_a_fifo_or_a_link_holds_nobody_up(tuned: Tuned) -> None:
    os.mkfifo(tuned.place / "errors.txt")
    site = tuned(here={"error_log": str(tuned.place / "errors.txt")})
    assert site.ask(FAIL, "/tuned/").status == 500
    assert "cannot be written: No such device or address" in site.log()


def test_warnings(tuned: Tuned) -> None:
    site = tuned(warnings=("ignore", "always::UserWarning"), here={"warnings": ("error::UserWarning",)})
    code = "try:\n    warnings.warn('careful')\nexcept UserWarning: found = 'raised'"
    assert site.do(code, "/tuned/") == "raised" and site.do(code) is None


# --- surroundings


def test_timezone(tuned: Tuned) -> None:
    site = tuned(timezone="JST-9", here={"timezone": "NPT-5:45"})
    hour = "found = [time.strftime('%H:%M', time.localtime(0)), os.environ['TZ']]"
    assert site.do(hour) == ["09:00", "JST-9"] and site.do(hour, "/tuned/") == ["05:45", "NPT-5:45"]


def test_timezone_is_utc_when_nobody_says_otherwise(tuned: Tuned) -> None:
    assert tuned().do("found = os.environ['TZ'], time.tzname[0]") == ["UTC", "UTC"]


def test_timezone_of_the_environment_is_one_that_is_said(tuned: Tuned) -> None:
    site = tuned(plan={"env": {"TZ": "JST-9"}})
    assert site.do("found = time.strftime('%H', time.localtime(0)), *settings.explain('timezone')") == [
        "09", "JST-9", "JST-9", "ALL", "env",
    ]  # fmt: skip


def test_locale(tuned: Tuned) -> None:
    site = tuned(here={"locale": "POSIX"})
    code = "import locale\nfound = locale.setlocale(locale.LC_ALL), os.environ.get('LC_ALL')"
    assert site.do(code, "/tuned/") == ["C", "POSIX"] and site.do(code)[1] is None


def test_locale_that_is_not_there_is_said_and_the_request_goes_on(tuned: Tuned) -> None:
    site = tuned(here={"locale": "xx_XX.UTF-8"})
    assert site.do("found = 1", "/tuned/") == 1
    assert "locale at itk.toml:7 has no effect: this machine has no locale xx_XX.UTF-8" in site.log()


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("text/plain", "text/plain; charset=ISO-8859-2"),
        ("text/html; charset=utf-8", "text/html; charset=utf-8"),
        ("image/png", "image/png"),
    ],
)
def test_default_charset(tuned: Tuned, given: str, got: str) -> None:
    site = tuned(here={"default_charset": "ISO-8859-2"})
    assert site.ask(f"kind = {given!r}", "/tuned/").headers["Content-Type"] == got
    assert site.ask(f"kind = {given!r}").headers["Content-Type"] == given


def test_include_path(tuned: Tuned) -> None:
    (tuned.place / "lib").mkdir()
    (tuned.place / "lib/only_in_lib.py").write_text("NAME = 'lib'")
    site = tuned(here={"include_path": (str(tuned.place / "lib"),)})
    code = "try:\n    import only_in_lib\n    found = sys.path[:2]\nexcept ImportError: found = 'none'"
    assert site.do(code, "/tuned/") == [str(tuned.place), str(tuned.place / "lib")]
    assert site.do(code) == "none"


def test_include_path_of_the_site_is_there_at_the_import(tuned: Tuned) -> None:
    (tuned.place / "lib").mkdir()
    site = tuned(include_path=(str(tuned.place / "lib"),))
    assert site.do("found = sys.path[:2]") == [str(tuned.place), str(tuned.place / "lib")]


def test_auto_prepend_file(tuned: Tuned) -> None:
    first, here = tuned.place / "first.py", tuned.place / "here.py"
    first.write_text("import builtins, sys\nbuiltins.before = ('small_site' in sys.modules, __name__, __file__)")
    here.write_text("import builtins\nbuiltins.here = environ['PATH_INFO']")
    site = tuned(auto_prepend_file=str(first), here={"auto_prepend_file": str(here)})
    assert site.do("found = before") == [False, "auto_prepend_file", str(first)]
    assert site.do("found = here", "/tuned/1") == "/tuned/1"


def test_auto_prepend_file_that_fails_is_the_sites_failure(tuned: Tuned) -> None:
    (tuned.place / "first.py").write_text("1 / 0")
    site = tuned(here={"auto_prepend_file": str(tuned.place / "first.py")})
    assert site.ask("found = 1", "/tuned/").status == 500 and "ZeroDivisionError" in site.log()
    assert site.do("found = 1") == 1


def test_auto_append_file(tuned: Tuned) -> None:
    (tuned.place / "last.py").write_text("open('last', 'a').write(environ['PATH_INFO'] + __name__)")
    site = tuned(here={"auto_append_file": str(tuned.place / "last.py")})
    assert site.do("found = os.path.exists('last')", "/tuned/") is False
    wait_until(lambda: (tuned.place / "last").exists(), what="what it writes")
    site.do()
    wait_until(lambda: (tuned.place / "last").read_text() == "/tuned/auto_append_file", what="all of it")


@pytest.mark.parametrize("level", [0, 1, 2])
def test_optimize(tuned: Tuned, level: int) -> None:
    """An interpreter learns it at its start: the pool is executed anew, and says so once only."""
    site = tuned(optimize=level)
    assert site.do("found = sys.flags.optimize") == level
    code = "try:\n    assert False\nexcept AssertionError: found = 'kept'"
    assert site.do(code) == (None if level else "kept")


@pytest.mark.parametrize(("every", "again"), [(0.0, True), (None, False), (3600.0, False)])
def test_revalidate(tuned: Tuned, every: float | None, again: bool) -> None:
    site = tuned(revalidate=every, update_protection=0.0)
    site.do()  # and looks for the first time
    rewrite(tuned.place / "small_site.py", TUNED + "\n# edited")
    assert renewed(site) == again


@pytest.mark.parametrize(("seconds", "again"), [(0.0, True), (3600.0, False)])
def test_update_protection(tuned: Tuned, seconds: float, again: bool) -> None:
    site = tuned(revalidate=0.0, update_protection=seconds)
    rewrite(tuned.place / "small_site.py", TUNED + "\n# edited")
    assert renewed(site) == again


def rewrite(file: Path, text: str) -> None:
    """As an editor does: another file takes the name."""
    file.with_suffix(".new").write_text(text)
    file.with_suffix(".new").rename(file)


def renewed(site: Tuned) -> bool:
    """Is the next request handed back, and the pool on its way?"""
    answer = site.ask("found = 1")
    assert answer.ended
    assert ("small_site.py changed" in site.log()) == (answer.status is None)
    return answer.status is None


def test_tmp_dir(tuned: Tuned) -> None:
    (tuned.place / "tmp").mkdir()
    site = tuned(here={"tmp_dir": str(tuned.place / "tmp")})
    code = "found = tempfile.gettempdir(), os.environ.get('TMPDIR')"
    assert site.do(code, "/tuned/") == [str(tuned.place / "tmp")] * 2 != site.do(code)


def test_umask(tuned: Tuned) -> None:
    site = tuned(here={"umask": 0o077})
    code = "open(str(os.getpid()), 'w')\nfound = os.stat(str(os.getpid())).st_mode & 0o777"
    assert (site.do(code, "/tuned/"), site.do(code)) == (0o600, 0o644)


# --- the answer

PIECEMEAL = """
def answer(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    yield b'first '
    environ['wsgi.input'].read()
    yield b'second '
    yield b'third'
"""


def test_output_buffering(tuned: Tuned) -> None:
    site = tuned(here={"output_buffering": 4096})
    assert site.one is not None
    for path, at_once in (("/", True), ("/tuned/", False)):
        with site.one.visit() as visitor:
            visitor.begin(path, HTTP_DO=PIECEMEAL)
            assert visitor.is_answered(0.3) == at_once
            visitor.send_body()
            answer = visitor.answer()
            assert answer.ended and answer.text == "first second third"


def test_ignore_user_abort(tuned: Tuned) -> None:
    code = """
def answer(environ, start_response):
    start_response('200 OK', [])
    yield b'first'
    environ['wsgi.input'].read()
    try:
        for _ in range(50):
            yield b'x' * 65536
    finally:
        open(environ['PATH_INFO'].strip('/'), 'w').write(str(_))
"""
    site = tuned(here={"ignore_user_abort": True})
    assert site.one is not None
    for path in ("/tuned", "/cut"):
        with site.one.visit() as visitor:
            visitor.begin(path, HTTP_DO=code)
            visitor.sock.recv(1000)
            visitor.sock.shutdown(socket.SHUT_RD)
            visitor.send_body()
            wait_until(lambda path=path: (tuned.place / path[1:]).exists(), what="its end")
    wait_until(lambda: (tuned.place / "tuned").read_text() == "49", what="all of it")
    assert (tuned.place / "cut").read_text() != "49"


def test_who_only_asks_does_not_run_the_app(tuned: Tuned) -> None:
    site = tuned(here={"post_max_size": 10})
    assert site.one is not None
    for length, status in (("10", 200), ("11", 413)):
        with site.one.visit() as visitor:
            params = {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/tuned/",
                "CONTENT_LENGTH": length,
                "HTTP_DO": "open('ran', 'w')",
            }
            pairs = [(name.encode(), value.encode()) for name, value in params.items()]
            visitor.sock.sendall(fastcgi.encode_request_head(pairs, role=fastcgi.AUTHORIZER))
            assert visitor.answer().status == status
    assert not (tuned.place / "ran").exists()
