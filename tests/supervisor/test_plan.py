"""What each process is told: pure."""

import dataclasses
import json
import os

import pytest

from itkwsgi.config.model import Area, Ids, Listen, Problem, Said
from itkwsgi.front import settings as front
from itkwsgi.linux import namespaces
from itkwsgi.supervisor import plan as module
from itkwsgi.supervisor.plan import ZygotePlan, pool_plan, zygote_key, zygote_plans
from itkwsgi.wire import orders
from tests.support.configured import make_environment, make_vhost

JESS = Ids(1001, 1002, (7, 8), "jess", "/home/jess", "/bin/zsh")


# --- zygotes


def test_one_zygote_for_each_environment_that_a_site_needs(configured):
    config = configured(
        make_vhost(0),
        make_vhost(1, environment="flask"),
        make_vhost(2, environment="flask"),
        make_vhost(3, python="/opt/python"),
        environments=[make_environment("flask", preload=("flask", "jinja2")), make_environment("unused")],
    )
    assert zygote_plans(config) == [
        ZygotePlan("", "system", "/usr/bin/python3", ()),
        ZygotePlan("flask", "flask", "/venvs/flask/bin/python", ("flask", "jinja2")),
    ]


def test_a_zygote_can_gain_nothing_by_exec_unless_a_site_of_it_may(configured):
    config = configured(
        make_vhost(0),
        make_vhost(1, no_new_privs=False, environment="flask"),
        make_vhost(2, environment="flask"),
        environments=[make_environment("flask")],
    )
    assert [plan.no_new_privs for plan in zygote_plans(config)] == [True, False]


def test_a_site_with_a_private_tmp_has_a_zygote_to_itself_and_not_from_the_start(configured):
    mine = make_vhost(1, environment="flask", private_tmp=True)
    config = configured(make_vhost(0), mine, environments=[make_environment("flask")])
    assert [plan.key for plan in zygote_plans(config)] == [""]
    plan = module.private_plan(config, mine)
    assert plan == ZygotePlan("private 1", "private site1.example", "/venvs/flask/bin/python", ("flask",), private=mine)
    assert zygote_key(mine) == plan.key


def test_no_zygote_for_sites_that_never_run(configured):
    assert zygote_plans(configured(make_vhost(0, ids=None))) == []


@pytest.mark.parametrize(
    ("said", "key", "interpreter"),
    [
        ({}, "", None),
        ({"environment": "flask"}, "flask", None),
        ({"environment": "flask", "preload": "framework"}, "flask", None),
        ({"environment": "flask", "preload": "none"}, "", "/venvs/flask/bin/python"),
        ({"venv": "/home/jess/venv"}, "", "/home/jess/venv/bin/python"),
        ({"python": "/opt/python3.13"}, "", "/opt/python3.13"),
        ({"preload": "none"}, "", None),
    ],
)
def test_which_zygote_forks_a_site_and_which_interpreter_it_then_execs(configured, said, key, interpreter):
    vhost = make_vhost(0, **said)
    config = configured(vhost, environments=[make_environment("flask")])
    assert zygote_key(vhost) == key
    assert module.interpreter(config, vhost) == interpreter
    assert key in [plan.key for plan in zygote_plans(config)]


@pytest.mark.parametrize(
    ("said", "fresh"),
    [
        ({}, "/usr/bin/python3"),
        ({"environment": "flask"}, "/venvs/flask/bin/python"),
        ({"venv": "/home/jess/venv"}, "/home/jess/venv/bin/python"),
    ],
)
def test_a_pool_of_a_layout_of_its_own_is_always_executed(configured, said, fresh):
    vhost = make_vhost(0, **said)
    config = configured(vhost, environments=[make_environment("flask")])
    assert module.interpreter(config, vhost, fresh=True) == fresh


# --- pools


def test_a_pools_plan_says_who_it_is_and_what_it_runs(configured):
    vhost = make_vhost(3, ids=JESS, env=(("A", "b"),), warmup=("/", "/x"), nice=5, min_spare=2)
    plan = pool_plan(configured(vhost, max_clients=99), vhost, 17, privileged=True, tmp_dir="/tmp/a")
    assert (plan["serial"], plan["index"], plan["name"]) == (17, 3, "site3.example")
    assert (plan["uid"], plan["gid"], plan["groups"]) == (1001, 1002, [7, 8])
    assert plan["account"] == {"name": "jess", "home": "/home/jess", "shell": "/bin/zsh"}
    assert (plan["env"], plan["warmup"], plan["nice"], plan["min_spare"]) == ({"A": "b"}, ["/", "/x"], 5, 2)
    assert (plan["max_children"], plan["tmp_dir"], plan["privileged"]) == (99, "/tmp/a", True)


def test_a_plan_is_what_an_order_can_carry(configured):
    vhost = make_vhost(0, ids=JESS)
    plan = pool_plan(configured(vhost), vhost, 1, privileged=False, tmp_dir=None)
    order = {"do": orders.SPAWN, "plan": plan}
    assert orders.decode_order(orders.encode(order)) == order


@pytest.mark.parametrize("privileged", [True, False])
def test_only_the_front_may_speak_to_a_pool(configured, privileged):
    front_ids = Ids(65530, 65530)
    vhost = make_vhost(0)
    plan = pool_plan(configured(vhost, front_ids=front_ids), vhost, 1, privileged=privileged, tmp_dir=None)
    assert plan["peer_uid"] == (65530 if privileged else os.getuid())


