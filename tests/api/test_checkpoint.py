"""A file of the user's own that is not plainly the right one: described, unpacked, or refused."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cmx_resnet50 import DigestError, Resnet50Error, StoreError, get, reshape
from tests.api.conftest import World
from tests.harness.artifacts import ARTIFACTS

QUIET: dict[str, Any] = {"progress": False}
OFFER = "set accept_any=True"
ONNX = "resnet50_v1.onnx"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102\n"


def zipped(**members: bytes) -> bytes:
    """Return a zip file; in a name, ``__`` is a dot."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


NO_MODEL: dict[str, tuple[bytes, str]] = {
    "a Git LFS pointer": (POINTER, "but a Git LFS pointer in place of the file, which `git lfs"),
    "a page": (b"<!DOCTYPE html><html><title>Sign in</title></html>", "an HTML page titled 'Sign"),
    "nothing": (b"", "but an empty file"),
    "a packed page": (
        gzip.compress(b"<html></html>"),
        r"\(gzip data, unpacked\) is not .* but an HTML page",
    ),
    "half of a gzip file": (gzip.compress(os.urandom(999))[:500], "but gzip data: .* is truncated"),
    "an empty zip file": (zipped(), "but an empty zip archive"),
    "a zip file without one": (zipped(README=b"hello"), "a zip archive that holds README; one of"),
    "a part of an archive": (b"PK\x03\x04" + bytes(100), "but a zip archive that is damaged or"),
}


@pytest.mark.parametrize("name", NO_MODEL)
@pytest.mark.parametrize("accept_any", [False, True])
def test_what_is_no_model_is_described_and_never_offered(
    user: Path, tmp_path: Path, name: str, accept_any: bool
) -> None:
    content, looks = NO_MODEL[name]
    (user / "mine.onnx").write_bytes(content)
    with pytest.raises(DigestError, match=looks) as refused:
        get("onnx", checkpoint="mine.onnx", accept_any=accept_any, **QUIET)
    assert str(user / "mine.onnx") in str(refused.value)
    assert OFFER not in str(refused.value)
    assert str(tmp_path / "store") not in str(refused.value)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.name == "data"]


def in_gzip(content: bytes, name: str) -> bytes:
    return gzip.compress(content, 1)


def in_zip(content: bytes, name: str) -> bytes:
    members = {f"folder/{name}": content, "folder/README.txt": b"hello", "__MACOSX/x": content}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return packed.getvalue()


@pytest.mark.parametrize("pack", [in_gzip, in_zip])
@pytest.mark.parametrize(
    ("request_text", "name"),
    [("onnx", "onnx-opset-11"), ("pytorch", "pytorch-fp32"), ("pytorch int8", "pytorch-int8")],
)
def test_the_right_file_in_an_archive_is_unpacked_and_verified(
    world: World,
    user: Path,
    tmp_path: Path,
    pack: Callable[[bytes, str], bytes],
    request_text: str,
    name: str,
) -> None:
    content = world.served[name].read_bytes()
    packed = user / "download"
    packed.write_bytes(pack(content, ARTIFACTS[name].file))
    model = get(request_text, checkpoint=packed, **QUIET)
    assert (model.origin, model.verified, model.url) == ("local", True, packed.as_uri())
    assert model.path.read_bytes() == content
    assert not list((tmp_path / "store" / "temporary").iterdir())


@pytest.mark.parametrize("pack", [in_gzip, in_zip])
def test_another_model_in_an_archive_is_offered_and_taken(
    world: World, user: Path, pack: Callable[[bytes, str], bytes]
) -> None:
    content = world.served["onnx-opset-8"].read_bytes()
    (user / "mine").write_bytes(pack(content, ONNX))
    with pytest.raises(DigestError, match=OFFER):
        get("onnx", checkpoint="mine", **QUIET)
    model = get("onnx", checkpoint="mine", accept_any=True, **QUIET)
    assert not model.verified
    assert model.path.read_bytes() == content


def test_a_zip_file_with_two_models_is_refused_with_what_it_holds(world: World, user: Path) -> None:
    one, other = (world.served[name].read_bytes() for name in ("onnx-opset-8", "onnx-opset-11"))
    (user / "both.zip").write_bytes(zipped(a__onnx=one, b__onnx=other))
    with pytest.raises(DigestError, match=r"holds a\.onnx, b\.onnx; one of these, and only one"):
        get("onnx", checkpoint="both.zip", **QUIET)


def test_an_archive_is_unpacked_within_a_bound(user: Path) -> None:
    (user / "mine.gz").write_bytes(gzip.compress(bytes(200 << 20), 1))
    with pytest.raises(DigestError, match="unpacks to more than the allowed 127,700,000 bytes"):
        get("onnx", checkpoint="mine.gz", **QUIET)


