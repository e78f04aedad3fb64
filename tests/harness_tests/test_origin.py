"""The local internet: it serves well, and it fails exactly as told."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.harness import faults
from tests.harness.origin import Origin

URL = "https://zenodo.org/record/1/files/model.onnx?download=1"
BODY = bytes(range(256)) * 2000


@pytest.fixture
def origin(empty_origin: Origin) -> Origin:
    empty_origin.serve(URL, BODY)
    return empty_origin


@pytest.fixture
def session(origin: Origin) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.proxies = {"https": origin.proxy, "http": origin.proxy}
        made.verify = str(origin.authority.bundle)
        yield made


def test_a_real_url_is_served_whole_over_one_connection(
    origin: Origin, session: requests.Session
) -> None:
    for _ in range(3):
        reply = session.get(URL)
        assert reply.content == BODY
    assert reply.headers["ETag"] and reply.headers["Last-Modified"]
    assert len(origin.connects) == 1
    assert origin.bytes_sent(URL) == 3 * len(BODY)
    assert session.head(URL).headers["Content-Length"] == str(len(BODY))
    assert origin.bytes_sent() == 3 * len(BODY)


def test_another_query_or_host_is_another_url(origin: Origin, session: requests.Session) -> None:
    origin.serve("http://armi.in/a", b"plain")
    origin.serve(origin.at("/b"), b"direct")
    assert session.get(URL.removesuffix("1")).status_code == 404
    assert session.get("http://armi.in/a").content == b"plain"
    session.proxies = {}
    assert session.get(origin.at("/b")).content == b"direct"
    assert [record.status for record in origin.requests] == [404, 200, 200]


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-9", 206, 0, 9),
        ("bytes=511990-", 206, 511990, 511999),
        ("bytes=511990-999999", 206, 511990, 511999),
        ("bytes=-7", 206, 511993, 511999),
        ("bytes=0-1,4-5", 200, 0, 511999),
        ("lines=0-1", 200, 0, 511999),
    ],
)
def test_ranges(session: requests.Session, asked: str, status: int, first: int, last: int) -> None:
    reply = session.get(URL, headers={"Range": asked})
    assert reply.status_code == status
    assert reply.content == BODY[first : last + 1]
    if status == 206:
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"


def test_a_range_outside_is_refused_and_if_range_compares(
    origin: Origin, session: requests.Session
) -> None:
    assert session.get(URL, headers={"Range": "bytes=512000-"}).status_code == 416
    known = session.head(URL).headers
    for name, status in ((known["ETag"], 206), (known["Last-Modified"], 206), ('"x"', 200)):
        headers = {"Range": "bytes=1-2", "If-Range": name}
        assert session.get(URL, headers=headers).status_code == status


Check = Callable[[Origin, requests.Session], None]


def _fails(kind: type[Exception], received: int) -> Check:
    def check(origin: Origin, session: requests.Session) -> None:
        got = bytearray()
        with pytest.raises(kind):
            for piece in session.get(URL, stream=True).iter_content(1000):
                got += piece
        assert bytes(got) == BODY[: len(got)]
        assert received - 1000 <= len(got) <= received
        assert origin.bytes_sent(URL) == received
        assert not origin.requests[-1].complete

    return check


def _gives(status: int, body: bytes | None, **headers: str) -> Check:
    def check(origin: Origin, session: requests.Session) -> None:
        reply = session.get(URL, headers={"Range": "bytes=0-511999"}, allow_redirects=False)
        assert reply.status_code == status
        if body is not None:
            assert reply.content == body
        for name, value in headers.items():
            assert reply.headers[name.replace("_", "-")] == value

    return check


def _flipped() -> bytes:
    body = bytearray(BODY)
    body[300_000] ^= 1
    return bytes(body)


RESET = requests.exceptions.ConnectionError
CUT = requests.exceptions.ChunkedEncodingError
FAULTS: list[tuple[faults.Behaviour, Check]] = [
    (faults.Status(404), _gives(404, None)),
    (faults.Status(429, retry_after=7), _gives(429, None, Retry_After="7")),
    (faults.Redirect("file:///etc/passwd"), _gives(302, None, Location="file:///etc/passwd")),
    (faults.Reset(), _fails(RESET, 0)),
    (faults.Reset(after=0), _fails(CUT, 0)),
    (faults.Reset(after=100_000), _fails(CUT, 100_000)),
    (faults.Short(after=100_000), _fails(CUT, 100_000)),
    (faults.LongLength(5), _fails(CUT, len(BODY))),
    (faults.Chunked(), _gives(206, BODY, Transfer_Encoding="chunked")),
    (faults.Chunked(after=100_000), _gives(206, BODY[:100_000])),
    (faults.Chunked(after=100_000, terminated=False), _fails(CUT, 100_000)),
    (faults.NoLength(), _gives(206, BODY, Connection="close")),
    (faults.NoLength(after=100_000), _gives(206, BODY[:100_000])),
    (faults.Gzipped(), _gives(200, BODY, Content_Encoding="gzip")),
    (faults.Flip(300_000), _gives(206, _flipped())),
    (faults.Other(), _gives(206, bytes(255 - value for value in BODY))),
    (faults.Other(b"new"), _gives(206, b"new")),
    (faults.Html(), _gives(200, None, Content_Type="text/html")),
    (faults.Json(), _gives(200, None, Content_Type="application/json")),
    (faults.Empty(), _gives(200, b"", Content_Length="0")),
    (faults.WrongRange(), _gives(206, BODY[1:], Content_Range="bytes 1-511999/512000")),
    (faults.IgnoreRanges(), _gives(200, BODY)),
    (faults.RefuseRanges(), _gives(416, None)),
]


@pytest.mark.parametrize(
    ("fault", "check"), FAULTS, ids=[repr(fault).removeprefix("faults.") for fault, _ in FAULTS]
)
def test_each_fault_and_then_health(
    origin: Origin, session: requests.Session, fault: faults.Behaviour, check: Check
) -> None:
    origin.fail(URL, fault)
    check(origin, session)
    origin.heal()
    assert session.get(URL).content == BODY


def test_rules_queue_up_skip_and_choose(origin: Origin, session: requests.Session) -> None:
    origin.fail(URL, faults.Status(503), times=2, skip=1)
    origin.fail(URL, faults.Status(403), times=1, when=lambda request: request.range is not None)
    seen = [session.get(URL).status_code for _ in range(4)]
    seen.append(session.get(URL, headers={"Range": "bytes=0-1"}).status_code)
    seen.append(session.get(URL, headers={"Range": "bytes=0-1"}).status_code)
    assert seen == [200, 503, 503, 200, 403, 206]


def test_faults_add_up_and_a_range_past_the_cut_is_whole(
    origin: Origin, session: requests.Session
) -> None:
    origin.serve(URL, BODY, faults.Reset(after=1000), faults.NoValidators())
    reply = session.get(URL, headers={"Range": "bytes=5-9"})
    assert reply.content == BODY[5:10]
    assert "ETag" not in reply.headers
    with pytest.raises(CUT):
        session.get(URL)


def test_a_trickle_comes_whole(origin: Origin, session: requests.Session) -> None:
    origin.fail(URL, faults.Trickle(rate=100_000))
    assert session.get(URL, headers={"Range": "bytes=0-9999"}).content == BODY[:10_000]


@pytest.mark.parametrize("after", [None, 0, 100_000])
def test_a_stall_lasts_until_the_server_stops(
    origin: Origin, session: requests.Session, after: int | None
) -> None:
    origin.fail(URL, faults.Stall(after))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(session.get, URL, stream=True)
        if after is None:
            origin.wait(lambda: origin.active)
            assert not asked.done()
        else:
            assert asked.result().raw.read(after) == BODY[:after]
            assert origin.active
        origin.stop()
        with pytest.raises(requests.exceptions.RequestException):
            _ = asked.result().content


@pytest.mark.parametrize(
    ("flavour", "words"),
    [
        ("other-ca", "self-signed|unable to get local issuer"),
        ("expired", "expired"),
        ("wrong-name", "[Hh]ostname mismatch"),
    ],
)
def test_bad_certificates(
    origin: Origin, session: requests.Session, flavour: object, words: str
) -> None:
    origin.certificate("zenodo.org", flavour)  # type: ignore[arg-type]
    with pytest.raises(requests.exceptions.SSLError, match=words):
        session.get(URL)
    assert origin.requests == []


def test_a_proxy_that_needs_a_password(origin: Origin, session: requests.Session) -> None:
    origin.serve("http://armi.in/a", b"plain")
    origin.require_password("anna", "s3cret")
    with pytest.raises(requests.exceptions.ProxyError, match="407"):
        session.get(URL)
    assert session.get("http://armi.in/a").status_code == 407
    login = origin.environment("anna", "s3cret")
    session.proxies = {"https": login["HTTPS_PROXY"], "http": login["HTTP_PROXY"]}
    assert session.get(URL).content == BODY
    assert session.get("http://armi.in/a").content == b"plain"
    assert [record.status for record in origin.requests] == [200, 200]


def test_a_host_out_of_reach(origin: Origin, session: requests.Session) -> None:
    origin.unreachable("zenodo.org", 503)
    with pytest.raises(requests.exceptions.ProxyError, match="503"):
        session.get(URL)


def test_gzip_is_really_on_the_wire(origin: Origin, session: requests.Session) -> None:
    origin.fail(URL, faults.Gzipped())
    raw = session.get(URL, stream=True).raw.read(decode_content=False)
    assert gzip.decompress(raw) == BODY
