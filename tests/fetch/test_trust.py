"""Who is trusted, who is told what: certificates, redirects, passwords, proxies, no network."""

from __future__ import annotations

import base64
import datetime
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, OfflineError, Source
from cmx_resnet50.fetch.http.issuer import issuer_of
from cmx_resnet50.redaction import redact
from tests.fetch import server as faults
from tests.fetch.conftest import CONTENT, KNOWN, QUICK, SIZE, Watched, assert_whole, get
from tests.fetch.server import Exchange, Server, serve


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Company of Tests")


def context(authority: trustme.CA, *names: str, **options: object) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(made)  # type: ignore[arg-type]
    return made


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[Server]:
    with serve(CONTENT, tls=context(authority, "127.0.0.1", "localhost")) as running:
        yield running


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_company_ca_is_trusted_where_it_is_named(
    name: str, bundle: Path, secure: Server, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(bundle))
    assert_whole(get([secure.url], partial), partial)


def test_an_unknown_ca_is_refused_and_named(secure: Server, server: Server, partial: Path) -> None:
    with pytest.raises(FetchError) as caught:
        get([secure.url], partial)
    attempt = caught.value.attempts[0]
    assert attempt.tls_issuer is not None
    assert "O=Company of Tests" in attempt.tls_issuer
    for words in ("is not trusted", attempt.tls_issuer, "REQUESTS_CA_BUNDLE"):
        assert words in str(caught.value)
    assert not secure.requests
    assert attempt.retries == 0
    assert get([secure.url, server.url], partial).url == server.url


@pytest.mark.parametrize("fault", ["expired", "other host"])
def test_a_bad_certificate_is_refused(
    fault: str,
    authority: trustme.CA,
    bundle: Path,
    partial: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    made = (
        context(authority, "127.0.0.1", not_after=past)
        if fault == "expired"
        else context(authority, "files.example")
    )
    words = "expired" if fault == "expired" else "IP address mismatch"
    with serve(CONTENT, tls=made) as bad, pytest.raises(FetchError, match=words):
        get([bad.url], partial)
    assert not bad.requests


def test_a_bundle_that_cannot_be_read_is_told(
    secure: Server, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "no/such/file.pem")
    with pytest.raises(FetchError, match="which REQUESTS_CA_BUNDLE names, cannot be read"):
        get([secure.url], partial)


def test_https_does_not_become_http(
    secure: Server, server: Server, bundle: Path, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    secure.always = faults.redirect(server.url)
    for named in (False, True):
        with pytest.raises(FetchError, match="to plain http"):
            get([Source(secure.url, named_by_user=named)], partial)
    assert not server.requests


def test_http_may_become_https_and_a_long_way_is_gone(
    secure: Server, server: Server, bundle: Path, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    server.plan = [faults.redirect(f"/{number}") for number in range(9)]
    server.always = faults.redirect(secure.url)
    assert_whole(get([server.url], partial), partial)
    assert len(server.requests) == 10


def test_a_redirects_own_body_is_not_read_without_end(
    server: Server, second: Server, partial: Path
) -> None:
    def endless(exchange: Exchange) -> None:
        exchange.head("302 Found", Location=second.url, Content_Type="text/plain")
        for _ in range(200):
            exchange.send(b"x" * (1 << 20))

    server.always = endless
    assert_whole(get([server.url], partial), partial)
    assert server.sent < 50 << 20


def signed_in(exchange: Exchange) -> None:
    wanted = "Basic " + base64.b64encode(b"me:s3cret").decode()
    if exchange.headers.get("authorization") != wanted:
        return exchange.head("401 Who are you", Content_Length=0)
    return faults.cut(1_000_000)(exchange) if exchange.asked == (0, SIZE) else exchange.good()


def test_a_password_in_a_url_is_used_and_never_shown(
    server: Server, partial: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always = signed_in
    url = server.url.replace("//", "//me:s3cret@") + "?token=t0ken&download=1"
    progress = Watched()
    download = get([url], partial, progress=progress)
    assert_whole(download, partial)
    server.always = faults.status("500 Sorry")
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


def test_the_journal_holds_no_secret(server: Server, partial: Path) -> None:
    server.plan = [faults.cut(1_000_000), faults.status("404 Gone")]
    with pytest.raises(FetchError):
        get([server.url.replace("//", "//me:s3cret@") + "?sig=t0ken"], partial)
    text = partial.with_name(partial.name + ".journal").read_text()
    assert "s3cret" not in text
    assert "t0ken" not in text
    assert KNOWN.sha256 is not None
    assert KNOWN.sha256 in text


def test_netrc_is_honoured(
    server: Server, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login me password s3cret\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    server.always = signed_in
    assert_whole(get([server.url], partial), partial)


def test_a_password_goes_to_no_other_host(server: Server, second: Server, partial: Path) -> None:
    def answer(exchange: Exchange) -> None:
        assert "authorization" not in exchange.headers
        exchange.good()

    server.always = faults.redirect(second.url.replace("127.0.0.1", "localhost"))
    second.always = answer
    assert_whole(get([server.url.replace("//", "//me:s3cret@")], partial), partial)
    assert "authorization" in server.requests[0].headers


def test_a_password_is_sent_again_behind_a_redirect_of_its_host(
    server: Server, partial: Path
) -> None:
    def answer(exchange: Exchange) -> None:
        if exchange.path == "/model.onnx":
            return faults.redirect("/here")(exchange)
        return signed_in(exchange)

    server.always = answer
    assert_whole(get([server.url.replace("//", "//me:s3cret@")], partial), partial)
    assert [exchange.path for exchange in server.requests].count("/model.onnx") == 1


def test_a_proxy_is_used_and_its_password_not_shown(
    server: Server, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = server.url.replace("//", "//me:s3cret@").rpartition("/")[0]
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    source = Source("http://files.invalid/model.onnx", named_by_user=True)
    assert_whole(get([source], partial), partial)
    assert server.requests[0].path == source.url
    assert server.requests[0].headers["proxy-authorization"].startswith("Basic ")
    partial.unlink()
    server.always = faults.status("407 Proxy Authentication Required")
    with pytest.raises(FetchError) as caught:
        get([source, "https://files.invalid/model.onnx"], partial)
    first, last = caught.value.attempts
    assert (first.status, last.status) == (407, 407)
    assert "password" in first.reason
    assert "password" in last.reason
    assert "s3cret" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_told(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(CONTENT) as gone:
        monkeypatch.setenv("https_proxy", gone.url.replace("//", "//me:s3cret@"))
    with pytest.raises(FetchError, match="the proxy cannot be reached") as caught:
        get(["https://files.invalid/model.onnx"], partial)
    assert "s3cret" not in str(caught.value)


def test_offline_opens_no_socket(server: Server, partial: Path, tmp_path: Path) -> None:
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


def test_a_file_that_is_none_is_told(partial: Path, tmp_path: Path, server: Server) -> None:
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


def test_an_issuer_is_read_from_a_certificate_and_from_nothing_else(authority: trustme.CA) -> None:
    der = ssl.PEM_cert_to_DER_cert(
        authority.issue_cert("a.example").cert_chain_pems[0].bytes().decode()
    )
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
        ("http://[::1", "(a URL that cannot be read)"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redact(url) == shown
