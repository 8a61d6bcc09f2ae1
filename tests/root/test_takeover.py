"""Roles that were taken over: an attacker's code runs inside the front, inside the log, inside a zygote.

The package that is served here is a copy with back doors (attacks/backdoor.py); all else is as always: their
identities, their filters, what they were given.  Who is entitled to the same: test_attacks.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.root.attacks.table import IN_FRONT, IN_LOG, IN_NAMESPACE, IN_ZYGOTE, ZYGOTE_MAY
from tests.root.test_attacks import is_missing
from tests.support.attacking import Takeover


@pytest.fixture(scope="module")
def field(place):
    with Takeover(place / "takeover").begun() as begun:
        yield begun


def assert_refused(field, role, name, way):
    outcome = field.outcome(role, name)
    if is_missing(outcome) and (not way.control or is_missing(field.control(name, way))):
        pytest.skip(f"this machine has nothing of the kind: {outcome}")
    assert "refused" in outcome or outcome.get("errno") == "ENOSYS", outcome


@pytest.mark.parametrize("name", IN_FRONT)
def test_a_front_is_refused(field, name):
    assert_refused(field, "front", name, IN_FRONT[name])


def test_a_front_holds_no_ring(field):
    """What it asks of the kernel by an io_uring, made before its filter, no filter sees."""
    held = [os.readlink(link) for link in Path(f"/proc/{field.targets['pids']['front']}/fd").iterdir()]
    assert not [link for link in held if "io_uring" in link]


@pytest.mark.parametrize("name", IN_LOG)
def test_a_log_is_refused(field, name):
    assert_refused(field, "log", name, IN_LOG[name])


@pytest.mark.parametrize("name", IN_ZYGOTE)
def test_a_zygote_is_refused(field, name):
    assert_refused(field, "zygote", name, IN_ZYGOTE[name])


@pytest.mark.parametrize("name", ZYGOTE_MAY)
def test_a_zygote_becomes_a_sites_user(field, name):
    """The control: its filter tells ids apart, and -1 ("unchanged") is none."""
    assert "got" in field.outcome("zygote", name)


@pytest.fixture(scope="module")
def namespace(place):
    with Takeover(place / "namespace", "id_namespace = true").begun() as begun:
        yield begun


@pytest.mark.parametrize("name", IN_NAMESPACE)
def test_where_root_does_not_exist_no_zygote_becomes_it(namespace, name):
    outcome = namespace.outcome("zygote", name)
    assert outcome.get("refused") or outcome.get("errno") in ("EINVAL", "ENOSYS"), outcome


def test_where_root_does_not_exist_its_group_cannot_be_joined(namespace):
    assert namespace.outcome("zygote", "join the group of root by setgroups")["errno"] == "EINVAL"
