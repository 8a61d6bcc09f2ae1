"""The life of a pool: sleep, wake, import once, fail, be killed."""

import json
import os
import signal
import threading
import time

import pytest
from daemon import alive, children, title, wait_until


def pool_of(daemon, name="a.test"):
    found = daemon.named(f"itkwsgi: pool {name}")
    return found[0] if found else None


def test_a_site_nobody_visits_has_no_process(daemon, site):
    one = daemon(site() + site("b.test"))
    assert not one.named("a.test")
    one.get("a.test")
    assert pool_of(one)
    assert not one.named("b.test")


def test_an_idle_pool_ends_and_wakes_again(daemon, site):
    one = daemon(site(idle_timeout="1s"))
    first = json.loads(one.get("a.test", "/facts").body)["pool"]
    wait_until(lambda: not one.named("a.test"), 10, "sleep")
    assert "a.test" not in "".join(os.listdir(one.place / "run" / "pools"))
    assert json.loads(one.get("a.test", "/facts").body)["pool"] != first


def test_many_first_requests_cause_one_import(daemon, sites):
    (sites / "slowimport.py").write_text(
        "import os, time\nopen(os.environ['IMPORTS'], 'a').write('imported\\n')\ntime.sleep(0.5)\n"
        "from probe import application\n"
    )
    imports = sites / f"imports-{time.monotonic_ns()}"
    one = daemon(
        f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'slowimport.py'\n"
        f"env = {{ IMPORTS = {str(imports)!r} }}\n"
    )
    answers = in_parallel(20, lambda: one.get("a.test").status)
    assert answers == [200] * 20
    assert imports.read_text() == "imported\n"


def in_parallel(count, function):
    results = [None] * count

    def run(number):
        results[number] = function()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_no_request_is_lost_while_a_pool_falls_asleep(daemon, site):
    one = daemon(site(idle_timeout="50ms"))
    pools = set()
    for number in range(150):
        answer = one.get("a.test", "/facts")
        assert answer.status == 200
        pools.add(json.loads(answer.body)["pool"])
        time.sleep(0.04 + (number % 10) * 0.004)  # around the very moment it retires
    assert len(pools) > 10


def test_an_import_error_is_that_sites_own(daemon, site, sites):
    (sites / "broken.py").write_text("import nothing_of_that_name\n")
    one = daemon(site() + site("b.test", "broken.py"))
    answer = one.get("b.test")
    assert answer.status == 500
    assert "nothing_of_that_name" not in answer.text
    assert one.get("a.test").status == 200
    error_id = answer.text.partition("<code>")[2].partition("</code>")[0]
    wait_until(lambda: error_id in one.error_log(), what="the traceback")
    assert "ModuleNotFoundError: No module named 'nothing_of_that_name'" in one.error_log()


def test_a_mended_import_error_is_gone_after_a_moment(daemon, site, sites):
    (sites / "mended.py").write_text("import nothing_of_that_name\n")
    one = daemon(site("b.test", "mended.py"))
    assert one.get("b.test").status == 500
    (sites / "mended.py").write_text("from probe import application\n")
    wait_until(lambda: one.get("b.test").status == 200, 5, "the mended site")


@pytest.mark.parametrize(
    "source", ["raise SystemExit(3)", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 11)"]
)
def test_whatever_ends_an_import_ends_only_that(daemon, site, sites, source):
    (sites / "ends.py").write_text(source + "\n")
    one = daemon(site() + site("b.test", "ends.py"))
    for _ in range(3):
        assert one.get("b.test").status in (500, 503)
    assert one.get("a.test").status == 200


def test_startup_timeout(daemon, site, sites):
    (sites / "hangs.py").write_text("import time\ntime.sleep(60)\n")
    one = daemon(site() + site("b.test", "hangs.py", startup_timeout="1s"))
    begun = time.monotonic()
    assert one.get("b.test").status in (500, 503, 504)
    assert 0.8 < time.monotonic() - begun < 5
    assert one.get("a.test").status == 200
    assert "startup_timeout" in one.error_log()


@pytest.mark.parametrize("preload", ["none", "framework"])
def test_the_import_may_be_left_to_the_child(daemon, site, preload):
    one = daemon(site(preload=preload))
    seen = [json.loads(one.get("a.test", "/facts").body) for _ in range(3)]
    assert all(each["imported_by"] == each["pid"] for each in seen)
    assert len({each["pool"] for each in seen}) == 1


def test_warmup_is_done_before_the_first_request(daemon, site):
    one = daemon(site(warmup=["/hello", "/facts?x=1"]))
    assert json.loads(one.get("a.test", "/facts").body)["requests"] == 3


def test_a_failing_warmup_is_logged_and_the_site_serves(daemon, site):
    one = daemon(site(warmup=["/raise"]))
    assert one.get("a.test").status == 200
    wait_until(lambda: "warm-up request /raise failed" in one.error_log(), what="the log line")


def test_requests_per_child(daemon, site):
    one = daemon(site(requests_per_child=3))
    counts = [json.loads(one.get("a.test", "/facts").body)["requests"] for _ in range(12)]
    assert max(counts) == 3


def test_min_spare(daemon, site):
    one = daemon(site(min_spare=4))
    one.get("a.test")
    wait_until(lambda: len(one.named("itkwsgi: child a.test")) == 4, 5, "four spares")


