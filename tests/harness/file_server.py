"""`FileServer`: a `Server` of one file, under any path, with a plan of answers.

Use::

    with FileServer(content) as server:
        server.plan = [Status(503), (IgnoreRanges(), Reset(1000))]
        ...  # a client asks server.url
        assert server.ranges == ["bytes=0-", "bytes=0-", "bytes=1000-"]

The first answer left in `plan` is used up by each request; after the plan, `always` answers. An
answer is a fault, several together, or a function from request to reply, which may call `reply`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.harness import faults
from tests.harness.authority import Authority
from tests.harness.faults import Behaviour
from tests.harness.reply import Reply, Request, Resource
from tests.harness.server import Server

Answer = Behaviour | Sequence[Behaviour] | Callable[[Request], Reply]


class FileServer(Server):
    """One file; `content` and `etag` may be altered at any time."""

    def __init__(
        self,
        content: bytes,
        *,
        etag: str = '"one"',
        always: Answer = (),
        authority: Authority | None = None,
    ) -> None:
        self.content = content
        self.etag = etag
        self.plan: list[Answer] = []
        self.always = always
        super().__init__(self._next, authority)

    @property
    def url(self) -> str:
        """A URL of the file, over TLS where the server has an authority."""
        return self.at("/model.onnx", "http" if self._authority is None else "https")

    @property
    def ranges(self) -> list[str]:
        """The Range headers of all requests."""
        return [request.range or "" for request in self.requests]

    def reply(self, request: Request, *behaviours: Behaviour) -> Reply:
        """Answer with the file, under `behaviours`."""
        resource = Resource(self.content, etag=self.etag, last_modified=None)
        return faults.reply(request, resource, *behaviours)

    def _next(self, request: Request) -> Reply:
        with self._lock:
            answer = self.plan.pop(0) if self.plan else self.always
        if isinstance(answer, Behaviour):
            return self.reply(request, answer)
        return answer(request) if callable(answer) else self.reply(request, *answer)
