"""A site whose paths say what it does; `tests.support.running` copies it to where a pool may read it.

Nothing here sleeps: a request that is to stay asks for its body, which ends when the test wants it to.
"""

import json
import os
import signal

IMPORTED_BY = os.getpid()


def application(environ, start_response):
    return globals()["do_" + environ["PATH_INFO"].strip("/")](environ, start_response)


def text(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain")])
    return [body.encode()]


def do_pid(environ, start_response):
    return text(start_response, str(os.getpid()))


def do_pids(environ, start_response):
    return text(start_response, json.dumps([IMPORTED_BY, os.getppid(), os.getpid()]))


def do_hold(environ, start_response):
    """Say who is at work, work until the body ends, say how long that was."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield f"{os.getpid()} begun, ".encode()
    yield f"held {len(environ['wsgi.input'].read())}".encode()


def do_count(environ, start_response):
    return text(start_response, str(len(environ["wsgi.input"].read())))


def do_facts(environ, start_response):
    facts = {
        "descriptors": [what for what in map(opened, os.listdir("/proc/self/fd")) if what],
        "group": os.getpgid(0) == os.getpid(),
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "handled": [
            number
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
            if signal.getsignal(number) != signal.SIG_DFL
        ],
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "once": environ["wsgi.run_once"],
        "uid": os.getuid(),
    }
    return text(start_response, json.dumps(facts))


def opened(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:  # the listing's own
        return None


def do_raise(environ, start_response):
    raise RuntimeError("raised on purpose")


def do_exit(environ, start_response):
    raise SystemExit("left on purpose")


def do_break(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"the beginning"
    raise RuntimeError("broken off on purpose")


def do_late(environ, start_response):
    class Body(list):
        def close(self):
            raise RuntimeError("failed late on purpose")

    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return Body([b"whole"])


def do_die(environ, start_response):
    os.kill(os.getpid(), signal.SIGKILL)


def do_leave_in_group(environ, start_response):
    """Leave a process behind."""
    return text(start_response, str(sleeper(lambda: None)))


def do_leave_in_session(environ, start_response):
    """Leave one behind that is out of the child's process group."""
    return text(start_response, str(sleeper(os.setsid)))


def sleeper(begin):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.closerange(0, reader)
            begin()
            os.close(writer)
            signal.pause()
        finally:
            os._exit(0)
    os.close(writer)
    os.read(reader, 1)  # it has begun
    os.close(reader)
    return pid