def test_spares_follow_demand_and_calm_down(daemon, site):
    one = daemon(site())
    assert in_parallel(12, lambda: one.get("a.test", "/slow?0.4").status) == [200] * 12
    assert len(one.named("itkwsgi: child a.test")) > 1


@pytest.mark.parametrize("role", ["itkwsgi: pool a.test", "itkwsgi: zygote", "itkwsgi: front", "itkwsgi: log"])
def test_kill_9_of_any_role_is_survived(daemon, site, role):
    one = daemon(site())
    assert one.get("a.test").status == 200
    victim = one.named(role)[0]
    orphans = set(one.named("itkwsgi: child a.test"))
    os.kill(victim, signal.SIGKILL)

    def answers():
        try:
            return one.get("a.test", timeout=5).status == 200
        except OSError:
            return False

    wait_until(answers, 10, "an answer")
    # Asking on: a spare of the killed pool may have given that answer, and then nobody waits who would start another.
    wait_until(lambda: answers() and one.named(role), 10, "the role again")
    if "pool" in role or "zygote" in role:
        wait_until(lambda: not orphans & set(one.family()), 5, "the end of its children")


def test_kill_9_of_the_supervisor_leaves_nothing(daemon, site):
    one = daemon(site() + site("b.test", requests_per_child=0))
    for name in ("a.test", "b.test"):
        assert one.get(name).status == 200
    one.get("a.test", "/daemon")
    assert one.stop(signal.SIGKILL) == -signal.SIGKILL
    assert one.start().get("a.test").status == 200  # nothing stale is in the way


def test_visitors_of_a_killed_pool_are_served_by_the_next(daemon, site):
    one = daemon(site())
    one.get("a.test")
    for _ in range(3):
        wait_until(lambda: pool_of(one), 5, "a pool")
        os.kill(pool_of(one), signal.SIGKILL)
        assert one.get("a.test").status in (200, 500)
        wait_until(lambda: one.get("a.test").status == 200, 10, "an answer")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_everything(daemon, site, number):
    one = daemon(site() + site("b.test", requests_per_child=0))
    for name in ("a.test", "b.test"):
        assert one.get(name).status == 200
    assert one.stop(number) == 0  # and the fixture looks for what is left
    assert os.listdir(one.place / "run" / "pools") == []


def test_a_graceful_stop_lets_requests_finish(daemon, site):
    one = daemon(site())
    one.get("a.test")
    connection = one.connect()
    connection.request("GET", "/slow?1", headers={"Host": "a.test"})
    time.sleep(0.3)
    os.kill(one.pid, signal.SIGTERM)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"slow\n")
    connection.close()
    assert one.stop() == 0


def test_an_app_that_ignores_term_is_ended_all_the_same(daemon, sites):
    (sites / "stubborn.py").write_text(
        "import signal, time\n"
        "def application(environ, start_response):\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "    time.sleep(60)\n"
    )
    one = daemon(
        f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'stubborn.py'\n", server='graceful_timeout = "1s"'
    )
    connection = one.connect()
    connection.request("GET", "/", headers={"Host": "a.test"})
    wait_until(lambda: one.named("child a.test GET"), 5, "the request")
    begun = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - begun < 15
    connection.close()


def test_the_roles_are_who_the_architecture_says(daemon, site):
    one = daemon(site())
    one.get("a.test")
    for role in ("itkwsgi: front", "itkwsgi: log", "itkwsgi: zygote", "itkwsgi: pool a.test", "itkwsgi: child a.test"):
        wait_until(lambda role=role: one.named(role), 5, role)
    assert title(one.pid).startswith("itkwsgi: supervisor")
    for role in ("itkwsgi: front", "itkwsgi: log", "itkwsgi: zygote"):
        assert one.named(role)[0] in children(one.pid)


def test_a_helper_that_the_import_started_lives_as_long_as_its_pool(daemon, site, sites):
    (sites / "helped.py").write_text(
        "import subprocess\nHELPER = subprocess.Popen(['sleep', '60'])\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [str(HELPER.pid).encode()]\n"
    )
    one = daemon(site("a.test", "helped.py"))
    helper = int(one.get("a.test").text)
    for _ in range(5):
        assert one.get("a.test").status == 200
        time.sleep(0.1)  # longer than a pool waits before it looks for what its children left
    assert helper in one.family()
    one.stop()
    assert not alive(helper)


def test_children_that_die_before_they_have_a_visitor_are_no_fork_storm(daemon, site, sites, tmp_path):
    forks = tmp_path / "forks"
    (sites / "dying.py").write_text(
        f"import os\ndef die():\n    open({str(forks)!r}, 'a').write('x')\n    os._exit(1)\n"
        "os.register_at_fork(after_in_child=die)\ndef application(environ, start_response): pass\n"
    )
    one = daemon(site() + site("b.test", "dying.py", idle_timeout="2s"), server='graceful_timeout = "1s"')
    connection = one.connect()
    connection.request("GET", "/", headers={"Host": "b.test"})
    time.sleep(1.5)
    assert 1 < forks.stat().st_size < 40
    assert one.get("a.test").status == 200
    connection.close()
