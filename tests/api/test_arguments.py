"""What the Python functions accept for each argument, and that each error names the argument."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmx_resnet50 import (
    OptionError,
    RequestError,
    Resnet50Error,
    convert,
    find,
    get,
    inspect,
    reshape,
)
from tests.api.conftest import World

QUIET: dict[str, Any] = {"progress": False, "dummy": True}
call: Callable[..., Any] = get  # without the types that a checker would refuse


@pytest.fixture(autouse=True)
def _nothing_is_made(user: Path) -> Any:
    yield
    assert list(user.iterdir()) == []


@pytest.mark.parametrize("value", [3.0, True, None, ["3"]])
def test_a_batch_size_is_a_whole_number(value: Any) -> None:
    """Before the file is read: it is not there."""
    with pytest.raises(TypeError, match=r"^batch=.*: expected a whole number such as 8, not "):
        reshape("absent", "out", batch=value)
    if value is not None:
        with pytest.raises(TypeError, match=r"^batch=.*: expected a whole number such as 8, not "):
            get(batch=value)


@pytest.mark.parametrize("value", [0, -1, 1_000_000, "0", "four"])
def test_a_batch_size_has_the_bounds_of_the_command(value: Any) -> None:
    with pytest.raises(OptionError, match="must be a whole number from 1 to 999,999"):
        reshape("absent", "out", batch=value)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("value", [4, "4", np.int64(4)])
def test_a_batch_size_of_any_integer_type(world: World, tmp_path: Path, value: Any) -> None:
    made = reshape(world.served["onnx-opset-11"], tmp_path / "out.onnx", batch=value)
    assert inspect(made).inputs[0].shape[0] == 4
    assert call(batch=value, **QUIET).inputs[0].shape[0] == 4


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("value", [8, "8", "opset-8", "_opset-8", np.int32(8)])
def test_an_opset_of_any_integer_type(value: Any) -> None:
    assert call(opset=value, **QUIET).opset == 8


SWITCHES = ["offline", "strict", "accept_any", "force", "dummy", "argmax"]


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", ["maybe", 3, [True]])
def test_a_switch_is_on_or_off(name: str, value: Any) -> None:
    for function in (get, find):
        with pytest.raises(OptionError, match=f"^{name}=.*: must be True or False"):
            function(**{name: value})


@pytest.mark.parametrize("value", ["maybe", 3])
def test_a_copy_replaces_a_file_only_if_told(value: Any) -> None:
    with pytest.raises(OptionError, match=r"^force=.*: must be True or False"):
        reshape("absent", "out", batch=4, force=value)
    with pytest.raises(OptionError, match=r"^force=.*: must be True or False"):
        convert("absent", "out", force=value)


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("word", ["no", "False", "off", "0"])
def test_a_text_that_means_no_switches_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("offline", "strict", "accept_any", "force"):
        monkeypatch.setenv(f"CM_RESNET50_{name.upper()}", "yes")
    off: Any = dict.fromkeys(("offline", "strict", "accept_any", "force", "progress"), word)
    with pytest.warns(match="int8"):
        assert call("onnx int8", dummy="yes", **off).weights == "dummy"
    assert find(dummy=word) is None  # type: ignore[arg-type]
    assert call("tflite", argmax=word, **QUIET).name == "tflite-no-argmax"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"request": ["onnx", "opset-8"]}, r"request=.*text such as \"onnx opset-8\", not list"),
        ({"request": None}, r"request=None: expected a text .*, not NoneType"),
        ({"request": 8}, r"request=8: expected a text .*, not int"),
        ({"precision": 8}, r"precision=8: expected a text such as \"int8\", not int"),
        ({"framework": b"onnx"}, r"framework=b'onnx': expected a text .*, not bytes"),
        ({"opset": 8.0}, r"opset=8\.0: expected a whole number .*, not float"),
        ({"progress": 3}, "progress=3: expected True, False or a function, not int"),
        ({"mirror": 3}, "mirror=3: expected a URL prefix, or a list of them, not int"),
        ({"to": 3}, "to=3: expected a path, not int"),
        ({"store": b"here"}, "store=b'here': expected a path, not bytes"),
        ({"checkpoint": ["a"]}, r"checkpoint=\['a'\]: expected a path, not list"),
    ],
)
def test_a_wrong_type_is_one_sentence(given: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text}$"):
        get(**given)


@pytest.mark.usefixtures("filled")
def test_errors_name_options_as_python_has_them(world: World, tmp_path: Path) -> None:
    other = tmp_path / "mine.onnx"
    other.write_bytes(world.served["onnx-opset-8"].read_bytes())
    for given, text in (
        ({"request": "onnx", "checkpoint": other}, "unverified, set accept_any=True. "),
        ({"checkpoint": other, "dummy": True}, "Choose one source: dummy=True or checkpoint=."),
        ({"request": "onnx int8", "strict": True}, r"strict mode \(strict=True\)"),
    ):
        with pytest.raises(Resnet50Error, match=text):
            call(progress=False, **given)
    with pytest.raises(RequestError, match=r"strict=True.*\n.*\n  cmx-resnet50 get _onnx"):
        find("onnx int8", strict=True)


def test_an_empty_path_is_refused() -> None:
    for name in ("to", "store", "checkpoint"):
        with pytest.raises(OptionError, match=f"^{name}='': an empty path$"):
            call(**{name: ""}, **QUIET)
    for run in (
        lambda: inspect(""),
        lambda: reshape("", "out", batch=4),
        lambda: reshape("absent", "", batch=4),
        lambda: convert("", "out"),
        lambda: convert("absent", ""),
    ):
        with pytest.raises(OptionError, match=r"^(path|out)='': an empty path$"):
            run()


def test_a_misspelt_keyword_gets_a_similar_one_and_all() -> None:
    with pytest.raises(TypeError, match=r"'checkpoints'; did you mean checkpoint.*, progress, "):
        call(checkpoints="x")
    with pytest.raises(TypeError, match=r"'checkpoint'; valid ones: request, to, .*, store") as no:
        find(checkpoint="x")  # type: ignore[call-arg]
    assert "progress" not in str(no.value)
