"""A shared folder: machines with networks, mounts, names and processes of their own.

One bind mount stands for the export: this proves our part, locks and names on one file system
that several hosts see. It says nothing about an NFS server's own locks.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.harness import models
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM
from tests.harness.faults import Trickle
from tests.harness.origin import Origin
from tests.site.conftest import LARGE
from tests.site.network import MOUNTED, Host, Network, environment

pytestmark = pytest.mark.site

URL = ARTIFACTS[LARGE].url
GET = "cmx-resnet50 get _onnx"
IN_STORE = {"CM_RESNET50_STORE": f"{MOUNTED}/store"}
NAMES = ("north", "south", "east")


@pytest.fixture
def networks(
    tmp_path: Path, empty_origin: Origin, served_here: dict[str, Path]
) -> Iterator[dict[str, Network]]:
    """Return a network for each machine, all with the same internet."""
    models.publish(empty_origin, served_here)
    with ExitStack() as stack:
        yield {name: stack.enter_context(Network(tmp_path, empty_origin)) for name in NAMES}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


@pytest.fixture
def hosts(networks: dict[str, Network], export: Path) -> dict[str, Host]:
    """Return machines that may write the shared folder."""
    return {name: network.host(name, export) for name, network in networks.items()}


@pytest.fixture
def readers(networks: dict[str, Network], export: Path) -> dict[str, Host]:
    """Return the same machines with the folder mounted read-only."""
    return {name: network.host(name, export, read_only=True) for name, network in networks.items()}


def run(host: Host, node: CM, script: str, **more: str) -> tuple[int, str]:
    done = host.run(script, env=environment(node, **more), cwd=node.cwd)
    return done.returncode, done.stderr


def objects(export: Path) -> list[Path]:
    return list((export / "store").glob("objects/*/*/data"))


def test_machines_that_ask_at_once_fetch_once(
    hosts: dict[str, Host],
    export: Path,
    empty_origin: Origin,
    new_node: Callable[[str], CM],
    served_here: dict[str, Path],
) -> None:
    size = served_here[LARGE].stat().st_size
    empty_origin.fail(URL, Trickle(8_000_000))
    env = IN_STORE | {"CM_RESNET50_CONNECTIONS": "1"}
    with ExitStack() as stack:
        first = stack.enter_context(start(hosts, "north", new_node, env))
        empty_origin.wait(lambda: empty_origin.bytes_sent() > 4_000_000)
        others = [stack.enter_context(start(hosts, name, new_node, env)) for name in NAMES[1:]]
        said = [process.communicate(timeout=60) for process in (first, *others)]
    for process, (out, err) in zip((first, *others), said, strict=True):
        assert process.returncode == 0, out + err
        assert f"{MOUNTED}/store/" in out
    for _, err in said[1:]:
        assert "on north, which prepares resnet50_v1.onnx" in err
    assert size <= empty_origin.bytes_sent() <= size + 100_000
    (stored,) = objects(export)
    assert stored.read_bytes() == served_here[LARGE].read_bytes()


def start(
    hosts: dict[str, Host], name: str, new_node: Callable[[str], CM], env: dict[str, str]
) -> AbstractContextManager[subprocess.Popen[str]]:
    node = new_node(name)
    return hosts[name].start(f"exec {GET}", env=environment(node, **env), cwd=node.cwd)


def test_a_machine_goes_down_and_another_goes_on(
    hosts: dict[str, Host],
    empty_origin: Origin,
    new_node: Callable[[str], CM],
    served_here: dict[str, Path],
) -> None:
    size = served_here[LARGE].stat().st_size
    empty_origin.fail(URL, Trickle(1_500_000))
    env = IN_STORE | {"CM_RESNET50_CONNECTIONS": "1"}
    with start(hosts, "north", new_node, env) as first:
        empty_origin.wait(lambda: empty_origin.bytes_sent() > 5_000_000)
        with start(hosts, "south", new_node, env) as second:
            assert second.stderr is not None
            waiting = second.stderr.readline()
            empty_origin.heal()
            first.send_signal(signal.SIGKILL)
            _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert " on north, " in waiting
    assert "resumed at" in err
    assert empty_origin.bytes_sent() < size + 4_000_000


def test_one_writes_and_the_others_read(
    hosts: dict[str, Host],
    readers: dict[str, Host],
    empty_origin: Origin,
    new_node: Callable[[str], CM],
) -> None:
    north, south = new_node("north"), new_node("south")
    code, err = run(readers["south"], south, f"{GET} --to out", **IN_STORE)
    assert code == 6
    assert f"The store {MOUNTED}/store cannot be written" in err
    assert "cmx-resnet50 prefetch" in err
    assert "Traceback" not in err
    # The mount of the reader is an old one when the writer begins.
    waiting = f"for _ in $(seq 600); do {GET} --to out 2>/dev/null && exit; sleep 0.1; done; exit 1"
    with readers["south"].start(
        waiting, env=environment(south, **IN_STORE), cwd=south.cwd
    ) as process:
        code, err = run(hosts["north"], north, "cmx-resnet50 prefetch _onnx", **IN_STORE)
        assert code == 0, err
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    empty_origin.clear_log()
    code, err = run(readers["east"], new_node("east"), f"{GET} --to out", **IN_STORE)
    assert code == 0, err
    assert not empty_origin.requests


def test_what_a_reader_finds_damaged_it_says(
    hosts: dict[str, Host], readers: dict[str, Host], export: Path, new_node: Callable[[str], CM]
) -> None:
    """It can neither use nor mend it; the writer can."""
    north = new_node("north")
    code, err = run(hosts["north"], north, GET, **IN_STORE)
    assert code == 0, err
    (stored,) = objects(export)
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1])
    code, err = run(readers["south"], new_node("south"), f"{GET} --to out", **IN_STORE)
    assert code == 6
    assert f"{MOUNTED}/store" in err
    code, err = run(hosts["north"], north, GET, **IN_STORE)
    assert code == 0, err
    code, err = run(readers["south"], new_node("south"), f"{GET} --to out", **IN_STORE)
    assert code == 0, err


def test_a_mirror_on_the_shared_folder(
    hosts: dict[str, Host],
    readers: dict[str, Host],
    empty_origin: Origin,
    new_node: Callable[[str], CM],
    served_here: dict[str, Path],
) -> None:
    """Each machine has a store of its own, and copies; no lock is shared."""
    north, south = new_node("north"), new_node("south")
    export = f"cmx-resnet50 bundle export {MOUNTED}/mirror _onnx _pytorch"
    code, err = run(hosts["north"], north, export)
    assert code == 0, err
    empty_origin.clear_log()
    mirror = {"CM_RESNET50_MIRROR": f"file://{MOUNTED}/mirror", "CM_RESNET50_OFFLINE": "yes"}
    for name in ("onnx", "pytorch"):
        code, err = run(readers["south"], south, f"cmx-resnet50 get _{name} --to out", **mirror)
        assert code == 0, err
    assert not empty_origin.requests
    got = south.cwd / "out" / served_here[LARGE].name
    assert got.read_bytes() == served_here[LARGE].read_bytes()
