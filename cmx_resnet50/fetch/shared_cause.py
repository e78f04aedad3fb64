"""Failures to blame on this machine's network and not on a source: they hit every source alike."""

from __future__ import annotations

from dataclasses import dataclass

from cmx_resnet50.fetch.http import trust
from cmx_resnet50.fetch.http.proxies import Proxy, only_for_http, proxy_of
from cmx_resnet50.fetch.verdicts import AttemptError, NetworkDown, ProxyDown, UnknownName
from cmx_resnet50.redaction import host_of


@dataclass(frozen=True)
class SharedCause:
    """Why sources fail, without the name of one of them; and the command that fixes it."""

    what: str
    why: str
    fix: str


def shared_cause(error: AttemptError, url: str) -> SharedCause | None:
    """Return the cause of `error` on this machine's side; None where the source may be to blame."""
    proxy, named = proxy_of(url), trust.named_bundle()
    what = error.reason.replace(host_of(url), "each host")
    if proxy is not None and _is_of_proxy(error, proxy):
        why = f"All of them are asked through the proxy that {proxy.named_by} names."
        return SharedCause(what, why, proxy.correction(password=error.status == 407))
    if proxy is None and isinstance(error, NetworkDown | UnknownName):
        if isinstance(error, UnknownName):
            what = "the name server resolves none of their names"
        else:
            what = "no name server answers, or there is no route"
        return _without_proxy(what, url)
    if named is not None and f"which {named[0]} names, cannot be read" in error.reason:
        return SharedCause(what, "Without it, no https source is trusted.", f"unset {named[0]}")
    return None


def _is_of_proxy(error: AttemptError, proxy: Proxy) -> bool:
    return (
        isinstance(error, ProxyDown) or str(proxy) in error.reason or error.reason == proxy.problem
    )


def _without_proxy(what: str, url: str) -> SharedCause:
    variable = only_for_http(url)
    if variable is not None:
        why = f"{variable} is set, but https needs HTTPS_PROXY."
        return SharedCause(what, why, f'export HTTPS_PROXY="${variable}"')
    why = (
        "This machine is not connected, or reaches the internet only through a proxy; none is set."
    )
    return SharedCause(what, why, "export HTTPS_PROXY=http://HOST:PORT")
