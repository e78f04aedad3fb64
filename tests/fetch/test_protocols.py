"""Servers that speak another HTTP or TLS than most: what works, and what is named."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError
from cmx_resnet50.fetch.http.exceptions import translate_exception
from cmx_resnet50.fetch.sources import KINDS
from cmx_resnet50.user_urls import SCHEMES
from tests.fetch.conftest import CONTENT, KNOWN, SIZE, Watched, assert_whole, get
from tests.harness.authority import Authority, Flavour
from tests.harness.faults import Headers, IgnoreRanges
from tests.harness.file_server import Answer, FileServer
from tests.harness.reply import Reply, Request

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
SETTINGS = b"\0\0\x12\4\0\0\0\0\0" + bytes(18)
"""What an HTTP/2 server says first (RFC 9113, section 3.4)."""


def after(server: FileServer, before: bytes) -> Answer:
    return lambda request: replace(server.reply(request), before=before)


@pytest.mark.parametrize(
    "before", [HINTS, PROCESSING + HINTS, HINTS * 5, b"HTTP/1.1 100 C\r\n\r\n"]
)
def test_informational_answers_are_passed_over(
    before: bytes, server: FileServer, partial: Path
) -> None:
    server.always = after(server, before)
    assert_whole(get([server.url], partial), partial)
    assert len(server.requests) == 1


def many_headers(request: Request) -> Reply:
    return Reply(200, {f"X-{number}": "y" for number in range(101)}, memoryview(CONTENT))


def long_header(request: Request) -> Reply:
    return Reply(200, {"X-Long": "y" * 70_000}, memoryview(CONTENT))


def http_2(request: Request) -> Reply:
    return Reply(200, head=False, before=SETTINGS, ending="close")


def endless_hints(request: Request) -> Reply:
    return Reply(200, {}, memoryview(CONTENT), before=HINTS * 100)


NAMED: dict[str, tuple[Answer, str]] = {
    "many headers": (many_headers, "sends more than 100 header lines"),
    "a long header": (long_header, "sends a header line of more than 65,536 bytes"),
    "HTTP/2": (http_2, "does not answer in HTTP/1.1; perhaps it only speaks HTTP/2"),
    "endless hints": (endless_hints, "sends informational answers without end"),
}


@pytest.mark.parametrize(("answer", "words"), NAMED.values(), ids=NAMED)
def test_what_does_not_work_is_named_at_once(
    answer: Answer, words: str, server: FileServer, partial: Path
) -> None:
    server.always = answer
    with pytest.raises(FetchError, match=words) as caught:
        get([server.url], partial)
    assert caught.value.attempts[0].retries == 0


class OldTLS(Authority):
    """Speaks TLS 1.1 at most."""

    def context(self, host: str, flavour: Flavour = "good") -> ssl.SSLContext:
        made = super().context(host, flavour)
        made.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        made.maximum_version = ssl.TLSVersion.TLSv1_1
        made.set_ciphers("ALL:@SECLEVEL=0")
        return made


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_tls_is_named(
    partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = OldTLS(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(old.bundle))
    words = "it only speaks a version of TLS that is not secure"
    with FileServer(CONTENT, authority=old) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.proxy)
        with pytest.raises(FetchError, match=words):
            get(["https://files.example.org/f"], partial)


def test_no_tls_is_named(partial: Path) -> None:
    def refuse(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        with pytest.raises(FetchError, match="there is no TLS at this port"):
            get([f"https://127.0.0.1:{listener.getsockname()[1]}/f"], partial)


def test_a_host_that_speaks_http_2_alone_is_named() -> None:
    """Its answer to our ALPN; Python's own server side cannot give it."""
    error = ssl.SSLError(1, "[SSL] alert")
    error.reason = "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"
    assert "does not speak HTTP/1.1" in translate_exception(error, "https://h/f").reason


@pytest.mark.parametrize("expected", [Expected(), KNOWN], ids=["unknown", "known"])
@pytest.mark.parametrize("label", ["aws-chunked", "binary", "utf-8", "none", "aws-chunked,"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_label_that_is_no_encoding_alters_nothing(
    label: str, expected: Expected, ranges: bool, server: FileServer, partial: Path
) -> None:
    wrong = Headers({"Content-Encoding": label})
    server.always = (wrong,) if ranges else (IgnoreRanges(), wrong)
    progress = Watched()
    assert_whole(get([server.url], partial, expected, progress=progress), partial)
    assert len(server.requests) == 1
    assert f"{label.strip(',')!r} is not one; the bytes are taken as sent" in "".join(
        progress.notes
    )


def test_an_encoding_of_a_file_without_a_digest_is_refused_before_it_came(
    server: FileServer, partial: Path
) -> None:
    server.always = (IgnoreRanges(), Headers({"Content-Encoding": "br"}))
    with pytest.raises(FetchError, match="encoding 'br', which was not requested"):
        get([server.url], partial, Expected())
    assert server.bytes_sent() <= SIZE
    assert not list(partial.parent.iterdir())


def test_a_scheme_that_users_may_name_has_a_kind_of_source() -> None:
    assert {scheme for kind in KINDS for scheme in kind.schemes} == set(SCHEMES)
