"""The built-in kinds, and what they share: mail, PDF, robots.txt. They use only what the kinds of a user use:
`task` and the context."""

from __future__ import annotations

from quart_app.tasks.add import add
from quart_app.tasks.bulk import bulk
from quart_app.tasks.cat_facts import all_at_once, in_turn, one_by_one
from quart_app.tasks.cleanup import cleanup
from quart_app.tasks.crawl import crawl
from quart_app.tasks.detect_faces import detect_faces
from quart_app.tasks.generate_report import generate_report
from quart_app.tasks.request_audit import request_audit
from quart_app.tasks.send_bulk_email import send_bulk_email
from quart_app.tasks.send_email import send_email
from quart_app.tasks.stats_update import stats_update
from quart_app.tasks.stream_words import stream_words

UPKEEP = (cleanup, stats_update)
"""Kinds for the upkeep of the service. They need the scope `admin`; an app's own kind may take the name of one."""
EXAMPLES = (
    *(add, crawl, detect_faces, generate_report, request_audit, send_bulk_email, send_email),
    *(one_by_one, all_at_once, in_turn, stream_words),
)
ALWAYS = (bulk,)
"""Kinds that parts of the API are made of. No other kind may take their names."""
BUILT_IN = (*EXAMPLES, *UPKEEP, *ALWAYS)
