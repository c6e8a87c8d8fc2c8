"""Read receipts, read markers and typing."""

import pytest

from support.client import account_data_of, ephemeral, joined, refused


def receipts(answer, room):
    return ephemeral(answer, room, "m.receipt") or {}


def receipt_of(answer, room, event_id, user, kind="m.read"):
    return receipts(answer, room).get(event_id, {}).get(kind, {}).get(user.user_id)


def test_a_receipt_reaches_the_others(ana, bob, room):
    event_id = ana.say(room)
    since = ana.now()
    assert bob.receipt(room, event_id) == {}
    answer = ana.sync_until(lambda answer: receipts(answer, room), since)
    receipt = receipt_of(answer, room, event_id, bob)
    assert isinstance(receipt["ts"], int) and "thread_id" not in receipt
    assert receipt_of(ana.sync(), room, event_id, bob)
    assert not joined(ana.sync(answer["next_batch"]), room)


def test_a_private_receipt_reaches_only_its_owner(ana, bob, room):
    event_id = ana.say(room)
    since = ana.now()
    bob.receipt(room, event_id, "m.read.private")
    assert receipt_of(bob.sync(), room, event_id, bob, "m.read.private")
    phone = bob.login()
    assert receipt_of(phone.sync(), room, event_id, bob, "m.read.private")
    assert not receipts(ana.sync(since), room) and not receipts(ana.sync(), room)


def test_a_newer_receipt_replaces_an_older_one(ana, bob, room):
    first, second = ana.say(room), ana.say(room)
    bob.receipt(room, first)
    bob.receipt(room, second)
    answer = ana.sync()
    assert receipt_of(answer, room, second, bob)
    assert not receipt_of(answer, room, first, bob)


def test_a_receipt_does_not_move_back(ana, bob, room):
    first, second = ana.say(room), ana.say(room)
    bob.receipt(room, second)
    bob.receipt(room, first)
    answer = ana.sync()
    assert receipt_of(answer, room, second, bob)
    assert not receipt_of(answer, room, first, bob)


def test_receipts_of_threads_are_apart(ana, bob, room):
    root = ana.say(room, "root")
    in_thread = ana.send_event(room, "m.room.message", {"msgtype": "m.text", "body": "in thread", "m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    bob.receipt(room, root, thread_id="main")
    bob.receipt(room, in_thread, thread_id=root)
    answer = ana.sync()
    assert receipt_of(answer, room, root, bob)["thread_id"] == "main"
    assert receipt_of(answer, room, in_thread, bob)["thread_id"] == root


def test_a_threaded_and_an_unthreaded_receipt_live_side_by_side(ana, bob, room):
    first, second = ana.say(room), ana.say(room)
    bob.receipt(room, first, thread_id="main")
    bob.receipt(room, second)
    answer = ana.sync()
    assert receipt_of(answer, room, first, bob)["thread_id"] == "main"
    assert "thread_id" not in receipt_of(answer, room, second, bob)


def test_two_receipts_of_one_user_at_one_event_are_both_told(ana, bob, room):
    """The content has one place for a user and an event: the server splits them over answers or events, and loses none."""
    event_id = ana.say(room)
    bob.receipt(room, event_id)
    bob.receipt(room, event_id, thread_id="main")
    events = [event for event in joined(ana.sync(), room)["ephemeral"]["events"] if event["type"] == "m.receipt"]
    threads = [event["content"][event_id]["m.read"][bob.user_id].get("thread_id") for event in events]
    assert set(threads) <= {None, "main"} and threads


@pytest.mark.parametrize(
    "thread_id", [1, "", None, ["x"], {"x": 1}, "not-an-event"], ids=str
)
def test_an_impossible_thread_is_refused(ana, room, thread_id):
    event_id = ana.say(room)
    with refused(400, "M_INVALID_PARAM"):
        ana.receipt(room, event_id, thread_id=thread_id)


def test_an_event_outside_of_the_thread_is_refused(ana, room):
    root, other = ana.say(room, "root"), ana.say(room, "not in the thread")
    with refused(400, "M_INVALID_PARAM"):
        ana.receipt(room, other, thread_id=root)


def test_an_event_in_a_thread_is_not_in_the_main_timeline(ana, bob, room):
    """receipts.md "Threaded read receipts": what is about the root is, and what is about an event in the thread is not."""
    root = ana.say(room, "root")
    in_thread = ana.say(room, "in thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    reaction = ana.send_event(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": in_thread, "key": "x"}})
    about_root = ana.send_event(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "x"}})
    for event_id in (in_thread, reaction):
        with refused(400, "M_INVALID_PARAM"):
            bob.receipt(room, event_id, thread_id="main")
    bob.receipt(room, about_root, thread_id="main")
    assert receipt_of(ana.sync(), room, about_root, bob)["thread_id"] == "main"


