"""Name servers that drop packets: all of them, or those about IPv6."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.fetch import FetchError, FetchOptions
from cmx_resnet50.fetch.http import lookup
from tests.fetch.conftest import assert_whole, get
from tests.fetch.test_no_network import ASK, ROOT
from tests.harness.file_server import FileServer

HOSTS = ("a.example.org", "b.example.org", "c.example.org", "d.example.org")


class Resolver:
    """The system's resolver, which waits as long as `silent` says so of a question."""

    def __init__(self, silent: Callable[[str, int], bool], address: str = "127.0.0.1") -> None:
        self.silent = silent
        self.address = address
        self.asked: list[tuple[str, int]] = []
        self.released = threading.Event()

    def __call__(self, host: str, port: int, family: int = 0, *rest: Any, **more: Any) -> list[Any]:
        self.asked.append((host, family))
        if self.silent(host, family):
            self.released.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, port))]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Resolver]]:
    made: list[Resolver] = []

    def make(silent: Callable[[str, int], bool]) -> Resolver:
        made.append(Resolver(silent))
        monkeypatch.setattr(socket, "getaddrinfo", made[-1])
        return made[-1]

    monkeypatch.setattr(lookup, "FIRST", 0.2)
    monkeypatch.setattr(lookup, "AGAIN", 0.1)
    monkeypatch.setattr(lookup, "ALONE", 0.05)
    monkeypatch.setattr(lookup, "CONFIGURATION", "/dev/null")
    lookup._last_was_silent.clear()
    yield make
    for one in made:
        one.released.set()
    lookup._last_was_silent.clear()


def test_the_limits_end_the_round_within_five_seconds() -> None:
    assert lookup.FIRST + lookup.AGAIN < 5.0 == lookup.FAILOVER


def test_silence_is_found_out_by_two_hosts(
    resolver: Callable[..., Resolver], partial: Path
) -> None:
    silent = resolver(lambda host, family: True)
    with pytest.raises(FetchError) as caught:
        get([f"https://{host}/f" for host in HOSTS], partial, options=FetchOptions())
    alone = [(host, family) for host in HOSTS[:2] for family in (0, socket.AF_INET)]
    assert silent.asked == alone
    assert [attempt.retries for attempt in caught.value.attempts] == [0, 0]
    text = str(caught.value)
    assert text.count("Is this machine connected?") == 1
    assert "cannot be resolved: no name server answered within 0.2 s" in text
    assert "cannot be resolved: no name server answered within 0.1 s" in text


def test_a_server_that_answers_for_ipv4_only(
    resolver: Callable[..., Resolver], server: FileServer, partial: Path
) -> None:
    one = resolver(lambda host, family: family != socket.AF_INET)
    url = server.url.replace("127.0.0.1", "localhost")
    assert_whole(get([url], partial), partial)
    assert [family for _, family in one.asked[:2]] == [0, socket.AF_INET]


def test_a_host_whose_own_servers_are_down(
    resolver: Callable[..., Resolver], server: FileServer, partial: Path
) -> None:
    one = resolver(lambda host, family: host == HOSTS[0])
    url = server.url.replace("127.0.0.1", "localhost")
    assert_whole(get([f"https://{HOSTS[0]}/f", url], partial), partial)
    assert one.asked[-1] == ("localhost", 0)
    assert not lookup._last_was_silent.is_set()


def test_the_next_server_is_asked_soon(
    monkeypatch: pytest.MonkeyPatch, resolver: Callable[..., Resolver]
) -> None:
    """By the second look-up; the first is the one of the system."""
    hasty: list[int] = []
    monkeypatch.setattr(lookup, "_hasten", lambda: hasty.append(threading.get_ident()))
    one = resolver(lambda host, family: threading.get_ident() not in hasty)
    assert lookup.look_up(HOSTS[0], 443)
    assert [family for _, family in one.asked] == [0, socket.AF_INET]


def test_after_silence_the_next_server_is_asked_soon_at_once(
    monkeypatch: pytest.MonkeyPatch, resolver: Callable[..., Resolver]
) -> None:
    hasty: list[int] = []
    monkeypatch.setattr(lookup, "_hasten", lambda: hasty.append(threading.get_ident()))
    one = resolver(lambda host, family: threading.get_ident() not in hasty)
    lookup._last_was_silent.set()
    assert lookup.look_up(HOSTS[0], 443)
    assert [family for _, family in one.asked] == [0]


