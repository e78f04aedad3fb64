"""Recognises an error page that was sent in place of a model, by its first bytes."""

from __future__ import annotations

LENGTH = 512
"""Bytes that are looked at."""

_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<script", b"<?xml", b"<error")


def detect_error_page(head: bytes, content_type: str) -> str | None:
    """Describe the answer if it is a web page or a JSON message, or return None.

    Parameters
    ----------
    head : bytes
        The first bytes of the body; `LENGTH` of them are enough.
    content_type : str
        The header of that name, empty where there is none. It is only a hint: files are
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
    stated = "".join(c for c in content_type[:60] if c.isprintable()) or "none"
    return f"{kind} came in place of the file (content type: {stated}; it begins with: {shown!r})"
