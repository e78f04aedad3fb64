"""Runs at the same instant in one CM_REPOS: all succeed, and each object is fetched once.

The engine's own losses, before anything of ours is called, are rare and not ours to mend:
the long forms bound them, and ``benchmarks.races`` traces them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.build import Installation
from tests.harness.cm import CM, Result
from tests.harness.mlc import MLC
from tests.harness.origin import Origin
from tests.races.rounds import DIFFERENT, at_once, loss

NAME = "onnx-opset-11"
ROUNDS = 30
EARLY = re.compile(r"Can't load artifact meta|More than 1 script found")
"""What CM says when it reads an entry, or its index, that another run is writing, before it loads
our script. Without the index it finds the old script, too, and asks which; --quiet takes ours."""


def in_use(cm: CM) -> CM:
    """Have CM make what it makes once in a CM_REPOS, as any earlier run has."""
    done = cm.run("run", "script", "--tags=detect,os", "--quiet")
    assert done.ok, done.text
    return cm


def entries(cm: CM) -> list[Path]:
    """The finished cache entries of our script."""
    return [
        entry.parent for entry in cm.repos.glob("repos/local/cache/*/cmx-resnet50-receipt.json")
    ]


def unfinished(cm: CM) -> list[Path]:
    """The cache entries that the engine left marked as unfinished."""
    metas = cm.repos.glob("repos/local/cache/*/_cm.json")
    return [path for path in metas if "tmp" in json.loads(path.read_text())["tags"]]


def finished(mlc: MLC) -> list[Path]:
    """The cache entries of our script that MLC finds."""
    metas = mlc.repos.glob("local/cache/get-ml-model-resnet50*/meta.json")
    return [path for path in metas if "tmp" not in json.loads(path.read_text())["tags"]]


def assert_all_good(cm: CM, results: Sequence[Result], served: dict[str, Path]) -> None:
    """All succeeded, with the same answer, from one entry and one fetch."""
    for result in results:
        assert result.ok, result.text
        assert "Traceback" not in result.text
    assert len({json.dumps(result.env, sort_keys=True) for result in results}) == 1
    assert results[0].path.read_bytes() == delivered(served[NAME])
    assert [results[0].path.parent.parent] == entries(cm)
    assert not unfinished(cm)
    assert cm.origin is not None
    assert cm.origin.bytes_sent() == served[NAME].stat().st_size


def test_eight_at_once_on_one_request(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    in_use(cm)
    results = at_once(cm, [("onnx",)] * 8)
    assert_all_good(cm, results, served)
    # No terminal and no --quiet: an engine that found two entries would ask which.
    after = cm.get("onnx", quiet=False)
    assert after.ok, after.text
    assert after.path == results[0].path
    assert origin.bytes_sent() == served[NAME].stat().st_size


@pytest.mark.races
@pytest.mark.parametrize("quiet", [True, False])
def test_thirty_rounds_of_eight(
    new_cm: Callable[..., CM], origin: Origin, served: dict[str, Path], quiet: bool
) -> None:
    """In each round all eight."""
    lost: list[str] = []
    for number in range(ROUNDS):
        cm = in_use(new_cm(f"user-{number}"))
        origin.clear_log()
        results = at_once(cm, [("onnx",)] * 8, quiet=quiet)
        read = [result for result in results if not result.ok and EARLY.search(result.err)]
        lost += map(loss, read)
        assert_all_good(cm, [result for result in results if result not in read], served)
    print(f"{8 * ROUNDS - len(lost)} of {8 * ROUNDS}", Counter(lost).most_common())
    assert len(lost) <= 8 * ROUNDS // 40


@pytest.mark.races
def test_new_repositories(
    new_cm: Callable[..., CM], upstream: Installation, origin: Origin, served: dict[str, Path]
) -> None:
    """Where CM never ran, the engine's first files are raced for; the old script loses most."""
    lost: dict[str, list[str]] = {"ours": [], "old": []}
    for number in range(ROUNDS):
        for who, cm in (
            ("ours", new_cm(f"ours-{number}")),
            ("old", new_cm(f"old-{number}", upstream)),
        ):
            results = at_once(cm, [("onnx",)] * 8)
            lost[who] += [loss(result) for result in results if not result.ok]
    every = 8 * ROUNDS
    print({who: Counter(losses).most_common() for who, losses in lost.items()})
    assert len(lost["ours"]) <= every // 10
    assert len(lost["old"]) >= every // 2


