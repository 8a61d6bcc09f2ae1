"""Roles in namespaces of their own: another /tmp, and no ids but some."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

import itkwsgi
from itkwsgi.errors import OperatorError
from itkwsgi.linux import kernel, process_status
from itkwsgi.linux.identity import Identity
from tests.support.forked import said_by

ROLE = Identity(50001, 50011, ())
ZYGOTE_KEEPS = frozenset({kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SYS_NICE, kernel.CAP_KILL})
RANGES = ([(50000, 50100), (33, 33)], [(50000, 50100), (33, 33)])
TOP = os.path.dirname(os.path.dirname(itkwsgi.__file__))
PYTHON = [sys.executable, "-I", "-S", "-c"]

HEAD = f"""
import json, os, sys
sys.path.insert(0, {TOP!r})
def tried(function, *args):
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return 0
"""


def told(code, **spec):
    return json.loads(said_by([*PYTHON, HEAD + code], identity=ROLE, **spec))


@pytest.fixture
def own_tmp():
    """A directory of the role's user, below one that only root can write."""
    above = Path(tempfile.mkdtemp(prefix="itkwsgi-root-", dir="/var/lib"))
    above.chmod(0o755)
    own = above / "own"
    own.mkdir(0o700)
    os.chown(own, ROLE.uid, ROLE.gid)
    yield own
    shutil.rmtree(above)


@pytest.fixture
def shared_file():
    """Something of somebody else's in the machine's /tmp, for all to read."""
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="itkwsgi-shared-") as file:
        os.chmod(file.name, 0o644)
        yield file.name


LOOK_AT_TMP = """
open("/tmp/mine", "w").close()
mounts = [line.split() for line in open("/proc/self/mountinfo")]
print(json.dumps({"files": sorted(os.listdir("/tmp")), "options": [line[5] for line in mounts if line[4] == "/tmp"]}))
"""


def test_another_directory_stands_for_tmp(own_tmp, shared_file):
    mounts = Path("/proc/self/mountinfo").read_text()
    found = told(LOOK_AT_TMP, binds=((str(own_tmp), "/tmp"),))
    assert found["files"] == ["mine"]
    assert {"nosuid", "nodev"} <= set(found["options"][-1].split(","))
    assert [entry.name for entry in own_tmp.iterdir()] == ["mine"]
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not os.path.exists("/tmp/mine")


def test_without_that_it_is_the_machines(shared_file):
    found = told("print(json.dumps({'files': os.listdir('/tmp')}))")
    assert os.path.basename(shared_file) in found["files"]


def test_a_place_that_is_not_there_is_not_made(own_tmp):
    found = told("print(json.dumps(os.path.exists('/no/such')))", binds=((str(own_tmp), "/no/such"),))
    assert found is False


def test_a_directory_that_is_not_there_stops_the_role():
    with pytest.raises(OperatorError, match=r"mount namespace: .*mount at /tmp"):
        told("print(1)", binds=(("/no/such", "/tmp"),))


BECOME = """
from itkwsgi.linux import process_status
status = process_status.read()
print(json.dumps({
    "uids": status.uids, "effective": status.effective,
    "uid in the map": tried(os.setresuid, 33, 33, 33),
    "uid 0": tried(os.setresuid, 0, 0, 0), "uid outside": tried(os.setresuid, 50101, 50101, 50101),
    "gid outside": tried(os.setresgid, 1000, 1000, 1000),
    "group 0": tried(os.setgroups, [0]), "groups outside": tried(os.setgroups, [50001, 4]),
    "groups": tried(os.setgroups, [50002]),
    "maps": [open(f"/proc/self/{name}_map").read().split() for name in ("uid", "gid")],
    "owner of /": os.stat("/").st_uid,
}))
"""
EINVAL = 22


def test_ids_that_are_not_mapped_do_not_exist():
    found = told(BECOME, id_map=RANGES, keep=ZYGOTE_KEEPS)
    assert found["uids"] == [ROLE.uid] * 4
    assert found["effective"] == 0x8000E0
    assert found["maps"] == [["33", "33", "1", "50000", "50000", "101"]] * 2
    for what in ("uid 0", "uid outside", "gid outside", "group 0", "groups outside"):
        assert found[what] == EINVAL, what
    assert found["uid in the map"] == found["groups"] == 0
    assert found["owner of /"] == 65534  # the price: root's files seem nobody's


def test_without_a_user_namespace_a_zygote_could_have_roots_group():
    found = told(BECOME, keep=ZYGOTE_KEEPS)
    assert found["group 0"] == 0
    assert found["uid 0"] == 0
    assert found["owner of /"] == 0


def test_both_at_once(own_tmp, shared_file):
    found = told(LOOK_AT_TMP, id_map=RANGES, keep=ZYGOTE_KEEPS, binds=((str(own_tmp), "/tmp"),))
    assert "mine" in found["files"]
    assert os.path.basename(shared_file) not in found["files"]


def test_a_role_whose_own_ids_are_not_mapped_does_not_start():
    with pytest.raises(OperatorError, match="identity: set"):
        told(BECOME, id_map=([(1, 10)], [(1, 10)]), keep=ZYGOTE_KEEPS)


def test_the_oom_score_is_set_and_cannot_be_lowered():
    code = """
def lower():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("100")
print(json.dumps([int(open("/proc/self/oom_score_adj").read()), tried(lower)]))
"""
    score, refused = told(code, oom_score=200)
    assert score == 200
    if process_status.read().effective >> CAP_SYS_RESOURCE & 1:
        assert refused == EACCES
    else:
        pytest.skip("root has no CAP_SYS_RESOURCE here: a process may lower its own OOM score again")


CAP_SYS_RESOURCE = 24
EACCES = 13
