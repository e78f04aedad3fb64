"""A host with CM and a container engine, for the tests that build and run images.

``podman``
    The engine, with a Debian under the names of the images that we build on: nothing is
    pulled. Its pip knows a folder with all packages but ours, its apt knows no source, so that
    a build that wants anything else fails. Tests skip, in one line, where it cannot be had.
``indexed``
    A base whose pip knows nothing but an index on loopback, which has a package of our name, too.
``checkout``
    A clone of the project that expects the small files of ``served``; the folder in which a
    reader of the page works.
``host``
    A user with CM and the plugin, without a network. ``also(origin=…)`` gives one.
``image``
    What the page's first section makes.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from packaging.utils import canonicalize_name

from tests.container import podman as engine
from tests.container.page import run
from tests.container.podman import Podman
from tests.harness import artifacts, build, models
from tests.harness.cm import CM
from tests.harness.reply import Reply, Request, page, plain
from tests.harness.server import Server

ROOT = Path(__file__).resolve().parents[2]
BASES = ("ubuntu:22.04", "python:3.13-slim", "company-base:1")
"""What the engine, the Containerfile and the page name as base."""

_PACKAGES = (
    "wheel", "cmind", "requests", "giturlparse", "tabulate", "cmx4mlops", "hatchling", "hatch-vcs",
)  # fmt: skip
"""What the engine installs into every image, CM's scripts, and what builds our wheel."""
_BASE = """FROM rootfs
COPY wheels /packages
COPY pip.conf /etc/pip.conf
"""
_PIP = """[global]
no-index = true
find-links = /packages
"""


class NoEngine(pytest.skip.Exception):
    """No container runs on this machine; the text says why."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let all tests that have no engine share one line of the summary."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, NoEngine):
        report.longrepr = (__file__, 1, str(call.excinfo.value))
    return report


@pytest.fixture(scope="session")
def bare_podman() -> Iterator[Podman]:
    """Return the engine with a bare Debian as image ``rootfs``."""
    try:
        engine.install()
    except engine.Unavailable as reason:
        raise NoEngine(str(reason)) from None
    podman = Podman()
    try:
        base = engine.rootfs(engine.cache_folder(), podman.folder)
        podman.import_base(base, "localhost/rootfs")
        yield podman
    except engine.Unavailable as reason:
        raise NoEngine(str(reason)) from None
    finally:
        podman.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the served files, without the environments that all other tests share."""
    return models.write_all(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, served: dict[str, Path]) -> Path:
    """Return a clone in which each file's digest is that of the small one that is served."""
    folder = tmp_path_factory.mktemp("container") / "checkout"
    build.copy_tree(ROOT, folder)
    artifacts.patch(_Clone(folder, "cmx_resnet50"), served)
    return folder


class _Clone(build.Installation):
    """A clone in the eyes of `artifacts.patch`: its script lies at the top."""

    @property
    def script(self) -> Path:
        return self.prefix


@pytest.fixture(scope="session")
def installation(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> build.Installation:
    """Return the host's environment, with the wheel of the clone."""
    folder = tmp_path_factory.mktemp("host")
    return build.install(folder / "venv", build.build_wheel(checkout, folder))


@pytest.fixture(scope="session")
def wheels(
    bare_podman: Podman,
    installation: build.Installation,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a folder with all packages that an image needs, but not ours.

    They come through pip as this machine has it set up.
    """
    folder = tmp_path_factory.mktemp("packages") / "wheels"
    version = bare_podman(
        "run", "--rm", "localhost/rootfs", "python3", "-c",
        "import sys; print('%d.%d' % sys.version_info[:2])",
    ).strip()  # fmt: skip
    (ours,) = installation.prefix.parent.glob("*.whl")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder,
         "--only-binary=:all:", f"--python-version={version}", str(ours), *_PACKAGES],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )  # fmt: skip
    # Not its output: an index's address may hold a password.
    assert done.returncode == 0, "pip download of the packages that an image needs failed"
    (folder / ours.name).unlink()
    return folder


@pytest.fixture(scope="session")
def podman(bare_podman: Podman, wheels: Path) -> Podman:
    """Return the engine, ready to build."""
    context = wheels.parent
    (context / "Containerfile").write_text(_BASE)
    (context / "pip.conf").write_text(_PIP)
    tags = [f"--tag=localhost/{name}" for name in BASES]
    bare_podman("build", "--quiet", *tags, str(context))
    return bare_podman


@pytest.fixture
def indexed(
    podman: Podman, wheels: Path, installation: build.Installation, tmp_path: Path
) -> Iterator[tuple[str, Server]]:
    """Return the name of a base, and its index, which is served as long as the test runs."""
    for wheel in (*wheels.iterdir(), *installation.prefix.parent.glob("*.whl")):
        project = tmp_path / "index" / canonicalize_name(wheel.name.partition("-")[0])
        project.mkdir(parents=True, exist_ok=True)
        (project / wheel.name).symlink_to(wheel)
    with Server(index_of(tmp_path / "index")) as server:
        context = tmp_path / "base"
        context.mkdir()
        (context / "pip.conf").write_text(f"[global]\nindex-url = {server.at('/')}\n")
        (context / "Containerfile").write_text("FROM rootfs\nCOPY pip.conf /etc/pip.conf\n")
        podman("build", "--quiet", "--tag=localhost/company-base:indexed", str(context))
        yield "company-base:indexed", server


def index_of(folder: Path) -> Callable[[Request], Reply]:
    """Serve a folder as a package index: a folder in it is a page of links to its files."""

    def answer(request: Request) -> Reply:
        path = folder / unquote(request.path).strip("/")
        if path.is_file():
            return plain(200, path.read_bytes())
        if not path.is_dir():
            return page(404)
        return page(200, "".join(f'<a href="{quote(p.name)}">{p.name}</a>' for p in path.iterdir()))

    return answer


@pytest.fixture(scope="session")
def host(
    podman: Podman,
    installation: build.Installation,
    wheels: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> CM:
    """Return the user; the cache that later users start from is this one's."""
    folder = tmp_path_factory.mktemp("user")
    path = [installation.bin, podman.bin, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    variables = {
        **podman.variables,
        # The engine asks `id` who that is.
        "USER": pwd.getpwuid(os.geteuid()).pw_name,
        "PATH": ":".join(map(str, path)),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    return CM(installation, folder / "home", folder / "CM", variables=variables)


@pytest.fixture(scope="session")
def image(host: CM, checkout: Path) -> None:
    """Build the image as the page says."""
    run(host, checkout, "Build and run")
