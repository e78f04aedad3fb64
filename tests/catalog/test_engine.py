"""The small engine of these tests does what the installed one does."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import SCRIPT
from tests.catalog.engine import EngineError, compose

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
TAGS = [
    name.replace("#", "8")
    for name in META["variations"]
    if "," not in name and name != "dummy-weights"
]


@pytest.fixture(scope="module")
def original() -> Any:
    package = importlib.util.find_spec("cmx4mlops")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "repo" / "automation" / "script" / "module.py"
    spec = importlib.util.spec_from_file_location("cm_script_automation", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Its constructor wants a running CM; composing variations wants nothing of it.
    return object.__new__(module.CAutomation)


@settings(max_examples=150)
@given(
    asked=st.lists(st.sampled_from(TAGS), max_size=7, unique=True),
    excluded=st.lists(st.sampled_from(TAGS), max_size=2, unique=True),
    const=st.sampled_from([{}, {"CM_PACKAGE_URL": "https://example.org/a.onnx"}]),
)
def test_composes_as_the_original(
    original: Any, asked: list[str], excluded: list[str], const: dict[str, str]
) -> None:
    # The engine's `search` refuses a variation that is asked and excluded, before this step.
    tags = asked + [f"-{name}" for name in excluded if name not in asked]
    meta, wanted_const = copy.deepcopy(META), dict(const)
    env = {**meta["default_env"], **meta["env"], **const}
    answer = original._update_state_from_variations(
        {}, meta, list(tags), meta["variations"], env, {}, wanted_const, {},
        [], [], [], [], [], [], {}, {}, "", False,
    )  # fmt: skip
    try:
        run = compose(META, [f"_{tag}" for tag in tags], const=const)
    except EngineError:
        assert answer["return"] > 0
        return
    assert answer["return"] == 0, answer
    prepared = answer["variation_tags_string"].split(",") if run.tags else []
    assert [tag.removeprefix("_") for tag in prepared] == run.tags
    assert run.const == wanted_const
    assert run.explicit == answer["explicit_variation_tags"]
    assert {k: v for k, v in run.env.items() if "<<<" not in v} == {
        k: v for k, v in env.items() if "<<<" not in v
    }
