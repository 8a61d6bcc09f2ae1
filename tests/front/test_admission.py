"""Slots and addresses."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.admission import Addresses, Admission
from itkwsgi.front.settings import Settings, Site


def admission(max_clients, fronts=1):
    names = {field.name: 0 for field in dataclasses.fields(Settings)}
    return Admission(Settings(**{**names, "max_clients": max_clients, "fronts": fronts}))


def site(index, max_clients=None):
    return Site(index, f"{index}.example", (), False, (0,), max_clients=max_clients)


A, B = site(0), site(1)


def test_one_site_leaves_the_last_slot():
    slots = admission(3)
    assert [slots.enter(A), slots.enter(A), slots.enter(A)] == [True, True, False]
    assert slots.enter(B)
    assert not slots.enter(B)
    slots.leave(A)
    assert slots.enter(B)
    assert not slots.enter(A)


def test_a_single_slot_can_be_had():
    slots = admission(1)
    assert slots.enter(A)
    assert not slots.enter(B)


def test_a_site_has_its_own_limit():
    slots = admission(10)
    small = site(2, max_clients=1)
    assert [slots.enter(small), slots.enter(small)] == [True, False]
    assert (
        slots.describe(small) == "1 of 10 requests are at work in this front, 1 of them this site's, which may have 1"
    )


def test_fronts_have_their_shares():
    assert admission(10, fronts=2).capacity == 5
    assert admission(1, fronts=4).capacity == 1


@given(st.integers(1, 6), st.lists(st.tuples(st.booleans(), st.integers(0, 2))))
def test_the_count_is_right_whatever_happens(capacity, steps):
    slots = admission(capacity)
    sites = [site(index) for index in range(3)]
    held = []
    for enters, index in steps:
        if enters and slots.enter(sites[index]):
            held.append(index)
        elif not enters and held:
            slots.leave(sites[held.pop(0)])
        assert slots.in_use == len(held) <= capacity
        assert capacity == 1 or all(held.count(index) < capacity for index in range(3))
    for index in held:
        slots.leave(sites[index])
    assert slots.in_use == 0


def test_connections_of_one_address():
    addresses = Addresses(2)
    assert [addresses.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert addresses.enter("10.0.0.2")
    addresses.leave("10.0.0.1")
    assert addresses.enter("10.0.0.1")


@pytest.mark.parametrize("limit", [1, 2])
def test_clients_without_an_address_are_not_counted(limit):
    addresses = Addresses(limit)
    assert all(addresses.enter("") for _ in range(5))
    addresses.leave("")
    assert addresses.enter("")


def test_a_part_takes_its_sites_slots():
    slots = admission(10)
    whole = site(0, max_clients=2)
    parts = [dataclasses.replace(site(index, max_clients=2), part_of=0) for index in (7, 8)]
    assert [slots.enter(one) for one in (whole, parts[0], parts[1])] == [True, True, False]
    assert slots.enter(site(1))
    slots.leave(whole)
    assert slots.enter(parts[1])
    for one in parts:
        slots.leave(one)
    assert slots.in_use == 1
