"""CM, MLC and the command on one store: who uses a file, and what `prune` keeps for whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.support import objects, store_of
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

NAME = "resnet50-19c8e357.pth"


@pytest.fixture
def both(cm: CM, mlc: MLC) -> tuple[CM, CM]:
    """Return a user of CM, and one of MLC with the store of the other."""
    return cm, mlc.also(variables={"CM_RESNET50_STORE": str(store_of(cm))})


def tool(user: CM, *args: str) -> Any:
    done = user.command("cmx-resnet50", *args, "--json")
    assert done.ok, done.text
    return json.loads(done.out)


def engines(user: CM, command: str) -> list[str]:
    """Return the engines whose entries use the file, as a command shows them."""
    rows = tool(user, command)
    rows = rows["used"] if command == "prune" else rows
    used = next(row["used"] for row in rows if row["file"] == NAME)
    return sorted(one["engine"] for one in used)


def unused(user: CM) -> list[str]:
    """Return the names of the objects that `prune` removes."""
    gone = tool(user, "prune", "--apply")["unused"]
    return [row["file"] for row in gone if row["kind"] == "object"]


def test_what_one_engine_fetched_the_other_has(both: tuple[CM, CM], origin: Origin) -> None:
    cm, mlc = both
    assert cm.get("pytorch").ok
    origin.clear_log()
    assert mlc.get("pytorch", offline=True).ok
    assert not origin.requests
    for user in both:
        for command in ("list", "verify", "prune"):
            assert engines(user, command) == ["CM", "MLC"]
    shown = cm.command("cmx-resnet50", "list", "_pytorch").out
    assert f"CM: {cm.cache}/" in shown and f"MLC: {mlc.cache}/" in shown
    shown = cm.command("cmx-resnet50", "verify").out
    assert f"used by CM: {cm.cache}/" in shown and f"used by MLC: {mlc.cache}/" in shown


@pytest.mark.parametrize("keeper", ["MLC", "CM"])
def test_prune_keeps_what_an_entry_of_the_other_engine_uses(
    both: tuple[CM, CM], keeper: str
) -> None:
    cm, mlc = both
    user, other = (cm, mlc) if keeper == "MLC" else (mlc, cm)
    for one in both:
        assert one.get("pytorch").ok
    assert user.remove_entries().ok
    assert unused(user) == []
    assert engines(user, "list") == [keeper]
    assert other.get("pytorch", offline=True).out.rstrip().endswith("store)")
    assert other.remove_entries().ok
    assert unused(user) == [NAME]
    assert not objects(store_of(cm))
