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
``torch_caller``
    The same with PyTorch, and the preprocessed pictures.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock

from tests.callers.data import Data, write
from tests.conftest import Stage
from tests.harness import artifacts, build
from tests.harness.cm import CM
from tests.harness.origin import Origin

# What pip is asked for while the callers run; PyTorch is linked, see `torch_caller`.
ENGINE_INSTALLS = [
    "Pillow",
    "opencv-python",
    "opencv-python-headless",
    "onnxruntime",
    "onnx",
    "psutil",
    "pip",
    "wheel",
    "pybind11",
    "setuptools",
    "mlcommons-loadgen",
]
OLD_NUMPY = "numpy<=1.99.99"


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return the made-up data of this worker."""
    return write(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture(scope="session")
def packages(_shared: Path, wheel: Path) -> Path:
    """Return the folder of wheels, filled once a run from the package index in use here."""

    def make(folder: Path) -> None:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
        # A call of its own: what else is asked for wants a newer NumPy.
        for wanted in ([str(wheel), *ENGINE_INSTALLS], [OLD_NUMPY]):
            _run([*download, "--prefer-binary", *wanted])

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
) -> Iterator[CM]:
    """Return the user. No run of theirs reaches an index: pip has the folder alone.

    One at a time, in whatever process: the engine's pip alters the environment.
    """
    template = real.prefix.with_name("CM")
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), "PIP_CONFIG_FILE": "/dev/null"}
    cm = CM(real, tmp_path / "home", tmp_path / "CM", origin, template, pip)
    with FileLock(real.prefix.with_suffix(".lock")):
        give_data(cm, data)
        yield cm


@pytest.fixture
def torch_caller(caller: CM, data: Data) -> CM:
    """Return the user."""
    for name in ("torch", "torchvision"):
        if find_spec(name) is None:
            pytest.skip(f"runs a caller that needs {name}; make test-callers installs it")
    build.link(caller.installation, "torch", "torchvision")
    # The package index has torchvision's compiled operators for CUDA only. Beside a PyTorch for
    # the CPU they do not load, and this module, which describes them, stops the import. No
    # classifier uses them.
    without = "import sys, types; n = 'torchvision._meta_registrations'"
    hook = caller.installation.site_packages / "torchvision_without_operators.pth"
    hook.write_text(f"{without}; sys.modules[n] = types.ModuleType(n)\n")
    done = caller.run(
        "run",
        "script",
        "--quiet",
        "--tags=get,dataset,imagenet,image-classification,preprocessed",
        f"--imagenet_preprocessed_path={data.preprocessed}",
        "--env.CM_IMAGENET_PREPROCESSED_FILENAME=*.npy",
    )
    assert done.ok, done.text
    return caller


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
