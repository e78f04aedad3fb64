"""The full checker of the ``onnx`` package, for those who ask for it."""

from __future__ import annotations

from pathlib import Path

from cmx_resnet50.formats.facts import Damaged


def check_onnx(path: Path) -> None:
    """Run the ``onnx`` package's full checker, with strict shape inference, on the file.

    Raises
    ------
    Damaged
        If the checker rejects the file; the text has its reason.
    """
    import onnx.checker
    import onnx.shape_inference

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:1000]
        raise Damaged(f"rejected by the checker of the onnx package: {reason}") from None