@pytest.mark.races
def test_eight_different_requests(
    new_cm: Callable[..., CM], origin: Origin, served: dict[str, Path]
) -> None:
    lost: list[str] = []
    for number in range(ROUNDS // 3):
        cm = in_use(new_cm(f"user-{number}"))
        origin.clear_log()
        results = at_once(cm, DIFFERENT)
        read = [result for result in results if not result.ok and EARLY.search(result.err)]
        lost += map(loss, read)
        for result in results:
            assert result.ok or result in read, result.text
        assert len(entries(cm)) == len(DIFFERENT) - len(read)
        assert not unfinished(cm)
        for name, artifact in ARTIFACTS.items():
            sent = sum(origin.bytes_sent(url) for url in artifact.urls)
            assert sent in (0, served[name].stat().st_size), name
    print(f"{8 * number + 8 - len(lost)} of {8 * number + 8}", Counter(lost).most_common())
    assert len(lost) <= 4


@pytest.mark.races
def test_eight_hits_beside_cold_runs(cm: CM, served: dict[str, Path]) -> None:
    in_use(cm)
    first = cm.get("onnx")
    assert first.ok, first.text
    for result in at_once(cm, [("onnx",), ("tf",), ("onnx",), ("pytorch",)] * 3):
        assert result.ok, result.text


@pytest.mark.races
def test_sixteen_at_once_through_the_command(
    new_cm: Callable[..., CM], origin: Origin, served: dict[str, Path]
) -> None:
    """``cmx-resnet50 get`` has no cache of CM's to race for: none is ever lost."""
    for number in range(50):
        cm = new_cm(f"user-{number}", fresh=True)
        origin.clear_log()
        running = [cm.start("get", "_onnx", program="cmx-resnet50") for _ in range(16)]
        for process in running:
            with process:
                result = process.wait()
                assert result.ok, result.text
        assert origin.bytes_sent() == served[NAME].stat().st_size


def test_eight_at_once_under_mlc(mlc: MLC, origin: Origin, served: dict[str, Path]) -> None:
    """MLC may make several entries, as it looks before it loads a script; one of them answers."""
    for result in at_once(mlc, [("onnx",)] * 8):
        assert result.ok, result.text
        assert "Traceback" not in result.text
        assert result.path.read_bytes() == delivered(served[NAME])
    assert origin.bytes_sent() == served[NAME].stat().st_size
    origin.clear_log()
    assert mlc.get("onnx").ok
    assert not origin.requests
    assert len(finished(mlc)) == 1
    # Whoever asks for a new entry gets one.
    assert mlc.get("onnx", new=True).ok
    assert len(finished(mlc)) == 2


@pytest.mark.races
@pytest.mark.parametrize("new_engine", ["mlc"], indirect=True)
def test_thirty_rounds_of_eight_under_mlc(
    new_engine: Callable[..., CM], origin: Origin, served: dict[str, Path]
) -> None:
    made: Counter[int] = Counter()
    for number in range(ROUNDS):
        mlc = new_engine(f"user-{number}")
        origin.clear_log()
        for result in at_once(mlc, [("onnx",)] * 8):
            assert result.ok, result.text
        assert origin.bytes_sent() == served[NAME].stat().st_size
        assert len(finished(mlc)) == 1
        made[len(list(mlc.repos.glob("local/cache/*/cmx-resnet50-receipt.json")))] += 1
    print("entries of each round:", made)


def test_four_requests_at_once_under_mlc(mlc: MLC, origin: Origin, served: dict[str, Path]) -> None:
    wanted = {
        "onnx-opset-11": ("onnx",),
        "tensorflow": ("tf",),
        "pytorch-fp32": ("pytorch",),
        "tflite-no-argmax": ("tflite", "no-argmax"),
    }
    names = [*wanted] * 2
    results = at_once(mlc, [wanted[name] for name in names])
    for name, result in zip(names, results, strict=True):
        assert result.ok, result.text
        assert "Traceback" not in result.text
        assert result.path.read_bytes() == delivered(served[name])
    for name in wanted:
        sent = sum(origin.bytes_sent(url) for url in ARTIFACTS[name].urls)
        assert sent == served[name].stat().st_size, name
