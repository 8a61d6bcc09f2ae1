"""Sockets: other sites' pools, the server's listeners and channels, forged senders, and the network's privileges.

And descriptors: whatever this process holds beyond what it was given.
"""

from __future__ import annotations

import os
import socket
import stat
import struct

from tests.root.attacks.attempt import Missing, Way, refuse

SO_MARK, SO_RCVBUFFORCE, SO_PRIORITY = 36, 33, 12
NETLINK_ROUTE, RTM_NEWADDR, NLM_REQUEST_ACK = 0, 20, 5
CREDENTIALS = struct.Struct("3i")
GET_VALUES = b"\x01\x09\x00\x00\x00\x00\x00\x00"


def connecting(find):
    def way(targets):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(3)
            sock.connect(find(targets))
        return "connected"

    return way


def pool_socket(targets):
    return targets["files"]["pool socket"]


def by_the_fronts_directory(targets):
    """The front stands in the directory of the pools."""
    return f"/proc/{targets['pids']['front']}/cwd/{os.path.basename(pool_socket(targets))}"


def by_the_pools_descriptor(targets):
    return f"/proc/{targets['pids']['pool']}/fd/3"


def stand_in_for_the_pool(targets):
    path = f"{targets['files']['pools']}/999{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    os.unlink(path)
    return "bound"


def same_port(targets):
    """A second listener at the server's port would get a share of all sites' visitors."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", targets["port"]))
        sock.listen()
    return "listening beside the server"


def low_port(targets):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        if int(file.read()) < 1024:
            raise Missing("on this machine anybody may have a low port")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 919))
    return "port 919"


def forging(pid, uid, gid):
    """Who a message comes from, as unix(7) lets its receiver ask."""

    def way(targets):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        said = CREDENTIALS.pack(pid(targets), uid(targets), gid(targets))
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, said)])
        return CREDENTIALS.unpack(theirs.recvmsg(1, 100)[1][0][2])

    return way


def raw(family, kind, protocol):
    def way(targets):
        socket.socket(family, kind, protocol).close()
        return "a raw socket"

    return way


def option(number, value):
    def way(targets):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, number, value)
        return f"option {number}"

    return way


def add_address(targets):
    """127.9.9.9, which loopback answers to anyway: only the permission is asked."""
    message = struct.pack("=BBBBi", socket.AF_INET, 8, 0x80, 254, 1) + struct.pack("=HH4B", 8, 2, 127, 9, 9, 9)
    header = struct.pack("=IHHII", 16 + len(message), RTM_NEWADDR, NLM_REQUEST_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as sock:
        sock.settimeout(3)
        sock.send(header + message)
        error = -struct.unpack_from("=i", sock.recv(100), 16)[0]
    return refuse(error) if error not in (0, 17) else "an address"


# --- descriptors


def more_than_given(targets):
    """``descriptors``: how the link of each begins that it may have, in any order."""
    expected = list(targets["descriptors"])
    more = []
    for link in links():
        given = next((start for start in expected if link.startswith(start)), None)
        if given is None:
            more.append(link)
        else:
            expected.remove(given)
    return more or refuse()


def links():
    for name in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # it was the listing's own


def a_listener_or_foreign_socket(targets):
    """A socket that is no connection to the front: a listener that is not this pool's own, TCP, a control channel."""
    return [link for number in numbers() if (link := foreign(number, targets))] or refuse()


def numbers():
    return [int(name) for name in os.listdir("/proc/self/fd")]


def foreign(number, targets):
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return ""
    except OSError:
        return ""
    with socket.socket(fileno=os.dup(number)) as sock:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM or (listens and number != 3):
            return f"{number}: {sock}"
    return ""


def reopening(number, flags):
    """A descriptor's link in /proc opens what it points at anew, with other rights, if the file's mode lets one."""

    def way(targets):
        os.close(os.open(f"/proc/self/fd/{number}", flags | os.O_NONBLOCK))
        return "opened anew"

    return way


def nothing(targets):
    return 0


OBSERVED = "an observation of this very process"
WAYS = {
    "connect to the victim's pool": Way(connecting(pool_socket), control="front"),
    "connect by the front's directory": Way(connecting(by_the_fronts_directory)),
    "connect by the pool's descriptor": Way(
        connecting(by_the_pools_descriptor),
        control="",
        why="a link in /proc to a socket connects nobody, not even root",
    ).may_be_refused_by("ECONNREFUSED", "ENOENT"),
    "stand in for a pool": Way(stand_in_for_the_pool),
    "listen at the server's port": Way(same_port, control="", why="the port is taken for everybody").may_be_refused_by(
        "EADDRINUSE"
    ),
    "listen at a low port": Way(low_port),
    "forge a uid": Way(forging(lambda _: os.getpid(), nothing, lambda _: os.getgid())),
    "forge a gid": Way(forging(lambda _: os.getpid(), lambda _: os.getuid(), nothing)),
    "forge a pid": Way(forging(lambda targets: targets["pids"]["front"], lambda _: os.getuid(), lambda _: os.getgid())),
    "forge the front": Way(
        forging(
            lambda targets: targets["pids"]["front"], lambda targets: targets["ids"]["front"], lambda _: os.getgid()
        )
    ),
    "listen to the wire": Way(raw(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))),
    "forge packets": Way(raw(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)),
    "mark packets": Way(option(SO_MARK, 7)),
    "take more memory for a socket": Way(option(SO_RCVBUFFORCE, 1 << 30)),
    "a network priority": Way(option(SO_PRIORITY, 7)),
    "add an address": Way(add_address),
    "a descriptor more": Way(more_than_given, control="", why=OBSERVED),
    "a foreign socket": Way(a_listener_or_foreign_socket, control="", why=OBSERVED),
    **{
        f"reopen descriptor {number} to {verb}": Way(
            reopening(number, flags), control="", why="root has no such descriptor"
        ).may_be_refused_by("ENXIO", "ENOENT")
        for number in (1, 2, 3, 4)
        for verb, flags in (("read", os.O_RDONLY), ("read and write", os.O_RDWR))
    },
}
