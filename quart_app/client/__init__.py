"""The Python client: a task service over HTTP. It needs httpx and msgspec, and nothing of the server."""

from quart_app.client.async_client import AsyncClient
from quart_app.client.client import Client
from quart_app.client.errors import NotFound, Refused, TaskServiceError, Unavailable
from quart_app.client.task import Children, Event, Explanation, Progress, Task, TaskError, TaskFailed

__all__ = [
    "AsyncClient",
    "Children",
    "Client",
    "Event",
    "Explanation",
    "NotFound",
    "Progress",
    "Refused",
    "Task",
    "TaskError",
    "TaskFailed",
    "TaskServiceError",
    "Unavailable",
]
