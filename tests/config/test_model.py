"""How problems are told."""

from __future__ import annotations

import dataclasses

import pytest

from itkwsgi.config.model import Config, ConfigError, Listen, Problem, Said, in_order
from itkwsgi.errors import OperatorError
from itkwsgi.ini.registry import SETTINGS
from tests.support.configured import make_vhost


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            Problem("itk.toml", 3, "server.listn", "unknown key", "did you mean listen?"),
            "itk.toml:3: server.listn: unknown key (did you mean listen?)",
        ),
        (Problem("itk.toml", 3, "vhost.app", "is needed"), "itk.toml:3: vhost.app: is needed"),
        (Problem("itk.toml", 7, "", "not valid TOML"), "itk.toml:7: not valid TOML"),
        (Problem("itk.toml", 0, "", "cannot be read"), "itk.toml: cannot be read"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, line: str) -> None:
    assert str(problem) == line


def test_problems_are_sorted_by_file_and_line_and_said_once() -> None:
    one, two, ten, other = (Problem(file, line, "k", "m") for file, line in [("a", 1), ("a", 2), ("a", 10), ("b", 1)])
    assert in_order([other, ten, two, one, two]) == (one, two, ten, other)
    error = ConfigError([other, one])
    assert error.problems == (one, other)
    assert str(error) == "a:1: k: m\nb:1: k: m"
    assert isinstance(error, OperatorError) and error.exit_code == 1


def test_a_setting_is_what_was_said_else_the_default() -> None:
    vhost = make_vhost(settings={"umask": Said(0o077, True, "a:1"), "max_open_files": Said(None, False, "a:2")})
    assert (vhost.setting("umask"), vhost.setting("max_open_files")) == (0o077, None), "none is a value too"
    for setting in SETTINGS:
        if setting.name not in vhost.settings:
            assert vhost.setting(setting.name) == setting.default
    with pytest.raises(KeyError):
        vhost.setting("memory_limits")


def test_a_setting_is_that_of_its_pool() -> None:
    """A directory that covers every request of a site, or a part of it, changes what holds there."""
    own = {"umask": Said(0o077, True, "a:1")}
    vhost = make_vhost(settings=own, holding={**own, "umask": Said(0o027, True, "a:9")})
    assert vhost.setting("umask") == 0o027


def test_sites_and_their_parts() -> None:
    vhosts = (make_vhost(0), make_vhost(1), make_vhost(2, part_of=0, prefix="/a"))
    config = Config("itk.toml", None, {}, vhosts, (), ())  # type: ignore[arg-type]
    assert config.sites == vhosts[:2]


def test_the_model_cannot_be_changed() -> None:
    listen = Listen("tcp", "::1", 80, "", "[::1]:80")
    with pytest.raises(dataclasses.FrozenInstanceError):
        listen.port = 81  # type: ignore[misc]
    assert not hasattr(listen, "__dict__")
