"""The store under several processes, kills and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.store import Store, StoreError
from tests.harness.waiting import HANGS
from tests.store.helpers import (
    DATA,
    MAKE_SLOWLY,
    finished,
    flip,
    maker,
    md5,
    never,
    put,
    python,
    until,
)

PLACE_MANY = """
    import sys
    from pathlib import Path
    from cmx_resnet50.store import Store
    store = Store(Path(sys.argv[1]))
    stored = store.find("url-a")
    print("ready", flush=True)
    for number in range(int(sys.argv[3])):
        for dest in ("own" + sys.argv[4], "shared"):
            path = Path(sys.argv[2], dest, "model")
            store.place(stored, path)
            path.unlink(missing_ok=True)
    print(store.place(stored, Path(sys.argv[2], "own" + sys.argv[4], "model")).changed)
"""


def test_eight_at_once_make_once(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    processes = [python(MAKE_SLOWLY, root, log, 0.5) for _ in range(8)]
    made = [finished(process).splitlines()[-1] for process in processes]
    assert sorted(made) == ["got False"] * 7 + ["got True"]
    assert log.read_text() == "made\n"


def test_the_waiting_say_on_whom_and_take_over_from_the_dead(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    first = python(MAKE_SLOWLY, root, log, 600)
    until(first, "making from 0")
    second = python(MAKE_SLOWLY, root, log, 0)
    assert second.stderr is not None
    line = second.stderr.readline()
    assert f"waiting for process {first.pid} on {os.uname().nodename}" in line
    assert "model.onnx" in line
    first.kill()
    first.communicate()
    out = finished(second)
    assert out.splitlines() == ["making from 1000", "got True"]


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    """After a failure nothing is said of a process that ended: this one has not."""
    begun, waiting = threading.Event(), threading.Event()
    notes: list[str] = []

    def notify(line: str) -> None:
        notes.append(line)
        waiting.set()

    def fail(partial: Path) -> Any:
        begun.set()
        assert waiting.wait(HANGS)
        raise ValueError("no source")

    store = Store(tmp_path, notify=notify)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.obtain, ["url-a"], fail, name="model.onnx")
        assert begun.wait(HANGS)
        second = pool.submit(store.obtain, ["url-a"], maker(), name="model.onnx")
        with pytest.raises(ValueError, match="no source"):
            first.result()
        assert second.result()[1]
    assert notes == ["waiting for another thread of this process, which prepares model.onnx"]


def test_a_holder_that_never_ends_is_named_after_the_time_out(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    first = python(MAKE_SLOWLY, root, log, 600)
    until(first, "making")
    try:
        with pytest.raises(StoreError, match=f"Waited 0.5 s for process {first.pid} "):
            Store(root, lock_timeout=0.5).obtain(["url-a"], never, name="a")
    finally:
        first.kill()
        first.communicate()


def test_an_interrupt_leaves_what_can_be_resumed_and_no_lock(tmp_path: Path) -> None:
    root, log = tmp_path / "store", tmp_path / "log"
    first = python(MAKE_SLOWLY, root, log, 600)
    until(first, "making from 0")
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=HANGS)
    assert first.returncode != 0
    assert "KeyboardInterrupt" in err
    assert list((root / "locks").glob("*.holder")) == []
    again = python(MAKE_SLOWLY, root, log, 0)
    assert finished(again).splitlines() == ["making from 1000", "got True"]


def test_two_hosts_share_one_folder(tmp_path: Path) -> None:
    """Namespaces stand for hosts: names and process numbers of their own, one file system."""
    probe = subprocess.run(["unshare", "-rpuf", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no namespaces can be made here")
    root, log = tmp_path / "store", tmp_path / "log"
    elsewhere = ["unshare", "-rpuf", "--kill-child"]
    renamed = '\n    import socket\n    socket.sethostname("{}")'
    first = python(renamed.format("north") + MAKE_SLOWLY, root, log, 600, inside=elsewhere)
    until(first, "making from 0")
    second = python(renamed.format("south") + MAKE_SLOWLY, root, log, 0, inside=elsewhere)
    assert second.stderr is not None
    assert "waiting for process 1 on north" in second.stderr.readline()
    first.kill()
    first.communicate()
    assert finished(second).splitlines() == ["making from 1000", "got True"]


def test_a_failed_make_frees_the_lock(store: Store) -> None:
    def fail(_: Path) -> None:
        raise StoreError("no network")

    for _ in range(2):
        with pytest.raises(StoreError, match="no network"):
            store.obtain(["url-a"], fail, name="a")  # type: ignore[arg-type]
    assert put(store, DATA, "url-a").path.exists()


def test_many_processes_place_repair_and_check_one_object(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", notify=lambda _: None)
    stored = put(store, DATA, "url-a")
    processes = [python(PLACE_MANY, store.root, tmp_path, 30, number) for number in range(4)]
    outs = [finished(process).splitlines()[-1] for process in processes]
    assert outs == ["True"] * 4
    assert store.check(stored)
    for number in range(4):
        folder = tmp_path / f"own{number}"
        assert [path.name for path in folder.iterdir()] == ["model"]
        assert (folder / "model").read_bytes() == DATA
    assert list((tmp_path / "shared").iterdir()) == []
    assert list((store.root / "temporary").iterdir()) == []


# Each system call of ours that changes a name is one point to be killed at; the audit hook
# counts them from outside of the code under test.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    from cmx_resnet50.digests import digest_file
    from cmx_resnet50.store import Store
    import filelock, hashlib, json, shutil, socket, datetime
    root, dest, point = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    seen = 0
    names = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.chmod", "os.rmdir")
    def hook(event, arguments):
        global seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & 3
        if writes or event in names:
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    def make(partial):
        partial.write_bytes(bytes(range(256)) * 64)
        return digest_file(partial), {}
    store = Store(root)
    stored, made = store.obtain(["url-a"], make, name="model")
    store.place(stored, dest)
"""


