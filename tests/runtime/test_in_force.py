"""What is in force in a process, when it is not to be had: nobody is served with half of it."""

from __future__ import annotations

import pytest

from itkwsgi.ini.merge import Said
from itkwsgi.runtime.confine import ConfineError
from itkwsgi.runtime.scopes import Scope
from tests.runtime.test_settings import governing
from tests.support.forked import in_child


def test_after_a_wall_that_cannot_be_had_a_process_serves_no_other_request() -> None:
    def attempt() -> bool:
        in_force = governing(filters={"exec": b"no program"}).in_force
        scope = Scope(((), (), ()), {"disable": Said(("exec",), True, "itk.toml:1")}, [], frozenset())
        with pytest.raises(ConfineError, match="disable cannot be had"):
            in_force.enter(scope)
        return in_force.final

    assert in_child(attempt)


def test_what_is_no_wall_is_said_and_the_request_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    def attempt() -> bool:
        in_force = governing().in_force
        in_force.enter(Scope(((), (), ()), {"locale": Said("xx_XX", False, "itk.toml:1")}, [], frozenset()))
        return in_force.final

    assert not in_child(attempt)
    assert "locale at itk.toml:1 has no effect: this machine has no locale xx_XX" in capfd.readouterr().err
