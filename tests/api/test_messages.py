"""Scrolling through a room: /messages, /context, /event."""

import pytest

from support.client import bodies, ids, joined, next_txn, refused, timeline, types


@pytest.fixture
def talk(ana, room):
    """The room with ten messages in it: (room, their event ids)."""
    return room, [ana.say(room, str(number)) for number in range(10)]


def pages(user, room, start=None, **query):
    """All pages from a token on, and how many requests that took."""
    events, requests = [], 0
    while True:
        page = user.messages(room, **query, **({"from": start} if start else {}))
        events += page["chunk"]
        requests += 1
        assert requests < 100, "the end never comes"
        if "end" not in page:
            return events, requests
        assert page["end"] != start, "the same token again"
        start = page["end"]


def test_backwards_is_the_default_of_newest_first(ana, talk):
    room, sent = talk
    page = ana.messages(room, limit=3)
    assert ids(page["chunk"]) == sent[::-1][:3]
    assert page["start"] and page["end"]


def test_forwards_begins_with_the_creation(ana, talk):
    room, sent = talk
    page = ana.messages(room, dir="f", limit=2)
    assert types(page["chunk"]) == ["m.room.create", "m.room.member"]


@pytest.mark.parametrize("direction", ["b", "f"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_put_together_are_the_room(ana, talk, direction, size):
    room, sent = talk
    events, _ = pages(ana, room, dir=direction, limit=size)
    events = events if direction == "f" else events[::-1]
    assert types(events)[0] == "m.room.create"
    assert ids(events)[-10:] == sent
    assert len(set(ids(events))) == len(events)


def test_the_end_is_left_out_when_there_is_no_more(ana, talk):
    room, _ = talk
    events, requests = pages(ana, room, limit=100)
    assert requests <= 2  # Whether the first page is known to be the last is up to the server.
    assert types(events)[-1] == "m.room.create"


def test_a_default_limit_is_ten(ana, talk):
    room, _ = talk
    assert len(ana.messages(room)["chunk"]) == 10


def test_a_very_large_limit_is_cut(ana, talk):
    room, _ = talk
    assert len(ana.messages(room, limit=1000000)["chunk"]) >= 10


def test_tokens_of_sync_work_in_both_directions(ana, bob, talk):
    room, _ = talk
    since = bob.now()
    sent = [ana.say(room, "later %d" % number) for number in range(3)]
    assert ids(bob.messages(room, **{"dir": "f", "from": since})["chunk"]) == sent
    assert ids(bob.messages(room, **{"dir": "b", "from": since, "limit": 1})["chunk"]) == [talk[1][-1]]


def test_a_page_ends_at_the_token_to(ana, talk):
    room, sent = talk
    start = ana.messages(room, limit=2)["end"]
    middle = ana.messages(room, **{"from": start, "limit": 3})["end"]
    events, _ = pages(ana, room, start, to=middle, limit=2)
    assert ids(events) == sent[::-1][2:5]


def test_a_page_can_be_turned_back(ana, talk):
    room, sent = talk
    first = ana.messages(room, limit=4)
    forward = ana.messages(room, **{"dir": "f", "from": first["end"], "limit": 4})
    assert ids(forward["chunk"]) == ids(first["chunk"])[::-1]


def test_forwards_from_the_end_waits_for_nothing_and_loses_nothing(ana, talk):
    room, _ = talk
    start = ana.now()
    page = ana.messages(room, **{"dir": "f", "from": start})
    assert page["chunk"] == []
    sent = ana.say(room, "new")
    assert ids(ana.messages(room, **{"dir": "f", "from": page.get("end", start)})["chunk"]) == [sent]


def test_pages_are_filtered(ana, bob, room):
    ana.say(room, "one")
    bob.say(room, "two")
    bob.send_event(room, "org.example.x", {"url": "mxc://x/y"})
    for filter, expected in (
        ({"types": ["m.room.message"]}, ["two", "one"]),
        ({"types": ["m.room.message"], "senders": [bob.user_id]}, ["two"]),
        ({"not_senders": [ana.user_id], "types": ["m.room.message"]}, ["two"]),
        ({"not_types": ["*"]}, []),
        ({"contains_url": True}, []),
        ({"types": ["m.room.message"], "not_rooms": [room]}, []),
    ):
        events, _ = pages(ana, room, filter=filter, limit=2)
        assert bodies(events) == expected, filter


def test_a_filter_does_not_end_pagination_early(ana, bob, room):
    """Pages may be short or empty, but the end comes only at the end."""
    ana.say(room, "first")
    for number in range(12):
        bob.send_event(room, "org.example.noise", {"n": number})
    events, _ = pages(ana, room, filter={"types": ["m.room.message"]}, limit=3)
    assert bodies(events) == ["first"]


def test_redacted_events_stay_in_their_place_without_content(ana, talk):
    room, sent = talk
    ana.redact(room, sent[4])
    events, _ = pages(ana, room, limit=3)
    (event,) = [event for event in events if event["event_id"] == sent[4]]
    assert event["content"] == {} and event["unsigned"]["redacted_because"]["type"] == "m.room.redaction"


def test_strangers_read_nothing(ana, bob, talk):
    room = ana.create_room()
    event_id = ana.say(room)
    for target in (room, "!unknown:hearth.test"):
        with refused(403, "M_FORBIDDEN"):
            bob.messages(target)
    for path in ("/rooms/{}/event/{}", "/rooms/{}/context/{}"):
        with refused((403, 404), ("M_NOT_FOUND", "M_FORBIDDEN")):
            bob.get(path, room, event_id)


def test_who_left_reads_up_to_the_leave(ana, bob, room):
    ana.say(room, "before")
    bob.leave(room)
    after = ana.say(room, "after")
    assert bodies(pages(bob, room)[0]) == ["before"]
    with refused((403, 404), ("M_NOT_FOUND", "M_FORBIDDEN")):
        bob.event(room, after)


@pytest.mark.synapse_differs("reads on")
def test_who_left_reads_forwards_up_to_the_leave(ana, bob, room):
    ana.say(room, "before")
    bob.leave(room)
    ana.say(room, "after")
    assert bodies(pages(bob, room, dir="f")[0]) == ["before"]


def test_everybody_reads_a_world_readable_room(ana, bob):
    states = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]
    room = ana.create_room(initial_state=states)
    sent = ana.say(room, "open")
    assert sent in ids(bob.messages(room)["chunk"])
    assert bob.event(room, sent)["content"]["body"] == "open"


@pytest.mark.parametrize("query", [{"dir": "x"}, {"dir": None}, {"limit": "ten"}, {"limit": "-1"}, {"from": "nonsense"}, {"to": "nonsense"}, {"filter": "{"}], ids=str)
@pytest.mark.synapse_differs("answers M_UNKNOWN, or takes it", sometimes=True)
def test_a_wrong_parameter_is_refused(ana, room, query):
    with refused(400, ("M_INVALID_PARAM", "M_MISSING_PARAM", "M_BAD_JSON", "M_NOT_JSON")):
        ana.messages(room, **query)


# One event


def test_an_event_is_found_by_its_id(ana, bob, talk):
    room, sent = talk
    event = bob.event(room, sent[3])
    assert event["content"]["body"] == "3"
    assert (event["event_id"], event["room_id"], event["sender"], event["type"]) == (sent[3], room, ana.user_id, "m.room.message")


def test_an_event_belongs_to_its_room(ana, talk):
    other = ana.create_room()
    for event_id in (talk[1][0], "$unknown", "nonsense"):
        with refused(404, "M_NOT_FOUND"):
            ana.event(other, event_id)


# Context


def context(user, room, event_id, **query):
    return user.get("/rooms/{}/context/{}", room, event_id, query=query)


def test_the_context_is_around_the_event(ana, bob, talk):
    room, sent = talk
    found = context(bob, room, sent[5], limit=4)
    assert found["event"]["event_id"] == sent[5]
    assert ids(found["events_before"]) == [sent[4], sent[3]]
    assert ids(found["events_after"]) == [sent[6], sent[7]]
    assert ("m.room.create", "") in {(event["type"], event["state_key"]) for event in found["state"]}


@pytest.mark.parametrize("limit, total", [(0, 0), (1, 1), (2, 2), (5, 5), (6, 6)])
def test_the_limit_is_for_both_sides_together(ana, talk, limit, total):
    room, sent = talk
    found = context(ana, room, sent[5], limit=limit)
    assert found["event"]["event_id"] == sent[5]
    assert len(found["events_before"]) + len(found["events_after"]) in (total, total + total % 2)


def test_a_default_context_has_ten_events(ana, talk):
    room, sent = talk
    found = context(ana, room, sent[5])
    assert len(found["events_before"]) == 5 and len(found["events_after"]) == 4


def test_one_reads_on_from_a_context_in_both_directions(ana, talk):
    room, sent = talk
    found = context(ana, room, sent[5], limit=2)
    back = ana.messages(room, **{"dir": "b", "from": found["start"], "limit": 2})
    on = ana.messages(room, **{"dir": "f", "from": found["end"], "limit": 2})
    assert ids(back["chunk"]) == [sent[3], sent[2]]
    assert ids(on["chunk"]) == [sent[7], sent[8]]


def test_the_state_of_a_context_is_of_its_time(ana, room):
    ana.set_state(room, "m.room.topic", {"topic": "old"})
    then = ana.say(room, "then")
    ana.say(room, "a bit later")
    ana.set_state(room, "m.room.topic", {"topic": "new"})
    found = context(ana, room, then, limit=1)
    (topic,) = [event for event in found["state"] if event["type"] == "m.room.topic"]
    assert topic["content"] == {"topic": "old"}


def test_a_context_is_filtered_but_for_its_event(ana, bob, talk):
    room, sent = talk
    bob.say(room, "from bob")
    found = context(ana, room, sent[9], limit=6, filter={"senders": [bob.user_id]})
    assert found["event"]["event_id"] == sent[9]
    assert bodies(found["events_after"]) == ["from bob"]
    assert all(event["sender"] == bob.user_id for event in found["events_before"])


def test_unknown_events_have_no_context(ana, room):
    with refused(404, "M_NOT_FOUND"):
        context(ana, room, "$unknown")


@pytest.mark.synapse_differs("answers 404 with M_UNKNOWN")
def test_a_context_of_another_rooms_event_is_not_found(ana, talk):
    with refused(404, "M_NOT_FOUND"):
        context(ana, ana.create_room(), talk[1][0])


def test_members_of_a_lazy_page_are_those_of_its_senders(ana, bob, carol, public_room):
    bob.join(public_room)
    carol.join(public_room)
    bob.say(public_room, "hi")
    page = ana.messages(public_room, limit=1, filter={"lazy_load_members": True})
    assert [event["state_key"] for event in page["state"]] == [bob.user_id]


def test_history_is_the_same_on_both_processes_while_it_grows(ana, bob, room):
    for number in range(6):
        ana.on(number).send_event(room, "m.room.message", {"msgtype": "m.text", "body": str(number)}, next_txn())
        assert ids(ana.on(0).history(room)) == ids(bob.on(1).history(room))


def test_a_limited_sync_and_its_pages_share_no_event(ana, bob, talk):
    room, sent = talk
    answer = bob.sync(filter={"room": {"timeline": {"limit": 5}}})
    part = joined(answer, room)
    events, _ = pages(bob, room, part["timeline"]["prev_batch"], dir="b", limit=3)
    assert not set(ids(events)) & set(ids(timeline(answer, room)))
    assert ids(events)[::-1] + ids(timeline(answer, room)) == ids(bob.history(room))