@settings(max_examples=18)
@given(point=st.integers(1, 45), damaged=st.booleans())
def test_a_kill_at_any_point_is_followed_by_a_good_run(
    tmp_path_factory: pytest.TempPathFactory, point: int, damaged: bool
) -> None:
    base = tmp_path_factory.mktemp("killed")
    dest = base / "out" / "model"
    store = Store(base / "store", notify=lambda _: None)
    if damaged:
        flip(put(store, DATA, "url-a").path)
        dest.mkdir(parents=True)
    process = python(KILLED, store.root, dest, point)
    process.communicate(timeout=HANGS)
    assert process.returncode in (0, -signal.SIGKILL)
    if store.root.exists():
        for found in store.objects():
            assert not store.check(found) or found.path.read_bytes() == DATA
    if dest.is_file():
        assert dest.read_bytes() == DATA
    stored = put(store, DATA, "url-a")
    store.place(stored, dest)
    assert [path.name for path in dest.parent.iterdir()] == ["model"]
    assert dest.read_bytes() == DATA
    assert store.check(stored)
    assert store.find(f"md5-{md5(DATA)}") == stored
    # Nothing that the killed process left is there for good.
    folders = [store.root / name for name in ("incoming", "temporary")]
    left = [path for folder in folders for path in folder.glob("*")]
    assert [*left, *store.root.glob("locks/*.holder")] == []


@pytest.mark.unmeasured
def test_the_hot_path_imports_nothing_heavy(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    store.place(stored, tmp_path / "model")
    code = """
        import sys
        from pathlib import Path
        from cmx_resnet50.store import Store
        store = Store(Path(sys.argv[1]))
        stored = store.find(sys.argv[2])
        assert store.check(stored)
        assert not store.place(stored, Path(sys.argv[3])).changed
        print(*{name.partition(".")[0] for name in sys.modules})
    """
    out = finished(python(code, store.root, f"md5-{stored.md5}", tmp_path / "model"))
    heavy = {"filelock", "hashlib", "requests", "tarfile", "shutil", "socket", "datetime", "onnx"}
    assert not heavy & set(out.split())


def test_a_small_file_is_on_the_disk_before_it_has_its_name(store: Store) -> None:
    """But for those that are rebuilt from the object."""
    code = """
        import os, sys
        from pathlib import Path
        from cmx_resnet50.digests import digest_file
        from cmx_resnet50.store import Store
        synced, named = set(), []
        fsync, rename = os.fsync, os.rename
        os.fsync = lambda file: (synced.add(os.readlink(f"/proc/self/fd/{file}")), fsync(file))
        def hook(event, arguments):
            if event == "os.rename":
                named.append((str(arguments[0]), Path(str(arguments[1])).name))
        sys.addaudithook(hook)
        def make(partial):
            partial.write_bytes(b"x" * 1000)
            return digest_file(partial), {}
        Store(Path(sys.argv[1])).obtain(["url-a"], make, name="a")
        print(*sorted({name for path, name in named if path not in synced}))
    """
    out = finished(python(code, store.root)).split()
    assert {name for name in out if not name.endswith(".holder")} == {"stamp"}
