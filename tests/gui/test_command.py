"""The four forms of a call mean one request: read back by shlex, ast and CM's own parser."""

from __future__ import annotations

import ast
import shlex
from typing import Any

from cmind import cli
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.gui import form
from cmx_resnet50.gui.command import Command
from cmx_resnet50.gui.form import Choices
from tests.gui import metas

LETTERS = st.characters(
    exclude_categories=("C", "Z"), exclude_characters='$`"\\;&|<>(),', max_codepoint=0x2FFFF
)
WORDS = st.text(LETTERS, min_size=1, max_size=12)
TAGS = WORDS.filter(lambda word: word[0] not in "-_@" and "=" not in word)
VALUES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
KEYS = st.from_regex(r"[a-z]{1,5}[a-z_-]{0,4}[a-z](\.[a-z]{1,4}){0,2}", fullmatch=True)


def of_command(text: str) -> dict[str, Any]:
    """Return what CM makes of a command line."""
    program, *arguments = shlex.split(text)
    parsed = cli.parse(["run", "script", *arguments] if program == "cmr" else arguments)
    assert parsed["return"] == 0
    request: dict[str, Any] = parsed["cm_input"]
    del request["cmd"]
    if " " in request.get("artifact", ""):  # As the script automation reads it.
        request["tags"] = request.pop("artifact").replace(" ", ",")
    return request


def of_python(text: str) -> dict[str, Any]:
    """Return the dictionary that a program hands to ``cmind.access``, without running it."""
    (call,) = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "cmind.access"
    )
    request = ast.literal_eval(call.args[0])
    assert isinstance(request, dict)
    return request


def all_forms(command: Command) -> dict[str, dict[str, Any]]:
    docker = of_command(command.docker)
    assert docker.pop("action") == "docker"
    return {
        "cm": of_command(command.cm),
        "cmr": of_command(command.cmr),
        "Python": of_python(command.python),
        "docker": {"action": "run", **docker},
        "process": of_command(shlex.join(["cm", *command.arguments])),
    }


def agreed(command: Command) -> dict[str, Any]:
    forms = all_forms(command)
    for name, request in forms.items():
        assert request == forms["cm"], name
    return forms["cm"]


@given(
    tags=st.lists(TAGS, min_size=1, max_size=4),
    variations=st.lists(WORDS, max_size=3),
    inputs=st.dictionaries(KEYS.filter(lambda key: "." not in key), VALUES, max_size=3),
)
def test_forms_mean_one_request(
    tags: list[str], variations: list[str], inputs: dict[str, str]
) -> None:
    command = Command(tuple(tags), "", tuple(variations), inputs)
    request = agreed(command)
    assert request["tags"].split(",") == [*tags, *(f"_{name}" for name in variations)]
    assert request["quiet"] is True
    for key, value in inputs.items():
        assert request[key.replace("-", "_")] is not None
        assert value in request.values()


@given(key=KEYS, value=VALUES)
def test_a_dotted_key_goes_down(key: str, value: str) -> None:
    place: Any = agreed(Command(("a", "b"), inputs={key: value}))
    first, *rest = key.split(".")
    for part in (first.replace("-", "_"), *rest):
        place = place[part]
    assert place == value


def test_a_script_named_by_its_alias() -> None:
    plain = agreed(Command(artifact="detect-os"))
    assert plain == {
        "action": "run",
        "automation": "script",
        "artifact": "detect-os",
        "quiet": True,
    }
    varied = agreed(Command(artifact="get-ml-model-resnet50", variations=("onnx", "opset-8")))
    assert varied["tags"] == "_onnx,_opset-8"


def test_one_tag_alone_is_no_alias() -> None:
    assert agreed(Command(("ensure-ml-model-resnet50",)))["tags"] == "ensure-ml-model-resnet50"


def test_the_forms_of_an_everyday_request() -> None:
    command = Command(
        ("get", "ml-model", "resnet50"), "", ("pytorch", "int8"), {"outdirname": "my models"}
    )
    assert command.cm == (
        "cm run script --tags=get,ml-model,resnet50,_pytorch,_int8 '--outdirname=my models' --quiet"
    )
    assert command.cmr == (
        "cmr 'get ml-model resnet50 _pytorch _int8' '--outdirname=my models' --quiet"
    )
    assert command.docker.startswith(
        "cm docker script --tags=get,ml-model,resnet50,_pytorch,_int8 "
    )
    compile(command.python, "example.py", "exec")


def test_every_upstream_script_can_be_called() -> None:
    for artifact in metas.upstream():
        shape = form.read(artifact.meta)
        chosen = Choices(
            groups={group.name: group.choices[-1].name for group in shape.groups},
            switches=frozenset(switch.name for switch in shape.switches),
            values=dict.fromkeys(_valued(shape), "7"),
            inputs={entry.key: (*entry.choices, "x y")[-1] for entry in shape.fields},
        )
        variations, inputs = tuple(shape.variations(chosen)), shape.inputs(chosen)
        assert len(inputs) == len(shape.fields)
        request = agreed(Command(tuple(map(str, artifact.meta["tags"])), "", variations, inputs))
        asked = [tag for tag in request["tags"].split(",") if tag.startswith("_")]
        assert asked == [f"_{name}" for name in variations]


def _valued(shape: form.Form) -> list[str]:
    grouped = [choice for group in shape.groups for choice in group.choices]
    return [variation.name for variation in (*grouped, *shape.values) if variation.takes_value]


def test_the_form_for_mlc() -> None:
    inputs = {"outdirname": "my models", "const.CM_PACKAGE_URL": "https://a.example.org/CM_x"}
    command = Command(("get", "ml-model", "resnet50"), "", ("pytorch", "int8"), inputs)
    assert command.mlcr == (
        "mlcr get,ml-model,resnet50,_pytorch,_int8 '--outdirname=my models' "
        "--const.MLC_PACKAGE_URL=https://a.example.org/CM_x --quiet"
    )
