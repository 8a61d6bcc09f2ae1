from __future__ import annotations

import copy
import os
import pickle

import pytest

from itkwsgi.errors import Bug
from itkwsgi.linux.identity import HIGHEST_ID, Identity, SwitchError, current_identity


def test_groups_are_sorted_and_counted_once():
    assert Identity(1, 2, (9, 3, 9)).groups == (3, 9)


def test_identities_compare_by_value():
    assert Identity(1, 2, (3, 4)) == Identity(1, 2, (4, 3))
    assert len({Identity(1, 2), Identity(1, 2), Identity(2, 1)}) == 2
    assert Identity(1, 2) != Identity(1, 2, (3,))
    assert Identity(1, 2) != (1, 2, ())


@pytest.mark.parametrize("field", ["uid", "gid", "groups", "other"])
def test_an_identity_cannot_be_changed(field):
    identity = Identity(1, 2)
    with pytest.raises(AttributeError):
        setattr(identity, field, 0)
    with pytest.raises(AttributeError):
        delattr(identity, field)
    assert identity == Identity(1, 2)


@pytest.mark.parametrize("bad", [-1, HIGHEST_ID + 1, 2**32, 2**64, True, 1.0, "1", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_id_is_refused(bad, place):
    values = [1, 2, 3]
    values[place] = bad
    with pytest.raises(SwitchError, match="is not a user or group id"):
        Identity(values[0], values[1], (values[2],))


def test_the_highest_id_is_one():
    assert Identity(HIGHEST_ID, HIGHEST_ID, (HIGHEST_ID,)).uid == HIGHEST_ID


def test_a_switch_error_is_our_fault():
    assert issubclass(SwitchError, Bug)


def test_the_current_identity():
    assert current_identity() == Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))


def test_repr_names_all_three():
    assert repr(Identity(1, 2, (3,))) == "Identity(uid=1, gid=2, groups=(3,))"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda identity: pickle.loads(pickle.dumps(identity))])
def test_an_identity_can_be_copied(copied):
    assert copied(Identity(1, 2, (3, 4))) == Identity(1, 2, (3, 4))
