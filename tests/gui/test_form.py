"""A meta becomes a form: that of our script to the letter, that of any other without an error."""

from __future__ import annotations

from typing import Any

import pytest

from cmx_resnet50.catalog.variations import BadVariation
from cmx_resnet50.gui import form, labels
from cmx_resnet50.gui.form import Choices
from cmx_resnet50.shell_values import UnsafeValue
from tests.gui import metas

OURS = form.read(metas.OURS)


def named(alias: str) -> dict[str, Any]:
    (found,) = (a.meta for a in metas.upstream() if a.meta["alias"] == alias)
    return found


def test_groups_of_ours_have_their_choices_defaults_and_aliases() -> None:
    shown = {group.name: [c.name for c in group.choices] for group in OURS.groups}
    aliases = {"onnxruntime", "tf"}
    declared: dict[str, list[str]] = {}
    for name, content in metas.OURS["variations"].items():
        if "group" in content and name not in aliases:
            declared.setdefault(content["group"], []).append(name)
    assert {name: sorted(names) for name, names in shown.items()} == {
        name: sorted(names) for name, names in declared.items()
    }
    assert {group.name: group.default for group in OURS.groups} == {
        "framework": "onnx",
        "model-output": "argmax",
        "opset-version": "",
        "precision": "fp32",
    }
    (framework,) = (group for group in OURS.groups if group.name == "framework")
    by_name = {choice.name: choice for choice in framework.choices}
    assert by_name["onnx"].aliases == ("onnxruntime",)
    assert by_name["tensorflow"].aliases == ("tf",)
    assert labels.name(by_name["tensorflow"]) == "tensorflow · tf"
    assert by_name["pytorch"].env == metas.OURS["variations"]["pytorch"]["env"]


def test_loose_variations_of_ours_are_switches_or_values() -> None:
    assert {switch.name for switch in OURS.switches} == {
        "dummy-weights",
        "fix-input-shape",
        "from-tf",
        "huggingface_default",
    }
    assert [value.name for value in OURS.values] == ["batch_size.#"]
    assert OURS.values[0].label == "batch_size"


def test_inputs_of_ours_have_text_default_and_choices_in_order() -> None:
    described = metas.OURS["input_description"]
    others = {key for key, text in described.items() if "same_as" in text}
    assert others == {"outdirname", "download_path", "model_path", "s"}
    assert [entry.key for entry in OURS.fields] == [key for key in described if key not in others]
    for entry in OURS.fields:
        assert entry.text == described[entry.key]["desc"]
        assert entry.default == described[entry.key].get("default", "")
        assert list(entry.choices) == described[entry.key].get("choices", [])
        assert entry.sets == metas.OURS["input_mapping"].get(entry.key, "")
        assert entry.described


def test_a_choice_decides_the_default_of_another_group() -> None:
    assert OURS.implied({}) == {"opset-version": ("opset-11", "onnx")}
    assert OURS.implied({"framework": "onnx"}) == {"opset-version": ("opset-11", "onnx")}
    assert OURS.implied({"framework": "pytorch"}) == {}
    (opset,) = (group for group in OURS.groups if group.name == "opset-version")
    assert list(labels.options(opset, "opset-11")) == ["", "opset-8"]
    assert labels.options(opset, "opset-11")[""][0] == "opset-11 (default)"
    assert labels.options(opset, "")[""] == ("not chosen", "")
    assert list(labels.options(opset, "")) == ["", "opset-11", "opset-8"]
    assert labels.implied("opset-11", "onnx") == "With onnx the default is opset-11."


def test_a_group_that_decides_another_comes_first() -> None:
    names = [group.name for group in OURS.groups]
    assert names == ["framework", "model-output", "precision", "opset-version"]


def test_what_variations_set_together_is_told() -> None:
    combined = [name for name in metas.OURS["variations"] if "," in name]
    assert [variation.name for variation in OURS.together] == combined
    text = labels.details(OURS.together)
    url = metas.OURS["variations"]["onnx,opset-8"]["env"]["CM_PACKAGE_URL"]
    block = text[text.index("_onnx,_opset-8\n") :]
    assert f"  CM_PACKAGE_URL={url}\n" in block


def test_an_empty_choice_is_the_one_that_is_there_already() -> None:
    meta = named("run-mlperf-inference-app")
    assert "" in meta["input_description"]["mode"]["choices"]
    (mode,) = (entry for entry in form.read(meta).fields if entry.key == "mode")
    assert mode.choices == ("accuracy", "performance")


def test_what_is_set_is_told() -> None:
    (precision,) = (group for group in OURS.groups if group.name == "precision")
    text = labels.details(precision.choices, precision.default)
    assert text.splitlines()[:2] == ["_fp32  (default)", "  CM_ML_MODEL_INPUT_DATA_TYPES=fp32"]
    (framework,) = (group for group in OURS.groups if group.name == "framework")
    assert "_onnx  (default, alias _onnxruntime)" in labels.details(framework.choices, "onnx")
    assert "default of opset-version: _opset-11" in labels.details(framework.choices)


