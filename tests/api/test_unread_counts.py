"""The numbers on the badges: what counts, for whom, in which thread, and what makes it read."""

import pytest

from support.client import joined, user_id_of

THREADS = {"room": {"timeline": {"limit": 1, "unread_thread_notifications": True}}}
WHOLE = {"room": {"timeline": {"limit": 1}}}


def unread(user, room):
    """(notifications, highlights) of the whole room."""
    counts = joined(user.sync(filter=WHOLE), room)["unread_notifications"]
    return counts["notification_count"], counts["highlight_count"]


def threads(user, room):
    """{thread: (notifications, highlights)}, the main timeline as "main", threads without any left out."""
    part = joined(user.sync(filter=THREADS), room)
    found = {"main": part["unread_notifications"], **part.get("unread_thread_notifications", {})}
    found = {thread: (counts["notification_count"], counts["highlight_count"]) for thread, counts in found.items()}
    return {thread: counts for thread, counts in found.items() if thread == "main" or counts != (0, 0)}


def thread_message(user, room, root, text="in thread", **content):
    relation = {"rel_type": "m.thread", "event_id": root}
    return user.say(room, text, **{"m.relates_to": relation, **content})


def mention(*users, **more):
    return {"m.mentions": {"user_ids": [user_id_of(user) for user in users], **more}}


@pytest.fixture
def group(ana, bob, carol):
    """A room of three, so that the rules of one-to-one rooms don't apply; bob has read all."""
    room = ana.create_room(preset="public_chat")
    bob.join(room)
    carol.join(room)
    bob.receipt(room, ana.say(room, "hello"))
    return room


# What counts


def test_messages_count_and_a_receipt_makes_them_read(ana, bob, group):
    assert unread(bob, group) == (0, 0)
    first, second, third = (ana.say(group, str(number)) for number in range(3))
    assert unread(bob, group) == (3, 0)
    bob.receipt(group, second)
    assert unread(bob, group) == (1, 0)
    bob.receipt(group, third)
    assert unread(bob, group) == (0, 0)


def test_a_private_receipt_reads_as_well(ana, bob, group):
    first, second = ana.say(group), ana.say(group)
    bob.receipt(group, first, "m.read.private")
    assert unread(bob, group) == (1, 0)
    bob.receipt(group, second, "m.read")
    assert unread(bob, group) == (0, 0)


def test_the_receipt_that_is_ahead_counts(ana, bob, group):
    first, second = ana.say(group), ana.say(group)
    bob.receipt(group, second)
    bob.receipt(group, first, "m.read.private")
    assert unread(bob, group) == (0, 0)


def test_the_read_marker_alone_reads_nothing(ana, bob, group):
    event_id = ana.say(group)
    bob.receipt(group, event_id, "m.fully_read")
    assert unread(bob, group) == (1, 0)


def test_ones_own_messages_do_not_count_for_oneself(ana, bob, group):
    bob.say(group)
    assert unread(bob, group) == (0, 0)
    assert unread(ana, group)[0] >= 1


@pytest.mark.synapse_differs("does not take a message for a receipt")
def test_sending_marks_what_was_before_as_read(ana, bob, group):
    ana.say(group)
    bob.say(group)
    assert unread(bob, group) == (0, 0)
    ana.say(group)
    assert unread(bob, group) == (1, 0)


@pytest.mark.parametrize(
    "event_type, content",
    [("m.room.message", {"msgtype": "m.notice", "body": "from a bot"}), ("org.example.custom", {"body": "x"})],
)
def test_some_events_do_not_count(ana, bob, group, event_type, content):
    ana.send_event(group, event_type, content)
    assert unread(bob, group) == (0, 0)


def test_reactions_do_not_count(ana, bob, group):
    said = bob.say(group)
    ana.send_event(group, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "👍"}})
    assert unread(bob, group) == (0, 0)


def test_state_events_do_not_count(ana, bob, group, new_user):
    ana.set_state(group, "m.room.name", {"name": "x"})
    new_user().join(group)
    assert unread(bob, group) == (0, 0)


def test_an_upgrade_highlights(ana, bob, group):
    ana.set_state(group, "m.room.tombstone", {"body": "moved", "replacement_room": "!new:hearth.test"})
    assert unread(bob, group) == (1, 1)


