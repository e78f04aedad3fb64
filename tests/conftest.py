"""Fixtures for tests that run the real engine. Nothing here costs a test that asks for none.

``ours``, ``upstream``
    Two installations, made once a run (also under ``pytest -n``): the built wheel with its
    declared dependencies, and ``cmx4mlops`` alone. Both expect the files of ``served``.
``served``
    Small files of the true formats, by artifact name.
``origin``
    A fresh local internet, which answers for every artifact at all its public addresses.
``full_size``
    The same with files of about 102 MB, one a framework; half a gigabyte on disk.
``mlc``
    A fresh user of ``ours`` under MLC, behind ``origin``.
``engine``
    A fresh user of ``ours`` under CM, and in a test of its own under MLC; ``new_engine`` makes
    more of them. Keys are given and read with CM's prefix. What of its cases runs under MLC in
    ``make test-mlc``, a test says with the mark ``under_mlc``.
``with_tools``
    The same, where the engine's downloader is there, with its tools: under MLC it is a script of
    another repository.
``cm``, ``old_cm``
    A fresh user of ``ours`` and of ``upstream``, each with a home and a cache, behind
    ``origin``. ``new_cm`` makes more of them.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests.harness import artifacts, build, mlc_downloader, models
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

# Its deadline and its check for slow generation measure time; the examples of a test may share
# its folder.
settings.register_profile(
    "tests",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


def pytest_xdist_auto_num_workers() -> int:
    """Run two workers more than there are processors: tests wait for a quarter of their time."""
    return (os.cpu_count() or 1) + 2


@dataclass(frozen=True)
class Stage:
    """A folder in which something was made once for all workers of a run."""

    folder: Path

    @classmethod
    def once(cls, base: Path, name: str, make: Callable[[Path], None]) -> Stage:
        """Call `make` on a new folder if no worker of this run has, and wait for one that does."""
        folder = base / name
        with FileLock(f"{folder}.lock"):
            if not (folder / "done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (folder / "done").touch()
        return cls(folder)


@pytest.fixture(autouse=True)
def _unmeasured(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of the processes of a test that is marked so."""
    if request.node.get_closest_marker("unmeasured"):
        monkeypatch.delenv(build.MEASURED, raising=False)


@pytest.fixture(scope="session")
def _shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


@pytest.fixture(scope="session")
def _stage(_shared: Path) -> Path:
    return Stage.once(_shared, "stage", _build).folder


def _build(stage: Path) -> None:
    served = models.write_all(stage / "served")
    wheel = build.build_wheel(ROOT, stage / "wheel")
    for name, package in (("ours", wheel), ("upstream", None)):
        _install(stage / name, package, served)


def _install(
    prefix: Path,
    package: Path | None,
    served: dict[str, Path],
    tools: Sequence[str] = build.TOOLS,
) -> None:
    made = build.install(prefix, package, tools)
    build.write_metas_as_json(made)
    artifacts.patch(made, served)
    done = CM(made, prefix.with_name(f"{prefix.name}-home"), _indexed(made)).run("reindex", "repo")
    assert done.ok, done.text


def _indexed(installation: build.Installation) -> Path:
    """Return the CM_REPOS that holds an index of `installation` and nothing else."""
    return installation.prefix.with_name(f"{installation.prefix.name}-repos")


@pytest.fixture(scope="session")
def wheel(_stage: Path) -> Path:
    """Return the wheel of the project, built once a run."""
    (found,) = (_stage / "wheel").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def ours(_stage: Path) -> build.Installation:
    """Return the environment of the wheel. Shared by all tests: not to be altered."""
    return build.Installation(_stage / "ours", "cmx_resnet50")


@pytest.fixture(scope="session")
def upstream(_stage: Path) -> build.Installation:
    """Return the environment of the old script alone. Shared by all tests: not to be altered."""
    return build.Installation(_stage / "upstream", "cmx4mlops")


@pytest.fixture(scope="session")
def served(_stage: Path) -> dict[str, Path]:
    """Return the served files by artifact name."""
    return models.paths(_stage / "served")


@dataclass(frozen=True)
class FullSize:
    """An installation of ours that expects files of the true size, and those files."""

    ours: build.Installation
    served: dict[str, Path]


FULL_SIZE = ("onnx-opset-11", "tensorflow", "pytorch-fp32", "tflite-no-argmax", "ncnn")


