"""Refusals and notes: what they say, and what they propose instead."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from cmx_resnet50.catalog.table import RequestError, Resolution
from tests.catalog.asking import (
    FRAMEWORKS,
    NO_YES,
    OPSETS,
    OUTPUTS,
    PRECISIONS,
    asks,
    exact,
    outcome,
    request_for,
)
from tests.catalog.oracle import Ask


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_refusals_propose_valid_honest_and_near_requests(framework: str | None) -> None:
    for ask in asks(framework):
        found = outcome(request_for(ask.tags()))
        if isinstance(found, Resolution):
            continue
        assert 1 <= len(found.nearest) <= 3, ask
        assert len(set(found.nearest)) == len(found.nearest)
        text = str(found)
        for proposal in found.nearest:
            assert f"cmx-resnet50 get {proposal}" in text
            assert isinstance(proposed(proposal), Resolution), (ask, proposal)
        families = [proposal_framework(proposal) for proposal in found.nearest]
        wanted = {None: "onnx", "onnxruntime": "onnx", "tf": "tensorflow"}.get(framework, framework)
        if wanted != "-":
            same = len(exact()[str(wanted)])
            count = min(same, len(families))
            assert families[:count] == [wanted] * count, (ask, found.nearest)


@cache
def proposed(proposal: str) -> Resolution | RequestError:
    """What a proposal comes to when it is typed as it stands, without any indulgence."""
    return outcome(request_for(proposal.split(",")), strict=True)


def proposal_framework(proposal: str) -> str:
    found = proposed(proposal)
    assert isinstance(found, Resolution)
    return found.artifact.format


def test_the_nearest_request_changes_as_little_as_it_can() -> None:
    for framework in ("onnx", "pytorch", "tensorflow", "tflite", "ncnn"):
        for rest in product(PRECISIONS[1:4], OUTPUTS[1:3], OPSETS[:2], NO_YES, NO_YES):
            ask = Ask(framework, *rest)
            found = outcome(request_for(ask.tags()))
            if isinstance(found, Resolution):
                continue
            best = min(changes(ask, other) for other in exact()[framework])
            nearest = request_for(found.nearest[0].split(","))
            first = Ask(
                nearest.framework,
                nearest.precision,
                nearest.output,
                "8" if nearest.opset == "8" else None,
                nearest.from_tf == "yes",
                nearest.huggingface == "yes",
            )
            assert changes(ask, first) == best, (ask, found.nearest)


def changes(one: Ask, other: Ask) -> int:
    names = ["precision", "output", "from_tf", "huggingface"]
    names += ["opset"] if one.framework == "onnx" else []
    return sum(getattr(one, name) != getattr(other, name) for name in names)


@pytest.mark.parametrize(
    "tags",
    ["_onnx,_-opset-11", "_tflite,_-argmax", "_pytorch,_-fp32", "_-onnx", "_ncnn,_-fp32,_-argmax"],
)
def test_a_refusal_names_the_excluded_group_and_does_not_propose_what_it_refuses(
    tags: str,
) -> None:
    found = outcome(request_for(tags.split(",")))
    assert isinstance(found, RequestError)
    for tag in tags.split(","):
        if tag.startswith("_-"):
            assert tag in found.reason
    assert "none" not in str(found)
    for proposal in found.nearest:
        assert f" {proposal}." not in found.reason


@pytest.mark.parametrize("tags", ["_-fp32", "_tf,_-fp32", "_onnx,_-fp32,_from-tf", "_-argmax"])
def test_an_excluded_group_that_chooses_no_file_is_no_fault(tags: str) -> None:
    found = outcome(request_for(tags.split(",")), strict=True)
    assert isinstance(found, Resolution), str(found)
    assert found.deviations == ()


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ("_pytorch,_uint8,_batch_size.4", "_batch_size.4"),
        ("_pytorch,_uint8,_dummy-weights", "_dummy-weights"),
        ("_pytorch,_uint8,_fix-input-shape", "_fix-input-shape"),
    ],
)
def test_proposals_keep_what_was_not_at_fault(tags: str, kept: str) -> None:
    found = outcome(request_for(tags.split(",")))
    assert isinstance(found, RequestError)
    for proposal in found.nearest:
        assert kept in proposal.split(",")


def test_notes_name_the_file_and_what_it_is_not() -> None:
    found = outcome(request_for(["_tf", "_int8", "_from-tf", "_opset-8"]))
    assert isinstance(found, Resolution)
    text = " ".join(found.deviations)
    for word in ("int8", "fp32", "resnet50_v1.pb", "_from-tf", "_opset-8"):
        assert word in text
    assert all("\n" not in note for note in found.deviations)


@pytest.mark.parametrize(
    ("names", "given", "text"),
    [
        (["dummy-weights"], {"local": "/m/a.onnx"}, "_dummy-weights or --checkpoint"),
        (["dummy-weights"], {"url": "https://h/a"}, "_dummy-weights or a URL of your own"),
        (
            ["huggingface_default"],
            {"url": "https://h/a"},
            "_huggingface_default or a URL of your own",
        ),
    ],
)
def test_sources_that_contradict_one_another_are_refused(
    names: list[str], given: dict[str, str], text: str
) -> None:
    found = outcome(replace(request_for(names), **given))  # type: ignore[arg-type]
    assert isinstance(found, RequestError)
    assert f"Choose one source: {text}." in str(found)


def test_a_checkpoint_may_be_the_file_of_a_url() -> None:
    url = "https://zenodo.org/record/4735647/files/resnet50_v1.onnx"
    found = outcome(replace(request_for(["onnx"]), url=url, local="/m/a.onnx"))
    assert isinstance(found, Resolution)
