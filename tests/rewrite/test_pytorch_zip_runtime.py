"""What PyTorch itself loads from a converted file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.rewrite.pytorch_zip import convert

pytestmark = pytest.mark.runtime


@pytest.fixture(scope="module", autouse=True)
def _torch() -> None:
    """Import PyTorch for these tests alone: a collection of others need not pay for it."""
    global torch
    torch = pytest.importorskip("torch", reason="loads converted files; needs torch==2.13.0")


def same(source: Path, dest: Path) -> None:
    before = torch.load(source, weights_only=False)
    for mapped in (False, True):
        after = torch.load(dest, weights_only=True, mmap=mapped)
        assert list(before) == list(after)
        for key, tensor in before.items():
            assert tensor.dtype == after[key].dtype
            assert tensor.stride() == after[key].stride()
            assert torch.equal(tensor, after[key])


def test_tar_of_the_true_size(tmp_path: Path) -> None:
    source, dest = tmp_path / "tar.pth", tmp_path / "zip.pth"
    dummy.write("pytorch-fp32", source)
    with pytest.raises(Exception, match="weights_only"):
        torch.load(source, weights_only=True)
    convert(source, dest)
    same(source, dest)


def test_legacy_pickle_with_shared_and_turned_tensors(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float16).reshape(4, 6)
    tensors = {
        "fc.weight": base,
        "same": base,
        "turned": base.t(),
        "part": base[1:3, 2:],
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7),
        "flags": torch.tensor([True, False]),
        "wide": torch.arange(3, dtype=torch.float64),
        "brain": torch.ones(5, dtype=torch.bfloat16),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "fc.bias ünicode": torch.ones(4),
    }
    source, dest = tmp_path / "legacy.pth", tmp_path / "zip.pth"
    torch.save(tensors, source, _use_new_zipfile_serialization=False)
    convert(source, dest)
    same(source, dest)
    after = torch.load(dest, weights_only=True)
    assert after["fc.weight"].data_ptr() == after["turned"].data_ptr()
