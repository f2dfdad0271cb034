"""Paths: ids that are none, ways out of a folder, and what each route allows."""

from __future__ import annotations

from typing import Final

IDS: Final = [
    "x", "0", "-1", "1e309", "NaN", "null", "undefined", "None", "true", "*", "'", "%22", "%60", "~", "!", "$", "(",
    ")",
    "019a0000-0000-7000-8000-000000000000", "019A0000-0000-7000-8000-000000000000",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "%7B019a0000-0000-7000-8000-000000000000%7D",
    "urn:uuid:019a0000-0000-7000-8000-000000000000", "019a0000-0000-7000-8000-00000000000",
    "019a00000000700080000000000000000",
    ".", "..", "...", "%2e", "%2e%2e", "%2E%2E", "..%5c", "%5c", "%252e%252e", "..;", "..%00", ".%2e", "%c0%ae%c0%ae",
    "%00", "%00%00", "a%00", "%00a", "a%0a", "a%0d%0ab", "%0d%0aSet-Cookie:%20a=b", "%1b[31m", "%7f", "%08",
    "%e2%80%a8",
    "%ff", "%fe%ff", "%80", "%c0%80", "%ed%a0%80", "%f4%90%80%80", "%e2%82", "%f0%9f%98%80", "%e2%80%ae", "%EF%BB%BF",
    "%", "%%", "%z", "%zz", "%2", "%u0041", "%25", "%2525", "a%", "a%2",
    "a" * 100, "a" * 1000, "a" * 10_000, "%61" * 3000, "%00" * 3000, "9" * 5000,
    "a;b", "a;b=c", "a=b", "a&b", "a,b", "a:b", "a@b", "a+b", "a%20b", "%20", "%09", "a|b", "a^b", "{a}", "[a]",
    "<a>", "\\",
    "' OR '1'='1".replace(" ", "%20"), "1;DROP%20TABLE%20tasks", "{{7*7}}", "${7*7}", "$(id)", "`id`", "%3Cscript%3E",
    "${jndi:ldap://127.0.0.1/a}", "file:", "C:%5CWindows", "CON", "id.json", "cancel", "retry", "history",
    "etc%2fpasswd", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "a%2fb", "..%2f..%2f..%2f..%2fasync_tasks.log",
]  # fmt: skip

# Not among them: `//tasks` and `/tasks%2fecho` are routes (Werkzeug drops leading slashes, ASGI servers decode %2f).
PATHS: Final = [
    "/nowhere", "/tasks/", "/tasks//", "/tasks//echo", "//tasks//echo", "/hello/", "/health/", "/status/", "/start",
    "/start/", "/start/1", "/start/1/", "/start/1/2/", "/start/1/2/3", "/start//1/2", "/start/1//2", "/tasks/a/b",
    "/tasks/a/b/c",
    "/../health", "/./health", "/tasks/../health", "/%2e%2e/health", "/..%2fhealth", "/health%00", "/health%2f",
    "/health;a=b", "/health%3f", "/health.json", "/HEALTH", "/Health", "/%68ealth%20", "/static/../app.py",
    "/static/x", "/static/",
    "/.env", "/.git/config", "/tasks.db", "/instance/tasks.db", "/async_tasks.log", "/outbox/x.eml", "/etc/passwd",
    "/quart_app/app.py",
    "/%00", "/%ff", "/%", "/%zz", "/\\", "/*", "/~root", "/a" * 2000, "/" + "a" * 10_000,
    "/" + "%2e%2e%2f" * 500 + "etc/passwd",
    "/evil.example", "//evil.example/", "//evil.example/%2e%2e", "/http://evil.example/", "/tasks/echo%2f",
    "/favicon.ico", "/robots.txt", "/wp-admin", "/server-status", "/actuator/env", "/cgi-bin/sh", "/index.php",
]  # fmt: skip

NUMBERS: Final = [
    "1.0", "1.5", "1e3", "1E3", "0x10", "0b1", "0o7", "1_0", "+5", "%2B5", "%205", "5%20", "%095", "5%0a", "5%00",
    "%005", "--1", "-",
    "-%201", "- 1".replace(" ", "%20"), "1,000", "1/2".replace("/", "%2f"), "NaN", "nan", "Infinity", "-Infinity",
    "inf", "null", "true",
    "%D9%A3", "%EF%BC%91", "%E2%85%A0", "%C2%B2", "%E2%88%921", "1" * 1001, "-" + "1" * 1001, "0" * 1001,
    "9" * 10_000, "five", "%ff", "x",
]  # fmt: skip

METHODS: Final = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PROPPATCH", "MKCOL",
    "COPY", "MOVE",
    "LOCK", "UNLOCK", "SEARCH", "REPORT", "MERGE", "PURGE", "LINK", "UNLINK", "SUBSCRIBE", "NOTIFY", "M-SEARCH",
    "QUERY", "BREW",
    "TRACK", "DEBUG", "X", "GETGET", "A" * 1000, "__CLASS__", "!#$%&'*+-.^_`|~",
]  # fmt: skip

# What each route allows; HEAD goes with GET, and OPTIONS is answered everywhere.
ALLOWED: Final[dict[str, set[str]]] = {
    "/": {"GET"},
    "/hello": {"GET"},
    "/health": {"GET"},
    "/ready": {"GET"},
    "/status": {"GET"},
    "/status/x": {"GET"},
    "/start/1/2": {"GET"},
    "/cat/1": {"GET"},
    "/cat_async_limited/1": {"GET"},
    "/api/data": {"GET"},
    "/tasks": {"GET", "POST"},
    "/tasks/x": {"GET", "POST", "DELETE", "PATCH"},
    "/tasks/x/cancel": {"POST"},
    "/tasks/x/retry": {"POST"},
    "/tasks/x/fork": {"POST"},
    "/tasks/x/history": {"GET"},
    "/reports/x": {"GET"},
}
