"""Words that differ by the way in: how a user runs a request, or gives a URL or a checksum.

Texts that are the same for all hold marks in their place. Each way in puts its own words for
them: the command and Python those of `COMMAND`, an engine those of its dialect.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN, URL, CHECKSUM = "<<run>>", "<<url>>", "<<checksum>>"
"""Marks: the command up to a request's variations; what comes before a URL, or a checksum."""


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

    def apply(self, text: str) -> str:
        """Return `text` with words in place of marks."""
        for mark, words in ((RUN, self.run), (URL, self.url), (CHECKSUM, self.checksum)):
            text = text.replace(mark, words)
        return text


COMMAND = Wording(run="cmx-resnet50 get ", url="URL ", checksum="checksum ")