def test_what_relates_to_the_root_may_mark_its_thread_as_read(ana, bob, room):
    """receipts.yaml refuses what "is not related to the thread_id": whatever the relation is, and over up to three hops."""
    root = ana.say(room, "root")
    ana.say(room, "in thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    reference = ana.say(room, "reference", **{"m.relates_to": {"rel_type": "m.reference", "event_id": root}})
    reaction = ana.send_event(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": reference, "key": "x"}})
    since = ana.now()
    bob.receipt(room, reaction, thread_id=root)
    assert receipt_of(ana.sync(since), room, reaction, bob)["thread_id"] == root


def test_a_fully_read_marker_has_no_thread(ana, room):
    with refused(400, "M_INVALID_PARAM"):
        ana.receipt(room, ana.say(room), "m.fully_read", thread_id="main")


def test_an_unknown_kind_of_receipt_is_refused(ana, room):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN")):
        ana.receipt(room, ana.say(room), "m.nonsense")


def test_strangers_send_no_receipts(ana, bob):
    room = ana.create_room()
    event_id = ana.say(room)
    with refused(403, "M_FORBIDDEN"):
        bob.receipt(room, event_id)
    assert not receipts(ana.sync(), room)


def test_unknown_events_get_no_receipt(ana, room):
    for event_id in ("$unknown", "nonsense"):
        response = ana.send("POST", "/rooms/{}/receipt/m.read/{}", room, event_id, body={})
        assert response.status_code in (200, 400, 404), response.text
    assert not receipt_of(ana.sync(), room, "nonsense", ana)


def test_a_receipt_needs_no_body(ana, room):
    """Old clients send none."""
    event_id = ana.say(room)
    response = ana.send("POST", "/rooms/{}/receipt/m.read/{}", room, event_id, data=b"")
    assert response.status_code in (200, 400)


# Read markers


def test_a_read_marker_is_account_data_of_the_room(ana, room):
    phone = ana.login()
    event_id = ana.say(room)
    since = phone.now()
    assert ana.post("/rooms/{}/read_markers", room, body={"m.fully_read": event_id}) == {}
    answer = phone.sync_until(lambda answer: joined(answer, room), since)
    assert account_data_of(joined(answer, room), "m.fully_read") == {"event_id": event_id}
    assert ana.get("/user/{}/rooms/{}/account_data/m.fully_read", ana.user_id, room) == {"event_id": event_id}


def test_a_read_marker_can_be_set_as_a_receipt(ana, room):
    event_id = ana.say(room)
    ana.receipt(room, event_id, "m.fully_read")
    assert ana.get("/user/{}/rooms/{}/account_data/m.fully_read", ana.user_id, room) == {"event_id": event_id}


def test_marker_and_receipts_are_set_together(ana, bob, room):
    first, second, third = ana.say(room), ana.say(room), ana.say(room)
    bob.post("/rooms/{}/read_markers", room, body={"m.fully_read": first, "m.read": second, "m.read.private": third})
    assert bob.get("/user/{}/rooms/{}/account_data/m.fully_read", bob.user_id, room) == {"event_id": first}
    assert receipt_of(ana.sync(), room, second, bob)
    assert receipt_of(bob.sync(), room, third, bob, "m.read.private")


def test_a_read_marker_does_not_move_back(ana, room):
    first, second = ana.say(room), ana.say(room)
    ana.post("/rooms/{}/read_markers", room, body={"m.fully_read": second})
    ana.post("/rooms/{}/read_markers", room, body={"m.fully_read": first})
    assert ana.get("/user/{}/rooms/{}/account_data/m.fully_read", ana.user_id, room) == {"event_id": second}


def test_an_empty_read_marker_changes_nothing(ana, room):
    assert ana.post("/rooms/{}/read_markers", room) == {}
    with refused(404, "M_NOT_FOUND"):
        ana.get("/user/{}/rooms/{}/account_data/m.fully_read", ana.user_id, room)


@pytest.mark.parametrize("marker", [1, None, ["$x"], {}], ids=str)
@pytest.mark.synapse_differs("takes some of them", sometimes=True)
def test_a_read_marker_is_an_event_id(ana, room, marker):
    with refused(400, ("M_INVALID_PARAM", "M_BAD_JSON")):
        ana.post("/rooms/{}/read_markers", room, body={"m.fully_read": marker})


@pytest.mark.synapse_differs("takes it")
def test_strangers_set_no_read_marker(ana, bob):
    room = ana.create_room()
    event_id = ana.say(room)
    with refused(403, "M_FORBIDDEN"):
        bob.post("/rooms/{}/read_markers", room, body={"m.fully_read": event_id})


# Typing


def typing(user, room, now=True, timeout=30000, who=None):
    body = {"typing": True, "timeout": timeout} if now else {"typing": False}
    return user.put("/rooms/{}/typing/{}", room, (who or user).user_id, body=body)


def who_types(answer, room):
    content = ephemeral(answer, room, "m.typing")
    return content and sorted(content["user_ids"])


def test_typing_is_seen_and_ends(ana, bob, room):
    since = ana.now()
    assert typing(bob, room) == {}
    answer = ana.sync_until(lambda answer: who_types(answer, room), since)
    assert who_types(answer, room) == [bob.user_id]
    typing(bob, room, now=False)
    answer = ana.sync_until(lambda answer: who_types(answer, room) is not None, answer["next_batch"])
    assert who_types(answer, room) == []


def test_typing_ends_by_itself(ana, bob, room):
    since = ana.now()
    typing(bob, room, timeout=200)
    answer = ana.sync_until(lambda answer: who_types(answer, room), since)
    answer = ana.sync_until(lambda answer: who_types(answer, room) == [], answer["next_batch"])


def test_several_people_type_on_several_processes(ana, bob, carol, room):
    ana.invite(room, carol)
    carol.join(room)
    since = ana.now()
    typing(bob.on(0), room)
    typing(carol.on(1), room)
    both = sorted([bob.user_id, carol.user_id])
    for process in (0, 1):
        ana.on(process).sync_until(lambda answer: who_types(answer, room) == both, since)


def test_a_first_sync_shows_who_types(ana, bob, room):
    typing(bob, room)
    assert who_types(ana.sync_until(lambda answer: who_types(answer, room)), room) == [bob.user_id]


def test_a_message_does_not_hide_typing_of_another(ana, bob, carol, room):
    since = ana.now()
    typing(bob, room)
    ana.say(room)
    ana.sync_until(lambda answer: who_types(answer, room) == [bob.user_id], since)


@pytest.mark.synapse_differs("answers 400")
def test_nobody_types_for_somebody_else(ana, bob, room):
    with refused(403, "M_FORBIDDEN"):
        typing(ana, room, who=bob)


def test_strangers_do_not_type(ana, bob):
    room = ana.create_room()
    with refused(403, "M_FORBIDDEN"):
        typing(bob, room)


@pytest.mark.parametrize("body", [{}, {"typing": "yes"}, {"typing": True, "timeout": "long"}], ids=str)
@pytest.mark.synapse_differs("takes some of them", sometimes=True)
def test_typing_is_true_or_false(ana, room, body):
    with refused(400, ("M_MISSING_PARAM", "M_INVALID_PARAM", "M_BAD_JSON")):
        ana.put("/rooms/{}/typing/{}", room, ana.user_id, body=body)
