"""What each shipped caller asks, as its own meta says it: ours has an answer to all of it.

For the callers that cannot run here this is the proof: the request resolves, and the exported
keys hold what the caller reads. `tests.engine.test_callers` runs some of them in the engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from cmx_resnet50.catalog.table import Catalog, Request
from cmx_resnet50.catalog.variations import compose
from cmx_resnet50.errors import Resnet50Error

META = json.loads((Path(__file__).parents[2] / "_cm.json").read_text(encoding="utf-8"))
NAMES = {"ml-model", "resnet50-model", "tflite-model", "original-model", "model-src"}
TREES = ("deps", "prehook_deps", "posthook_deps", "post_deps")


@cache
def metas() -> list[tuple[str, dict[str, Any]]]:
    """Return name and meta of every script of ``cmx4mlops`` that may ask for our model."""
    spec = find_spec("cmx4mlops")
    assert spec is not None
    assert spec.origin is not None
    paths = sorted(Path(spec.origin).parent.glob("repo/script/*/_cm.*"))
    texts = [(path.parent.name, path.read_text(encoding="utf-8")) for path in paths]
    # Every collection of the tests comes here, and PyYAML reads all of them in seconds.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [
        (name, yaml.load(text, loader))
        for name, text in texts
        if name != META["alias"] and ("ml-model" in text or "resnet50" in text)
    ]


def finds_us(tags: list[str]) -> bool:
    """Whether a dependency's tags, without variations, find our script, if not it alone."""
    plain = {tag for tag in tags if tag[:1] not in ("_", "-")}
    return "ml-model" in plain and plain <= set(META["tags"])


def dependencies() -> Iterator[tuple[str, list[str]]]:
    """Yield caller and tags, for each dependency that our script answers."""
    for name, meta in metas():
        for owner in (meta, *meta.get("variations", {}).values()):
            for tree in TREES:
                for dep in (owner or {}).get(tree, ()):
                    tags = str(dep.get("tags", "")).split(",")
                    if finds_us(tags):
                        yield name, tags


def written() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield caller and variations, for each dependency on us that a meta spells out."""
    for name, tags in dependencies():
        if "resnet50" in tags:
            yield name, tuple(tag[1:] for tag in tags if tag[:1] == "_")


def added() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield caller and variations, for each addition to a dependency that goes by our names."""
    for name, meta in metas():
        if "resnet50" not in json.dumps(meta):
            continue
        for key, owner in (meta.get("variations") or {}).items():
            # A group of conditions on another model adds to that one.
            other = {"bert", "retinanet", "gptj", "3d-unet", "dlrm", "rnnt", "sdxl", "llama"}
            if any(model in key for model in other):
                continue
            for way in ("ad", "adr", "add_deps", "add_deps_recursive"):
                for dep, change in ((owner or {}).get(way) or {}).items():
                    tags = str(change.get("tags", "")).split(",")
                    if dep in NAMES and known(tags):
                        yield f"{name}:{key}", tuple(tag[1:] for tag in tags if tag[:1] == "_")


def known(tags: list[str]) -> bool:
    """Whether all variations among `tags` are ours: the names serve other models too."""
    return all(tag[1:] in META["variations"] for tag in tags if tag[:1] == "_")


WRITTEN = sorted(set(written()))
CALLERS = {name for name, _ in dependencies()}
"""All, also those that ask for any model and are told which one."""
ADDED = sorted({variations for _, variations in added() if variations})


def answer(variations: tuple[str, ...]) -> dict[str, str]:
    """Resolve a request; return the env that its variations set."""
    env = compose(META, list(variations))
    resolution = Catalog(META).resolve(Request.from_env(env, explicit=list(variations)))
    assert resolution.artifact.format == env["CM_ML_MODEL_FRAMEWORK"]
    return env


def test_there_are_callers() -> None:
    names = {name for name, _ in WRITTEN}
    assert {
        "app-image-classification-onnx-py",
        "app-image-classification-torch-py",
        "app-image-classification-tvm-onnx-py",
        "app-image-classification-tf-onnx-cpp",
        "app-loadgen-generic-python",
        "app-mlperf-inference-mlcommons-python",
    } <= names
    assert len(ADDED) > 5


@pytest.mark.parametrize(("name", "variations"), WRITTEN)
def test_what_is_written_has_a_file(name: str, variations: tuple[str, ...]) -> None:
    env = answer(variations)
    assert env["CM_ML_MODEL_DATASET"] == "imagenet2012-val"


@pytest.mark.parametrize("variations", ADDED, ids=",".join)
def test_what_is_added_by_name_has_a_file(variations: tuple[str, ...]) -> None:
    # The engine puts the caller's own value for the mark.
    answer(tuple(name.replace("#", "8") for name in variations))


@pytest.mark.parametrize("precision", ["fp32", "int8", "uint8"])
@pytest.mark.parametrize("framework", ["onnx", "pytorch", "tensorflow", "tflite"])
def test_tvm_switches(framework: str, precision: str) -> None:
    """``get-tvm-model`` adds frontend and precision, evaluates the shapes, and reads the layout."""
    try:
        env = answer((framework, precision))
    except Resnet50Error:
        assert (framework, precision) == ("pytorch", "uint8"), "the one that CONTRACT.md refuses"
        return
    text = env["CM_ML_MODEL_INPUT_SHAPES"].replace("BATCH_SIZE", "2").replace('\\"', '"')
    ((_, shape),) = json.loads("{" + text.replace("(", "[").replace(")", "]") + "}").items()
    assert sorted(shape) == [2, 3, 224, 224]


def under_mlc() -> list[list[str]]:
    """Return the tags of each dependency in the table on MLC's callers in docs/callers.md."""
    page = (Path(__file__).parents[2] / "docs" / "callers.md").read_text(encoding="utf-8")
    section = page.partition("\n## Under MLC\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith(("| `app", "| the same"))]
    return [row.split("|")[2].strip(" `").split(",") for row in rows]


def test_each_dependency_of_the_page_under_mlc_is_answered() -> None:
    asked = under_mlc()
    assert len(asked) == 13
    for tags in asked:
        assert finds_us(tags), tags
        names = [tag for tag in tags if tag.startswith("_")]
        catalog = Catalog.load()
        assert not catalog.resolve(catalog.request(names)).deviations, tags
