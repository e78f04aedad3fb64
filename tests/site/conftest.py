"""Fixtures of a site.

``served_here``
    ``served``, but the ONNX file has about 26 MB: more than one slice of the caching proxy.
``network``
    A network whose internet has these files; its origin is ``empty_origin``.
``new_node``
    A maker of machines' users, each with a home, a CM_REPOS and so a store of its own.
``open_folder``
    A folder that also nginx's workers may enter, who are nobody.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Stage
from tests.harness import artifacts, build, models
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.site.network import Network

LARGE = "onnx-opset-11"
_WIDTH = 32


@dataclass(frozen=True)
class Site:
    """An installation that expects the files of `served`."""

    installation: build.Installation
    served: dict[str, Path]


@pytest.fixture(scope="session")
def site(_shared: Path, wheel: Path, served: dict[str, Path]) -> Site:
    """Return the files and the installation that all machines of a site have."""

    def whole(folder: Path) -> dict[str, Path]:
        return served | {LARGE: models.paths(folder)[LARGE]}

    def make(folder: Path) -> None:
        files = whole(folder)
        files[LARGE].parent.mkdir()
        models.write(LARGE, files[LARGE], width=_WIDTH)
        artifacts.patch(build.install(folder / "env", wheel), files)

    folder = Stage.once(_shared, "site", make).folder
    return Site(build.Installation(folder / "env", "cmx_resnet50"), whole(folder))


@pytest.fixture
def served_here(site: Site) -> dict[str, Path]:
    """Return the files of the internet by artifact name."""
    return site.served


@pytest.fixture
def network(
    tmp_path: Path, empty_origin: Origin, served_here: dict[str, Path]
) -> Iterator[Network]:
    """Return a network in front of `empty_origin`."""
    models.publish(empty_origin, served_here)
    with Network(tmp_path, empty_origin) as running:
        yield running


@pytest.fixture
def new_node(tmp_path: Path, site: Site) -> Callable[[str], CM]:
    """Return a maker of users; each name is a machine."""

    def make(name: str) -> CM:
        return CM(site.installation, tmp_path / name / "home", tmp_path / name / "CM")

    return make


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that anybody may enter; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="cmx-resnet50-site-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
