"""GET /sync beside the naive one, over random histories: gaps, limits, filters, lazy members, leaving and coming back."""

import random

import pytest

from naive.history import EVENTS, LATE, MEMBERSHIPS, History
from naive.sync_model import Filter, View, check
from support.client import ids, joined, timeline

pytestmark = pytest.mark.timeout(900)

ROUNDS = {"Hearth": 10, "Synapse": 3}
STEPS = 45


def rounds(request, server):
    return request.config.getoption("--rounds") or ROUNDS[server.kind]


def choose_filter(rng, history, server):
    """A random filter. Synapse knows state_after under its unstable name alone, which the histories don't use."""
    return Filter(
        limit=rng.choice([1, 2, 3, 5, 20, 20]),
        types=rng.choice([None, None, None, ("m.room.message",), ("m.room.message", "m.room.topic")]),
        not_senders=rng.choice([(), (), (history.ana.user_id,)]),
        lazy=rng.random() < 0.25,
        state_after=server.kind == "Hearth" and rng.random() < 0.25,
        lenient=server.kind == "Synapse",
    )


class Observer:
    """A device that syncs now and then, each time from where it stopped."""

    def __init__(self, history, user):
        self.history, self.user = history, user
        self.token, self.position = None, None

    def look(self, chosen):
        since, position = self.token, self.position
        query = {"use_state_after": True} if chosen.state_after else {}
        answer = self.user.sync(since, filter=chosen.body(), **query)
        self.token, self.position = answer["next_batch"], len(self.history.room)
        try:
            check(answer, self.history.room, self.user.user_id, position, chosen)
        except AssertionError as difference:
            part = {name: rooms[self.history.room.room_id] for name, rooms in answer.get("rooms", {}).items() if self.history.room.room_id in rooms}
            raise AssertionError(
                f"{self.user.user_id}, from {position} to {self.position}, {chosen}: {difference}\n{part}\n" + "\n".join(self.history.log)
            ) from None
        return answer


def play(seed, new_user, server):
    """One history: steps, and syncs of everybody in between."""
    rng = random.Random(seed)
    history = History(rng, new_user, version=rng.choice(["6", "11", "12"]), entrance=server.entrance)
    observers = [Observer(history, user) for user in history.everybody()]
    for _ in range(STEPS):
        history.step(*(LATE if rng.random() < 0.7 else MEMBERSHIPS))
        if rng.random() < 0.15:
            history.step("visibility")
        for observer in observers:
            if rng.random() < 0.25:
                observer.look(choose_filter(rng, history, server))


def test_random_histories_look_alike(request, server, new_user, rng):
    for number in range(rounds(request, server)):
        seed = f"{rng.random()}"
        try:
            play(seed, new_user, server)
        except AssertionError as error:
            pytest.fail(f"history {number}, seed {seed}: {error}", pytrace=False)


def test_a_client_that_follows_knows_the_true_state(request, server, new_user, rng):
    """However large the gaps: state and timeline folded together are the state of the room."""
    for number in range(rounds(request, server)):
        history = History(rng, new_user, entrance=server.entrance)
        views = {user: (View(), [None]) for user in history.everybody()}
        for _ in range(STEPS // 3):
            for _ in range(rng.randrange(1, 8)):
                history.step(*LATE, "join", "leave", "leave_and_rejoin")
            for user, (view, token) in views.items():
                if rng.random() < 0.4:
                    continue
                query = {"use_state_after": True} if server.kind == "Hearth" and rng.random() < 0.3 else {}
                answer = user.sync(token[0], filter={"room": {"timeline": {"limit": rng.choice([1, 2, 4, 10])}}}, **query)
                token[0] = answer["next_batch"]
                view.fold(answer, history.room.room_id)
                if history.room.member_at(user.user_id, len(history.room)) == "join":
                    true = history.room.state_ids_at(len(history.room))
                    assert view.state == true, f"{user!r} in history {number}\n" + "\n".join(history.log)


@pytest.mark.hearth_only("forks come in through Hearth's own entrance")
def test_forks_of_the_state_look_alike_to_all(request, server, new_user, rng):
    """Another server's changes come late, and win or lose: whoever follows has the state that the room has, and each event once."""
    for number in range(rounds(request, server)):
        history = History(rng, new_user, version=rng.choice(["6", "11", "12"]), entrance=server.entrance)
        room_id = history.room.room_id
        views = {user: [View(), None] for user in history.everybody()}
        # Of a key that is gone from the state no sync can tell: each has a value that stands at last.
        for event_type, state_key in (("m.room.topic", ""), ("m.room.name", ""), *(("org.example.state", key) for key in "abc")):
            history.ana.set_state(room_id, event_type, {"x": "at first"}, state_key)
        told = ids(history.witness().events)
        views[history.ana][1] = history.ana.now()
        views[history.ana][0].state = {key: event["event_id"] for key, event in history.ana.all_state(room_id).items()}
        for _ in range(STEPS // 2):
            history.step(*EVENTS, "late_message", "late_state", "late_state", "late_state", "join", "leave_and_rejoin")
            true = {key: event for key, event in history.ana.all_state(room_id).items()}
            where = f"in history {number}\n" + "\n".join(history.log)
            for user, follower in views.items():
                view, since = follower
                if rng.random() < 0.4:
                    continue
                limit = 100 if user is history.ana else rng.choice([1, 2, 4, 10])
                answer = user.sync(since, filter={"room": {"timeline": {"limit": limit}}}, use_state_after=True)
                follower[1] = answer["next_batch"]
                view.fold(answer, room_id)
                member = true.get(("m.room.member", user.user_id))
                if member and member["content"]["membership"] == "join":
                    assert view.state == {key: event["event_id"] for key, event in true.items()}, f"{user!r} {where}"
                else:
                    assert not joined(answer, room_id), f"{user!r} {where}"
                    follower[0] = View()
                if user is history.ana:
                    told += ids(timeline(answer, room_id))
                    assert told == ids(history.room.events), where
