"""Ours against the script it replaces, in the same engine, on the same server.

Where the two export different values, the row is in `DIFFERENCES` with its verdict in the
contract. A difference that is not there fails, and so does a row that no request needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product

import pytest

from tests.harness.cm import CM

Asked = frozenset[str]
PREFIX = "CM_ML_MODEL_"


@dataclass(frozen=True)
class Difference:
    """One row: for which requests and keys the two differ, and why that is right."""

    verdict: str
    keys: tuple[str, ...]
    applies: Callable[[Asked], bool]


def has(*names: str) -> Callable[[Asked], bool]:
    return lambda asked: set(names) <= asked


def always(asked: Asked) -> bool:
    return True


def mislabelled(asked: Asked) -> bool:
    """Whether int8 or uint8 is asked of what exists in fp32 only."""
    if not asked & {"int8", "uint8"}:
        return False
    return not ("int8" in asked and asked & {"pytorch", "tflite"})


def quantized_tflite(asked: Asked) -> bool:
    return {"tflite", "int8"} <= asked


def with_a_fixed_batch(asked: Asked) -> bool:
    batched = bool(asked & {"batch_size.1", "batch_size.8"})
    return batched and bool(asked & {"onnx", "tensorflow"})


def onnx_plain(asked: Asked) -> bool:
    return "onnx" in asked and "from-tf" not in asked


DIFFERENCES = [
    Difference("the place is our own, checked on each run", ("FILE_WITH_PATH",), always),
    Difference(
        "digest, size and place of the file are exported",
        ("MD5", "SHA256", "SIZE", "VERIFIED", "WEIGHTS", "CACHE_FILE_WITH_PATH"),
        always,
    ),
    Difference("CM_ML_MODEL_PATH is documented and was never set", ("PATH",), always),
    Difference(
        "the truth about precision",
        ("PRECISION", "INPUT_DATA_TYPES", "WEIGHT_DATA_TYPES", "REQUESTED_PRECISION"),
        mislabelled,
    ),
    Difference("ACCURACY is the known top-1", ("ACCURACY",), onnx_plain),
    Difference("ACCURACY is the known top-1", ("ACCURACY",), has("pytorch")),
    Difference("ACCURACY is the known top-1", ("ACCURACY",), has("ncnn")),
    Difference("ACCURACY is empty where unknown", ("ACCURACY",), has("onnx", "from-tf")),
    Difference("ACCURACY is empty where unknown", ("ACCURACY",), has("tflite", "int8")),
    Difference(
        "the opset of the from-tf file is read from it",
        ("ONNX_OPSET",),
        has("onnx", "from-tf", "opset-8"),
    ),
    Difference("the batch is true in the file", ("STARTING_FILE_PATH",), with_a_fixed_batch),
    Difference(
        "the from-tf file whatever precision is asked",
        ("FILE",),
        lambda asked: {"onnx", "from-tf"} <= asked and mislabelled(asked),
    ),
    Difference("the shape of tensorflow is NHWC", ("INPUT_SHAPES",), has("tensorflow")),
    Difference("no question mark for means", ("GIVEN_CHANNEL_MEANS",), has("pytorch")),
    Difference("the key that pytorch misspells", ("STARTING_WEIGHTS_FILENAME",), has("pytorch")),
    Difference(
        "explicit beats default: the Edge TPU file",
        ("FILE", "OUTPUT_LAYER_ARGMAX"),
        lambda asked: quantized_tflite(asked) and "no-argmax" not in asked,
    ),
    Difference("its own URL", ("STARTING_WEIGHTS_FILENAME",), quantized_tflite),
    Difference("the param file has its own key", ("PARAM_FILE_WITH_PATH",), has("ncnn")),
    Difference(
        "huggingface_default takes effect",
        ("STARTING_WEIGHTS_FILENAME",),
        has("huggingface_default"),
    ),
]
FACTORS: dict[str, list[str]] = {
    "framework": ["onnx", "pytorch", "tensorflow", "tflite", "ncnn"],
    "precision": ["fp32", "int8", "uint8"],
    "output": ["argmax", "no-argmax", ""],
    "opset": ["", "opset-8", "opset-11"],
    "from-tf": ["", "from-tf"],
    "huggingface": ["", "huggingface_default"],
    "batch": ["", "batch_size.1", "batch_size.8"],
}
NAMED = [  # every combination that a verdict names
    "onnx,int8", "onnx,uint8", "tensorflow,int8", "tensorflow,uint8", "tflite,uint8",
    "tflite,int8", "pytorch,uint8", "ncnn,int8", "ncnn,uint8", "onnx,huggingface_default",
    "onnx,from-tf,int8", "onnx,from-tf,uint8", "onnx,opset-8", "ncnn,fp32", "tensorflow,fp32",
    "pytorch,fp32", "pytorch,int8", "tflite,int8,no-argmax", "tflite,int8,argmax",
    "tensorflow,huggingface_default", "onnx,from-tf,opset-8", "onnx,from-tf,fp32",
    "pytorch,opset-8", "tensorflow,from-tf", "tflite,uint8,no-argmax", "onnx,batch_size.8",
    "tflite,fp32", "tflite,no-argmax", "onnx,no-argmax", "onnx,huggingface_default,opset-8",
]  # fmt: skip
REFUSED_BY_US = [  # delivered by the old script as what they are not
    has("pytorch", "uint8"),  # here and in the next row: without a cache, no file at all
    lambda asked: "ncnn" in asked and bool(asked & {"int8", "uint8"}),
    has("tflite", "int8", "argmax"),
    lambda asked: "huggingface_default" in asked and "onnx" not in asked,
    has("huggingface_default", "from-tf"),
    has("huggingface_default", "opset-8"),
]


def everything() -> list[Asked]:
    """All combinations; of those with batch sizes, which change one key and no file, a few."""
    factors = [values for name, values in FACTORS.items() if name != "batch"]
    batched = list(product(*FACTORS.values()))
    rows = [*product(*factors), *batched[:: len(batched) // 40]]
    return [frozenset(filter(None, row)) for row in rows]


def pairwise() -> list[Asked]:
    """A deterministic sample in which every pair of two factors' values meets (greedy)."""
    rows = list(product(*FACTORS.values()))
    columns = range(len(FACTORS))
    left = {
        (i, a, j, b)
        for i, j in combinations(columns, 2)
        for a in list(FACTORS.values())[i]
        for b in list(FACTORS.values())[j]
    }
    chosen: list[tuple[str, ...]] = []
    while left:
        best = max(rows, key=lambda row: len(pairs(row) & left))
        chosen.append(best)
        left -= pairs(best)
    return [frozenset(filter(None, row)) for row in chosen]


