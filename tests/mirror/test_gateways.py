"""``publish`` and ``get`` through gateways: it works, or it is said and nothing wrong stays."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.mirror.to_s3 import S3Target
from cmx_resnet50.remote.s3_client import S3
from cmx_resnet50.store import Store
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.reply import Request
from tests.harness.server import Server
from tests.mirror import gateways
from tests.mirror.conftest import MIRROR, Place
from tests.mirror.gateways import Gateway
from tests.store.helpers import put

TOOL = "cmx-resnet50"

Node = Callable[..., CM]
Start = Callable[[Gateway], AbstractContextManager[tuple[Server, dict[str, str]]]]


@pytest.fixture
def gateway(place: Place, authority: Authority) -> Start:
    """Return a maker of gateways over TLS, where boto3 by default sends trailers."""

    @contextmanager
    def make(kind: Gateway) -> Iterator[tuple[Server, dict[str, str]]]:
        answer = gateways.between(place.environment["AWS_ENDPOINT_URL"], kind)
        with Server(answer, authority) as server:
            own = {"AWS_ENDPOINT_URL": server.at("", "https")}
            yield server, {**own, "AWS_CA_BUNDLE": str(authority.bundle)}

    return make


def models(place: Place) -> list[str]:
    """Return the names under which the bucket has bytes of models."""
    return [key for key in place.names() if "/sha256/" in key or "/md5/" in key]


@pytest.mark.parametrize(
    "kind",
    [
        gateways.refuses_trailers,
        gateways.keeps_trailers,
        gateways.copies_nothing,
        gateways.keeps_no_metadata,
    ],
)
def test_a_store_with_old_habits_is_filled_and_read(
    place: Place, node: Node, gateway: Start, served: dict[str, Path], kind: Gateway
) -> None:
    with gateway(kind) as (server, own):
        publisher = node("publisher", place, online=True, **own)
        done = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR)
        assert done.ok, done.text
        assert done.out.splitlines()[-1].endswith("; 1 sent")
        again = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR)
        assert again.out.splitlines()[-1].endswith("; 0 sent")
        got = node("user", place, **own).command(TOOL, "get", "_tf", "--to", "here")
        assert got.ok, got.text
        sent = [name for request in server.requests for name in request.headers]
        addresses = " ".join(request.url for request in server.requests)
    assert not [name for name in sent if "checksum" in name or "trailer" in name]
    assert "checksum" not in addresses.lower()
    right = served["tensorflow"].read_bytes()
    assert len(models(place)) == 2
    assert all(place.get(name) == right for name in models(place))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (gateways.alters, "other bytes came back"),
        (gateways.truncates, "bytes came back"),
        (gateways.loses, "nothing is there"),
        (gateways.loses_copies, "nothing is there"),
    ],
)
def test_what_the_store_got_wrong_is_said_and_removed(
    place: Place, node: Node, gateway: Start, kind: Gateway, said: str
) -> None:
    with gateway(kind) as (_, own):
        publisher = node("publisher", place, online=True, **own)
        done = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR)
        assert done.code == 1
        assert said in done.err
        assert f"{MIRROR}/" in done.err
        assert "Traceback" not in done.err
    wrong = [name for name in models(place) if kind is not gateways.loses_copies or "/md5/" in name]
    assert wrong == []
    assert not [key for key in place.names() if key.endswith("manifest.json")]


@pytest.mark.parametrize(
    "kind",
    [
        gateways.asks_for_a_login,
        gateways.asks_for_a_login_to_write,
        gateways.asks_for_a_login_without_saying,
        gateways.redirects_to_a_login,
        gateways.is_down,
    ],
)
def test_a_page_in_place_of_a_store_is_said(
    place: Place, node: Node, gateway: Start, kind: Gateway
) -> None:
    with gateway(kind) as (_, own):
        publisher = node("publisher", place, online=True, **own)
        done = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR)
    assert done.code == 4
    assert "Traceback" not in done.err
    assert "AWS_ENDPOINT_URL" in done.err
    if kind is gateways.redirects_to_a_login:
        assert "redirects to https://login.site.example" in done.err
    elif kind is gateways.is_down:
        assert "HTTP 502" in done.err
    else:
        assert 'web page "Sign in to Site"' in done.err
    assert place.names() == []


@pytest.mark.parametrize("kind", [gateways.refuses_trailers, gateways.alters])
def test_a_file_in_parts_is_no_exception(
    place: Place, gateway: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Gateway
) -> None:
    """Files of over 8 MB are sent in parts, each of which may be refused or altered."""
    stored = put(Store(tmp_path / "store"), bytes(range(251)) * 80_000)
    with gateway(kind) as (server, own):
        for name, value in {**place.environment, **own}.items():
            monkeypatch.setenv(name, value)
        target = S3Target(MIRROR, S3(connect_timeout=5, read_timeout=20))
        name = f"sha256/{stored.sha256}"
        if kind is gateways.alters:
            with pytest.raises(MirrorError, match=f"{name}: other bytes came back"):
                target.send(stored, name, lambda count: None)
            assert models(place) == []
        else:
            target.send(stored, name, lambda count: None)
            assert target.holds(name, stored)
            assert len([one for one in server.requests if gateways.is_upload(one)]) == 3
            assert place.get(f"site/{name}") == stored.path.read_bytes()


def test_an_interrupted_check_leaves_nothing(
    place: Place, gateway: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody has compared is not taken for compared by the next publisher."""
    stored = put(Store(tmp_path / "store"))

    def interrupted(request: Request) -> None:
        if request.method == "GET":
            signal.raise_signal(signal.SIGINT)

    with gateway(interrupted) as (_, own):
        for name, value in {**place.environment, **own}.items():
            monkeypatch.setenv(name, value)
        target = S3Target(MIRROR, S3(connect_timeout=5, read_timeout=5))
        with pytest.raises(KeyboardInterrupt):
            target.send(stored, f"sha256/{stored.sha256}", lambda count: None)
    assert models(place) == []
