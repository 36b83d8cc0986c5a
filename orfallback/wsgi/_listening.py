"""Where a server listens."""

from __future__ import annotations

import socket


def resolved(host: str, port: int) -> tuple[socket.AddressFamily, str]:
    """Return the kind of address that a host has, and the address.

    :raises OSError: if it has none.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        # What the resolver's codec says of a name that is too long.
        raise OSError("no host can be called so") from None
    family, _, _, _, address = found[0]
    return family, str(address[0])


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and does not listen yet.

    :raises OSError: if there is no such address, or somebody has it.
    """
    family, address = resolved(host, port)
    return socket.create_server((address, port), family=family)
