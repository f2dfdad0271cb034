"""`@around`: code that runs around the attempts of kinds, before and after each run of a handler."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar, overload

from quart_app.core.errors import ConfigError
from quart_app.engine.suspension import Suspension, SuspensionSwallowed

R = TypeVar("R")
AroundFunction = Callable[[Any], AsyncIterator[Any]]

_NUMBERS: Final = itertools.count()


class Around:
    """A declared async generator function. Called, it is that function still. `patterns` empty: for every kind."""

    def __init__(self, function: AroundFunction, patterns: tuple[str, ...]) -> None:
        self.function = function
        self.patterns = patterns
        self.number = next(_NUMBERS)
        """Rises with each declaration in this process."""
        self.entered = contextlib.asynccontextmanager(function)
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    def __call__(self, ctx: Any) -> AsyncIterator[Any]:
        return self.function(ctx)

    def __repr__(self) -> str:
        return f"<Around {self.__module__}.{self.__name__}>"

    def matches(self, kind: str) -> bool:
        return not self.patterns or any(fnmatchcase(kind, pattern) for pattern in self.patterns)


@overload
def around(function: AroundFunction, /) -> Around: ...


@overload
def around(*patterns: str) -> Callable[[AroundFunction], Around]: ...


def around(*patterns: Any) -> Any:
    """Declare code that runs around the handler of every kind, or of those whose name matches one of the `patterns`
    (`*`, `?` and `[…]` as in file names). It is an async generator function of the context with one `yield`: the
    attempt runs there, and its error is raised there. Raises ConfigError.

    Several nest in the order of declaration, the first outermost. A suspension leaves them, the wake-up enters them
    again. They do not run for kinds with executor="process"."""
    if len(patterns) == 1 and not isinstance(patterns[0], str) and callable(patterns[0]):
        return _declare(patterns[0], ())
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            raise ConfigError(f'@around: a pattern is the text of a kind\'s name, as "mail-*", not {pattern!r:.100}')
    return lambda function: _declare(function, patterns)


def _declare(function: Any, patterns: tuple[str, ...]) -> Around:
    check_generator("@around", function, 1, "(ctx)")
    return Around(function, patterns)


def check_generator(what: str, function: Any, takes: int, shown: str) -> None:
    """Raises ConfigError for what is no async generator function that can be called with `takes` arguments."""
    name = getattr(function, "__qualname__", repr(function)[:100])
    if not inspect.isasyncgenfunction(function):
        raise ConfigError(f"{what}: {name} is no async generator function (`async def` with one `yield` in it)")
    try:
        inspect.signature(function).bind(*[None] * takes)
    except TypeError as error:
        raise ConfigError(f"{what}: {name} is called as {name}{shown}: {error}") from None


async def within(arounds: Sequence[Around], ctx: Any, suspension: Suspension, call: Callable[[], Awaitable[R]]) -> R:
    """What `call` returns, called inside of all of them, the first outermost. An error that one of them swallows is
    raised all the same; one that it raises itself takes the place of the former."""
    if not arounds:
        return await call()
    inner: BaseException | None = None
    try:
        async with arounds[0].entered(ctx):
            try:
                return await within(arounds[1:], ctx, suspension, call)
            except BaseException as error:
                inner = error
                raise
    except BaseException as error:
        if suspension.left_by(inner) and not suspension.left_by(error) and not isinstance(error, SuspensionSwallowed):
            suspension.drop()  # it failed while it left for a wait: the attempt ends in that error
        raise
    assert inner is not None  # type: ignore[unreachable]  # a context manager can swallow an error
    raise inner
