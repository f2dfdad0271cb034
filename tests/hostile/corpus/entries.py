"""Well-formed JSON that means nothing here: args that fit no signature, entries of a batch, options in a query."""

from __future__ import annotations

from typing import Any, Final

# JSON text where an integer is wanted.
NOT_INTEGERS: Final[dict[str, str]] = {
    "text": '"5"',
    "fraction": "1.5",
    "true": "true",
    "null": "null",
    "array": "[5]",
    "object": '{"a": 5}',
    "empty text": '""',
    "huge float": "1e300",
    "arabic digit as text": '"\u0663"',
}

# Args for the built-in kinds; each is 422.
ARGS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("add", {}),
    ("add", {"x": 1}),
    ("add", {"x": 1, "y": 2, "z": 3}),
    ("add", {"x": 1, "y": 2, "": 3}),
    ("add", {"X": 1, "Y": 2}),
    ("add", {"x": 1, "y": 2, "ctx": {}}),
    ("add", {"x": 1, "y": 2, "self": {}}),
    ("add", {"x": 1, "y": 2, "__class__": "os.system"}),
    ("add", {"x": 1, "y": 2, "a" * 10_000: 3}),
    ("add", {"x": 1, "y": 2, "<script>": 3}),
    ("echo", {"value": 1, "status": "completed"}),
    ("echo", {"value": 1, "owner": "admin"}),
    ("echo", {"f0": 1}),
    ("request-audit", {}),
    ("request-audit", {"endpoint": 5}),
    ("request-audit", {"endpoint": "/", "ip": []}),
    ("send-email", {"to": "a@b.example", "subject": "s", "body": "b", "from": "boss@b.example"}),
    ("send-email", {"to": "a@b.example\r\nBcc: c@d.example", "subject": "s", "body": "b"}),
    ("send-email", {"to": "a@b.example", "subject": "s\r\n\r\ninjected", "body": "b"}),
    ("send-email", {"to": "a@b.example,c@d.example", "subject": "s", "body": "b"}),
    ("send-email", {"to": ["a@b.example"] * 5_000, "subject": "s", "body": "b"}),
    ("send-email", {"to": "a" * 100_000 + "!", "subject": "s", "body": "b"}),
    ("send-email", {"to": "a@" + "a." * 50_000 + "!", "subject": "s", "body": "b"}),
    ("send-email", {"to": "a@" + "-" * 100_000, "subject": "s", "body": "b"}),
    ("send-email", {"to": "a@b.example", "subject": "s" * 100_000, "body": "b"}),
    ("send-bulk-email", {"recipients": ["a@b.example"] * 9_000, "subject": "s", "body": "b"}),
    ("send-bulk-email", {"recipients": ["a@b.example", "c@d.example,e@f.example"], "subject": "s", "body": "b"}),
    ("send-bulk-email", {"recipients": ["a@" + "a." * 50_000 + "!"], "subject": "s", "body": "b"}),
]

KINDS: Final = [
    "unknown", "os.system", "__class__", "__import__", "echo.__globals__", "quart_app.tasks.add", "builtins.eval",
    "", " ", "echo ", " echo", "ECHO", "echo\n", "echo;add", "../echo", "echo/../add", "*", "%65cho", "k" * 10_000,
    "\u0435cho", "echo\u200b", "\U0001f600", "<script>alert(1)</script>", "' OR 1=1 --", "${jndi:ldap://x}", "null",
]  # fmt: skip

# Option -> values that are none, as JSON values of a batch entry.
OPTIONS: Final[dict[str, list[Any]]] = {
    "kind": [None, 5, True, [], {}, ["echo"]],
    "args": [None, 5, True, "text", [], [1]],
    "delay": [-1, -0.001, 1e300, 10**30, True, "5", [], {}],
    "run_at": [0, 1700000000, "", "tomorrow", "2030-02-30T00:00:00Z", "9999-12-31T23:59:59Z", "2030-01-01", [], True],
    "priority": [101, -101, 2**63, 10**30, 1.5, "1", True, [], {}],
    "queue": ["", "UPPER", "a b", "../a", "a" * 101, "\u00e9", 5, [], True],
    "max_attempts": [0, -1, 1.5, 2**63, 10**30, "3", True, []],
    "timeout": [0, -1, 1e300, 10**30, "5", True, []],
    "expires": [0, -1, 1e300, 10**30, "5", True, []],
    "tags": ["text", 5, {}, [5], [None], [""], ["a\n"], ["\x1b[31m"], ["t" * 101], [["t"]],
    [str(n) for n in range(21)]],
    "idempotency_key": ["", " ", "a b", "k" * 256, "\u00e9", 5, [], True],
    # Columns and words that are not a client's to set.
    "status": ["completed"], "attempt": [1], "owner": ["admin"], "fence": [9], "id": ["x"], "task_id": ["x"],
    "crashes": [0], "result": [1], "error": [None], "version": [1], "created_at": ["2030-01-01T00:00:00Z"],
    "unknown": [1], "Kind": ["echo"], "tag": ["t"], "": [1], "__proto__": [{}], "callback": ["http://127.0.0.1/"],
}  # fmt: skip

