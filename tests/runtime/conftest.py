"""A user whose environment holds the runtimes beside ``cm``.

``with_runtimes``
    The wheel in an environment that also sees every other package of the environment that
    runs the tests. It holds a distribution named ``tensorflow`` as the engine wants it: see
    `_alias`.
``user``
    A fresh user of it, behind ``origin``.
``dummy``
    Asks for a file with random weights, once a run, as a user without any network.
"""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import Stage
from tests.harness import artifacts, build
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin


@pytest.fixture(scope="session")
def with_runtimes(_shared: Path, wheel: Path, served: dict[str, Path]) -> build.Installation:
    """Return the environment. Shared by all tests: not to be altered."""

    def make(folder: Path) -> None:
        made = build.install(folder / "user", wheel)
        artifacts.patch(made, served)
        build.link_everything(made)
        _install(made, _alias(folder))
        done = CM(made, folder / "home", folder / "CM").run("reindex", "repo")
        assert done.ok, done.text

    folder = Stage.once(_shared, "runtimes", make).folder
    return build.Installation(folder / "user", "cmx_resnet50")


def _alias(folder: Path) -> Path | None:
    """Write a wheel ``tensorflow`` that holds nothing and needs ``tensorflow-cpu``.

    The engine asks for the version of the distribution ``tensorflow``, and runs pip when there
    is none, also where ``tensorflow-cpu`` provides the module. With this wheel, which a user
    can make too, it finds what is there.
    """
    try:
        version = metadata.version("tensorflow-cpu")
    except metadata.PackageNotFoundError:
        return None
    info = f"tensorflow-{version}.dist-info"
    files = {
        "METADATA": f"Metadata-Version: 2.1\nName: tensorflow\nVersion: {version}\n"
        f"Requires-Dist: tensorflow-cpu=={version}\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    wheel = folder / f"tensorflow-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{info}/{name}", text)
        record = "".join(f"{info}/{name},,\n" for name in (*files, "RECORD"))
        archive.writestr(f"{info}/RECORD", record)
    return wheel


def _install(made: build.Installation, wheel: Path | None) -> None:
    if wheel is not None:
        command = [made.python, "-m", "pip", "--isolated", "install", "--quiet", "--no-index"]
        done = subprocess.run([*command, wheel], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def user(with_runtimes: build.Installation, origin: Origin, tmp_path: Path) -> CM:
    """Return a user of the environment with an empty cache."""
    template = with_runtimes.prefix.with_name("CM")
    return CM(with_runtimes, tmp_path / "home", tmp_path / "CM", origin, template)


@pytest.fixture(scope="session")
def dummy(
    with_runtimes: build.Installation, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Result]:
    """Return a function that asks for ``_dummy-weights`` and other variations, once each."""
    home = tmp_path_factory.mktemp("dummies")
    template = with_runtimes.prefix.with_name("CM")
    offline = CM(with_runtimes, home / "home", home / "CM", None, template)

    @cache
    def deliver(*names: str) -> Result:
        result = offline.get(*names, "dummy-weights")
        assert result.ok, result.text
        return result

    return deliver
