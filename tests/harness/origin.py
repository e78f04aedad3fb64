"""`Origin`: the internet of the tests, a `Server` with a file for each URL of every host.

Use::

    with Origin(Authority(tmp_path)) as origin:
        origin.serve("https://zenodo.org/record/1/files/a.onnx", b"bytes or a Path")
        origin.fail("https://zenodo.org/record/1/files/a.onnx", faults.Status(503), times=1)
        ...  # a client with origin.environment() in its environment
        assert origin.bytes_sent() == 12
        assert [r.status for r in origin.requests] == [503, 200]

The key is the URL with its query; for unknown URLs the answer is 404.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.harness.authority import Authority
from tests.harness.faults import Behaviour, reply
from tests.harness.reply import Reply, Request, Resource
from tests.harness.server import Server


@dataclass
class _Rule:
    behaviours: tuple[Behaviour, ...]
    times: int | None
    skip: int
    when: Callable[[Request], bool] | None


class Origin(Server):
    """All hosts, and the proxy in front of them."""

    def __init__(self, authority: Authority) -> None:
        self._resources: dict[str, Resource] = {}
        self._rules: dict[str, list[_Rule]] = {}
        super().__init__(self._look_up, authority)

    def serve(
        self,
        url: str,
        content: Path | bytes | Resource,
        *behaviours: Behaviour,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer `url` with a file or bytes, always under `behaviours` if any are given."""
        known = content if isinstance(content, Resource) else Resource.of(content, headers)
        with self._lock:
            self._resources[url] = known
            if behaviours:
                self._rules[url] = [_Rule(behaviours, None, 0, None)]

    def forget(self, url: str) -> None:
        """Answer `url` with 404 from now on."""
        with self._lock:
            self._resources.pop(url, None)

    def fail(
        self,
        url: str,
        *behaviours: Behaviour,
        times: int | None = None,
        skip: int = 0,
        when: Callable[[Request], bool] | None = None,
    ) -> None:
        """Answer the next `times` requests (None: all) to `url` under all of `behaviours`.

        Calls queue up: a rule that is used up makes way for the next. `skip` requests are
        answered well before; requests for which `when` is false pass the rule by.
        """
        with self._lock:
            self._rules.setdefault(url, []).append(_Rule(behaviours, times, skip, when))

    def heal(self, url: str | None = None) -> None:
        """Drop the rules of one URL, or of all."""
        with self._lock:
            if url is None:
                self._rules.clear()
            else:
                self._rules.pop(url, None)

    def reset(self) -> None:
        """Forget files, rules and the log."""
        with self._lock:
            self._resources.clear()
            self._rules.clear()
            self.clear_log()

    def _look_up(self, request: Request) -> Reply:
        with self._lock:
            resource = self._resources.get(request.url)
            behaviours = self._behaviours(request)
        return reply(request, resource, *behaviours)

    def _behaviours(self, request: Request) -> tuple[Behaviour, ...]:
        for rule in self._rules.get(request.url, []):
            if rule.times == 0 or (rule.when and not rule.when(request)):
                continue
            if rule.skip:
                rule.skip -= 1
                return ()
            if rule.times is not None:
                rule.times -= 1
            return rule.behaviours
        return ()
