"""`serve` of the web tests; the sites that are crawled are on loopback, so private addresses are allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.web.conftest import Serve, serve, site  # noqa: F401
from tests.web.site import Site


@pytest.fixture
async def crawler(serve: Serve) -> AsyncIterator[Site]:  # noqa: F811
    async with serve(allow_private_targets=1) as served:
        yield served
