"""Header fields: some are refused, some are nobody's business and change nothing."""

from __future__ import annotations

from typing import Final

from tests.hostile.wire import Field

# For `POST /tasks/echo` with the body {}: each is refused.
CONTENT_TYPES: Final = [
    b"text/plain", b"text/json", b"text/html", b"application/xml", b"application/x-www-form-urlencoded",
    b"multipart/form-data",
    b"multipart/form-data; boundary=x", b"application/octet-stream", b"application/jsonp", b"application/json5",
    b"application/x-ndjson",
    b"application/problem+json", b"application/vnd.api+json", b"application/json, text/plain",
    b"application/json; charset=utf-7",
    b"application/json; charset=utf-16", b"application/json; charset=latin-1", b"application/json; charset=",
    b"json", b"*/*", b"a", b";",
    b"application/", b"/json", b"application /json", b"applicati\xf6n/json", b"application/json" * 100,
    b"a/b;" * 2000, b"'", b"%00",
]  # fmt: skip

REFUSED: Final[dict[str, list[Field]]] = {
    "two content types": [(b"Content-Type", b"application/json"), (b"Content-Type", b"text/plain")],
    **{
        f"encoding {value!r}": [(b"Content-Encoding", value)]
        for value in (b"gzip", b"deflate", b"br", b"zstd", b"compress", b"identity, gzip", b"gzip, gzip", b"x",
        b"\xff")
    },
    **{
        f"key {value[:20]!r}": [(b"Idempotency-Key", value)]
        for value in (b"", b" ", b"a b", b"a\tb", b"caf\xe9", b"\xff", b"\x1b[31m", b"k" * 256, b"k" * 10_000)
    },
    "two keys": [(b"Idempotency-Key", b"one"), (b"Idempotency-Key", b"two")],
    **{
        f"wait {value[:20]!r}": [(b"Prefer", b"wait=" + value)]
        for value in (b"", b"-1", b"ten", b"1e3", b"NaN", b"inf", b"0x10", b"\xd9\xa3", b"9" * 5000, b"1_0")
    },
    **{
        f"origin {value!r}": [(b"Origin", value)]
        for value in (
            b"https://evil.example", b"null", b"", b"http://localhost.evil.example", b"http://localhost:1",
            b"http://[::1", b"http://[x]",
            b"//[", b"localhost", b"file://", b"http://localhost@evil.example", b"\xff",
            b"http://localhost, http://localhost",
            b"http://\xff", b"a" * 10_000,
        )
    },
    **{f"fetch site {value!r}": [(b"Sec-Fetch-Site", value)] for value in (b"cross-site", b"same-site", b"x", b"",
    b"\xff")},
    "101 fields": [(b"X-%d" % number, b"v") for number in range(101)],
    "1000 fields": [(b"X-%d" % number, b"") for number in range(1000)],
    "a hundred times the same field": [(b"X", b"v")] * 100,
    "16 KB of one field": [(b"X", b"v" * 16_384)],
    "15 fields of a kilobyte and more": [(b"X-%d" % number, b"v" * 1200) for number in range(15)],
    "a cookie of 60 KB": [(b"Cookie", b"a=" + b"b" * 60_000)],
    "a field name of 20 KB": [(b"X" * 20_000, b"v")],
}  # fmt: skip

# For `GET /tasks/<a finished task>`: the task is answered all the same (304 where `*` asks for it).
IGNORED: Final[list[Field]] = [
    *[
        (name, value)
        for name in (b"If-None-Match", b"If-Match", b"If-Range", b"Last-Event-ID", b"Range", b"If-Modified-Since",
        b"If-Unmodified-Since")
        for value in (b"", b'"', b'"x', b'W/"', b"W/", b"garbage", b"-1", b"9" * 30, b"9" * 5000, b'"' * 4000,
        b'"a",' * 2000, b"\xff\xfe",
                      b"bytes=0-", b"bytes=-1", b"bytes=9-1", b"bytes=0-0," * 500, b"items=1-2",
                      b"Thu, 99 Foo 2099 99:99:99 GMT")
    ],
    *[(b"Accept", value) for value in (b"", b"*", b"text/html;q=x", b"application/xml", b"a/" * 3000, b"q=0",
    b"*/*;q=9e999", b"\xff")],
    *[(b"Cookie", value) for value in (b"", b"=", b"session=abc", b"a=\xff; b", b";" * 5000, b'a="',
    b"session=" + b"." * 5000)],
    *[(b"Authorization", value) for value in (b"", b"Bearer", b"Bearer \xff", b"Basic !!!", b"Basic " + b"A" * 8000,
    b"Digest x", b"\xff")],
    *[(b"X-API-Key", value) for value in (b"", b"\xe9", b"k" * 10_000)],
    *[(b"X-Forwarded-For", value) for value in (b"", b"evil", b"127.0.0.1," * 800, b"\xff")],
    *[(b"X-Forwarded-Proto", b"javascript"), (b"X-Forwarded-Host", b"evil.example"), (b"Forwarded",
    b"for=[::1;host=a b")],
    *[(b"X-HTTP-Method-Override", b"DELETE"), (b"X-Method-Override", b"DELETE"), (b"X-Original-URL", b"/hello"),
    (b"X-Rewrite-URL", b"/hello")],
    *[(b"traceparent", value) for value in (b"", b"00-0-0-0", b"\xff", b"00-" + b"0" * 5000)],
    *[(b"User-Agent", value) for value in (b"", b"\xff\xfe", b"\x1b[31m", b"() { :;}; echo",
    b"${jndi:ldap://127.0.0.1/a}", b"u" * 9000)],
    *[(b"Accept-Encoding", b"gzip;q=x"), (b"Accept-Charset", b"utf-7"), (b"Accept-Language", b"\xff"), (b"TE",
    b"trailers, x;q=9")],
    *[(b"Via", b"1.1 a" * 200), (b"Max-Forwards", b"-1"), (b"Date", b"never"), (b"From", b"\xff"), (b"Referer",
    b"javascript:alert(1)")],
    *[(b"Upgrade", b"TLS/1.0"), (b"Connection", b"keep-alive, Host, X"), (b"Keep-Alive", b"timeout=-1"), (b"Pragma",
    b"\xff"), (b"X", b"")],
]  # fmt: skip

# RFC 9112, 3.2: a Host that is no host is answered with 400.
NO_HOSTS: Final = [
    b"a b",
    b"a b:/@",
    b"[::1",
    b"::1]",
    b"a/b",
    b"a?b",
    b"a#b",
    b"user@host",
    b"a\\b",
    b"\xff\xfe",
    b"a:b",
    b"<a>",
    b"a b.example",
]
