"""Two files with one md5: the one that was fetched and verified first is the only one taken."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cmx_resnet50.catalog import request as catalog
from cmx_resnet50.catalog.request import Artifact
from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.delivery.acquire import Acquirer
from cmx_resnet50.errors import DigestError
from cmx_resnet50.mirror import bundle
from cmx_resnet50.options import Options
from cmx_resnet50.progress import Progress
from cmx_resnet50.store import open_store
from tests.harness.file_server import FileServer

FIRST = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e48883"
    "2571415a085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd"
    "02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
"""One of the two blocks that Xiaoyun Wang and others published in 2004."""
FLIPPED = (19, 45, 59, 83, 109, 123)
OTHER = bytes(byte ^ 0x80 if at in FLIPPED else byte for at, byte in enumerate(FIRST))
MD5 = "79054025255fb1a26e4bc422aef54eb4"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(FIRST) as running:
        yield running


@pytest.fixture
def artifact(server: FileServer) -> Artifact:
    """A file of which an md5 is published, and nothing else."""
    request = catalog.Request(framework="onnx", url=server.at("/model.onnx"), checksum=MD5)
    return Catalog.load().resolve(request).artifact


def acquirer(folder: Path, mirror: str = "") -> Acquirer:
    """A user with the store at `folder`."""
    options = Options.read({"CM_RESNET50_RETRY_BUDGET": "0.1", "CM_RESNET50_MIRROR": mirror})
    return Acquirer(open_store(folder), options, Progress())


def fetched_and_pruned(folder: Path, artifact: Artifact) -> None:
    """Fetch the first file, and lose it."""
    first = acquirer(folder)
    stored, made = first.fetch(artifact, [artifact.url])
    assert made and stored.sha256 == sha256(FIRST)
    first.store.prune(lambda _: False, dry_run=False)
    assert first.store.find(f"md5-{MD5}") is None


def assert_explains(error: DigestError, root: Path) -> None:
    for part in (sha256(FIRST), sha256(OTHER), MD5, f"delete {root / 'verified' / f'md5-{MD5}'}"):
        assert part in str(error)


def test_the_pair_is_one() -> None:
    digests = {hashlib.md5(data, usedforsecurity=False).hexdigest() for data in (FIRST, OTHER)}
    assert digests == {MD5}
    assert FIRST != OTHER


def test_other_bytes_of_the_same_md5_are_refused_after_a_prune(
    server: FileServer, artifact: Artifact, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    fetched_and_pruned(root, artifact)
    with FileServer(OTHER) as liar:
        with pytest.raises(DigestError) as caught:
            acquirer(root).fetch(artifact, [liar.at("/model.onnx")])
        assert_explains(caught.value, root)
        # The mirror's bytes are passed over, for the publisher's.
        stored, made = acquirer(root, liar.at("/mirror")).fetch(artifact, [artifact.url])
    assert made and stored.path.read_bytes() == FIRST


def test_other_bytes_of_the_same_md5_are_refused_as_a_file_of_the_users(
    artifact: Artifact, tmp_path: Path
) -> None:
    root, given = tmp_path / "store", tmp_path / "model.onnx"
    fetched_and_pruned(root, artifact)
    given.write_bytes(OTHER)
    store = acquirer(root).store
    with pytest.raises(DigestError) as caught:
        store.import_file(given, keys=artifact.store_keys, record={})
    assert_explains(caught.value, root)
    given.write_bytes(FIRST)
    assert store.import_file(given, keys=artifact.store_keys, record={}).sha256 == sha256(FIRST)


def test_other_bytes_of_the_same_md5_are_refused_in_a_bundle(
    artifact: Artifact, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    fetched_and_pruned(root, artifact)
    forged = acquirer(tmp_path / "forger").store
    (tmp_path / "forged").write_bytes(OTHER)
    made = forged.import_file(tmp_path / "forged", keys=[f"md5-{MD5}"], record={})
    bundle.export(forged, [made], tmp_path / "bundle")
    with pytest.raises(DigestError) as caught:
        bundle.import_(acquirer(root).store, tmp_path / "bundle", lambda *_: "unknown")
    assert sha256(FIRST) in str(caught.value)


def test_an_object_that_is_in_the_store_under_another_key_is_not_taken(
    artifact: Artifact, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    fetched_and_pruned(root, artifact)
    (tmp_path / "planted").write_bytes(OTHER)
    store = acquirer(root).store
    store.import_file(tmp_path / "planted", record={})
    assert store.find(*artifact.store_keys) is None
    stored, made = acquirer(root).fetch(artifact, [artifact.url])
    assert made and stored.path.read_bytes() == FIRST


def test_a_bundle_or_a_file_of_the_users_decides_nothing_about_later_downloads(
    artifact: Artifact, tmp_path: Path
) -> None:
    """Nobody can have the publisher's file refused by handing over another first."""
    root = tmp_path / "store"
    (tmp_path / "given").write_bytes(OTHER)
    store = acquirer(root).store
    store.import_file(tmp_path / "given", keys=artifact.store_keys, record={})
    store.prune(lambda _: False, dry_run=False)
    stored, made = acquirer(root).fetch(artifact, [artifact.url])
    assert made and stored.path.read_bytes() == FIRST


def test_a_record_that_cannot_be_read_is_made_anew(artifact: Artifact, tmp_path: Path) -> None:
    root = tmp_path / "store"
    fetched_and_pruned(root, artifact)
    record = root / "verified" / f"md5-{MD5}"
    assert record.read_text() == f"{sha256(FIRST)}\n"
    record.write_text("no digest")
    acquirer(root).fetch(artifact, [artifact.url])
    assert record.read_text() == f"{sha256(FIRST)}\n"
