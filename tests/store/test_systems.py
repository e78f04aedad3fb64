"""The store on other, read-only and full file systems, and under wrong clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cmx_resnet50.store import Store
from tests.store.helpers import (
    DATA,
    ROOT,
    finished,
    flip,
    put,
    python,
)


def test_a_store_on_another_file_system_is_copied_from(tmp_path: Path) -> None:
    import tempfile

    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        store = Store(Path(folder) / "store", notify=lambda _: None)
        stored = put(store)
        placed = store.place(stored, tmp_path / "model")
        assert (placed.method, placed.changed) == ("copy", True)
        assert not store.place(stored, tmp_path / "model").changed
        flip(tmp_path / "model", keep_mtime=True)
        assert store.place(stored, tmp_path / "model").was == "other bytes"
        stored.path.unlink()
        assert store.repair_from_placement(stored.sha256) == stored
        source = tmp_path / "source"
        source.write_bytes(b"moved")
        assert store.import_file(source, record={}, move=True).path.read_bytes() == b"moved"
        assert not source.exists()


READ_ONLY = """
    import sys
    from pathlib import Path
    from cmx_resnet50.store import Store, StoreError
    store, out = Store(Path(sys.argv[1])), Path(sys.argv[2])
    def never(partial):
        raise AssertionError
    stored, made = store.obtain([sys.argv[3]], never, name="model")
    assert not made and store.check(stored)
    placed = store.place(stored, out / "model")
    assert (placed.method, placed.changed) in (("copy", True), ("reflink", True)), placed
    assert not store.place(stored, out / "model").changed
    (out / "model").unlink()
    (out / "model").write_bytes(b"x")
    assert store.place(stored, out / "model").changed
    assert (out / "model").stat().st_nlink == 1
    assert store.prune(lambda _: False, dry_run=True)
    for action in (
        lambda: store.obtain(["url-b"], never, name="other"),
        lambda: store.repair_from_placement(stored.sha256),
        lambda: store.import_file(out / "model", keys=["url-c"], record={}),
        lambda: store.prune(lambda _: False, dry_run=False),
    ):
        try:
            action()
        except StoreError as error:
            assert str(store.root) in str(error) and "CM_RESNET50_STORE" in str(error), error
        else:
            raise AssertionError(action)
"""


# Everything is imported first: Python and this checkout may be closed to that user.
BECOME_NOBODY = """
    import hashlib, os, shutil, socket, sys, datetime, fcntl, filelock
    import cmx_resnet50.digests, cmx_resnet50.store.prune
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def test_a_store_of_somebody_else_serves_hits() -> None:
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    import tempfile

    # pytest's own folder may be entered by its owner alone.
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        base.chmod(0o755)
        store = Store(base / "store")
        stored = put(store, DATA, "url-a")
        (base / "out").mkdir()
        (base / "out").chmod(0o777)
        finished(python(BECOME_NOBODY + READ_ONLY, store.root, base / "out", f"md5-{stored.md5}"))
        assert store.check(stored)


def test_a_store_mounted_read_only_serves_hits(store: Store, tmp_path: Path) -> None:
    stored = put(store, DATA, "url-a")
    probe = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no mount namespace can be made here")
    import textwrap

    script = (
        'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && '
        'exec "$2" -c "$3" "$1" "$4" "$5"'
    )
    (tmp_path / "out").mkdir()
    code = textwrap.dedent(READ_ONLY)
    command = ["unshare", "-rm", "sh", "-c", script, "sh", store.root, sys.executable, code]
    done = subprocess.run(
        [*command, tmp_path / "out", f"md5-{stored.md5}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_full_disk_is_told_with_figures(tmp_path: Path) -> None:
    """A tmpfs of 1 MB stands for the full disk: for the store, then for the place."""
    code = """
        import sys
        from pathlib import Path
        from cmx_resnet50.digests import digest_file
        from cmx_resnet50.mirror import bundle
        from cmx_resnet50.store import Store, StoreError
        small, large = Path(sys.argv[1]), Path(sys.argv[2])
        def make(partial):
            with open(partial, "wb") as file:
                for _ in range(32):
                    file.write(bytes(1 << 16))
            return digest_file(partial), {}
        def refused(action):
            try:
                action()
            except StoreError as error:
                print(error)
            else:
                raise AssertionError
        refused(lambda: Store(small / "s").obtain(["url-a"], make, name="model"))
        (small / "s/incoming/url-a/partial").unlink()
        store = Store(large / "s")
        stored, _ = store.obtain(["url-a"], make, name="model")
        refused(lambda: store.place(stored, small / "out" / "model"))
        assert list((small / "out").iterdir()) == []
        refused(lambda: Store(small / "s").import_file(stored.path, record={}))
        assert list((small / "s/temporary").iterdir()) == []
        refused(lambda: bundle.export(store, [stored], small / "b.tar"))
        refused(lambda: bundle.export(store, [stored], small / "b"))
        assert not list(small.glob("b*"))
    """
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    import textwrap

    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1" "$4"'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", small, sys.executable]
    done = subprocess.run(
        [*command, textwrap.dedent(code), large],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("free" in line for line in lines)
    assert all("2,097,152 bytes" in line for line in lines[1:])


def test_clocks_set_back_or_forth_change_nothing(store: Store, tmp_path: Path) -> None:
    stored = put(store)
    far = time.time() + 10**9
    for path in (stored.path, stored.path.with_name("stamp"), *(store.root / "locks").iterdir()):
        os.utime(path, (far, far))
    assert store.check(stored)
    store.place(stored, tmp_path / "model")
    partial = store.root / "incoming" / "url-b" / "partial"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"half")
    os.utime(partial, (far, far))
    store.prune(lambda _: True, dry_run=False)
    assert partial.exists()
    assert store.check(stored)
