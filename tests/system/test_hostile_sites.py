"""Sites that attack their server.  Whatever they do, the others are served, and at once."""

import contextlib
import http.client
import os
import signal
import socket
import threading
import time

import pytest
from daemon import wait_until

# A TCP connection that takes its time to close: its peer reads nothing, and SO_LINGER waits for it.
LINGERING = """
import array, os, socket, struct, time
from probe import application as probe

def lingering(seconds):
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    sender.setblocking(False)
    try:
        while True:
            sender.send(b"x" * 65536)
    except BlockingIOError:
        return sender, (listener, receiver)

def give(sock, data, sender):
    rights = array.array("i", [sender.fileno()])
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    sender.close()

def sockets():
    for fd in range(3, 20):
        try:
            found = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM:
            yield found
"""

LONG = 30  # seconds that an attack would take
SOON = 5.0


def answers_soon(daemon, host):
    begun = time.monotonic()
    assert daemon.get(host, timeout=LONG).status == 200
    assert time.monotonic() - begun < SOON


def ask_for_trouble(daemon, host, path):
    """A request to an attacker's site, whatever becomes of it."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        daemon.get(host, path, timeout=LONG)


@pytest.fixture
def write(sites):
    """Put an app beside the probe site."""

    def make(name, source):
        (sites / name).write_text(source)
        return name

    return make


@pytest.mark.parametrize("answer", ["before it", "after it", "instead of it"])
def test_descriptors_sent_with_an_answer_do_not_hold_the_front_up(daemon, site, write, answer):
    app = write(
        "sends.py",
        LINGERING
        + f"ANSWER = {answer!r}\n"
        + """
def application(environ, start_response):
    if environ["PATH_INFO"] != "/attack":
        return probe(environ, start_response)
    [connection] = sockets()
    sender, kept = lingering(30)
    if ANSWER != "after it":
        give(connection, b"\\1", sender)
    if ANSWER == "instead of it":
        time.sleep(1)
        os._exit(0)
    def body():
        yield b"ok"
        if ANSWER == "after it":
            connection.sendall(END)
            give(connection, b"\\1", sender)
        time.sleep(1)
        os._exit(0)
    start_response("200 OK", [])
    return body()

END = bytes.fromhex("0106000100000000" "0103000100080000" "0000000000000000")
""",
    )
    one = daemon(site("evil.test", app) + site("b.test"))
    answers_soon(one, "evil.test")
    answers_soon(one, "b.test")
    attack = threading.Thread(target=ask_for_trouble, args=(one, "evil.test", "/attack"))
    attack.start()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        answers_soon(one, "b.test")
        time.sleep(0.05)
    attack.join()
    assert one.get("evil.test").status in (200, 502)  # it is banned where the kernel does not refuse descriptors
    answers_soon(one, "b.test")


def test_descriptors_sent_to_root_go_nowhere(daemon, site, write):
    """A pool's channel is a pipe."""
    app = write(
        "sends_to_root.py",
        LINGERING
        + """
sender, kept = lingering(30)
try:
    give(socket.socket(fileno=os.dup(4)), b"I", sender)
except OSError as error:
    CHANNEL = str(error)
def application(environ, start_response):
    start_response("200 OK", [])
    return [CHANNEL.encode()]
""",
    )
    one = daemon(site("evil.test", app) + site("b.test"))
    assert "Socket operation on non-socket" in one.get("evil.test").text
    answers_soon(one, "b.test")


