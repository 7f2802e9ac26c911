"""Where the server listens; without TensorFlow, so that a taken port is said at once."""

import ipaddress
import socket
from collections.abc import Collection

from realwaste.core.errors import UserError

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def bound(host: str, port: int) -> socket.socket:
    """A socket that waits at this address, `::` for both families; port 0 takes a free one.

    Raises:
        UserError: no such address here, or the port is taken.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = family == socket.AF_INET6 and ipaddress.ip_address(address[0]).is_unspecified
        return socket.create_server(address, family=family, dualstack_ipv6=both and socket.has_dualstack_ipv6())
    except (OSError, OverflowError, UnicodeError) as error:
        rule = f"{host} must be an address of this machine, and its port {port} free."
        raise UserError(rule, "Choose another by --host or --port; port 0 takes a free one.", str(error)) from None


def names(listening: socket.socket, host: str, allowed: Collection[str] = ()) -> tuple[str, ...] | None:
    """What requests may call a server on this socket; None, which is anything, where it is open to other machines.

    Args:
        listening: as `bound` gives it.
        host: what the person called it.
        allowed: further names, as that of a proxy before it; where there are any, they bind an open server too.
    """
    if allowed or ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
        return (*_LOOPBACK_NAMES, host.lower(), *(name.lower() for name in allowed))
    return None
