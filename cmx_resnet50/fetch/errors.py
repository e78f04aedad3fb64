"""The errors of a fetch that users read, and how they are worded."""

from __future__ import annotations

from collections.abc import Sequence

from cmx_resnet50.digests import Expected
from cmx_resnet50.errors import DigestError, DiskFullError, Resnet50Error, see
from cmx_resnet50.fetch.model import Attempt, Source
from cmx_resnet50.redaction import manual_command

NO_PROXY = (
    "Hosts in NO_PROXY are asked directly: names, domains, IPv4 addresses and networks, separated "
    "by commas, without ports."
)
"""What requests understands of that variable."""


NO_NETWORK = (
    "No name server answers, or there is no route: no other host was asked. Is this machine "
    "connected? Behind a proxy, set HTTPS_PROXY."
)
"""What to check where two hosts failed for that reason."""


class FetchError(Resnet50Error):
    """No source gave the right bytes; `attempts` has what each of them did."""

    def __init__(
        self, text: str, attempts: Sequence[Attempt] = (), commands: Sequence[str] = ()
    ) -> None:
        super().__init__(text)
        self.attempts = tuple(attempts)
        self.commands = tuple(commands)


class OfflineError(FetchError):
    """The bytes are needed and offline mode is on."""


class WrongFileError(FetchError, DigestError):
    """No source gave the right bytes, and at least one gave a complete file that is another."""


class SpaceError(FetchError, DiskFullError):
    """The disk has no room for the file. The sources are not to blame."""


class LimitError(FetchError):
    """A limit of this process or machine is reached. The sources are not to blame."""


def amount(count: int) -> str:
    """Format a number of bytes for people, in powers of ten as disks are sold."""
    if count < 10_000:
        return f"{count:,} bytes"
    if count < 1_000_000:
        return f"{count / 1000:.0f} KB"
    if count < 1_000_000_000:
        return f"{count / 1_000_000:.1f} MB"
    return f"{count / 1_000_000_000:.2f} GB"


def all_failed(
    name: str,
    expected: Expected,
    sources: Sequence[Source],
    attempts: Sequence[Attempt],
    place_hint: str,
    *,
    cut_off: bool,
) -> FetchError:
    """Return the error that lists each source, its failure, and what to do next.

    `cut_off` is whether this machine has no network.
    """
    lines = [f"{name} could not be fetched{_facts(expected)}. Sources asked:"]
    for number, attempt in enumerate(attempts, 1):
        lines.append(f"  {number}. {attempt.url}")
        lines.append(f"     {_outcome(attempt)}")
        if attempt.expected is not None:
            lines.append(f"     expected {attempt.expected}")
            lines.append(f"     actual   {attempt.actual}")
    if cut_off:
        lines.append(NO_NETWORK)
    proxies = dict.fromkeys(attempt.proxy for attempt in attempts if attempt.proxy)
    if proxies:
        lines.append(f"Asked through {' and '.join(proxies)}. {NO_PROXY}")
    lines.extend(_manual_steps(name, sources, place_hint))
    lines.append(see("networks"))
    kind = WrongFileError if any(attempt.expected for attempt in attempts) else FetchError
    return kind("\n".join(lines), attempts, _manual_commands(name, sources))


def offline(
    name: str,
    expected: Expected,
    sources: Sequence[Source],
    attempts: Sequence[Attempt],
    place_hint: str,
) -> OfflineError:
    """Return the error for a file that is missing while offline mode is on."""
    lines = [f"{name} is not here{_facts(expected)}, and offline mode is on."]
    lines.extend(f"  {attempt.url}: {attempt.reason}" for attempt in attempts)
    lines.extend(_manual_steps(name, sources, place_hint))
    lines.append(see("airgapped"))
    return OfflineError("\n".join(lines), attempts, _manual_commands(name, sources))


def _facts(expected: Expected) -> str:
    facts = []
    if expected.size is not None:
        facts.append(f"{expected.size:,} bytes")
    if expected.sha256 is not None:
        facts.append(f"sha256 {expected.sha256}")
    elif expected.md5 is not None:
        facts.append(f"md5 {expected.md5}")
    return f" ({', '.join(facts)})" if facts else ""


def _outcome(attempt: Attempt) -> str:
    parts = [attempt.reason]
    if attempt.status is not None and not attempt.reason.startswith(f"HTTP {attempt.status}"):
        parts.append(f"HTTP {attempt.status}")
    parts.append(f"{amount(attempt.transferred)} in {attempt.seconds:.1f} s")
    if attempt.retries:
        parts.append(f"{attempt.retries} {'retry' if attempt.retries == 1 else 'retries'}")
    return "; ".join(parts)


def _manual_steps(name: str, sources: Sequence[Source], place_hint: str) -> list[str]:
    commands = _manual_commands(name, sources)
    lines = ["To fetch it manually:", *(f"  {command}" for command in commands)] if commands else []
    if place_hint:
        lines.append(f"Where to put it: {place_hint}")
    return lines


def _manual_commands(name: str, sources: Sequence[Source]) -> list[str]:
    """Return the command that fetches the file from where it is published, in a list.

    A mirror that failed, or that only this network has, is named where there is nothing else.
    """
    published_first = sorted(sources, key=lambda source: source.of_mirror)
    commands = (manual_command(source.url, name) for source in published_first)
    return [command for command in commands if command][:1]
