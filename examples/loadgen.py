"""MLPerf's load generator on a model of this package: ONNX Runtime, random images.

What an MLPerf user does, without a data set: LoadGen requests samples, ONNX Runtime answers,
LoadGen prints its summary. Latency and throughput are real; accuracy is not measured, since the
images are random. Install it with::

    pip install . mlcommons-loadgen onnxruntime

and run, say::

    python loadgen.py                                  # both scenarios, random weights
    python loadgen.py --request onnx                   # the published weights
    python loadgen.py --model resnet50_v1.onnx --scenario Offline --count 256
"""
# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    import mlperf_loadgen
    import numpy as np
    import onnxruntime

    from cmx_resnet50 import Resnet50Error, Resnet50Warning, get
except ModuleNotFoundError as missing:
    if {"-h", "--help"}.isdisjoint(sys.argv):  # the help needs none of them
        sys.exit(f"{missing}. In the clone, run: pip install . mlcommons-loadgen onnxruntime")

SCENARIOS = ("Offline", "SingleStream")
_LIBRARY = 8
"""Images that LoadGen chooses from."""
_SEED = 50


class NoModelError(Exception):
    """ONNX Runtime cannot run the model; the text says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios asked for and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, metavar="PATH", help="an ONNX file of your own")
    parser.add_argument(
        "--request",
        default="dummy-weights",
        help="without --model: an ONNX model, as for `get` (default: %(default)s)",
    )
    parser.add_argument(
        "--scenario", choices=SCENARIOS, help="only this one; by default one after the other"
    )
    parser.add_argument(
        "--count", type=_positive, default=64, help="samples (default: %(default)s)"
    )
    parser.add_argument("--batch", type=_positive, default=4, help="images a run, for Offline")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep LoadGen's logs here")
    given = parser.parse_args(arguments)
    try:
        path = given.model or _requested(given.request)
        system = System(path, given.batch)
        with tempfile.TemporaryDirectory() as scratch:
            for scenario in (given.scenario,) if given.scenario else SCENARIOS:
                folder = (given.logs or Path(scratch)) / scenario
                folder.mkdir(parents=True, exist_ok=True)
                summary = measure(system, scenario, given.count, folder)
                print(f"=== {scenario}, {given.count} samples, {path}\n{summary}", flush=True)
    except (NoModelError, Resnet50Error) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _requested(request: str) -> Path:
    """Return the file that is requested; print what the user should know of it."""
    with warnings.catch_warnings():
        # Printed below, without the line of Python that a warning shows.
        warnings.simplefilter("ignore", Resnet50Warning)
        model = get(request)
    for line in (*model.deviations, *model.notices):
        print(line, file=sys.stderr)
    return model.path


class System:
    """The system under test: one session, images at random that were made before."""

    def __init__(self, path: Path, batch: int) -> None:
        try:
            self._session = onnxruntime.InferenceSession(str(path))
        except Exception as error:
            # The exceptions of ONNX Runtime have no base of their own.
            raise NoModelError(f"ONNX Runtime cannot load {path}: {error}") from error
        (image,) = self._session.get_inputs()
        self._input = image.name
        # A file whose batch is fixed takes that and no other.
        self._fixed = image.shape[0] if isinstance(image.shape[0], int) else None
        self.batch = self._fixed or batch
        # Either layout: the file says which. Every dimension after the batch is a number.
        shape = (_LIBRARY, *image.shape[1:])
        self._images = np.random.default_rng(_SEED).normal(0, 60, shape).astype(np.float32)

    def answer(self, samples: Sequence[Any], batch: int) -> None:
        """Run `samples` and tell LoadGen of each, `batch` images at a time."""
        for start in range(0, len(samples), batch):
            part = samples[start : start + batch]
            images = self._images[[sample.index for sample in part]]
            short = (self._fixed or 0) - len(part)
            if short > 0:
                images = np.concatenate([images, np.repeat(images[-1:], short, axis=0)])
            best = self._session.run(None, {self._input: images})[0]
            found = np.ascontiguousarray(best[: len(part)])
            width = found.nbytes // len(part)
            at = found.ctypes.data
            mlperf_loadgen.QuerySamplesComplete(
                [
                    mlperf_loadgen.QuerySampleResponse(sample.id, at + number * width, width)
                    for number, sample in enumerate(part)
                ]
            )


def measure(system: System, scenario: str, count: int, folder: Path) -> str:
    """Let LoadGen run one scenario; return its summary, whose logs are in `folder`."""
    settings = mlperf_loadgen.TestSettings()
    settings.scenario = getattr(mlperf_loadgen.TestScenario, scenario)
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    # So many samples, and no least duration: an example, not a submission.
    settings.min_duration_ms = 0
    if scenario == "Offline":
        # One query holds all samples: expected rate by least duration is less than that.
        settings.min_query_count = count
        settings.offline_expected_qps = 1
    else:
        settings.min_query_count = settings.max_query_count = count
    logs = mlperf_loadgen.LogSettings()
    logs.log_output.outdir = str(folder)
    logs.log_output.copy_summary_to_stdout = False
    batch = system.batch if scenario == "Offline" else 1

    def issue(samples: Sequence[Any]) -> None:
        system.answer(samples, batch)

    library = mlperf_loadgen.ConstructQSL(_LIBRARY, _LIBRARY, _nothing, _nothing)
    tested = mlperf_loadgen.ConstructSUT(issue, _flush)
    try:
        # An empty audit file: LoadGen would else take one of that name from the working folder.
        mlperf_loadgen.StartTestWithLogSettings(tested, library, settings, logs, os.devnull)
    finally:
        mlperf_loadgen.DestroySUT(tested)
        mlperf_loadgen.DestroyQSL(library)
    return (folder / "mlperf_log_summary.txt").read_text(encoding="utf-8")


def _nothing(indices: Sequence[int]) -> None:
    """Load or unload no sample: all images stay in memory."""


def _flush() -> None:
    """Do nothing: each query is answered before `issue` returns."""


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a positive number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
