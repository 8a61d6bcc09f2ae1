"""Zygotes with walls around them: one site's own, ids that do not exist, helpers that may gain a group, own venvs."""

import json
import os
import shutil
import signal
import stat
import subprocess

import pytest
from daemon import wait_gone, wait_until

PRIVATE = "user = 50001\nprivate_tmp = true\n"


def facts(one, host="a.test"):
    return json.loads(one.get(host, "/facts").body)


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def mount_namespace(pid):
    return os.readlink(f"/proc/{pid}/ns/mnt")


# --- private_tmp


def test_a_site_with_a_private_tmp_sleeps_without_a_process_and_without_a_pipe(daemon, site):
    one = daemon(site("a.test", PRIVATE + "idle_timeout = '1s'\n") + site("b.test", "user = 50002"))
    opened = len(os.listdir(f"/proc/{one.pid}/fd"))
    assert not one.named("zygote private")
    for _ in range(3):
        assert one.get("a.test").status == 200
        assert len(one.named("zygote private a.test")) == 1
        wait_until(lambda: not one.named("a.test"), what="sleep")
        wait_until(lambda: len(os.listdir(f"/proc/{one.pid}/fd")) == opened, what="the end of its pipes")


def test_its_processes_and_no_others_are_in_a_mount_namespace_of_their_own(daemon, site):
    one = daemon(site("a.test", PRIVATE) + site("b.test", "user = 50002"))
    mine, other = (facts(one, host)["pool"] for host in ("a.test", "b.test"))
    (zygote,) = one.named("zygote private a.test")
    roles = [one.pid, other, *(one.named(f"itkwsgi: {role}")[0] for role in ("front", "log", "zygote system"))]
    assert {mount_namespace(pid) for pid in roles} == {mount_namespace("self")}
    assert mount_namespace(mine) == mount_namespace(zygote) != mount_namespace("self")


def test_a_private_zygote_that_is_killed_costs_its_own_site_one_pool(daemon, site):
    one = daemon(site("a.test", PRIVATE) + site("b.test", "user = 50002"))
    one.get("a.test")
    other = facts(one, "b.test")["pool"]
    (zygote,) = one.named("zygote private")
    family = [zygote, facts(one)["pool"]]
    os.kill(zygote, signal.SIGKILL)
    assert wait_gone(family) == []
    wait_until(lambda: one.get("a.test").status == 200, what="a new one")
    assert facts(one, "b.test")["pool"] == other


def test_a_mount_that_cannot_be_had_stops_that_site_alone(daemon, site):
    """Its own directory was made a file by whoever runs the machine."""
    one = daemon(site("a.test", PRIVATE) + site("b.test", "user = 50002"))
    (one.place / "spool" / "tmp" / "a.test-50001").write_text("in the way")
    assert one.get("a.test").status == 500
    assert one.get("b.test").status == 200
    assert "a.test: private_tmp: " in one.error_log()
    (one.place / "spool" / "tmp" / "a.test-50001").unlink()
    wait_until(lambda: one.get("a.test").status == 200, what="the control: without it the site is served")


# --- id_namespace


@pytest.fixture
def mapped(daemon, site):
    vhosts = site("a.test", "user = 50001\nnice = -3\ngroups = [50100]\n") + site("b.test", "user = 50002\nnice = 4\n")
    return daemon(vhosts + site("none.test"), server="id_namespace = true\n")


def test_in_a_namespace_of_ids_sites_are_served_as_ever(mapped):
    for host, uid, groups in (("a.test", 50001, [50100]), ("b.test", 50002, []), ("none.test", 33, [])):
        found = facts(mapped, host)
        assert (found["uid"], found["groups"]) == ([uid] * 3, groups)
        assert status_of(found["pool"])["Uid"].split() == [str(uid)] * 4  # and outside it is the same


def test_root_lifts_the_priority_that_a_zygote_in_there_cannot(mapped):
    for host, nice in (("a.test", -3), ("b.test", 4)):
        assert os.getpriority(os.PRIO_PROCESS, facts(mapped, host)["pool"]) == nice


