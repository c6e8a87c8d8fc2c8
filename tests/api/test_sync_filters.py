"""What a filter leaves out of a sync, and lazy-loaded members."""

import pytest

from support.client import account_data_of, bodies, ephemeral, ids, joined, left, state_of, timeline, types


def room_filter(**parts):
    return {"room": parts}


@pytest.fixture
def busy_room(ana, bob, room):
    """A room with messages of two senders, a picture, a reaction to nothing, a name, a topic, a receipt and a tag."""
    ana.set_state(room, "m.room.name", {"name": "busy"})
    ana.say(room, "from ana")
    bob.say(room, "from bob")
    bob.send_event(room, "m.room.message", {"msgtype": "m.image", "body": "picture", "url": "mxc://hearth.test/x"})
    last = ana.send_event(room, "org.example.custom", {"x": 1})
    ana.set_state(room, "m.room.topic", {"topic": "busy"})
    bob.receipt(room, last)
    ana.put("/user/{}/rooms/{}/tags/u.tag", ana.user_id, room)
    return room


TIMELINES = [
    ({"types": ["m.room.message"]}, ["from ana", "from bob", "picture"]),
    ({"types": ["m.room.mess*"]}, ["from ana", "from bob", "picture"]),
    pytest.param(
        {"types": ["*.message"]}, ["from ana", "from bob", "picture"], marks=pytest.mark.synapse_differs("knows a wildcard at the end alone")
    ),
    ({"types": []}, []),
    ({"types": ["m.room.message"], "not_types": ["m.room.*"]}, []),
    ({"types": ["m.room.message"], "contains_url": True}, ["picture"]),
    ({"types": ["m.room.message"], "contains_url": False}, ["from ana", "from bob"]),
    ({"types": ["m.room.message"], "limit": 1}, ["picture"]),
]


@pytest.mark.parametrize("timeline_filter, expected", TIMELINES, ids=lambda value: str(value)[:60])
def test_a_timeline_is_filtered(ana, busy_room, timeline_filter, expected):
    answer = ana.sync(filter=room_filter(timeline=timeline_filter))
    assert bodies(timeline(answer, busy_room)) == expected
    assert set(types(timeline(answer, busy_room))) <= {"m.room.message"}


def test_senders_are_filtered(ana, bob, busy_room):
    for part, expected in (
        ({"senders": [bob.user_id]}, ["from bob", "picture"]),
        ({"not_senders": [bob.user_id]}, ["from ana"]),
        ({"senders": [bob.user_id], "not_senders": [bob.user_id]}, []),
        ({"senders": []}, []),
    ):
        answer = ana.sync(filter=room_filter(timeline={"types": ["m.room.message"], **part}))
        assert bodies(timeline(answer, busy_room)) == expected, part


def test_a_filter_holds_for_the_next_sync_too(ana, bob, busy_room):
    since = ana.now()
    bob.send_event(busy_room, "org.example.other", {})
    bob.say(busy_room, "seen")
    answer = ana.sync(since, filter=room_filter(timeline={"types": ["m.room.message"]}))
    assert bodies(timeline(answer, busy_room)) == ["seen"]
    assert joined(answer, busy_room)["timeline"]["limited"] is False


def test_another_filter_may_be_used_from_one_sync_to_the_next(ana, bob, busy_room):
    answer = ana.sync(filter=room_filter(timeline={"types": []}, state={"types": []}))
    bob.say(busy_room, "one")
    answer = ana.sync(answer["next_batch"], filter=room_filter(timeline={"types": ["m.room.message"]}))
    assert bodies(timeline(answer, busy_room)) == ["one"]
    bob.say(busy_room, "two")
    answer = ana.sync(answer["next_batch"])
    assert bodies(timeline(answer, busy_room)) == ["two"]


