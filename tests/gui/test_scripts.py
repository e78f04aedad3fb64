"""Tags that mean one script, several, or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.gui import scripts
from tests.gui import metas
from tests.gui.metas import Artifact


def test_tags_and_variations_are_told_apart() -> None:
    expected = (("get", "ml-model", "resnet50"), ("_pytorch", "_int8"))
    assert scripts.split("get,ml-model,resnet50,_pytorch,_int8") == expected
    assert scripts.split(" get ml-model  resnet50 _pytorch _int8") == expected
    assert scripts.split("") == ((), ())


def test_one_script() -> None:
    found = scripts.one(metas.access, ["detect", "os"])
    assert (found.alias, found.uid) == ("detect-os", "863735b7db8c44fc")
    assert found.path.is_dir()


def test_several_scripts_are_candidates() -> None:
    with pytest.raises(scripts.NotOne, match="scripts match the tags detect") as many:
        scripts.one(metas.access, ["detect"])
    assert "detect-os" in [candidate.alias for candidate in many.value.candidates]
    assert "--script=detect-os,detect,os,info   (detect-os)" in str(many.value)


def test_a_long_list_is_cut() -> None:
    with pytest.raises(scripts.NotOne, match=r"\n  and \d+ more$"):
        scripts.one(metas.access, ["get"])


@pytest.mark.parametrize("asked", [["get", "ml-model", "resnet51"], ["resnet-50"]])
def test_no_script_has_near_ones(asked: list[str]) -> None:
    with pytest.raises(
        scripts.NotOne, match=f"No script matches the tags {','.join(asked)}"
    ) as none:
        scripts.one(metas.access, asked)
    assert "get-ml-model-resnet50" in [s.alias for s in none.value.candidates]


def test_nothing_is_near() -> None:
    with pytest.raises(scripts.NotOne) as none:
        scripts.one(metas.access, ["qqqqqqqq"])
    assert none.value.candidates == ()


def test_of_two_copies_the_one_that_cm_runs() -> None:
    copies = [
        Artifact({"alias": "x", "uid": "1" * 16, "tags": ["x"]}, "a"),
        Artifact({"alias": "x", "uid": "1" * 16, "tags": ["x"], "sort": -1}, "b"),
    ]
    found = scripts.one(lambda _: {"return": 0, "list": copies}, ["x"])
    assert found.path == Path("b")


def test_an_error_of_cm_is_told() -> None:
    with pytest.raises(Resnet50Error, match="no index"):
        scripts.find(lambda _: {"return": 1, "error": "no index"})
