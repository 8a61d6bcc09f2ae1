"""Zygotes that are one site's: started when it is wanted, ended when it sleeps."""

from types import SimpleNamespace

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor.private import PrivateZygotes, is_private
from itkwsgi.supervisor.roles import Role
from tests.support.configured import make_vhost


class Supervisor:
    """As much of one as is asked."""

    def __init__(self, config, peer):
        self.config = config
        self.peer = peer
        self.notes = []
        self.refused = []
        self.error = None
        self.peers = []
        rows = [SimpleNamespace(vhost=vhost, queued=True) for vhost in config.vhosts]
        self.pools = SimpleNamespace(rows=rows, pools={}, cannot_start=self.refused.append)
        self.roster = SimpleNamespace(of_kind=lambda kind: [each.role for each in self.peers if each.role.kind == kind])
        self.zygotes = PrivateZygotes(self)
        self.forgotten = []
        self.launcher = SimpleNamespace(forget_notes=lambda plan: self.forgotten.append(plan.name))

    @property
    def row(self):
        return self.pools.rows[1]

    def start_zygote(self, plan):
        if self.error:
            raise self.error
        self.peers.append(self.peer("zygote", plan.key))

    def hang_up(self, role):
        role.channel.close()

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def supervisor(configured, peer):
    return Supervisor(configured(make_vhost(0), make_vhost(1, private_tmp=True)), peer)


def test_a_site_that_is_wanted_gets_one_and_only_one(supervisor):
    supervisor.zygotes.need(supervisor.row)
    supervisor.zygotes.need(supervisor.row)
    assert [each.role.key for each in supervisor.peers] == ["private 1"]
    assert is_private(supervisor.peers[0].role)


def test_one_that_is_wanted_no_more_gets_none(supervisor):
    supervisor.row.queued = False
    supervisor.zygotes.need(supervisor.row)
    assert supervisor.peers == []


@pytest.mark.parametrize("error", [OperatorError("mount namespace: no"), OSError(12, "no memory")])
def test_one_that_cannot_be_had_is_said_and_the_visitors_are_answered(supervisor, error):
    supervisor.error = error
    supervisor.zygotes.need(supervisor.row)
    assert supervisor.refused == [supervisor.row]
    assert supervisor.notes[0].startswith("site1.example: private_tmp: ")


def test_it_ends_with_the_last_pool_of_its_site(supervisor):
    supervisor.zygotes.need(supervisor.row)
    role = supervisor.peers[0].role
    for queued, pools in ((True, {}), (False, {7: SimpleNamespace(row=supervisor.row)})):
        supervisor.row.queued, supervisor.pools.pools = queued, pools
        supervisor.zygotes.release(supervisor.row)
        assert role.channel.fileno() >= 0
    supervisor.row.queued, supervisor.pools.pools = False, {8: SimpleNamespace(row=supervisor.pools.rows[0])}
    supervisor.zygotes.release(supervisor.row)
    assert role.channel.fileno() < 0


def test_one_on_its_way_to_its_end_is_not_waited_for(supervisor):
    supervisor.zygotes.need(supervisor.row)
    supervisor.hang_up(supervisor.peers[0].role)
    supervisor.zygotes.need(supervisor.row)
    assert len(supervisor.peers) == 2


def test_one_that_never_became_ready_is_no_use(supervisor):
    supervisor.zygotes.need(supervisor.row)
    role = supervisor.peers[0].role
    role.ready = False
    supervisor.zygotes.ended(role)
    assert supervisor.refused == [supervisor.row]
    assert "ended while starting" in supervisor.notes[0]


def test_one_that_was_is_started_again_for_whoever_waits(supervisor):
    supervisor.zygotes.need(supervisor.row)
    role = supervisor.peers[0].role
    role.channel.close()
    supervisor.zygotes.ended(role)
    assert len(supervisor.peers) == 2
    assert supervisor.refused == []
    assert supervisor.forgotten == ["private site1.example"]  # a site that sleeps costs no pipe


def test_other_zygotes_are_none_of_these(peer):
    assert not is_private(peer("zygote", "flask").role)
    assert not is_private(peer("front", "private 0").role)
    assert isinstance(peer("zygote", "").role, Role)
