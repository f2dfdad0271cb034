"""The walls of the house: which room may import which, and who may know a library. test_architecture.py holds them.

Where the code shows a better wall, move it here and on docs/contributing.md's map, in a commit that says why.
"""

from __future__ import annotations

# room -> what it may import of ours, beside itself. A name stands for the module and everything below it; a room is
# found by its longest name. `""` is the package itself (`quart_app/__init__.py`).
EVERYWHERE = {"settings", "clock"}
BELOW_ALL = {"core", "settings", "clock"}  # these import nothing that all others may import
TOLD = {"process.files", "process.forks"}  # parts of the process that have no state of the service
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "settings": {"core"},
    "clock": {"core"},
    "store": {"core", "process.forks"},
    "engine": {"core", "store.protocols", *TOLD},
    # Has no runtime: it makes what a handler needs.
    "engine.processes.child": {"core", "engine", "process.setup", *TOLD},
    "service": {"core", "store.protocols", "engine", "process.descriptors", *TOLD},
    # What a user's own module may import: the package's own names, and the errors and types of core.
    "tasks": {"core", "engine.__init__"},
    # Over HTTP only: it is used where nothing of the server is installed.
    "client": {"core"},
    "runtime": {"core", "store", "engine", "service", "tasks", "process.files", "process.disk", "process.http_clients"},
    # Around the service: these know nothing of it.
    "process": {"core"},
    "process.logs": {"core", "engine.logger", "process"},
    "process.http_clients": {"core", "engine.threads"},
    "process.server": {"core", "app", "process", "web.protection.listeners"},  # it starts the whole
    "web": {"core", "service", "process.metrics", "process.logs", "process.known_versions", ""},
    # The pages for people. They ask the service as the routes do, and record acts as those do.
    "dashboard": {"core", "service", "web"},
    "app": {"core", "dashboard", "engine.registry", "runtime", "service", "web", "process"},
    "asgi": {"core", "app", "process"},
    # Over HTTP, or in this process through the app; and what needs no server goes to the store's own files.
    "cli": {
        "core",
        "client",
        "app",
        "runtime",
        "process",
        "store.audit",
        "store.sqlite.backup",
        "store.sqlite.lock",
        "",
    },
    # What users test their tasks with: the runtime, moved by hand.
    "testing": {
        *("core", "engine", "service", "tasks", "runtime", "app", "store.at_once", "store.claim_one"),
    },
    "__main__": {"cli"},
    "": {"core", "engine.__init__", "app"},
}
# Names used in annotations alone: what a context and the views are given is made by the runtime, and the kinds that the
# documentation describes come through the service.
FOR_ANNOTATIONS: dict[str, set[str]] = {
    "engine.context": {"service"},
    "engine.services": {"service"},
    "web.app_state": {"runtime"},
    "dashboard.schema_forms": {"engine.kind"},
    "web.routes.api_docs": {"engine.kind"},
    "web.openapi.document": {"engine.kind"},
    "web.openapi.kinds": {"engine.kind"},
    "web.routes.metrics": {"runtime"},
    "web.routes.uploads": {"engine.upload"},
}

# A library of the world -> the only places that may know it.
DRIVERS: dict[str, set[str]] = {
    "quart": {"app", "web", "dashboard", "testing"},  # in testing for annotations alone
    "jinja2": {"dashboard.frame"},
    "pytest": {"testing.plugin"},
    "pytest_asyncio": {"testing.plugin"},
    "hypercorn": {
        *("process.server", "process.hypercorn_connections"),
        *("web.protection.hypercorn_patches", "web.protection.hypercorn_http2"),
    },
    "h2": {"web.protection.hypercorn_http2"},
    "wsproto": {"web.protection.hypercorn_patches", "web.protection.wsproto_patches"},
    "uvicorn": {
        "process.uvicorn_server",
        "web.protection.uvicorn_patches",
        "web.protection.uvicorn_h11_patches",
    },
    "httptools": {"process.uvicorn_server", "web.protection.uvicorn_patches"},
    "aiosqlite": {"store.sqlite.database"},
    "sqlite3": {"store"},
    "aiosmtplib": {"tasks.mail"},
    "reportlab": {"tasks.pdf", "tasks.pdf_text"},
    "structlog": {"process.logs", "engine"},
    "prometheus_client": {"process.metrics", "web.routes.metrics"},
    "httpx": {
        *("client", "runtime", "engine.context", "engine.services", "cli", "process.http_clients", "tasks"),
        "web.examples",
    },
    "httpcore": {"process.http_clients"},
    "cv2": {"tasks.detect_faces"},
    "PIL": {"tasks.detect_faces"},
    "protego": {"tasks.robots"},
    "rich": {"cli"},
    "dotenv": {"settings"},
    "uuid_utils": {"service.tasks"},
    "cronsim": {"core.schedule"},
    "fcntl": {"store.sqlite.lock", "process.forks"},
    "werkzeug": {"web", "dashboard"},
}
