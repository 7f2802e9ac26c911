"""The socket that a server listens on. Imports nothing heavy, so that an occupied port is reported at once."""

import ipaddress
import socket
from collections.abc import Collection

from realwaste.core.errors import UserError

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def bind_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket at this address; `::` accepts IPv4 and IPv6, port 0 picks a free port.

    Raises:
        UserError: this machine does not have the address, or the port is in use.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        dual_stack = family == socket.AF_INET6 and ipaddress.ip_address(address[0]).is_unspecified
        return socket.create_server(address, family=family, dualstack_ipv6=dual_stack and socket.has_dualstack_ipv6())
    except (OSError, OverflowError, UnicodeError) as error:
        rule = f"{host} must be an address of this machine, and its port {port} free."
        raise UserError(rule, "Choose another with --host or --port; port 0 picks a free one.", str(error)) from None


def allowed_hosts(
    listening_socket: socket.socket, host: str, extra_names: Collection[str] = ()
) -> tuple[str, ...] | None:
    """The host names that requests may address; None for any, if the socket is reachable from other machines.

    Args:
        extra_names: further names, such as that of a proxy. If there are any, they also restrict a public server.
    """
    if extra_names or ipaddress.ip_address(listening_socket.getsockname()[0]).is_loopback:
        return (*_LOOPBACK_NAMES, host.lower(), *(name.lower() for name in extra_names))
    return None
