"""Looks up the name of a host, within a limit that the system's resolver does not have.

Where no name server answers, the resolver waits for 5 seconds and more, several times, and cannot
be interrupted. So it is called in a thread. Where only one of the two questions of a look-up (IPv4,
IPv6) stays unanswered, it waits as long; so IPv4 is asked for once more alone. That second look-up
asks the next name server after a second: the first one may be the only one that is down.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import threading
from typing import Any

from cmx_resnet50.fetch import threads

FIRST = 3.5
"""Seconds in which a name server has to answer."""
AGAIN = 1.4
"""The same where the last look-up was not answered: all of them end within 5 seconds."""
FAILOVER = 5.0
"""Seconds after which the system asks the next name server, where there are several."""
ALONE = 1.0
"""Seconds after which IPv4 is asked for alone."""
HASTY = (1, 3)
"""Seconds after which a hasty look-up asks the next name server, and how often it asks each."""
CONFIGURATION = "/etc/resolv.conf"
MOST_SERVERS = 3
"""Name servers that the system asks at most."""

_last_was_silent = threading.Event()


class NameServerSilent(socket.gaierror):
    """No name server answered in time."""


class _LookUp:
    """One name that is asked for, by one thread or two."""

    def __init__(self, host: str, port: int) -> None:
        self._asked = host, port
        self._changed = threading.Condition()
        self._running = 0
        self._found: list[Any] | None = None
        self._failure: BaseException | None = None

    @property
    def answered(self) -> bool:
        """Whether a name server has said anything, if only about one family."""
        failure = self._failure
        return failure is not None and not _is_silence(failure)

    def start(self, family: int, *, hasty: bool) -> None:
        """Ask for the addresses of one family, in a thread of its own."""
        with self._changed:
            thread = threading.Thread(target=self._ask, args=(family, hasty), daemon=True)
            threads.start(thread)
            self._running += 1

    def _ask(self, family: int, hasty: bool) -> None:
        found, failure = None, None
        if hasty:
            _hasten()
        try:
            found = socket.getaddrinfo(*self._asked, family, socket.SOCK_STREAM)
        except Exception as error:
            failure = error
        if not _is_silence(failure):
            _last_was_silent.clear()
        with self._changed:
            self._running -= 1
            self._found = self._found or found
            self._failure = self._failure or failure
            self._changed.notify_all()

    def wait(self, seconds: float) -> list[Any] | None:
        """Return what was found; None where nobody has answered so far."""
        with self._changed:
            self._changed.wait_for(lambda: self._found or not self._running, seconds)
            if self._found is None and not self._running and self._failure is not None:
                raise self._failure
            return self._found


def look_up(host: str, port: int) -> list[Any]:
    """Return what ``getaddrinfo`` finds for TCP.

    Raises
    ------
    socket.gaierror
        If the name cannot be resolved; `NameServerSilent` if nobody answers.
    """
    look_up = _LookUp(host, port)
    again = _last_was_silent.is_set()
    try:
        look_up.start(socket.AF_UNSPEC, hasty=again)
    except RuntimeError:
        # No thread is to be had.
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    limit = AGAIN if again else FIRST
    head_start = min(ALONE, limit / 2)
    found = look_up.wait(head_start)
    if found is None:
        with contextlib.suppress(RuntimeError):
            look_up.start(socket.AF_INET, hasty=True)
        found = look_up.wait(limit - head_start)
    if found is None and not again and (look_up.answered or _glibc() is None):
        # The next name server has not been asked for everything yet.
        failover = FAILOVER * (_name_servers() - 1)
        limit += failover
        found = look_up.wait(failover)
    if found is None:
        _last_was_silent.set()
        raise NameServerSilent(socket.EAI_AGAIN, f"no name server answered within {limit:g} s")
    return found


def _is_silence(failure: BaseException | None) -> bool:
    return isinstance(failure, socket.gaierror) and failure.errno == socket.EAI_AGAIN


def _hasten() -> None:
    """Make the look-ups of this thread hasty, where glibc does them.

    By `_res` of resolver(3), which each thread has of its own. It begins with `retrans`, the
    seconds, and `retry`, the number of rounds. What an earlier thread left there is set to 0:
    `res_init` would take it for what is configured.
    """
    libc = _glibc()
    if libc is not None:
        state = libc.__res_state()
        state[0] = state[1] = 0
        libc.__res_init()
        state[0], state[1] = HASTY


@functools.cache
def _glibc() -> Any:
    """Return glibc, or None on other systems, which may ask all name servers at once."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        libc.__res_state.restype = ctypes.POINTER(ctypes.c_int)
        _ = libc.__res_init, libc.gnu_get_libc_version
    except (ImportError, OSError, AttributeError, TypeError, MemoryError):
        return None
    return libc


def _name_servers() -> int:
    """Return how many name servers the system asks one after another."""
    try:
        with open(CONFIGURATION, encoding="utf-8", errors="replace") as file:
            found = re.findall(r"^\s*nameserver\s", file.read(65536), re.MULTILINE)
    except OSError:
        return 1
    return max(1, min(MOST_SERVERS, len(found)))
