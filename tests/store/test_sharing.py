"""Stores of several users: whose folder it is decides who writes, and nobody is believed.

Processes become users who do not exist here: Python and this checkout are imported first, since
they may be closed to them.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.store import Store, StoreError, init_store, open_store
from tests.store.helpers import DATA, finished, maker, md5, put, python, sha256, until

pytestmark = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can become other users"
)
ANNA, BEN, EVE = 11111, 22222, 33333
TEAM = 7777
"""The group of Anna and Ben."""

BECOME = """
    import importlib, os, pkgutil, sys
    import hashlib, shutil, socket, datetime, fcntl, filelock, warnings
    import cmx_resnet50.store, cmx_resnet50.digests
    for found in pkgutil.iter_modules(cmx_resnet50.store.__path__):
        importlib.import_module(f"cmx_resnet50.store.{found.name}")
    from pathlib import Path
    from cmx_resnet50.digests import digest_file
    from cmx_resnet50.store import Store, StoreError, open_store
    from cmx_resnet50.store.locks import Locks
    uid, groups, named, home = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    os.setgroups([int(group) for group in groups.split(",") if group])
    os.setgid(uid)
    os.setuid(uid)
    os.umask(0o022)
    DATA = bytes(range(256)) * 64
    def make(partial):
        start = partial.stat().st_size if partial.exists() else 0
        print("making from", start, flush=True)
        with open(partial, "ab") as file:
            file.write(DATA[start:])
        return digest_file(partial), {}
    def never(partial):
        raise AssertionError(f"asked to make {partial}")
    def obtain(make=make, key="md5-" + sys.argv[5], name="model.onnx"):
        store = open_store(named, [home / "store"])
        return store, *store.obtain([key], make, name=name)
    def shown(found):
        store, stored, made = found
        assert stored.path.read_bytes() == DATA, stored.path
        assert stored.path.is_relative_to(home / "store"), stored.path
        assert store.check(stored)
        print("got", made, flush=True)
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """Return a folder that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def home(base: Path, uid: int) -> Path:
    folder = base / str(uid)
    if not folder.exists():
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, uid)
    return folder


def as_user(base: Path, uid: int, named: Path, code: str) -> subprocess.Popen[str]:
    groups = str(TEAM) if uid in (ANNA, BEN) else ""
    program = textwrap.dedent(BECOME) + textwrap.dedent(code)
    return python(program, uid, groups, named, home(base, uid), md5(DATA))


def given_to(uid: int, root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


@pytest.fixture
def annas(base: Path) -> Path:
    """Return Anna's store, which has DATA."""
    root = base / "annas"
    put(Store(root))
    given_to(ANNA, root)
    return root


@pytest.fixture
def team(base: Path) -> Path:
    """Return an empty store that Anna's and Ben's group writes."""
    root = base / "team"
    root.mkdir()
    os.chown(root, 0, TEAM)
    init_store(root, shared=True)
    return root


def entries(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return owner, mode and content of all that is in a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(root))] = (status.st_uid, status.st_mode, content)
    return found


def test_a_file_of_absurd_size_in_a_store_of_another_user_is_not_read(
    base: Path, annas: Path
) -> None:
    (record,) = annas.glob("objects/*/*/record.json")
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "bytes": 1 << 43}))
    os.truncate(record.with_name("data"), 1 << 43)
    code = "print([good for _, good in open_store(named, [home / 'store']).verify()])"
    assert finished(as_user(base, EVE, annas, code)) == "[False]\n"


def test_another_users_store_is_read_and_what_it_lacks_is_ones_own(base: Path, annas: Path) -> None:
    before = entries(annas)
    assert finished(as_user(base, BEN, annas, "shown(obtain(never))")) == "got False\n"
    process = as_user(base, EVE, annas, 'shown(obtain(key="url-b", name="b"))')
    out, err = process.communicate(timeout=60)
    assert out == "making from 0\ngot True\n", err
    assert f"{annas} belongs to another user and is only read" in err
    assert str(home(base, EVE) / "store") in err
    assert entries(annas) == before