def test_a_pool_that_dies_talking_does_not_take_root_along(daemon, site, write):
    """Its last words and the news of its end come in one round of root's loop, in either order."""
    busy = write(
        "busy.py",
        "import os, time\n"
        "from probe import application\n"
        "for _ in range(2):\n"
        "    if os.fork() == 0:\n"
        "        end = time.monotonic() + 20\n"
        "        while time.monotonic() < end:\n"
        "            try:\n"
        "                os.write(4, b'I')\n"
        "            except OSError:\n"
        "                time.sleep(0.001)\n"
        "        os._exit(0)\n",
    )
    flickering = write(
        "flickering.py",
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    end = time.monotonic() + 2\n"
        "    while time.monotonic() < end:\n"
        "        try:\n"
        "            os.write(4, b'I')\n"
        "        except OSError:\n"
        "            pass\n"
        "    os._exit(0)\n"
        "os.write(4, b'R')\n"
        "time.sleep(0.05)\n"
        "os._exit(0)\n",
    )
    names = [f"flickering{number}.test" for number in range(12)]
    sites = site("busy.test", busy) + "".join(site(name, flickering) for name in names) + site("b.test")
    one = daemon(sites, server='graceful_timeout = "1s"')
    one.get("busy.test")
    visits = [threading.Thread(target=ask_for_trouble, args=(one, name, "/")) for name in names]
    for visit in visits:
        visit.start()
    for visit in visits:
        visit.join(LONG)
        assert not visit.is_alive()
    answers_soon(one, "b.test")


def test_a_log_that_is_killed_while_sites_come_and_go_does_not_take_root_along(daemon, site):
    one = daemon("".join(site(f"a{number}.test", idle_timeout="50ms") for number in range(3)))
    for _ in range(4):
        for log in one.named("itkwsgi: log"):
            os.kill(log, signal.SIGKILL)
        for number in range(3):
            answers_soon(one, f"a{number}.test")
        time.sleep(0.15)
    wait_until(lambda: one.named("itkwsgi: log"), 10, "the log again")


def test_a_log_that_reads_nothing_holds_nobody_up(daemon, site):
    one = daemon("".join(site(f"a{number}.test", idle_timeout="50ms") for number in range(10)))
    os.kill(one.named("itkwsgi: log")[0], signal.SIGSTOP)
    for _ in range(16):  # more orders than its channel holds
        for number in range(10):
            answers_soon(one, f"a{number}.test")
    os.kill(one.named("itkwsgi: log")[0], signal.SIGCONT)


@pytest.mark.parametrize(
    "misdeed",
    [
        # shuts both, says nothing, ends
        "for fd in (5, 3):\n    socket.socket(fileno=os.dup(fd)).shutdown(2)\nos._exit(0)\n",
        # serves, and crashes at once
        "os.write(4, b'R')\ntime.sleep(0.02)\nos._exit(3)\n",
        # leaves, and does not end
        "os.write(4, b'L')\ntime.sleep(60)\n",
        "import nothing_of_that_name\n",
    ],
    ids=["shuts", "crashes", "leaves", "broken"],
)
def test_a_waiting_visitor_of_a_pool_socket_does_not_start_pools_without_end(daemon, site, write, tmp_path, misdeed):
    imports, path = tmp_path / "imports", str(tmp_path / "evil.sock")
    app = write("misdeed.py", f"import os, socket, time\nopen({str(imports)!r}, 'a').write('x')\n{misdeed}")
    one = daemon(site("evil.test", app, pool_socket={"path": path}) + site("b.test"), server='graceful_timeout = "1s"')
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(path)
        time.sleep(2)
        assert 0 < imports.stat().st_size < 15
        answers_soon(one, "b.test")


def test_a_stop_answers_those_who_would_have_to_wait_for_a_wake(daemon, site):
    one = daemon(site() + site("cold.test"), server='graceful_timeout = "15s"')
    connection = one.connect()
    connection.request("GET", "/hello", headers={"Host": "a.test"})
    connection.getresponse().read()
    busy = one.connect()
    busy.request("GET", "/slow?2", headers={"Host": "a.test"})
    time.sleep(0.2)
    os.kill(one.pid, signal.SIGTERM)
    time.sleep(0.2)
    connection.request("GET", "/", headers={"Host": "cold.test"})
    assert connection.getresponse().status == 503
    assert busy.getresponse().status == 200
    connection.close()
    busy.close()
    begun = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - begun < 10


def test_a_zygote_that_hangs_is_replaced_and_its_visitors_are_answered(daemon, site):
    one = daemon(site(startup_timeout="1s"))
    zygote = one.named("itkwsgi: zygote")[0]
    os.kill(zygote, signal.SIGSTOP)
    assert one.get("a.test", timeout=LONG).status in (500, 503)
    wait_until(lambda: one.get("a.test", timeout=LONG).status == 200, 10, "the next zygote")