@pytest.mark.parametrize(
    ("request_text", "name", "expected"),
    [
        ("pytorch", "pytorch-fp32", r"expected \d"),
        ("onnx", "onnx-opset-11", r"at most 127,700,000 are expected"),
    ],
)
def test_a_file_of_another_size_is_refused_unread(
    world: World, user: Path, request_text: str, name: str, expected: str
) -> None:
    """At 200 GB, and all of it zeros: reading it takes minutes."""
    mine = user / "mine"
    mine.write_bytes(world.served[name].read_bytes())
    os.truncate(mine, 200 << 30)
    with pytest.raises(DigestError, match=rf"it has 214,748,364,800 bytes, {expected}"):
        get(request_text, checkpoint=mine, **QUIET)


def with_external_data(
    world: World, path: Path, location: str, seed: float = 0
) -> tuple[bytes, bytes]:
    """Save a model with its large weights in another file; return the bytes of both."""
    model = onnx.load(world.served["onnx-opset-11"])
    first = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    weights = numpy_helper.to_array(first) + np.float32(seed)
    first.CopyFrom(numpy_helper.from_array(weights, first.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=1024)
    return path.read_bytes(), (path.parent / location).read_bytes()


@pytest.mark.parametrize("location", ["weights.data", "data/weights.bin"])
def test_external_data_is_delivered_with_the_model(world: World, user: Path, location: str) -> None:
    content, data = with_external_data(world, user / "mine" / ONNX, location)
    with pytest.raises(DigestError, match=OFFER):
        get("onnx", checkpoint="mine", **QUIET)
    model = get("onnx", "models", checkpoint="mine", accept_any=True, **QUIET)
    assert [path.relative_to(user / "models") for path in model.files] == [
        Path(ONNX),
        Path(location),
    ]
    assert [path.read_bytes() for path in model.files] == [content, data]
    assert (model.verified, model.precision) == (False, "fp32")
    onnx.checker.check_model(str(model.path))


def test_models_that_differ_in_their_data_alone_do_not_share_a_folder(
    world: World, user: Path
) -> None:
    found = []
    for number in (1, 2):
        with_external_data(world, user / str(number) / ONNX, "weights.data", number)
        model = get("onnx", checkpoint=str(number), accept_any=True, **QUIET)
        found.append((model, model.files[1].read_bytes()))
    (first, data), (second, other) = found
    assert first.sha256 == second.sha256
    assert data != other
    assert first.files[1].read_bytes() == data


def test_external_data_does_not_replace_a_file_of_the_users(world: World, user: Path) -> None:
    with_external_data(world, user / "mine" / ONNX, "weights.data")
    (user / "models").mkdir()
    (user / "models" / "weights.data").write_text("precious")
    with pytest.raises(StoreError, match=r"weights\.data exists already"):
        get("onnx", "models", checkpoint="mine", accept_any=True, **QUIET)
    assert [path.name for path in (user / "models").iterdir()] == ["weights.data"]
    assert (user / "models" / "weights.data").read_text() == "precious"


@pytest.mark.parametrize("way", ["missing", "cut", "elsewhere", "named as the model", "packed"])
def test_external_data_that_cannot_be_taken_is_named(world: World, user: Path, way: str) -> None:
    mine = user / "mine" / ("model.onnx" if way == "named as the model" else ONNX)
    location = ONNX if way == "named as the model" else "weights.data"
    with_external_data(world, mine, location)
    given: Path = mine
    match way:
        case "missing":
            (mine.parent / location).unlink()
        case "cut":
            os.truncate(mine.parent / location, 100)
        case "elsewhere":
            (mine.parent / location).rename(user / "weights.data")
            model = onnx.load(mine, load_external_data=False)
            for weight in model.graph.initializer:
                for entry in weight.external_data:
                    entry.value = "../weights.data" if entry.key == "location" else entry.value
            mine.write_bytes(model.SerializeToString())
        case "packed":
            given = user / "mine.gz"
            given.write_bytes(gzip.compress(mine.read_bytes()))
    with pytest.raises(Resnet50Error, match=location) as refused:
        get("onnx", checkpoint=given, accept_any=True, **QUIET)
    assert str(given) in str(refused.value)


def test_a_batch_of_external_data_is_fixed_first(world: World, user: Path) -> None:
    with_external_data(world, user / ONNX, "weights.data")
    with pytest.raises(Resnet50Error, match=r"cmx-resnet50 reshape '.*' fixed\.onnx --batch 4"):
        get("onnx", batch=4, checkpoint=ONNX, accept_any=True, **QUIET)
    reshape(ONNX, "fixed.onnx", batch=4)
    model = get("onnx", checkpoint="fixed.onnx", accept_any=True, **QUIET)
    assert model.inputs[0].shape == (4, 3, 224, 224)
    assert len(model.files) == 1
