"""``examples/classify.py``: pictures as a model wants them, the same code for both layouts."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cmx_resnet50 import Preprocessing, get, models
from tests.docs.pages import ROOT

Image = pytest.importorskip("PIL.Image", reason="needs pillow")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")

NHWC, NCHW = "onnx from-tf", "onnx"
SIZES = [(256, 256), (300, 256), (256, 411), (640, 480), (301, 777), (100, 90), (1024, 37)]
KNOWN = {model.name: model.preprocessing for model in models()}


@pytest.fixture(scope="module")
def classify() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "examples")
        yield importlib.import_module("classify")


def picture(width: int, height: int) -> Any:
    """Return waves in three colours, so that no two channels and no two corners are alike."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = [
        127 + 120 * np.sin(x / 17 + y / 29),
        127 + 100 * np.cos(x / 41 - y / 13),
        255 * x / width * y / height,
    ]
    return Image.fromarray(np.stack(waves, axis=-1).round().astype(np.uint8), "RGB")


def resampled(pixels: np.ndarray[Any, Any], length: int) -> np.ndarray[Any, Any]:
    """Resample the first axis to `length` by a triangle as wide as the larger step."""
    old = pixels.shape[0]
    step = old / length
    width = max(step, 1.0)
    centres = (np.arange(length) + 0.5) * step
    distance = np.abs(np.arange(old) + 0.5 - centres[:, np.newaxis]) / width
    weights = np.clip(1 - distance, 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot(weights, pixels, axes=1)


def expected(image: Any, how: Preprocessing) -> np.ndarray[Any, Any]:
    """Compute the same in double precision, without Pillow, by the words of the documentation."""
    pixels = np.asarray(image, np.float64)
    if how.resize is not None:
        height, width, _ = pixels.shape
        ratio = how.resize / min(width, height)
        pixels = resampled(pixels, round(height * ratio))
        pixels = resampled(pixels.swapaxes(0, 1), round(width * ratio)).swapaxes(0, 1)
    if how.crop is not None:
        top, left = ((side - how.crop) // 2 for side in pixels.shape[:2])
        pixels = pixels[top : top + how.crop, left : left + how.crop]
    order = ["RGB".index(channel) for channel in how.channel_order]
    return np.stack(
        [
            (pixels[..., channel] - mean) * scale
            for channel, mean, scale in zip(order, how.mean, how.scale, strict=True)
        ],
        axis=-1,
    )


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["onnx-opset-11", "pytorch-fp32", "tflite-edgetpu"])
def test_prepared_as_documented(classify: ModuleType, name: str, size: tuple[int, int]) -> None:
    how = KNOWN[name]
    assert how is not None
    image = picture(*size)
    found = classify.prepare(image, how)
    wanted = expected(image, how)
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    # Pillow rounds to whole values after each of the two directions.
    rounding = 0.0 if how.resize in (None, min(size)) else 1.01 * max(how.scale)
    assert np.abs(found - wanted).max() <= rounding + 1e-4 * max(how.scale)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_pictures_of_any_mode(classify: ModuleType, mode: str) -> None:
    how = KNOWN["onnx-opset-11"]
    image = picture(300, 280).convert(mode)
    assert np.array_equal(classify.prepare(image, how), classify.prepare(image.convert("RGB"), how))


@pytest.mark.usefixtures("filled")
def test_the_same_classes_in_either_layout(
    classify: ModuleType, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, size in enumerate(SIZES):
        picture(*size).save(user / f"{number}.{'png' if number % 2 else 'jpg'}")
    pictures = sorted(path.name for path in user.iterdir())
    found = {}
    for request in (NCHW, NHWC):
        assert classify.main(["--request", f"{request} dummy-weights", *pictures]) == 0
        shown = capsys.readouterr()
        assert "The weights are random" in shown.err
        header, *lines = (line.split() for line in shown.out.splitlines())
        assert header == ["picture", "rank", "class", "score"]
        assert [line[:2] for line in lines] == [
            [name, str(rank)] for name in pictures for rank in range(1, 6)
        ]
        found[request] = [(int(number), float(score)) for _, _, number, score in lines]
    assert [number for number, _ in found[NCHW]] == [number for number, _ in found[NHWC]]
    assert np.allclose(*([score for _, score in pairs] for pairs in found.values()), atol=2e-4)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("request_text", [NCHW, NHWC])
def test_top_5_are_those_of_the_runtime(
    classify: ModuleType, user: Path, request_text: str
) -> None:
    model = get(request_text, dummy=True, progress=False)
    image = picture(320, 280)
    how = model.preprocessing
    assert how is not None
    assert how.label_offset == -1
    pixels = expected(image, how).astype(np.float32)
    batch = pixels[np.newaxis] if model.layout == "NHWC" else pixels.transpose(2, 0, 1)[np.newaxis]
    session = onnxruntime.InferenceSession(str(model.path))
    argmax, scores = session.run(None, {model.inputs[0].name: batch})
    best = classify.Classifier(model)(image)
    assert len(best) == 5
    assert best[0][0] == int(argmax[0]) - 1
    assert [number + 1 for number, _ in best] == list(np.argsort(-scores[0])[:5])
    assert np.allclose([score for _, score in best], np.sort(scores[0])[::-1][:5], rtol=0.05)


@pytest.mark.usefixtures("filled")
def test_labels_and_what_cannot_be_classified(
    classify: ModuleType, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(256, 256).save("a.png")
    (user / "no.png").write_text("no picture")
    (user / "labels.txt").write_text("\n".join(f"name {number}" for number in range(1000)))
    given = ["--request", "onnx dummy-weights", "--labels", "labels.txt"]
    assert classify.main([*given, "no.png", "a.png", "absent.png"]) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert "no.png" in shown.err and "absent.png" in shown.err
    header, *lines = shown.out.splitlines()
    assert header.endswith("  name")
    for line in lines:
        number = line.split()[2]
        assert line.endswith(f"  name {number}") or number == "-1"
    for request, text in (
        ("ncnn int8", "No ResNet-50 file"),
        ("pytorch dummy-weights", "not an ONNX model"),
        ("onnx dummy-weights batch_size.4", "Leave batch_size out"),
    ):
        assert classify.main(["--request", request, "a.png"]) == 1
        assert text in capsys.readouterr().err


@pytest.mark.usefixtures("filled")
def test_a_deviation_is_a_sentence(
    classify: ModuleType, user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(256, 256).save(user / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classify.main(["--request", "onnx int8 dummy-weights", "a.png"]) == 0
    assert "is fp32, and is called that." in capsys.readouterr().err
