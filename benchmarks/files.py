"""What a look into a file costs, and a batch size made true in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, Contender, Outcome, Reading, Setting, interleave
from benchmarks.tools import MB, PYTHON, fresh, model, once, run

START = "python -c pass"
LOAD = 'python -c "onnx.load(…)"'
ONNX_OURS = "onnx: cmx_resnet50.reshape"
ONNX_PEER = "onnx: parse, infer, save by the onnx package"
PB_OURS = "frozen graph: cmx_resnet50.reshape"
PB_PEER = "frozen graph: TensorFlow"
_BATCH = "8"


def inspect(setting: Setting) -> Outcome:
    """``cmx-resnet50 inspect`` of a file of the true size, in each format."""
    kinds = ("onnx-opset-11", "tensorflow", "tflite-no-argmax", "pytorch-fp32", "ncnn")
    paths = {kind: model(setting, kind) for kind in kinds}
    model(setting, "ncnn-param")

    def command(name: str, *arguments: str | Path) -> Contender:
        def contend() -> list[Reading]:
            return [Reading(name, run([PYTHON, *arguments], cwd=setting.work)[0] * 1000, "ms")]

        return contend

    ours = {kind: f"inspect {kind}" for kind in kinds}
    load = f"import onnx; onnx.load({str(paths['onnx-opset-11'])!r})"
    series = interleave(
        [
            command(START, "-c", "pass"),
            *(
                command(ours[kind], "-m", "cmx_resnet50", "inspect", path)
                for kind, path in paths.items()
            ),
            command(LOAD, "-c", load),
        ],
        setting.rounds if setting.quick else 15,
    )
    return Outcome(
        "`cmx-resnet50 inspect` of 102 MB, whole process",
        series,
        [
            *(Comparison(name, START, 50.0, difference=True) for name in ours.values()),
            Comparison(ours["onnx-opset-11"], LOAD),
        ],
    )


def reshape(setting: Setting) -> Outcome:
    """A batch of 8 made true in 102 MB of ONNX and of a frozen graph."""
    onnx, graph = model(setting), model(setting, "tensorflow")
    version = ""

    def contender(name: str, call: Callable[[Path], dict[str, float]]) -> Contender:
        def contend() -> list[Reading]:
            inside = call(fresh(setting, "reshape"))
            return [
                Reading(name, inside["seconds"]),
                Reading(f"{name}, peak memory", inside["peak_mb"], "MB"),
            ]

        return contend

    def within(call: str, source: Path) -> Callable[[Path], dict[str, float]]:
        return lambda folder: once(setting, call, source, folder / source.name, _BATCH)[1]

    def tensorflow(folder: Path) -> dict[str, float]:
        nonlocal version
        script = Path(__file__).with_name("tensorflow_peer.py")
        line: list[str | Path] = [
            setting.tensorflow_python,
            script,
            graph,
            folder / graph.name,
            _BATCH,
        ]
        found: dict[str, Any] = json.loads(run(line, cwd=folder)[1].splitlines()[-1])
        version = found.pop("version")
        return found

    series = interleave(
        [
            contender(ONNX_OURS, within("reshape", onnx)),
            contender(ONNX_PEER, within("library", onnx)),
            contender(PB_OURS, within("reshape", graph)),
            contender(PB_PEER, tensorflow),
        ],
        setting.rounds,
    )
    limits = {
        "0.15 s": (0.15, "s", (ONNX_OURS, PB_OURS)),
        "120 MB": (120.0, "MB", (f"{ONNX_OURS}, peak memory",)),
        "60 MB": (60.0, "MB", (f"{PB_OURS}, peak memory",)),
    }
    outcome = Outcome(
        f"A batch of {_BATCH} made true, {onnx.stat().st_size / MB:.1f} MB, after imports",
        series,
        [Comparison(ONNX_OURS, ONNX_PEER), Comparison(PB_OURS, PB_PEER)],
        [f"TensorFlow {version}; its import is left out of the time, as is `import onnx`."],
    )
    for text, (value, unit, names) in limits.items():
        bound = f"the bound of {text}"
        outcome.known(bound, value, unit)
        outcome.comparisons += [Comparison(name, bound, 1.0) for name in names]
    return outcome
