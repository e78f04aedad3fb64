"""What a look into a file costs, and a batch size made true in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, Contender, Outcome, Reading, Setting, interleave
from benchmarks.tools import MB, PYTHON, fresh, library, model, once, run

START = "python -c pass"
ONNX_OURS = "onnx: cmx_resnet50.rewrite"
ONNX_PEER = "onnx: parse, infer, save by the onnx package"
ONNX_TOOL = "onnx: onnxruntime's make_dynamic_shape_fixed"
PB_OURS = "frozen graph: cmx_resnet50.rewrite"
PB_PEER = "frozen graph: TensorFlow"
_BATCH = "8"
_OPENERS = (
    ("onnx-opset-11", "open_onnx", "onnx"),
    ("onnx-opset-11", "open_onnxruntime", "onnx"),
    ("tensorflow", "open_tensorflow", "tensorflow"),
    ("tflite-no-argmax", "open_litert", "litert"),
    ("pytorch-fp32", "open_torch", "torch"),
    ("ncnn", "open_ncnn", "ncnn"),
)
"""Of each format, what of `benchmarks/library_peers.py` opens it, and where that is installed."""


def inspect(setting: Setting) -> Outcome:
    """``cmx-resnet50 inspect`` of a file of the true size, in each format."""
    paths = {kind: model(setting, kind) for kind, _, _ in _OPENERS}
    model(setting, "ncnn-param")
    versions: list[str] = []

    def command(name: str, *arguments: str | Path) -> Contender:
        def contend() -> list[Reading]:
            return [Reading(name, run([PYTHON, *arguments], cwd=setting.work)[0] * 1000, "ms")]

        return contend

    def opener(kind: str, call: str, where: str) -> Contender:
        def contend() -> list[Reading]:
            seconds, inside = library(setting, where, call, paths[kind], cwd=setting.work)
            if inside["version"] not in versions:
                versions.append(inside["version"])
            name = _opener(call)
            return [
                Reading(name, seconds * 1000, "ms"),
                Reading(f"{name}, after imports", inside["seconds"] * 1000, "ms"),
            ]

        return contend

    ours = {kind: f"inspect {kind}" for kind in paths}
    series = interleave(
        [
            command(START, "-c", "pass"),
            *(
                command(ours[kind], "-m", "cmx_resnet50", "inspect", path)
                for kind, path in paths.items()
            ),
        ],
        3 if setting.quick else 15,
    )
    series.update(
        interleave([opener(*one) for one in _OPENERS], setting.rounds, warm=not setting.quick)
    )
    return Outcome(
        "`cmx-resnet50 inspect` of 102 MB, whole process, and the runtimes opening the same file",
        series,
        [
            *(Comparison(name, START, 50.0, difference=True) for name in ours.values()),
            *(Comparison(ours[kind], _opener(call)) for kind, call, _ in _OPENERS),
        ],
        [f"Versions: {', '.join(versions)}. No runtime compares a digest, and inspect does not."],
    )


def reshape(setting: Setting) -> Outcome:
    """A batch of 8 made true in 102 MB of ONNX and of a frozen graph."""
    onnx, graph = model(setting), model(setting, "tensorflow")
    versions: list[str] = []

    def contender(name: str, call: Callable[[Path], dict[str, Any]]) -> Contender:
        def contend() -> list[Reading]:
            inside = call(fresh(setting, "reshape"))
            version = inside.get("version")
            if version and version not in versions:
                versions.append(version)
            return [
                Reading(name, inside["seconds"]),
                Reading(f"{name}, peak memory", inside["peak_mb"], "MB"),
            ]

        return contend

    def within(call: str, source: Path) -> Callable[[Path], dict[str, Any]]:
        return lambda folder: once(setting, call, source, folder / source.name, _BATCH)[1]

    def peers(where: str, call: str, source: Path) -> Callable[[Path], dict[str, Any]]:
        def made(folder: Path) -> dict[str, Any]:
            target = folder / source.name
            return library(setting, where, call, source, target, _BATCH, cwd=folder)[1]

        return made

    series = interleave(
        [
            contender(ONNX_OURS, within("reshape", onnx)),
            contender(ONNX_PEER, within("library", onnx)),
            contender(ONNX_TOOL, peers("onnx", "onnxruntime_tool", onnx)),
            contender(PB_OURS, within("reshape", graph)),
            contender(PB_PEER, peers("tensorflow", "tensorflow", graph)),
        ],
        setting.rounds,
        warm=not setting.quick,
    )
    limits = {
        "0.15 s": (0.15, "s", (ONNX_OURS, PB_OURS)),
        "120 MB": (120.0, "MB", (f"{ONNX_OURS}, peak memory",)),
        "60 MB": (60.0, "MB", (f"{PB_OURS}, peak memory",)),
    }
    outcome = Outcome(
        f"A batch of {_BATCH} made true, {onnx.stat().st_size / MB:.1f} MB, after imports",
        series,
        [
            Comparison(ONNX_OURS, ONNX_PEER),
            Comparison(ONNX_OURS, ONNX_TOOL),
            Comparison(PB_OURS, PB_PEER),
        ],
        [f"Versions: {', '.join(versions)}. All imports are left out of the times."],
    )
    for text, (value, unit, names) in limits.items():
        bound = f"the bound of {text}"
        outcome.known(bound, value, unit)
        outcome.comparisons += [Comparison(name, bound, 1.0) for name in names]
    return outcome


def _opener(call: str) -> str:
    return f"opened by {call.removeprefix('open_')}"
