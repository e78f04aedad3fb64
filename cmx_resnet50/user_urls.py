"""URLs that users name, for a file or for a mirror: one spelling, and what is refused at once.

Nothing is looked up: a URL is refused here for how it is written, whichever way it came in.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

SCHEMES = ("https", "http", "s3", "file")
SUPPORTED = "://, ".join(SCHEMES[:-1]) + f":// and {SCHEMES[-1]}://"
"""What a URL of the user's may begin with, in words."""

PORTS = "a number from 1 to 65535"
_WEB = ("https", "http")
_PORT = re.compile(r":([^:\]]+)\Z")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_QUOTES = "\"'`"


def plain(url: str) -> str:
    """Return `url` with its scheme in lower case, as RFC 3986 has it; nothing else is changed.

    Examples
    --------
    >>> plain("HTTPS://Example.org/A"), plain("file:/mnt/a"), plain("Remote:a")
    ('https://Example.org/A', 'file:///mnt/a', 'Remote:a')
    """
    scheme, colon, rest = url.partition(":")
    if not colon or not rest.startswith("/") or not _SCHEME.fullmatch(scheme):
        return url
    # RFC 8089 leaves the empty host of a file out.
    slashes = "//" if scheme.lower() == "file" and not rest.startswith("//") else ""
    return f"{scheme.lower()}:{slashes}{rest}"


def without_fragment(url: str) -> str:
    """Return `url` without the part from ``#`` on, which no client sends to a server."""
    return url.partition("#")[0] if url.partition("://")[0] in (*_WEB, "file") else url


def problem_of(url: str) -> str | None:
    """Return why nothing can be fetched from `url`, in the spelling of `plain`; None if it can.

    Examples
    --------
    >>> problem_of("https://example.org/models")
    >>> problem_of("htps://example.org/models")
    'htps:// is not supported. Did you mean https://?'
    """
    scheme, colon, _ = url.partition("://")
    if url[:1] and url[0] in _QUOTES:
        return "it begins with a quote. Leave the quotes out."
    if not colon or not _SCHEME.fullmatch(scheme):
        return _no_scheme(url)
    if scheme not in SCHEMES:
        return _unknown(scheme)
    try:
        parts = urlsplit(url)
        # Reading the port is what raises for one that is not a number.
        host, _ = parts.hostname, parts.port if scheme in _WEB else None
    except ValueError:
        if has_wrong_port(url):
            return f"its port is not {PORTS}."
        return (
            "it is not a URL: its host or port cannot be read. In a password / is written %2F, "
            "? %3F, # %23 and @ %40."
        )
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            return "a file:// URL names no host: write file:///THE/FOLDER, with three slashes."
    elif not host:
        return f"it names no {'bucket' if scheme == 's3' else 'host'}."
    return None


def has_wrong_port(url: str) -> bool:
    """Whether the port is what is wrong with `url`, and not a part of a password taken for one.

    Examples
    --------
    >>> has_wrong_port("http://proxy:99999"), has_wrong_port("http://anna:99999/x@proxy:80")
    (True, False)
    """
    authority, *rest = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)
    port = _PORT.search(authority.rpartition("@")[2])
    if port is None or re.search(r"[#\s]", url) or any("@" in part for part in rest):
        return False
    digits = port[1].lstrip("0")
    return not (digits.isdecimal() and len(digits) <= 5 and int(digits) <= 65535)


def problem_of_prefix(url: str) -> str | None:
    """Return why `url` cannot be the beginning of the URLs of a mirror's files; None if it can."""
    problem = problem_of(url)
    if problem is not None:
        return problem
    scheme = url.partition("://")[0]
    if "#" in url and scheme != "s3":
        return (
            "it has a fragment, the part from # on. Leave it out, or write %23 for a # that "
            "belongs to the path or to a key."
        )
    if "?" in url and scheme == "file":
        return "it has a query, which no file has. Write %3F for a ? that belongs to the path."
    return None


def _no_scheme(url: str) -> str:
    if url.startswith("//"):
        return "it has no scheme. Write https: before it."
    if url.startswith("/"):
        return f"it has no scheme. For this folder write file://{quote(url)}"
    return f"it has no scheme. Supported are {SUPPORTED}, for a folder file:///THE/FOLDER"


def _unknown(scheme: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(scheme, SCHEMES, n=1, cutoff=0.8)
    if near:
        return f"{scheme}:// is not supported. Did you mean {near[0]}://?"
    return (
        f"{scheme}:// is not supported. Supported are {SUPPORTED}. "
        "Most other stores can be reached over https: name that address."
    )
