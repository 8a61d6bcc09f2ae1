"""The server's own directories and logs: made safely, or refused."""

import os
import stat
from types import SimpleNamespace

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import places


def config(base):
    ids = SimpleNamespace(uid=os.getuid(), gid=os.getgid())
    server = SimpleNamespace(front_ids=ids, run_dir=str(base / "run"), spool_dir=str(base / "spool"))
    return SimpleNamespace(server=server)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_makes_what_is_missing(tmp_path):
    made = places.prepare(config(tmp_path / "a" / "b"), privileged=False)
    assert [mode(path) for path in (made.run_dir, made.pools, made.bodies, made.tmp)] == [0o755, 0o710, 0o700, 0o711]
    places.prepare(config(tmp_path / "a" / "b"), privileged=False)


def test_old_sockets_go(tmp_path):
    made = places.prepare(config(tmp_path), privileged=False)
    os.mknod(f"{made.pools}/7.sock", stat.S_IFSOCK | 0o600)
    places.prepare(config(tmp_path), privileged=False)
    assert os.listdir(made.pools) == []


def test_a_directory_others_can_write_is_refused(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(OperatorError, match="writable by others"):
        places.prepare(config(tmp_path / "open"), privileged=False)


def test_a_sticky_parent_may_be_passed_but_not_used(tmp_path):
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    places.make_directory(str(tmp_path / "sticky" / "mine"), 0o755)
    with pytest.raises(OperatorError, match="writable by others"):
        places.open_log(str(tmp_path / "sticky" / "error.log"))


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OperatorError, match="run is not a directory"):
        places.prepare(config(tmp_path), privileged=False)


def test_a_log_is_opened_for_appending(tmp_path):
    for text in (b"one\n", b"two\n"):
        fd = places.open_log(str(tmp_path / "log" / "error.log"))
        os.write(fd, text)
        os.close(fd)
    assert (tmp_path / "log" / "error.log").read_bytes() == b"one\ntwo\n"
    assert mode(tmp_path / "log" / "error.log") & 0o077 == 0o040 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_no_log_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "error.log").symlink_to(tmp_path / "precious")
    with pytest.raises(OperatorError, match=r"error\.log"):
        places.open_log(str(tmp_path / "error.log"))


def test_a_fifo_without_reader_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "error.log")
    with pytest.raises(OperatorError):
        places.open_log(str(tmp_path / "error.log"))


def test_a_sites_tmp_is_its_own(tmp_path):
    made = places.prepare(config(tmp_path), privileged=False)
    path = places.site_tmp(made, "*.a.example", os.getuid(), os.getgid(), privileged=False)
    assert mode(path) == 0o700
    assert os.path.basename(path) == f"_.a.example-{os.getuid()}"
    assert places.site_tmp(made, "*.a.example", os.getuid(), os.getgid(), privileged=False) == path


def test_a_link_at_the_place_of_a_sites_tmp_is_refused(tmp_path):
    made = places.prepare(config(tmp_path), privileged=False)
    os.symlink("/etc", f"{made.tmp}/a.example-{os.getuid()}")
    with pytest.raises(OperatorError, match="is not a directory"):
        places.site_tmp(made, "a.example", os.getuid(), os.getgid(), privileged=False)