@pytest.mark.parametrize("reason", ["another C library", "IPv6 only"])
def test_where_the_system_has_to_ask_the_next_server(
    monkeypatch: pytest.MonkeyPatch, resolver: Callable[..., Resolver], tmp_path: Path, reason: str
) -> None:
    """It does after 5 seconds, and that is waited for."""
    monkeypatch.setattr(lookup, "FAILOVER", 60.0)
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\nnameserver 192.0.2.2\n")
    monkeypatch.setattr(lookup, "CONFIGURATION", str(tmp_path / "resolv.conf"))
    if reason == "another C library":
        monkeypatch.setattr(lookup, "_glibc", lambda: None)
    one = resolver(lambda host, family: True)

    def ask(host: str, port: int, family: int = 0, *rest: Any) -> list[Any]:
        if family == socket.AF_INET and reason == "IPv6 only":
            raise socket.gaierror(socket.EAI_NONAME, "No address associated with hostname")
        if family == 0:
            one.released.wait(3 * lookup.FIRST)
            one.silent = lambda host, family: False
        return one(host, port, family)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    assert lookup.look_up(HOSTS[0], 443)


@pytest.mark.parametrize(("servers", "asked"), [(0, 1), (1, 1), (2, 2), (5, 3)])
def test_how_many_servers_the_system_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: int, asked: int
) -> None:
    lines = [f"nameserver 192.0.2.{number}" for number in range(servers)]
    (tmp_path / "resolv.conf").write_text("\n".join(["# nameserver", "search x", *lines]))
    monkeypatch.setattr(lookup, "CONFIGURATION", str(tmp_path / "resolv.conf"))
    assert lookup._name_servers() == asked


def test_without_a_thread(monkeypatch: pytest.MonkeyPatch, server: FileServer) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert lookup.look_up("127.0.0.1", 80)


SERVERS = """
import atexit, socket, subprocess, sys, threading
configuration, answering = sys.argv.pop(1), sys.argv.pop(1)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["mount", "--bind", configuration, "/etc/resolv.conf"], check=True)
asked = set()
def serve(address):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        question, client = server.recvfrom(512)
        asked.add(question[13 : 13 + question[12]].decode())
        if address == answering:
            ipv4 = question[-3] == 1
            head = question[:2] + bytes([129, 128, 0, 1, 0, ipv4, 0, 0, 0, 0])
            record = bytes([192, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]) * ipv4
            server.sendto(head + question[12:] + record, client)
for line in open(configuration):
    threading.Thread(target=serve, args=(line.split()[1],), daemon=True).start()
atexit.register(lambda: print("asked:", *sorted(asked)))
"""


def with_servers(folder: Path, script: str, arguments: tuple[str, ...], answering: str = "") -> str:
    """Run `script` in a network of its own, with two name servers and the system's resolver."""
    unshare, tool = shutil.which("unshare"), shutil.which("ip")
    probe = unshare and subprocess.run([unshare, "-n", "-m", "true"], capture_output=True)
    if not probe or probe.returncode or not tool:
        pytest.skip("a network namespace can be made by root only")
    configuration = folder / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.3\n")
    inside = (sys.executable, "-c", SERVERS + script, str(configuration), answering)
    done = subprocess.run(
        [str(unshare), "-n", "-m", *inside, *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.mark.full
def test_servers_that_read_and_never_answer(partial: Path, tmp_path: Path) -> None:
    text = with_servers(tmp_path, ASK, (str(partial), *HOSTS))
    assert text.startswith("0 0\n")
    assert "no name server answered within 3.5 s" in text
    assert "no name server answered within 1.4 s" in text
    assert text.count("Is this machine connected?") == 1
    assert text.endswith("asked: a b\n")


LOOK_UP = """
from cmx_resnet50.fetch.http import lookup
for name in sys.argv[1:]:
    print(lookup.look_up(name, 80)[0][-1], lookup._last_was_silent.is_set())
    lookup._last_was_silent.set()
"""


@pytest.mark.full
def test_the_second_of_two_servers_answers(tmp_path: Path) -> None:
    text = with_servers(tmp_path, LOOK_UP, HOSTS[:2], answering="127.0.0.3")
    assert text == "('127.0.0.1', 80) False\n" * 2 + "asked: a b\n"
