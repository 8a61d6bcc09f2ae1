"""Listeners: binding, stale sockets, and what the kernel says of them."""

import os
import socket
import stat
from types import SimpleNamespace

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import sockets


def tcp(host="127.0.0.1", port=0):
    return SimpleNamespace(kind="tcp", host=host, port=port, path="", text=f"{host}:{port}")


def test_a_port_in_use_is_the_operators_to_mend():
    with sockets.bind(tcp()) as first:
        taken = tcp(port=first.getsockname()[1])
        with pytest.raises(OperatorError, match="is another server using it"):
            sockets.bind(taken)


def test_a_stale_socket_is_replaced_and_a_file_is_not(tmp_path):
    path = str(tmp_path / "a.sock")
    sockets.bind_unix(path, 0o600).close()
    with sockets.bind_unix(path, 0o600):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FileExistsError):
        sockets.bind_unix(str(tmp_path / "file"), 0o600)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_long_path_fits(tmp_path, monkeypatch):
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    with sockets.bind_unix(str(directory / "a.sock"), 0o600) as listener:
        monkeypatch.chdir(directory)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("a.sock")
            listener.accept()[0].close()


def test_shut_and_visitors_are_told_apart(tmp_path):
    with sockets.bind_pool(str(tmp_path), 3, None) as listener, socket.socket(socket.AF_UNIX) as client:
        assert (sockets.is_shut(listener), sockets.has_visitors(listener)) == (False, False)
        client.connect(str(tmp_path / "3.sock"))
        assert (sockets.is_shut(listener), sockets.has_visitors(listener)) == (False, True)
        listener.shutdown(socket.SHUT_RD)
        assert sockets.is_shut(listener)
