"""The whole life of the daemon, with a supervisor that only says that it was made."""

import os
import resource
import socket

import pytest

from itkwsgi.config.model import ConfigError, Listen, Problem
from itkwsgi.errors import OperatorError
from itkwsgi.linux import kernel, process_status
from itkwsgi.supervisor import __main__ as module
from tests.support.configured import make_vhost
from tests.support.daemon import free_port
from tests.support.forked import in_child


def listen(port):
    return Listen("tcp", "127.0.0.1", port, "", f"127.0.0.1:{port}")


@pytest.fixture
def life(configured, monkeypatch):
    """Stand-ins for all that cannot be undone, and what they were given."""
    seen = []

    class Supervisor:
        def __init__(self, config, where, listeners, *, privileged):
            seen.append((config, where, listeners, privileged))
            self.listeners = listeners

        def run(self):
            for sock in self.listeners:
                sock.close()
            return 17

    monkeypatch.setattr(module, "protect_self", lambda: seen.append("protected"))
    monkeypatch.setattr(module, "Supervisor", Supervisor)
    monkeypatch.setattr(module.ProcessTitle, "set", lambda self, text: seen.append(text))
    if os.geteuid() == 0:
        monkeypatch.setattr(module.os, "geteuid", lambda: 1001)
    return seen


@pytest.fixture
def loaded(configured, monkeypatch):
    """Have this configuration loaded."""

    def make(*vhosts, **more):
        config = configured(*(vhosts or [make_vhost(0)]), **more)
        monkeypatch.setattr(module, "load", lambda path: config)
        return config

    return make


def test_reads_binds_and_serves(life, loaded, base, capsys):
    port = free_port()
    config = loaded(listens=(listen(port),))
    assert module.main(["itkwsgi", "itk.toml"]) == 17
    assert life[:2] == ["protected", "itkwsgi: supervisor itk.toml"]
    found, where, listeners, privileged = life[2]
    assert (found, privileged) == (config, False)
    assert os.path.isdir(where.pools)
    assert len(listeners) == 1
    assert f"itkwsgi: listening on 127.0.0.1:{port}\n" in capsys.readouterr().err


def test_an_ordinary_users_server_says_what_it_does_not_enforce(life, loaded, capsys):
    loaded(listens=())
    module.main(["itkwsgi", "itk.toml"])
    assert "itkwsgi: not root: every site runs as this user (me). Not enforced:" in capsys.readouterr().err


def test_roots_server_says_nothing_of_the_kind(life, loaded, monkeypatch, capsys):
    loaded(listens=())
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setattr(module.places, "prepare", lambda config, privileged: ("places", privileged))
    assert module.main(["itkwsgi", "itk.toml"]) == 17
    assert life[2][1:] == (("places", True), [], True)
    assert capsys.readouterr().err == ""


def test_a_broken_site_is_said_and_the_others_served(life, loaded, capsys):
    loaded(make_vhost(0, problems=(Problem("itk.toml", 7, "user", "no such account"),)), make_vhost(1), listens=())
    assert module.main(["itkwsgi", "itk.toml"]) == 17
    assert "itk.toml:7: user: no such account\n" in capsys.readouterr().err


def test_a_configuration_that_cannot_be_served_is_all_that_is_said(life, monkeypatch, capsys):
    def load(path):
        raise ConfigError([Problem(path, 3, "listen", "is no address"), Problem(path, 1, "", "is no table")])

    monkeypatch.setattr(module, "load", load)
    assert module.main(["itkwsgi", "itk.toml"]) == 1
    assert capsys.readouterr().err == "itk.toml:1: is no table\nitk.toml:3: listen: is no address\n"


def test_a_port_in_use_ends_the_start_before_anything_is_launched(life, loaded, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        loaded(listens=(listen(taken.getsockname()[1]),))
        assert module.main(["itkwsgi", "itk.toml"]) == OperatorError.exit_code
    assert "is another server using it?" in capsys.readouterr().err
    assert len(life) == 2


def test_nobody_reads_its_memory_and_orphans_come_to_it():
    def protect():
        os.umask(0)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        module.protect_self()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return {
            "umask": os.umask(0),
            "directory": os.getcwd(),
            "dumpable": kernel.get_dumpable(),
            "subreaper": kernel.get_subreaper(),
            "name": process_status.read().name,
            "all descriptors": soft == hard,
            "core": resource.getrlimit(resource.RLIMIT_CORE),
        }

    assert in_child(protect) == {
        "umask": 0o022,
        "directory": "/",
        "dumpable": 0,
        "subreaper": True,
        "name": "itkwsgi",
        "all descriptors": True,
        "core": (0, 0),
    }


def test_a_kernel_on_which_a_pool_could_make_root_wait_is_refused(monkeypatch):
    def old(*args):
        raise OSError(95, "Operation not supported")

    module.require_kernel()
    monkeypatch.setattr(module.os, "preadv", old)
    with pytest.raises(OperatorError, match=r"needs Linux 5\.8"):
        module.require_kernel()
