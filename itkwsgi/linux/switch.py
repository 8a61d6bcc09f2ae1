"""The one function that changes identity, and the two that prove it.

Theory.  A process that drops root step by step has, between the steps, some rights too many: so the steps have a fixed
order, each failing one ends it, and what counts in the end is not that the calls returned but what the kernel says
(`verify`) and that no way back is open (`try_to_regain`).  `SwitchError` means the process may be anybody: the caller
writes one line and leaves by `os._exit`; nothing catches it to go on.

Two kinds of process come here with ``privileged=True``:

* the supervisor's forked child: uid 0, every capability, nothing locked.  It locks the bounding set and the securebits
  while it still holds CAP_SETPCAP.  Inheritable capabilities are raised before the bounding set is emptied (nothing
  outside it can be made inheritable afterwards), ambient ones before SECBIT_NO_CAP_AMBIENT_RAISE.
* a pool just forked from a zygote: no uid 0, four capabilities, bounding set empty and securebits locked since the
  zygote's own switch.  What is locked already is left alone; only the capabilities go.

With ``privileged=False`` the server is run by an ordinary user: the ids must already be right.  no_new_privs is set,
and capabilities the login handed down are given up (systemd gives desktop users CAP_WAKE_ALARM).

The identity, capabilities, securebits and no_new_privs are a thread's, so a process with a second thread is refused.
Runs in any site's interpreter (3.9 and later).  Sources: credentials(7), capabilities(7), setresuid(2), keyrings(7).
"""

from __future__ import annotations

import errno
import os

from itkwsgi.linux import kernel, process_status
from itkwsgi.linux.by_ctypes import mask
from itkwsgi.linux.identity import SwitchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from itkwsgi.linux.backend import Backend
    from itkwsgi.linux.identity import Identity
    from itkwsgi.linux.process_status import ProcessStatus

    Answer = TypeVar("Answer")

NOTHING: frozenset[int] = frozenset()

# How the kernel refuses; an id that does not exist in this user namespace is no argument to it at all.
_DENIED = frozenset((errno.EPERM,))
_NO_ID = frozenset((errno.EPERM, errno.EINVAL))


def become(
    identity: Identity,
    backend: Backend,
    *,
    privileged: bool,
    no_new_privs: bool = True,
    keep: frozenset[int] = NOTHING,
) -> None:
    """Become this user, its group and its groups, with no capability but those in ``keep``, for good.

    ``keep`` is handed over exec too, by the ambient set; ``no_new_privs=False`` leaves that flag as it is.
    A privileged switch ends non-dumpable, and out of the session keyring it came from.
    Raises `SwitchError`, naming the step, on anything that is not as it must be; the process must then end.
    """
    _refuse(identity, privileged, keep)
    before = _status_of_one_thread()
    if privileged:
        _change_ids(identity, backend, before)
        _lock(backend, before, keep)
    _give_up(backend, before, privileged, keep)
    if no_new_privs:
        _step("no_new_privs", backend.set_no_new_privs)
    verify(identity, privileged=privileged, no_new_privs=no_new_privs, keep=keep)
    try_to_regain(identity, before, privileged=privileged, keep=keep)
    verify(identity, privileged=privileged, no_new_privs=no_new_privs, keep=keep)
    if privileged:
        _same("dumpable", _step("read dumpable", kernel.get_dumpable), 0)


def drop_ambient() -> None:
    """In a zygote after its exec: what it holds it keeps, but no exec of its own or of a fork will hand it on.

    Raises `SwitchError` when that is not so afterwards.
    """
    before = _status_of_one_thread()
    _step("clear ambient", kernel.ambient_clear)
    _step("clear inheritable", kernel.capset, before.effective, before.permitted, 0)
    after = _step("read the status", process_status.read)
    _same("ambient capabilities", after.ambient, 0)
    _same("inheritable capabilities", after.inheritable, 0)
    _same("permitted capabilities", after.permitted, before.permitted)
    _same("effective capabilities", after.effective, before.effective)


