"""Every attempt of tests/root/attacks, from every place where code that is not the server's may run.

Of each: in a request and at import of a site, by a site that names no user, in an interpreter of the site's own.  And
of each the control: the same attempt, made by who is entitled, succeeds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.root.attacks.attempt import NOT_HERE
from tests.root.attacks.table import WAYS
from tests.support.attacking import SITE_PLACES, WORD, Battlefield


@pytest.fixture(scope="module")
def field(place):
    with Battlefield(place / "field").begun() as begun:
        yield begun


@pytest.mark.parametrize("name", WAYS)
def test_a_site_is_refused(field, name):
    """In all four places."""
    outcomes = {where: field.outcome(host, name) for where, host in SITE_PLACES.items()}
    if any(outcome.get("errno") in NOT_HERE for outcome in outcomes.values()) and has_no_such_thing(field, name):
        pytest.skip(f"this machine has nothing of the kind: {outcomes}")
    reasons = [outcome["missing"] for outcome in outcomes.values() if "missing" in outcome]
    assert not {where: outcome for where, outcome in outcomes.items() if not outcome.keys() & {"refused", "missing"}}
    if reasons:
        pytest.skip(reasons[0])


def has_no_such_thing(field, name):
    return WAYS[name].control and is_missing(field.control(name, WAYS[name]))


def is_missing(outcome):
    return outcome.get("missing") or outcome.get("errno", outcome.get("refused")) in NOT_HERE


@pytest.mark.parametrize("name", [name for name, way in WAYS.items() if way.control])
def test_who_is_entitled_is_not(field, name):
    outcome = field.control(name, WAYS[name])
    if is_missing(outcome):
        pytest.skip(f"this machine has nothing of the kind: {outcome}")
    assert "got" in outcome, outcome


def test_the_server_has_no_abstract_socket(field):
    """The kernel asks nobody's uid there: every site could connect."""
    family = [field.daemon.pid, *field.daemon.family()]
    held = {os.readlink(link) for pid in family for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    assert not [line for line in lines if line[-1].startswith("@") and f"socket:[{line[6]}]" in held]


@pytest.mark.parametrize("name", ["objects of the server or of others", "memory of the server or of others"])
def test_a_site_does_find_what_is_its_own(field, name):
    """The control of those two: the same word, in the environment of this site."""
    answer = field.daemon.get("knowing.test", f"/one?{name.replace(' ', '_')}")
    assert "got" in json.loads(answer.body)


def test_a_request_finds_nothing_of_an_earlier_one(field):
    """Its pool never saw it, and whoever did is gone."""
    word = f"{WORD}visitor"
    path = f"/?{word[::-1]}"
    during = json.loads(field.daemon.ask("POST", "recalls.test", path, body=word.encode() * 1000).body)
    assert "got" in during["itself"]  # the control
    assert during["its pool"]["refused"]
    after = json.loads(field.daemon.get("recalls.test", path).body)
    assert after["itself"]["refused"] and after["its pool"]["refused"]