def test_the_map_holds_the_ranges_and_two_users_of_the_servers(mapped):
    pool = facts(mapped, "a.test")["pool"]
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pool}/{name}") as file:
            assert [line.split() for line in file] == [
                ["33", "33", "1"],
                ["1000", "1000", "59000"],
                ["65531", "65531", "1"],
            ]


# --- setgid helpers


HELPER = """
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("%d %d", (int)getegid(), setuid(0)); return 0; }
"""


@pytest.fixture
def helper(place):
    """A program that gives its caller the group 50200, as sendmail's does; it then tries to be root."""
    source, program = place / "helper.c", place / "helper"
    source.write_text(HELPER)
    subprocess.run(["cc", "-o", program, source], check=True, timeout=60)
    os.chown(program, 0, 50200)
    program.chmod(0o755 | stat.S_ISGID)
    return program


ASKS_HELPER = """
import os, subprocess
def application(environ, start_response):
    start_response("200 OK", [])
    return [subprocess.run([os.environ["HELPER"]], stdout=subprocess.PIPE, check=True).stdout]
"""


def test_a_setgid_helper_works_where_the_admin_allows_it_and_only_there(daemon, place, sites, helper):
    app = sites / "asks_helper.py"
    app.write_text(ASKS_HELPER)

    def vhost(name, uid, more):
        env = f"env = {{ HELPER = {str(helper)!r} }}\n"
        return f"[[vhost]]\nname = '{name}'\nroot = {str(sites)!r}\napp = 'asks_helper.py'\nuser = {uid}\n{env}{more}\n"

    one = daemon(vhost("may.test", 50001, "no_new_privs = false") + vhost("maynot.test", 50002, ""))
    assert one.get("may.test").text == "50200 -1"
    assert one.get("maynot.test").text == "50002 -1"


# --- confined sites with a venv of their own


@pytest.fixture
def own_venv(place, request):
    """A virtual environment that is all the site's; what is in it tells where it ran."""
    venv = place / f"venv-{request.node.name}"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    packages = next(venv.glob("lib/python3*/site-packages"))
    (packages / "mine.py").write_text("WHERE = __file__\n")
    for parent, directories, files in os.walk(venv):
        for name in (*directories, *files, "."):
            os.chown(os.path.join(parent, name), 50009, 50009, follow_symlinks=False)
    return venv


USES_VENV = """
import sys
import mine
def tried(path):
    try:
        return open(path).read(1) and "read"
    except PermissionError:
        return "refused"
def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{mine.WHERE} {sys.prefix} {sys.executable} {tried('/etc/passwd')}".encode()]
"""


def vhost_with(sites, venv, more):
    return (
        f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'uses_venv.py'\nuser = 50009\n"
        f"venv = {str(venv)!r}\n{more}\n"
    )


def test_a_confined_site_has_its_own_packages(daemon, sites, own_venv):
    (sites / "uses_venv.py").write_text(USES_VENV)
    for more, outcome in ((f"admin_value = {{ open_basedir = {str(sites)!r} }}", "refused"), ("", "read")):
        one = daemon(vhost_with(sites, own_venv, more))
        where, prefix, executable, tried = one.get("a.test").text.split()
        assert where.startswith(str(own_venv))
        assert (prefix, executable) == (str(own_venv), f"{own_venv}/bin/python")
        assert tried == outcome


STDLIB_OF_THE_SITES_OWN = """
import posix as os
os.close(os.open("{seen}/" + str(os.geteuid()), os.O_CREAT))
"""


