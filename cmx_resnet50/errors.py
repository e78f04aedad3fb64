"""The base of every error that a user of this package reads, and the kinds that packages share."""

from __future__ import annotations

from cmx_resnet50.wording import COMMAND

INTERRUPTED = "interrupted; fetched bytes are kept, the same command resumes from there."
"""What a user is told after ctrl-C."""


class Resnet50Error(Exception):
    """An error whose text is complete: what was asked, what is wrong, what to do next.

    Its text may have marks of `wording`; as a string it is in the words of `wording`.
    """

    wording = COMMAND
    """The words of those who called."""

    commands: tuple[str, ...] = ()
    """Those of the text that can be run next, for programs; without what `see` names."""

    def __str__(self) -> str:
        return self.wording.apply(super().__str__())


class DigestError(Resnet50Error):
    """Bytes that are not those of the known file: digest or size differ."""


class DiskFullError(Resnet50Error):
    """The disk, or a quota on it, has no room."""


class NotWritableError(Resnet50Error):
    """A folder, of the store or of the user, that does not exist or cannot be written."""


class Resnet50Warning(UserWarning):
    """What is delivered is not quite what was requested, or contradicts the catalog."""


def see(page: str) -> str:
    """Return the sentence that ends an error and names the page that explains it."""
    # The command, not a path: an installation has no checkout. A full stop, because CM appends
    # a mark of its own, which would grow together with the name.
    return f"Details: run `cmx-resnet50 docs {page}`."
