"""``examples/from_python.py`` as a caller runs it: what it prints of a file, and of a refusal."""

from __future__ import annotations

from pathlib import Path

from tests.docs import pages
from tests.docs.reader import follow
from tests.harness.cm import CM, Result

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "from_python.py"


def run(cm: CM, *arguments: str, **env: str) -> Result:
    return cm.command("python", str(EXAMPLE), *arguments, env=env)


def test_as_the_page_says(cm: CM) -> None:
    (cm.cwd / "examples").symlink_to(EXAMPLE.parent)
    blocks = pages.under(pages.DOCS / "python.md", "Pictures")
    assert "resnet50_v1.onnx\n" in follow(cm.also(origin=None), blocks)


def printed(result: Result) -> dict[str, str]:
    """Return the lines by their first word."""
    assert result.ok, result.text
    rows = [line.split(maxsplit=1) for line in result.out.splitlines()]
    return dict(rows)


def test_random_weights_without_any_network(cm: CM) -> None:
    shown = printed(run(cm.also(origin=None)))
    assert Path(shown.pop("file")).name == "resnet50_v1.onnx"
    assert shown == {
        "format": "onnx",
        "precision": "fp32",
        "verified": "True",
        "weights": "dummy",
    }


def test_what_the_file_is_beside_what_was_requested(cm: CM, served: dict[str, Path]) -> None:
    shown = printed(run(cm, "_onnx", "_int8"))
    assert Path(shown["file"]).read_bytes() == served["onnx-opset-11"].read_bytes()
    assert shown["precision"] == "fp32"
    assert "No int8 file" in shown["deviation"]
    assert shown["weights"] == "pretrained"


def test_refusal_is_an_answer(cm: CM) -> None:
    refused = run(cm, "_pytorch,_uint8")
    assert refused.code == 1
    assert "No ResNet-50 file exists for _pytorch,_uint8" in refused.err
    assert "Traceback" not in refused.err
    assert refused.out == ""


def test_no_network_is_an_answer(cm: CM) -> None:
    failed = run(cm.also(origin=None), "_pytorch", CM_RESNET50_RETRY_BUDGET="1")
    assert failed.code == 1
    assert "resnet50-19c8e357.pth could not be fetched" in failed.err
    assert "Traceback" not in failed.err
