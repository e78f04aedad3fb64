"""Which file each request means, written from the contract's verdicts and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from tests.catalog import documented as known
from tests.catalog.documented import File


@dataclass(frozen=True)
class Ask:
    """One request; None stands for "not asked", ``-`` for a group whose default is excluded."""

    framework: str | None = None
    precision: str | None = None
    output: str | None = None
    opset: str | None = None
    from_tf: bool = False
    huggingface: bool = False
    fix_shape: bool = False
    batch: str | None = None

    def tags(self) -> list[str]:
        """Return the request as CM's tags."""
        tags = []
        if self.framework:
            tags.append("_-onnx" if self.framework == "-" else f"_{self.framework}")
        if self.precision:
            tags.append("_-fp32" if self.precision == "-" else f"_{self.precision}")
        if self.output:
            tags.append("_-argmax" if self.output == "-" else f"_{self.output}")
        if self.opset:
            tags.append("_-opset-11" if self.opset == "-" else f"_opset-{self.opset}")
        if self.from_tf:
            tags.append("_from-tf")
        if self.huggingface:
            tags.append("_huggingface_default")
        if self.fix_shape:
            tags.append("_fix-input-shape")
        if self.batch:
            tags.append(f"_batch_size.{self.batch}")
        return tags


@dataclass(frozen=True)
class Verdict:
    """The file, or None for a refusal; `warns` when it answers the request only in part."""

    file: File | None
    warns: bool = False


REFUSED = Verdict(None)


def verdict(ask: Ask) -> Verdict:
    """Return what the contract says to `ask`."""
    framework = {None: "onnx", "onnxruntime": "onnx", "tf": "tensorflow"}.get(
        ask.framework, ask.framework
    )
    file = _file(ask, str(framework))
    if file is None:
        return REFUSED
    wrong_precision = ask.precision in ("int8", "uint8") and ask.precision != file.precision
    if framework == "onnx":
        idle = ask.from_tf and ask.opset in ("8", "11")
    else:
        idle = ask.from_tf or ask.opset in ("8", "11")
    bound = framework == "tflite" and (ask.batch is not None or ask.fix_shape)
    return Verdict(file, wrong_precision or idle or bound)


def _file(ask: Ask, framework: str) -> File | None:
    if ask.huggingface and (framework != "onnx" or ask.from_tf or ask.opset == "8"):
        return None
    if framework == "onnx":
        if ask.from_tf:
            return known.FROM_TF
        return {None: known.OPSET_11, "11": known.OPSET_11, "8": known.OPSET_8}.get(ask.opset)
    if framework == "pytorch":
        return {None: known.PYTORCH, "fp32": known.PYTORCH, "int8": known.PYTORCH_INT8}.get(
            ask.precision
        )
    if framework == "ncnn":
        return known.NCNN if ask.precision in (None, "fp32") else None
    if framework == "tensorflow":
        return known.TENSORFLOW
    if framework == "tflite" and ask.output != "-":
        if ask.precision == "int8":
            return None if ask.output == "argmax" else known.EDGETPU
        return known.NO_ARGMAX if ask.output == "no-argmax" else known.ARGMAX
    return None
