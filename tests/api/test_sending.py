"""Sending events: transaction ids, limits, redactions."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import bodies, ids, next_txn, refused, timeline
from support.registration import register_with_secret

VERSIONS = ["1", "2", "3", "6", "9", "10", "11", "12"]


def test_what_is_sent_arrives_as_it_was_sent(ana, bob, room):
    content = {"msgtype": "m.text", "body": "grüße 👋 \u0000 \" \\", "deep": {"list": [1, None, True, -5, {}]}, "m.mentions": {}}
    since = bob.now()
    event_id = ana.send_event(room, "m.room.message", content)
    answer = bob.sync_until(lambda answer: timeline(answer, room), since)
    (event,) = timeline(answer, room)
    assert event["content"] == content
    assert (event["event_id"], event["sender"], event["type"]) == (event_id, ana.user_id, "m.room.message")
    assert "state_key" not in event and "room_id" not in event
    fetched = bob.event(room, event_id)
    assert (fetched["content"], fetched["room_id"]) == (content, room)


def test_any_type_of_event_may_be_sent(ana, room):
    for event_type in ("org.example.custom", "with space", "ünïcode", "with/slash", "x" * 255):
        event_id = ana.send_event(room, event_type, {})
        assert ana.event(room, event_id)["type"] == event_type


def test_strangers_and_invited_users_cannot_send(ana, bob, carol, public_room):
    ana.invite(public_room, carol)
    for user in (bob, carol):
        with refused(403, "M_FORBIDDEN"):
            user.say(public_room)
    with refused(403, "M_FORBIDDEN"):
        ana.say("!unknown:hearth.test")


# Transaction ids


def test_the_same_transaction_sends_once(ana, room):
    first = ana.say(room, "once", txn="t1")
    assert ana.say(room, "once", txn="t1") == first
    assert ana.say(room, "another text changes nothing", txn="t1") == first
    assert bodies(ana.history(room)) == ["once"]


def test_the_same_transaction_sends_once_on_both_processes(ana, room):
    first = ana.on(0).say(room, "once", txn="t1")
    assert ana.on(1).say(room, "once", txn="t1") == first
    assert bodies(ana.history(room)) == ["once"]


def test_the_same_transaction_at_the_same_time_sends_once(ana, room):
    with ThreadPoolExecutor(6) as pool:
        for txn in (next_txn() for _ in range(5)):
            sent = list(pool.map(lambda process: ana.on(process).say(room, txn, txn=txn), range(6)))
            assert len(set(sent)) == 1
            assert bodies(ana.history(room)).count(txn) == 1


@pytest.mark.synapse_differs("the scope is the room, whatever the type or the target")
def test_transactions_are_apart_by_room_type_device_and_user(ana, bob, room):
    other_room = ana.create_room()
    phone = ana.login()
    sent = [
        ana.say(room, txn="t1"),
        ana.say(other_room, txn="t1"),
        ana.send_event(room, "org.example.other", {}, txn="t1"),
        phone.say(room, txn="t1"),
        bob.say(room, txn="t1"),
    ]
    assert len(set(sent)) == len(sent)


def test_a_transaction_outlives_a_refreshed_token(ana, room):
    body = {"type": "m.login.password", "user": ana.user_id, "password": ana.password, "refresh_token": True}
    login = ana.post("/login", body=body, token=None)
    phone = ana.with_session(login)
    first = phone.say(room, txn="t1")
    renewed = ana.post("/refresh", body={"refresh_token": login["refresh_token"]}, token=None)
    phone.token = renewed["access_token"]
    assert phone.say(room, txn="t1") == first


def test_the_sending_device_alone_learns_the_transaction(ana, bob, room):
    phone = ana.login()
    event_id = ana.say(room, txn="my transaction")

    def transaction(user):
        return user.event(room, event_id)["unsigned"].get("transaction_id")

    assert transaction(ana) == "my transaction"
    assert transaction(phone) is None and transaction(bob) is None
    for user, expected in ((ana, "my transaction"), (phone, None), (bob, None)):
        (event,) = [event for event in timeline(user.sync(), room) if event["event_id"] == event_id]
        assert event["unsigned"].get("transaction_id") == expected


def test_a_refused_event_may_be_sent_again_under_its_transaction(ana, bob, room):
    levels = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**levels, "events_default": 50})
    with refused(403, "M_FORBIDDEN"):
        bob.say(room, txn="t1")
    ana.set_state(room, "m.room.power_levels", levels)
    assert bob.say(room, txn="t1")


@pytest.mark.synapse_differs("the scope is the room, whatever the type or the target")
def test_redactions_have_transactions_too(ana, room):
    target, other = ana.say(room), ana.say(room)
    first = ana.redact(room, target, txn="t1")
    assert ana.redact(room, target, txn="t1") == first
    assert ana.redact(room, other, txn="t1") != first


# Limits


def test_an_event_of_more_than_64_kib_is_too_large(ana, room):
    with refused(413, "M_TOO_LARGE"):
        ana.say(room, "x" * 65536)
    assert ana.say(room, "x" * 60000)


def test_type_and_state_key_are_limited_to_255_bytes(ana, room):
    with refused((400, 413), ("M_TOO_LARGE", "M_INVALID_PARAM")):
        ana.send_event(room, "x" * 256, {})
    with refused((400, 413), ("M_TOO_LARGE", "M_INVALID_PARAM")):
        ana.set_state(room, "org.example.x", {}, "ü" * 128)
    ana.set_state(room, "org.example.x", {}, "ü" * 127)


@pytest.mark.parametrize("number", ["1.5", "1e3", "9007199254740992", "-9007199254740992", pytest.param("1e400", marks=pytest.mark.synapse_differs("500")), "NaN", "Infinity"])
@pytest.mark.parametrize("version", ["6", "11", "12"])
def test_numbers_must_be_canonical(ana, version, number):
    room = ana.create_room(room_version=version)
    with refused(400, ("M_BAD_JSON", "M_NOT_JSON")):
        ana.call("PUT", "/rooms/{}/send/org.example.number/{}", room, next_txn(), data=f'{{"number": {number}}}'.encode())


@pytest.mark.parametrize("number", [0, -1, 9007199254740991, -9007199254740991])
def test_numbers_up_to_2_53_are_kept(ana, room, number):
    assert ana.event(room, ana.send_event(room, "org.example.number", {"number": number}))["content"] == {"number": number}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nonsense", b'{"a": }', b'{"a": 1,}', b"{'a': 1}", b'{"a": "\xff"}', b"\xef\xbb\xbf{}x", b"{}{}", b'{"a": "\xed\xa0\x80"}']
)
def test_what_is_not_json_is_refused(ana, room, data):
    with refused(400, "M_NOT_JSON"):
        ana.call("PUT", "/rooms/{}/send/org.example.x/{}", room, next_txn(), data=data)


@pytest.mark.parametrize("data", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_content_is_an_object(ana, room, data):
    with refused(400, ("M_BAD_JSON", "M_NOT_JSON")):
        ana.call("PUT", "/rooms/{}/send/org.example.x/{}", room, next_txn(), data=data)


def test_a_message_needs_no_content_type_header(ana, room):
    response = ana.send("PUT", "/rooms/{}/send/m.room.message/{}", room, next_txn(), data=b'{"body": "x", "msgtype": "m.text"}')
    assert response.status_code == 200


# Redactions


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redacted_event_loses_its_content(ana, bob, version):
    room = ana.create_room(room_version=version, preset="public_chat")
    bob.join(room)
    since = bob.now()
    target = ana.say(room, "a secret")
    redaction = ana.redact(room, target, reason="a slip")
    event = bob.event(room, target)
    assert event["content"] == {}
    because = event["unsigned"]["redacted_because"]
    assert (because["event_id"], because["sender"], because["type"]) == (redaction, ana.user_id, "m.room.redaction")
    assert because["content"]["reason"] == "a slip"
    answer = bob.sync_until(lambda answer: redaction in ids(timeline(answer, room)), since)
    shown = {event["event_id"]: event for event in timeline(answer, room)}
    assert shown[target]["content"] == {}
    assert shown[redaction]["redacts"] == target
    if version in ("11", "12"):
        assert shown[redaction]["content"]["redacts"] == target


@pytest.mark.parametrize("version", VERSIONS)
def test_a_redaction_names_its_target_at_both_places(ana, version):
    """Servers add `redacts` at the top for old clients in new rooms, and in the content for new clients in old rooms."""
    room = ana.create_room(room_version=version)
    target = ana.say(room)
    event = ana.event(room, ana.redact(room, target))
    assert event["redacts"] == target
    assert event["content"]["redacts"] == target


@pytest.mark.parametrize("version", [pytest.param("1", marks=pytest.mark.synapse_differs("500")), "11", "12"])
def test_a_redaction_can_be_sent_as_an_event(ana, version):
    room = ana.create_room(room_version=version)
    target = ana.say(room)
    redaction = ana.send_event(room, "m.room.redaction", {"redacts": target, "reason": "by send"})
    event = ana.event(room, target)
    assert event["content"] == {}
    assert event["unsigned"]["redacted_because"]["event_id"] == redaction


def test_own_events_may_be_redacted_and_others_by_moderators_alone(ana, bob, carol, room):
    ana.invite(room, carol)
    carol.join(room)
    of_bob, of_carol, of_ana = bob.say(room), carol.say(room), ana.say(room)
    bob.redact(room, of_bob)
    with refused(403, "M_FORBIDDEN"):
        bob.redact(room, of_carol)
    with refused(403, "M_FORBIDDEN"):
        bob.redact(room, of_ana)
    ana.redact(room, of_carol)
    assert [bob.event(room, event)["content"] == {} for event in (of_bob, of_carol, of_ana)] == [True, True, False]


def test_a_redacted_state_event_keeps_what_the_protocol_needs(ana, bob, room):
    member = bob.set_state(room, "m.room.member", {"membership": "join", "displayname": "Rude name"}, bob.user_id)
    ana.redact(room, member)
    assert ana.state(room, "m.room.member", bob.user_id) == {"membership": "join"}
    bob.say(room)
    name = ana.set_state(room, "m.room.name", {"name": "Rude name"})
    ana.redact(room, name)
    assert ana.state(room, "m.room.name") == {}


def test_unknown_events_cannot_be_redacted(ana, room):
    response = ana.send("PUT", "/rooms/{}/redact/{}/{}", room, "$unknown", next_txn(), body={})
    assert response.status_code in (200, 400, 403, 404), response.text  # A server may keep a redaction of what it does not know yet.


def test_an_event_of_another_room_is_not_redacted(ana, bob, room):
    other = ana.create_room()
    target = ana.say(other, "elsewhere")
    ana.send("PUT", "/rooms/{}/redact/{}/{}", room, target, next_txn(), body={})
    assert ana.event(other, target)["content"]["body"] == "elsewhere"


def test_redacting_twice_is_no_error(ana, room):
    target = ana.say(room)
    first = ana.redact(room, target)
    ana.redact(room, target)
    assert ana.event(room, target)["unsigned"]["redacted_because"]["event_id"] == first


def test_redaction_needs_an_object(ana, room):
    target = ana.say(room)
    with refused(400, "M_NOT_JSON"):
        ana.call("PUT", "/rooms/{}/redact/{}/{}", room, target, next_txn(), data=b"{")


# Many at once


def test_events_sent_to_both_processes_at_once_all_arrive_in_one_order(ana, bob, room):
    since = bob.now()
    with ThreadPoolExecutor(8) as pool:
        sent = set(pool.map(lambda number: ana.on(number).say(room, str(number)), range(40)))
    assert len(sent) == 40
    history = [event["event_id"] for event in bob.history(room) if event["event_id"] in sent]
    assert set(history) == sent and len(history) == 40
    seen, token = [], since
    while len(seen) < 40:
        answer = bob.sync_until(lambda answer: timeline(answer, room), token, filter={"room": {"timeline": {"limit": 100}}})
        assert not answer["rooms"]["join"][room]["timeline"]["limited"]
        seen += ids(timeline(answer, room))
        token = answer["next_batch"]
    assert seen == history


def test_one_senders_messages_keep_their_order(ana, room):
    sent = [ana.say(room, str(number)) for number in range(15)]
    assert [event for event in ids(ana.history(room)) if event in sent] == sent


def test_state_set_on_one_process_binds_the_other_at_once(ana, bob, room):
    """Read your writes: a ban made on one process holds for the next request on any other."""
    for _ in range(5):
        ana.on(0).ban(room, bob)
        with refused(403, "M_FORBIDDEN"):
            bob.on(1).say(room)
        ana.on(1).unban(room, bob)
        ana.on(0).invite(room, bob)
        bob.on(1).join(room)
        bob.on(0).say(room)


@pytest.mark.own_server
@pytest.mark.hearth_only("its cache is made small")
def test_what_is_under_way_is_built_on_however_small_the_cache(make_deployment):
    """Many send to a room at a time, each event on the one before it, which no other place has yet."""
    server = make_deployment(processes=1, cache_memory="1M")
    ana = register_with_secret(server, "ana")
    rooms = [ana.create_room() for _ in range(8)]

    def write(number):
        return [ana.say(rooms[number % 8], f"{number}.{index} " + "x" * 300) for index in range(100)]

    with ThreadPoolExecutor(32) as pool:
        sent = list(pool.map(write, range(32)))
    for number, room in enumerate(rooms):
        there = ids(event for event in ana.history(room) if event["type"] == "m.room.message")
        assert sorted(there) == sorted(event_id for events in sent[number::8] for event_id in events)


def test_a_repeated_request_gets_its_event_also_after_leaving(ana, bob, room):
    """The answer was lost, and by now the sender is out."""
    txn, redaction = next_txn(), next_txn()
    said = bob.say(room, txn=txn)
    gone = bob.redact(room, said, txn=redaction)
    bob.leave(room)
    assert bob.say(room, txn=txn) == said
    assert bob.redact(room, said, txn=redaction) == gone
    with refused(403, "M_FORBIDDEN"):
        bob.say(room)


def test_what_makes_a_room_cannot_be_redacted(ana, room):
    create = ana.all_state(room)["m.room.create", ""]["event_id"]
    with refused(403, "M_FORBIDDEN"):
        ana.redact(room, create)
    with refused(403, "M_FORBIDDEN"):
        ana.send_event(room, "m.room.redaction", {"redacts": create})
