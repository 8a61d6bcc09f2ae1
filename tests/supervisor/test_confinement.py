"""The policy as data; and what a Python site can do under it, and cannot, in an interpreter as a pool's."""

from __future__ import annotations

import ast
import marshal
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from itkwsgi.config.model import Area, Config, Said
from itkwsgi.errors import OperatorError
from itkwsgi.linux import landlock, rulesets
from itkwsgi.linux.filters import site_filter
from itkwsgi.supervisor.confinement import LIBRARIES, confinement, within
from tests.support.configured import make_environment, make_vhost
from tests.support.forked import ORDINARY
from tests.support.ground import SECRET, a_ground, give

APPS = Path(__file__).parent.parent.parent / "apps"
ABI = landlock.abi()
needs_6 = pytest.mark.skipif(ABI < 6, reason=f"Landlock {ABI} on this kernel, and this needs 6")


def said(value, fixed=False):
    return Said(value, fixed, "itk.toml:3")


def site(**settings):
    return make_vhost(settings={name: value for name, value in settings.items() if value is not None})


def config(**environments):
    return Config("itk.toml", None, environments, (), (), ())


def walls(vhost, tmp_dir="/tmp/of/site", abi=7, **environments):
    return confinement(vhost, config(**environments), tmp_dir=tmp_dir, abi=abi)


def rights(vhost, **more):
    return {path: (rights, required) for path, rights, required in walls(vhost, **more)["landlock"]["rules"]}


BASEDIR = site(open_basedir=said(("/srv/a", "/srv/b")))
RUN = (rulesets.READ | rulesets.EXECUTE, False)
ALL = (rulesets.ALL, True)

# --- Landlock


def test_who_asks_for_nothing_gets_no_walls():
    found = walls(site())
    assert (found["landlock"], found["seccomp"], found["child_seccomp"]) == (None, None, None)


def test_what_is_listed_and_tmp_are_the_sites():
    found = rights(BASEDIR)
    assert {path for path, granted in found.items() if granted == ALL} == {"/srv/a", "/srv/b", "/tmp/of/site"}


def test_nothing_else_can_be_written_but_devices():
    writing = rulesets.ALL & ~rulesets.READ & ~rulesets.EXECUTE
    found = [path for path, (granted, _) in rights(BASEDIR).items() if granted & writing]
    assert sorted(found) == ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero", "/srv/a", "/srv/b",
                             "/tmp/of/site"]  # fmt: skip


def test_nothing_above_what_is_meant():
    """A rule is for all that lies below."""
    found = rights(BASEDIR)
    for secret in ("/etc/passwd", "/etc/shadow", "/etc/itkwsgi/itk.toml", "/home/x", "/root", "/run/x", "/usr/bin/sh",
                   "/var/lib/x", "/dev/shm/x", "/dev/pts/1", "/tmp/x", "/srv/c", "/srv/aa"):  # fmt: skip
        assert not any(secret == path or secret.startswith(path.rstrip("/") + "/") for path in found), secret


def test_libraries_can_be_executed_and_the_rest_is_read():
    found = rights(BASEDIR)
    assert all(found[path] == RUN for path in LIBRARIES)
    assert found["/proc"] == found["/etc/ssl"] == found["/etc/resolv.conf"] == (rulesets.READ, False)


def test_an_environment_a_venv_and_an_interpreter():
    for more, expected in (
        ({"environment": "shared"}, "/venvs/shared"),
        ({"venv": "/srv/v", "binary": "/opt/python3"}, "/srv/v"),
        ({"venv": "/srv/v", "binary": "/opt/python3"}, "/opt/python3"),
        ({"python": "/opt/python3"}, "/opt/python3"),
    ):
        vhost = make_vhost(settings=BASEDIR.settings, **more)
        assert rights(vhost, shared=make_environment("shared"))[expected] == RUN


@pytest.mark.parametrize("var_tmp", [True, False])
def test_tmp_of_its_own_is_granted_and_another_is_not(var_tmp):
    found = rights(make_vhost(settings=BASEDIR.settings, private_tmp=True, private_var_tmp=var_tmp))
    assert (found.get("/tmp"), found.get("/var/tmp")) == (ALL, ALL if var_tmp else None)


def test_temporary_directories_of_parts_are_granted_where_they_are_there():
    areas = (Area("/srv/x", {"tmp_dir": said("/tmp/x")}, "a:1"), Area("/srv/y", {"tmp_dir": said(None)}, "a:2"))
    found = rights(make_vhost(settings=BASEDIR.settings, directories=areas))
    assert found["/tmp/x"] == (rulesets.ALL, False)


