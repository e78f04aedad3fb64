"""A machine without a network: found out once, and said in one sentence."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50.fetch import FetchError
from cmx_resnet50.fetch.http.exceptions import translate_exception
from tests.fetch.conftest import CONTENT, QUICK, Watched, assert_whole, get
from tests.harness.file_server import FileServer

ROOT = Path(__file__).parents[2]

ASK = """
import os, sys
from pathlib import Path
from cmx_resnet50.fetch import FetchError, FetchOptions
from tests.fetch.conftest import Watched, get
hosts = sys.argv[2:]


progress = Watched()
try:
    get([f"https://{host}/f" for host in hosts], Path(sys.argv[1]), options=FetchOptions(),
        progress=progress)
except FetchError as error:
    print(*(attempt.retries for attempt in error.attempts))
    print(error)
    print(*progress.notes, sep="\\n")
"""


def cut_off(partial: Path, *hosts: str) -> tuple[list[int], str]:
    """Ask from a machine that has no network; return the retries of each source, and the error."""
    unshare = shutil.which("unshare")
    probe = unshare and subprocess.run([unshare, "-n", "true"], capture_output=True)
    if not probe or probe.returncode:
        pytest.skip("a network namespace can be made by root only")
    done = subprocess.run(
        [str(unshare), "-n", sys.executable, "-c", ASK, str(partial), *hosts],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    retries, _, text = done.stdout.partition("\n")
    assert text, done.stderr
    return [int(number) for number in retries.split()], text


@pytest.mark.parametrize(
    "hosts",
    [
        ("a.example.org", "b.example.org", "c.example.org", "d.example.org"),
        ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"),
    ],
    ids=["names", "addresses"],
)
def test_no_network_is_found_out_by_two_hosts(hosts: tuple[str, ...], partial: Path) -> None:
    retries, text = cut_off(partial, *hosts)
    assert retries == [2, 0]
    assert text.count("Is this machine connected?") == 1
    assert hosts[1] in text
    assert f"2. https://{hosts[1]}/f" in text
    assert f"3. https://{hosts[2]}/f" not in text


def test_a_single_host_is_not_retried_for_long(partial: Path) -> None:
    retries, text = cut_off(partial, "a.example.org")
    assert retries == [2]
    assert "the name of a.example.org cannot be resolved" in text


@pytest.mark.parametrize(
    ("scheme", "no_proxy", "hinted"),
    [("https", "", True), ("http", "", False), ("https", "a.example.org", False)],
)
def test_a_proxy_for_http_alone_is_hinted_at(
    scheme: str, no_proxy: str, hinted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://anna:s3cret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    reason = translate_exception(error, f"{scheme}://a.example.org/f").reason
    assert ("HTTP_PROXY is set, but https needs HTTPS_PROXY" in reason) == hinted
    assert "s3cret" not in reason


def test_a_file_of_this_machine_is_still_taken(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def nobody(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    copy = tmp_path / "copy"
    copy.write_bytes(CONTENT)
    urls = [f"https://{name}.example.org/f" for name in "abcd"]
    progress = Watched()
    assert_whole(get([*urls, copy.as_uri()], partial, progress=progress), partial)
    assert len(progress.notes) == 2


def test_a_proxy_that_is_down_is_asked_for_one_source(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer(CONTENT) as gone:
        monkeypatch.setenv("HTTPS_PROXY", gone.proxy)
    urls = [f"https://{name}.example.org/f" for name in "abc"]
    with pytest.raises(FetchError) as caught:
        get(urls, partial)
    first, *others = caught.value.attempts
    assert first.retries == QUICK.retries
    assert all("was unreachable before" in other.reason for other in others)
    assert [other.retries for other in others] == [0, 0]
