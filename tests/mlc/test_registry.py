"""``cmx-resnet50 mlc add`` and ``remove``: who answers, in every order of repositories."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.harness.build import Installation
from tests.harness.mlc import MLC

UID = "56203e4e998b4bc0"


@pytest.fixture
def new(tmp_path: Path, ours: Installation) -> MLC:
    """Return a user of MLC who has registered nothing."""
    return MLC(ours, tmp_path / "home", tmp_path / "MLC")


def theirs(folder: Path, uid: str = UID) -> Path:
    """Write a repository with a script that has the tags of ours, as mlperf-automations has."""
    script = folder / "script" / "get-ml-model-resnet50"
    script.mkdir(parents=True)
    (folder / "meta.yaml").write_text("alias: theirs\nuid: bbbbccccddddeeee\n")
    (script / "meta.yaml").write_text(
        f"alias: get-ml-model-resnet50\nuid: {uid}\nautomation_alias: script\n"
        "automation_uid: 5b4e0237da074764\ncache: true\n"
        "tags: [get, raw, ml-model, resnet50, ml-model-resnet50, image-classification]\n"
    )
    (script / "customize.py").write_text("def preprocess(i):\n    return {'return': 0}\n")
    return folder


def listed(user: MLC) -> list[str]:
    content: list[str] = json.loads((user.repos / "repos.json").read_text(encoding="utf-8"))
    return content


def add(user: MLC) -> None:
    """Ours answers after it."""
    done = user.command("cmx-resnet50", "mlc", "add", "--json")
    assert done.ok, done.text
    said = json.loads(done.out)
    assert said["ours"] and said["answers"][0].startswith(said["repository"])
    assert listed(user)[-1] == said["repository"]


def answers(user: MLC) -> str:
    """Return the first script that MLC itself names."""
    done = user.command("mlc", "find", "script", "--tags=get,ml-model,resnet50")
    assert done.ok, done.text
    lines = [line for line in (done.out + done.err).splitlines() if "WARN" not in line]
    return next(line for line in lines if "/script/" in line)


def test_theirs_is_there_first(new: MLC, tmp_path: Path) -> None:
    assert new.command("mlc", "add", "repo", str(theirs(tmp_path / "theirs"))).ok
    assert "theirs" in answers(new)
    add(new)
    assert "cmx_resnet50" in answers(new)


def test_theirs_comes_later_and_takes_the_name_back(new: MLC, tmp_path: Path) -> None:
    add(new)
    assert new.command("mlc", "add", "repo", str(theirs(tmp_path / "theirs"))).ok
    assert "theirs" in answers(new)
    add(new)
    assert "cmx_resnet50" in answers(new)


def test_a_pull_touches_theirs(new: MLC, tmp_path: Path) -> None:
    folder = theirs(tmp_path / "theirs")
    assert new.command("mlc", "add", "repo", str(folder)).ok
    add(new)
    os.utime(folder / "script" / "get-ml-model-resnet50" / "meta.yaml", (1e9, 1e9))
    assert "theirs" in answers(new)
    add(new)
    assert "cmx_resnet50" in answers(new)


def test_another_uid_with_the_same_tags_comes_second(new: MLC, tmp_path: Path) -> None:
    assert new.command("mlc", "add", "repo", str(theirs(tmp_path / "theirs", "a" * 16))).ok
    add(new)
    result = new.command("mlcr", "get,ml-model,resnet50")
    assert "ResNet-50" in result.text or "resnet50_v1.onnx" in result.text, result.text


def test_adding_twice_changes_nothing(new: MLC) -> None:
    add(new)
    before = listed(new)
    done = new.command("cmx-resnet50", "mlc", "add")
    assert "registered already" in done.out
    assert listed(new) == before


def test_removing_undoes_it_and_lets_theirs_answer(new: MLC, tmp_path: Path) -> None:
    folder = theirs(tmp_path / "theirs")
    assert new.command("mlc", "add", "repo", str(folder)).ok
    before = listed(new)
    add(new)
    done = new.command("cmx-resnet50", "mlc", "remove")
    assert done.ok, done.text
    assert listed(new) == before
    assert "theirs" in answers(new)
    again = new.command("cmx-resnet50", "mlc", "remove")
    assert again.ok and "was not in" in again.out


def test_after_removing_nothing_of_ours_is_in_the_index(new: MLC) -> None:
    add(new)
    assert "cmx_resnet50" in (new.repos / "index_script.json").read_text(encoding="utf-8")
    assert new.command("cmx-resnet50", "mlc", "remove").ok
    for _ in range(2):
        assert "cmx_resnet50" not in (new.repos / "index_script.json").read_text(encoding="utf-8")
        found = new.command("mlc", "find", "script", "--tags=get,ml-model,resnet50")
        assert "cmx_resnet50" not in found.text
    add(new)
    assert "cmx_resnet50" in answers(new)


@pytest.mark.parametrize("left", ["", "[{"], ids=["emptied", "cut"])
def test_an_index_that_a_kill_left_is_mended(new: MLC, left: str) -> None:
    """MLC writes it in place, and takes one that it cannot read for one without scripts."""
    add(new)
    assert new.get("dummy-weights", "ncnn").ok
    (new.repos / "index_script.json").write_text(left)
    assert not new.get("dummy-weights", "ncnn").ok
    add(new)
    assert new.get("dummy-weights", "ncnn").ok


def test_an_older_installation_is_replaced(new: MLC, tmp_path: Path) -> None:
    old = theirs(tmp_path / "old")
    (old / "meta.yaml").write_bytes((Path(__file__).parents[2] / "mlc" / "meta.yaml").read_bytes())
    (new.repos / "local").mkdir(parents=True)
    (new.repos / "repos.json").write_text(json.dumps([str(new.repos / "local"), str(old)]))
    add(new)
    assert str(old) not in listed(new)


def test_without_mlc_nothing_is_written(new: MLC) -> None:
    add = "import sys; sys.modules['mlc'] = None; from cmx_resnet50.cli import main; "
    done = new.command("python", "-c", add + "sys.exit(main(['mlc', 'add']))")
    assert done.code == 1, done.text
    assert "MLC is not installed" in done.err and "pip install mlcflow" in done.err
    assert done.out == ""
    assert not new.repos.exists()


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "7", "[7]", "[" * 100_000])
def test_a_broken_list_is_named_and_left_alone(new: MLC, content: str) -> None:
    new.repos.mkdir()
    (new.repos / "repos.json").write_text(content)
    done = new.command("cmx-resnet50", "mlc", "add")
    assert done.code == 1 and "repos.json" in done.err and "Traceback" not in done.err
    assert (new.repos / "repos.json").read_text() == content
