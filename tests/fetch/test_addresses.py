"""A host with several addresses, of which one is dead."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.fetch import FetchError, Source
from cmx_resnet50.fetch.http import connections
from tests.fetch.conftest import CONTENT, QUICK, assert_whole, get
from tests.harness.file_server import FileServer
from tests.harness.waiting import until

NAME = "mirror.example.org"
PATIENT = replace(QUICK, connect_timeout=3600.0)
DEAD, UNREACHABLE, REFUSING = "127.0.0.2", "240.0.0.1", "127.0.0.3"
GOOD = "127.0.0.1"


@pytest.fixture
def hole(server: FileServer) -> Iterator[None]:
    """An address that swallows packets: the queue of who waits to be accepted is full."""
    kept = [socket.socket()]
    kept[0].bind((DEAD, server.port))
    kept[0].listen(0)
    for _ in range(4):
        kept.append(socket.socket())
        kept[-1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            kept[-1].connect((DEAD, server.port))
    yield
    for one in kept:
        one.close()


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the name stand for some addresses."""
    real = socket.getaddrinfo

    def addresses(*given: str) -> None:
        def answer(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
            if host != NAME:
                return real(host, port, *args, **options)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in given]

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    connections._answered.clear()
    return addresses


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which a connection was begun."""
    found: list[str] = []
    real = connections._start

    def start(selector: Any, address: Any, options: Any) -> None:
        found.append(address[3][0])
        real(selector, address, options)

    monkeypatch.setattr(connections, "_start", start)
    return found


def url(server: FileServer) -> Source:
    return Source(server.url.replace("127.0.0.1", NAME), named_by_user=True)


def test_an_address_that_swallows_packets_costs_little(
    hole: None,
    server: FileServer,
    resolve: Callable[..., None],
    tried: list[str],
    partial: Path,
) -> None:
    resolve(DEAD, GOOD)
    # One by one, the first would have its hour.
    thread = threading.Thread(
        target=get, args=([url(server)], partial), kwargs={"options": PATIENT}, daemon=True
    )
    thread.start()
    until(lambda: not thread.is_alive())
    assert partial.read_bytes() == CONTENT
    assert tried[:2] == [DEAD, GOOD]
    tried.clear()
    partial.unlink()
    assert_whole(get([url(server)], partial, options=PATIENT), partial)
    assert DEAD not in tried


def test_one_that_refuses_makes_way_at_once(
    server: FileServer, resolve: Callable[..., None], tried: list[str], partial: Path
) -> None:
    resolve(REFUSING, GOOD)
    assert_whole(get([url(server)], partial), partial)
    assert tried[:2] == [REFUSING, GOOD]


def test_families_take_turns(tried: list[str]) -> None:
    six = [(socket.AF_INET6, 1, 6, (f"::{n}", 1, 0, 0)) for n in range(3)]
    four = [(socket.AF_INET, 1, 6, (f"10.0.0.{n}", 1)) for n in range(2)]
    mixed = connections._ordered([*six, *four], None)
    assert mixed == [six[0], four[0], six[1], four[1], six[2]]
    assert connections._ordered([*six, *four], four[1][3])[0] == four[1]


def test_all_that_fail_are_told_by_the_one_that_says_most(
    server: FileServer,
    resolve: Callable[..., None],
    partial: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = connections._start

    def start(selector: Any, address: Any, options: Any) -> None:
        if address[3][0] == UNREACHABLE:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        real(selector, address, options)

    monkeypatch.setattr(connections, "_start", start)
    resolve(UNREACHABLE, REFUSING, UNREACHABLE)
    with pytest.raises(FetchError, match=r"Connection refused \(ECONNREFUSED\)"):
        get([url(server)], partial)


def test_a_time_out_is_one_for_all_addresses(
    hole: None, server: FileServer, resolve: Callable[..., None], partial: Path
) -> None:
    resolve(DEAD, DEAD, DEAD)
    with pytest.raises(FetchError, match="did not accept a connection in time"):
        get([url(server)], partial, options=replace(QUICK, connect_timeout=0.6, retries=0))
    assert not server.requests
