"""From tags to one file or a refusal: every combination, in any order, against the contract."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import permutations, product

import pytest

from cmx_resnet50.catalog.table import Request, RequestError, Resolution
from tests.catalog import documented as known
from tests.catalog.asking import (
    FRAMEWORKS,
    META,
    NO_YES,
    OPSETS,
    OUTPUTS,
    PRECISIONS,
    asks,
    exact,
    is_file,
    outcome,
    request_for,
)
from tests.catalog.engine import EngineError, compose
from tests.catalog.oracle import Ask, Verdict, verdict

IDENTITY = [entry["env"] for entry in META["extra_cache_tags_from_env"]]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_combination_means_the_file_of_the_contract(framework: str | None) -> None:
    chosen = asks(framework)
    assert len(set(chosen)) == 5 * 4 * 4 * 2 * 2 * 2 * 3
    wrong = []
    for ask in chosen:
        said, found = verdict(ask), outcome(request_for(ask.tags()))
        if isinstance(found, RequestError):
            agreed = said.file is None
        else:
            agreed = said.file is not None and is_file(found, said.file)
            agreed = agreed and bool(found.deviations) == said.warns
        if not agreed:
            wrong.append((",".join(ask.tags()), said, found))
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[:3]}"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_strict_refuses_what_carries_a_note_and_nothing_else(framework: str | None) -> None:
    for ask in asks(framework):
        request = request_for(ask.tags())
        usual, strict = outcome(request), outcome(request, strict=True)
        if isinstance(usual, RequestError) or usual.deviations:
            assert isinstance(strict, RequestError)
        else:
            assert strict == usual
        if isinstance(usual, Resolution) and usual.deviations:
            assert usual.deviations[0] in str(strict)
            assert "CM_RESNET50_STRICT=yes" in str(strict)


def test_strict_comes_only_when_asked_for() -> None:
    request = request_for(["_onnx", "_int8"])
    assert isinstance(outcome(request), Resolution)
    assert isinstance(outcome(request, strict=True), RequestError)


def assert_same_in(orders: list[list[str]]) -> None:
    first = compose(META, orders[0])
    meant = outcome(Request.from_env(first.env, explicit=first.explicit))
    for order in orders[1:]:
        run = compose(META, order)
        for key in IDENTITY:
            assert run.env[key] == first.env[key], (order, key)
        found = outcome(Request.from_env(run.env, explicit=run.explicit))
        if isinstance(meant, RequestError):
            assert isinstance(found, RequestError)
            assert str(found) == str(meant), order
        else:
            assert found == meant, order


@pytest.mark.parametrize("framework", FRAMEWORKS[1:])
def test_all_orders_of_the_four_groups_mean_the_same(framework: str) -> None:
    for precision, output, opset in product(PRECISIONS, OUTPUTS, OPSETS):
        tags = Ask(framework, precision, output, opset).tags()
        assert_same_in([list(order) for order in permutations(tags)])


@pytest.mark.parametrize("extra", [["_from-tf"], ["_huggingface_default"], ["_batch_size.8"]])
@pytest.mark.parametrize("framework", ["onnx", "tf", "tflite"])
def test_all_orders_with_a_variation_of_no_group_mean_the_same(
    framework: str, extra: list[str]
) -> None:
    for precision, opset in product((None, "int8"), OPSETS):
        tags = Ask(framework, precision, "no-argmax", opset).tags() + extra
        assert_same_in([list(order) for order in permutations(tags)])


def test_orders_of_long_requests_mean_the_same() -> None:
    shuffle = random.Random(50).shuffle
    for ask in asks("onnxruntime")[::29] + asks("tflite")[::29]:
        tags = ask.tags()
        orders = [tags, tags[::-1], [*tags], [*tags]]
        shuffle(orders[2])
        shuffle(orders[3])
        assert_same_in(orders)


# -- what consumers ask, and the verdicts, by name ---------------------------------------------

CONSUMERS = [
    ("", known.OPSET_11, False),
    ("_fp32", known.OPSET_11, False),
    ("_batch_size.4", known.OPSET_11, False),
    ("_onnx", known.OPSET_11, False),
    ("_onnxruntime", known.OPSET_11, False),
    ("_onnx,_fp32", known.OPSET_11, False),
    ("_onnx,_opset-11", known.OPSET_11, False),
    ("_fp32,_onnx,_opset-8", known.OPSET_8, False),
    ("_fp32,_onnx,_from-tf", known.FROM_TF, False),
    ("_pytorch", known.PYTORCH, False),
    ("_pytorch,_fp32", known.PYTORCH, False),
    ("_pytorch,_int8", known.PYTORCH_INT8, False),
    ("_tensorflow", known.TENSORFLOW, False),
    ("_tf", known.TENSORFLOW, False),
    ("_tf,_fp32", known.TENSORFLOW, False),
    ("_tflite,_no-argmax,_fp32", known.NO_ARGMAX, False),
    ("_tflite,_no-argmax,_int8", known.EDGETPU, False),
    ("_tflite,_no-argmax,_uint8", known.NO_ARGMAX, True),
    ("_tflite,_fp32", known.ARGMAX, False),
    ("_ncnn,_fp32", known.NCNN, False),
    ("_onnx,_int8", known.OPSET_11, True),
    ("_onnx,_uint8", known.OPSET_11, True),
    ("_tf,_int8", known.TENSORFLOW, True),
    ("_tf,_uint8", known.TENSORFLOW, True),
    ("_tflite,_int8", known.EDGETPU, False),
    ("_tflite,_uint8", known.ARGMAX, True),
    ("_onnx,_from-tf,_int8", known.FROM_TF, True),
    ("_onnx,_from-tf,_uint8", known.FROM_TF, True),
    ("_onnx,_from-tf,_opset-8", known.FROM_TF, True),
    ("_onnx,_from-tf,_opset-11", known.FROM_TF, True),
    ("_tf,_from-tf", known.TENSORFLOW, True),
    ("_pytorch,_opset-8", known.PYTORCH, True),
    ("_huggingface_default", known.OPSET_11, False),
    ("_pytorch,_uint8", None, False),
    ("_ncnn,_int8", None, False),
    ("_ncnn,_uint8", None, False),
    ("_tflite,_-argmax", None, False),
    ("_tflite,_int8,_argmax", None, False),
    ("_huggingface_default,_opset-8", None, False),
    ("_huggingface_default,_from-tf", None, False),
    ("_huggingface_default,_pytorch", None, False),
    ("_huggingface_default,_tf", None, False),
]


@pytest.mark.parametrize(("tags", "file", "warns"), CONSUMERS)
def test_what_consumers_ask_and_the_verdicts_name(
    tags: str, file: known.File | None, warns: bool
) -> None:
    found = outcome(request_for([tag for tag in tags.split(",") if tag]))
    if file is None:
        assert isinstance(found, RequestError)
        return
    assert isinstance(found, Resolution)
    assert is_file(found, file)
    assert bool(found.deviations) is warns
    assert found.file_precision == file.precision


def test_of_the_96_combinations_six_are_refused_and_55_told_truthfully() -> None:
    """The counts of the old script: 6 without a URL, 55 under a precision that is not theirs."""
    precisions, outputs = ("fp32", "int8", "uint8"), ("argmax", "no-argmax")
    others = product(("pytorch", "tensorflow", "tflite", "ncnn"), precisions, outputs)
    combinations = [Ask(*values) for values in others]
    onnx = product(["onnx"], precisions, outputs, (None, "8", "11"), NO_YES, NO_YES)
    combinations += [Ask(*values) for values in onnx]
    assert len(combinations) == 96
    nothing, mislabelled = [], []
    for ask in combinations:
        if (ask.framework, ask.precision) in (
            ("pytorch", "uint8"),
            ("ncnn", "int8"),
            ("ncnn", "uint8"),
        ):
            nothing.append(ask)
        elif ask.precision != "fp32" and (
            ask.framework in ("onnx", "tensorflow")
            or (ask.framework == "tflite" and (ask.precision, ask.output) != ("int8", "no-argmax"))
        ):
            mislabelled.append(ask)
    assert (len(nothing), len(mislabelled)) == (6, 55)
    assert all(isinstance(outcome(request_for(ask.tags())), RequestError) for ask in nothing)
    for ask in mislabelled:
        found = outcome(request_for(ask.tags()))
        if isinstance(found, Resolution):
            assert found.file_precision == "fp32"
            assert any(f"No {ask.precision} file" in note for note in found.deviations)
        else:
            assert ask.huggingface or (ask.framework, ask.precision) == ("tflite", "int8")


def test_the_sources_are_the_primary_url_then_the_mirrors() -> None:
    for file in known.FILES:
        if file is known.PARAM:
            continue
        found = next(
            result
            for result in (
                outcome(request_for(ask.tags())) for asks in exact().values() for ask in asks
            )
            if isinstance(result, Resolution) and is_file(result, file)
        )
        assert sorted(found.sources) == sorted([file.url, *file.mirrors])


def test_hugging_face_comes_first_and_the_other_hosts_after_it() -> None:
    found = outcome(request_for(["_huggingface_default"]))
    assert isinstance(found, Resolution)
    assert found.sources[0] == known.HUGGINGFACE_URL
    assert found.sources[1] == known.OPSET_11_URL
    assert set(found.sources) == {known.OPSET_11.url, *known.OPSET_11.mirrors}
    plain = outcome(request_for([]))
    assert isinstance(plain, Resolution)
    assert plain.sources[0] == known.OPSET_11_URL
    assert plain.artifact == found.artifact


def test_ncnn_brings_its_graph_along_and_no_other_file_brings_anything() -> None:
    for asked in exact().values():
        for ask in asked:
            found = outcome(request_for(ask.tags()))
            assert isinstance(found, Resolution)
            beside = [companion.url for companion in found.companions]
            assert beside == ([known.PARAM_URL] if ask.framework == "ncnn" else [])


# -- on a cache hit, and around the catalog ----------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "warns"),
    [
        ("_tf,_opset-8", True),
        ("_tf,_opset-11", True),
        ("_onnx,_from-tf,_opset-8", True),
        ("_onnx,_int8", True),
        ("_tf,_from-tf", True),
        ("_onnx", False),
        ("_onnx,_from-tf", False),
        ("_tf", False),
    ],
)
def test_a_cache_hit_warns_as_the_cold_run_did(tags: str, warns: bool) -> None:
    """On a hit nobody knows any more which variations were asked by name."""
    request = replace(request_for(tags.split(",")), explicit=None)
    found = outcome(request)
    assert isinstance(found, Resolution)
    assert bool(found.deviations) is warns
    assert isinstance(outcome(request, strict=True), RequestError) is warns


def test_a_cache_hit_means_the_file_of_the_cold_run() -> None:
    for framework in FRAMEWORKS:
        for ask in asks(framework):
            request = request_for(ask.tags())
            cold = outcome(request)
            if isinstance(cold, Resolution):
                hit = outcome(replace(request, explicit=None))
                assert isinstance(hit, Resolution)
                assert hit.artifact == cold.artifact


@pytest.mark.parametrize(
    "tags", ["_onnx,_pytorch", "_fp32,_int8", "_opset-8,_opset-11", "_argmax,_no-argmax", "_tff"]
)
def test_the_engine_itself_refuses_two_of_a_group_and_unknown_ones(tags: str) -> None:
    with pytest.raises(EngineError):
        compose(META, tags.split(","))


def test_the_oracle_knows_both_answers() -> None:
    """A guard of the tests: an oracle that refuses or delivers everything proves nothing."""
    said = [verdict(ask) for framework in FRAMEWORKS for ask in asks(framework)]
    assert Verdict(None) in said
    assert {v.file for v in said if v.file} == set(known.FILES) - {known.PARAM}
    assert {v.warns for v in said if v.file} == {True, False}
