"""Who sees which events of a room: every setting, for every membership, at every endpoint.

The rules are those of "Room History Visibility" in the Client-Server API, judged by the state at each event.
"""

import itertools

import pytest

from support.client import ids, left, refused, timeline
from support.http import Refused

SETTINGS = ["world_readable", "shared", "invited", "joined"]


def with_visibility(ana, setting, preset="public_chat", **body):
    states = [{"type": "m.room.history_visibility", "content": {"history_visibility": setting}}]
    return ana.create_room(preset=preset, initial_state=states, **body)


def sees_one(user, room, event_id):
    """Whether GET /event and GET /context show the event; they must agree."""
    found = []
    for path in ("/rooms/{}/event/{}", "/rooms/{}/context/{}"):
        try:
            user.get(path, room, event_id)
            found.append(True)
        except Refused as error:
            assert error.status in (403, 404) and error.errcode in ("M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN"), error
            found.append(False)
    assert found[0] == found[1], "event and context disagree"
    return found[0]


def history_or_nothing(user, room):
    try:
        return ids(user.history(room))
    except Refused as error:
        assert (error.status, error.errcode) == (403, "M_FORBIDDEN"), error
        return []


# What a user with a changing membership sees: said before anything, while invited, while joined, after leaving.
STAGES = ["before", "invited", "joined", "left", "joined again"]
EXPECTED = {
    "world_readable": {"before", "invited", "joined", "left", "joined again"},
    "shared": {"before", "invited", "joined", "left", "joined again"},
    "invited": {"invited", "joined", "joined again"},
    "joined": {"joined", "joined again"},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_member_sees_what_the_setting_allows(ana, bob, setting):
    room = with_visibility(ana, setting)
    said = {"before": ana.say(room, "before")}
    ana.invite(room, bob)
    said["invited"] = ana.say(room, "invited")
    bob.join(room)
    said["joined"] = ana.say(room, "joined")
    bob.leave(room)
    said["left"] = ana.say(room, "left")
    bob.join(room)
    said["joined again"] = ana.say(room, "joined again")
    history = history_or_nothing(bob, room)
    for stage in STAGES:
        expected = stage in EXPECTED[setting]
        assert (said[stage] in history) is expected, f"messages: {stage}"
        assert sees_one(bob, room, said[stage]) is expected, f"event: {stage}"


@pytest.mark.parametrize(
    "setting",
    ["world_readable", pytest.param("shared", marks=pytest.mark.synapse_differs("forgets what was shared with who left")), "invited", "joined"],
)
def test_who_left_sees_nothing_of_what_came_after(ana, bob, setting):
    room = with_visibility(ana, setting)
    before = ana.say(room, "before")
    bob.join(room)
    during = ana.say(room, "during")
    bob.leave(room)
    after = ana.say(room, "after")
    assert sees_one(bob, room, during)
    assert sees_one(bob, room, before) is (setting in ("world_readable", "shared"))
    assert sees_one(bob, room, after) is (setting == "world_readable")


@pytest.mark.parametrize("setting", SETTINGS)
def test_who_was_banned_sees_nothing_of_what_came_after(ana, bob, setting):
    room = with_visibility(ana, setting)
    bob.join(room)
    during = ana.say(room, "during")
    ana.ban(room, bob)
    after = ana.say(room, "after")
    assert sees_one(bob, room, during)
    assert sees_one(bob, room, after) is (setting == "world_readable")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_stranger_sees_world_readable_rooms_alone(ana, bob, setting):
    room = with_visibility(ana, setting)
    event_id = ana.say(room)
    assert sees_one(bob, room, event_id) is (setting == "world_readable")
    assert (event_id in history_or_nothing(bob, room)) is (setting == "world_readable")


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_invited_user_sees_world_readable_rooms_alone(ana, bob, setting):
    """"In all cases except world_readable, a user needs to join a room to view events in that room." """
    room = with_visibility(ana, setting, invite=[bob.user_id])
    event_id = ana.say(room)
    assert (event_id in history_or_nothing(bob, room)) is (setting == "world_readable")


def test_an_unknown_or_missing_setting_is_shared(ana, bob):
    for content in ({"history_visibility": "nonsense"}, {}, {"history_visibility": 1}):
        room = ana.create_room(preset="public_chat")
        ana.send("PUT", "/rooms/{}/state/m.room.history_visibility", room, body=content)
        event_id = ana.say(room)
        assert not sees_one(bob, room, event_id)
        bob.join(room)
        assert sees_one(bob, room, event_id)
        bob.leave(room)


@pytest.mark.synapse_differs("its endpoints disagree about some changes", sometimes=True)
@pytest.mark.parametrize("before, after", list(itertools.permutations(SETTINGS, 2)))
def test_a_changed_setting_counts_from_then_on_and_not_for_what_was_before(ana, bob, before, after):
    """Bob joins at the end: what was said under each setting shows by that setting."""
    room = with_visibility(ana, before)
    first = ana.say(room, "under the first setting")
    change = ana.set_state(room, "m.room.history_visibility", {"history_visibility": after})
    second = ana.say(room, "under the second setting")
    bob.join(room)
    open_to_later_members = ("world_readable", "shared")
    assert sees_one(bob, room, first) is (before in open_to_later_members)
    assert sees_one(bob, room, second) is (after in open_to_later_members)
    # The change itself shows if the setting before it or the one after it would show it.
    assert sees_one(bob, room, change) is (before in open_to_later_members or after in open_to_later_members)


@pytest.mark.parametrize("setting", SETTINGS)
def test_ones_own_join_and_leave_always_show(ana, bob, setting):
    room = with_visibility(ana, setting)
    bob.join(room)
    joined_event = ana.all_state(room)["m.room.member", bob.user_id]["event_id"]
    bob.leave(room)
    left_event = ana.all_state(room)["m.room.member", bob.user_id]["event_id"]
    for event_id in (joined_event, left_event):
        assert sees_one(bob, room, event_id)
        assert event_id in history_or_nothing(bob, room)


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_first_sync_shows_what_the_setting_allows(ana, bob, setting):
    room = with_visibility(ana, setting)
    before = ana.say(room, "before")
    bob.join(room)
    after = ana.say(room, "after")
    events = ids(timeline(bob.sync(filter={"room": {"timeline": {"limit": 50}}}), room))
    assert after in events
    assert (before in events) is (setting in ("world_readable", "shared"))


def test_the_state_is_shown_in_full_whatever_the_history(ana, bob):
    """A member has the whole current state, even of events that it may not see as history."""
    room = with_visibility(ana, "joined", name="old name")
    bob.join(room)
    assert bob.state(room, "m.room.name") == {"name": "old name"}
    assert ("m.room.create", "") in bob.all_state(room)


def test_pages_skip_what_is_hidden_and_go_on(ana, bob):
    room = with_visibility(ana, "joined")
    for number in range(25):
        ana.say(room, f"hidden {number}")
    bob.join(room)
    seen = ana.say(room, "seen")
    events, start, requests = [], None, 0
    while True:
        page = bob.messages(room, limit=5, **({"from": start} if start else {}))
        events += page["chunk"]
        requests += 1
        if "end" not in page:
            break
        start = page["end"]
        assert requests < 20
    assert seen in ids(events)
    assert not [event for event in events if str(event["content"].get("body", "")).startswith("hidden")]


def test_a_private_room_shows_strangers_nothing_at_all(ana, bob):
    room = ana.create_room(name="secret")
    for path in ("/rooms/{}/messages?dir=b", "/rooms/{}/state", "/rooms/{}/members", "/rooms/{}/joined_members", "/rooms/{}/aliases"):
        with refused(403, "M_FORBIDDEN"):
            bob.get(path, room)


# Who was never in the room, or is no more


def knocked_and_was_denied(ana, bob, room):
    ana.set_state(room, "m.room.join_rules", {"join_rule": "knock"})
    bob.post("/knock/{}", room)
    ana.kick(room, bob)


def was_banned(ana, bob, room):
    ana.ban(room, bob)


def was_banned_and_unbanned(ana, bob, room):
    ana.ban(room, bob)
    ana.unban(room, bob)


def rejected_an_invite(ana, bob, room):
    ana.invite(room, bob)
    bob.leave(room)


def rejected_an_invite_and_was_banned(ana, bob, room):
    rejected_an_invite(ana, bob, room)
    ana.ban(room, bob)


NEVER_IN = [was_banned, was_banned_and_unbanned, knocked_and_was_denied, rejected_an_invite, rejected_an_invite_and_was_banned]


@pytest.mark.synapse_differs("judges by the membership alone", sometimes=True)
@pytest.mark.parametrize("what_happened", NEVER_IN, ids=lambda fate: fate.__name__)
def test_who_was_never_in_a_room_sees_nothing_of_it(ana, bob, what_happened):
    room = ana.create_room(name="secret")
    since = bob.now()
    said = ana.say(room, "not for bob")
    what_happened(ana, bob, room)
    later = ana.say(room, "nor this")
    assert not sees_one(bob, room, said) and not sees_one(bob, room, later)
    for path in ("/rooms/{}/messages?dir=b", "/rooms/{}/state", "/rooms/{}/members", "/rooms/{}/state/m.room.name/"):
        with refused(403, "M_FORBIDDEN"):
            bob.get(path, room)
    for token, options in ((since, {}), (since, {"use_state_after": True}), (None, {"filter": {"room": {"include_leave": True}}})):
        part = left(bob.sync(token, **options), room)
        shown = [event for key in ("state", "state_after", "timeline") for event in part.get(key, {}).get("events", [])]
        assert all((event["type"], event.get("state_key")) == ("m.room.member", bob.user_id) for event in shown), shown


@pytest.mark.synapse_differs("lets those who were banned see nothing", sometimes=True)
def test_a_ban_after_leaving_opens_nothing_of_what_was_between(ana, bob):
    room = ana.create_room(preset="public_chat", name="then")
    bob.join(room)
    during = ana.say(room, "during")
    bob.leave(room)
    between = ana.say(room, "between")
    ana.set_state(room, "m.room.name", {"name": "now"})
    since = bob.now()
    ana.ban(room, bob)
    assert sees_one(bob, room, during) and not sees_one(bob, room, between)
    assert between not in ids(bob.history(room)) and during in ids(bob.history(room))
    assert bob.state(room, "m.room.name") == {"name": "then"}
    assert between not in ids(timeline(bob.sync(since), room, left))


def test_an_invite_back_opens_nothing_of_what_was_between(ana, bob):
    room = ana.create_room(preset="public_chat")
    bob.join(room)
    during = ana.say(room, "during")
    bob.leave(room)
    between = ana.say(room, "between")
    ana.invite(room, bob)
    assert sees_one(bob, room, during) and not sees_one(bob, room, between)
    bob.join(room)
    assert sees_one(bob, room, between)


@pytest.mark.synapse_differs("shows single events of forgotten rooms", sometimes=True)
def test_a_forgotten_room_shows_nothing(ana, bob):
    room = ana.create_room(preset="public_chat")
    bob.join(room)
    said = ana.say(room, "during")
    bob.leave(room)
    bob.forget(room)
    assert not sees_one(bob, room, said)
    with refused(403, "M_FORBIDDEN"):
        bob.messages(room)
    ana.ban(room, bob)
    assert not sees_one(bob, room, said)
    ana.unban(room, bob)
    bob.join(room)
    assert sees_one(bob, room, said)


@pytest.mark.synapse_differs("bundles what came later, too", sometimes=True)
def test_edits_and_replies_after_the_leave_are_not_bundled(ana, bob):
    room = ana.create_room(preset="public_chat")
    bob.join(room)
    said = ana.say(room, "original")
    edit = {"msgtype": "m.text", "body": "* edit", "m.new_content": {"msgtype": "m.text", "body": "edit"}}
    seen = ana.send_event(room, "m.room.message", {**edit, "m.relates_to": {"rel_type": "m.replace", "event_id": said}})
    root = ana.say(room, "root")
    first = ana.say(room, "first", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    bob.leave(room)
    ana.send_event(room, "m.room.message", {**edit, "m.relates_to": {"rel_type": "m.replace", "event_id": said}})
    ana.say(room, "secret reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    assert bob.event(room, said)["unsigned"]["m.relations"]["m.replace"]["event_id"] == seen
    thread = bob.event(room, root)["unsigned"]["m.relations"]["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, first)


def test_the_members_of_later_are_not_for_who_left(ana, bob, carol):
    room = ana.create_room(preset="public_chat")
    bob.join(room)
    bob.leave(room)
    carol.join(room)
    later = ana.messages(room, limit=1)["start"]
    for token in (later, ana.now()):
        members = {event["state_key"] for event in bob.get("/rooms/{}/members", room, query={"at": token})["chunk"]}
        assert members == {ana.user_id, bob.user_id}
