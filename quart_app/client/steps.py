"""What a call of the client does, step by step, without a network: the same for Client and AsyncClient.

A call is a generator. It yields what it wants done, is sent what came of it, and returns the result of the call.
`blocking.py` and `awaiting.py` do what is yielded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from quart_app.client.errors import NotFound, Refused, TaskServiceError, Unavailable
from quart_app.core import codec

SLOW: Final = 15.0  # seconds for an answer, in addition to the time that the request asks the server to wait
GRACE: Final = 1.0  # the same when the caller has no more time than that
FIRST: Final = 0.05  # seconds before a request is sent again; each time twice as long
LONGEST: Final = 1.0
# Answers of a server that is not ready, or of a proxy that does not reach it.
AGAIN: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Send:
    """Send a request. Brings an Answer, or Lost. `path` is below the URL of the service. `timeout`: seconds for each
    read. `stream`: an answer of 200 stays open, for Read."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout: float = SLOW
    stream: bool = False


@dataclass(frozen=True)
class Read:
    """Read on in the stream. Brings bytes, none at its end; or Lost."""


@dataclass(frozen=True)
class Close:
    """Close the stream."""


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Tell:
    """Call the caller's function with `value`."""

    function: Callable[[Any], Any]
    value: Any


@dataclass(frozen=True)
class Give:
    """Give the caller the next one of those that the call iterates over."""

    value: Any


Step = Send | Read | Close | Pause | Tell | Give
T = TypeVar("T")
Steps = Generator[Step, Any, T]


class Course(Generic[T]):
    """A call on its way. `step` is what it wants done next; None when it has ended, with `result`."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.step: Step | None = None
        self.result: Any = None
        self.go(None)

    def go(self, came: Any) -> None:
        """Go on with what the last step brought. Raises what the call raises."""
        try:
            self.step = self._steps.send(came)
        except StopIteration as ended:
            self.step, self.result = None, ended.value

    def close(self) -> None:
        self._steps.close()


@dataclass(frozen=True)
class Answer:
    """`headers` with names in lower case. `body` is empty for an open stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises TaskServiceError."""
        try:
            return codec.loads(self.body.decode())
        except ValueError:
            raise TaskServiceError(
                f"the answer {self.status} is not JSON: is the URL that of a task service?", problem_of(self)
            ) from None


class Unclear(Unavailable):
    """Whether the service has done what it was asked is not known, and to ask twice could do it twice."""

    def __init__(self, why: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{why}; whether the service has done it is not known", problem)


@dataclass(frozen=True)
class Lost:
    """No answer came, or the stream broke. `unsent`: the service has certainly not seen the request. `timed_out`:
    nothing came within the timeout. `busy`: this client has no connection free. `hopeless`: later it will be the same.
    """

    why: str
    unsent: bool = False
    timed_out: bool = False
    busy: bool = False
    hopeless: bool = False


class Patience:
    """How long a call goes on trying. `ends`: the time.monotonic() at which the caller wants it to end (None: never),
    and `late` the text of the TimeoutError then."""

    def __init__(self, where: str, unavailable_after: float, ends: float | None = None, late: str = "") -> None:
        self.late = late
        self.ends = ends
        self.tried = False
        """Whether a request came to nothing so far."""
        self._where = where
        self._most = unavailable_after
        self._failing_since: float | None = None
        self._tries = 0

    @property
    def left(self) -> float | None:
        """Seconds until the caller wants it to end; None: forever."""
        return None if self.ends is None else max(self.ends - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raises TimeoutError when the caller wants it to end."""
        if self.left == 0.0:
            raise TimeoutError(self.late)

    def answered(self) -> None:
        self._failing_since, self._tries = None, 0

    def pause(
        self, why: str, problem: Mapping[str, Any] | None = None, asked: float | None = None, silent: float = 0.0
    ) -> Pause:
        """The pause before the next try. `asked`: the seconds of Retry-After. `silent`: the seconds for which there was
        no answer before the try was given up. Raises Unavailable, TimeoutError."""
        now = time.monotonic()
        self.tried = True
        if self._failing_since is None:
            self._failing_since = now - silent
        self.check()
        left = self._failing_since + self._most - now
        if left <= 0:
            raise Unavailable(f"{self._where} was not available for {self._most:g} s: {why}", problem)
        self._tries += 1
        # Random, so that many clients do not come back to a new server at once.
        pause = min(FIRST * 2 ** min(self._tries - 1, 10), LONGEST) * random.uniform(0.5, 1)
        if asked is not None:
            pause = max(pause, asked * random.uniform(1, 1.1))
        return Pause(min(pause, left, *([] if self.left is None else [self.left])))


def ask(send: Send, patience: Patience, repeatable: bool = True) -> Steps[Answer]:
    """The answer to a request, whose status is below 300 (or 304). `repeatable`: to send it twice is as good as once,
    so it is sent again when no answer came. Raises Refused, NotFound, Unavailable, TaskServiceError, TimeoutError."""
    while True:
        came: Answer | Lost = yield send
        if isinstance(came, Answer):
            if came.status not in AGAIN:
                patience.answered()
                return checked(came)
            if not repeatable and came.status in (502, 504):  # a proxy does not say whether the service has seen it
                raise Unclear(line_of(came), problem_of(came))
            yield patience.pause(line_of(came), problem_of(came), _retry_after(came))
        elif came.busy:
            patience.check()
        elif came.hopeless:
            raise Unavailable(came.why)
        elif not repeatable and not came.unsent:
            raise Unclear(came.why)
        else:
            yield patience.pause(came.why, silent=min(SLOW, send.timeout) if came.timed_out else 0.0)


def checked(answer: Answer) -> Answer:
    """Raises Refused, NotFound, TaskServiceError."""
    if answer.status < 300 or answer.status == 304:
        return answer
    kind: type[TaskServiceError] = TaskServiceError
    if 400 <= answer.status < 500:
        kind = NotFound if answer.status == 404 else Refused
    raise kind(line_of(answer), problem_of(answer))


def problem_of(answer: Answer) -> dict[str, Any]:
    """The problem document; one made of the status when the answer has none, as those of proxies."""
    try:
        document = codec.loads(answer.body.decode())
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("title"), str):
        return {"status": answer.status, **document}
    return {"type": "about:blank", "title": _phrase(answer.status), "status": answer.status}


def line_of(answer: Answer) -> str:
    """The answer in one line: `422 Invalid arguments: /x: Expected int`."""
    problem = problem_of(answer)
    title, detail = problem["title"], problem.get("detail")
    line = f"{answer.status} {title}"
    if isinstance(detail, str) and detail not in ("", title):
        line += f": {detail}"
    if answer.status == 404 and problem.get("type") == "about:blank":
        line += " (there is no such address: the URL of the client has the prefix of the service, too)"
    if 300 <= answer.status < 400 and "location" in answer.headers:
        line += f": the service is at another address, {answer.headers['location'][:200]!r}"
    return line


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"


def _retry_after(answer: Answer) -> float | None:
    """Seconds; None without them. The other form of the field, a date, is not used by the service."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
