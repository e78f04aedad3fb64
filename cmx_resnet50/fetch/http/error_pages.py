"""Tells an error page from a model by its first bytes, and says so in plain words."""

from __future__ import annotations

LENGTH = 512
"""Bytes that are looked at."""

_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<error")


def page_instead(head: bytes, content_type: str) -> str | None:
    """Say what the answer is when it is a web page or a JSON message, or None.

    Parameters
    ----------
    head : bytes
        The first bytes of the body; `LENGTH` of them are enough.
    content_type : str
        The header of that name, empty where there is none. It only helps to judge: files are
        served under wrong types every day, and their digests decide.
    """
    start = head[:LENGTH].removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = None
    if start.lower().startswith(_PAGES):
        kind = "a web page"
    elif start[:1] in (b"{", b"[") and "json" in content_type.lower():
        kind = "a JSON message"
    if kind is None:
        return None
    shown = "".join(c if c.isprintable() else " " for c in start[:80].decode("utf-8", "replace"))
    told = "".join(c for c in content_type[:60] if c.isprintable()) or "none"
    return f"{kind} came in place of the file (content type: {told}; it begins with: {shown!r})"
