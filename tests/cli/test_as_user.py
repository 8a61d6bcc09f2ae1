"""Looking at a site's files as the site's user, and never waiting for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from itkwsgi.cli.as_user import MOST, CannotLook, as_user
from itkwsgi.config.model import Ids
from itkwsgi.linux import process_status
from itkwsgi.linux.fds import open_descriptors
from tests.support.hanging import hanging
from tests.support.tenants import public_place

SOMEBODY = Ids(50007, 50008, (50009,), "jess")
ME = SOMEBODY if os.geteuid() == 0 else Ids(os.geteuid(), os.getegid())


def test_it_hands_over_what_was_found() -> None:
    assert as_user(ME, lambda: {"a": [1, "ü"]}) == {"a": [1, "ü"]}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_it_is_that_user_for_good() -> None:
    def who() -> list[object]:
        status = process_status.read()
        return [status.uids, status.gids, status.groups, status.permitted, status.bounding]

    assert as_user(SOMEBODY, who) == [[50007] * 4, [50008] * 4, [50009], 0, 0]


def test_a_look_that_hangs_is_said_and_ended() -> None:
    begun, before = time.monotonic(), children()
    with pytest.raises(CannotLook, match="does not answer"):
        as_user(ME, lambda: time.sleep(60), seconds=0.2)
    assert time.monotonic() - begun < 5
    assert children() <= before


def children() -> set[int]:
    """Of the process of the tests: fixtures of others may live."""
    return set(process_status.children_of(os.getpid()))


def fail() -> None:
    raise RuntimeError


@pytest.mark.parametrize("look", [fail, lambda: os._exit(3), lambda: object()])
def test_a_look_that_fails_is_said(look: object, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CannotLook, match="failed"):
        as_user(ME, look)  # type: ignore[arg-type]


def test_too_much_is_refused() -> None:
    with pytest.raises(CannotLook, match="too much"):
        as_user(ME, lambda: "x" * MOST)
    assert len(as_user(ME, lambda: "x" * (MOST - 2))) == MOST - 2


def test_it_holds_nothing_of_ours_but_the_pipe() -> None:
    """Who reads our output to its end would else wait for a look that hangs in the kernel."""
    reader, writer = os.pipe()
    try:
        held = as_user(ME, lambda: sorted(open_descriptors().values()))
    finally:
        os.close(reader)
        os.close(writer)
    assert held[:3] == ["/dev/null"] * 3
    assert len([name for name in held if name.startswith("pipe:")]) == 1
    assert not [name for name in held if name.startswith("socket:")]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user cannot look as root")
def test_nothing_is_ever_looked_at_as_root() -> None:
    for ids in (Ids(0, 0), Ids(50007, 0), Ids(50007, 50007, (0,))):
        with pytest.raises(CannotLook, match="failed"):
            as_user(ids, lambda: "root looked")


def test_no_descriptor_and_no_process_is_left() -> None:
    before, family = open_descriptors().keys(), children()
    as_user(ME, lambda: 1)
    with pytest.raises(CannotLook):
        as_user(ME, fail)
    assert open_descriptors().keys() == before and children() <= family


LOOK = """
import sys
from itkwsgi.cli.as_user import CannotLook, as_user
from itkwsgi.config.model import Ids
try:
    as_user(Ids(50007, 50007), lambda: open(sys.argv[1]).read(), seconds=0.5)
except CannotLook as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/fuse"), reason="only root can mount")
@pytest.mark.parametrize("killable", [True, False])
def test_a_file_system_that_hangs_is_said_and_not_waited_for(killable: bool) -> None:
    """Not even by who reads our output: a process that hangs in the kernel keeps what it has open."""
    with public_place("hanging") as place, hanging(place, killable=killable) as file:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", LOOK, file], capture_output=True, text=True, timeout=20, check=False
        )
        assert time.monotonic() - begun < 10
    assert (done.stdout, done.stderr) == (
        "the site's files cannot be looked at: their file system does not answer\n",
        "",
    )


def test_a_look_has_no_more_memory_than_it_is_given() -> None:
    """Whatever a site wrote there, it is not the machine that pays."""
    with pytest.raises(CannotLook, match="failed"):
        as_user(ME, lambda: len(bytearray(600 * 2**20)))
    assert as_user(ME, lambda: len(bytearray(100 * 2**20))) == 100 * 2**20
