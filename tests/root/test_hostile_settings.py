"""A site's owner, its visitors and its code against what is said for its directories and locations, on a real server.

The code that a test sends runs in a request: it is what a site that was taken over there can do.  Its app is root's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Answer, Daemon, wait_until

WALLED, LASTING, LEAKY = 50151, 50152, 50153

APP = (Path(__file__).parents[1] / "support/told_site.py").read_text()
# As an app does that opens its databases and logs when it is imported.
OPENS = "opened = [open('/dev/null') for _ in range(20)]\n"


class Sites:
    """One daemon, three sites that are tuned by location."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self.place = place
        for name, uid in (("walled", WALLED), ("lasting", LASTING), ("leaky", LEAKY)):
            for directory in ("", "public", "public/a", "public/noexec", "own"):
                (place / name / directory).mkdir(exist_ok=True)
                os.chown(place / name / directory, uid, uid)
            (place / name / "app.py").write_text((OPENS if name == "leaky" else "") + APP)
        self.daemon = Daemon(place / "server", self.vhosts())

    def vhosts(self) -> str:
        own = self.place / "walled/own"
        return (
            self.vhost("walled", WALLED, at("/tight/", f'open_basedir = ["{own}"]'))
            + self.vhost(
                "lasting",
                LASTING,
                "requests_per_child = 0\nmin_spare = 1",
                "[vhost.value]\nmax_execution_time = 30\n",
                at("/tight/", "max_execution_time = 1"),
                at("/wide/", "max_execution_time = 20"),
            )
            + self.vhost("leaky", LEAKY, "requests_per_child = 0", at("/noexec/", 'disable = ["exec"]'))
        )

    def vhost(self, name: str, uid: int, *more: str) -> str:
        root = self.place / name
        return (
            f'[[vhost]]\nname = "{name}.test"\nuser = {uid}\nroot = "{root}"\npublic = "{root}/public"\n'
            'app = "app.py"\n' + "\n".join(more) + "\n"
        )

    def post(self, name: str, code: str, path: str = "/") -> Answer:
        return self.daemon.ask("POST", f"{name}.test", path, body=code.encode(), timeout=30)

    def do(self, name: str, code: str, path: str = "/") -> Any:
        answer = self.post(name, code, path)
        assert answer.status == 200, f"{answer.status} {answer.text}\n{self.daemon.error_log()}"
        return json.loads(answer.body)


def at(path: str, fixed: str) -> str:
    """A location where the administrator fixed something."""
    return f'[[vhost.location]]\npath = "{path}"\nadmin_value = {{ {fixed} }}'


@pytest.fixture(scope="module")
def sites(place: Path) -> Iterator[Sites]:
    found = Sites(place / "hostile-settings")
    with found.daemon:
        yield found


def own_file(sites: Sites, name: str, text: str, directory: str) -> Path:
    file = sites.place / name / directory / ".itk.toml"
    file.write_text(text)
    return file


# --- a request under a location's walls, and the board it shares with its pool

# What a child reports of the file {file}: not what is in it.
FORGE = """
import marshal
frame = sys._getframe()
while "self" not in frame.f_locals or not hasattr(frame.f_locals["self"], "pool"):
    frame = frame.f_back
pool = frame.f_locals["self"].pool
directory, settings_ = {directory!r}, {settings!r}
from itkwsgi.ini import override_file
stamp = override_file.stamp(directory)
key = ((), ((directory, stamp),), ())
report = marshal.dumps((key, [(directory, stamp, (directory + "/.itk.toml", settings_, []))], "/"))
try: found = pool.board.post(report), pool.slots.call()
except Exception as error: found = repr(error)
"""


def forged(sites: Sites, path: str, settings: list[tuple[str, Any, str]]) -> None:
    """Have a request of that path lie to its pool on what public/a/.itk.toml says."""
    directory = str(sites.place / "walled/public/a")
    sites.post("walled", FORGE.format(directory=directory, settings=settings), path)
    time.sleep(0.3)
    for _ in range(3):  # whoever was forked before the pool learned it
        sites.do("walled", "pass")


def test_code_below_the_walls_of_a_location_does_not_run_outside_of_them(sites: Sites) -> None:
    """The wall is there: the location's own code cannot write outside.  It must not have another request do it."""
    own_file(sites, "walled", "[value]\ntimezone = 'JST-9'\n", "public/a")
    outside, evil = sites.place / "walled/public/written", sites.place / "walled/own/evil.py"
    write = f"try: open({str(outside)!r}, 'w')\nexcept OSError as error: found = error"
    assert "PermissionError" in sites.do("walled", write, "/tight/")
    program = f"open({str(outside)!r}, 'w')"
    sites.do("walled", f"open({str(evil)!r}, 'w').write({program!r})", "/tight/")
    forged(sites, "/tight/", [("auto_prepend_file", str(evil), "forged")])
    sites.do("walled", "pass", "/a/")
    assert not outside.exists()


# --- processor time of a process that serves several requests

BURN = """
import signal
signal.signal(signal.SIGPROF, signal.SIG_IGN)
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
signal.setitimer(signal.ITIMER_PROF, 0)
hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
"""
FOR = "end = time.process_time() + {}\nwhile time.process_time() < end: pass\nfound = 'burnt'"


def after(sites: Sites, first: str, second: str, code: str) -> int:
    """Ask all processes there are for one path, and then for the other; its status."""
    for _ in range(8):
        sites.do("lasting", "found = os.getpid()", first)
    return sites.post("lasting", code, second).status


def test_a_stricter_limit_of_processor_time_is_the_kernels_after_a_wider_one(sites: Sites) -> None:
    assert after(sites, "/wide/", "/tight/", BURN + FOR.format(6)) == 500


def test_a_location_with_little_processor_time_takes_none_of_the_next_requests(sites: Sites) -> None:
    """30 s are said for /: six are no reason to be ended."""
    assert after(sites, "/tight/", "/", FOR.format(6)) == 200


# --- walls that cannot be had


# subprocess would need descriptors of its own.
EXEC = "try: os.execv('/bin/true', ['true'])\nexcept OSError as error: found = repr(error)"


@pytest.mark.parametrize("own", ["", "[value]\nmax_open_files = 16\n"])
def test_no_own_file_keeps_a_wall_from_being_put_up(sites: Sites, own: str) -> None:
    """disable of a location, for an app that has twenty files open and an owner who says that sixteen are enough.

    Of the program that is executed nothing comes; of a wall that cannot be had, a line in the log.
    """
    own_file(sites, "leaky", own, "public/noexec")
    answer = sites.post("leaky", EXEC, "/noexec/")
    if answer.status == 200:
        assert "PermissionError" in answer.text
    else:
        assert "cannot be had" in sites.daemon.error_log(), sites.daemon.error_log()


# --- the log


def test_a_visitors_path_is_one_line_in_the_log(sites: Sites) -> None:
    """%0a in a URL: what follows must not stand in the log as a line of the site's."""
    assert sites.post("walled", "1/0", "/x%0achild%20forged").status == 500
    wait_until(lambda: "ZeroDivisionError" in sites.daemon.error_log(), what="a traceback in the log")
    assert "[walled.test] child forged" not in sites.daemon.error_log()
