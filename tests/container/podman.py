"""`Podman`: a container engine for one run of the tests, with ``docker`` on PATH.

`install` brings podman from Debian's packages, `rootfs` makes a small Debian with debootstrap
(kept between runs), `Podman` joins them with a configuration, a storage and a ``bin`` folder of
its own: what else podman holds on this machine is neither seen nor touched.

Every setting below is needed where a container starts inside a sandbox: no cgroup may be made,
limits must not be raised, and crun takes a hybrid cgroup tree for a pure one.

A container has no network, and neither has a build, but where a command asks for one: what
reaches a server does so by the flags that the page names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGES = ("podman", "buildah", "crun", "debootstrap")
PROGRAMS = ("podman", "crun", "debootstrap")
_PATH = "/usr/bin:/usr/sbin"
"""Where Debian's packages put them."""
_IN_BASE = "binutils,ca-certificates,git,python3,python3-pip,python3-venv,sudo,tzdata,wget"
"""What the engine wants of an image, and ``ld`` (binutils), which CM needs to detect the system."""
_REVISION = 1
"""Raised when `rootfs` makes something else, so that an old cached one is not taken."""
CACHE = "CMX_RESNET50_TEST_CACHE"
"""Names the folder that is kept between runs."""

_MEMORY = 6
"""GiB of memory that hold the images of one run, with room to spare."""

_COMMAND = """#!/bin/sh
[ "$1" != build ] || {{ shift; set -- build --network=none "$@"; }}
exec {podman} "$@"
"""
"""Called ``podman``, and ``docker`` as by Debian's podman-docker, for which apt would remove the
real docker."""
_CRUN = """#!/bin/sh
exec unshare -m sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec {crun} "$@"' crun "$@"
"""
_CONTAINERS = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
cgroups = "disabled"
netns = "none"
[engine]
runtime = "crun"
cgroup_manager = "cgroupfs"
events_logger = "file"
[engine.runtimes]
crun = ["{folder}/crun"]
"""
_STORAGE = """[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


class Unavailable(Exception):
    """No container can be run here; the text says why, in one line."""


def cache_folder() -> Path:
    """Return the folder that is kept between runs; it need not exist."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "cmx-resnet50-tests"


def install() -> None:
    """Install podman and debootstrap if they are missing.

    Raises
    ------
    Unavailable
        If this is not root, or Debian's packages cannot be installed.
    """
    if os.geteuid() != 0:
        raise Unavailable(f"containers: this is not root (uid {os.geteuid()})")
    if _missing():
        if shutil.which("apt-get") is None:
            raise Unavailable(f"containers: no {', '.join(_missing())}, and no apt-get to install")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run("apt-get", "update", "-qq")
        _run(
            "apt-get", "install", "-qq", "--yes", "--no-remove", "--no-install-recommends",
            *PACKAGES, env=environment,
        )  # fmt: skip
    if _missing():
        raise Unavailable(f"containers: apt-get brought no {', '.join(_missing())}")


def rootfs(folder: Path, work: Path) -> Path:
    """Return a tar file with this machine's release of Debian, made in `folder` if not there.

    `work` is a folder for what lies about while it is made. No package list and no source
    stays in the file: what is built on it cannot install a package.

    Raises
    ------
    Unavailable
        If debootstrap fails.
    """
    release = _release()
    kept = folder / f"rootfs-{release}-{os.uname().machine}-{_REVISION}.tar"
    if kept.exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    made, packed = work / "rootfs", folder / f"new-{os.getpid()}.tar"
    try:
        _run(
            "debootstrap", "--variant=minbase", f"--include={_IN_BASE}", release, str(made),
            _mirror(release),
        )  # fmt: skip
        for path in ("etc/apt/sources.list", "var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(made / path) if (made / path).is_dir() else (made / path).unlink()
        for path in ("usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(made / path, ignore_errors=True)
        _run("tar", "--numeric-owner", "-C", str(made), "-cf", str(packed), ".")
        packed.replace(kept)
    finally:
        shutil.rmtree(made, ignore_errors=True)
        packed.unlink(missing_ok=True)
    return kept


class Podman:
    """A container engine with images, volumes and configuration of its own, in a new folder.

    The folder lies in memory where there is enough: an image is thousands of small files, and
    on a busy disk a run took three times as long. `bin` holds ``docker`` and ``podman``;
    `variables` select the engine.
    """

    def __init__(self) -> None:
        self.folder = folder = Path(tempfile.mkdtemp(prefix="cmx-podman-"))
        if _free_memory() > 2 * _MEMORY << 30:
            options = f"size={_MEMORY}g,mode=700"
            _try("mount", "-t", "tmpfs", "-o", options, "cmx-podman", str(folder))
        self.bin = folder / "bin"
        self.bin.mkdir()
        programs = {name: shutil.which(name, path=_PATH) for name in PROGRAMS}
        for path, text in (
            (self.bin / "docker", _COMMAND),
            (self.bin / "podman", _COMMAND),
            (folder / "crun", _CRUN),
        ):
            path.write_text(text.format_map(programs))
            path.chmod(0o755)
        (folder / "containers.conf").write_text(_CONTAINERS.format(folder=folder))
        (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
        self.variables = {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }

    def __call__(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run ``podman`` and return its output.

        Raises
        ------
        Unavailable
            If it fails.
        """
        return _run("podman", *arguments, cwd=cwd, env={**os.environ, **self.variables})

    def import_base(self, tar: Path, name: str) -> None:
        """Make an image of a root file system, and run a container of it once.

        Raises
        ------
        Unavailable
            If this machine cannot do that.
        """
        self("import", "--quiet", str(tar), name)
        self("run", "--rm", name, "true")

    def close(self) -> None:
        """Remove all containers and images, and the folder."""
        _try("podman", "rm", "--all", "--force", env={**os.environ, **self.variables})
        _try("umount", str(self.folder / "graph" / "overlay"))
        _try("umount", str(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)


def _missing() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


def _release() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    raise Unavailable("containers: /etc/os-release names no release for debootstrap")


def _mirror(release: str) -> str:
    """Return the mirror that this machine's apt uses for `release`."""
    command = (
        "apt-get", "indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    )  # fmt: skip
    listing = _run(*command)
    if not listing:  # An image of Debian holds no lists, and without them apt names nothing.
        _run("apt-get", "update", "-qq")
        listing = _run(*command)
    for line in listing.splitlines():
        codename, component, address = line.split(" ", 2)
        if (codename, component) == (release, "main"):
            return address
    raise Unavailable(f"containers: apt knows no mirror for {release}")


def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Unavailable(f"containers: {_shown(command)} failed: {_last_line(done.stderr)}")
    return done.stdout


def _try(*command: str, env: Mapping[str, str] | None = None) -> None:
    """Run a command that may fail."""
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def _free_memory() -> int:
    """Return how many bytes programs may take without swapping."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:2])


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()] or ["it says nothing"]
    said = re.sub(r'^time="[^"]*" level=\w+ msg="(.*)"$', r"\1", lines[-1].strip())
    # A mirror's address may hold a password.
    return re.sub(r"//[^/@\s]+@", "//", said)
