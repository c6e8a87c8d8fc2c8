"""Events of another server, taken for signed: what becomes of them, and of the room's state when they come late."""

import pytest

from support.client import bodies, ids, joined, left, state_of, timeline, unique
from support.remote import event_id_of, make_event, remote_user

pytestmark = pytest.mark.hearth_only("events come in through Hearth's own entrance")

VERSIONS = ["6", "10", "11", "12"]


class Guest:
    """A user of another server in a room, and that server's view of it: what it makes stands on the last `look`."""

    def __init__(self, server, witness, room, version):
        self.entrance, self.witness, self.room, self.version = server.entrance, witness, room, version
        self.user_id = remote_user(unique("guest"))
        self.look()
        assert self.send("m.room.member", {"membership": "join"}, state_key=self.user_id)[0] == "accepted"
        self.look()

    def look(self):
        self.state = {key: event["event_id"] for key, event in self.witness.all_state(self.room).items()}
        self.last = self.witness.messages(self.room, limit=1)["chunk"][0]["event_id"]

    def make(self, event_type, content, **more):
        more = {"prev_events": [self.last], "sender": self.user_id, **more}
        return make_event(self.room, self.version, self.state, event_type=event_type, content=content, **more)

    def give(self, event):
        return self.entrance.receive(self.room, event)

    def send(self, event_type, content, **more):
        return self.give(self.make(event_type, content, **more)[1])

    def say(self, text, **more):
        return self.send("m.room.message", {"msgtype": "m.text", "body": text}, **more)


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture
def room(ana, bob, version):
    room = ana.create_room(preset="public_chat", room_version=version)
    bob.join(room)
    return room


@pytest.fixture
def guest(server, ana, room, version):
    return Guest(server, ana, room, version)


def give_power(ana, room, guest, level):
    content = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**content, "users": {**content["users"], guest.user_id: level}})
    guest.look()


# Verdicts


@pytest.mark.parametrize("version", ["12"], indirect=True)
def test_pages_are_full_beside_many_rejected_events(ana, bob, room, guest):
    before = [ana.say(room, f"before {n}") for n in range(6)]
    guest.look()
    for n in range(12):
        assert guest.send("m.room.name", {"name": f"not mine to say {n}"}, state_key="")[0] == "rejected"
    after = ana.say(room, "after")
    page = bob.messages(room, limit=4)
    assert ids(page["chunk"]) == [after, *reversed(before[-3:])]
    rest = bob.messages(room, limit=3, **{"from": page["end"]})
    assert ids(rest["chunk"]) == list(reversed(before[:3]))
    forwards = bob.messages(room, limit=2, dir="f", **{"from": page["end"]})
    assert ids(forwards["chunk"]) == before[-3:-1]
    assert ids(timeline(bob.sync(filter={"room": {"timeline": {"limit": 2}}}), room)) == [before[-1], after]


def test_what_another_server_sends_is_seen_by_all(ana, bob, room, guest):
    since = bob.now()
    verdict, event_id = guest.say("hello from afar")
    assert verdict == "accepted"
    for process in (0, 1):
        events = timeline(bob.on(process).sync(since), room)
        assert ids(events) == [event_id] and events[0]["sender"] == guest.user_id
    assert guest.user_id in ana.get("/rooms/{}/joined_members", room)["joined"]
    with bob.parked() as answer:
        guest.look()
        guest.say("and again")
    assert bodies(timeline(answer(), room)) == ["and again"]


def test_the_same_event_twice_is_one(ana, room, guest):
    _, event = guest.make("m.room.message", {"msgtype": "m.text", "body": "once"})
    assert guest.give(event) == guest.give(event)
    assert bodies(ana.history(room)).count("once") == 1


def test_an_event_that_its_auth_events_forbid_is_rejected_and_shown_to_nobody(ana, room, guest):
    since = ana.now()
    stranger = remote_user(unique("stranger"))
    verdict, event_id = guest.say("uninvited", sender=stranger)
    assert verdict == "rejected"
    assert not timeline(ana.sync(since), room) and event_id not in ids(ana.history(room))
    assert ana.send("GET", "/rooms/{}/event/{}", room, event_id).status_code == 404
    # What leans on it is rejected, too; what only comes after it is not.
    _, event = guest.make("m.room.message", {"msgtype": "m.text", "body": "leaning"})
    event["auth_events"] = [*event["auth_events"], event_id]
    assert guest.give(event)[0] == "rejected"
    assert guest.say("after it", prev_events=[event_id])[0] == "accepted"
    ana.say(room, "goes on")
    assert bodies(ana.history(room)) == ["after it", "goes on"]


def test_a_banned_users_late_event_is_kept_from_clients_and_from_what_follows(ana, room, guest):
    """It is allowed where it was made, but not any more: a soft failure."""
    ana.ban(room, guest.user_id)
    since = ana.now()
    verdict, event_id = guest.say("from before the ban")
    assert verdict == "soft-failed"
    assert not timeline(ana.sync(since), room) and event_id not in ids(ana.history(room))
    said = ana.say(room, "goes on")
    answer = ana.sync(since, filter={"event_format": "federation"})
    (event,) = timeline(answer, room)
    assert event_id not in event["prev_events"]
    assert ids(ana.history(room))[-1] == said
    assert guest.say("on top of it", prev_events=[event_id])[0] == "soft-failed"