def verify(identity: Identity, *, privileged: bool, no_new_privs: bool, keep: frozenset[int]) -> None:
    """Hold what the kernel says of this process, in /proc and by its calls, against what was asked for.

    Raises `SwitchError` at the first difference.
    """
    status = _step("read the status", process_status.read)
    kept = mask(keep)
    _same("threads", status.threads, 1)
    _same("user ids", status.uids, (identity.uid,) * 4)
    _same("group ids", status.gids, (identity.gid,) * 4)
    _same("groups", tuple(sorted(set(status.groups))), identity.groups)
    _same("permitted capabilities", status.permitted, kept)
    _same("effective capabilities", status.effective, kept)
    _same("inheritable capabilities", status.inheritable, kept)
    _same("ambient capabilities", status.ambient, kept)
    if no_new_privs:
        _same("no_new_privs", status.no_new_privs, True)
    if privileged:
        _same("bounding set", status.bounding, 0)
        _same("securebits", _securebits(), kernel.SECUREBITS_LOCKED)
    _verify_by_calls(identity, kept)


def try_to_regain(identity: Identity, before: ProcessStatus, *, privileged: bool, keep: frozenset[int]) -> None:
    """Try every way back to root and to who we were; with CAP_SETUID or CAP_SETGID kept, those ways are open by design.

    Raises `SwitchError` when one of them is.
    """
    if kernel.CAP_SETUID not in keep:
        for uid in sorted({0, *before.uids} - {identity.uid}):
            _must_fail(f"uid {uid}", _NO_ID, os.setresuid, uid, uid, uid)
            _must_fail(f"uid {uid}", _NO_ID, os.setresuid, -1, uid, -1)
            _must_fail(f"uid {uid}", _NO_ID, os.setreuid, uid, uid)
            _must_fail(f"uid {uid}", _NO_ID, os.seteuid, uid)
            _must_fail(f"uid {uid}", _NO_ID, os.setuid, uid)
    if kernel.CAP_SETGID not in keep:
        for gid in sorted({0, *before.gids} - {identity.gid}):
            _must_fail(f"gid {gid}", _NO_ID, os.setresgid, gid, gid, gid)
            _must_fail(f"gid {gid}", _NO_ID, os.setresgid, -1, gid, -1)
            _must_fail(f"gid {gid}", _NO_ID, os.setregid, gid, gid)
            _must_fail(f"gid {gid}", _NO_ID, os.setegid, gid)
            _must_fail(f"gid {gid}", _NO_ID, os.setgid, gid)
        _must_fail("group 0", _DENIED, os.setgroups, [0])
        _must_fail("the former groups", _DENIED, os.setgroups, list(before.groups))
    _try_capabilities(keep)
    if privileged:
        _must_fail("unlocked securebits", _DENIED, kernel.set_securebits, 0)
        _must_fail("keep_caps", _DENIED, kernel.set_keep_caps, True)


def _refuse(identity: Identity, privileged: bool, keep: frozenset[int]) -> None:
    if identity.uid == 0 or identity.gid == 0 or 0 in identity.groups:
        raise SwitchError(f"{identity} has an id of root's")
    if keep and not privileged:
        raise SwitchError("an ordinary user has no capabilities to keep")
    last = _step("ask for the last capability", kernel.last_capability)
    if any(not 0 <= capability <= last for capability in keep):
        raise SwitchError(f"{sorted(keep)} are not all capabilities of this kernel")


def _status_of_one_thread() -> ProcessStatus:
    status = _step("read the status", process_status.read)
    if status.threads != 1:
        raise SwitchError(f"{status.threads} threads: only one of them would change")
    return status


def _change_ids(identity: Identity, backend: Backend, before: ProcessStatus) -> None:
    if 0 in before.uids and not _securebits() & kernel.SECBIT_NO_SETUID_FIXUP:
        _step("keep_caps", backend.keep_caps, True)  # or leaving uid 0 empties what the lock still needs
    _step("setgroups", os.setgroups, list(identity.groups))
    _step("setresgid", os.setresgid, identity.gid, identity.gid, identity.gid)
    _step("setresuid", os.setresuid, identity.uid, identity.uid, identity.uid)
    # Who is this user already must not read our memory, root's or the zygote's.  set*id makes it so, unless a sysctl
    # (fs.suid_dumpable) says otherwise.
    _step("dumpable", backend.set_dumpable, False)
    _step("session keyring", _leave_session_keyring)