# Query strings that no route takes.
QUERIES: Final = [
    "unknown=1", "status=x", "fence=1", "owner=admin", "id=1", "=", "=1", "a", "&&&=", "%", "%00=1", "a=%00",
    "%FF=1", "a=%FF", "a=%ED%A0%80", "a=%C0%80", "a[]=1", "a[b]=1", "a;b", "a=1;b=2", "__proto__=1", "<script>=1",
    "'=1", "a=" + "b" * 5000, "a" * 5000 + "=1", "&".join(f"a{n}=1" for n in range(1000)), "%0d%0aX:%20y=1",
]  # fmt: skip

# Parameter -> texts it does not take, with every route that reads it.
PARAMETERS: Final[dict[str, list[str]]] = {
    "GET /tasks?limit=": ["", "0", "-1", "201", "1e2", "0x10", "1_0", "+5", "%205", "5%20", "%D9%A3", "5.0", "all",
                          "9" * 20, "9" * 5000, "%00", "5%00", "5&limit=5", "NaN", "-0"],
    "GET /tasks?cursor=": ["", "0", "-1", "-0", "1.5", "1e5", "garbage", "9" * 30, "9" * 5000, "%00", "..", "'",
                           "+1", "0x1",
                           "%D9%A3", "MTIz", "1&cursor=2", "1%20OR%201=1", "null", "%FF"],
    "GET /tasks?status=": ["", "done", "PENDING", "pending,failed", "pending%00", "%20pending",
                           "pending&status=failed"],
    "GET /tasks?kind=": ["", "UPPER", "a%20b", "%27", "%00", "%FF", "k" * 101, "../a", "a&kind=b", "%F0%9F%98%80"],
    "GET /tasks?queue=": ["", "UPPER", "a%20b", "%27", "%00", "%FF", "q" * 101, "..%2Fa"],
    "GET /tasks?tag=": ["", "%0A", "%00", "%1B", "%7F", "t" * 101, "%FF", "a&tag=b"],
    "GET /tasks?fields=": ["", "*", "args,args", "owner", "args,", "result,args,result", "__dict__"],
    "GET /tasks?created_after=": ["", "0", "yesterday", "2030-01-01", "2030-13-01T00:00:00Z", "2030-01-01T00:00:00",
                                  "2030-01-01T25:00:00Z", "2030-01-01T00:00:60Z", "1e30", "%00", "9" * 5000,
                                  "0000-00-00T00:00:00Z",
                                  "2030-01-01T00:00:00%2B24:00", "2030-01-01T00:00:00." + "1" * 500 + "Z"],
    "GET /tasks/{done}?wait=": ["", "-1", "61", "1e1", "NaN", "inf", "0x1", "%D9%A3", "1_0", "%201", "1&wait=1",
                                "9" * 5000, "%00"],
    "POST /tasks/{done}/retry?restart=": ["", "1", "0", "TRUE", "yes", "true%00", "true&restart=true", "%FF"],
    "POST /tasks/echo?delay=": ["", "-1", "-0", "1e3", "NaN", "inf", "0x10", "1_0", "+5", "%205", "%D9%A3", "9" * 20,
                                "9" * 5000,
                                "5&delay=5", ".5", "5.", "%00", "5;6", "0.0000001"],
    "POST /tasks/echo?run_at=": ["", "now", "1700000000", "-1", "1e308", "2030-02-30T00:00:00Z",
                                 "9999-12-31T23:59:59Z",
                                 "2030-01-31T23:59:60Z", "2030-01-31", "2030-01-31T12:00:00", "%00", "1" * 5000],
    "POST /tasks/echo?priority=": ["", "101", "-101", "1.0", "1e1", "high", "--1", "9" * 5000, "%D9%A3", "1_0",
                                   "%00", "+1"],
    "POST /tasks/echo?queue=": ["", "UPPER", "..", "-a", "a%20b", "q" * 101, "%00", "%FF", "a%0d%0ab"],
    "POST /tasks/echo?max_attempts=": ["", "0", "-1", "1.5", "1e3", "9" * 20, "9" * 5000, "%00", "ten"],
    "POST /tasks/echo?timeout=": ["", "0", "-1", "1e3", "forever", "9" * 20, "%00", "NaN"],
    "POST /tasks/echo?expires=": ["", "0", "-1", "1e3", "never", "9" * 20, "%00", "NaN"],
    "POST /tasks/echo?tag=": ["", "%00", "%0A", "%1B[31m", "%FF", "t" * 101, "a" + "&tag=b" * 99],
}  # fmt: skip
