"""Sites as their own users: who they are, what they hold, and what a failing switch shows to the visitor."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest
from daemon import children, title, wait_until

USERS = (50001, 50002, 50003)
WWW_DATA = 33
ROLES = {"front": 65530, "zygote": 65531, "log": 65532}


def facts(daemon, host):
    return json.loads(daemon.get(host, "/facts").body)


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@pytest.mark.parametrize("uid", USERS)
def test_each_site_is_its_user(three, uid):
    found = facts(three, f"u{uid}.test")
    assert found["uid"] == [uid] * 3
    assert found["gid"] == [uid] * 3
    assert found["groups"] == []
    assert found["env"]["USER"] == str(uid)


def test_a_site_that_names_no_user_is_switched_just_as_fully(three):
    found = facts(three, "nobody-named.test")
    assert found["uid"] == [WWW_DATA] * 3
    assert_powerless(found["status"])


@pytest.mark.parametrize("uid", USERS)
def test_no_site_keeps_a_power(three, uid):
    assert_powerless(facts(three, f"u{uid}.test")["status"])


def assert_powerless(status):
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{name}:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert re.search(r"^Groups:\t ?$", status, re.M)


def test_pools_and_children_from_outside(three):
    three.get("u50001.test")
    for pid in three.named("u50001.test"):
        status = status_of(pid)
        assert status["Uid"].split() == ["50001"] * 4
        assert status["Gid"].split() == ["50001"] * 4


@pytest.mark.parametrize("role", sorted(ROLES))
def test_roles_from_outside(three, role):
    pid = three.named(f"itkwsgi: {role}")[0]
    status = status_of(pid)
    assert status["Uid"].split() == [str(ROLES[role])] * 4
    expected = 0x8000E0 if role == "zygote" else 0  # KILL, SETGID, SETUID, SYS_NICE
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == expected
    assert int(status["CapBnd"], 16) == int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_descriptors_of_each_process(three):
    """A pool: 0-2, listener, channel.  A spare: 0-2 and the listener it waits on."""
    three.get("u50001.test")
    pool = three.named("itkwsgi: pool u50001.test")[0]
    assert descriptors(pool) == [0, 1, 2, 3, 4]
    wait_until(lambda: all(descriptors(spare) == [0, 1, 2, 3] for spare in children(pool)), 5, "spares alone")


def descriptors(pid):
    try:
        return sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return []


def test_a_thousand_requests_on_one_connection_for_three_users(three):
    connection = three.connect()
    for number in range(1000):
        uid = USERS[number % 3]
        connection.request("GET", "/facts" if number % 100 < 3 else "/hello", headers={"Host": f"u{uid}.test"})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200
        if number % 100 < 3:
            assert json.loads(body)["uid"] == [uid] * 3
    connection.close()


def test_files_are_made_as_the_user(daemon, sites, place):
    app = os.path.join(os.path.dirname(__file__), "..", "..", "apps", "whoami", "app.py")
    shutil.copy(app, sites / "whoami.py")
    one = daemon(
        "".join(
            f"[[vhost]]\nname = 'u{uid}.test'\nroot = {str(sites)!r}\napp = 'whoami.py'\nuser = {uid}\n"
            for uid in USERS
        )
    )
    for uid in USERS:
        assert f"UID is: {uid}, GID is: {uid}" in one.get(f"u{uid}.test").text


def test_supplementary_groups(daemon, site):
    one = daemon(site("a.test", "user = 50001\ngroup = 50010\ngroups = [50011, 50012]"))
    found = facts(one, "a.test")
    assert (found["uid"], found["gid"], found["groups"]) == ([50001] * 3, [50010] * 3, [50011, 50012])


def test_tmp_is_the_sites_own(three):
    tmp = [facts(three, f"u{uid}.test")["env"]["TMPDIR"] for uid in USERS]
    assert len(set(tmp)) == 3
    for uid, path in zip(USERS, tmp, strict=True):
        found = os.stat(path)
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (uid, 0o700)


def as_user(uid, function):
    """Run in a fork as that user; returns what it raised, by name, or None."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            function()
            os.write(writer, b"None")
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return file.read()


def test_no_other_user_reaches_a_pools_socket(three):
    three.get("u50001.test")
    sockets = os.listdir(three.place / "run" / "pools")
    assert sockets

    def connect():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(three.place / "run" / "pools" / sockets[0]))

    assert as_user(50002, connect) == "PermissionError"
    assert as_user(65530, connect) == "None"  # the control: the front can