def _leave_session_keyring() -> None:
    """Keys in a session keyring are readable by whoever inherited it, whatever their uid: neither root's nor a keyring
    shared by all sites of a zygote may be passed on.

    A user may have 200 keys (keyrings(7)), and so 200 pools.  Those beyond stay in the zygote's, if that is closed.
    """
    try:
        kernel.join_new_session_keyring()
    except OSError as error:
        if error.errno == errno.EDQUOT and _session_keyring_is_closed():
            return
        # No keys in this kernel, or a seccomp filter that denies them: then it denies them to the site as well.
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise


def _session_keyring_is_closed() -> bool:
    try:
        kernel.use_session_keyring()
    except OSError as error:
        return error.errno == errno.EACCES
    return False


def close_session_keyring() -> None:
    """In a zygote: none of its sites shall find anything in the keyring that they start with.

    Raises `SwitchError` when that cannot be had.
    """
    try:
        kernel.close_session_keyring()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # as above: where there are no keys
            raise SwitchError(f"close the session keyring: {error}") from error


def _lock(backend: Backend, before: ProcessStatus, keep: frozenset[int]) -> None:
    locked = _securebits() == kernel.SECUREBITS_LOCKED
    if before.bounding or not locked or keep:
        held = frozenset(bit for bit in range(64) if before.permitted >> bit & 1)
        _step("raise capabilities", backend.set_capabilities, held, keep)
    if keep:
        _step("clear ambient", backend.clear_ambient)
        _step("raise ambient", backend.raise_ambient, sorted(keep))
    if before.bounding:
        _step("bounding set", backend.drop_bounding)
    if not locked:
        _step("securebits", backend.set_securebits)


def _give_up(backend: Backend, before: ProcessStatus, privileged: bool, keep: frozenset[int]) -> None:
    held = before.permitted | before.effective | before.inheritable | before.ambient
    if not privileged and not held:
        return
    if not keep:
        _step("clear ambient", backend.clear_ambient)
    _step("give up capabilities", backend.set_capabilities, keep, keep)


def _securebits() -> int:
    return _step("read securebits", kernel.get_securebits) & kernel.SECUREBITS_MASK


def _verify_by_calls(identity: Identity, kept: int) -> None:
    _same("user ids by call", _step("getresuid", os.getresuid), (identity.uid,) * 3)
    _same("group ids by call", _step("getresgid", os.getresgid), (identity.gid,) * 3)
    _same("groups by call", tuple(sorted(set(_step("getgroups", os.getgroups)))), identity.groups)
    _same("capabilities by call", _step("capget", kernel.capget), (kept, kept, kept))


def _try_capabilities(keep: frozenset[int]) -> None:
    kept = mask(keep)
    for capability in range(_step("ask for the last capability", kernel.last_capability) + 1):
        _must_fail(f"ambient capability {capability}", _DENIED, kernel.ambient_raise, capability)
        if capability in keep:
            continue
        more = kept | 1 << capability
        _must_fail(f"capability {capability}", _DENIED, kernel.capset, more, more, kept)
        _must_fail(f"inheritable capability {capability}", _DENIED, kernel.capset, kept, kept, more)


def _step(name: str, function: Callable[..., Answer], *args: object) -> Answer:
    try:
        return function(*args)
    except Exception as error:
        hint = ""
        if getattr(error, "errno", None) == errno.EAGAIN:
            hint = " (as it is for a user at its RLIMIT_NPROC)"
        raise SwitchError(f"{name}: {error}{hint}") from error


def _same(name: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise SwitchError(f"verify: {name}: {found!r} and not {wanted!r}")


def _must_fail(name: str, refusals: frozenset[int], function: Callable[..., object], *args: object) -> None:
    """Anything but a refusal is a surprise, another error too: then nothing was tried."""
    try:
        function(*args)
    except OSError as error:
        if error.errno not in refusals:
            raise SwitchError(f"trying to regain {name}: {error}") from error
    except Exception as error:
        raise SwitchError(f"trying to regain {name}: {error!r}") from error
    else:
        raise SwitchError(f"{name} could be regained")
