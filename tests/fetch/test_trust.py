"""Who is trusted, who is told what: certificates, redirects, passwords, proxies, no network."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, OfflineError, Source
from cmx_resnet50.fetch.http.issuer import issuer_of
from cmx_resnet50.redaction import redact
from tests.fetch.conftest import CONTENT, KNOWN, QUICK, SIZE, Watched, assert_whole, get
from tests.harness.authority import Authority, Flavour
from tests.harness.faults import Endless, Redirect, Short, Status, reply
from tests.harness.file_server import FileServer
from tests.harness.reply import Reply, Request, Resource, plain


@pytest.fixture
def secure(authority: Authority) -> Iterator[FileServer]:
    with FileServer(CONTENT, authority=authority) as running:
        yield running


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_company_ca_is_trusted_where_it_is_named(
    name: str, secure: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(secure.authority.bundle))
    assert_whole(get([secure.url], partial), partial)


def test_an_unknown_ca_is_refused_and_named(
    secure: FileServer, server: FileServer, partial: Path
) -> None:
    with pytest.raises(FetchError) as caught:
        get([secure.url], partial)
    attempt = caught.value.attempts[0]
    assert attempt.tls_issuer is not None
    assert "O=CA of the tests" in attempt.tls_issuer
    for words in ("is not trusted", attempt.tls_issuer, "REQUESTS_CA_BUNDLE"):
        assert words in str(caught.value)
    assert not secure.requests
    assert attempt.retries == 0
    assert get([secure.url, server.url], partial).url == server.url


@pytest.mark.parametrize(
    ("flavour", "words"), [("expired", "expired"), ("wrong-name", "IP address mismatch")]
)
def test_a_bad_certificate_is_refused(
    flavour: Flavour,
    words: str,
    secure: FileServer,
    partial: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.bundle))
    secure.certificate("127.0.0.1", flavour)
    with pytest.raises(FetchError, match=words):
        get([secure.url], partial)
    assert not secure.requests


def test_a_bundle_that_cannot_be_read_is_told(
    secure: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "no/such/file.pem")
    with pytest.raises(FetchError, match="which REQUESTS_CA_BUNDLE names, cannot be read"):
        get([secure.url], partial)


def test_https_does_not_become_http(
    secure: FileServer, server: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.bundle))
    secure.always = Redirect(server.url)
    for named in (False, True):
        with pytest.raises(FetchError, match="to plain http"):
            get([Source(secure.url, named_by_user=named)], partial)
    assert not server.requests


def test_http_may_become_https_and_a_long_way_is_gone(
    secure: FileServer, server: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure.authority.bundle))
    server.plan = [Redirect(f"/{number}") for number in range(9)]
    server.always = Redirect(secure.url)
    assert_whole(get([server.url], partial), partial)
    assert len(server.requests) == 10


def test_a_redirects_own_body_is_not_read_without_end(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = (Redirect(second.url), Endless())
    assert_whole(get([server.url], partial), partial)
    assert server.bytes_sent() < 50 << 20


def signed_in(request: Request) -> Reply:
    wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
    if request.headers.get("authorization") != wanted:
        return plain(401)
    resource = Resource(CONTENT, etag='"one"')
    return reply(request, resource, *[Short(1_000_000)] * (request.range == "bytes=0-"))


def test_a_password_in_a_url_is_used_and_never_shown(
    server: FileServer, partial: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always = signed_in
    url = server.url.replace("//", "//me:s3cret@") + "?token=t0ken&download=1"
    progress = Watched()
    download = get([url], partial, progress=progress)
    assert_whole(download, partial)
    server.always = Status(500)
    partial.unlink()
    with pytest.raises(FetchError) as caught:
        get([url], partial)
    shown = (
        download.url
        + str(caught.value)
        + repr(caught.value.attempts)
        + repr(progress.starts)
        + "".join(progress.notes)
        + "".join(capsys.readouterr())
    )
    assert "s3cret" not in shown
    assert "t0ken" not in shown
    assert "download=1" in shown


def test_the_journal_holds_no_secret(server: FileServer, partial: Path) -> None:
    server.plan = [Short(1_000_000), Status(404)]
    with pytest.raises(FetchError):
        get([server.url.replace("//", "//me:s3cret@") + "?sig=t0ken"], partial)
    text = partial.with_name(partial.name + ".journal").read_text()
    assert "s3cret" not in text
    assert "t0ken" not in text
    assert KNOWN.sha256 is not None
    assert KNOWN.sha256 in text


def test_netrc_is_honoured(
    server: FileServer, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login me password s3cret\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    server.always = signed_in
    assert_whole(get([server.url], partial), partial)


def test_a_password_goes_to_no_other_host(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = Redirect(second.url.replace("127.0.0.1", "localhost"))
    assert_whole(get([server.url.replace("//", "//me:s3cret@")], partial), partial)
    assert "authorization" in server.requests[0].headers
    assert not any("authorization" in request.headers for request in second.requests)


def test_a_password_is_sent_again_behind_a_redirect_of_its_host(
    server: FileServer, partial: Path
) -> None:
    def answer(request: Request) -> Reply:
        if request.path == "/model.onnx":
            return server.reply(request, Redirect("/here"))
        return signed_in(request)

    server.always = answer
    assert_whole(get([server.url.replace("//", "//me:s3cret@")], partial), partial)
    assert [request.path for request in server.requests].count("/model.onnx") == 1


def test_a_proxy_is_used_and_its_password_not_shown(
    server: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = server.url.replace("//", "//me:s3cret@").rpartition("/")[0]
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    source = Source("http://files.invalid/model.onnx", named_by_user=True)
    assert_whole(get([source], partial), partial)
    assert server.requests[0].url == source.url
    assert server.requests[0].headers["proxy-authorization"].startswith("Basic ")
    partial.unlink()
    server.require_password("me", "an0ther")
    with pytest.raises(FetchError) as caught:
        get([source, "https://files.invalid/model.onnx"], partial)
    first, last = caught.value.attempts
    assert (first.status, last.status) == (407, 407)
    assert "password" in first.reason
    assert "password" in last.reason
    assert "s3cret" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_told(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer(CONTENT) as gone:
        monkeypatch.setenv("https_proxy", gone.url.replace("//", "//me:s3cret@"))
    words = r"the proxy 127\.0\.0\.1:\d+ \(https_proxy\) cannot be reached: Connection refused"
    with pytest.raises(FetchError, match=words) as caught:
        get(["https://files.invalid/model.onnx"], partial)
    assert "s3cret" not in str(caught.value)


def test_offline_opens_no_socket(server: FileServer, partial: Path, tmp_path: Path) -> None:
    options = replace(QUICK, offline=True)
    with pytest.raises(OfflineError) as caught:
        get([server.url, "https://files.invalid/f"], partial, options=options)
    for words in ("model.onnx", f"{SIZE:,} bytes", KNOWN.sha256, "folder of models", server.url):
        assert str(words) in str(caught.value)
    assert not server.requests
    copy = tmp_path / "here.onnx"
    copy.write_bytes(CONTENT)
    assert_whole(get([server.url, copy.as_uri()], partial, options=options), partial)
    assert not server.requests


def test_a_file_of_this_machine_is_a_source(partial: Path, tmp_path: Path) -> None:
    copy = tmp_path / "with space é.onnx"
    copy.write_bytes(CONTENT)
    progress = Watched()
    download = get([copy.as_uri()], partial, Expected(), progress=progress)
    assert_whole(download, partial)
    assert (progress.count, download.transferred) == (SIZE, 0)


def test_a_file_that_is_none_is_told(partial: Path, tmp_path: Path, server: FileServer) -> None:
    short = tmp_path / "short"
    short.write_bytes(CONTENT[:-1])
    other = tmp_path / "other"
    other.write_bytes(bytes(SIZE))
    urls = [(tmp_path / "gone").as_uri(), tmp_path.as_uri(), short.as_uri(), other.as_uri()]
    urls += ["file://elsewhere/f", "file:///%00"]
    with pytest.raises(FetchError) as caught:
        get(urls, partial)
    reasons = [attempt.reason for attempt in caught.value.attempts]
    words = [
        "No such file",
        "not a regular file",
        "3,000,016 bytes",
        "wrong bytes",
        "host",
        "cannot be used",
    ]
    assert len(reasons) == len(words)
    assert all(word in reason for word, reason in zip(words, reasons, strict=True))
    assert get([*urls, server.url], partial).url == server.url


def test_an_issuer_is_read_from_a_certificate_and_from_nothing_else(authority: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.bundle.read_text())
    assert issuer_of(der) is not None
    for end in range(0, len(der), 7):
        issuer_of(der[:end])
    assert issuer_of(b"") is None
    assert issuer_of(b"\x30\x84\xff\xff\xff\xff") is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h/f?download=1", "https://h/f?download=1"),
        ("https://h/f?dl=1&X-Amz-Signature=abc", "https://h/f?dl=1&X-Amz-Signature=***"),
        ("https://u:p@h:8/f#frag", "https://***@h:8/f"),
        ("https://u@h/f", "https://***@h/f"),
        ("https://u:p%40x@y@h/f", "https://***@h/f"),
        ("https://h/f?averylongbaretoken", "https://h/f?***"),
        ("https://h/f?download=", "https://h/f?download="),
        ("https://h/\x1b[31mred\u2028", "https://h/?[31mred?"),
        ("http://[::1", "(an invalid URL)"),
        ("file:///srv/f", "file:///srv/f"),
        ("s3:///f", "s3:///f"),
        ("//h/f", "//h/f"),
        ("/srv/f?raw=file://f", "/srv/f?raw=file://f"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redact(url) == shown
