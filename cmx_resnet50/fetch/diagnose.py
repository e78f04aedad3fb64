"""How this machine would ask sources: proxies, certificates, and a first answer of each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch.http import error_pages, trust
from cmx_resnet50.fetch.http.exceptions import translate_exception
from cmx_resnet50.fetch.http.proxies import proxy_of
from cmx_resnet50.fetch.http.response import validate_response
from cmx_resnet50.fetch.model import FetchOptions, Source
from cmx_resnet50.fetch.shared_cause import SharedCause, shared_cause
from cmx_resnet50.fetch.sources import admit, is_local
from cmx_resnet50.fetch.sources.file import missing_folder, path_of
from cmx_resnet50.fetch.verdicts import AttemptError, RestartDownload, SourceFailed


@dataclass(frozen=True)
class Setting:
    """One setting of the network, without secrets, and what is wrong with it, if anything is."""

    text: str
    problem: str | None = None
    why: str = "Nothing can be fetched through it."
    fix: str = ""


@dataclass(frozen=True)
class FirstAnswer:
    """What a source answered to the request for its first bytes; no problem: it sent them."""

    problem: str | None = None
    status: int | None = None
    shared: SharedCause | None = None
    """What is to blame on this machine, where the source is not."""


def proxies(urls: Iterable[str]) -> list[Setting]:
    """Return which proxies the hosts of `urls` are asked through."""
    found: dict[Setting | None, set[str]] = {}
    for url in urls:
        if not url.lower().startswith(("https://", "http://")):
            continue
        proxy = proxy_of(url)
        known = None
        if proxy is not None:
            credentials = "with" if proxy.has_credentials else "without"
            text = f"{proxy}, {credentials} a user name and a password,"
            known = Setting(text, proxy.problem, fix=proxy.correction())
        found.setdefault(known, set()).add(urlsplit(url).hostname or "")
    return [
        Setting(f"{'no proxy' if known is None else known.text} for {', '.join(sorted(hosts))}")
        if known is None or known.problem is None
        else known
        for known, hosts in found.items()
    ]


def certificates() -> Setting:
    """Return whose certificates are trusted."""
    named = trust.named_bundle()
    text = "certificates that the system trusts" if named is None else f"{named[0]}={named[1]}"
    try:
        trust.context()
    except SourceFailed as error:
        why = "Certificates are compared with it alone, so no https source is trusted."
        return Setting(text, error.reason, why, "" if named is None else f"unset {named[0]}")
    return Setting(text)


def folder_problem(mirror: Source) -> str | None:
    """Return why the folder that `mirror` names cannot be used; None for one that can."""
    if not is_local(mirror):
        return None
    try:
        folder = path_of(mirror.url)
        problem = missing_folder(folder)
        if problem is None and not folder.is_dir():
            return f"{folder} is not a folder"
        return problem or (None if os.access(folder, os.X_OK) else f"{folder} cannot be read")
    except SourceFailed as error:
        return error.reason
    except OSError as error:
        return os.strerror(error.errno or 0)


def ask(source: Source, options: FetchOptions) -> FirstAnswer:
    """Request the first bytes of `source`, once."""
    session = None
    try:
        kind = admit(source, offline=options.offline)
        if kind.endpoint is None:
            there = path_of(source.url).exists()
            return FirstAnswer() if there else FirstAnswer("there is no such file", 404)
        endpoint = kind.endpoint(source, options)
        with endpoint.session() as session:
            return _ask(session, endpoint.address(), options)
    except RestartDownload:
        # The fetch would ask again, without a range.
        return FirstAnswer()
    except AttemptError as error:
        return _failed(error, source)
    except Resnet50Error as error:
        return FirstAnswer(str(error))
    except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
        bundle = None if session is None else session.ca_bundle
        failure = translate_exception(error, source.url, ca_bundle=bundle)
        return _failed(failure, source)


def _failed(error: AttemptError, source: Source) -> FirstAnswer:
    return FirstAnswer(error.reason, error.status, shared_cause(error, source.url))


def _ask(session: requests.Session, url: str, options: FetchOptions) -> FirstAnswer:
    headers = {"Range": f"bytes=0-{error_pages.LENGTH - 1}"}
    timeout = (options.connect_timeout, options.read_timeout)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        answer = validate_response(response, 0, error_pages.LENGTH, ranged=True)
        data = response.raw.read(error_pages.LENGTH, decode_content=False)
        page = error_pages.detect_error_page(data, answer.content_type)
        return FirstAnswer(page or (None if data else "the answer is empty"), response.status_code)
