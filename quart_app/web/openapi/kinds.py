"""A kind as clients see it."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from quart_app.web.openapi.shapes_of_kinds import Kind, KindLimit, KindOptions

if TYPE_CHECKING:
    from quart_app.engine.kind import TaskKind


def kind_view(kind: TaskKind[..., Any], paused: bool) -> Kind:
    schema, definitions = kind.schema()
    options, unique = kind.options, kind.options.unique
    return Kind(
        kind=kind.name,
        description=cleandoc(kind.__doc__ or ""),
        executor=kind.executor,
        args_schema={**schema, "$defs": definitions} if definitions else schema,
        options=KindOptions(
            queue=options.queue,
            priority=options.priority,
            max_attempts=options.max_attempts,
            backoff=(options.backoff.first, options.backoff.factor, options.backoff.cap),
            timeout=options.timeout,
            expires=options.expires,
            retention=options.retention,
            unique=(list(unique.args) if unique.args is not None else True) if unique is not None else False,
            on_duplicate=unique.on_duplicate if unique is not None else None,
            debounce=unique.debounce if unique is not None else None,
        ),
        limits=[
            KindLimit(
                one.definition.name,
                one.key,
                None if one.definition.rate is None else str(one.definition.rate),
                one.definition.concurrency,
            )
            for one in kind.limits
        ],
        paused=paused,
    )
