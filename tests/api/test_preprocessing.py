"""docs/preprocessing.md: its code is that of the example, and agrees with other libraries."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cmx_resnet50 import Preprocessing, models
from tests.api.test_classify import picture
from tests.docs import pages

pytest.importorskip("PIL.Image", reason="needs pillow")

PAGE = (pages.DOCS / "preprocessing.md").read_text(encoding="utf-8")
FUNCTIONS = ("prepare", "batch", "quantize")
LETTERS = {"A": "onnx-opset-11", "B": "pytorch-fp32", "C": "tflite-edgetpu"}
SIZES = [(300, 256), (640, 480), (256, 411), (1024, 768), (200, 180)]


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pages.ROOT / "examples")
        yield importlib.import_module("preprocessing")


def known(letter: str) -> Preprocessing:
    (how,) = (model.preprocessing for model in models() if model.name == LETTERS[letter])
    assert how is not None
    return how


def test_the_page_shows_the_code_of_the_example(example: ModuleType) -> None:
    shown = pages.blocks(PAGE, "python")
    assert shown[1:] == [inspect.getsource(getattr(example, name)) for name in FUNCTIONS]


def test_the_page_names_the_values_of_each_letter() -> None:
    table = {row[0]: row for row in pages.rows(pages.section(PAGE, "The three ways"))}
    choosing = (pages.DOCS / "choose.md").read_text(encoding="utf-8")
    letters = {row[0]: row[4] for row in pages.rows(choosing) if len(row) == 5}
    for letter, name in LETTERS.items():
        how = known(letter)
        _, users, order, resize, crop, mean, scale, _ = table[letter]
        assert order == how.channel_order
        assert (resize, crop) == (str(how.resize or "unknown"), str(how.crop or "unknown"))
        assert [float(value) for value in mean.split()] == pytest.approx(how.mean)
        factors = scale.partition(",")[0].split()
        found = [1 / float(text.removeprefix("1/")) for text in factors]
        assert [*found, *found[-1:] * 3][:3] == pytest.approx(how.scale)
        assert ("quantized" in scale) is how.quantized
        assert users
        (model,) = (model for model in models() if model.name == name)
        row = next(key for key in letters if model.requests[0] in key.split("`"))
        assert letters[row] == letter


@pytest.mark.usefixtures("filled")
def test_the_first_program_of_the_page(
    example: ModuleType, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user)
    picture(320, 280).save("cat.jpg")
    exec(pages.blocks(PAGE, "python")[0], {})


@pytest.mark.usefixtures("filled")
def test_the_command_of_the_page(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    monkeypatch.chdir(user)
    monkeypatch.syspath_prepend(pages.ROOT / "examples")
    picture(320, 280).save("cat.jpg")
    (command,) = pages.under(pages.DOCS / "preprocessing.md", "Preprocessing")
    assert command == 'python examples/classify.py --request "onnx dummy-weights" cat.jpg\n'
    classify = importlib.import_module("classify")
    assert classify.main(["--request", "onnx dummy-weights", "cat.jpg"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 114), ("int8", -14)])
def test_quantized_as_the_file_says(example: ModuleType, dtype: str, zero_point: int) -> None:
    scale = 1.08
    pixels = example.prepare(picture(224, 224), known("C"))
    found = example.quantize(pixels, scale, zero_point, dtype)
    assert found.dtype == np.dtype(dtype)
    limits = np.iinfo(dtype)
    exact = pixels.astype(np.float64) / scale + zero_point
    inside = (exact > limits.min) & (exact < limits.max)
    assert np.abs(found - exact)[inside].max() <= 0.5 + 1e-4
    assert np.array_equal(found[exact >= limits.max], found[exact >= limits.max] * 0 + limits.max)


def test_several_pictures_in_either_layout(example: ModuleType) -> None:
    prepared = [example.prepare(picture(*size), known("A")) for size in SIZES[:2]]
    last = example.batch(prepared, "NHWC")
    assert last.shape == (2, 224, 224, 3)
    assert np.array_equal(example.batch(prepared, "NCHW"), last.transpose(0, 3, 1, 2))


@pytest.mark.runtime
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("letter", "AB")
def test_opencv_agrees(example: ModuleType, letter: str, size: tuple[int, int]) -> None:
    """MLPerf's steps, in OpenCV: INTER_AREA, then a crop."""
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    how, image = known(letter), picture(*size)
    bgr = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    ratio = 256 / min(size)
    wanted = (round(size[0] * ratio), round(size[1] * ratio))
    method = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    resized = cv2.cvtColor(cv2.resize(bgr, wanted, interpolation=method), cv2.COLOR_BGR2RGB)
    left, top = (wanted[0] - 224) // 2, (wanted[1] - 224) // 2
    cropped = resized[top : top + 224, left : left + 224].astype(np.float64)
    levels = np.abs(example.prepare(image, how) - (cropped - how.mean) * how.scale) / how.scale
    assert levels.mean() < 1
    assert levels.max() < 6


@pytest.mark.runtime
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pytorch_agrees(example: ModuleType, size: tuple[int, int]) -> None:
    """The words of torchvision: a filtered resize, a crop, /255, mean and std; in PyTorch."""
    torch: Any = pytest.importorskip("torch", reason="needs torch")
    image = picture(*size)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    ratio = 256 / min(size)
    wanted = (round(size[1] * ratio), round(size[0] * ratio))
    resized = torch.nn.functional.interpolate(pixels, wanted, mode="bilinear", antialias=True)
    top, left = (wanted[0] - 224) // 2, (wanted[1] - 224) // 2
    cropped = resized[0, :, top : top + 224, left : left + 224].numpy() / 255
    mean = np.reshape([0.485, 0.456, 0.406], (3, 1, 1))
    std = np.reshape([0.229, 0.224, 0.225], (3, 1, 1))
    found = example.batch([example.prepare(image, known("B"))], "NCHW")[0]
    levels = np.abs(found - (cropped - mean) / std) * std * 255
    assert levels.max() <= 1.01
