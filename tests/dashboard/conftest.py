"""`serve` and `site` as for the API; `visitor` opens pages of the site as a browser without scripts does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboard.visitor import Visitor
from tests.web.conftest import serve, site
from tests.web.site import Site

__all__ = ["serve", "site"]


@pytest.fixture
def visitor(site: Site) -> Iterator[Visitor]:
    yield Visitor(site)
