"""The package's own composing of variations, for use without the engine, and "did you mean"."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import SCRIPT, Catalog, Request, RequestError, Resolution
from cmx_resnet50.catalog.variations import Group, compose
from tests.catalog import engine

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
CATALOG = Catalog(META)
NAMES = [name.replace("#", "8") for name in META["variations"] if "," not in name]
VARIATIONS = CATALOG.variations
ASKED = [name for name in META["env"] if name.startswith("CM_RESNET50_")]


def names_of(group: Group) -> list[str]:
    return [choice.name for choice in group.choices]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(NAMES), max_size=6, unique=True),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
)
def test_composes_as_the_engine_does(asked: list[str], excluded: list[str]) -> None:
    tags = [f"_{name}" for name in asked]
    tags += [f"_-{name}" for name in excluded if name not in asked]
    try:
        expected = engine.compose(META, tags).env
    except engine.EngineError:
        with pytest.raises(RequestError):
            compose(META, tags)
        return
    found = compose(META, tags)
    assert {key: found[key] for key in ASKED} == {key: expected[key] for key in ASKED}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("onx", "onnx"),
        ("tensorfow", "tensorflow"),
        ("opset-9", "opset-8"),
        ("opset11", "opset-11"),
        ("noargmax", "no-argmax"),
        ("from_tf", "from-tf"),
        ("pytorh", "pytorch"),
        ("unit8", "uint8"),
        ("huggingface", "huggingface_default"),
        ("batchsize.1", "batch_size.1"),
        ("batchsize.4", "batch_size.4"),
        ("dummy", "dummy-weights"),
    ],
)
def test_did_you_mean(typed: str, meant: str) -> None:
    with pytest.raises(RequestError, match="Did you mean") as caught:
        compose(META, ["_fp32", f"_{typed}"])
    (first, *_) = str(caught.value).splitlines()
    assert first.startswith(f"Unknown variation _{typed}. Did you mean _")
    assert f"_{meant}" in first.partition("?")[0]
    group = next((group for group in VARIATIONS.groups if meant in names_of(group)), None)
    assert (" Valid ones for " in first) is (group is not None)
    if group is not None:
        valid = ", ".join(f"_{name}" for name in names_of(group))
        assert first.endswith(f" Valid ones for {group.name}: {valid}.")


@pytest.mark.parametrize("typed", ["zzzzzzzz", "", "."])
def test_did_you_mean_nothing_when_nothing_is_near(typed: str) -> None:
    with pytest.raises(RequestError) as caught:
        compose(META, [f"_{typed}"])
    (first, *_) = str(caught.value).splitlines()
    assert first.startswith(f"Unknown variation _{typed}; valid ones: _")
    words = {word.strip("_,.") for word in first.partition("valid ones: ")[2].split()}
    assert {name for group in VARIATIONS.groups for name in names_of(group)} < words
    assert len(words) < 20


@pytest.mark.parametrize("typed", ["batch_size", "batch_size.", "batch_size=", "batch_size.#"])
def test_a_variation_without_its_value_says_how_to_write_it(typed: str) -> None:
    with pytest.raises(RequestError, match=r"write _batch_size\.8\."):
        Catalog(META).request([f"_{typed}"])


@pytest.mark.parametrize(
    "words",
    [
        ["onnx", "opset-8"],
        ["_ONNX", "_Opset-8"],
        ["get", "ml-model", "resnet50", "_onnx", "_opset-8"],
        ["get", "ml-model", "raw", "ONNX", "opset-8"],
    ],
)
def test_words_are_understood(words: list[str]) -> None:
    catalog = Catalog(META)
    assert catalog.request(words) == catalog.request(["_onnx", "_opset-8"])
    assert compose(META, words) == compose(META, ["_onnx", "_opset-8"])


def test_two_of_one_group_are_refused_by_name() -> None:
    with pytest.raises(RequestError, match=r"^Choose one framework: onnx or pytorch\.\n"):
        compose(META, ["_onnx", "_pytorch"])


@pytest.mark.parametrize("tags", [["_tf", "_-tensorflow"], ["_onnx", "_-onnx"], ["_-zzz"]])
def test_what_is_asked_and_excluded_is_refused_as_by_the_engine(tags: list[str]) -> None:
    with pytest.raises(engine.EngineError):
        engine.compose(META, tags)
    with pytest.raises(RequestError):
        compose(META, tags)


@settings(max_examples=400)
@given(
    st.lists(
        st.sampled_from([*NAMES, *(f"-{name}" for name in NAMES), "batch_size.0", "onx"])
        | st.text(max_size=8),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_any_list_of_tags_comes_to_a_file_or_to_words(
    tags: list[str], random_: random.Random, strict: bool
) -> None:
    shuffled = list(tags)
    random_.shuffle(shuffled)
    results = [whatever(tags, strict), whatever(shuffled, strict)]
    assert isinstance(results[0], Resolution) is isinstance(results[1], Resolution)
    for result in results:
        if isinstance(result, Resolution):
            assert result.artifact.url in META["artifacts"]
            assert result.sources
            assert not (strict and result.deviations)
        else:
            assert len(result.reason) > 10
            assert result.reason[-1] in ".?"


def whatever(tags: list[str], strict: bool) -> Resolution | RequestError:
    try:
        env = compose(META, tags)
        return CATALOG.resolve(Request.from_env(env, explicit=tags), strict=strict)
    except RequestError as refusal:
        return refusal
