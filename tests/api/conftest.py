"""A small catalog and store for this process; the environment of a user who has set nothing."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50 import dummy
from cmx_resnet50.catalog import table
from cmx_resnet50.digests import digest_file
from cmx_resnet50.store import Store
from tests.conftest import Stage
from tests.harness import artifacts, models
from tests.harness.build import Installation
from tests.harness.cm import CLOSED
from tests.harness.origin import Origin

DUMMIES = ("onnx-opset-11", "onnx-opset-8", "onnx-from-tf", "tensorflow", "pytorch-fp32")
DUMMIES += ("tflite-argmax", "tflite-no-argmax", "ncnn", "ncnn-param")


@dataclass(frozen=True)
class World:
    """Small published files, and a store that holds small files with random weights."""

    folder: Path

    @property
    def script(self) -> Path:
        """The folder of a ``_cm.json`` that knows both by their digests."""
        return Installation(self.folder, "world").script

    @property
    def served(self) -> dict[str, Path]:
        """What is published, by the name of the artifact."""
        return models.paths(self.folder / "served")

    @property
    def store(self) -> Path:
        """The store; not to be altered."""
        return self.folder / "store"


@pytest.fixture(scope="session")
def world(_shared: Path) -> World:
    return World(Stage.once(_shared, "api", _make).folder)


def _make(folder: Path) -> None:
    served = models.write_all(folder / "served")
    installation = Installation(folder, "world")
    meta = installation.script / "_cm.json"
    meta.parent.mkdir(parents=True)
    shutil.copy(table.SCRIPT / "_cm.json", meta)
    artifacts.patch(installation, served)
    content: dict[str, Any] = json.loads(meta.read_text(encoding="utf-8"))
    store = Store(folder / "store")
    for facts in content["artifacts"].values():
        if facts["name"] in DUMMIES:
            path = folder / facts["file"]
            dummy.write(facts["name"], path, width=models.WIDTH)
            digests = digest_file(path)
            store.import_file(path, record={"file": facts["file"]}, move=True)
            facts["dummy"] = {
                "md5": digests.md5,
                "sha256": digests.sha256,
                "bytes": digests.size,
            }
    meta.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(autouse=True)
def user(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder of a user with an empty store, whom no network answers."""
    for name in [name for name in os.environ if name.startswith("CM_")]:
        monkeypatch.delenv(name)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, CLOSED)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("CM_RESNET50_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(table, "SCRIPT", world.script)
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def filled(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the user's store, which has every file with random weights."""
    store = tmp_path / "store"
    shutil.copytree(world.store, store, copy_function=os.link)
    return store


@pytest.fixture
def internet(empty_origin: Origin, world: World, monkeypatch: pytest.MonkeyPatch) -> Origin:
    """Return a network that answers for every published file."""
    models.publish(empty_origin, world.served)
    for name, value in empty_origin.environment().items():
        monkeypatch.setenv(name, value)
    return empty_origin