def test_in_a_user_namespace_the_front_is_nobody_known(configured):
    vhost = make_vhost(0, nice=-5)
    config = configured(vhost, front_ids=Ids(65530, 65530), id_namespace=True)
    plan = pool_plan(config, vhost, 1, privileged=True, tmp_dir=None)
    assert plan["peer_uid"] == namespaces.overflow_uid()
    assert plan["nice"] == 0  # root lifts it


def test_without_fork_the_children_import(configured):
    said = {"disable": Said(("fork",), True, "itk.toml:1")}
    vhost = make_vhost(0, settings=said)
    assert pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir=None)["preload"] == "framework"


def test_a_binary_that_is_roots_is_for_confined_sites(configured):
    said = {"disable": Said(("exec",), True, "itk.toml:1")}
    more = {"venv": "/home/jess/venv", "binary": "/usr/bin/python3.11"}
    for settings, binary in (({}, None), (said, "/usr/bin/python3.11")):
        vhost = make_vhost(0, settings=settings, **more)
        plan = pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir=None)
        assert (plan["interpreter"], plan["binary"]) == ("/home/jess/venv/bin/python", binary)


def test_temporary_files_go_where_the_operator_said(configured):
    for settings, place in (({}, "/own"), ({"tmp_dir": Said("/elsewhere", True, "itk.toml:1")}, "/elsewhere")):
        vhost = make_vhost(0, settings=settings)
        assert pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir="/own")["tmp_dir"] == place


def test_no_plan_without_an_identity(configured):
    vhost = make_vhost(0, ids=None)
    with pytest.raises(ValueError, match="no identity"):
        pool_plan(configured(vhost), vhost, 1, privileged=True, tmp_dir=None)


# --- fronts


def front_settings(config):
    return module.front_settings(config, 1, 5, 7, "/spool/bodies")


def test_the_front_understands_what_it_is_told(configured):
    config = configured(make_vhost(0, aliases=("www.example",), default=True), max_clients=12, spool_max=34)
    settings = front.load(json.dumps(front_settings(config)).encode())
    assert [(site.index, site.name, site.aliases, site.default, site.listeners) for site in settings.sites] == [
        (0, "site0.example", ("www.example",), True, (0,))
    ]
    assert [(listener.fd, listener.text) for listener in settings.listeners] == [(5, "127.0.0.1:8080")]
    assert (settings.generation, settings.access_fd, settings.spool_dir) == (1, 7, "/spool/bodies")
    assert (settings.max_clients, settings.spool_max) == (12, 34)


def test_sites_know_their_listeners_by_position(configured):
    first, second = both = [Listen("tcp", "127.0.0.1", port, "", f"127.0.0.1:{port}") for port in (80, 81)]
    config = configured(make_vhost(0, listens=(second,)), make_vhost(1, listens=(first, second)), listens=both)
    told = front_settings(config)
    assert [row["fd"] for row in told["listeners"]] == [5, 6]
    assert [row["listeners"] for row in told["sites"]] == [[1], [0, 1]]


def test_the_front_learns_no_user_and_no_path_of_a_site(configured):
    secrets = {
        "user": "secret-user",
        "ids": Ids(4711, 4712, (4713,), "secret-name", "/secret/home", "/secret/sh"),
        "app": "/secret/app.py",
        "root": "/secret",
        "python": "/secret/python",
        "env": (("SECRET", "secret"),),
        "access_log": "/secret/access.log",
        "error_log": "/secret/error.log",
        "warmup": ("/secret",),
        "file": "/secret/app.py",
        "public": "/secret/public",
        "directories": (Area("/secret/public/a", {"post_max_size": Said(1, True, "/secret/itk.toml:4")}, ""),),
    }
    told = json.dumps(front_settings(configured(make_vhost(0, **secrets))))
    assert "secret" not in told.lower()
    assert not any(number in told for number in ("4711", "4712", "4713"))


def test_a_broken_site_is_told_with_its_reason(configured):
    problem = Problem("itk.toml", 7, "user", "no such account")
    told = front_settings(configured(make_vhost(0, problems=(problem,)), make_vhost(1)))
    assert [row["broken"] for row in told["sites"]] == ["itk.toml:7: user: no such account", None]


@pytest.mark.parametrize(("said", "cores", "count"), [(3, 8, 3), (0, 8, 4), (0, 1, 1), (0, None, 1)])
def test_as_many_fronts_as_are_said_or_one_for_two_cores(configured, monkeypatch, said, cores, count):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert module.front_count(configured(fronts=said)) == count


def test_a_plan_has_a_place_for_each_key_of_a_vhost_that_a_pool_obeys(configured):
    """A key that is added to the model and forgotten here would be silently without effect."""
    for_others = {"aliases", "listens", "default", "user", "startup_timeout", "server_signature", "where"}
    for_others |= {"access_log", "error_log", "problems", "ids", "environment", "venv", "python", "pool_socket"}
    for_others |= {"private_tmp", "private_var_tmp", "file"}  # what comes of them has names of its own
    vhost = make_vhost(0)
    plan = pool_plan(configured(vhost), vhost, 1, privileged=False, tmp_dir=None)
    for_others |= {"part_of"}  # for the front, which sends to it what is below its prefix
    told = {"allow_override": "override"}
    names = {told.get(field.name, field.name) for field in dataclasses.fields(vhost)}
    assert names - for_others - plan.keys() - plan["settings"].keys() == set()
