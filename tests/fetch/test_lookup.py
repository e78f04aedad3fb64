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


@pytest.mark.parametrize(("servers", "limit"), [(0, 3), (1, 3), (2, 8), (5, 13)])
def test_time_for_the_next_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: int, limit: float
) -> None:
    """The system asks the second one when the first was silent for 5 seconds."""
    lines = [f"nameserver 192.0.2.{number}" for number in range(servers)]
    (tmp_path / "resolv.conf").write_text("\n".join(["# nameserver", "search x", *lines]))
    monkeypatch.setattr(lookup, "CONFIGURATION", str(tmp_path / "resolv.conf"))
    assert lookup.FIRST + lookup.FAILOVER * (lookup._name_servers() - 1) == limit


def test_without_a_thread(monkeypatch: pytest.MonkeyPatch, server: FileServer) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert lookup.look_up("127.0.0.1", 80)


SERVER = """
import atexit, socket, subprocess, sys, threading
configuration = sys.argv.pop(1)
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["mount", "--bind", configuration, "/etc/resolv.conf"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
asked = set()
def read():
    while True:
        question = server.recv(512)
        asked.add(question[13 : 13 + question[12]].decode())
threading.Thread(target=read, daemon=True).start()
atexit.register(lambda: print("asked:", *sorted(asked)))
"""


@pytest.mark.full
def test_a_server_that_reads_and_never_answers(partial: Path, tmp_path: Path) -> None:
    """In a network of its own, with the system's resolver."""
    unshare, tool = shutil.which("unshare"), shutil.which("ip")
    probe = unshare and subprocess.run([unshare, "-n", "-m", "true"], capture_output=True)
    if not probe or probe.returncode or not tool:
        pytest.skip("a network namespace can be made by root only")
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    given = (str(configuration), str(partial))
    done = subprocess.run(
        [*(str(unshare), "-n", "-m", sys.executable, "-c", SERVER + ASK), *given, *HOSTS],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("0 0\n"), done.stdout + done.stderr
    assert "no name server answered within 3 s" in done.stdout
    assert done.stdout.count("Is this machine connected?") == 1
    assert done.stdout.endswith("asked: a b\n")