@pytest.mark.parametrize("wall", ["open_basedir = [{sites!r}]", "disable = ['exec']", "disable = ['fork']"])
def test_a_confined_sites_pyvenv_cfg_chooses_no_standard_library(daemon, sites, place, own_venv, wall):
    """home = in pyvenv.cfg says where the modules are that every interpreter loads first, before any wall is up."""
    (sites / "uses_venv.py").write_text(USES_VENV)
    seen = place / f"seen-{own_venv.name}"
    seen.mkdir()
    seen.chmod(0o777)
    fake = own_venv / "fake"
    version = next(own_venv.glob("lib/python3*")).name
    library = fake / "lib" / version
    library.mkdir(parents=True)
    for entry in os.scandir(f"/usr/lib/{version}"):
        if entry.name != "encodings":
            os.symlink(entry.path, library / entry.name)
    shutil.copytree(f"/usr/lib/{version}/encodings", library / "encodings")  # the first of all that is imported
    with open(library / "encodings" / "__init__.py", "a") as file:
        file.write(STDLIB_OF_THE_SITES_OWN.format(seen=seen))
    (fake / "bin").mkdir()
    os.symlink("/usr/bin/python3", fake / "bin" / "python3")
    config = own_venv / "pyvenv.cfg"
    config.write_text(f"home = {fake}/bin\ninclude-system-site-packages = false\n")
    one = daemon(vhost_with(sites, own_venv, f"admin_value = {{ {wall.format(sites=str(sites))} }}"))
    assert one.get("a.test").status == 200
    assert os.listdir(seen) == []
    one.stop()
    one = daemon(vhost_with(sites, own_venv, ""))
    one.get("a.test")
    assert os.listdir(seen) == ["50009"]  # the control: it would have run


TRIES_TO_FORK = """
import os
def tell(outcome):
    os.close(os.open("{seen}/" + outcome, os.O_CREAT))
try:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    tell("forked")
except PermissionError:
    tell("refused")
"""
SIGNALS = """
class Signals:
    def __init__(self, number):
        self.name = "mine"
"""
DIES = """
import os
def application(environ, start_response):
    if environ["PATH_INFO"] == "/die":
        os.kill(os.getpid(), 9)
    start_response("200 OK", [])
    return [b"here"]
"""


@pytest.mark.parametrize(
    ("wall", "outcomes"), [("admin_value = { disable = ['fork'] }", {"refused"}), ("", {"forked"})]
)
def test_no_code_of_a_site_without_fork_runs_where_there_is_one(daemon, place, own_venv, wall, outcomes):
    """Its pool forks.  A .pth file is code; and a pool whose child was killed looks up that signal's name, for which it
    imports signal."""
    code, seen = place / f"code-{own_venv.name}", place / f"seen-{own_venv.name}"
    for path in (code, seen):
        path.mkdir()
    seen.chmod(0o777)
    (code / "uses_venv.py").write_text(DIES)
    tries = TRIES_TO_FORK.format(seen=seen)
    (code / "signal.py").write_text(tries + SIGNALS)
    packages = next(own_venv.glob("lib/python3*/site-packages"))
    (packages / "begins.py").write_text(tries)
    (packages / "begins.pth").write_text("import begins\n")
    one = daemon(vhost_with(code, own_venv, wall))
    assert one.get("a.test").status == 200
    assert set(os.listdir(seen)) == outcomes  # by the .pth file
    for file in seen.iterdir():
        file.unlink()
    (packages / "begins.pth").unlink()
    assert one.get("a.test", "/die").status == 500
    wait_until(lambda: "was ended by" in one.error_log(), what="a line in the log")
    assert "forked" not in os.listdir(seen) if wall else os.listdir(seen) == ["forked"]


# --- the ends


def test_nothing_is_left_of_any_of_them(daemon, site):
    one = daemon(
        site("a.test", PRIVATE) + site("b.test", "user = 50002") + site("c.test", "user = 50003\nprivate_tmp = true"),
        server="id_namespace = true\n",
    )
    for host in ("a.test", "b.test", "c.test"):
        assert one.get(host, "/daemon").status == 200
    family = one.family()
    os.kill(one.pid, signal.SIGKILL)
    one.process.wait()
    one.process = None
    assert wait_gone(family, 15) == []
