"""The project as users get it: a wheel built from the tree, in virtual environments.

`build_wheel` builds from a copy of the tree that holds what git would take, so nothing that
lies about can slip in. `install` makes a virtual environment in a second or two and without
a network: the packages that the wheel *declares*, and what those need, are linked from the
environment that runs the tests, and nothing else is; ``cmind`` and ``cmx4mlops`` are real
copies, so that a test may alter them. An undeclared dependency is therefore missed here as
it is missed by users.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SCRIPT = "repo/script/get-ml-model-resnet50"
"""Where the CM script lies, in our package and in ``cmx4mlops``."""

_COPIED = ("cmind", "cmx4mlops")
TOOLS = ("mlcflow", "pip")
"""What a user's environment has beside the declared dependencies. MLC is the other engine."""
MEASURED = "COVERAGE_PROCESS_CONFIG"
"""Set by coverage for the processes that it is to measure too."""
_MEASURE = f"""import os; {MEASURED!r} in os.environ and __import__("coverage").process_startup()
"""

_LAUNCHER = """#!{python}
import sys
import sysconfig
from {module} import {name}
sys.exit({attribute}())
"""


@dataclass(frozen=True)
class Installation:
    """A virtual environment that holds CM; `package` is the one whose script answers in it."""

    prefix: Path
    package: str

    @property
    def bin(self) -> Path:
        """The folder of ``cm``, ``cmr`` and ``python``."""
        return self.prefix / "bin"

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.bin / "python"

    @property
    def site_packages(self) -> Path:
        """The folder of the packages."""
        return _site_packages(self.prefix)

    @property
    def script(self) -> Path:
        """The folder of the CM script ``get-ml-model-resnet50``."""
        return self.site_packages / self.package / SCRIPT


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of the tree at `source` and return its path inside `folder`.

    Raises
    ------
    RuntimeError
        If the build fails, with its output.
    """
    copy = folder / "source"
    copy_tree(source, copy)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    _run(command, cwd=copy)
    (wheel,) = folder.glob("*.whl")
    return wheel


def copy_tree(source: Path, target: Path) -> None:
    """Copy what git tracks or would track; without git, all but hidden folders and caches."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        ignored = shutil.ignore_patterns(".*", "__pycache__", "dist", "build", "*.egg-info")
        shutil.copytree(source, target, symlinks=True, ignore=ignored)
        return
    for name in filter(None, os.fsdecode(listing.stdout).split("\0")):
        origin, copy = source / name, target / name
        if origin.is_symlink() or origin.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, copy, follow_symlinks=False)


def install(
    prefix: Path,
    wheel: Path | None,
    tools: Sequence[str] = TOOLS,
    *,
    only_needed: bool = False,
) -> Installation:
    """Make an environment at `prefix`: ours with `wheel`, or upstream's with ``cmx4mlops`` only.

    `tools` are packages that the user has besides. With `only_needed` the environment has what
    the wheel needs, and not the wheel.

    Raises
    ------
    RuntimeError
        If a declared dependency is missing in the environment that runs the tests.
    """
    venv.EnvBuilder(symlinks=True).create(prefix)
    # The old script's engine would install gdown by itself, and cannot without a network.
    wanted = ["cmx4mlops", "gdown"] if wheel is None else _requirements(wheel)
    site = _site_packages(prefix)
    for distribution in _closure([*wanted, *tools]):
        _link(distribution, site)
        _write_launchers(distribution, prefix / "bin")
    if wheel is None:
        return Installation(prefix, "cmx4mlops")
    if not only_needed:
        pip = (prefix / "bin/python", "-m", "pip", "--isolated", "--disable-pip-version-check")
        _run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel])
    made = Installation(prefix, "cmx_resnet50")
    if MEASURED in os.environ:
        link(made, "coverage")
        (site / "coverage.pth").write_text(_MEASURE)
    return made


def write_metas_as_json(made: Installation) -> None:
    """Rewrite each meta of ``cmx4mlops`` that JSON can hold, but that of the old script.

    The engine reads both, and takes two seconds for an index where they are in YAML. That is for
    tests alone: what is measured has the metas that users have.
    """
    loader = getattr(yaml, "CFullLoader", yaml.FullLoader)
    package = made.site_packages / "cmx4mlops"
    for path in package.glob("repo/script/*/_cm.yaml"):
        meta = yaml.load(path.read_text(encoding="utf-8"), loader)
        text = json.dumps(meta)
        if path.parent != package / SCRIPT and json.loads(text) == meta:
            path.with_suffix(".json").write_text(text, encoding="utf-8")
            path.unlink()


def link(made: Installation, *requirements: str) -> None:
    """Let an environment see further packages, and what they need and it has not got yet."""
    site = made.site_packages
    present = {canonicalize_name(found.name) for found in metadata.distributions(path=[str(site)])}
    for distribution in _closure(requirements):
        if canonicalize_name(distribution.name) not in present:
            _link(distribution, site)


def link_everything(made: Installation) -> None:
    """Let an environment see all packages of the one that runs the tests, but CM and pip."""
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        target = made.site_packages / package.name
        apart = package.name.startswith(("cm", "pip")) or package.suffix == ".pth"
        if not apart and not target.exists():
            target.symlink_to(package)


def _site_packages(prefix: Path) -> Path:
    return prefix / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(name).decode())
    return fields.get_all("Requires-Dist", [])


def _closure(requirements: Iterable[str]) -> list[metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            distribution = found.setdefault(name, metadata.distribution(name))
        except metadata.PackageNotFoundError as error:
            message = f"{requirement} is declared and not installed in {sys.prefix}"
            raise RuntimeError(message) from error
        for part in ("", *requirement.extras):
            if (name, part) not in seen:
                seen.add((name, part))
                todo += [(Requirement(text), part) for text in distribution.requires or ()]
    return list(found.values())


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Link each package of `distribution`; a folder that several may share is made anew."""
    root = Path(str(distribution.locate_file("")))
    for file in distribution.files or ():
        parts = file.parts
        if parts[0] in ("..", "__pycache__") or parts[0].endswith(".pth"):
            continue
        depth = 1
        while len(parts) > depth and not _own(root.joinpath(*parts[:depth])):
            depth += 1
        origin, target = root.joinpath(*parts[:depth]), site.joinpath(*parts[:depth])
        if target.exists() or not origin.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if parts[0] in _COPIED:
            shutil.copytree(origin, target)
        else:
            target.symlink_to(origin)


def _own(folder: Path) -> bool:
    return (folder / "__init__.py").exists() or folder.suffix in (".dist-info", ".libs")


def _write_launchers(distribution: metadata.Distribution, folder: Path) -> None:
    for entry in distribution.entry_points.select(group="console_scripts"):
        launcher = folder / entry.name
        launcher.write_text(
            _LAUNCHER.format(
                python=folder / "python",
                module=entry.module,
                name=entry.attr.partition(".")[0],
                attribute=entry.attr,
            )
        )
        launcher.chmod(0o755)


def _run(command: Sequence[str | Path], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed:\n{done.stdout}{done.stderr}")
