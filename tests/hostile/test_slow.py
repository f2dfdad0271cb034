"""Peers that take their time (L03): nobody else waits for them, and the server lets go of them by itself."""

from __future__ import annotations

from tests.hostile.attack import Attack, SlowPeers
from tests.hostile.wire import request


def test_others_are_answered_while_slow_peers_hold_their_connections(attack: Attack, slow: SlowPeers) -> None:
    assert len(slow.bodies) >= 20
    for _ in range(50):
        attack.answered("/health", request("GET", "/health"), 200)


def test_a_body_that_does_not_arrive_is_408(attack: Attack, slow: SlowPeers) -> None:
    for wire in (*slow.bodies, *slow.chunks):
        reply = wire.read()
        if reply.status != 408 or not reply.is_problem:
            attack.fail("slow body", reply)


def test_a_head_that_does_not_arrive_is_hung_up_on(attack: Attack, slow: SlowPeers) -> None:
    for wire in slow.heads:
        reply = wire.read()
        if not reply.is_hypercorns:
            attack.fail("slow head", reply)