def test_the_state_is_filtered(ana, busy_room):
    narrow = {"limit": 1}
    state = state_of(ana.sync(filter=room_filter(timeline=narrow, state={"types": ["m.room.name"]})), busy_room)
    assert set(state) == {("m.room.name", "")}
    state = state_of(ana.sync(filter=room_filter(timeline=narrow, state={"not_types": ["m.room.member", "m.room.p*"]})), busy_room)
    assert ("m.room.create", "") in state
    assert not {kind for kind, _ in state} & {"m.room.member", "m.room.power_levels"}
    state = state_of(ana.sync(filter=room_filter(timeline=narrow, state={"types": []})), busy_room)
    assert state == {}


@pytest.mark.synapse_differs("lets the create event of a room of version 12 through")
def test_rooms_are_filtered(ana, busy_room):
    other = ana.create_room()
    for part, expected in (
        ({"rooms": [busy_room]}, {busy_room}),
        ({"not_rooms": [busy_room]}, {other}),
        ({"rooms": [busy_room, other], "not_rooms": [other]}, {busy_room}),
        ({"rooms": []}, set()),
    ):
        answer = ana.sync(filter=room_filter(**part))
        assert set(answer.get("rooms", {}).get("join", {})) == expected, part


@pytest.mark.synapse_differs("lets the create event of a room of version 12 through")
def test_one_part_may_be_limited_to_some_rooms(ana, busy_room):
    answer = ana.sync(filter=room_filter(timeline={"not_rooms": [busy_room]}))
    assert timeline(answer, busy_room) == []


def test_ephemeral_events_and_account_data_are_filtered(ana, busy_room):
    ana.account_data("org.example.kept", {"x": 1})
    ana.account_data("org.example.dropped", {"x": 1})
    answer = ana.sync(
        filter={
            "account_data": {"types": ["org.example.k*"]},
            "room": {"ephemeral": {"types": ["m.typing"]}, "account_data": {"not_types": ["m.tag"]}},
        }
    )
    assert account_data_of(answer, "org.example.kept") == {"x": 1}
    assert account_data_of(answer, "org.example.dropped") is None
    assert account_data_of(joined(answer, busy_room), "m.tag") is None
    assert ephemeral(answer, busy_room, "m.receipt") is None
    assert ephemeral(ana.sync(), busy_room, "m.receipt") is not None


def test_fields_of_events_are_filtered(ana, busy_room):
    answer = ana.sync(filter={"event_fields": ["type", "content.body", "event_id"], **room_filter(timeline={"types": ["m.room.message"]})})
    for event in timeline(answer, busy_room):
        assert set(event) <= {"type", "content", "event_id", "sender", "room_id", "unsigned"}
        assert event["type"] == "m.room.message" and set(event["content"]) == {"body"}
        assert "origin_server_ts" not in event


def test_events_come_in_the_format_of_servers_when_asked_for(ana, busy_room):
    answer = ana.sync(filter={"event_format": "federation"})
    event = timeline(answer, busy_room)[-1]
    assert {"prev_events", "auth_events", "depth", "hashes", "signatures"} <= set(event)


def test_a_timeline_has_an_upper_limit(ana, room):
    answer = ana.sync(filter=room_filter(timeline={"limit": 1000000}))
    assert timeline(answer, room)


def test_left_rooms_can_be_left_out(ana, bob, room):
    since = bob.now()
    bob.leave(room)
    assert left(bob.sync(since, filter=room_filter(include_leave=False)), room)
    assert not left(bob.sync(filter=room_filter(include_leave=False)), room)


# Lazy-loaded members

LAZY = {"lazy_load_members": True}


def members_in_state(answer, room):
    return {key for kind, key in state_of(answer, room) if kind == "m.room.member"}


@pytest.fixture
def crowd(ana, new_user):
    """A room of ana's and six users, of whom only some speak: (room, users)."""
    users = [new_user("member") for _ in range(6)]
    room = ana.create_room(preset="public_chat")
    for user in users:
        user.join(room)
    return room, users


def lazy(limit=1, **more):
    return room_filter(timeline={"limit": limit}, state={**LAZY, **more})


