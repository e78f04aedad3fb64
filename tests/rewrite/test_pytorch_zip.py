"""Conversion of state_dicts to the zip container: the same tensors, the same bytes every time."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from cmx_resnet50.rewrite.pytorch_zip import ConversionError, convert
from tests.formats import torch_files as files
from tests.formats.opcodes import integer, pickle, text
from tests.formats.test_pytorch import checkpoint
from tests.harness.torchscript import torchscript

HONEST = {"tar": files.tar(files.tar_files()), "pickle": files.legacy()}


def converted(tmp_path: Path, raw: bytes) -> Path:
    source, dest = tmp_path / "source.pth", tmp_path / "dest.pth"
    source.write_bytes(raw)
    convert(source, dest)
    return dest


@pytest.mark.parametrize("container", HONEST)
def test_storages_are_the_same_bytes(tmp_path: Path, container: str) -> None:
    dest = converted(tmp_path, HONEST[container])
    with zipfile.ZipFile(dest) as archive:
        assert archive.testzip() is None
        for index, (key, shape) in enumerate(files.SHAPES.items()):
            held = archive.read(f"archive/data/{index}")
            assert held == files.content(key, math.prod(shape))


@pytest.mark.parametrize("container", HONEST)
def test_facts_differ_in_the_container_only(tmp_path: Path, container: str) -> None:
    dest = converted(tmp_path, HONEST[container])
    before, after = read_facts(tmp_path / "source.pth"), read_facts(dest)
    assert before.version.pop("container") == container
    assert after.version.pop("container") == "zip"
    assert before == after


def test_both_containers_become_the_same_file(tmp_path: Path) -> None:
    made = {converted(tmp_path, raw).read_bytes() for raw in HONEST.values()}
    assert len(made) == 1


def test_storages_are_aligned(tmp_path: Path) -> None:
    dest = converted(tmp_path, HONEST["tar"])
    raw = dest.read_bytes()
    for key, shape in files.SHAPES.items():
        assert raw.index(files.content(key, math.prod(shape))) % 64 == 0


def test_file_of_the_published_kind(tmp_path: Path) -> None:
    source, dest = tmp_path / "resnet50.pth", tmp_path / "zip.pth"
    dummy.write("pytorch-fp32", source, width=2)
    convert(source, dest)
    assert read_facts(dest).parameter_bytes == read_facts(source).parameter_bytes
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (files.zipped(), "already in the zip container"),
        (torchscript("model"), "is torchscript, not a state_dict"),
        (files.legacy(pickle(b"}"), {}), "is not a state_dict"),
        (
            files.legacy(
                pickle(
                    b"}("
                    + text("epoch")
                    + integer(1)
                    + text("a")
                    + files.tensor(files.storage("a", 4, legacy=True), (4,))
                    + b"u"
                ),
                {"a": (4,)},
            ),
            "is not a state_dict",
        ),
        (files.legacy()[:-1], "cut or altered"),
        (b"<html>" + bytes(600), "not one of PyTorch's containers.*cmx-resnet50 inspect"),
    ],
)
def test_other_files_are_refused_and_nothing_is_left(
    tmp_path: Path, raw: bytes, reason: str
) -> None:
    with pytest.raises(ConversionError, match=reason):
        converted(tmp_path, raw)
    assert [path.name for path in tmp_path.iterdir()] == ["source.pth"]


def test_a_file_is_not_converted_onto_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(HONEST["tar"])
    link = tmp_path / "link.pth"
    link.hardlink_to(path)
    for dest in (path, link):
        with pytest.raises(ConversionError, match="onto itself"):
            convert(path, dest)
    assert path.read_bytes() == HONEST["tar"]


def test_an_older_result_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "dest.pth").write_bytes(b"old")
    assert read_facts(converted(tmp_path, HONEST["pickle"])).classes == 10


def test_the_state_dict_of_a_checkpoint(tmp_path: Path) -> None:
    source, dest = tmp_path / "source.pth", tmp_path / "dest.pth"
    source.write_bytes(checkpoint("model", "ema"))
    with pytest.raises(ConversionError, match="--key"):
        convert(source, dest)
    convert(source, dest, "ema")
    facts = read_facts(dest)
    assert (facts.version, facts.parameter_count) == ({"container": "zip"}, 5)
    source.write_bytes(checkpoint("state_dict"))
    convert(source, dest)
    assert read_facts(dest).parameter_count == 4
