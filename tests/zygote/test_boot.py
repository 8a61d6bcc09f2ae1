"""boot.py, the first file of a zygote: makes the package importable and nothing else."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from itkwsgi import boot as module
from itkwsgi.linux import fds
from itkwsgi.runtime import main as runtime_main
from itkwsgi.wire import control, orders
from itkwsgi.zygote import main as zygote_main
from tests.support.forked import in_child
from tests.support.running import BOOT, ended, exec_boot, nobody_left

PACKAGE = Path(BOOT).parent


def told_by(statements):
    """What such a program prints as JSON, in an interpreter as bare as a zygote's; ``boot`` is boot.py's namespace."""
    code = f"import json, runpy, sys\nbefore = list(sys.path)\nboot = runpy.run_path({BOOT!r})\n{statements}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_the_package_is_importable_and_nothing_beside_it():
    assert told_by(
        "boot['make_package_importable']()\n"
        "import itkwsgi.errors, importlib.util\n"
        "found = [name for name in ('tests', 'benchmarks', 'werkzeug') if importlib.util.find_spec(name)]\n"
        "print(json.dumps([itkwsgi.errors.__file__, sys.path == before, found]))"
    ) == [str(PACKAGE / "errors.py"), True, []]


def test_a_package_that_is_not_there_is_said():
    told = told_by(
        "boot['make_package_importable'].__globals__['__file__'] = '/nonexistent/itkwsgi/boot.py'\n"
        "try:\n    boot['make_package_importable']()\n"
        "except SystemExit as error:\n    print(json.dumps(str(error)))"
    )
    assert told == "itkwsgi: /nonexistent/itkwsgi is not the package"


def test_it_is_found_beside_this_file_and_nowhere_else():
    def find():
        sys.path.clear()
        for name in [name for name in sys.modules if name.split(".")[0] == "itkwsgi"]:
            del sys.modules[name]
        module.make_package_importable()
        return sys.modules["itkwsgi"].__file__, sys.path

    assert in_child(find) == (str(PACKAGE / "__init__.py"), [])


def test_a_sites_multiprocessing_does_not_run_it_again():
    def replace():
        main = sys.modules["__main__"]
        module.inert_main()
        now = sys.modules["__main__"]
        return now is not main, hasattr(now, "__file__"), now.__name__, sys.argv

    assert in_child(replace) == (True, False, "__main__", [""])


@pytest.mark.parametrize(("role", "who"), [("zygote", zygote_main), ("pool", runtime_main)])
def test_each_role_is_run(role, who):
    """With the modules that are loaded here: only that it comes to the right one."""

    def run():
        called = []
        module.make_package_importable = lambda: None
        who.run = lambda: called.append(who.__name__)
        module.main(role)
        return called

    assert in_child(run) == [who.__name__]


def test_a_whole_life(tmp_path):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ids = {"privileged": False, "uids": [], "gids": []}
    settings = {"name": "system", "preload": ["colorsys"], "packages": True, **ids}
    memory = fds.memfd_with(orders.encode(settings), "settings")
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    places = {0: null, 1: log, 2: log, orders.CONTROL_FD: theirs.fileno(), orders.SETTINGS_FD: memory}
    with nobody_left(), ours:
        ours.settimeout(10)
        pid = exec_boot("zygote", places)
        theirs.close()
        for fd in (memory, null, log):
            os.close(fd)
        assert control.unpack_notice(ours.recv(100)).kind == control.ZYGOTE_READY
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"itkwsgi: zygote system")
        ours.close()
        assert ended(pid) == 0
    assert (tmp_path / "log").read_text() == ""
