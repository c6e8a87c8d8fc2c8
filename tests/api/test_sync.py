"""GET /sync: what is in it, what is new in the next one, and how it waits."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from support.client import (
    account_data_of,
    bodies,
    ephemeral,
    ids,
    invited,
    joined,
    left,
    next_txn,
    refused,
    state_of,
    timeline,
    types,
)

LAST_ONE = {"room": {"timeline": {"limit": 1}}}


def limit(count):
    return {"room": {"timeline": {"limit": count}}}


# The first sync


def test_a_user_without_rooms_gets_an_answer_at_once(ana):
    started = time.monotonic()
    answer = ana.sync(timeout=20000)
    assert time.monotonic() - started < 10
    assert answer["next_batch"]
    assert not answer.get("rooms", {}).get("join")


def test_a_small_room_comes_whole_in_its_timeline(ana):
    room = ana.create_room(name="small")
    answer = ana.sync(filter=limit(50))
    part = joined(answer, room)
    assert ids(part["timeline"]["events"]) == ids(ana.history(room))
    assert types(part["timeline"]["events"])[0] == "m.room.create"
    assert part["timeline"]["limited"] is False
    assert part.get("state", {}).get("events", []) == []


def test_a_longer_room_comes_with_its_end_and_the_state_before_that(ana, room):
    ana.set_state(room, "m.room.topic", {"topic": "before"})
    for number in range(5):
        ana.say(room, str(number))
    ana.set_state(room, "m.room.topic", {"topic": "after"})
    ana.say(room, "last")
    answer = ana.sync(filter=limit(3))
    part = joined(answer, room)
    assert part["timeline"]["limited"] is True
    assert [event["content"].get("body") or event["content"]["topic"] for event in part["timeline"]["events"]] == ["4", "after", "last"]
    state = state_of(answer, room)
    assert state["m.room.topic", ""]["content"] == {"topic": "before"}
    assert state["m.room.create", ""]["content"]["room_version"] == "12"
    assert {key for kind, key in state if kind == "m.room.member"} == set(ana.get("/rooms/{}/joined_members", room)["joined"])


def test_prev_batch_leads_to_the_events_before_the_timeline(ana, room):
    for number in range(6):
        ana.say(room, str(number))
    part = joined(ana.sync(filter=limit(2)), room)
    page = ana.messages(room, **{"from": part["timeline"]["prev_batch"], "limit": 2})
    assert bodies(part["timeline"]["events"]) == ["4", "5"]
    assert bodies(page["chunk"]) == ["3", "2"]


def test_all_rooms_come_at_once(ana, bob):
    rooms = {ana.create_room() for _ in range(4)}
    invitation = bob.create_room(invite=[ana.user_id])
    answer = ana.sync()
    assert set(answer["rooms"]["join"]) == rooms
    assert set(answer["rooms"]["invite"]) == {invitation}


def test_events_have_what_clients_need(ana, room):
    event_id = ana.say(room)
    (event,) = [event for event in timeline(ana.sync(), room) if event["event_id"] == event_id]
    assert event["sender"] == ana.user_id and event["type"] == "m.room.message" and isinstance(event["origin_server_ts"], int)
    assert event["unsigned"]["age"] >= 0
    assert event["unsigned"]["membership"] == "join"
    assert not {"prev_events", "auth_events", "hashes", "signatures", "depth"} & set(event)


def test_unsigned_tells_ones_own_membership_at_the_event(ana, bob, public_room):
    said = ana.say(public_room, "before bob")
    bob.join(public_room)
    answer = bob.sync(filter=limit(50))
    membership = {event["event_id"]: event["unsigned"].get("membership") for event in timeline(answer, public_room)}
    assert membership[said] == "leave"
    assert membership[ids(timeline(answer, public_room))[-1]] == "join"


def test_one_time_key_counts_are_in_every_answer(ana):
    first = ana.sync()
    second = ana.sync(first["next_batch"])
    for answer in (first, second):
        assert isinstance(answer["device_one_time_keys_count"], dict)
        assert answer["device_unused_fallback_key_types"] == []


def test_no_field_is_null(ana, bob, room):
    """One null where an object or a string is expected ends the sync loop of some clients."""

    def nulls(value, path=""):
        if value is None:
            return [path]
        if isinstance(value, dict):
            return [found for key, each in value.items() for found in nulls(each, f"{path}/{key}")]
        if isinstance(value, list):
            return [found for each in value for found in nulls(each, path)]
        return []

    ana.create_room(invite=[bob.user_id])
    bob.leave(bob.create_room())
    ana.receipt(room, ana.say(room))
    first = bob.sync(filter={"room": {"include_leave": True}})
    second = bob.sync(first["next_batch"])
    assert nulls(first) + nulls(second) == []


# The next one


def test_nothing_new_is_an_empty_answer(ana, room):
    since = ana.now()
    answer = ana.sync(since)
    assert not answer.get("rooms", {}).get("join") and not answer.get("rooms", {}).get("invite") and not answer.get("rooms", {}).get("leave")
    assert not answer.get("account_data", {}).get("events")
    assert not answer.get("to_device", {}).get("events")


def test_only_what_is_new_comes(ana, bob, room):
    quiet = ana.create_room()
    ana.say(room, "old")
    since = ana.now()
    bob.say(room, "new")
    answer = ana.sync_until(lambda answer: joined(answer, room), since)
    assert bodies(timeline(answer, room)) == ["new"]
    assert joined(answer, room)["timeline"]["limited"] is False
    assert state_of(answer, room) == {}
    assert not joined(answer, quiet)
    assert not joined(ana.sync(answer["next_batch"]), room)


def test_a_token_may_be_used_again(ana, room):
    since = ana.now()
    event_id = ana.say(room)
    first = ana.sync(since)
    ana.say(room, "later")
    assert ids(timeline(first, room)) == [event_id]
    assert ids(timeline(ana.sync(since), room))[0] == event_id


def test_a_token_of_one_process_is_good_for_the_other(ana, room):
    since = ana.on(0).now()
    for number in range(6):
        event_id = ana.on(number).say(room, str(number))
        answer = ana.on(number + 1).sync(since)
        assert ids(timeline(answer, room)) == [event_id]
        since = answer["next_batch"]


def test_ones_own_write_is_seen_at_once_on_any_process(ana):
    for number in range(5):
        room = ana.on(number).create_room()
        other = ana.on(number + 1)
        assert room in other.sync()["rooms"]["join"]
        event_id = ana.on(number).say(room)
        assert other.event(room, event_id)["event_id"] == event_id


@pytest.mark.parametrize("since", ["nonsense", "s", "-1", "1", "s1", "99999999999999999999999999", "0_0", "ünïcode"])
@pytest.mark.synapse_differs("takes some of them", sometimes=True)
def test_a_token_that_is_none_is_refused(ana, since):
    response = ana.send("GET", "/sync", query={"since": since, "timeout": 0})
    if response.status_code != 200:  # What looks like a token may be taken for one.
        assert response.status_code == 400 and response.json()["errcode"] in ("M_INVALID_PARAM", "M_UNKNOWN", "M_UNKNOWN_POS")


@pytest.mark.parametrize("query", [{"timeout": "soon"}, {"timeout": "-5"}, {"full_state": "perhaps"}, {"set_presence": "nonsense"}], ids=str)
@pytest.mark.synapse_differs("takes some of them or answers M_UNKNOWN", sometimes=True)
def test_a_wrong_parameter_is_refused(ana, query):
    with refused(400, "M_INVALID_PARAM"):
        ana.get("/sync", query=query)


def test_unknown_parameters_are_ignored(ana):
    assert ana.get("/sync", query={"_cacheBuster": "123", "timeout": 0})["next_batch"]


# Gaps


def test_a_gap_is_limited_and_its_state_comes_apart(ana, bob, room):
    since = bob.now()
    ana.set_state(room, "m.room.topic", {"topic": "in the gap"})
    for number in range(5):
        ana.say(room, str(number))
    ana.set_state(room, "m.room.name", {"name": "in the timeline"})
    answer = bob.sync(since, filter=limit(3))
    part = joined(answer, room)
    assert part["timeline"]["limited"] is True
    assert types(part["timeline"]["events"]) == ["m.room.message", "m.room.message", "m.room.name"]
    assert set(state_of(answer, room)) == {("m.room.topic", "")}


def test_a_gap_can_be_filled_exactly(ana, bob, room):
    since = bob.now()
    sent = [ana.say(room, str(number)) for number in range(12)]
    part = joined(bob.sync(since, filter=limit(4)), room)
    assert ids(part["timeline"]["events"]) == sent[8:]
    found, start = [], part["timeline"]["prev_batch"]
    while True:
        page = bob.messages(room, **{"from": start, "to": since, "limit": 3})
        found += ids(page["chunk"])
        if "end" not in page or not page["chunk"]:
            break
        start = page["end"]
    assert found == sent[:8][::-1]
    forward = bob.messages(room, **{"dir": "f", "from": since, "to": part["timeline"]["prev_batch"], "limit": 50})
    assert ids(forward["chunk"]) == sent[:8]


def test_exactly_as_many_events_as_the_limit_are_no_gap(ana, bob, room):
    since = bob.now()
    sent = [ana.say(room, str(number)) for number in range(4)]
    part = joined(bob.sync(since, filter=limit(4)), room)
    assert (ids(part["timeline"]["events"]), part["timeline"]["limited"]) == (sent, False)


def test_state_set_and_set_back_in_a_gap_may_be_silent_but_not_wrong(ana, bob, room):
    ana.set_state(room, "m.room.topic", {"topic": "one"})
    since = bob.now()
    ana.set_state(room, "m.room.topic", {"topic": "two"})
    last = ana.set_state(room, "m.room.topic", {"topic": "one"})
    for number in range(5):
        ana.say(room, str(number))
    answer = bob.sync(since, filter=limit(2))
    assert state_of(answer, room)["m.room.topic", ""]["event_id"] == last


def test_full_state_comes_when_asked_for_and_at_once(ana, bob, room):
    ana.set_state(room, "m.room.name", {"name": "here"})
    since = bob.now()
    started = time.monotonic()
    answer = bob.sync(since, timeout=20000, full_state=True)
    assert time.monotonic() - started < 10
    assert state_of(answer, room)["m.room.name", ""]["content"] == {"name": "here"}
    assert timeline(answer, room) == []
    event_id = ana.say(room)
    answer = bob.sync(since, full_state=True)
    assert ids(timeline(answer, room)) == [event_id]
    assert ("m.room.create", "") in state_of(answer, room)


# state_after


STATE_AFTER = [
    pytest.param(("use_state_after", "state_after"), marks=pytest.mark.synapse_differs("knows the unstable name alone"), id="stable"),
    pytest.param(("org.matrix.msc4222.use_state_after", "org.matrix.msc4222.state_after"), id="as Element asks"),
]


@pytest.mark.parametrize("names", STATE_AFTER)
def test_state_after_replaces_state_when_asked_for(ana, bob, room, names):
    asked, key = {names[0]: True}, names[1]
    ana.set_state(room, "m.room.topic", {"topic": "old"})
    for number in range(4):
        ana.say(room, str(number))
    ana.set_state(room, "m.room.topic", {"topic": "new"})
    answer = bob.sync(filter=limit(2), **asked)
    part = joined(answer, room)
    assert "state" not in part
    after = state_of(answer, room, key=key)
    assert after["m.room.topic", ""]["content"] == {"topic": "new"}
    assert ("m.room.create", "") in after
    ana.say(room)
    part = joined(bob.sync(answer["next_batch"], **asked), room)
    assert part[key]["events"] == []
    ana.set_state(room, "m.room.topic", {"topic": "newer"})
    answer = bob.sync(answer["next_batch"], **asked)
    assert set(state_of(answer, room, key=key)) == {("m.room.topic", "")}
    assert types(timeline(answer, room)) == ["m.room.message", "m.room.topic"]


def test_without_asking_there_is_no_state_after(ana, room):
    assert "state_after" not in joined(ana.sync(), room)


# Leaving and coming back


def test_a_left_room_shows_once_and_ends_at_the_leave(ana, bob, room):
    since = bob.now()
    ana.say(room, "before")
    bob.leave(room)
    ana.say(room, "after")
    answer = bob.sync(since)
    assert not joined(answer, room)
    events = timeline(answer, room, left)
    assert bodies(events) == ["before"]
    assert (events[-1]["type"], events[-1]["state_key"], events[-1]["content"]["membership"]) == ("m.room.member", bob.user_id, "leave")
    assert not left(bob.sync(answer["next_batch"]), room)
    assert not left(bob.sync(), room) and not joined(bob.sync(), room)


def test_left_rooms_come_when_asked_for(ana, bob, room):
    ana.say(room, "before")
    ana.set_state(room, "m.room.name", {"name": "then"})
    bob.leave(room)
    ana.say(room, "after")
    ana.set_state(room, "m.room.name", {"name": "now"})
    answer = bob.sync(filter={"room": {"include_leave": True, "timeline": {"limit": 2}}})
    events = timeline(answer, room, left)
    assert types(events) == ["m.room.name", "m.room.member"] and events[0]["content"] == {"name": "then"}
    state = state_of(answer, room, left)
    assert ("m.room.create", "") in state


def test_a_ban_shows_once(ana, bob, room):
    since = bob.now()
    ana.ban(room, bob, reason="enough")
    ana.say(room, "after")
    answer = bob.sync(since)
    (event,) = timeline(answer, room, left)
    assert event["content"]["membership"] == "ban" and event["content"]["reason"] == "enough"
    assert not left(bob.sync(answer["next_batch"]), room)


def test_leaving_and_joining_again_in_one_gap_is_newly_joined(ana, bob, public_room):
    bob.join(public_room)
    ana.set_state(public_room, "m.room.name", {"name": "old name"})
    since = bob.now()
    bob.leave(public_room)
    ana.set_state(public_room, "m.room.topic", {"topic": "while away"})
    bob.join(public_room)
    ana.say(public_room, "welcome back")
    answer = bob.sync(since, filter=limit(2))
    assert joined(bob.sync(since, filter=limit(100)), public_room)["timeline"]["limited"], "what bob has of before does not follow on"
    assert not left(answer, public_room)
    assert bodies(timeline(answer, public_room)) == ["welcome back"]
    state = state_of(answer, public_room)
    assert state["m.room.topic", ""]["content"] == {"topic": "while away"}
    assert state["m.room.name", ""]["content"] == {"name": "old name"}
    assert ("m.room.create", "") in state


def test_joining_and_leaving_in_one_gap_is_a_left_room(ana, bob, public_room):
    since = bob.now()
    bob.join(public_room)
    bob.leave(public_room)
    answer = bob.sync(since)
    assert not joined(answer, public_room)
    assert timeline(answer, public_room, left)[-1]["content"]["membership"] == "leave"
    shortened = bob.sync(since, filter=limit(1))
    assert ("m.room.create", "") in state_of(shortened, public_room, left)


def test_what_happened_while_away_is_not_shown_where_history_is_for_members(ana, bob):
    states = [{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}]
    room = ana.create_room(preset="public_chat", initial_state=states)
    bob.join(room)
    since = bob.now()
    ana.say(room, "seen")
    bob.leave(room)
    ana.say(room, "not seen")
    bob.join(room)
    ana.say(room, "seen again")
    answer = bob.sync(since, filter=limit(50))
    assert "not seen" not in bodies(timeline(answer, room))
    assert bodies(timeline(answer, room))[-1] == "seen again"


def test_an_invite_shows_once_and_again_in_a_first_sync(ana, bob):
    since = bob.now()
    room = ana.create_room(invite=[bob.user_id])
    answer = bob.sync(since)
    assert invited(answer, room)
    assert not invited(bob.sync(answer["next_batch"]), room)
    assert invited(bob.sync(), room)


def test_an_invite_made_and_withdrawn_in_one_gap_leaves_no_invite(ana, bob):
    since = bob.now()
    room = ana.create_room(invite=[bob.user_id])
    ana.kick(room, bob)
    answer = bob.sync(since)
    assert not invited(answer, room)


def test_an_invite_that_ended_in_a_ban_is_gone(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    since = bob.sync()["next_batch"]
    ana.kick(room, bob)
    ana.ban(room, bob)
    (event,) = timeline(bob.sync(since), room, left)
    assert event["content"]["membership"] == "ban"


def test_the_end_of_a_ban_is_told(ana, bob, room):
    ana.ban(room, bob)
    since = bob.now()
    ana.unban(room, bob)
    (event,) = timeline(bob.sync(since), room, left)
    assert event["content"]["membership"] == "leave"


def test_a_forgotten_room_stays_away(ana, bob, room):
    bob.leave(room)
    since = bob.now()
    bob.forget(room)
    include = {"room": {"include_leave": True}}
    assert not left(bob.sync(since, filter=include), room)
    assert not left(bob.sync(filter=include), room)


def test_a_leave_shows_though_the_room_is_forgotten_by_then(ana, bob, room):
    """Another device still learns that the user has left."""
    since = bob.now()
    bob.leave(room)
    bob.forget(room)
    (event,) = timeline(bob.sync(since), room, left)
    assert (event["state_key"], event["content"]["membership"]) == (bob.user_id, "leave")


def test_rejecting_an_invite_of_a_forgotten_room_shows_nothing_wrong(ana, bob, room):
    bob.leave(room)
    bob.forget(room)
    ana.invite(room, bob)
    assert invited(bob.sync(), room)
    since = bob.now()
    bob.leave(room)
    answer = bob.sync(since)
    assert not invited(answer, room) and not joined(answer, room)


# Summary

SUMMARIES = [
    pytest.param({}, marks=pytest.mark.synapse_differs("sends summaries with lazy loading alone"), id="all members"),
    pytest.param({"room": {"state": {"lazy_load_members": True}}}, id="lazy members"),
]


@pytest.mark.parametrize("filter", SUMMARIES)
def test_the_summary_counts_members_and_names_heroes(ana, bob, carol, filter):
    room = ana.create_room(invite=[bob.user_id, carol.user_id])
    bob.join(room)
    summary = joined(ana.sync(filter=filter), room)["summary"]
    assert (summary["m.joined_member_count"], summary["m.invited_member_count"]) == (2, 1)
    assert sorted(summary["m.heroes"]) == sorted([bob.user_id, carol.user_id])


@pytest.mark.parametrize("filter", SUMMARIES)
def test_a_changed_membership_changes_the_summary(ana, bob, room, carol, filter):
    since = ana.sync(filter=filter)["next_batch"]
    ana.invite(room, carol)
    answer = ana.sync(since, filter=filter)
    assert joined(answer, room)["summary"]["m.invited_member_count"] == 1
    carol.join(room)
    answer = ana.sync(answer["next_batch"], filter=filter)
    summary = joined(answer, room)["summary"]
    assert (summary["m.joined_member_count"], summary["m.invited_member_count"]) == (3, 0)


@pytest.mark.parametrize("filter", SUMMARIES)
def test_heroes_fall_back_to_those_who_left(ana, bob, room, filter):
    bob.leave(room)
    assert joined(ana.sync(filter=filter), room)["summary"]["m.heroes"] == [bob.user_id]


@pytest.mark.parametrize("filter", SUMMARIES)
def test_five_heroes_are_enough(ana, new_user, filter):
    members = [new_user("member").user_id for _ in range(7)]
    room = ana.create_room(invite=members)
    heroes = joined(ana.sync(filter=filter), room)["summary"]["m.heroes"]
    assert len(heroes) >= 5 and set(heroes) <= set(members)


# Waiting


def someone_speaks(ana, bob, room):
    ana.say(room, "wake up")
    return lambda answer: bodies(timeline(answer, room)) == ["wake up"]


def someone_invites(ana, bob, room):
    other = ana.create_room(invite=[bob.user_id])
    return lambda answer: invited(answer, other)


def someone_kicks(ana, bob, room):
    ana.kick(room, bob)
    return lambda answer: left(answer, room)


def someone_reads(ana, bob, room):
    event_id = ids(ana.messages(room, limit=1)["chunk"])[0]
    ana.receipt(room, event_id)
    return lambda answer: ana.user_id in ephemeral(answer, room, "m.receipt")[event_id]["m.read"]


def someone_types(ana, bob, room):
    ana.put("/rooms/{}/typing/{}", room, ana.user_id, body={"typing": True, "timeout": 30000})
    return lambda answer: ephemeral(answer, room, "m.typing") == {"user_ids": [ana.user_id]}


def another_device_stores_account_data(ana, bob, room):
    bob.account_data("org.example.x", {"x": 1})
    return lambda answer: account_data_of(answer, "org.example.x") == {"x": 1}


def another_device_tags_a_room(ana, bob, room):
    bob.put("/user/{}/rooms/{}/tags/u.x", bob.user_id, room)
    return lambda answer: account_data_of(joined(answer, room), "m.tag") == {"tags": {"u.x": {}}}


def another_device_changes_a_push_rule(ana, bob, room):
    bob.put("/pushrules/global/room/{}", room, body={"actions": []})
    return lambda answer: account_data_of(answer, "m.push_rules")


def someone_sends_to_the_device(ana, bob, room):
    ana.put("/sendToDevice/org.example.x/{}", next_txn(), body={"messages": {bob.user_id: {"*": {"x": 1}}}})
    return lambda answer: answer["to_device"]["events"][0]["content"] == {"x": 1}


@pytest.mark.parametrize(
    "event",
    [
        someone_speaks,
        someone_invites,
        someone_kicks,
        someone_reads,
        someone_types,
        another_device_stores_account_data,
        another_device_tags_a_room,
        another_device_changes_a_push_rule,
        someone_sends_to_the_device,
    ],
    ids=lambda event: event.__name__,
)
def test_a_waiting_sync_wakes_when(ana, bob, room, event):
    """The poll waits on one process while the event comes through the other."""
    started = time.monotonic()
    with bob.on(0).parked(seconds=30) as answer:
        seen = event(ana.on(1), bob.on(1), room)
        assert seen(answer())
    assert time.monotonic() - started < 15


def test_a_waiting_sync_sleeps_through_what_is_not_for_it(ana, bob, carol, room):
    """News of rooms that bob is not in, and events that his filter leaves out, do not end the poll."""
    elsewhere = ana.create_room(invite=[carol.user_id])
    only_names = {"room": {"timeline": {"types": ["m.room.name"]}, "ephemeral": {"types": []}}}
    with bob.parked(seconds=30, filter=only_names) as answer:
        ana.say(elsewhere)
        ana.say(room, "left out")
        carol.join(elsewhere)
        name = ana.set_state(room, "m.room.name", {"name": "wake up"})
        assert ids(timeline(answer(), room)) == [name]


def test_a_waiting_sync_ends_when_its_time_is_over(ana, room):
    since = ana.now()
    started = time.monotonic()
    answer = ana.sync(since, timeout=300)
    assert 0.25 < time.monotonic() - started < 10
    assert not joined(answer, room)
    event_id = ana.say(room)
    assert ids(timeline(ana.sync(answer["next_batch"]), room)) == [event_id]


def test_a_sync_without_a_timeout_does_not_wait(ana, room):
    since = ana.now()
    started = time.monotonic()
    ana.sync(since)
    assert time.monotonic() - started < 5


def test_a_waiting_sync_ends_with_its_token(ana):
    """A poll of a device that is logged out must not go on: it answers, and its token is no good any more."""
    phone = ana.login()
    since = phone.now()
    phone.post("/logout")
    with refused(401, "M_UNKNOWN_TOKEN"):
        phone.sync(since, timeout=20000)


@pytest.mark.hearth_only("Synapse waits for tokens that it has not given out yet")
def test_a_token_of_the_future_is_refused_at_once(ana):
    """Nobody has such a token, so nothing is waited for: many such polls leave the server as quick as before."""
    token = ana.now()
    position, rest = token[1:].split("_", 1)
    future = f"s{int(position) + 10**6}_{rest}"
    with ThreadPoolExecutor(32) as pool:
        answers = [pool.submit(ana.send, "GET", "/sync", query={"since": future, "timeout": 30000}) for _ in range(32)]
        assert {answer.result().status_code for answer in answers} == {400}


def test_many_polls_of_one_user_wake_together(new_user, ana):
    users = [new_user("listener") for _ in range(5)]
    room = ana.create_room(preset="public_chat")
    for user in users:
        user.join(room)
    with ExitStack() as polls:
        answers = [polls.enter_context(user.on(number).parked(seconds=30)) for number, user in enumerate(users)]
        event_id = ana.say(room)
        assert [ids(timeline(answer(), room)) for answer in answers] == [[event_id]] * 5


@pytest.mark.hearth_only("a limit of Hearth's own")
def test_an_eleventh_poll_of_a_device_ends_the_first(ana):
    since = ana.now()
    device = ana.on(0)
    started = time.monotonic()
    with ExitStack() as polls:
        answers = [polls.enter_context(device.parked(since, seconds=15)) for _ in range(11)]
        answers[0]()
        assert time.monotonic() - started < 10
        ana.account_data("org.example.end", {})
