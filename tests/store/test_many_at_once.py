"""Sixteen ``cmx-resnet50 get`` at once, round after round: none is lost, each file comes once."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

pytestmark = pytest.mark.races

TOOL = "cmx-resnet50"
AT_ONCE = 16
REQUESTS = {
    "_pytorch": ("pytorch-fp32",),
    "_tflite": ("tflite-argmax",),
    "_ncnn": ("ncnn", "ncnn-param"),
    "_onnx,_opset-8": ("onnx-opset-8",),
}
"""With the artifacts that each brings."""
PRUNE = """
import sys, time
from cmx_resnet50.cli import main
while True:
    main(["prune", "--apply"])
"""


def at_once(cm: CM, requests: list[str], round_: int) -> list[tuple[str, Path, Result]]:
    """Start sixteen, with four folders for each request, and wait for all."""
    with ExitStack() as stack:
        started = []
        for index in range(AT_ONCE):
            request = requests[index % len(requests)]
            folder = cm.cwd / f"{round_}-{request}-{index // len(requests) % 4}"
            run = cm.start("get", request, "--to", str(folder), program=TOOL)
            started.append((request, folder, stack.enter_context(run)))
        return [(request, folder, running.wait()) for request, folder, running in started]


def lost(done: list[tuple[str, Path, Result]], served: dict[str, Path]) -> list[str]:
    """Return what is to be said of each that failed, or whose folder is not as asked."""
    texts = [result.text for _, _, result in done if not result.ok]
    for request, folder, _ in done:
        for name in REQUESTS[request]:
            path = folder / ARTIFACTS[name].file.removesuffix(".gz")
            if not path.is_file() or path.read_bytes() != delivered(served[name]):
                texts.append(f"{path} is not {name}")
    return texts


def fresh(cm: CM, kind: str) -> None:
    """Bring the store into the state that a round begins with."""
    store = cm.repos / "resnet50-store"
    if kind == "empty":
        shutil.rmtree(store, ignore_errors=True)
    for data in store.glob("objects/*/*/data"):
        if kind == "damaged objects":
            data.chmod(0o644)
            data.write_bytes(bytes(data.stat().st_size))
        elif kind == "lost objects":
            data.unlink()


@pytest.mark.parametrize(
    ("kind", "requests", "rounds"),
    [
        ("empty", ["_pytorch"], 15),
        ("empty", list(REQUESTS), 20),
        ("damaged objects", ["_pytorch"], 5),
        ("damaged objects", list(REQUESTS), 5),
        ("lost objects", list(REQUESTS), 5),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, list) else str(value),
)
def test_none_is_lost_and_each_file_comes_once(
    cm: CM, origin: Origin, served: dict[str, Path], kind: str, requests: list[str], rounds: int
) -> None:
    """Fifty rounds in all."""
    faults = []
    for round_ in range(rounds):
        for folder in cm.cwd.iterdir():
            shutil.rmtree(folder)
        fresh(cm, kind)
        origin.clear_log()
        done = at_once(cm, requests, round_)
        faults += lost(done, served)
        for name in {name for request in requests for name in REQUESTS[request]}:
            size, sent = served[name].stat().st_size, origin.bytes_sent(ARTIFACTS[name].url)
            # A probe of a few bytes is part of a fetch.
            assert size <= sent < 1.1 * size + 4096, (name, round_)
        store = cm.repos / "resnet50-store"
        left = [*(store / "incoming").iterdir(), *(store / "temporary").iterdir()]
        assert not left
        assert not list(store.glob("locks/*.holder"))
    assert not faults, f"{len(faults)} of {rounds * AT_ONCE} are lost:\n" + "\n".join(faults[:5])


def test_none_is_lost_to_a_prune_that_never_ends(cm: CM, served: dict[str, Path]) -> None:
    """What was found and has no place yet may be pruned: it is brought again, not missed."""
    faults = []
    with cm.start("-c", PRUNE, program="python") as pruning:
        for round_ in range(3):
            for folder in cm.cwd.iterdir():
                shutil.rmtree(folder)
            faults += lost(at_once(cm, list(REQUESTS), round_), served)
        assert pruning.process.poll() is None, pruning.err
    assert not faults, f"{len(faults)} are lost:\n" + "\n".join(faults[:5])
