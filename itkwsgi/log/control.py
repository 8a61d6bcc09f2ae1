"""What the supervisor tells the log: JSON datagrams with descriptors.

    {"do": "files", "error": bool, "access": bool, "limit": BYTES}       [error log] [access log]   the server's own
    {"do": "names", "first": INDEX, "names": [...]}                                  of sites that may never wake
    {"do": "site", "index": N, "name": S, "own_error": bool, "own_access": bool}   socket [error log] [access log]
    {"do": "reopen", "index": N, "own_error": bool, "own_access": bool}              [error log] [access log]
    {"do": "asleep", "index": N}
    {"do": "front", "number": K}                                                     pipe
    {"do": "notes", "name": S}                                                       pipe

``limit``: of one writer in one file (log_max), in all files from then on; 0, or not said, is none.

A message that says anything else, or carries other descriptors than it says, is a `Bug` of the supervisor's.
"""

from __future__ import annotations

import json

from itkwsgi.errors import Bug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Protocol

    class Orders(Protocol):
        """Who carries the orders out.  Descriptors given to a method are its own from then on."""

        def use_files(self, error: int | None, access: int | None, limit: int) -> None: ...
        def learn_names(self, first: int, names: list[str]) -> None: ...
        def open_site(self, index: int, name: str, pipe: int, error: int | None, access: int | None) -> None: ...
        def reopen_site(self, index: int, error: int | None, access: int | None) -> None: ...
        def site_asleep(self, index: int) -> None: ...
        def open_front(self, number: int, pipe: int) -> None: ...
        def open_notes(self, name: str, pipe: int) -> None: ...


MAX_DESCRIPTORS = 3


def obey(data: bytes, fds: Sequence[int], orders: Orders) -> None:
    """Decode one message and have it carried out.  Raises `Bug` for a malformed one, before anything was done."""
    try:
        order = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Bug(f"an order to the log that is no JSON: {error}") from error
    if not isinstance(order, dict):
        raise Bug("an order to the log that is no object")
    table: Mapping[object, Callable[[dict[str, Any], Sequence[int], Orders], None]] = {
        "files": _files,
        "names": _names,
        "site": _site,
        "reopen": _reopen,
        "asleep": _asleep,
        "front": _front,
        "notes": _notes,
    }
    do = order.get("do")
    if not isinstance(do, str) or do not in table:
        raise Bug(f"an order the log does not know: {do!r}")
    table[do](order, fds, orders)


def _files(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    limit = _number(order, "limit") if "limit" in order else 0
    error, access = _carried(fds, _flag(order, "error"), _flag(order, "access"))
    orders.use_files(error, access, limit)


def _names(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    _carried(fds)
    names = order.get("names")
    if not isinstance(names, list):
        raise Bug("names that are no list")
    orders.learn_names(_number(order, "first"), [_word(name) for name in names])


def _site(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    index, name = _number(order, "index"), _word(order.get("name"))
    error, access = _carried(fds[1:], _flag(order, "own_error"), _flag(order, "own_access"))
    orders.open_site(index, name, _pipe(fds[:1]), error, access)


def _reopen(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    index = _number(order, "index")
    orders.reopen_site(index, *_carried(fds, _flag(order, "own_error"), _flag(order, "own_access")))


def _asleep(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    _carried(fds)
    orders.site_asleep(_number(order, "index"))


def _front(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    orders.open_front(_number(order, "number"), _pipe(fds))


def _notes(order: dict[str, Any], fds: Sequence[int], orders: Orders) -> None:
    name = order.get("name")
    if not isinstance(name, str) or not name.isprintable():
        raise Bug(f"the name {name!r}")
    orders.open_notes(name, _pipe(fds))


def _carried(fds: Sequence[int], *wanted: bool) -> list[int | None]:
    """Descriptors by what the message says it carries."""
    if len(fds) != sum(wanted):
        raise Bug(f"an order to the log with {len(fds)} descriptors")
    rest = iter(fds)
    return [next(rest) if here else None for here in wanted]


def _pipe(fds: Sequence[int]) -> int:
    if len(fds) != 1:
        raise Bug(f"an order to the log with {len(fds)} pipes")
    return fds[0]


def _number(order: dict[str, Any], key: str) -> int:
    value = order.get(key)
    if type(value) is not int or value < 0:
        raise Bug(f"{key} is {value!r}")
    return value


def _flag(order: dict[str, Any], key: str) -> bool:
    value = order.get(key)
    if not isinstance(value, bool):
        raise Bug(f"{key} is {value!r}")
    return value


def _word(value: object) -> str:
    """A site's name: one word, or it could pass for something else in a line."""
    if not isinstance(value, str) or not value.isprintable() or len(value.split()) != 1 or value != value.strip():
        raise Bug(f"the name {value!r}")
    return value
