"""The end of a child."""

import atexit
import os
import tempfile
import threading
import time
import weakref

from itkwsgi.runtime.finish import PoolsExits, leave


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
    def child():
        exits.forget()
        atexit.register((tmp_path / "child").touch)
        weakref.finalize(exits, (tmp_path / "child finalized").touch)
        leave(0, 1.0)

    def pool():
        assert in_child(child) == 0
        assert os.path.isdir(kept.name)
        assert (tmp_path / "child").exists()
        assert (tmp_path / "child finalized").exists()
        assert not (tmp_path / "pool's own exit").exists()
        exits.run()  # the control: it does run in the pool, once
        assert not os.path.isdir(kept.name)
        assert (tmp_path / "pool's own exit").exists()
        os._exit(0)

    exits = PoolsExits()

    def start_pool():
        nonlocal kept
        atexit._clear()
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False
        kept = tempfile.TemporaryDirectory(dir=tmp_path)
        atexit.register((tmp_path / "pool's own exit").touch)
        exits.put_aside()
        pool()

    kept = None
    assert in_child(start_pool) == 0


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
