"""The stores that are asked: moto's server, which starts in a moment, and a real SeaweedFS.

``place``
    A store with an empty bucket; each test that takes it runs against both, the latter only
    in ``make test-site``.
``weed``
    The real one alone, for what a mock does not do: identities, replicas.
``node``
    A maker of users, each with a home and a store of their own, boto3 installed
    beside ours. Only the store answers them, and no public address.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.harness import seaweed
from tests.harness.build import Installation
from tests.harness.cm import CM

BUCKET = "models"
MIRROR = f"s3://{BUCKET}/site"
IMPATIENT = {"CM_RESNET50_RETRY_BUDGET": "1", "CM_RESNET50_CONNECT_TIMEOUT": "5"}
"""Options of users: the public addresses, which nobody reaches here, are soon given up."""
_PACKAGES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six")


@dataclass(frozen=True)
class Place:
    """A running store, and what its user has set."""

    environment: dict[str, str]
    client: Any

    def names(self) -> list[str]:
        """All names in the bucket."""
        listed = self.client.list_objects_v2(Bucket=BUCKET)
        return [found["Key"] for found in listed.get("Contents", [])]

    def get(self, key: str) -> bytes:
        """The bytes under a name."""
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def put(self, key: str, content: bytes) -> None:
        """Put bytes under a name, as anybody may who has the key."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def empty(self) -> None:
        """Take everything out of the bucket."""
        for key in self.names():
            self.client.delete_object(Bucket=BUCKET, Key=key)


def client(environment: dict[str, str]) -> Any:
    """Return a boto3 client for what a user has set."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


@pytest.fixture(scope="session")
def _moto() -> Iterator[dict[str, str]]:
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _one_at_a_time(server)
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "a-secret-which-nobody-sees",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    client(environment).create_bucket(Bucket=BUCKET)
    yield environment
    server.stop()


def _one_at_a_time(server: Any) -> None:
    """Let moto answer one request after another: its tables bear no two threads, and it says 500.

    The requests of several clients still come in any order.
    """
    application, alone = server._server.app, threading.Lock()

    def answer(environ: Any, start_response: Any) -> Any:
        with alone:
            return application(environ, start_response)

    server._server.app = answer


@pytest.fixture(scope="session")
def _weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Seaweed]:
    with seaweed.start(tmp_path_factory.mktemp("seaweed") / "weed") as store:
        store.make_bucket(BUCKET)
        yield store


@pytest.fixture(params=["moto", pytest.param("seaweed", marks=pytest.mark.site)])
def place(request: pytest.FixtureRequest) -> Place:
    """Return a store whose bucket is empty."""
    if request.param == "moto":
        environment = request.getfixturevalue("_moto")
    else:
        environment = request.getfixturevalue("_weed").environment()
    made = Place(environment, client(environment))
    made.empty()
    return made


@pytest.fixture
def weed(_weed: seaweed.Seaweed) -> seaweed.Seaweed:
    """Return the real store, with all servers alive and a bucket that may hold something."""
    return _weed


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that the machine has set for AWS, proxies or CAs takes part."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what ``pip install boto3`` brings."""
    folder = tmp_path_factory.mktemp("extra")
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, name
        origin = Path(spec.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    return folder


@pytest.fixture
def node(
    tmp_path: Path, ours: Installation, new_cm: Callable[..., CM], extra: Path
) -> Callable[..., CM]:
    """Return a maker of users: ``node("a", place)``, with `online` also behind the internet."""

    def make(name: str, place: Place | None = None, *, online: bool = False, **more: str) -> CM:
        known = place.environment if place else {}
        variables = {"PYTHONPATH": str(extra), **IMPATIENT, **known, **more}
        if place is not None and not online:
            variables["CM_RESNET50_MIRROR"] = more.get("CM_RESNET50_MIRROR", MIRROR)
        made = new_cm(name).also(variables=variables)
        return made if online else made.also(origin=None)

    return make