def test_what_cannot_be_taken_is_refused_and_leaves_nothing(ana, room, guest):
    before = ids(ana.history(room))
    _, fine = guest.make("m.room.message", {"msgtype": "m.text", "body": "x"})
    unknown = "$" + "x" * 43
    for event, errcode in (
        ("no JSON", "M_NOT_JSON"),
        ("{}", "M_BAD_JSON"),
        ({**fine, "prev_events": [unknown]}, "M_NOT_FOUND"),
        ({**fine, "auth_events": [unknown]}, "M_NOT_FOUND"),
        ({**fine, "prev_events": []}, "M_BAD_JSON"),
        ({**fine, "prev_events": "x"}, "M_BAD_JSON"),
        ({**fine, "sender": "guest"}, "M_BAD_JSON"),
        ({**fine, "depth": -1}, "M_BAD_JSON"),
        ({**fine, "content": []}, "M_BAD_JSON"),
        ({**fine, "room_id": "!elsewhere:remote.example" if guest.version != "12" else "!" + "x" * 43}, "M_BAD_JSON"),
        ({**fine, "content": {"body": "x" * 65536}}, "M_TOO_LARGE"),
    ):
        assert guest.give(event)[0] == errcode, (str(event)[:200], errcode)
    assert ids(ana.history(room)) == before


def test_an_event_that_was_changed_on_its_way_is_taken_as_if_redacted(ana, room, guest):
    """Its content does not match its hash (server-server API, "Checks performed on receipt of a PDU", 3)."""
    _, event = guest.make("m.room.message", {"msgtype": "m.text", "body": "original"})
    event["content"] = {"msgtype": "m.text", "body": "forged"}
    verdict, event_id = guest.give(event)
    assert verdict == "accepted" and event_id == event_id_of(int(guest.version), event)
    assert ana.event(room, event_id)["content"] == {}


# Late events


def test_of_two_topics_the_later_one_stands_on_every_process(ana, bob, room, guest):
    """Neither is of the power events: the order is that of the mainline, and then of time."""
    give_power(ana, room, guest, 50)
    ana.set_state(room, "m.room.topic", {"topic": "ana's"})
    now = ana.event(room, ana.all_state(room)["m.room.topic", ""]["event_id"])["origin_server_ts"]
    assert guest.send("m.room.topic", {"topic": "older"}, state_key="", ts=now - 1000)[0] == "accepted"
    for process in (0, 1):
        assert bob.on(process).state(room, "m.room.topic") == {"topic": "ana's"}
    assert guest.send("m.room.topic", {"topic": "newer"}, state_key="", ts=now + 1000)[0] == "accepted"
    for process in (0, 1):
        assert bob.on(process).state(room, "m.room.topic") == {"topic": "newer"}
    ana.say(room, "a merge")
    assert bob.state(room, "m.room.topic") == {"topic": "newer"}


def test_a_ban_undoes_what_the_banned_did_meanwhile(ana, bob, room, guest):
    content = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**content, "users": {**content["users"], guest.user_id: 60, bob.user_id: 50}})
    ana.set_state(room, "m.room.topic", {"topic": "before"})
    guest.look()
    bob.set_state(room, "m.room.topic", {"topic": "bob's"})
    since, bobs = ana.now(), bob.now()
    assert guest.send("m.room.member", {"membership": "ban"}, state_key=bob.user_id)[0] == "accepted"
    assert ana.state(room, "m.room.member", bob.user_id)["membership"] == "ban"
    assert ana.state(room, "m.room.topic") == {"topic": "before"}
    told = state_of(ana.sync(since, use_state_after=True), room, key="state_after")
    assert told["m.room.member", bob.user_id]["content"]["membership"] == "ban"
    assert told["m.room.topic", ""]["content"] == {"topic": "before"}
    answer = bob.sync(bobs)
    assert left(answer, room) and not joined(answer, room)
    assert bob.send("PUT", "/rooms/{}/send/m.room.message/x", room, body={"body": "x"}).status_code == 403


def test_a_late_message_takes_nothing_back(ana, bob, room, guest):
    """What a client has of the state stays: the older state that the message stands on is told to nobody."""
    ana.set_state(room, "m.room.topic", {"topic": "new"})
    since = bob.now()
    assert guest.say("late")[0] == "accepted"
    answer = bob.sync(since)
    assert bodies(timeline(answer, room)) == ["late"] and not state_of(answer, room)


def test_another_servers_redaction_redacts(ana, bob, room, guest):
    _, said = guest.say("regretted")
    guest.look()
    since = bob.now()
    content = {"redacts": said} if int(guest.version) >= 11 else {}
    verdict, redaction = guest.send("m.room.redaction", content, **({} if content else {"redacts": said}))
    assert verdict == "accepted"
    assert bob.event(room, said)["content"] == {} and bob.event(room, said)["unsigned"]["redacted_because"]["event_id"] == redaction
    assert ids(timeline(bob.sync(since), room)) == [redaction]


def test_a_user_of_another_server_who_leaves_is_gone(ana, room, guest):
    assert guest.send("m.room.member", {"membership": "leave"}, state_key=guest.user_id)[0] == "accepted"
    assert guest.user_id not in ana.get("/rooms/{}/joined_members", room)["joined"]
    guest.look()
    assert guest.say("still here?")[0] == "rejected"
