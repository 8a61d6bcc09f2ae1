from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from itkwsgi.linux import process_status, title
from itkwsgi.linux.title import PADDING, ProcessTitle
from tests.support.forked import in_child

SCRIPT = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from itkwsgi.linux.title import ProcessTitle
title = ProcessTitle()
for line in iter(sys.stdin.buffer.readline, b""):
    verb, text = line.rstrip(b"\\n").split(b" ", 1)
    if verb == b"fork":
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            continue
    title.set(text.decode() if verb != b"bytes" else text, "comm-of-it" if verb == b"comm" else None)
    with open("/proc/self/cmdline", "rb") as file:
        print(title.room, file.read().hex(), flush=True)
    sys.stdin.buffer.readline()
    print("ok", flush=True)
    if verb == b"fork":
        os._exit(0)
"""


class Titled:
    """A process that shows the titles it is told."""

    def __init__(self, env):
        root = os.path.dirname(os.path.dirname(os.path.dirname(title.__file__)))
        argv = [sys.executable, "-I", "-S", "-c", SCRIPT, root, PADDING]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def show(self, verb: str, text: bytes) -> tuple[bytes, int]:
        """The command line then, and the room."""
        self.stdin.write(verb.encode() + b" " + text + b"\n")
        self.stdin.flush()
        room, cmdline = self.stdout.readline().split()
        return bytes.fromhex(cmdline.decode()), int(room)

    def ps(self, column: str) -> str:
        argv = ["ps", "-ww", "-o", f"{column}=", "-p", str(self.process.pid)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.removesuffix("\n")

    def go_on(self) -> None:
        self.stdin.write(b"\n")
        self.stdin.flush()
        assert self.stdout.readline() == b"ok\n"


@pytest.fixture(params=[{}, {"SOME": "thing", "PATH": "/bin"}], ids=["no environment", "an environment"])
def titled(request):
    it = Titled(request.param)
    with it.process:
        yield it
        it.stdin.close()
    assert it.process.returncode == 0


def test_a_title_has_no_tail(titled):
    for text in (b"itkwsgi: zygote shared", b"short", b"itkwsgi: pool jess, longer again"):
        cmdline, room = titled.show("str", text)
        assert cmdline == text + b"\0"
        assert room >= len(PADDING)
        assert titled.ps("args") == text.decode()
        titled.go_on()


def test_a_title_is_cut_to_the_room(titled):
    cmdline, room = titled.show("str", b"x" * 5000)
    assert cmdline == b"x" * room + b"\0"
    assert titled.ps("args") == "x" * room
    titled.go_on()
    assert titled.show("str", b"y")[0] == b"y\0"
    titled.go_on()


def test_a_title_is_cut_between_characters(titled):
    _, room = titled.show("str", b"")
    titled.go_on()
    for before in range(4):
        cmdline, _ = titled.show("str", b"x" * before + "\N{SNAKE}".encode() * 1000)
        whole = (room - before) // 4
        assert cmdline == b"x" * before + "\N{SNAKE}".encode() * whole + b"\0"
        titled.go_on()


def test_bytes_that_are_no_text_are_cut_too(titled):
    cmdline, room = titled.show("bytes", b"\x80" * 5000)
    assert cmdline.rstrip(b"\0") == b"\x80" * (room - 4)
    titled.go_on()


def test_control_characters_do_not_reach_a_terminal(titled):
    cmdline, _ = titled.show("bytes", b"GET /\x1b]0;root\x07\x7f\x00\r")
    assert cmdline == b"GET /?]0;root????\0"
    titled.go_on()


def test_the_thread_is_named_on_request(titled):
    before = titled.ps("comm")
    titled.show("str", b"a title")
    assert titled.ps("comm") == before
    titled.go_on()
    titled.show("comm", b"a title")
    assert titled.ps("comm") == "comm-of-it"
    titled.go_on()


def test_after_a_fork_it_is_the_childs_own(titled):
    titled.show("str", b"the parent")
    titled.go_on()
    assert titled.show("fork", b"the child")[0] == b"the child\0"
    assert titled.ps("args") == "the parent"
    titled.go_on()


def test_without_room_only_the_name_is_set(monkeypatch):
    monkeypatch.setattr(title, "_argument_area", lambda: (0, 0))

    def change():
        shown = ProcessTitle()
        shown.set("anything", "0123456789abcdefgh")
        return shown.room, process_status.read().name

    assert in_child(change) == (0, "0123456789abcde")


def test_a_name_that_is_no_ascii_is_refused():
    with pytest.raises(ValueError, match="ascii"):
        in_child(lambda: ProcessTitle().set("x", "é"))


def test_a_name_with_a_parenthesis_does_not_hide_the_place():
    def change():
        from itkwsgi.linux import kernel

        before = title._argument_area()
        kernel.set_name(b"a) R 1 2 3 (b) ")
        return before == title._argument_area()

    assert in_child(change)


def test_a_title_costs_microseconds():
    def measure():
        shown = ProcessTitle()
        best = 1.0
        for _ in range(20):
            begin = time.perf_counter()
            for _ in range(100):
                shown.set("itkwsgi: child jess GET /blog/2024/11/some-article?and=more")
            best = min(best, (time.perf_counter() - begin) / 100)
        return best

    assert in_child(measure) < 5e-6
