"""Who the tests of the switch become: uids without accounts, far from those that other tests use."""

from __future__ import annotations

from itkwsgi.linux import by_ctypes, by_prctl, kernel, process_status, switch
from itkwsgi.linux.identity import Identity

ZYGOTE = Identity(50001, 50011, (50021, 50022))
SITE = Identity(50002, 50012, (50031, 50032, 50033))
ZYGOTE_KEEPS = frozenset({kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SYS_NICE, kernel.CAP_KILL})
NOTHING: frozenset[int] = frozenset()
BACKENDS = {"ctypes": by_ctypes, "prctl": by_prctl}


def begin(start, backend=by_ctypes):
    """Be what a switch starts from: root, as the tests are, or a zygote after its exec."""
    if start == "zygote":
        switch.become(ZYGOTE, backend, privileged=True, keep=ZYGOTE_KEEPS)
        switch.drop_ambient()


def become_site(backend=by_ctypes, **more):
    switch.become(SITE, backend, privileged=True, **more)


def facts(pid: int | str = "self"):
    """What the kernel says of a process."""
    status = process_status.read(pid)
    return {name: getattr(status, name) for name in status.__slots__}


def assert_is(found, identity, kept=0, ambient=0):
    """Exactly this user, with nothing but the capabilities it keeps."""
    assert found["uids"] == (identity.uid,) * 4
    assert found["gids"] == (identity.gid,) * 4
    assert found["groups"] == identity.groups
    assert found["permitted"] == found["effective"] == kept
    assert found["inheritable"] == found["ambient"] == ambient
    assert found["bounding"] == 0


def denied(function, *args):
    try:
        function(*args)
    except PermissionError:
        return True
    return False