@pytest.mark.parametrize("abi", [0, 1, 2])
def test_a_kernel_that_cannot_keep_open_basedir(abi):
    with pytest.raises(OperatorError, match="open_basedir needs Landlock version 3, and this kernel has"):
        walls(BASEDIR, abi=abi)


@pytest.mark.parametrize(("abi", "scoped"), [(3, 0), (5, 0), (6, 3), (7, 3), (8, 3)])
def test_signals_and_abstract_sockets_where_the_kernel_knows_them(abi, scoped):
    table = walls(BASEDIR, abi=abi)["landlock"]
    assert (table["scoped"], table["net"], table["fs"]) == (scoped, 0, rulesets.file_rights(abi))


def test_without_tracing_a_site_is_in_a_domain_of_its_own():
    vhost = site(disable=said(("ptrace",)))
    assert walls(vhost)["landlock"] == {**rulesets.domain_table(7), "interpreter": 0}
    with pytest.raises(OperatorError, match='disable = \\["ptrace"\\] needs Landlock version 2'):
        walls(vhost, abi=1)
    both = site(disable=said(("ptrace",)), open_basedir=said(("/srv/a",)))
    assert walls(both)["landlock"]["fs"] == rulesets.file_rights(7)


def test_a_plan_can_be_marshalled():
    vhost = site(open_basedir=said(("/a",)), disable=said(("exec", "fork")), max_processes=said(9))
    assert marshal.loads(marshal.dumps(walls(vhost))) == walls(vhost)


# --- seccomp and limits


def test_what_is_disabled_and_where():
    found = walls(site(disable=said(("exec", "fork", "network"))))
    assert found["seccomp"] == site_filter(frozenset(("exec", "network")))
    assert found["child_seccomp"] == site_filter(frozenset(("fork",)))
    assert found["landlock"] is None
    assert walls(site(disable=said(("fork",))))["seccomp"] is None


def limits(monkeypatch, hard=5000, **settings):
    monkeypatch.setattr(resource, "getrlimit", lambda number: (100, hard))
    return {number: (soft, hard) for number, soft, hard in walls(site(**settings))["rlimits"]}


def test_limits_without_a_word(monkeypatch):
    assert limits(monkeypatch) == {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_DATA: (5000, 5000),  # 128 MB, and the server itself may have no more than that
        resource.RLIMIT_NOFILE: (1024, 5000),
    }
    assert limits(monkeypatch, 2**40)[resource.RLIMIT_DATA] == (2**27, 2**40)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("memory_limit", resource.RLIMIT_DATA),
        ("max_processes", resource.RLIMIT_NPROC),
        ("max_open_files", resource.RLIMIT_NOFILE),
        ("max_file_size", resource.RLIMIT_FSIZE),
    ],
)
def test_limits(monkeypatch, name, number):
    endless = resource.RLIM_INFINITY
    for value, fixed, hard, expected in (
        (70, False, 5000, (70, 5000)),
        (70, True, 5000, (70, 70)),
        (7000, False, 5000, (5000, 5000)),
        (7000, True, 5000, (5000, 5000)),
        (70, False, endless, (70, endless)),
        (None, False, 5000, (5000, 5000)),
        (None, True, endless, (endless, endless)),
    ):
        assert limits(monkeypatch, hard, **{name: said(value, fixed)})[number] == expected


@pytest.mark.parametrize(
    ("value", "fixed", "expected"),
    [
        (30.0, False, None),
        (None, True, None),
        (30.0, True, 62),  # the import may take 60
        (90.2, True, 93),
        (9000.0, True, 5000),
    ],
)
def test_processor_time_has_a_bound_from_before_the_import_where_it_is_fixed(monkeypatch, value, fixed, expected):
    found = limits(monkeypatch, max_execution_time=said(value, fixed)).get(resource.RLIMIT_CPU)
    assert found == (None if expected is None else (expected, expected))


def test_limits_are_those_that_hold_in_the_pool(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda number: (100, 5000))
    vhost = make_vhost(settings={"max_open_files": said(70)}, holding={"max_open_files": said(90, True)})
    assert (resource.RLIMIT_NOFILE, 90, 90) in walls(vhost)["rlimits"]


def test_within():
    assert (within(3, 5), within(7, 5), within(7, resource.RLIM_INFINITY)) == (3, 5, 7)


# --- A site's life