@pytest.fixture(scope="session")
def full_size(_shared: Path, wheel: Path, served: dict[str, Path]) -> FullSize:
    """Return one file of about 102 MB for each framework, and an environment for them.

    The others, and ncnn's ``.param``, which belongs to its ``.bin``, come along.
    """

    def make(folder: Path) -> None:
        for name in (*FULL_SIZE, "ncnn-param"):
            path = models.paths(folder)[name]
            path.parent.mkdir()
            models.write(name, path, width=models.TRUE_WIDTH)
        _install(folder / "ours", wheel, whole(folder))

    def whole(folder: Path) -> dict[str, Path]:
        large = models.paths(folder)
        return served | {name: large[name] for name in (*FULL_SIZE, "ncnn-param")}

    folder = Stage.once(_shared, "full-size", make).folder
    return FullSize(build.Installation(folder / "ours", "cmx_resnet50"), whole(folder))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the certificate authority of this worker."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def empty_origin(authority: Authority) -> Iterator[Origin]:
    """Return a local internet with nothing in it."""
    with Origin(authority) as running:
        yield running


@pytest.fixture
def origin(empty_origin: Origin, served: dict[str, Path]) -> Origin:
    """Return a local internet that answers for every artifact at all its addresses."""
    models.publish(empty_origin, served)
    return empty_origin


@pytest.fixture
def new_cm(
    tmp_path: Path,
    ours: build.Installation,
    origin: Origin,
) -> Callable[..., CM]:
    """Return a maker of users: ``new_cm("anna")``, ``new_cm("old", upstream)``.

    With ``fresh=True`` CM was never started before, and makes its index on the first run.
    """

    def make(name: str, installation: build.Installation = ours, fresh: bool = False) -> CM:
        template = None if fresh else _indexed(installation)
        return CM(installation, tmp_path / name / "home", tmp_path / name / "CM", origin, template)

    return make


@pytest.fixture
def cm(new_cm: Callable[..., CM]) -> CM:
    """Return a user of ours with an empty cache."""
    return new_cm("user")


@pytest.fixture(params=["cm", "mlc"])
def new_engine(
    request: pytest.FixtureRequest, tmp_path: Path, ours: build.Installation, origin: Origin
) -> Callable[..., CM]:
    """Return a maker of users of one engine; see ``new_cm``."""
    if request.param == "cm":
        made: Callable[..., CM] = request.getfixturevalue("new_cm")
        return made
    template: Path = request.getfixturevalue("_mlc_repos")

    def make(name: str, installation: build.Installation = ours, fresh: bool = False) -> CM:
        folder = tmp_path / name
        new = fresh or installation is not ours
        user = MLC(installation, folder / "home", folder / "MLC", origin, None if new else template)
        if new:
            done = user.command("cmx-resnet50", "mlc", "add")
            assert done.ok, done.text
        return user

    return make


@pytest.fixture
def engine(new_engine: Callable[..., CM]) -> CM:
    """Return a user of ours with an empty cache, of each engine in turn."""
    return new_engine("user")


@pytest.fixture
def with_tools(
    new_engine: Callable[..., CM], _shared: Path, ours: build.Installation, authority: Authority
) -> CM:
    """Return a user of ours whose engine has its downloader, and whose wget trusts `origin`."""
    user = new_engine("user")
    # wget takes a CA from its own settings only.
    (user.home / ".wgetrc").write_text(f"ca_certificate = {authority.bundle}\n")
    if isinstance(user, MLC):
        made = Stage.once(_shared, "downloader", lambda at: mlc_downloader.write(at, ours))
        done = user.command("mlc", "add", "repo", str(made.folder))
        assert done.ok, done.text
    return user


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark cases under MLC, and leave to the full run those that ``under_mlc`` does not name."""
    for item in items:
        if item.path.parent.name == "mlc":
            item.add_marker(pytest.mark.mlc)
        params = getattr(item, "callspec", None)
        if params is None or params.params.get("new_engine") != "mlc":
            continue
        item.add_marker(pytest.mark.mlc)
        mark = item.get_closest_marker("under_mlc")
        if mark is not None and not any(name in params.id for name in mark.args):
            item.add_marker(pytest.mark.full)


@pytest.fixture
def mlc(tmp_path: Path, _mlc_repos: Path, ours: build.Installation, origin: Origin) -> MLC:
    """Return a user of MLC with an empty cache, who registered our script."""
    user = tmp_path / "mlc-user"
    return MLC(ours, user / "home", user / "MLC", origin, _mlc_repos)


@pytest.fixture(scope="session")
def _mlc_repos(_shared: Path, ours: build.Installation) -> Path:
    """Return an MLC_REPOS that knows our script, and has an index of it."""

    def make(folder: Path) -> None:
        made = MLC(ours, folder / "home", folder / "MLC")
        done = made.command("cmx-resnet50", "mlc", "add")
        assert done.ok, done.text

    return Stage.once(_shared, "mlc", make).folder / "MLC"


@pytest.fixture
def old_cm(new_cm: Callable[..., CM], upstream: build.Installation) -> CM:
    """Return a user of the old script with an empty cache."""
    return new_cm("old-user", upstream)
