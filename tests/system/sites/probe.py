"""A site that does what its path says; each test asks for one thing."""

import json
import os
import sys
import time
from pathlib import Path

IMPORTED_BY = os.getpid()
REQUESTS: list[int] = []


def application(environ, start_response):
    REQUESTS.append(1)
    name = environ["PATH_INFO"].strip("/").replace("-", "_") or "hello"
    return globals().get(f"do_{name}", do_missing)(environ, start_response)


def text(start_response, body, status="200 OK"):
    data = body.encode()
    start_response(status, [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(data)))])
    return [data]


def do_missing(environ, start_response):
    return text(start_response, "no such thing\n", "404 Not Found")


def do_hello(environ, start_response):
    return text(start_response, "hello\n")


def do_facts(environ, start_response):
    facts = {
        "pid": os.getpid(),
        "pool": os.getppid(),
        "imported_by": IMPORTED_BY,
        "requests": len(REQUESTS),
        "uid": os.getresuid(),
        "gid": os.getresgid(),
        "groups": os.getgroups(),
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "fds": {
            fd: os.readlink(f"/proc/self/fd/{fd}")
            for fd in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{fd}")
        },
        "path": sys.path,
        "executable": sys.executable,
        "modules": sorted(name for name in sys.modules if "." not in name),
        "environ": {key: value for key, value in environ.items() if isinstance(value, (str, int, bool))},
        "status": Path("/proc/self/status").read_text(),
    }
    return text(start_response, json.dumps(facts))


def do_echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    body = environ["wsgi.input"]
    return iter(lambda: body.read(65536), b"")


def do_count(environ, start_response):
    body, total = environ["wsgi.input"], 0
    while data := body.read(65536):
        total += len(data)
    return text(start_response, f"{environ.get('CONTENT_LENGTH', 'none')} {total}\n")


def do_ignore_body(environ, start_response):
    return text(start_response, "did not read it\n")


def do_big(environ, start_response):
    size = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    block = b"x" * 65536
    return (block[: min(65536, size - at)] for at in range(0, size, 65536))


def do_stream(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        for number in range(3):
            yield f"{number}\n".encode()
            time.sleep(0.3)

    return pieces()


def do_slow(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 1))
    return text(start_response, "slow\n")


def do_raise(environ, start_response):
    raise RuntimeError("this request is meant to fail")


def do_exit(environ, start_response):
    sys.exit("this request is meant to exit")


def do_die(environ, start_response):
    os.kill(os.getpid(), 9)


def do_break_off(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])

    def pieces():
        yield b"the beginning\n"
        raise RuntimeError("breaks off")

    return pieces()


def do_short(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    return [b"ten bytes\n"]


def do_long(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"more than four\n"]


def do_inject(environ, start_response):
    return [start_response("200 OK", [("X-Test", "a\r\nSet-Cookie: b")]) and b""]


def do_write(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written ")
    return [b"and returned\n"]


def do_no_content(environ, start_response):
    start_response("204 No Content", [])
    return []


def do_print(environ, start_response):
    print("printed on stdout")
    print("written to wsgi.errors", file=environ["wsgi.errors"])
    os.write(1, b"raw on descriptor 1\n")
    return text(start_response, "ok\n")


def do_daemon(environ, start_response):
    """Leave a grandchild behind that tries to live on."""
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 100)
        time.sleep(60)
        os._exit(0)
    return text(start_response, "left one behind\n")


def do_subprocess(environ, start_response):
    import subprocess

    done = subprocess.run(["/bin/sh", "-c", "exit 7"], check=False)
    return text(start_response, f"{done.returncode}\n")


def do_after(environ, start_response):
    """Work after the answer: a thread, and an atexit callback of this request."""
    import atexit
    import threading

    place = environ["QUERY_STRING"]

    def work(name):
        time.sleep(0.2)
        with open(os.path.join(place, name), "w") as file:
            file.write("done")

    threading.Thread(target=work, args=("thread",), daemon=True).start()
    atexit.register(work, "atexit")
    return text(start_response, "answered\n")
