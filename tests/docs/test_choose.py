"""docs/choose.md: it is what its sources say, and facts of a file are on one page only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cmx_resnet50.catalog.table import Catalog
from tests.docs import pages
from tools.readme.choose import render

META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
TEXT = (pages.DOCS / "choose.md").read_text(encoding="utf-8")


def models(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what can be asked for, by the shortest request, as the reference names it."""
    catalog = Catalog(meta)
    found: dict[str, str] = {}
    for request in catalog.requests():
        url, text = catalog.resolve(request).artifact.url, request.variations
        found[url] = min(found.get(url, text), text, key=len)
    return {request: meta["artifacts"][url] for url, request in found.items()}


def changed(**facts: Any) -> str:
    """Return the page as it would be if facts of the first file were others."""
    meta = json.loads(json.dumps(META))
    next(iter(meta["artifacts"].values())).update(facts)
    return render(meta)


def first_row(text: str) -> list[str]:
    return next(row for row in pages.rows(text) if row[0] == "`_onnx,_fp32` (default)")


def test_fresh() -> None:
    assert render(META) == TEXT, "docs/choose.md is stale: run `make docs`"


def test_every_file_says_what_for() -> None:
    table = {row[0]: row for row in pages.rows(TEXT.partition("## ")[0])}
    assert {name.partition(" ")[0].strip("`") for name in table} == models(META).keys()
    for name, (_, use, top1, classes, letter) in table.items():
        model = models(META)[name.partition(" ")[0].strip("`")]
        assert use
        assert top1 == (model["top1"] or "unknown")
        assert classes == str(model["classes"] or "unknown")
        assert f"**{letter}**" in pages.section(TEXT, "Preprocessing")


def test_the_default_is_marked() -> None:
    assert TEXT.count("(default)") == 1
    assert first_row(TEXT)[2] == "76.456"


@pytest.mark.parametrize("request_", models(META))
def test_preprocessing_and_batch_of_each(request_: str) -> None:
    model = models(META)[request_]
    lines = pages.section(TEXT, "Preprocessing").splitlines()
    (line,) = [line for line in lines if f"`{request_}`" in line]
    for value in model["preprocessing"].values():
        for number in value if isinstance(value, list) else [value]:
            assert str(number) in line
    lines = pages.section(TEXT, "Batch").splitlines()
    (line,) = [line for line in lines if f"`{request_}`" in line]
    words = {
        "rewritable": "is written into the file",
        "any": "takes any batch size, and",
        "native": "keeps the batch size",
    }
    assert words[model["batch"]] in line


def test_precisions_are_those_of_the_files() -> None:
    table = {row[0]: row[1:] for row in pages.rows(pages.section(TEXT, "int8 and uint8"))}
    assert table["`_pytorch`"] == ["`resnet50_INT8bit_quantized.pt`", "refused"]
    assert table["`_ncnn`"] == ["refused", "refused"]
    assert table["`_onnx`"] == ["`resnet50_v1.onnx`, which is fp32"] * 2
    assert table["`_tflite`"][0] == "`resnet50_quant_full_mlperf_edgetpu.tflite`"
    names = {name for name, v in META["variations"].items() if v.get("group") == "framework"}
    assert table.keys() == {f"`_{name}`" for name in names}


def test_follows_its_source() -> None:
    assert first_row(changed(top1="12.3"))[2] == "12.3"
    assert first_row(changed(classes=7))[3] == "7"
    licences = pages.section(changed(license="CC-BY-4.0"), "Licence")
    assert "CC-BY-4.0: `resnet50_v1.onnx`." in licences
    assert "unknown: " in licences
    own = changed(preprocessing={"channel_order": "BGR"})
    assert first_row(own)[4] not in {row[4] for row in pages.rows(own)[1:5]}
    assert "**A** for `_onnx,_fp32`: BGR channels." in own
    assert "8 and 13" in pages.section(changed(opset=13), "Opset")


def test_what_is_random_is_told() -> None:
    shown = pages.section(TEXT, "Random weights, for a first try")
    for request, model in models(META).items():
        assert (f"`{request}`" in shown) is (model.get("dummy") is not None)


def test_nothing_is_in_the_reference_too() -> None:
    text = pages.REFERENCE.read_text(encoding="utf-8")
    shown = pages.section(text, "Which file a request means")
    for model in models(META).values():
        assert not model["top1"] or model["top1"] not in shown
        digest = model["md5"] or model["archive"]["md5"]
        assert digest not in TEXT
        assert digest in shown
