"""Unread counts beside the naive ones, over random histories: receipts, threads, mentions, redactions, rules that change."""

import random

import pytest

from naive.counts_model import MAIN, counts
from naive.history import COUNTED, Badges, History
from support.client import joined

pytestmark = pytest.mark.timeout(900)

ROUNDS = {"Hearth": 10, "Synapse": 3}
STEPS = 60
THREADS = {"room": {"timeline": {"limit": 1, "unread_thread_notifications": True}}}
WHOLE = {"room": {"timeline": {"limit": 1}}}


def pair(part):
    return part["notification_count"], part["highlight_count"]


def shown(user, room_id):
    """{thread: (notifications, highlights)} as the server tells them, and the sum that clients without threads get."""
    part = joined(user.sync(filter=THREADS), room_id)
    threads = {MAIN: pair(part["unread_notifications"])}
    for thread, found in part.get("unread_thread_notifications", {}).items():
        if pair(found) != (0, 0):
            threads[thread] = pair(found)
    return threads, pair(joined(user.sync(filter=WHOLE), room_id)["unread_notifications"])


def check(history, badges):
    threads, whole = shown(badges.user, history.room.room_id)
    wanted = counts(history.room, badges.reader)
    where = f"{badges.user!r} at {len(history.room)}\n" + "\n".join(history.log)
    assert threads == wanted, where
    assert whole == tuple(map(sum, zip(*wanted.values()))), where


def play(seed, new_user, server):
    rng = random.Random(seed)
    history = History(rng, new_user, version=rng.choice(["11", "12"]), entrance=server.entrance)
    faithful = server.kind == "Hearth"
    readers = [Badges(history, user, sending_reads=faithful) for user in history.users[1:]]
    # Synapse keeps the counts of the rules that were in force, and goes on from the last receipt after a rejoin: there only receipts are played.
    reader_steps = ("read", "read", "mute", "unmute", "switch", "keyword", "ignore") if faithful else ("read",)
    memberships = ("leave", "join", "join", "leave_and_rejoin") if faithful else ()
    for badges in readers:
        badges.read()  # Until there is a receipt, a server may count from wherever it likes since the join.
    for _ in range(STEPS):
        history.step(*COUNTED, "late_message", *(memberships if rng.random() < 0.2 else ()))
        for badges in readers:
            if rng.random() < 0.2:
                badges.step(*reader_steps)
            if badges.here and rng.random() < 0.4:
                check(history, badges)


def test_random_histories_count_alike(request, server, new_user, rng):
    for number in range(request.config.getoption("--rounds") or ROUNDS[server.kind]):
        seed = f"{rng.random()}"
        try:
            play(seed, new_user, server)
        except AssertionError as error:
            pytest.fail(f"history {number}, seed {seed}: {error}", pytrace=False)
