"""Users who run the scripts that depend on ours, with made-up data in place of ImageNet.

``data``
    Pictures and labels, see `tests.callers.data`.
``packages``
    A folder of wheels: the only place that pip installs from while a caller runs.
``real``
    An environment of plain copies with the project's wheel, which the engine's pip may alter;
    nothing in it is linked to the environment that runs the tests.
``caller``
    A fresh user of ``real``, behind ``origin``, who has given CM the data.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.callers.data import Data, write
from tests.conftest import Stage
from tests.harness import artifacts, build
from tests.harness.cm import CM
from tests.harness.origin import Origin

# What pip is asked for while app-image-classification-onnx-py and app-loadgen-generic-python run.
ENGINE_INSTALLS = [
    "Pillow",
    "numpy<=1.99.99",
    "opencv-python",
    "onnxruntime",
    "onnx",
    "psutil",
    "pip",
    "wheel",
    "pybind11",
    "setuptools",
    "mlcommons-loadgen",
]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return the made-up data of this worker."""
    return write(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture(scope="session")
def packages(_shared: Path, wheel: Path) -> Path:
    """Return the folder of wheels, filled once a run from the package index in use here."""

    def make(folder: Path) -> None:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
        # One call each: two of them want different versions of NumPy.
        for wanted in (str(wheel), *ENGINE_INSTALLS):
            _run([*download, "--prefer-binary", wanted])

    return Stage.once(_shared, "packages", make).folder


@pytest.fixture(scope="session")
def real(_shared: Path, wheel: Path, packages: Path, served: dict[str, Path]) -> build.Installation:
    """Return the environment."""

    def make(folder: Path) -> None:
        venv.EnvBuilder(with_pip=True).create(folder / "user")
        made = build.Installation(folder / "user", "cmx_resnet50")
        pip = [str(made.python), "-m", "pip", "--isolated", "install", "--quiet", "--no-index"]
        _run([*pip, "--find-links", str(packages), str(wheel)])
        artifacts.patch(made, served)
        done = CM(made, folder / "home", folder / "CM").run("reindex", "repo")
        assert done.ok, done.text

    folder = Stage.once(_shared, "real", make).folder
    return build.Installation(folder / "user", "cmx_resnet50")


@pytest.fixture
def caller(
    real: build.Installation, packages: Path, data: Data, origin: Origin, tmp_path: Path
) -> CM:
    """Return the user. No run of theirs reaches an index: pip has the folder alone."""
    template = real.prefix.with_name("CM")
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_CONFIG_FILE": "/dev/null"}
    cm = CM(real, tmp_path / "home", tmp_path / "CM", origin, template, pip)
    give_data(cm, data)
    return cm


def give_data(cm: CM, data: Data) -> None:
    """Register pictures and labels in CM's cache, as the page tells a reader to.

    The entry of the pictures carries the variation that the callers ask for.
    """
    pictures = "get,dataset,imagenet,image-classification,original,_run-during-docker-build,_size.4"
    labels = "get,dataset-aux,imagenet-aux,image-classification"
    for line in (
        [f"--tags={pictures}", f"--imagenet_path={data.pictures}"],
        [
            f"--tags={labels}",
            f"--env.CM_DOWNLOAD_LOCAL_FILE_PATH={data.aux}",
            "--const.CM_DOWNLOAD_CHECKSUM=",
            "--const.CM_DOWNLOAD_CHECKSUM1=",
        ],
    ):
        done = cm.run("run", "script", "--quiet", *line)
        assert done.ok, done.text


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
