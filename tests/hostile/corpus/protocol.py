"""Bytes that are no HTTP/1.1, or HTTP that two servers could read differently. Each line says who answers:

HYPERCORN  the bytes never become a request: Hypercorn (h11) answers with an empty 4xx and closes, or just closes.
CODING     the same for a Transfer-Encoding it does not know: an empty 501 (RFC 9112, 6.1), the only 5xx there is.
OURS       a request that we refuse: a 4xx problem document.
SERVED     odd, but RFC 9112 lets a server read it: answered like its ordinary form (it must start nothing).
"""

from __future__ import annotations

from typing import Final, Literal

Who = Literal["hypercorn", "coding", "ours", "served"]
HYPERCORN: Final = "hypercorn"
CODING: Final = "coding"
OURS: Final = "ours"
SERVED: Final = "served"

# What uvicorn's parser takes and h11 does not: RFC 9112 lets it (3 and 7.1).
LEGAL: Final = frozenset({"two spaces", "size of 5000 digits"})

_POST: Final = b"POST /tasks/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_GET: Final = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
_UPGRADE: Final = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "
_SOCKET: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
_KEY: Final = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

LENGTHS: Final[dict[str, tuple[bytes, Who]]] = {
    "length and coding": (_POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", OURS),
    "coding and length": (_POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n2\r\n{}\r\n0\r\n\r\n", OURS),
    "both on a GET": (_GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", OURS),
    "both on a visit": (
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OURS,
    ),
    "both on /start": (
        b"GET /start/1/2 HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OURS,
    ),
    "both on no route": (
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OURS,
    ),
    "two lengths": (_POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", HYPERCORN),
    "two lengths in one": (_POST + b"Content-Length: 2, 3\r\n\r\n{} ", HYPERCORN),
    "negative length": (_POST + b"Content-Length: -2\r\n\r\n{}", HYPERCORN),
    "length with a plus": (_POST + b"Content-Length: +2\r\n\r\n{}", HYPERCORN),
    "hexadecimal length": (_POST + b"Content-Length: 0x2\r\n\r\n{}", HYPERCORN),
    "fractional length": (_POST + b"Content-Length: 2.0\r\n\r\n{}", HYPERCORN),
    "empty length": (_POST + b"Content-Length: \r\n\r\n{}", HYPERCORN),
    "word for a length": (_POST + b"Content-Length: two\r\n\r\n{}", HYPERCORN),
    "length of 21 digits": (_POST + b"Content-Length: 999999999999999999999\r\n\r\n{}", HYPERCORN),
    "length of 5000 digits": (_POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", HYPERCORN),
    "length of 16 MB and one": (_POST + b"Content-Length: 16777217\r\n\r\n", OURS),
    "length of 20 digits": (_POST + b"Content-Length: 99999999999999999999\r\n\r\n", OURS),
    "unknown coding": (_POST + b"Transfer-Encoding: gzip\r\n\r\n{}", CODING),
    "identity": (_POST + b"Transfer-Encoding: identity\r\n\r\n{}", CODING),
    "two codings": (_POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CODING),
    "chunked twice": (_POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", CODING),
    "chunked in two fields": (
        _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CODING,
    ),
    "nearly chunked": (_POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", CODING),
    "chunked in quotes": (_POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', CODING),
}


CHUNKS: Final[dict[str, tuple[bytes, Who]]] = {
    "no hexadecimal size": (_CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "negative size": (_CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "empty size": (_CHUNKED + b"\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "size with 0x": (_CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "size of 23 digits": (_CHUNKED + b"F" * 23 + b"\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "size of 5000 digits": (_CHUNKED + b"0" * 5000 + b"2\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "no line end behind the chunk": (_CHUNKED + b"2\r\n{}}}0\r\n\r\n", HYPERCORN),
    "longer than it says": (_CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", HYPERCORN),
    "size without an end": (_CHUNKED + b"2" * 100_000, HYPERCORN),
    "extension without an end": (_CHUNKED + b"2;" + b"a" * 100_000, HYPERCORN),
    "trailers without an end": (_CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 20_000, HYPERCORN),
    "malformed trailer": (_CHUNKED + b"2\r\n{}\r\n0\r\nno colon\r\n\r\n", HYPERCORN),
    "malformed JSON in chunks": (_CHUNKED + b"1\r\n{\r\n1\r\n{\r\n0\r\n\r\n", OURS),
    "a million bytes in chunks of one": (_CHUNKED + b"1\r\n[\r\n" * 60_000 + b"0\r\n\r\n", OURS),
    "a megabyte and more in chunks": (_CHUNKED + b"10000\r\n" + (b" " * 65_536 + b"\r\n10000\r\n") * 17, OURS),
}

LINES: Final[dict[str, tuple[bytes, Who]]] = {
    "nothing but line ends": (b"\r\n" * 1000, HYPERCORN),
    "every byte": (bytes(range(256)) * 4, HYPERCORN),
    "zeros": (b"\x00" * 1000, HYPERCORN),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300, HYPERCORN),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", HYPERCORN),
    "SMTP": (b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n", HYPERCORN),
    "proxy protocol": (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + _GET + b"\r\n", HYPERCORN),
    "HTTP/0.9": (b"GET /hello\r\n\r\n", HYPERCORN),
    "only a method": (b"GET\r\n\r\n", HYPERCORN),
    "no version": (b"GET /hello HTTP/\r\n\r\n", HYPERCORN),
    "version in lower case": (b"GET /hello http/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "HTTP/2.0": (b"GET /hello HTTP/2.0\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "version of three numbers": (b"GET /hello HTTP/1.1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "space in the target": (b"GET /hel lo HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "tab for a space": (b"GET\t/hello\tHTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "two spaces": (b"GET  /hello  HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "space before the method": (b" GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "NUL in the target": (b"GET /hel\x00lo HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "escape in the target": (b"GET /hel\x1blo HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "DEL in the target": (b"GET /hel\x7flo HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "raw byte in the target": (b"GET /hel\xfflo HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "raw byte in the query": (b"GET /hello?\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "method that is no token": (b"G@T /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "method with a NUL": (b"G\x00T /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "method in brackets": (b"(GET) /hello HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "no Host": (b"GET /hello HTTP/1.1\r\n\r\n", HYPERCORN),
    "two Hosts": (b"GET /hello HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n", HYPERCORN),
    "space before the colon": (_GET + b"X : y\r\n\r\n", HYPERCORN),
    "no colon": (_GET + b"X\r\n\r\n", HYPERCORN),
    "no name": (_GET + b": y\r\n\r\n", HYPERCORN),
    "NUL in a name": (_GET + b"X\x00: y\r\n\r\n", HYPERCORN),
    "raw byte in a name": (_GET + b"X\xff: y\r\n\r\n", HYPERCORN),
    "NUL in a value": (_GET + b"X: a\x00b\r\n\r\n", HYPERCORN),
    "CR in a value": (_GET + b"X: a\rb\r\n\r\n", HYPERCORN),
    "folded first line": (b"GET /hello HTTP/1.1\r\n Host: localhost\r\n\r\n", HYPERCORN),
    "target of 100 KB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", HYPERCORN),
    "field of a megabyte": (_GET + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n", HYPERCORN),
    "100,000 fields": (_GET + b"X: y\r\n" * 100_000 + b"\r\n", HYPERCORN),
    "folded field": (_GET + b"X: a\r\n b\r\n\tc\r\n\r\n", SERVED),
    "line ends without CR": (b"GET /health HTTP/1.1\nHost: localhost\n\n", SERVED),
    "empty lines before": (b"\r\n\r\n" + _GET + b"\r\n", HYPERCORN),
    "absolute target": (b"GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", SERVED),
    "HTTP/1.0 without Host": (b"GET /health HTTP/1.0\r\n\r\n", SERVED),
    "authority for a target": (b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "question mark for a target": (b"GET ?x HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "half an address for a target": (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "odd host in the target": (b"GET http://[x]/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "host without a path": (b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "star for a target": (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", OURS),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nMax-Forwards: 0\r\n\r\n", OURS),
    "fragment": (b"GET /hello#there HTTP/1.1\r\nHost: localhost\r\n\r\n", OURS),
}

# A second protocol on the same port. There is no HTTP/2 without TLS: its preface is refused, its Upgrade passed over.
SWITCHES: Final[dict[str, tuple[bytes, Who]]] = {
    "HTTP/2 preface and nothing": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HYPERCORN),
    "HTTP/2 preface and a bad frame": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, HYPERCORN),
    "HTTP/2 preface cut": (b"PRI * HTTP/2.0\r\n\r\nSM", HYPERCORN),
    "HTTP/2 preface and HTTP/1": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _GET + b"\r\n", HYPERCORN),
    "h2c with settings that are none": (_GET + _UPGRADE + b"!!!!\r\n\r\n", SERVED),
    "h2c without settings": (_GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", SERVED),
    "h2c and garbage": (_GET + _UPGRADE + b"AAMAAABkAAQAAP__\r\n\r\n" + b"\xff" * 100, SERVED),
    "h2c and a body": (_POST + _UPGRADE + b"AAMAAABkAAQAAP__\r\nContent-Length: 1\r\n\r\n[", OURS),
    "another protocol and chunks": (
        _CHUNKED.replace(b"Host", b"Connection: x, Upgrade\r\nUpgrade: x\r\nHost") + b"1\r\n[\r\n0\r\n\r\n",
        OURS,
    ),
    "websocket where there is none": (b"GET /hello HTTP/1.1\r\nHost: localhost\r\n" + _SOCKET + _KEY + b"\r\n", OURS),
    "websocket on no route": (b"GET /ws/nowhere HTTP/1.1\r\nHost: localhost\r\n" + _SOCKET + _KEY + b"\r\n", OURS),
    "websocket on /start": (b"GET /start/1/2 HTTP/1.1\r\nHost: localhost\r\n" + _SOCKET + _KEY + b"\r\n", OURS),
    "websocket without a key": (b"GET /hello HTTP/1.1\r\nHost: localhost\r\n" + _SOCKET + b"\r\n", HYPERCORN),
    "websocket of version 99": (
        b"GET /hello HTTP/1.1\r\nHost: localhost\r\n" + _SOCKET.replace(b"13", b"99") + _KEY + b"\r\n",
        HYPERCORN,
    ),
}

# Requests that end before they are whole; the client then says that nothing more will come.
CUT: Final[dict[str, bytes]] = {
    "after the method": b"POST",
    "in the target": b"POST /tasks/ec",
    "in the fields": _POST + b"Content-Le",
    "before the empty line": _POST + b"Content-Length: 2\r\n",
    "before the body": _POST + b"Content-Length: 2\r\n\r\n",
    "in the body": _POST + b'Content-Length: 12\r\n\r\n{"value":',
    "one byte before the end of the body": _POST + b"Content-Length: 3\r\n\r\n{}",
    "before the first chunk": _CHUNKED,
    "in a size": _CHUNKED + b"2",
    "in a chunk": _CHUNKED + b"2\r\n{",
    "after a chunk": _CHUNKED + b"2\r\n{}",
    "before the last chunk": _CHUNKED + b"2\r\n{}\r\n",
    "in the last chunk": _CHUNKED + b"2\r\n{}\r\n0\r\n",
    "line ends of CR alone": b"GET /hello HTTP/1.1\rHost: a\r\r",
}
