"""Who uses an object of the store, as ``list``, ``verify`` and ``prune`` show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.store import StoredObject
    from cmx_resnet50.store.usage import Usage


def users_of(usage: Usage, stored: StoredObject) -> list[dict[str, Any]]:
    """Return the users of an object: ``by``, and the engine whose cache entry that is, or None."""
    from cmx_resnet50.engines.cache_entries import engine_of

    return [{"engine": engine_of(Path(user)) or None, "by": user} for user in usage.of(stored)]


def shown(user: dict[str, Any]) -> str:
    """Return a user as one text."""
    return f"{user['engine']}: {user['by']}" if user["engine"] else str(user["by"])


def counted(users: list[dict[str, Any]]) -> str:
    """Return how many users there are of each kind, in a few words."""
    engines = [user["engine"] or "other" for user in users]
    return ", ".join(f"{name} {engines.count(name)}" for name in sorted(set(engines))) or "-"
