"""Places that belong to a site's user: root makes no file there, and changes no mode, whatever stands in the way."""

import os
from types import SimpleNamespace

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import places, sockets

SITE = 50001


@pytest.fixture
def home(place):
    """A home of mode 0700, in it a directory of root's."""
    path = place / "home"
    (path / "roots").mkdir(parents=True)
    path.chmod(0o700)
    os.chown(path, SITE, SITE)
    yield path
    os.system(f"rm -rf {path}")


def listen(path):
    return SimpleNamespace(kind="unix", host="", port=0, path=str(path), text=f"unix:{path}")


@pytest.mark.parametrize("below", ["error.log", "roots/error.log", "logs/error.log"])
def test_no_log_in_a_sites_home(home, below):
    with pytest.raises(OperatorError, match=f"belongs to uid {SITE}"):
        places.open_log(str(home / below))
    assert not (home / below).exists()


def test_no_log_through_a_link_that_leads_through_a_sites_home(home, place):
    (place / "link").symlink_to(home / "roots")
    try:
        with pytest.raises(OperatorError, match=f"belongs to uid {SITE}"):
            places.open_log(str(place / "link" / "error.log"))
    finally:
        (place / "link").unlink()


def test_no_log_through_a_sites_own_link(place):
    (place / "link").symlink_to(place)
    os.chown(place / "link", SITE, SITE, follow_symlinks=False)
    try:
        with pytest.raises(OperatorError, match=f"belongs to uid {SITE}"):
            places.open_log(str(place / "link" / "error.log"))
    finally:
        (place / "link").unlink()


def test_no_listener_where_its_name_can_be_replaced(home):
    """Its mode is set by name: the owner of the directory could put a link to any file there."""
    with pytest.raises(OperatorError, match=f"belongs to uid {SITE}"):
        sockets.bind(listen(home / "web.sock"))
    assert not (home / "web.sock").exists()


def test_a_listener_of_roots_own_directory(place):
    sockets.bind(listen(place / "web.sock")).close()


def test_a_pool_socket_has_its_mode_before_it_has_its_owner(place, monkeypatch):
    """In a sticky directory the owner may replace it, with a link to any file."""
    done = []
    for name in ("chmod", "chown"):
        call = getattr(os, name)

        def record(*args, name=name, call=call, **more):
            done.append(name)
            return call(*args, **more)

        monkeypatch.setattr(sockets.os, name, record)
    wanted = SimpleNamespace(path=str(place / "pool.sock"), uid=SITE, gid=SITE, mode=0o660)
    sockets.bind_external(wanted).close()
    found = os.stat(wanted.path)
    assert (done, found.st_uid, found.st_mode & 0o777) == (["chmod", "chown"], SITE, 0o660)


def test_the_fronts_spool_is_the_fronts_and_nobody_elses(place):
    front = SimpleNamespace(uid=65530, gid=65530)
    server = SimpleNamespace(front_ids=front, run_dir=str(place / "p-run"), spool_dir=str(place / "p-spool"))
    config = SimpleNamespace(server=server)
    made = places.prepare(config, privileged=True)
    places.prepare(config, privileged=True)
    os.chown(made.bodies, SITE, SITE)
    with pytest.raises(OperatorError, match=f"belongs to uid {SITE}"):
        places.prepare(config, privileged=True)
