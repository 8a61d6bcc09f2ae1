"""Memory faults: a site's next pool has another address layout, so that nobody can find it out one crash at a time."""

import pytest
from daemon import wait_until

NOTICED = "another address layout"


def layout(one, host="a.test"):
    """(layout, hash seed) and the pool, once the site answers."""
    answers = []

    def answered():
        answers.append(one.get(host))
        return answers[-1].status == 200

    wait_until(answered, what="an answer")
    where, seed, pool, _ = answers[-1].text.split()
    return (where, seed), int(pool)


def crash(one, fault):
    """Returns when the pool has seen it; its visitor may know before."""
    seen = one.error_log().count(NOTICED)
    wait_until(lambda: one.get("a.test", fault).status == 500, what="the crash")
    wait_until(lambda: one.error_log().count(NOTICED) > seen, what="a line in the log")


@pytest.mark.parametrize("fault", ["/segv", "/abort"])
def test_a_pool_is_made_anew_after_each_fault(daemon, site, fault):
    one = daemon(site(app="layout.py") + site("b.test", app="layout.py"))
    shared, first_pool = layout(one, "b.test")
    layouts, pools = [shared], [first_pool]
    assert layout(one)[0] == shared  # all sites of a zygote have one
    for _ in range(3):
        crash(one, fault)
        found, pool = layout(one)
        assert layout(one) == (found, pool)  # and all children of a pool
        layouts.append(found)
        pools.append(pool)
    assert len(set(layouts)) == len(set(pools)) == 4
    assert layout(one, "b.test") == (shared, first_pool)  # nobody else loses anything by it
    assert one.error_log().count(NOTICED) == 3


def test_a_child_that_is_merely_killed_costs_its_pool_nothing(daemon, site):
    """The control: no fault, no new pool."""
    one = daemon(site(app="layout.py"))
    before = layout(one)
    assert one.get("a.test", "/killed").status == 500
    assert layout(one) == before


def test_who_crashes_a_site_again_and_again_is_slowed_down(daemon, site):
    one = daemon(site(app="layout.py"))
    statuses = [one.get("a.test", "/segv").status for _ in range(12)]
    assert statuses[0] == 500
    assert statuses.count(503) >= 6
    assert one.get("a.test", "/segv").headers["retry-after"] if statuses[-1] == 503 else True
    layout(one)
