"""A finding of one check; and checks that cannot fail, because a failure is a finding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cmx_resnet50.redaction import redact

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


@dataclass(frozen=True)
class Finding:
    """What one check found; `why` and `fix` are empty where there is nothing to say."""

    area: str
    what: str
    why: str = ""
    fix: str = ""
    """The command that fixes it."""
    ok: bool = True

    def without_secrets(self) -> Finding:
        """Return the finding with all URLs in it redacted."""
        return replace(self, what=_hidden(self.what), why=_hidden(self.why), fix=_hidden(self.fix))


Check = Callable[[], Iterable[Finding]]


def run(area: str, check: Check) -> list[Finding]:
    """Return what `check` finds; that it fails is a finding, too."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:  # A diagnosis that ends early would hide what comes after.
        text = str(error) or type(error).__name__
        found.append(Finding(area, text, "This could not be checked.", ok=False))
    return [finding.without_secrets() for finding in found]


def _hidden(text: str) -> str:
    return _URL.sub(lambda match: redact(match[0]), text)