PROLOGUE = """
import ast, os, sys
from itkwsgi.linux import kernel, landlock
table, uid, home, tmp, probes = ast.literal_eval(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([]), os.setresgid(uid, uid, uid), os.setresuid(uid, uid, uid)
kernel.set_no_new_privs()
kernel.set_dumpable(True)
os.environ.clear()
os.environ.update(HOME=home, LOGNAME="site", TMPDIR=tmp, PATH="/usr/bin:/bin", LANG="C.UTF-8", DATA_DIR=home + "/data")
if table:
    landlock.restrict(table, landlock.interpreter_rules(table["interpreter"]))
os.chdir(home)
sys.path.insert(0, home)
for name, code in probes:
    space = {"home": home, "tmp": tmp}
    try:
        exec(code, space)
        outcome = "done"
    except OSError as error:
        outcome = "denied" if error.errno in (1, 13, 18) else repr(error)
    except BaseException as error:
        outcome = repr(error)
    print(repr((name, outcome)), flush=True)
"""

CAN = {
    "a module not yet loaded": "import decimal, sqlite3, wave, curses, multiprocessing, xml.sax",
    "a module of the server's runtime": "import itkwsgi.runtime.pool",
    "the packages of its environment": "import flask, django, werkzeug",
    "a module of its own": "open('own.py', 'w').write('x = 1'); import own; assert own.x == 1",
    "a library by its name": "import ctypes, ctypes.util; ctypes.CDLL(ctypes.util.find_library('c'))",
    "SQLite with its journals": """
import sqlite3
database = sqlite3.connect('x.db')
assert database.execute('pragma journal_mode=wal').fetchone() == ('wal',)
database.execute('create table a(b)'), database.execute('insert into a values(1)'), database.commit()""",
    "a file that gets its name when it is whole": """
import os
file = os.open(home, os.O_TMPFILE | os.O_WRONLY, 0o600)
os.link(f'/proc/self/fd/{file}', 'whole', src_dir_fd=file)""",
    "temporary files": """
import tempfile, os
for make in (tempfile.NamedTemporaryFile, tempfile.TemporaryFile, tempfile.TemporaryDirectory, tempfile.mkstemp):
    make()
assert tempfile.gettempdir() == tmp""",
    "moving an upload into place": """
import os, shutil
for name in ('up1', 'up2'):
    open(f'{tmp}/{name}', 'w').close()
os.rename(f'{tmp}/up1', f'{home}/up1'), shutil.move(f'{tmp}/up2', f'{home}/up2'), os.link('up1', f'{tmp}/up3')""",
    "TLS with the machine's certificates": """
import os, ssl
paths = ssl.get_default_verify_paths()
context = ssl.create_default_context()
if os.path.exists('/etc/ssl/certs/ca-certificates.crt'):
    assert context.get_ca_certs() or os.listdir(paths.capath)""",
    "time zones": """
import datetime, time, zoneinfo
time.tzset(), time.localtime(), datetime.datetime.now().astimezone()
if zoneinfo.available_timezones():
    zoneinfo.ZoneInfo('Europe/Berlin')""",
    "names": """
import socket
assert socket.getaddrinfo('localhost', 80)
socket.getfqdn(), socket.gethostname()
try:
    socket.getaddrinfo('nowhere.invalid', 80)
except socket.gaierror:
    pass""",
    "numbers of services": "import socket; assert socket.getservbyname('https') == 443",
    "who it is": "import getpass, os; assert (getpass.getuser(), os.path.expanduser('~')) == ('site', home)",
    "randomness": "import random, secrets, uuid; secrets.token_hex(), uuid.uuid1(), open('/dev/urandom', 'rb').read(1)",
    "/dev/null": "open('/dev/null', 'w').write('x'), open('/dev/null').isatty(), open('/dev/null', 'r+b')",
    "its own /proc": "import os; os.listdir('/dev/fd'), open('/proc/self/status').read(), os.getloadavg()",
    "how many cores": "import os; open('/sys/devices/system/cpu/online').read(), os.cpu_count()",
    "what system it is on": "import platform; platform.platform()",
    "threads": "import threading; t = threading.Thread(target=int); t.start(), t.join()",
    "processes": """
import multiprocessing
p = multiprocessing.get_context('fork').Process(target=int)
p.start(), p.join()
assert p.exitcode == 0
multiprocessing.Pipe()""",
    "its own interpreter": """
import subprocess, sys
subprocess.run([sys.executable, '-I', '-c', 'import ssl, ctypes, sqlite3, flask'], check=True)""",
    "a program of its own": """
import os, subprocess, sys
open('program', 'w').write(f'#!{sys.executable}\\n'), os.chmod('program', 0o700)
subprocess.run(['./program'], check=True)""",
    "subprocesses of asyncio": """
import asyncio, sys
async def main():
    return await (await asyncio.create_subprocess_exec(sys.executable, '-c', '')).wait()
assert asyncio.run(main()) == 0""",
    "sockets of its own": """
import socket
for name in ('s', f'\\0{home}'):
    server = socket.socket(socket.AF_UNIX)
    server.bind(name), server.listen(), socket.socket(socket.AF_UNIX).connect(name)
server = socket.create_server(('127.0.0.1', 0))
socket.create_connection(server.getsockname())""",
    "memory to share": """
import mmap, os
memory = os.memfd_create('x')
os.truncate(memory, 100), mmap.mmap(memory, 100), mmap.mmap(-1, 100)""",
    "a traceback with its lines": "import linecache, os; assert linecache.getline(os.__file__, 1)",
}

