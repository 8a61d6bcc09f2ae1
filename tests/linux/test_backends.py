"""Both backends, held to the same; what needs root is in tests/root/test_backends.py."""

from __future__ import annotations

import inspect
import signal

import pytest

from itkwsgi.linux import by_ctypes, by_prctl, kernel, process_status
from itkwsgi.linux.backend import Backend
from tests.support.forked import as_ordinary

BACKENDS = pytest.mark.parametrize("backend", [by_ctypes, by_prctl], ids=["ctypes", "prctl"])


@BACKENDS
def test_each_has_every_function(backend):
    for name, function in inspect.getmembers(Backend, inspect.isfunction):
        if not name.startswith("_"):
            wanted = list(inspect.signature(function).parameters)[1:]
            assert len(inspect.signature(getattr(backend, name)).parameters) == len(wanted), name


@BACKENDS
def test_everything_an_ordinary_user_may(backend):
    def change():
        backend.set_name("0123456789abcde")
        backend.set_death_signal(signal.SIGUSR2)
        backend.set_subreaper()
        backend.set_dumpable(False)
        backend.keep_caps(True)
        backend.clear_ambient()
        backend.raise_ambient(())
        backend.set_capabilities(frozenset(), frozenset())
        backend.set_no_new_privs()
        status = process_status.read()
        assert (status.name, status.no_new_privs) == ("0123456789abcde", True)
        assert status.permitted == status.effective == status.inheritable == status.ambient == 0
        assert kernel.get_death_signal() == signal.SIGUSR2
        assert kernel.get_subreaper()
        assert kernel.get_dumpable() == 0
        assert kernel.get_keep_caps()
        backend.set_dumpable(True)
        backend.keep_caps(False)
        return kernel.get_dumpable(), kernel.get_keep_caps()

    assert as_ordinary(change) == (1, False)


@BACKENDS
def test_what_an_ordinary_user_may_not_raises(backend):
    def attempt():
        for call in (
            lambda: backend.drop_bounding() if process_status.read().bounding else kernel.drop_bounding(0),
            backend.set_securebits,
            lambda: backend.set_capabilities(frozenset({kernel.CAP_KILL}), frozenset()),
            lambda: backend.set_capabilities(frozenset(), frozenset({kernel.CAP_KILL})),
            lambda: backend.raise_ambient([kernel.CAP_KILL]),
        ):
            with pytest.raises(PermissionError):
                call()
        return kernel.get_securebits(), process_status.read().bounding

    assert as_ordinary(attempt) == (kernel.get_securebits(), process_status.read().bounding)


@BACKENDS
@pytest.mark.parametrize("name", ["0123456789abcdef", "é", "a\0b"])
def test_a_name_that_would_not_come_back_is_refused(backend, name):
    before = process_status.read().name
    with pytest.raises(ValueError, match="is not a thread name"):
        backend.set_name(name)
    assert process_status.read().name == before


def test_mask():
    assert by_ctypes.mask(()) == 0
    assert by_ctypes.mask({0, 5, 40}) == 1 | 1 << 5 | 1 << 40