@pytest.mark.parametrize("umask_of_creator", [0o022, 0o000])
def test_what_is_planted_in_ones_own_store_is_never_written_through(
    base: Path, umask_of_creator: int
) -> None:
    """Anna's folder was open to all: Eve had the time to put links into it."""
    root, precious = base / "annas", home(base, ANNA) / "thesis"
    precious.write_bytes(b"precious" * 10)
    root.mkdir()
    root.chmod(0o777 & ~umask_of_creator)
    os.chown(root, ANNA, ANNA)
    os.chown(precious, ANNA, ANNA)
    code = """
        store, stored, made = obtain()
        assert stored.path.is_relative_to(named) and stored.path.read_bytes() == DATA
        folder = named / "incoming" / "url-c"
    """
    assert finished(as_user(base, ANNA, root, code)) == "making from 0\n"
    assert all(path.lstat().st_mode & 0o022 == 0 for path in (root, *root.rglob("*")))
    (root / "incoming" / "url-c").mkdir(parents=True)
    for name in ("incoming/url-c/partial", "incoming/url-c/partial.journal", "locks/x.holder"):
        (root / name).symlink_to(precious)
        os.chown(root / name, EVE, EVE, follow_symlinks=False)
    given_to(ANNA, root / "incoming")
    code = 'print(obtain(key="url-c", name="c")[2])'
    assert finished(as_user(base, ANNA, root, code)) == "making from 0\nTrue\n"
    assert precious.read_bytes() == b"precious" * 10