def test_a_pool_answers_nobody_but_the_front(three, place):
    """Its socket made reachable by mistake: the child still asks the kernel who connected."""
    three.get("u50001.test")
    pools = three.place / "run" / "pools"
    request = bytes.fromhex("0101000100080000000100000000000001040001000000000105000100000000")

    def ask():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(pools / "0.sock"))
            sock.sendall(request)
            if not sock.recv(1):
                raise EOFError

    pools.chmod(0o755)
    (pools / "0.sock").chmod(0o666)
    try:
        assert as_user(50002, ask) in ("EOFError", "ConnectionResetError", "BrokenPipeError")
        assert as_user(65530, ask) == "None"  # the control: the front's uid is answered
    finally:
        pools.chmod(0o710)


@pytest.mark.parametrize("call", ["setresuid", "setresgid", "setgroups", "capset"])
def test_a_failing_switch_serves_nobody(daemon, site, call):
    """Each privileged call of the switch fails, for real: 500, and no process of that site under any identity."""
    one = daemon(site("a.test", "user = 50001") + site("b.test", "user = 50002"))
    zygote = one.named("itkwsgi: zygote")[0]
    tracer = subprocess.Popen(
        [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            f"inject={call}:error=EAGAIN",
            "-p",
            str(zygote),
        ]
    )
    try:
        wait_until(lambda: status_of(zygote)["TracerPid"] != "0", 10, "the tracer")
        assert one.get("a.test").status == 500
        assert not children(zygote)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    wait_until(lambda: one.get("a.test").status == 200, 15, "the control: without the fault it is served")
    assert one.get("b.test").status == 200
    assert "could not become uid 50001" in one.error_log()


def test_a_site_cannot_signal_or_see_others(three):
    for host in ("u50001.test", "u50002.test"):
        three.get(host)
    pool = three.named("itkwsgi: pool u50001.test")[0]
    victims = [three.pid, pool] + [three.named(f"itkwsgi: {role}")[0] for role in ROLES]
    for victim in victims:
        assert as_user(50002, lambda pid=victim: os.kill(pid, signal.SIGTERM)) == "PermissionError"
        assert as_user(50002, lambda pid=victim: os.listdir(f"/proc/{pid}/fd")) == "PermissionError"
        assert as_user(50002, lambda pid=victim: os.open(f"/proc/{pid}/mem", os.O_RDONLY)) == "PermissionError"
    assert as_user(50001, lambda: os.kill(pool, 0)) == "None"  # the control


def test_nothing_survives_a_stop_whatever_a_site_left(daemon, site):
    one = daemon(site("a.test", "user = 50001"))
    for _ in range(3):
        one.get("a.test", "/daemon")
    family = one.family()
    assert one.stop() == 0
    time.sleep(0.1)
    assert not [pid for pid in family if title(pid)]


def test_a_home_of_mode_0700_is_served(daemon, place):
    home = place / "home-50007"
    home.mkdir(mode=0o700)
    (home / "app.py").write_text(
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [open(__file__, 'rb').read(3)]\n"
    )
    for path in (home, home / "app.py"):
        os.chown(path, 50007, 50007)
    os.chmod(home / "app.py", 0o600)
    one = daemon(f"[[vhost]]\nname = 'a.test'\nroot = {str(home)!r}\napp = 'app.py'\nuser = 50007\n")
    assert one.get("a.test").body == b"def"


def test_a_venv_owned_by_the_site_runs_as_the_site(daemon, sites, place):
    """Its .pth files run code: as the site's user, never before the switch."""
    venv = place / "venv-50008"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    packages = next(venv.glob("lib/python3*/site-packages"))
    seen = place / "seen"
    seen.mkdir()
    seen.chmod(0o777)
    (packages / "evil.pth").write_text(f"import os; open('{seen}/' + str(os.geteuid()), 'w').close()\n")
    for parent, directories, files in os.walk(venv):
        for name in (*directories, *files, "."):
            os.chown(os.path.join(parent, name), 50008, 50008, follow_symlinks=False)
    one = daemon(
        f"[[vhost]]\nname = 'a.test'\nroot = {str(sites)!r}\napp = 'probe.py'\nuser = 50008\nvenv = {str(venv)!r}\n"
    )
    assert facts(one, "a.test")["uid"] == [50008] * 3
    assert os.listdir(seen) == ["50008"]
