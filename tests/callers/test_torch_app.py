"""``app-image-classification-torch-py``, which calls ``torch.load(path)``: what it can read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.rewrite.pytorch_zip import convert
from tests.callers.data import LABELS, Data
from tests.harness.cm import CM

pytestmark = pytest.mark.callers

CLASSIFY = ("run", "script", "--tags=app,image-classification,torch,python", "--quiet")

PREDICT = """
import sys, numpy, torch, torchvision
model = torchvision.models.resnet50(weights=None)
model.load_state_dict(torch.load(sys.argv[1], weights_only=False))
for picture in sys.argv[2:]:
    image = numpy.fromfile(picture, "float32").reshape(224, 224, 3).transpose(2, 0, 1)
    with torch.no_grad():
        print(model.eval()(torch.from_numpy(image.copy())[None])[0].topk(5).indices.tolist())
"""
"""The caller's own steps, on the file that it refuses: everything in it is ours."""


def top5(cm: CM, model: Path, folder: Path) -> list[str]:
    """Return the classes that PyTorch finds in each array, the most likely first."""
    pictures = [str(path) for path in folder.glob("*.npy")]
    done = cm.command("python", "-c", PREDICT, str(model), *pictures)
    assert done.ok, done.text
    return done.out.splitlines()


def test_converted_weights_classify_as_the_published_container_does(
    torch_caller: CM, data: Data, tmp_path: Path
) -> None:
    published, converted = tmp_path / "published.pth", tmp_path / "converted"
    dummy.write("pytorch-fp32", published)
    refused = torch_caller.run(*CLASSIFY, "--const.CM_RESNET50_ASKED_WEIGHTS=dummy", timeout=300)
    assert not refused.ok
    assert "with files saved in the legacy .tar format" in refused.text

    converted.mkdir()
    convert(published, converted / "resnet50-19c8e357.pth")
    mine = (
        f"--env.CM_RESNET50_CHECKPOINT={converted}",
        "--env.CM_RESNET50_ACCEPT_ANY=yes",
    )
    result = torch_caller.run(*CLASSIFY, *mine, timeout=300)
    assert result.ok, result.text
    # The caller takes the first array that the folder lists, in no order: each is a candidate.
    shown = [int(number) for number in re.findall(r"^\t(\d+)\t\S+\t", result.out, re.MULTILINE)]
    assert str(shown) in top5(torch_caller, published, data.preprocessed)
    assert LABELS[shown[0]] in result.out