def test_a_hard_link_in_incoming_is_not_written_to(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_bytes(b"x" * 10)
    put(store, b"other")
    (store.root / "incoming" / "url-c").mkdir(parents=True)
    (store.root / "incoming" / "url-c" / "partial").hardlink_to(mine)
    stored, _ = store.obtain(["url-c"], maker(), name="c")
    assert stored.path.read_bytes() == DATA
    assert mine.read_bytes() == b"x" * 10


def test_a_folder_of_another_user_in_ones_own_store_is_refused(base: Path) -> None:
    root = base / "annas"
    put(Store(root), b"other")
    given_to(ANNA, root)
    os.chown(root / "incoming", EVE, EVE)
    process = as_user(base, ANNA, root, "obtain()")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"{root / 'incoming'} belongs to another user" in err


LIES: dict[str, Any] = {
    "md5": lambda data, record: record.write_text(
        json.dumps({**json.loads(record.read_text()), "md5": md5(DATA)})
    ),
    "bytes": lambda data, record: data.write_bytes(DATA[:-1] + b"?"),
    "size": lambda data, record: os.truncate(data, 5 << 30),
    "pipe": lambda data, record: (data.unlink(), os.mkfifo(data)),
    "link": lambda data, record: (data.unlink(), data.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_another_users_store_claims_is_compared(base: Path, annas: Path, lie: str) -> None:
    """The stamp is made to fit: its owner can write whatever there is."""
    other = put(Store(base / "other"), b"?" * len(DATA)) if lie == "md5" else put(Store(annas))
    root = base / "other" if lie == "md5" else annas
    given_to(0, root)
    data = other.path
    data.chmod(0o644)
    LIES[lie](data, data.with_name("record.json"))
    (root / "aliases" / f"md5-{md5(DATA)}").write_text(other.sha256)
    status = data.lstat()
    stamp = f"{len(DATA)} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino} {md5(DATA)}\n"
    data.with_name("stamp").write_text(stamp)
    given_to(ANNA, root)
    process = as_user(base, BEN, root, "shown(obtain())")
    out, err = process.communicate(timeout=60)
    assert out == "making from 0\ngot True\n", err
    assert "it is not used" in err


def test_an_alias_of_another_user_is_not_looked_up(base: Path, annas: Path) -> None:
    stored = put(Store(base / "other"), b"anything", "archive-md5-" + "0" * 32)
    assert stored.path.exists()
    given_to(ANNA, base / "other")
    code = 'shown(obtain(key="archive-md5-" + "0" * 32))'
    out = finished(as_user(base, BEN, base / "other", code))
    assert out == "making from 0\ngot True\n"


def test_a_group_fetches_once_and_each_compares(base: Path, team: Path) -> None:
    assert finished(as_user(base, ANNA, team, "shown(obtain())")) == "making from 0\ngot True\n"
    assert finished(as_user(base, BEN, team, "shown(obtain(never))")) == "got False\n"
    data = team / "objects" / sha256(DATA)[:2] / sha256(DATA) / "data"
    assert data.read_bytes() == DATA
    assert data.stat().st_uid == ANNA
    # What one member spoils, the next repairs for all.
    data.chmod(0o644)
    data.write_bytes(b"spoiled" + DATA[7:])
    cleared = home(base, BEN) / "store"
    assert cleared.rename(cleared.with_name("old")).is_dir()
    out, err = as_user(base, BEN, team, "shown(obtain())").communicate(timeout=60)
    assert out == "making from 0\ngot True\n", err
    assert data.read_bytes() == DATA
    assert data.stat().st_uid == BEN
    users = Store(team).usage().of(put(Store(team)))
    members = [home(base, uid) / "store" for uid in (ANNA, BEN)]
    assert users == [str(member / data.relative_to(team)) for member in members]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_member_goes_on_where_a_killed_one_stopped(base: Path, team: Path, mode: int) -> None:
    """Or begins anew where it may not read."""
    code = f"""
        import time
        def slowly(partial):
            partial.write_bytes(DATA[:1000])
            partial.chmod({mode})
            print("making", flush=True)
            time.sleep(600)
        obtain(slowly)
    """
    anna = as_user(base, ANNA, team, code)
    until(anna, "making")
    ben = as_user(base, BEN, team, "Locks.advise_after = 0.5\nshown(obtain())")
    assert ben.stderr is not None
    assert f"waiting for process {anna.pid} on " in ben.stderr.readline()
    advice = ben.stderr.readline()
    assert f"process {anna.pid} on " in advice
    assert "CM_RESNET50_STORE" in advice
    assert str(team / "locks") in advice
    anna.kill()
    anna.communicate()
    start = 1000 if mode == 0o644 else 0
    assert finished(ben) == f"making from {start}\ngot True\n"
    folders = [path for path in (team, *team.rglob("*")) if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o2775, 0o2770}
    assert {path.stat().st_gid for path in team.rglob("*")} == {TEAM}


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_a_stranger_cannot_hold_a_lock(base: Path, annas: Path, team: Path, kind: str) -> None:
    root = annas if kind == "own" else team
    finished(as_user(base, ANNA, root, "obtain()"))
    code = """
        for path in (named / "locks", named / "locks" / sys.argv[5]):
            try:
                os.open(path, os.O_RDONLY)
            except PermissionError:
                continue
            raise AssertionError(path)
        print(oct(os.stat(named / "locks").st_mode & 0o007))
    """
    assert finished(as_user(base, EVE, root, code)) == "0o0\n"
    # Older releases of filelock remove a lock file when it is released, newer ones keep it.
    locks = list((root / "locks").glob("*.lock"))
    allowed = 0o660 if kind == "shared" else 0o600
    assert all(stat.S_IMODE(path.stat().st_mode) & ~allowed == 0 for path in locks)


def test_a_stranger_reads_a_shared_store_and_does_not_write_it(base: Path, team: Path) -> None:
    finished(as_user(base, ANNA, team, "obtain()"))
    before = entries(team)
    assert finished(as_user(base, EVE, team, "shown(obtain(never))")) == "got False\n"
    out = finished(as_user(base, EVE, team, 'shown(obtain(key="url-x"))'))
    assert out == "making from 0\ngot True\n"
    assert entries(team) == before


def test_without_a_folder_of_ones_own_home_and_the_owner_are_named(base: Path, annas: Path) -> None:
    code = """
        try:
            open_store(named, [Path("/proc/self/status/store")])
        except StoreError as error:
            print(type(error).__name__, error)
    """
    text = finished(as_user(base, BEN, annas, code))
    assert text.startswith("StoreReadOnly")
    assert "Set HOME" in text and f"store init --shared '{annas}'" in text
    assert "CM_RESNET50_STORE" not in text


def test_a_store_is_shared_by_its_owner_alone(base: Path, annas: Path) -> None:
    code = """
        from cmx_resnet50.store import init_store
        try:
            init_store(named, shared=True)
        except StoreError as error:
            print(error)
    """
    assert "cannot be written" in finished(as_user(base, BEN, annas, code))
    assert not Store(annas).layout.require().shared  # type: ignore[union-attr]
    for path in (annas, *annas.rglob("*")):
        os.chown(path, ANNA, TEAM)
    assert finished(as_user(base, ANNA, annas, code)) == ""
    code = "print(open_store(named, [home / 'store']).upstream.shared)"
    assert finished(as_user(base, BEN, annas, code)) == "True\n"
    assert finished(as_user(base, EVE, annas, code)) == "False\n"


def test_no_folder_for_an_own_store_is_an_error_that_says_so(base: Path, annas: Path) -> None:
    with pytest.raises(StoreError, match="Set HOME, or XDG_CACHE_HOME"):
        open_store(annas, [annas, base / "annas"])
