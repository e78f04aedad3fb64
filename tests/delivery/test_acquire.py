"""How one artifact gets into the store: which sources are asked, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmx_resnet50.catalog import request as catalog
from cmx_resnet50.catalog.request import Artifact
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.delivery.acquire import Acquirer
from cmx_resnet50.dummy import write
from cmx_resnet50.engines.cm import CM
from cmx_resnet50.engines.mlc import MLC
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch import FetchError
from cmx_resnet50.options import Options
from cmx_resnet50.progress import Progress
from cmx_resnet50.store import Store
from tests.harness.faults import Other
from tests.harness.file_server import FileServer
from tests.harness.reply import Reply, Request


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real model of a small width."""
    path = tmp_path_factory.mktemp("model") / "model"
    write("onnx-opset-11", path, width=2)
    return path.read_bytes()


@pytest.fixture
def server(model: bytes) -> Iterator[FileServer]:
    with FileServer(model) as running:
        yield running


def acquirer(folder: Path, **options: str) -> Acquirer:
    """An acquirer as a user with these options has it."""
    read = Options.read({f"CM_RESNET50_{key.upper()}": value for key, value in options.items()})
    return Acquirer(Store(folder / "store"), read, Progress())


def own(url: str, checksum: str | None = None) -> Artifact:
    """The artifact that a URL of the user's stands for."""
    request = catalog.Request(framework="onnx", url=url, checksum=checksum)
    return Catalog.load().resolve(request).artifact


def test_the_key_of_a_mirror_stays_behind_the_path(
    model: bytes, server: FileServer, tmp_path: Path
) -> None:
    """As those of Azure (SAS) and GitLab (private_token) are."""
    digest = hashlib.md5(model, usedforsecurity=False).hexdigest()
    artifact = own("http://127.0.0.1:9/model.onnx", digest)
    mirror = server.at("/models/?sv=2023&sig=a%2Fb")
    stored, _ = acquirer(tmp_path, mirror=mirror).fetch(artifact, [artifact.url])
    assert stored.path.read_bytes() == model
    assert [request.path for request in server.requests] == [
        f"/models/md5/{digest}?sv=2023&sig=a%2Fb"
    ]
    assert "sig" not in stored.record["url"] or "sig=***" in stored.record["url"]


def test_a_fragment_of_a_mirror_is_refused(server: FileServer, tmp_path: Path) -> None:
    artifact = own("http://127.0.0.1:9/model.onnx", "0" * 32)
    with pytest.raises(Resnet50Error, match=r"MIRROR=\S+/models\?sig=\*\*\*: it has a fragment"):
        acquirer(tmp_path, mirror=server.at("/models?sig=s3cret#x")).fetch(artifact, [artifact.url])
    assert not server.requests


@pytest.mark.parametrize("known", [False, True], ids=["no digest", "digest"])
def test_a_mirror_answers_for_a_users_url_only_by_its_digest(
    known: bool, model: bytes, server: FileServer, tmp_path: Path
) -> None:
    """Under the same file name a mirror may have another file."""
    other = bytes(reversed(model))
    by_digest = f"/site/md5/{hashlib.md5(model, usedforsecurity=False).hexdigest()}"

    def site(request: Request) -> Reply:
        return mirror.reply(request, *([] if request.path == by_digest else [Other(other)]))

    with FileServer(model, always=site) as mirror:
        artifact = own(server.at("/resnet50.onnx"), by_digest.rpartition("/")[2] if known else None)
        stored, _ = acquirer(tmp_path, mirror=mirror.at("/site")).fetch(
            artifact, [artifact.url], named_by_user=True
        )
        asked = [request.path for request in mirror.requests]
    assert stored.path.read_bytes() == model
    assert asked == ([by_digest] if known else [])
    assert len(server.requests) == (0 if known else 1)


@pytest.mark.parametrize(
    ("name", "what"), [("pytorch-fp32", "FILE"), ("ncnn", "FOLDER"), ("ncnn-param", "FOLDER")]
)
def test_a_file_fetched_manually_is_given_in_the_words_of_each_way_in(
    tmp_path: Path, name: str, what: str
) -> None:
    artifact = next(a for a in Catalog.load().artifacts.values() if a.name == name)
    with pytest.raises(FetchError) as caught:
        acquirer(tmp_path, offline="yes").fetch(artifact, [artifact.url])
    assert f"then run cmx-resnet50 get VARIATIONS --checkpoint={what}" in str(caught.value)
    for engine in (CM, MLC):
        text = engine.wording.apply(caught.value.args[0])
        assert f"resnet50,VARIATIONS --checkpoint={what}" in text
        assert "MIRROR" not in text and "<<" not in text
