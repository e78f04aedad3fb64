"""The server's side of SOCKS version 5 (RFC 1928), with a password or without (RFC 1929)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import BinaryIO

VERSION = b"\x05"
"""The first byte of a connection to a SOCKS proxy."""

_OPEN, _PASSWORD, _NONE = 0, 2, 0xFF
_IPV4, _NAME, _IPV6 = 1, 3, 4
_DONE, _UNREACHABLE = 0, 4


def read_target(
    reader: BinaryIO, write: Callable[[bytes], None], login: tuple[str, str] | None
) -> str | None:
    """Negotiate, with `login` if there is one, and return the requested ``host:port``.

    Returns None where the login is missing or wrong; the client has its answer then.
    """
    reader.read(1)
    offered = reader.read(reader.read(1)[0])
    wanted = _OPEN if login is None else _PASSWORD
    write(bytes([5, wanted if wanted in offered else _NONE]))
    if wanted not in offered:
        return None
    if login is not None:
        reader.read(1)
        given = (reader.read(reader.read(1)[0]).decode(), reader.read(reader.read(1)[0]).decode())
        write(bytes([1, given != login]))
        if given != login:
            return None
    *_, kind = reader.read(4)
    if kind == _NAME:
        host = reader.read(reader.read(1)[0]).decode()
    else:
        host = str(ipaddress.ip_address(reader.read(4 if kind == _IPV4 else 16)))
    return f"{host}:{int.from_bytes(reader.read(2), 'big')}"


def answer(write: Callable[[bytes], None], *, reachable: bool) -> None:
    """Report to the client that it is connected, or that the host is unreachable."""
    write(bytes([5, _DONE if reachable else _UNREACHABLE, 0, _IPV4, 0, 0, 0, 0, 0, 0]))
