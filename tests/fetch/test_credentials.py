"""Who is sent a password: the host that is named with it, and nobody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.fetch import FetchError, Source
from tests.fetch.conftest import CONTENT, QUICK, SIZE, assert_whole, get
from tests.harness.authority import Authority
from tests.harness.faults import Redirect, Short, Status
from tests.harness.file_server import FileServer
from tests.harness.reply import Reply, Request

HERE, THERE = "https://files.example.org/model.onnx", "https://cdn.example.net/model.onnx"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def hosts(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """Every host, behind a proxy."""
    with FileServer(CONTENT, authority=authority) as running:
        monkeypatch.setenv("HTTPS_PROXY", running.proxy)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
        yield running


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "netrc"
    path.touch(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def sent(hosts: FileServer) -> dict[str, set[str]]:
    """The logins that each URL was sent."""
    found: dict[str, set[str]] = {}
    for request in hosts.requests:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        login = base64.b64decode(value).decode() if scheme == "Basic" else scheme
        found.setdefault(request.url, set()).add(login)
    return found


def test_default_is_nobody(hosts: FileServer, entries: Path, partial: Path) -> None:
    entries.write_text(
        "machine other.example.org login a password b\ndefault login me password s\n"
    )
    hosts.plan = [Redirect(THERE)]
    assert_whole(get([HERE], partial), partial)
    assert sent(hosts) == {HERE: {""}, THERE: {""}}


@pytest.mark.parametrize("more", ["", "default login d password d\n"])
def test_an_entry_is_for_the_host_that_it_names(
    more: str, hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text(f"machine Files.Example.org login me password s3cret\n{more}")
    hosts.plan = [Redirect(THERE)]
    assert_whole(get([HERE], partial), partial)
    assert sent(hosts) == {HERE: {"me:s3cret"}, THERE: {""}}


def test_behind_a_redirect_each_host_is_sent_its_own(
    hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text(
        "machine files.example.org login me password s3cret\n"
        "machine cdn.example.net login you password other\n"
    )
    hosts.plan = [Redirect(THERE)]
    assert_whole(get([HERE], partial), partial)
    assert sent(hosts) == {HERE: {"me:s3cret"}, THERE: {"you:other"}}


def test_behind_a_redirect_over_plain_http_no_host_is_sent_a_password(
    hosts: FileServer, entries: Path, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers at a plain http address may lead to the name of any host, and be it, too."""
    monkeypatch.setenv("HTTP_PROXY", hosts.proxy)
    entries.write_text("machine cdn.example.net login you password other\n")
    here, there = HERE.replace("https", "http"), THERE.replace("https", "http")
    hosts.plan = [Redirect(there)]
    assert_whole(get([Source(here, named_by_user=True)], partial), partial)
    assert sent(hosts) == {here: {""}, there: {""}}


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize("redirected", [False, True])
def test_a_public_host_that_refuses_an_old_password_is_asked_without(
    status: int, redirected: bool, hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text(
        "machine files.example.org login me password old\n"
        "machine cdn.example.net login me password old\n"
    )

    def answer(request: Request) -> Reply:
        if "authorization" in request.headers:
            return hosts.reply(request, Status(status))
        if redirected and request.url == HERE:
            return hosts.reply(request, Redirect(THERE))
        first = len([one for one in hosts.requests if "authorization" not in one.headers]) <= 2
        return hosts.reply(request, *([Short(1_000_000)] if first else []))

    hosts.always = answer
    # On a busy machine, a second connection might fetch a part twice.
    assert_whole(get([HERE], partial, options=replace(QUICK, connections=1)), partial)
    assert hosts.bytes_sent() < SIZE + 10_000
    refused = [request for request in hosts.requests if request.status == status]
    assert len(refused) == (2 if redirected else 1)


def test_what_is_refused_in_any_case_is_told(
    hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text("machine files.example.org login me password wrong\n")
    hosts.always = Status(401)
    with pytest.raises(FetchError, match="HTTP 401"):
        get([HERE], partial)
    assert len(hosts.requests) == 2


def test_a_password_in_the_url_is_not_left_out(
    hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text("machine files.example.org login other password other\n")
    hosts.always = Status(401)
    with pytest.raises(FetchError, match="HTTP 401"):
        get([HERE.replace("//", "//me:s3cret@")], partial)
    assert sent(hosts) == {HERE: {"me:s3cret"}}
    assert len(hosts.requests) == 1


@pytest.mark.parametrize("text", ["machine", "machine x login", "\0", "macdef x\n"])
def test_a_file_that_cannot_be_read_has_no_entry(
    text: str, hosts: FileServer, entries: Path, partial: Path
) -> None:
    entries.write_text(text)
    assert_whole(get([HERE], partial), partial)
    entries.unlink()
    partial.unlink()
    assert_whole(get([HERE], partial), partial)
