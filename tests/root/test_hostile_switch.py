"""More pools of one user than the kernel gives keys."""

import os
import signal

import pytest

from itkwsgi.linux import by_ctypes, kernel, switch
from itkwsgi.linux.identity import SwitchError
from tests.support.forked import in_child
from tests.support.switching import SITE, become_site, begin

MANY = 230  # keyrings(7): 200 keys for a user


def switched(number, closed):
    """So many processes of one user at once; how each fared."""
    begin("zygote")
    if closed:
        switch.close_session_keyring()
    reader, writer = os.pipe()
    pids = []
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            try:
                become_site(by_ctypes)
                os.write(writer, b"+")
                signal.pause()
            except SwitchError:
                os.write(writer, b"-")
            finally:
                os._exit(0)
        pids.append(pid)
    found = b""
    while len(found) < number:
        found += os.read(reader, number)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return found.count(b"+")


def test_one_user_may_have_as_many_pools_as_it_likes():
    assert in_child(switched, MANY, True) == MANY


def test_but_none_stays_in_a_keyring_that_others_can_use():
    assert in_child(switched, MANY, False) < MANY


def test_a_closed_keyring_is_of_no_use_to_who_inherits_it():
    def change():
        begin("zygote")
        switch.close_session_keyring()
        os.setresuid(SITE.uid, SITE.uid, SITE.uid)
        kernel.use_session_keyring()

    with pytest.raises(PermissionError):
        in_child(change)
