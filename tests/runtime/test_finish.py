"""The end of a child."""

import atexit
import os
import tempfile
import threading
import time

from itkwsgi.runtime.finish import forget_parents_exits, leave


def in_child(function):
    """Run in a fork that leaves as a child does; returns its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_the_pool_registered_is_left_alone(tmp_path):
    kept = tempfile.TemporaryDirectory(dir=tmp_path)

    def pool_exit():
        (tmp_path / "pool ran its exit in the child").touch()

    atexit.register(pool_exit)

    def child():
        forget_parents_exits()
        atexit.register((tmp_path / "child").touch)
        leave(0, 1.0)

    try:
        assert in_child(child) == 0
        assert os.path.isdir(kept.name)
        assert (tmp_path / "child").exists()
        assert not (tmp_path / "pool ran its exit in the child").exists()
    finally:
        atexit.unregister(pool_exit)
        kept.cleanup()


def test_threads_of_the_request_get_the_grace(tmp_path):
    def work():
        time.sleep(0.1)
        (tmp_path / "worked").touch()

    def child():
        threading.Thread(target=work, daemon=True).start()
        leave(0, 5.0)

    assert in_child(child) == 0
    assert (tmp_path / "worked").exists()


def test_a_thread_without_end_is_cut_after_the_grace():
    def child():
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        leave(3, 0.05)

    begun = time.monotonic()
    assert in_child(child) == 3
    assert time.monotonic() - begun < 30
