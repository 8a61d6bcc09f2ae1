"""Every attempt by its name.  A new one is a line in the WAYS of its module."""

from __future__ import annotations

from tests.root.attacks.ways import confined, files, identity, kernel, limits, memory, processes, shared, sockets

GROUPS = {
    "identity": identity.WAYS,
    "processes": processes.WAYS,
    "files": files.WAYS,
    "sockets": sockets.WAYS,
    "shared": shared.WAYS,
    "memory": memory.WAYS,
    "limits": limits.WAYS,
    "kernel": kernel.WAYS,
}
WAYS = {name: way for ways in GROUPS.values() for name, way in ways.items()}

# Ends the process where a filter does not know that table of calls; in a role that would be its own end.
_DEADLY = {"setuid of the 32-bit table", "setgid of the 32-bit table", "setuid of the x32 table"}
# Not said of a role, but of a site, or of the way a site is started.
_OF_A_SITE = {"a descriptor more", "a foreign socket", *memory.WAYS} - {"objects of the server or of others"}
_NEVER = _DEADLY | _OF_A_SITE | {name for name in sockets.WAYS if name.startswith("reopen")}


def _but(ways, names, parts=()):
    return {name: way for name, way in ways.items() if name not in names and not any(part in name for part in parts)}


_OF_OTHERS = _but(confined.FILES, (), (" by ",))  # those need a site's directory, or a process of its user's

# What a front that was taken over may do: speak to pools, and write below its spool.
IN_FRONT = {
    **_but(
        WAYS,
        _NEVER | {"connect to the victim's pool", "connect by the front's directory", "list bodies"},
        (" the front", "in bodies", "become front", "of front"),
    ),
    **confined.FORK,
    **confined.EXEC,
    **confined.NETWORK,
    **confined.MEMORY,
    **_OF_OTHERS,
}
IN_LOG = {
    **_but(WAYS, _NEVER, (" the log",)),
    **confined.FORK,
    **confined.EXEC,
    **confined.NETWORK,
    **confined.MEMORY,
    **_OF_OTHERS,
}
# A zygote may become any site's user, and join any group: setgroups is given a pointer, which no filter can follow.  It
# has four capabilities (SETUID opens persistent keyrings too), and no no_new_privs, for a site may be allowed helpers.
IN_ZYGOTE = {
    **_but(identity.WAYS, _DEADLY, (" victim", "zygote", "join the group", "capability", "program", "python")),
    **_but(kernel.WAYS, (), ("persistent",)),
}
ZYGOTE_MAY = {name: way for name, way in identity.WAYS.items() if " victim by " in name}
# In a user namespace that has only the ranges, these do not exist, not as groups either.
IN_NAMESPACE = {name: way for name, way in identity.WAYS.items() if " root by " in name}

# What a setting forbids, by what the site's settings say.
FORBIDDEN = {
    "exec": confined.EXEC,
    "fork": confined.FORK,
    "network": confined.NETWORK,
    "ptrace": confined.PTRACE,
    "open_basedir": {**confined.FILES, **confined.SCOPES},
}
ALLOWED = confined.ALLOWED  # whatever is forbidden
LIMITS = limits.FIXED
