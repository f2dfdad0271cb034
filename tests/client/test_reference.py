"""docs/reference/python-client.md against the code: nothing missing, nothing that does not exist."""

from __future__ import annotations

import inspect
import re

import pytest

from quart_app import client
from quart_app.client import AsyncClient, Client, Progress, Task, TaskError
from quart_app.client.errors import TaskServiceError
from tests import readme

PAGE = readme.PAGES["docs/reference/python-client.md"]


def methods(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


def test_both_clients_have_the_methods_of_the_table_and_no_other() -> None:
    listed = [readme.code(row[0])[0] for row in readme.rows(PAGE, "method")]
    assert {name.partition("(")[0] for name in listed} == methods(Client) == methods(AsyncClient)


@pytest.mark.parametrize("name", sorted(methods(Client)))
def test_both_clients_take_what_the_table_says(name: str) -> None:
    blocking, awaiting = (inspect.signature(getattr(kind, name)) for kind in (Client, AsyncClient))
    assert list(blocking.parameters.values()) == list(awaiting.parameters.values())
    taken = list(blocking.parameters.values())[1:]
    shown = str(
        blocking.replace(
            parameters=[one.replace(annotation=inspect.Parameter.empty) for one in taken],
            return_annotation=inspect.Signature.empty,
        )
    )
    assert f"`{name}{shown}`" in PAGE


def test_every_field_of_a_task_is_in_the_table_and_no_other() -> None:
    rows = readme.rows(PAGE, "field")
    assert sorted(name for row in rows for name in readme.code(row[0])) == sorted(Task.__struct_fields__)
    parts = {row[0].strip("`"): readme.code(row[1]) for row in rows}
    assert parts["progress"] == list(Progress.__struct_fields__)
    assert parts["error"] == list(TaskError.__struct_fields__)


def test_every_error_is_in_the_table() -> None:
    listed = [name for row in readme.rows(PAGE, "class") for name in readme.code(row[0])]
    ours = {name for name in client.__all__ if issubclass(getattr(client, name), Exception)}
    assert ours <= set(listed)
    assert all(issubclass(getattr(client, name), TaskServiceError) for name in listed[:4])


def test_every_name_is_on_the_page() -> None:
    assert {name for name in client.__all__ if not re.search(rf"`{name}\b", PAGE)} == set()