def pairs(row: Iterable[str]) -> set[tuple[int, str, int, str]]:
    return {(i, a, j, b) for (i, a), (j, b) in combinations(enumerate(row), 2)}


def differing_keys(old: dict[str, str], new: dict[str, str]) -> set[str]:
    return {
        key.removeprefix(PREFIX) for key in old.keys() | new.keys() if old.get(key) != new.get(key)
    }


def compare(sample: Iterable[Asked], ours: CM, theirs: CM) -> None:
    fresh = partial(CM.get, new=True)
    used: set[Difference] = set()
    refused: set[int] = set()
    problems: list[str] = []
    for asked in dict.fromkeys(sample):
        with ThreadPoolExecutor(2) as both:
            new, old = both.map(fresh, (ours, theirs), *([n, n] for n in sorted(asked)))
        name = ",".join(sorted(asked))
        rule = next((n for n, row in enumerate(REFUSED_BY_US) if row(asked)), None)
        if rule is not None:
            refused.add(rule)
        if not new.ok:
            if "No ResNet-50 file exists" not in new.err or (old.ok and rule is None):
                problems.append(f"{name}: ours fails: {new.text}")
            continue
        if rule is not None or not old.ok:
            problems.append(
                f"{name}: ours delivers, and should not, or the old one fails\n{old.text}"
            )
            continue
        for key in differing_keys(old.env, new.env):
            rows = [row for row in DIFFERENCES if key in row.keys and row.applies(asked)]
            used.update(rows)
            if not rows:
                values = old.env.get(PREFIX + key), new.env.get(PREFIX + key)
                problems.append(f"{name}: {key} was {values[0]!r} and is {values[1]!r}")
    unused = [
        f"no request needs the row {row.verdict!r} {row.keys}"
        for row in DIFFERENCES
        if row not in used
    ]
    unused += [
        f"no request needs refusal {n}" for n in range(len(REFUSED_BY_US)) if n not in refused
    ]
    assert not problems + unused, "\n".join(problems + unused)


@pytest.mark.callers
def test_pairwise_sample_and_every_named_combination(cm: CM, old_cm: CM) -> None:
    sample = [*pairwise(), *(frozenset(text.split(",")) for text in NAMED)]
    assert len(set(sample)) >= 40
    compare(sample, cm, old_cm)


@pytest.mark.full
def test_full_sweep(cm: CM, old_cm: CM) -> None:
    compare(everything(), cm, old_cm)
