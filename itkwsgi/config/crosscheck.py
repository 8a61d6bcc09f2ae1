"""What only shows when all sites are seen together: names, listeners, sockets and users that meet.

Pure: it is given the resolved sites, each with the section it was said in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from itkwsgi.config.model import Listen, Problem, Server, Vhost
from itkwsgi.config.reading import Section

Site: TypeAlias = tuple[Vhost, Section]

_EVERYWHERE = ("0.0.0.0", "::")
_MANY = 5


def errors(server: Section, sites: Sequence[Site]) -> Iterator[Problem]:
    """Everything that clashes."""
    yield from clashing_names(sites)
    yield from second_defaults(sites)
    yield from clashing_listeners(server, sites)
    yield from clashing_sockets(server, sites)


def notes(sites: Sequence[Site]) -> Iterator[Problem]:
    """Sites of one user are one domain of trust."""
    by_uid: dict[int, list[Site]] = {}
    for vhost, section in sites:
        if vhost.ids is not None:
            by_uid.setdefault(vhost.ids.uid, []).append((vhost, section))
    for uid, shared in by_uid.items():
        if len(shared) > 1:
            names = enumerated(vhost.name or "a site without a name" for vhost, _ in shared)
            yield shared[0][1].fault("user", f"uid {uid} is shared by {names}: each can do to the others what it likes")


def enumerated(names: Iterable[str]) -> str:
    """A list of names for a message, cut when long."""
    found = list(names)
    if len(found) <= _MANY:
        return ", ".join(found)
    return f"{', '.join(found[:_MANY])} and {len(found) - _MANY} more"


def clashing_names(sites: Iterable[Site]) -> Iterator[Problem]:
    """A name that two sites have on one listener: said once for each name of the later site."""
    owners: dict[tuple[str, str], Vhost] = {}
    for vhost, section in sites:
        for name in filter(None, (vhost.name, *vhost.aliases)):
            texts = [listen.text for listen in vhost.listens]
            other = next((owners[text, name] for text in texts if (text, name) in owners), None)
            if other is not None:
                message = f"{name} is already a name of the site at {other.where}"
                aliases = section.values["aliases"]
                at_name = name == vhost.name
                yield (
                    section.fault("name", message)
                    if at_name
                    else section.fault_at("aliases", aliases.index(name), message)
                )
            for text in texts:
                owners.setdefault((text, name), vhost)


def second_defaults(sites: Iterable[Site]) -> Iterator[Problem]:
    """Two sites that would answer for unknown names on one listener."""
    owners: dict[str, Vhost] = {}
    for vhost, section in sites:
        if not vhost.default:
            continue
        taken = next((listen.text for listen in vhost.listens if listen.text in owners), None)
        if taken is not None:
            other = owners[taken]
            yield section.fault("default", f"{other.name} at {other.where} is already the default on {taken}")
        for listen in vhost.listens:
            owners.setdefault(listen.text, vhost)


def said_listeners(server: Section, sites: Iterable[Site]) -> Iterator[tuple[int, Listen, Section]]:
    """Every address, with its index in the list of the table that says it."""
    for section in (server, *(section for _, section in sites)):
        for index, listen in enumerate(section.values["listen"] or ()):
            yield index, listen, section


def union(server: Server, vhosts: Iterable[Vhost]) -> tuple[Listen, ...]:
    """Every address to bind, each once: the server's first."""
    return tuple(dict.fromkeys(listen for said in (server.listen, *(v.listens for v in vhosts)) for listen in said))


def clashing_listeners(server: Section, sites: Sequence[Site]) -> Iterator[Problem]:
    """All addresses of the machine and one of them, on one port: the kernel gives it to one socket only (bind(2))."""
    seen: dict[tuple[bool, int], dict[str, tuple[Listen, Section]]] = {}
    for index, listen, section in said_listeners(server, sites):
        if listen.kind != "tcp":
            continue
        same_port = seen.setdefault((":" in listen.host, listen.port), {})
        if listen.host not in same_port:
            everywhere = listen.host in _EVERYWHERE
            clash = next((said for host, said in same_port.items() if everywhere or host in _EVERYWHERE), None)
            if clash is not None:
                other, where = clash[0].text, clash[1].place.where
                yield section.fault_at("listen", index, f"{listen.text} clashes with {other} of the table at {where}")
            same_port[listen.host] = (listen, section)


def clashing_sockets(server: Section, sites: Sequence[Site]) -> Iterator[Problem]:
    """Unix sockets at one path: a pool_socket is one site's alone."""
    owners = {listen.path: section for _, listen, section in said_listeners(server, sites) if listen.kind == "unix"}
    for _, section in sites:
        said = section.values["pool_socket"]
        if said is None:
            continue
        if said["path"] in owners:
            where = owners[said["path"]].place.where
            yield section.fault("pool_socket", f"{said['path']} is already a socket of the table at {where}")
        owners.setdefault(said["path"], section)
