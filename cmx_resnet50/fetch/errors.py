"""What can go wrong: the errors that users read, and the verdicts that stay inside."""

from __future__ import annotations

from collections.abc import Sequence

from cmx_resnet50.digests import Expected
from cmx_resnet50.errors import Resnet50Error, see
from cmx_resnet50.fetch.model import Attempt, Source
from cmx_resnet50.redaction import by_hand


def amount(count: int) -> str:
    """Return a number of bytes as people read it, in powers of ten as disks are sold."""
    if count < 10_000:
        return f"{count:,} bytes"
    if count < 1_000_000:
        return f"{count / 1000:.0f} KB"
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.1f} MB"
    return f"{count / 1_000_000_000:.2f} GB"


class FetchError(Resnet50Error):
    """No source gave the right bytes; `attempts` says what each of them did."""

    def __init__(self, text: str, attempts: Sequence[Attempt] = ()) -> None:
        super().__init__(text)
        self.attempts = tuple(attempts)


class OfflineError(FetchError):
    """The bytes are needed, and no socket may be opened."""


class SpaceError(FetchError):
    """The disk has no room for the file. The sources are not to blame."""


class Verdict(Exception):
    """What one request or one source came to; it never leaves the room `fetch`.

    `reason` is in plain words and holds no secret.
    """

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Passing(Verdict):
    """A trouble that may pass: the request is worth another try, perhaps after `wait` seconds."""

    def __init__(
        self, reason: str, *, status: int | None = None, wait: float | None = None
    ) -> None:
        super().__init__(reason, status=status)
        self.wait = wait


class Crowded(Passing):
    """The host asks for fewer requests (429, 503)."""


class Final(Verdict):
    """The source is of no use for this file; the next one is asked."""

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        expected: str | None = None,
        actual: str | None = None,
        tls_issuer: str | None = None,
    ) -> None:
        super().__init__(reason, status=status)
        self.expected = expected
        self.actual = actual
        self.tls_issuer = tls_issuer


class Restart(Verdict):
    """What is there cannot be continued from this source; it has to give the file from nothing.

    `plain` says that it shall be asked without ranges, because it does them wrong.
    """

    def __init__(self, reason: str, *, status: int | None = None, plain: bool = False) -> None:
        super().__init__(reason, status=status)
        self.plain = plain


def all_failed(
    name: str,
    expected: Expected,
    sources: Sequence[Source],
    attempts: Sequence[Attempt],
    place_hint: str,
) -> FetchError:
    """Return the error that tells what was asked, what each source did, and what to do next."""
    lines = [f"{name} could not be fetched{_described(expected)}. Sources asked:"]
    for number, attempt in enumerate(attempts, 1):
        lines.append(f"  {number}. {attempt.url}")
        lines.append(f"     {_told(attempt)}")
        if attempt.expected is not None:
            lines.append(f"     expected {attempt.expected}")
            lines.append(f"     actual   {attempt.actual}")
    lines.extend(_by_hand(name, sources, place_hint))
    lines.append(see("networks"))
    return FetchError("\n".join(lines), attempts)


def offline(
    name: str,
    expected: Expected,
    sources: Sequence[Source],
    attempts: Sequence[Attempt],
    place_hint: str,
) -> OfflineError:
    """Return the error for a file that is missing while no socket may be opened."""
    lines = [f"{name} is not here{_described(expected)}, and the network is not to be used."]
    lines.extend(f"  {attempt.url}: {attempt.reason}" for attempt in attempts)
    lines.extend(_by_hand(name, sources, place_hint))
    lines.append(see("airgapped"))
    return OfflineError("\n".join(lines), attempts)


def _described(expected: Expected) -> str:
    facts = []
    if expected.size is not None:
        facts.append(f"{expected.size:,} bytes")
    if expected.sha256 is not None:
        facts.append(f"sha256 {expected.sha256}")
    elif expected.md5 is not None:
        facts.append(f"md5 {expected.md5}")
    return f" ({', '.join(facts)})" if facts else ""


def _told(attempt: Attempt) -> str:
    parts = [attempt.reason]
    if attempt.status is not None and not attempt.reason.startswith(f"HTTP {attempt.status}"):
        parts.append(f"HTTP {attempt.status}")
    parts.append(f"{amount(attempt.transferred)} in {attempt.seconds:.1f} s")
    if attempt.retries:
        parts.append(f"{attempt.retries} {'retry' if attempt.retries == 1 else 'retries'}")
    return "; ".join(parts)


def _by_hand(name: str, sources: Sequence[Source], place_hint: str) -> list[str]:
    commands = filter(None, (by_hand(source.url, name) for source in sources))
    first = next(commands, None)
    lines = ["To fetch it by hand:", f"  {first}"] if first else []
    if place_hint:
        lines.append(f"Where to put it: {place_hint}")
    return lines
