"""URLs as they may be shown: without passwords, tokens and signatures; and logs without them."""

from __future__ import annotations

import logging
import re
import shlex
from urllib.parse import parse_qsl, urlencode, urlsplit

HIDDEN = "***"

_HARMLESS = frozenset({"id", "dl", "download", "raw", "confirm", "export", "version", "rev", "ref"})
"""Query keys whose values are shown. Any other may carry a secret under any name."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_AUTHORITY = re.compile(r"[^/?#\\]*")
_NOT_A_PORT = re.compile(r"^[^\[].*:(?!\d*\Z)")
_PATH = ("/", "~", ".")
"""How a path begins, in which an ``@`` is a letter like any other."""
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]")


def redact(url: str) -> str:
    """Return `url` without user name, password, and the values of unknown query keys."""
    before, colon, rest = url.partition("://")
    if colon and not _SCHEME.fullmatch(before):
        # Say a quote before the scheme: to urlsplit, a password after it is in a path.
        return _CONTROL.sub("?", before) + redact(f"https{colon}{rest}").removeprefix("https")
    if "//" not in url and "@" in url and not url.startswith(_PATH):
        return _CONTROL.sub("?", HIDDEN + url[url.rindex("@") :])
    url = _with_whole_password_hidden(url)
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(an invalid URL)"
    netloc = f"{HIDDEN}@{host}" if "@" in parts.netloc else host
    query = "&".join(_shown(pair) for pair in parts.query.split("&")) if parts.query else ""
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    # Not by urlunsplit: how it writes an empty host depends on the scheme and on Python's release.
    if netloc or url.lower().startswith(f"{scheme}//"):
        scheme += "//"
    return _CONTROL.sub("?", f"{scheme}{netloc}{parts.path}{query and f'?{query}'}")


def _with_whole_password_hidden(url: str) -> str:
    """Hide a password with a ``/``, ``?`` or ``#`` in it, which ends the part of a password."""
    scheme, slashes, rest = url.partition("//")
    authority = _AUTHORITY.match(rest)
    if not slashes or authority is None or "@" not in rest[authority.end() :]:
        return url
    if "@" not in authority.group() and not _NOT_A_PORT.search(authority.group()):
        return url
    return f"{scheme}//{HIDDEN}{rest[rest.rindex('@') :]}"


def holds_secret(url: str) -> bool:
    """Whether `redact` would hide a part of `url` that may be a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    pairs = parts.query.split("&") if parts.query else []
    return "@" in parts.netloc or any(_shown(pair) != pair for pair in pairs)


def host_of(url: str) -> str:
    """Return host and port of `url`, without user name and password."""
    try:
        return _CONTROL.sub("?", urlsplit(url).netloc.rpartition("@")[2])
    except ValueError:
        return "(no host)"


def manual_command(url: str, name: str) -> str | None:
    """Return a command that fetches `url` manually, with a tool that most people have.

    None for a URL that no such tool takes.
    """
    scheme = url.partition("://")[0].lower()
    if scheme == "s3":
        return f"aws s3 cp {shlex.quote(redact(url))} {shlex.quote(name)}"
    if scheme not in ("http", "https"):
        return None
    try:
        parts = urlsplit(url)
        file_id = dict(parse_qsl(parts.query)).get("id")
    except ValueError:  # Too many fields, or no URL at all.
        return None
    if parts.hostname == "drive.google.com" and file_id:
        # There, a page in place of the file would be saved.
        asked = urlencode({"id": file_id, "export": "download", "confirm": "t"})
        url = f"https://drive.usercontent.google.com/download?{asked}"
    # It resumes where it stopped.
    return f"curl -fL -C - -o {shlex.quote(name)} {shlex.quote(redact(url))}"


def hide_debug_lines(*names: str) -> None:
    """Keep the loggers `names` from showing signed URLs where a program logs everything.

    A logger that has a level of its own is left as it is: somebody wants to see its lines.
    """
    for name in names:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _shown(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if not equals:
        # A key without a value is either a flag or the secret itself.
        return key if key in _HARMLESS or len(key) <= 8 else HIDDEN
    return pair if not value or key.lower() in _HARMLESS else f"{key}={HIDDEN}"
