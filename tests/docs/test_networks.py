"""docs/networks.md: commands are run behind a proxy, and each error of its table is provoked."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3.exceptions

from cmx_resnet50.catalog.table import Catalog, Request
from cmx_resnet50.catalog.variations import compose
from cmx_resnet50.fetch.http.exceptions import translate_exception
from cmx_resnet50.options import PREFIX, Options
from tests.docs import pages
from tests.docs.reader import follow
from tests.faults.support import IMPATIENT, options_for
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CLOSED, CM
from tests.harness.faults import Behaviour, Html, Other, Redirect, Stall, Status, Trickle
from tests.harness.origin import Origin

PAGE = pages.DOCS / "networks.md"
TEXT = PAGE.read_text(encoding="utf-8")
META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
NAME = "pytorch-fp32"
LONE = "tflite-edgetpu"
URL = ARTIFACTS[LONE].url
"""A file that has one source only."""


def proxy_of(origin: Origin) -> Mapping[str, str]:
    return {"proxy.example.com:3128": f"127.0.0.1:{origin.port}"}


def delivered(cm: CM) -> bytes:
    return (cm.cwd / "models" / "resnet50-19c8e357.pth").read_bytes()


def test_a_proxy(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    follow(cm, pages.under(PAGE, "A proxy"), replaced=proxy_of(origin), without=PROXIES)
    assert delivered(cm) == served[NAME].read_bytes()
    assert origin.connects


def test_a_password_is_in_no_file(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.require_password("anna", "p@ss:word")
    blocks = pages.under(PAGE, "A proxy with a password")
    said = follow(cm, blocks, replaced=proxy_of(origin), without=PROXIES)
    assert served[NAME].stat().st_size == origin.bytes_sent()
    for path in [*cm.repos.rglob("*"), *cm.home.rglob("*")]:
        content = path.read_bytes() if path.is_file() else b""
        assert b"p%40ss" not in content, path
        assert b"p@ss" not in content, path
    assert "p%40ss" not in said


def test_a_certificate_authority(cm: CM, origin: Origin) -> None:
    blocks = pages.under(PAGE, "A certificate authority")
    shutil.copy(origin.authority.bundle, cm.home / "company-ca.pem")
    assert "ResNet-50: " in follow(cm, blocks, without=BUNDLES)


def test_a_mirror(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    url = "https://mirror.example.com/resnet50/resnet50-19c8e357.pth"
    origin.serve(url, served[NAME])
    follow(cm, pages.under(PAGE, "A mirror"))
    assert delivered(cm) == served[NAME].read_bytes()
    assert not origin.asked(ARTIFACTS[NAME].url)
    assert all("authorization" in record.headers for record in origin.asked(url))


def test_a_signed_url(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    url = "https://models.example.org/mine.onnx?sig=secret"
    origin.serve(url, served["onnx-opset-8"])
    (cm.cwd / "signed-url.txt").write_text(f"{url}\n", encoding="utf-8")
    said = follow(cm, pages.under(PAGE, "A signed URL"))
    assert "mine.onnx" in said and "secret" not in said


def test_slow_lines(cm: CM, origin: Origin) -> None:
    follow(cm, pages.under(PAGE, "Slow lines and time-outs"), env=IMPATIENT)
    assert len({record.connection for record in origin.requests}) == 1


def test_a_file_by_hand(cm: CM, served: dict[str, Path]) -> None:
    downloads = cm.home / "Downloads"
    downloads.mkdir()
    shutil.copy(served[NAME], downloads / "resnet50-19c8e357.pth")
    follow(cm.also(origin=None), pages.under(PAGE, "A file that you fetch"))
    assert delivered(cm) == served[NAME].read_bytes()


def test_every_host_is_in_the_table_with_what_it_has() -> None:
    catalog = Catalog(META)
    expected: dict[str, set[str]] = {}
    for artifact in catalog.artifacts.values():
        for url in (artifact.url, *artifact.mirrors):
            expected.setdefault(str(urlsplit(url).hostname), set()).add(artifact.name)
    named, rest = {}, ""
    for host, what in pages.rows(pages.section(TEXT, "Hosts to allow")):
        names = set()
        for asked in pages.spans(what):
            variations = [name.lstrip("_") for name in asked.split(",")]
            request = Request.from_env(compose(META, variations), explicit=variations)
            names.add(catalog.resolve(request).artifact.name)
        named[host.strip("`")] = names
        rest = host.strip("`") if what.startswith("all but the three") else rest
    assert {**named, rest: expected[rest]} == expected
    elsewhere = [a for a in catalog.artifacts.values() if urlsplit(a.url).hostname != rest]
    assert len(elsewhere) == 3


def test_options_and_defaults() -> None:
    text = pages.section(TEXT, "Slow lines and time-outs")
    for _, option, default in pages.rows(text):
        name = option.strip("`").removeprefix(PREFIX).lower()
        assert float(default) == getattr(Options, name)
    assert f"`{PREFIX}CONNECTIONS` (default {Options.connections})" in text


def says(*behaviours: Behaviour) -> Callable[[Origin], dict[str, str]]:
    def prepare(origin: Origin) -> dict[str, str]:
        origin.fail(URL, *behaviours)
        return options_for(behaviours)

    return prepare


def refused(status: int) -> Callable[[Origin], dict[str, str]]:
    def prepare(origin: Origin) -> dict[str, str]:
        origin.unreachable("zenodo.org", status)
        return {}

    return prepare


def password(origin: Origin) -> dict[str, str]:
    origin.require_password("anna", "secret")
    return {}


def wrong_password(origin: Origin) -> dict[str, str]:
    return {**origin.environment("anna", "another"), **password(origin)}


def untrusted(origin: Origin) -> dict[str, str]:
    origin.certificate("zenodo.org", "other-ca")
    return {}


PROVOKED: dict[str, Callable[[Origin], dict[str, str]]] = {
    "connection to …: Connection refused": lambda origin: {"CM_RESNET50_MIRROR": CLOSED},
    "the proxy … cannot be reached": lambda origin: dict.fromkeys(PROXIES, CLOSED),
    "… cannot be read as the URL of a proxy": (
        lambda origin: dict.fromkeys(PROXIES, "http://anna:se#cret@127.0.0.1:9")
    ),
    "the proxy … does not reach …": refused(502),
    "the proxy … asks for a password": password,
    "the proxy … rejects the user name or the password": wrong_password,
    "… names a proxy whose port is not a number": (
        lambda origin: dict.fromkeys(PROXIES, "http://127.0.0.1:99999")
    ),
    "the proxy … forbids …": refused(403),
    "the certificate of … is not trusted": untrusted,
    "the CA bundle …, which … names, cannot be read": (
        lambda origin: {"REQUESTS_CA_BUNDLE": "no/such/bundle.pem"}
    ),
    "a web page came in place of the file": says(Html()),
    "more than 10 redirects": says(Redirect(URL)),
    "refused: redirect from … to plain …": says(Redirect("http://login.example.com/")),
    "… sent nothing until the time-out": says(Stall()),
    "stalled: … bytes/s": says(Trickle(900)),
    "HTTP 401": says(Status(401)),
    "HTTP 403": says(Status(403)),
    "HTTP 404": says(Status(404)),
    "HTTP 429": says(Status(429)),
    "wrong bytes": says(Other()),
}
UNPROVOKED: dict[str, Exception] = {
    "the name of … cannot be resolved": socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
    "… did not accept a connection in time": urllib3.exceptions.ConnectTimeoutError(),
}
"""What would take a name server, or a host that drops packets: what the system raises then."""


def pattern(reason: str) -> str:
    """Return what a reason of the table stands for, where … is anything on one line."""
    return ".+".join(re.escape(part) for part in reason.split("…"))


def test_the_table_of_errors_is_that_of_the_tests() -> None:
    table = pages.rows(pages.section(TEXT, "What an error says"))
    told = {reason for row in table for reason in re.findall("`([^`]+)`", row[0])}
    assert told == {*PROVOKED, *UNPROVOKED}
    assert all(len(row) == 3 and all(row) for row in table)


@pytest.mark.parametrize("reason", PROVOKED)
def test_an_error_says_its_reason_and_the_page(cm: CM, origin: Origin, reason: str) -> None:
    env = {**IMPATIENT, **PROVOKED[reason](origin)}
    if PREFIX + "MIRROR" in env:
        origin.forget(URL)
    result = cm.command("cmx-resnet50", "get", "_tflite,_int8,_no-argmax", env=env)
    assert result.code == (5 if reason == "wrong bytes" else 4), result.text
    assert re.search(pattern(reason), result.err), result.text
    assert result.err.endswith("Details: run `cmx-resnet50 docs networks`.\n")


@pytest.mark.parametrize("reason", UNPROVOKED)
def test_a_failure_of_the_system_has_its_reason(reason: str) -> None:
    told = translate_exception(UNPROVOKED[reason], "https://zenodo.org/f").reason
    assert re.fullmatch(pattern(reason), told)
