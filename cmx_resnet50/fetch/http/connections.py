"""How a connection is opened: all addresses of a host race, so that a dead one costs little.

"Happy Eyeballs" of RFC 8305, for two kinds of half-broken networks: an IPv6 address that swallows
packets, and one of several hosts behind a name that is down. The address that answered is tried
first the next time.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.util.wait import wait_for_read

from cmx_resnet50.fetch.http.lookup import look_up

HEAD_START = 0.25
"""Seconds after which the next address is tried as well (RFC 8305, section 5)."""

INFORMATIONAL = 16
"""Answers like 103 (Early Hints) that may come before the one that counts."""

Address = tuple[int, int, int, Any]
"""Family, type, protocol and address, as a socket takes them."""

_UNUSABLE = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What an address of a family is answered by that this machine has no network for."""

_answered: dict[tuple[str, int], Any] = {}
"""The address that answered last, of each host and port that this process connected to."""


def connect(
    host: str,
    port: int,
    timeout: float | None,
    options: Iterable[tuple[int, int, int | bytes]] = (),
) -> socket.socket:
    """Return a connection to the first address of `host` that answers.

    Parameters
    ----------
    host : str
        A name or an address, without brackets.
    port : int
    timeout : float, optional
        Seconds for all addresses together, and for each operation on the connection afterwards.
    options : iterable of tuple
        What ``setsockopt`` is called with.

    Raises
    ------
    socket.gaierror
        If the name cannot be resolved.
    OSError
        What the first address was answered by that this machine has a network for.
    """
    found = look_up(host, port)
    addresses = _ordered(
        [(family, kind, protocol, address) for family, kind, protocol, _, address in found],
        _answered.get((host, port)),
    )
    winner, address = _race(addresses, timeout, tuple(options))
    _answered[host, port] = address
    winner.settimeout(timeout)
    return winner


def _ordered(addresses: Sequence[Address], first: Any) -> list[Address]:
    """Return `addresses` with the families in turn, but the one that answered last in front."""
    families = dict.fromkeys(address[0] for address in addresses)
    rows = [[address for address in addresses if address[0] == family] for family in families]
    mixed = [address for turn in zip_longest(*rows) for address in turn if address is not None]
    return sorted(mixed, key=lambda address: address[3] != first)


def _race(
    addresses: list[Address], timeout: float | None, options: tuple[Any, ...]
) -> tuple[socket.socket, Any]:
    deadline = time.monotonic() + (timeout if timeout is not None else 86_400.0)
    failure: OSError | None = None
    waiting = list(addresses)
    due = 0.0
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                now = time.monotonic()
                if waiting and (now >= due or not selector.get_map()):
                    address = waiting.pop(0)
                    due = now + HEAD_START
                    try:
                        _start(selector, address, options)
                    except OSError as error:
                        failure, due = _better(failure, error), now
                    continue
                until = min(deadline, due) if waiting else deadline
                for key, _ in selector.select(max(0.0, until - now)):
                    sock: Any = key.fileobj
                    selector.unregister(sock)
                    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not number:
                        return sock, key.data
                    sock.close()
                    failure, due = _better(failure, OSError(number, os.strerror(number))), now
                if time.monotonic() >= deadline:
                    raise TimeoutError("timed out")
        finally:
            for key in list((selector.get_map() or {}).values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise failure or OSError("the name has no address")


def _start(selector: selectors.BaseSelector, address: Address, options: tuple[Any, ...]) -> None:
    family, kind, protocol, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.setblocking(False)
        number = sock.connect_ex(where)
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR):
            raise OSError(number, os.strerror(number))
        selector.register(sock, selectors.EVENT_WRITE, where)
    except BaseException:
        sock.close()
        raise


def _better(before: OSError | None, now: OSError) -> OSError:
    """Return the more informative one of two failures."""
    return now if before is None or before.errno in _UNUSABLE else before


class DirectResponse(http.client.HTTPResponse):
    """Passes over informational answers; http.client takes any but 100 for the answer itself.

    Its body can be read into a buffer, as much as there is at once: TLS gives a record of 16 KB a
    read, and three layers of wrappers around each of 6,000 reads cost more than the decryption.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        # TLS through a proxy that speaks TLS itself is not a socket.
        self._direct = sock if isinstance(sock, socket.socket) else None
        self._buffered = True
        """Whether the reader of the headers may have read on into the body."""
        self._failure: OSError | None = None
        """What is raised once the bytes that came before it were handed on."""

    def read_available(self, buffer: memoryview) -> int:
        """Read what there is into `buffer`, waiting for the first byte only.

        Returns 0 at the end of the body, wherever that is, and where `read1` has to be used.
        """
        sock = self._direct
        if sock is None or self.fp is None or self.chunked or not self.length:
            return 0
        if self._failure is not None:
            raise self._failure
        limit = min(len(buffer), self.length)
        count = 0
        if self._buffered:
            data = self.fp.read1(limit)
            count = len(data)
            buffer[:count] = data
            self._buffered = False
        timeout = sock.gettimeout()
        sock.settimeout(0.0)
        try:
            while count < limit:
                try:
                    more = sock.recv_into(buffer[count:limit])
                except (BlockingIOError, ssl.SSLWantReadError):
                    if count:
                        break
                    if not wait_for_read(sock, timeout):
                        raise TimeoutError("timed out") from None
                    continue
                if not more:
                    break
                count += more
        except OSError as error:
            if not count:
                raise
            self._failure = error
        finally:
            with contextlib.suppress(OSError):
                sock.settimeout(timeout)
        self.length -= count
        return count

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(INFORMATIONAL):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 < status < 200 or status == 101:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many informational answers")


class _Racing:
    """Opens the connection of urllib3's classes by `connect`."""

    host: str
    port: int
    timeout: float | None
    socket_options: Any
    _dns_host: str

    def _new_conn(self) -> socket.socket:
        host = self._dns_host.strip("[]")
        try:
            sock = connect(host, self.port, self.timeout, self.socket_options or ())
        except UnicodeError:
            raise LocationParseError(f"'{host}', label empty or too long") from None
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]
        sys.audit("http.client.connect", self, self.host, self.port)
        return sock


class _Connection(_Racing, HTTPConnection):
    response_class = DirectResponse


class _SecureConnection(_Racing, HTTPSConnection):
    response_class = DirectResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


POOLS = {"http": _Pool, "https": _SecurePool}
"""For urllib3's pool managers, by scheme."""
