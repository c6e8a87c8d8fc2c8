"""Messages from device to device."""

import pytest

from support.client import next_txn, refused


def send(user, target, content=None, device=None, event_type="org.example.x", txn=None):
    messages = {target.user_id: {device or target.device_id: content or {"x": 1}}}
    return user.put("/sendToDevice/{}/{}", event_type, txn or next_txn(), body={"messages": messages})


def received(answer):
    return answer.get("to_device", {}).get("events", [])


def contents(answer):
    return [event["content"] for event in received(answer)]


def test_a_message_reaches_its_device_alone(ana, bob):
    phone = bob.login()
    assert send(ana, bob, {"secret": 1}) == {}
    assert received(bob.sync()) == [{"type": "org.example.x", "sender": ana.user_id, "content": {"secret": 1}}]
    assert received(phone.sync()) == []


def test_a_star_reaches_all_devices(ana, bob):
    phone = bob.login()
    send(ana, bob, {"all": 1}, device="*")
    assert contents(bob.sync()) == contents(phone.sync()) == [{"all": 1}]


def test_one_may_write_to_ones_own_devices(ana):
    phone = ana.login()
    send(ana, phone)
    assert contents(phone.sync()) == [{"x": 1}]


def test_a_message_stays_until_the_next_token_acknowledges_it(ana, bob):
    send(ana, bob, {"n": 1})
    first = bob.sync()
    assert contents(bob.sync()) == [{"n": 1}]  # Not acknowledged: it comes again.
    send(ana, bob, {"n": 2})
    second = bob.sync(first["next_batch"])
    assert contents(second) == [{"n": 2}]
    assert contents(bob.sync(first["next_batch"])) == [{"n": 2}]
    assert contents(bob.sync(second["next_batch"])) == []
    assert contents(bob.sync()) == []


def test_an_old_token_brings_nothing_back_and_deletes_nothing(ana, bob):
    old = bob.sync()["next_batch"]
    send(ana, bob, {"n": 1})
    first = bob.sync(old)
    send(ana, bob, {"n": 2})
    assert contents(bob.sync(first["next_batch"])) == [{"n": 2}]
    assert contents(bob.sync(old)) in ([{"n": 2}], [{"n": 1}, {"n": 2}])
    assert contents(bob.sync(first["next_batch"])) == [{"n": 2}]


def test_another_devices_token_acknowledges_nothing(ana, bob):
    phone = bob.login()
    send(ana, bob, {"for": "bob's first device"})
    later = phone.sync()["next_batch"]
    phone.sync(later)
    assert contents(bob.sync()) == [{"for": "bob's first device"}]


@pytest.mark.hearth_only("Synapse takes any token of its own for the device's")
def test_a_token_that_another_device_got_deletes_nothing(ana, bob):
    """Clients of one user have been seen to share tokens: only what this device was sent may be acknowledged by it."""
    phone = bob.login()
    send(ana, bob, {"n": 1})
    assert contents(bob.sync(phone.sync()["next_batch"])) in ([], [{"n": 1}])
    assert contents(bob.sync()) == [{"n": 1}]


def test_messages_keep_their_order_over_pages(ana, bob):
    """More than fit in one answer: all come, in order, each once."""
    total = 130
    for number in range(total):
        send(ana, bob, {"n": number})
    seen, since = [], None
    while len(seen) < total:
        answer = bob.sync(since)
        page = contents(answer)
        assert page and len(page) <= total
        seen += page
        since = answer["next_batch"]
    assert seen == [{"n": number} for number in range(total)]
    assert contents(bob.sync(since)) == []


def test_the_same_transaction_sends_once_on_both_processes(ana, bob):
    send(ana.on(0), bob, {"n": 1}, txn="t1")
    send(ana.on(1), bob, {"n": 1}, txn="t1")
    assert contents(bob.sync()) == [{"n": 1}]


def test_one_transaction_id_may_serve_a_message_and_an_event(ana, bob, room):
    ana.say(room, txn="t1")
    send(ana, bob, {"n": 1}, txn="t1")
    assert contents(bob.sync()) == [{"n": 1}]


def test_a_waiting_sync_wakes(ana, bob):
    with bob.on(0).parked() as answer:
        send(ana.on(1), bob)
        assert contents(answer()) == [{"x": 1}]


def test_unknown_devices_and_users_get_nothing_and_are_no_error(ana, bob):
    send(ana, bob, device="UNKNOWN")
    body = {"messages": {"@nobody-of-that-name:hearth.test": {"*": {}}}}
    assert ana.put("/sendToDevice/org.example.x/{}", next_txn(), body=body) == {}


def test_messages_go_with_their_device(ana, bob):
    phone = bob.login(device_id="PHONE")
    send(ana, phone)
    phone.post("/logout")
    again = bob.login(device_id="PHONE")
    assert contents(again.sync()) == []


@pytest.mark.parametrize("body", [{}, {"messages": 1}, {"messages": []}, {"messages": {"@a:b.test": []}}, {"messages": {"@a:b.test": {"X": "text"}}}], ids=str)
@pytest.mark.synapse_differs("takes some of them, or has an internal error", sometimes=True)
def test_a_malformed_message_is_refused(ana, body):
    with refused(400, ("M_MISSING_PARAM", "M_INVALID_PARAM", "M_BAD_JSON")):
        ana.put("/sendToDevice/org.example.x/{}", next_txn(), body=body)