def test_choices_become_tags_and_inputs() -> None:
    choices = Choices(
        groups={"framework": "pytorch", "precision": "int8", "model-output": ""},
        switches=frozenset({"dummy-weights"}),
        values={"batch_size.#": " 8 "},
        inputs={"to": " a folder ", "offline": "", "strict": "yes"},
    )
    tags = OURS.variations(choices)
    assert sorted(tags) == ["batch_size.8", "dummy-weights", "int8", "pytorch"]
    assert OURS.inputs(choices) == {"to": "a folder", "strict": "yes"}


@pytest.mark.parametrize(
    "tags",
    [(), ("pytorch", "int8"), ("batch_size.1",), ("batch_size.16", "opset-8"), ("dummy-weights",)],
)
def test_tags_become_choices_and_back(tags: tuple[str, ...]) -> None:
    chosen = OURS.choices(f"_{tag}" for tag in tags)
    assert sorted(OURS.variations(chosen)) == sorted(tags)


def test_an_alias_chooses_its_target() -> None:
    assert OURS.choices(["_tf"]).groups == {"framework": "tensorflow"}


@pytest.mark.parametrize("tag", ["_pytorhc", "_batch_size.", "_"])
def test_an_unknown_tag_is_named(tag: str) -> None:
    with pytest.raises(BadVariation, match=f"Unknown variation of this script: {tag}"):
        OURS.choices([tag])


HOSTILE = ["$(id)", "`id`", 'a"b', "a\\", "a\nb", "a\0b", "a;id", "a&id", "a|id", "a>b", "(id)"]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_are_refused(value: str) -> None:
    with pytest.raises(UnsafeValue, match="--to contains"):
        OURS.inputs(Choices(inputs={"to": value}))
    with pytest.raises(UnsafeValue, match=r"_batch_size\.# contains"):
        OURS.variations(Choices(values={"batch_size.#": value}))


@pytest.mark.parametrize("value", ["1,_int8", "1 2", "1\u00a02"])
def test_what_divides_tags_is_refused_in_them(value: str) -> None:
    with pytest.raises(UnsafeValue, match="comma or a blank"):
        OURS.variations(Choices(values={"batch_size.#": value}))


def test_a_valued_choice_of_a_group_needs_its_value() -> None:
    meta = {"variations": {"repo.#": {"group": "source"}, "main": {"group": "source"}}}
    shape = form.read(meta)
    assert shape.variations(Choices({"source": "repo.#"}, values={"repo.#": "x"})) == ["repo.x"]
    assert shape.variations(Choices({"source": "main"}, values={"repo.#": "x"})) == ["main"]
    with pytest.raises(BadVariation, match="needs a value"):
        shape.variations(Choices({"source": "repo.#"}))


def test_a_boolean_is_a_choice_of_yes_and_no() -> None:
    shape = form.read(named("run-mlperf-inference-app"))
    (debug,) = (entry for entry in shape.fields if entry.key == "debug")
    assert (debug.choices, debug.default) == (("yes", "no"), "no")
    assert labels.inputs(debug) == {"yes": "yes", "": "no (default)"}


def test_each_choice_of_ours_says_what_it_is_for() -> None:
    shown = [choice for group in OURS.groups for choice in group.choices]
    assert all(one.description for one in (*shown, *OURS.switches, *OURS.values))


def test_inputs_without_a_description_are_there_too() -> None:
    shape = form.read(named("get-generic-python-lib"))
    (index,) = (entry for entry in shape.fields if entry.key == "index_url")
    assert not index.described
    assert labels.hint(index) == "sets CM_GENERIC_PYTHON_PIP_INDEX_URL"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"variations": None, "input_description": None, "input_mapping": None},
        {"variations": {"a": None, "b": {"alias": "gone"}, "c": {"env": None, "base": "x"}}},
        {"variations": {1: {"group": 2, "default": "true"}}, "input_description": {3: 4}},
        {"input_description": {"a": {"choices": 1, "sort": "x"}, "b": {"default": None}}},
    ],
)
def test_a_meta_of_other_types_is_a_form(meta: dict[str, Any]) -> None:
    shape = form.read(meta)
    shape.variations(Choices())
    labels.details([*shape.switches, *shape.values])


def test_every_upstream_script_has_a_form() -> None:
    for artifact in metas.upstream():
        shape = form.read(artifact.meta)
        declared = {
            str(name)
            for name, content in (artifact.meta.get("variations") or {}).items()
            if "," not in str(name)
            and (content or {}).get("alias") not in artifact.meta["variations"]
        }
        shown = [choice.name for group in shape.groups for choice in group.choices]
        shown += [variation.name for variation in (*shape.switches, *shape.values)]
        # What is a value of another variation is typed in its field.
        values = [name for name in declared - {*shown} if shape.choices([name]).values]
        assert sorted(shown + values) == sorted(declared), artifact.path
        keys = {*(artifact.meta.get("input_description") or {})}
        keys |= {*(artifact.meta.get("input_mapping") or {})}
        assert {entry.key for entry in shape.fields} == {str(key) for key in keys}
        for group in shape.groups:
            assert group.default in ("", *(choice.name for choice in group.choices))
            labels.details(group.choices, group.default)
        assert shape.variations(Choices()) == []
        assert shape.inputs(Choices()) == {}
