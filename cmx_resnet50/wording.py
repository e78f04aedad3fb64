"""Words that differ by the way in: how a user runs a request, or gives a URL or an option.

Texts that are the same for all hold marks in their place. Each way in puts its own words for
them: the command those of `COMMAND`, Python those of `PYTHON`, an engine those of its dialect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

RUN, URL, CHECKSUM = "<<run>>", "<<url>>", "<<checksum>>"
"""Marks: the command up to a request's variations; what comes before a URL, or a checksum."""
DUMMY, CHECKPOINT = "<<dummy>>", "<<checkpoint>>"
ACCEPT_ANY, STRICT = "<<accept-any>>", "<<strict>>"
"""Marks of options."""


@dataclass(frozen=True)
class Wording:
    """What is put for each mark.

    Examples
    --------
    >>> Wording("run ", "--url=", "--md5=").apply(f"Try {RUN}_onnx.")
    'Try run _onnx.'
    """

    run: str
    url: str
    checksum: str
    dummy: str = "_dummy-weights"
    checkpoint: str = "--checkpoint"
    accept_any: str = "CM_RESNET50_ACCEPT_ANY=yes"
    strict: str = "CM_RESNET50_STRICT=yes"

    def apply(self, text: str) -> str:
        """Return `text` with words in place of marks."""
        for mark, words in (
            (RUN, self.run),
            (URL, self.url),
            (CHECKSUM, self.checksum),
            (DUMMY, self.dummy),
            (CHECKPOINT, self.checkpoint),
            (ACCEPT_ANY, self.accept_any),
            (STRICT, self.strict),
        ):
            text = text.replace(mark, words)
        return text


COMMAND = Wording(run="cmx-resnet50 get ", url="URL ", checksum="checksum ")
PYTHON = replace(
    COMMAND,
    dummy="dummy=True",
    checkpoint="checkpoint=",
    accept_any="accept_any=True",
    strict="strict=True",
)
