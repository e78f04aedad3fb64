"""The reader of PyTorch files against what PyTorch itself writes and reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.formats import read_facts
from tests.formats import torch_files as files

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    """Import PyTorch for these tests alone: a collection of others need not pay for it."""
    global torch
    torch = pytest.importorskip("torch", reason="compares with PyTorch; needs torch==2.13.0")


def network() -> object:
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3),
        torch.nn.BatchNorm2d(8),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 10),
    )
    return layers.eval()


@pytest.mark.parametrize(("zipped", "container"), [(True, "zip"), (False, "pickle")])
def test_state_dicts_that_pytorch_writes(tmp_path: Path, zipped: bool, container: str) -> None:
    tensors = network().state_dict()
    path = tmp_path / "model.pth"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    facts = read_facts(path)
    assert facts.version == {"container": container}
    assert facts.classes == 10
    assert facts.parameter_count == sum(one.numel() for one in tensors.values())
    assert facts.parameter_bytes == sum(one.nbytes for one in tensors.values())


def test_tar_files_are_read_as_pytorch_does(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    dummy.write("pytorch-fp32", path, width=2)
    tensors = torch.load(path, weights_only=False)
    facts = read_facts(path)
    assert facts.classes == len(tensors["fc.bias"])
    assert facts.parameter_count == sum(one.numel() for one in tensors.values())


@pytest.mark.parametrize(
    "raw", [files.tar(files.tar_files()), files.legacy(), files.zipped()], ids=["tar", "old", "zip"]
)
def test_recipes_of_the_tests_are_what_pytorch_reads(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(raw)
    tensors = torch.load(path, weights_only=False)
    assert {key: tuple(one.shape) for key, one in tensors.items()} == dict(files.SHAPES)
    for key, one in tensors.items():
        assert one.numpy().tobytes() == files.content(key, one.numel())


@pytest.mark.parametrize("method", ["script", "trace"])
def test_torchscript_that_pytorch_writes(tmp_path: Path, method: str) -> None:
    model = network()
    scripted = (
        torch.jit.script(model)
        if method == "script"
        else torch.jit.trace(model, torch.zeros(1, 3, 8, 8))
    )
    path = tmp_path / "model.pt"
    scripted.save(str(path))
    facts = read_facts(path)
    assert facts.version == {"container": "torchscript"}
    assert (facts.classes, facts.precision) == (10, "fp32")
    tensors = model.state_dict().values()
    assert facts.parameter_count == sum(one.numel() for one in tensors)


def test_whole_modules_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    torch.save(network(), path)
    with pytest.raises(Exception, match=r"names 'torch\.nn\.modules\.container\.Sequential'"):
        read_facts(path)
