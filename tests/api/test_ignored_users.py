"""Ignoring users: what of theirs still shows, and from when on."""

import pytest

from support.client import bodies, ids, invited, joined, refused, timeline


def ignore(user, *others):
    user.account_data("m.ignored_user_list", {"ignored_users": {other.user_id: {} for other in others}})


def test_messages_of_who_is_ignored_do_not_come(ana, bob, room):
    ignore(ana, bob)
    since = ana.now()
    theirs = bob.say(room, "from bob")
    own = ana.say(room, "from ana")
    assert ids(timeline(ana.sync(since), room)) == [own]
    assert theirs not in ids(timeline(ana.sync(), room))
    assert theirs not in ids(ana.messages(room)["chunk"])
    assert theirs in ids(timeline(bob.sync(), room))
    with refused(404, "M_NOT_FOUND"):
        ana.event(room, theirs)


def test_a_waiting_sync_sleeps_through_who_is_ignored(ana, bob, room):
    ignore(ana, bob)
    with ana.parked() as answer:
        bob.say(room, "unheard")
        heard = ana.say(room, "heard")
    assert ids(timeline(answer(), room))[-1] == heard


def test_state_set_by_who_is_ignored_comes_all_the_same(ana, bob):
    room = ana.create_room(preset="public_chat", power_level_content_override={"state_default": 0})
    bob.join(room)
    ignore(ana, bob)
    since = ana.now()
    event_id = bob.set_state(room, "m.room.topic", {"topic": "by bob"})
    assert ids(timeline(ana.sync(since), room)) == [event_id]


def test_invites_by_who_is_ignored_do_not_come(ana, bob):
    ignore(ana, bob)
    since = ana.now()
    room = bob.create_room(invite=[ana.user_id])
    assert not invited(ana.sync(since), room) and not invited(ana.sync(), room)
    ana.join(room)  # by its ID it is still a way in
    assert joined(ana.sync(since), room)


def test_ignoring_holds_at_once_and_ends_at_once(ana, bob, room):
    since = ana.now()
    ignore(ana, bob)
    bob.say(room, "while ignored")
    answer = ana.sync(since)
    assert bodies(timeline(answer, room)) == []
    ignore(ana)
    bob.say(room, "afterwards")
    assert bodies(timeline(ana.sync(answer["next_batch"]), room)) == ["afterwards"]
    assert bodies(timeline(ana.sync(), room)) == ["while ignored", "afterwards"]


def test_who_comes_only_later_is_ignored_too(ana, new_user, server):
    name = "ignored-before-birth"
    ana.account_data("m.ignored_user_list", {"ignored_users": {f"@{name}:{ana.server_name}": {}, "no user ID": {}}})
    late = ana.without_token().register(name)
    room = ana.create_room(preset="public_chat")
    late.join(room)
    late.say(room, "unheard")
    assert bodies(timeline(ana.sync(), room)) == []


def test_nobody_ignores_themselves(ana, room):
    ignore(ana, ana)
    ana.say(room, "heard")
    assert bodies(timeline(ana.sync(), room)) == ["heard"]


@pytest.mark.parametrize("content", [{"ignored_users": []}, {"ignored_users": 1}, {}, {"ignored_users": {"@x": 1, "": {}}}])
def test_a_list_that_is_none_ignores_nobody(ana, bob, room, content):
    ana.account_data("m.ignored_user_list", content)
    bob.say(room, "heard")
    assert bodies(timeline(ana.sync(), room)) == ["heard"]