def test_calls_and_encrypted_messages_count(ana, bob, carol):
    group = ana.create_room(invite=[bob.user_id, carol.user_id])
    bob.join(group)
    carol.join(group)
    ana.send_event(group, "m.call.invite", {"call_id": "1", "lifetime": 1, "version": "1", "party_id": "x", "offer": {"type": "offer", "sdp": ""}})
    ana.send_event(group, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x"})
    assert unread(bob, group) == (2, 0)


def test_edits_do_not_count(ana, bob, group):
    original = ana.say(group)
    bob.receipt(group, original)
    ana.say(group, "* edited", **{"m.new_content": {"msgtype": "m.text", "body": "edited"}, "m.relates_to": {"rel_type": "m.replace", "event_id": original}})
    assert unread(bob, group) == (0, 0)


def test_redacted_messages_do_not_count_any_more(ana, bob, group):
    ana.say(group)
    gone = ana.say(group, "to be redacted", **mention(bob))
    assert unread(bob, group) == (2, 1)
    ana.redact(group, gone)
    assert unread(bob, group) == (1, 0)


def test_messages_of_ignored_users_do_not_count(ana, bob, group):
    bob.account_data("m.ignored_user_list", {"ignored_users": {ana.user_id: {}}})
    ana.say(group)
    assert unread(bob, group) == (0, 0)


# Highlights


def test_a_mention_highlights_for_the_mentioned_alone(ana, bob, carol, group):
    carol.receipt(group, ana.say(group))
    bob.receipt(group, ana.messages(group, limit=1)["chunk"][0]["event_id"])
    ana.say(group, "bob!", **mention(bob))
    assert unread(bob, group) == (1, 1)
    assert unread(carol, group) == (1, 0)


def test_a_mention_in_any_type_of_event_counts(ana, bob, group):
    ana.send_event(group, "org.example.custom", mention(bob))
    assert unread(bob, group) == (1, 1)


def test_a_mention_in_a_notice_stays_silent(ana, bob, group):
    ana.send_event(group, "m.room.message", {"msgtype": "m.notice", "body": "x", **mention(bob)})
    assert unread(bob, group) == (0, 0)


def test_a_room_mention_highlights_for_all_if_the_sender_may(ana, bob, carol, group):
    ana.say(group, "@room", **mention(room=True))
    assert unread(bob, group) == (1, 1)
    bob.receipt(group, ana.say(group))
    carol.say(group, "@room", **mention(room=True))  # Has not the power.
    assert unread(bob, group) == (1, 0)


def test_the_name_in_the_text_is_no_mention_where_mentions_are_given(ana, bob, group):
    ana.say(group, f"what does {bob.localpart} think?", **mention())
    assert unread(bob, group) == (1, 0)


def test_a_keyword_highlights(ana, bob, group):
    actions = ["notify", {"set_tweak": "highlight"}]
    bob.put("/pushrules/global/content/{}", "cake", body={"pattern": "cake", "actions": actions})
    ana.say(group, "there is CAKE today")
    ana.say(group, "cakes are another word")
    assert unread(bob, group) == (2, 1)


# Rules


def one_to_one(ana, bob):
    room = ana.create_room(invite=[bob.user_id], preset="private_chat")
    bob.join(room)
    return room


def test_messages_of_a_room_of_two_count(ana, bob):
    room = one_to_one(ana, bob)
    ana.say(room)
    assert unread(bob, room) == (1, 0)


def test_a_muted_room_counts_nothing(ana, bob, group):
    bob.put("/pushrules/global/override/{}", group, body={"conditions": [{"kind": "event_match", "key": "room_id", "pattern": group}], "actions": []})
    ana.say(group, "silence", **mention(bob))
    assert unread(bob, group) == (0, 0)


def test_mentions_only_counts_mentions_only(ana, bob, group):
    bob.put("/pushrules/global/room/{}", group, body={"actions": []})
    ana.say(group)
    ana.say(group, "bob", **mention(bob))
    assert unread(bob, group) == (1, 1)


@pytest.mark.synapse_differs("sender rules match nothing")
def test_a_sender_can_be_silenced(ana, bob, carol, group):
    bob.put("/pushrules/global/sender/{}", ana.user_id, body={"actions": []})
    ana.say(group)
    carol.say(group)
    assert unread(bob, group) == (1, 0)


def test_the_master_rule_silences_everything(ana, bob, group):
    bob.put("/pushrules/global/override/.m.rule.master/enabled", body={"enabled": True})
    ana.say(group, "bob", **mention(bob))
    assert unread(bob, group) == (0, 0)


@pytest.mark.synapse_differs("keeps the counts of the rules that were in force")
def test_changed_rules_apply_to_what_is_unread(ana, bob, group):
    ana.say(group)
    ana.say(group, "bob", **mention(bob))
    assert unread(bob, group) == (2, 1)
    bob.put("/pushrules/global/room/{}", group, body={"actions": []})
    assert unread(bob, group) == (1, 1)
    bob.call("DELETE", "/pushrules/global/room/{}", group)
    assert unread(bob, group) == (2, 1)


# Joining and leaving


def test_what_was_said_before_the_join_is_not_unread(ana, bob, public_room):
    ana.say(public_room, "before", **mention(bob))
    bob.join(public_room)
    assert unread(bob, public_room) == (0, 0)
    ana.say(public_room, "after")
    assert unread(bob, public_room) == (1, 0)


@pytest.mark.synapse_differs("goes on from the last receipt")
def test_coming_back_starts_anew(ana, bob, group):
    ana.say(group)
    bob.leave(group)
    ana.say(group)
    bob.join(group)
    assert unread(bob, group) == (0, 0)


# Threads


def test_threads_count_apart_when_asked_for(ana, bob, group):
    root = ana.say(group, "root")
    thread_message(ana, group, root)
    thread_message(ana, group, root, "bob?", **mention(bob))
    ana.say(group, "main")
    assert threads(bob, group) == {"main": (2, 0), root: (2, 1)}
    assert unread(bob, group) == (4, 1)


def test_a_threaded_receipt_reads_its_thread(ana, bob, group):
    root = ana.say(group, "root")
    replies = [thread_message(ana, group, root) for _ in range(3)]
    last = ana.say(group, "main")
    bob.receipt(group, replies[1], thread_id=root)
    assert threads(bob, group) == {"main": (2, 0), root: (1, 0)}
    bob.receipt(group, last, thread_id="main")
    assert threads(bob, group) == {"main": (0, 0), root: (1, 0)}
    bob.receipt(group, replies[2], thread_id=root)
    assert threads(bob, group) == {"main": (0, 0)}
    assert unread(bob, group) == (0, 0)


def test_an_unthreaded_receipt_reads_all_threads_up_to_it(ana, bob, group):
    one, two = ana.say(group, "one"), ana.say(group, "two")
    thread_message(ana, group, one)
    middle = thread_message(ana, group, two)
    thread_message(ana, group, one)
    bob.receipt(group, middle)
    assert threads(bob, group) == {"main": (0, 0), one: (1, 0)}
    bob.receipt(group, ana.say(group))
    assert threads(bob, group) == {"main": (0, 0)}


def test_a_threaded_and_an_unthreaded_receipt_read_together(ana, bob, group):
    root = ana.say(group, "root")
    first = thread_message(ana, group, root)
    second = thread_message(ana, group, root)
    bob.receipt(group, second, thread_id=root)
    bob.receipt(group, first)
    assert threads(bob, group) == {"main": (0, 0)}


@pytest.mark.synapse_differs("does not take a message for a receipt")
def test_replying_in_a_thread_reads_that_thread_alone(ana, bob, group):
    root = ana.say(group, "root")
    thread_message(ana, group, root)
    ana.say(group, "main")
    thread_message(bob, group, root, "bob's reply")
    assert threads(bob, group) == {"main": (2, 0)}


@pytest.mark.synapse_differs("does not take a message for a receipt")
def test_speaking_in_the_main_timeline_leaves_threads_unread(ana, bob, group):
    root = ana.say(group, "root")
    thread_message(ana, group, root)
    bob.say(group, "main")
    assert threads(bob, group) == {"main": (0, 0), root: (1, 0)}


def test_an_edit_in_a_thread_belongs_to_the_thread(ana, bob, group):
    """Relations are followed to the thread, three hops at most."""
    root = ana.say(group, "root")
    reply = thread_message(ana, group, root)
    ana.send_event(group, "org.example.mention", {**mention(bob), "m.relates_to": {"rel_type": "m.reference", "event_id": reply}})
    assert threads(bob, group) == {"main": (1, 0), root: (2, 1)}


def test_a_redacted_reply_does_not_count_in_its_thread(ana, bob, group):
    root = ana.say(group, "root")
    thread_message(ana, group, root)
    gone = thread_message(ana, group, root, "gone", **mention(bob))
    ana.redact(group, gone)
    assert threads(bob, group) == {"main": (1, 0), root: (1, 0)}


# In sync


def test_a_count_comes_with_its_event(ana, bob, group):
    since = bob.now()
    ana.say(group)
    counts = joined(bob.sync(since), group)["unread_notifications"]
    assert counts == {"notification_count": 1, "highlight_count": 0}


def test_reading_on_one_device_updates_the_other(ana, bob, group):
    phone = bob.login()
    event_id = ana.say(group)
    since = phone.now()
    bob.receipt(group, event_id)
    answer = phone.sync_until(lambda answer: joined(answer, group), since)
    assert joined(answer, group)["unread_notifications"] == {"notification_count": 0, "highlight_count": 0}


def test_a_private_receipt_on_one_device_updates_the_other(ana, bob, group):
    phone = bob.login()
    event_id = ana.say(group)
    since = phone.now()
    bob.receipt(group, event_id, "m.read.private")
    answer = phone.sync_until(lambda answer: joined(answer, group), since)
    assert joined(answer, group)["unread_notifications"]["notification_count"] == 0


def test_both_processes_count_alike(ana, bob, group):
    for number in range(4):
        ana.on(number).say(group)
        assert unread(bob.on(number + 1), group) == (number + 1, 0)
        assert unread(bob.on(number), group) == (number + 1, 0)