def test_members_of_the_senders_alone_come_first(ana, crowd):
    room, users = crowd
    users[0].say(room)
    users[1].say(room)
    answer = ana.sync(filter=lazy(2))
    speaking = {users[0].user_id, users[1].user_id}
    heroes = set(joined(answer, room)["summary"].get("m.heroes", []))
    assert speaking | {ana.user_id} <= members_in_state(answer, room) <= speaking | {ana.user_id} | heroes


def test_heroes_come_with_their_members(ana, bob, room):
    """A room without a name is named after its heroes, so their members are needed."""
    for _ in range(3):
        ana.say(room)
    answer = ana.sync(filter=lazy())
    assert bob.user_id in joined(answer, room)["summary"]["m.heroes"]
    assert bob.user_id in members_in_state(answer, room)


def test_a_named_room_needs_no_heroes(ana, crowd):
    room, users = crowd
    ana.set_state(room, "m.room.name", {"name": "crowd"})
    users[0].say(room)
    answer = ana.sync(filter=lazy())
    assert members_in_state(answer, room) == {ana.user_id, users[0].user_id}


def test_a_member_comes_with_the_first_message(ana, crowd):
    room, users = crowd
    ana.set_state(room, "m.room.name", {"name": "crowd"})
    users[0].say(room)
    answer = ana.sync(filter=lazy())
    users[1].say(room)
    answer = ana.sync(answer["next_batch"], filter=lazy(10))
    assert users[1].user_id in members_in_state(answer, room)
    assert members_in_state(answer, room) <= {users[0].user_id, users[1].user_id, ana.user_id}


def test_redundant_members_come_when_asked_for(ana, crowd):
    room, users = crowd
    since = ana.sync(filter=lazy(include_redundant_members=True))["next_batch"]
    for _ in range(2):
        users[1].say(room)
        answer = ana.sync(since, filter=lazy(10, include_redundant_members=True))
        assert users[1].user_id in members_in_state(answer, room)
        since = answer["next_batch"]


def test_all_members_that_changed_in_a_gap_come(ana, crowd, new_user):
    room, users = crowd
    since = ana.sync(filter=lazy())["next_batch"]
    late = new_user("late")
    late.join(room)
    users[3].leave(room)
    for number in range(5):
        ana.say(room, str(number))
    answer = ana.sync(since, filter=lazy(2))
    assert joined(answer, room)["timeline"]["limited"] is True
    assert {late.user_id, users[3].user_id} <= members_in_state(answer, room)


def test_ones_own_member_comes_with_a_join(ana, bob, crowd):
    room, users = crowd
    since = bob.sync(filter=lazy())["next_batch"]
    bob.join(room)
    for number in range(4):
        users[0].say(room, str(number))
    answer = bob.sync(since, filter=lazy(2))
    assert {bob.user_id, users[0].user_id} <= members_in_state(answer, room)


def test_members_that_the_timeline_holds_need_not_be_in_the_state(ana, bob, crowd):
    room, _ = crowd
    since = ana.sync(filter=lazy())["next_batch"]
    bob.join(room)
    answer = ana.sync(since, filter=lazy(10))
    assert [event["state_key"] for event in timeline(answer, room)] == [bob.user_id]


def test_scrolling_back_brings_members_too(ana, crowd):
    room, users = crowd
    users[2].say(room)
    page = ana.messages(room, limit=1, filter=LAZY)
    assert [event["state_key"] for event in page["state"]] == [users[2].user_id]
    context = ana.get("/rooms/{}/context/{}", room, ids(page["chunk"])[0], query={"limit": 0, "filter": LAZY})
    assert {event["state_key"] for event in context["state"] if event["type"] == "m.room.member"} == {users[2].user_id}


def test_a_timeline_may_be_left_out(ana, busy_room):
    answer = ana.sync(filter=room_filter(timeline={"limit": 0}))
    part = joined(answer, busy_room)
    assert part["timeline"]["events"] == [] and part["timeline"]["limited"] is True
    assert state_of(answer, busy_room)["m.room.topic", ""]["content"] == {"topic": "busy"}