CANNOT = {
    "accounts": "open('/etc/passwd')",
    "all that runs below /run": "import os; os.listdir('/run')",
    "the root directory": "import os; os.listdir('/')",
    "another site": "open(home + '/../outside/file')",
    "another site by a link": "open('link')",
    "another site by /proc/self/root": "open(f'/proc/self/root{home}/../outside/file')",
    "emptying another site's file": "import os; os.truncate(home + '/../outside/file', 0)",
    "a program of the system's": "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'])",
    "a file in /tmp": "import os; os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
    "shared memory": "import os; os.open('/dev/shm', os.O_TMPFILE | os.O_RDWR)",
    "locks between processes": "import multiprocessing; multiprocessing.get_context('fork').Lock()",
    "a terminal": "import os; os.openpty()",
    "its own oom score": "open('/proc/self/oom_score_adj', 'r+')",
    "what its parent was started with": "import os; open(f'/proc/{outsider}/environ')",
    "a signal to the outside": "import os; os.kill(outsider, 0)",
    "an abstract socket of the outside": "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + abstract)",
}


@pytest.fixture(scope="module")
def ground():
    with a_ground() as ground:
        (ground.top / "tmp").mkdir()
        (ground.inside / "data").mkdir()
        for path in (ground.top / "tmp", ground.inside / "data"):
            give(path)
        yield ground


def run(ground, probes, *basedir, free=False):
    """What came of each, in one interpreter."""
    tmp = str(ground.top / "tmp")
    vhost = site(open_basedir=said((str(ground.inside), *basedir)))
    table = None if free else walls(vhost, tmp, ABI)["landlock"]
    argument = repr((table, ORDINARY, str(ground.inside), tmp, probes))
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROLOGUE, argument], capture_output=True, text=True, timeout=50, check=True
    )
    return dict(ast.literal_eval(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def outcomes(ground):
    return run(ground, list(CAN.items()))


@pytest.fixture(scope="module")
def refusals(ground):
    """Within the walls, and without them."""
    known = f"outsider, abstract = {ground.outsider}, {ground.abstract!r}\n"
    probes = [(name, known + code) for name, code in CANNOT.items()]
    refused = run(ground, probes)
    assert ground.file.read_text() == SECRET
    return refused, run(ground, probes, free=True)


@needs_6
@pytest.mark.parametrize("name", CAN)
def test_a_site_can(outcomes, name):
    assert outcomes[name] == "done"


@needs_6
@pytest.mark.parametrize("name", CANNOT)
def test_a_site_cannot(refusals, name):
    confined, free = refusals
    assert free[name] == "done"
    assert confined[name] == "denied"


LISTED = {
    "programs of the system's": ("/usr", "import subprocess; subprocess.run('true', shell=True, check=True)"),
    "locks between processes": ("/dev/shm", CANNOT["locks between processes"]),
    "a single file": ("/etc/passwd", CANNOT["accounts"]),
}


@needs_6
@pytest.mark.parametrize("name", LISTED)
def test_what_is_listed_is_granted(ground, name):
    path, code = LISTED[name]
    assert run(ground, [(name, code)])[name] == "denied"
    assert run(ground, [(name, code)], path)[name] == "done"


REQUEST = """
from werkzeug.test import Client
answer = Client(application).get('/', base_url='http://%s.localhost')
assert answer.status_code == 200, answer.text
"""


@needs_6
@pytest.mark.parametrize(
    ("app", "begin"),
    [
        ("flask", "from app import application"),
        (
            "django",
            "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'library.settings'\n"
            "from prepare import prepare; prepare()\nfrom library.wsgi import application",
        ),
    ],
)
def test_the_sample_sites(ground, app, begin):
    root = ground.inside / app
    shutil.copytree(APPS / app, root, ignore=shutil.ignore_patterns("__pycache__"))
    give(root)
    enter = f"import os, sys; os.chdir({str(root)!r}); sys.path.insert(0, {str(root)!r})\n"
    assert run(ground, [(app, enter + begin + REQUEST % app)]) == {app: "done"}
