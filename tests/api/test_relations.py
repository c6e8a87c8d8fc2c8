"""Edits, reactions, threads and references: /relations and what is bundled with an event."""

import pytest

from support.client import account_data_of, ids, joined, next_txn, refused, timeline


def relate(user, room, parent, rel_type, body="child", event_type="m.room.message", **more):
    relation = {"rel_type": rel_type, "event_id": parent, **more.pop("relation", {})}
    return user.send_event(room, event_type, {"msgtype": "m.text", "body": body, "m.relates_to": relation, **more})


def edit(user, room, parent, text):
    return relate(user, room, parent, "m.replace", "* " + text, **{"m.new_content": {"msgtype": "m.text", "body": text}})


def react(user, room, parent, key):
    return user.send_event(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": key}})


def in_thread(user, room, root, text="in the thread"):
    return relate(user, room, root, "m.thread", text)


def relations(user, room, parent, *path, **query):
    template = "/_matrix/client/v1/rooms/{}/relations/{}" + "/{}" * len(path)
    return user.get(template, room, parent, *path, query=query)


def bundled(event):
    return event.get("unsigned", {}).get("m.relations", {})


def everywhere(user, room, event_id):
    """The event as each endpoint shows it: (name of the endpoint, event)."""
    yield "event", user.event(room, event_id)
    yield "messages", next(event for event in user.history(room) if event["event_id"] == event_id)
    yield "context", user.get("/rooms/{}/context/{}", room, event_id)["event"]
    answer = user.sync(filter={"room": {"timeline": {"limit": 50}}})
    if joined(answer, room)["timeline"]["limited"]:
        yield "sync", next(event for event in timeline(answer, room) if event["event_id"] == event_id)


# The endpoint


def test_all_children_are_found_newest_first(ana, bob, room):
    parent = ana.say(room, "parent")
    children = [react(bob, room, parent, "👍"), in_thread(bob, room, parent), edit(ana, room, parent, "edited"), relate(ana, room, parent, "m.reference")]
    assert ids(relations(ana, room, parent)["chunk"]) == children[::-1]


def test_children_are_chosen_by_relation_and_type(ana, bob, room):
    parent = ana.say(room, "parent")
    reaction, reply = react(bob, room, parent, "👍"), in_thread(bob, room, parent)
    assert ids(relations(ana, room, parent, "m.annotation")["chunk"]) == [reaction]
    assert ids(relations(ana, room, parent, "m.thread")["chunk"]) == [reply]
    assert ids(relations(ana, room, parent, "m.annotation", "m.reaction")["chunk"]) == [reaction]
    assert relations(ana, room, parent, "m.annotation", "m.room.message")["chunk"] == []
    assert relations(ana, room, parent, "org.example.none")["chunk"] == []


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("direction", ["b", "f"])
def test_children_come_in_pages(ana, room, size, direction):
    parent = ana.say(room, "parent")
    children = [in_thread(ana, room, parent, str(number)) for number in range(5)]
    found, token = [], None
    while True:
        page = relations(ana, room, parent, "m.thread", dir=direction, limit=size, **({"from": token} if token else {}))
        found += ids(page["chunk"])
        token = page.get("next_batch")
        if token is None:
            break
        assert len(found) <= len(children)
    assert found == (children if direction == "f" else children[::-1])


def test_children_may_be_asked_for_from_a_sync_token_on(ana, bob, room):
    parent = ana.say(room, "parent")
    old = in_thread(ana, room, parent, "old")
    since = bob.now()
    in_thread(ana, room, parent, "new")
    assert ids(relations(bob, room, parent, **{"from": since})["chunk"]) == [old]


def test_recursion_finds_the_children_of_children(ana, bob, room):
    parent = ana.say(room, "parent")
    reply = in_thread(bob, room, parent)
    reaction = react(ana, room, reply, "👍")
    assert ids(relations(ana, room, parent)["chunk"]) == [reply]
    page = relations(ana, room, parent, recurse=True)
    assert ids(page["chunk"]) == [reaction, reply]
    assert page["recursion_depth"] >= 1
    assert ids(relations(ana, room, parent, "m.annotation", recurse=True)["chunk"]) == [reaction]


def test_a_redacted_child_is_no_child_any_more(ana, bob, room):
    parent = ana.say(room, "parent")
    reaction = react(bob, room, parent, "👍")
    bob.redact(room, reaction)
    assert relations(ana, room, parent)["chunk"] == []


def test_children_of_a_redacted_parent_stay(ana, bob, room):
    parent = ana.say(room, "parent")
    reply = in_thread(bob, room, parent)
    ana.redact(room, parent)
    assert ids(relations(ana, room, parent)["chunk"]) == [reply]


def test_a_parent_without_children_has_none(ana, room):
    assert relations(ana, room, ana.say(room))["chunk"] == []


@pytest.mark.synapse_differs("answers 404 with M_UNKNOWN")
def test_an_unknown_parent_is_not_found(ana, room):
    with refused(404, "M_NOT_FOUND"):
        relations(ana, room, "$unknown")


def test_strangers_see_no_children(ana, bob):
    room = ana.create_room()
    parent = ana.say(room)
    with refused((403, 404), ("M_FORBIDDEN", "M_NOT_FOUND")):
        relations(bob, room, parent)


def test_children_in_other_rooms_do_not_count(ana, room):
    """A server may refuse such an event or take it for one without a relation."""
    parent = ana.say(room)
    content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": "👍"}}
    response = ana.send("PUT", "/rooms/{}/send/m.reaction/{}", ana.create_room(), next_txn(), body=content)
    assert response.status_code in (200, 400), response.text
    assert relations(ana, room, parent)["chunk"] == []


def test_children_that_history_hides_are_hidden(ana, bob, public_room):
    parent = ana.say(public_room, "seen by all")
    ana.set_state(public_room, "m.room.history_visibility", {"history_visibility": "joined"})
    in_thread(ana, public_room, parent, "hidden")
    bob.join(public_room)
    seen = in_thread(ana, public_room, parent, "seen")
    assert ids(relations(bob, public_room, parent)["chunk"]) == [seen]


# Edits


def test_the_newest_edit_is_bundled_and_the_event_stays_as_it_was(ana, bob, room):
    parent = ana.say(room, "original")
    edit(ana, room, parent, "first edit")
    last = edit(ana, room, parent, "second edit")
    for place, event in everywhere(bob, room, parent):
        assert event["content"]["body"] == "original", place
        replacement = bundled(event)["m.replace"]
        assert (replacement["event_id"], replacement["sender"], replacement["type"]) == (last, ana.user_id, "m.room.message"), place
        assert replacement["content"]["m.new_content"]["body"] == "second edit", place


def test_a_redacted_edit_gives_way_to_the_one_before(ana, room):
    parent = ana.say(room, "original")
    first = edit(ana, room, parent, "first edit")
    last = edit(ana, room, parent, "second edit")
    ana.redact(room, last)
    assert bundled(ana.event(room, parent))["m.replace"]["event_id"] == first
    ana.redact(room, first)
    assert "m.replace" not in bundled(ana.event(room, parent))


def test_a_redacted_event_has_no_edit(ana, room):
    parent = ana.say(room, "original")
    edit(ana, room, parent, "edited")
    ana.redact(room, parent)
    assert "m.replace" not in bundled(ana.event(room, parent))


def test_only_the_author_edits(ana, bob, room):
    parent = ana.say(room, "original")
    edit(bob, room, parent, "hijacked")
    assert "m.replace" not in bundled(ana.event(room, parent))


def test_an_edit_of_another_type_or_without_new_content_is_none(ana, room):
    parent = ana.say(room, "original")
    relate(ana, room, parent, "m.replace", event_type="org.example.other", **{"m.new_content": {"body": "x"}})
    assert "m.replace" not in bundled(ana.event(room, parent))


@pytest.mark.synapse_differs("bundles it")
def test_an_edit_without_new_content_is_none(ana, room):
    parent = ana.say(room, "original")
    relate(ana, room, parent, "m.replace", "no new content")
    assert "m.replace" not in bundled(ana.event(room, parent))


def test_an_edit_cannot_be_edited(ana, room):
    parent = ana.say(room, "original")
    first = edit(ana, room, parent, "edited")
    edit(ana, room, first, "edit of the edit")
    assert bundled(ana.event(room, parent))["m.replace"]["event_id"] == first
    assert "m.replace" not in bundled(ana.event(room, first))


# Reactions


def test_reactions_are_not_bundled(ana, bob, room):
    parent = ana.say(room)
    react(ana, room, parent, "👍")
    react(bob, room, parent, "👍")
    assert "m.annotation" not in bundled(ana.event(room, parent))


def test_the_same_reaction_twice_is_refused(ana, bob, room):
    parent = ana.say(room)
    reaction = react(ana, room, parent, "👍")
    with refused(400, "M_DUPLICATE_ANNOTATION"):
        react(ana, room, parent, "👍")
    react(ana, room, parent, "👎")
    react(bob, room, parent, "👍")
    ana.redact(room, reaction)
    react(ana, room, parent, "👍")


def test_the_same_reaction_under_its_transaction_is_no_duplicate(ana, room):
    parent = ana.say(room)
    content = {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": "👍"}}
    first = ana.on(0).send_event(room, "m.reaction", content, txn="t1")
    assert ana.on(1).send_event(room, "m.reaction", content, txn="t1") == first


# Threads


def test_a_thread_is_summed_up_at_its_root(ana, bob, carol, room):
    ana.invite(room, carol)
    carol.join(room)
    root = ana.say(room, "root")
    in_thread(bob, room, root, "first")
    last = in_thread(bob, room, root, "second")
    for user, participated in ((ana, True), (bob, True), (carol, False)):
        for place, event in everywhere(user, room, root):
            thread = bundled(event)["m.thread"]
            assert thread["count"] == 2, place
            assert thread["latest_event"]["event_id"] == last, place
            assert thread["latest_event"]["content"]["body"] == "second", place
            assert thread["current_user_participated"] is participated, place


def test_the_latest_event_of_a_thread_brings_its_own_bundle(ana, room):
    root = ana.say(room, "root")
    last = in_thread(ana, room, root, "typo")
    fixed = edit(ana, room, last, "fixed")
    latest = bundled(ana.event(room, root))["m.thread"]["latest_event"]
    assert latest["event_id"] == last
    assert bundled(latest)["m.replace"]["event_id"] == fixed


def test_a_redacted_reply_leaves_the_thread(ana, room):
    root = ana.say(room, "root")
    first, last = in_thread(ana, room, root, "first"), in_thread(ana, room, root, "second")
    ana.redact(room, last)
    thread = bundled(ana.event(room, root))["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, first)
    ana.redact(room, first)
    assert "m.thread" not in bundled(ana.event(room, root))


def test_a_thread_cannot_begin_at_a_child(ana, room):
    root = ana.say(room, "root")
    child = in_thread(ana, room, root)
    with refused(400, "M_UNKNOWN"):
        in_thread(ana, room, child)


def test_messages_of_ignored_users_are_not_counted(ana, bob, carol, room):
    ana.invite(room, carol)
    carol.join(room)
    root = ana.say(room, "root")
    kept = in_thread(bob, room, root, "kept")
    in_thread(carol, room, root, "ignored")
    ana.account_data("m.ignored_user_list", {"ignored_users": {carol.user_id: {}}})
    thread = bundled(ana.event(room, root))["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, kept)
    assert account_data_of(ana.sync(), "m.ignored_user_list")


# References


def test_references_are_listed(ana, room):
    parent = ana.say(room)
    children = [relate(ana, room, parent, "m.reference", event_type="org.example.step") for _ in range(2)]
    for place, event in everywhere(ana, room, parent):
        assert sorted(ids(bundled(event)["m.reference"]["chunk"])) == sorted(children), place


def test_state_events_have_no_bundle(ana, room):
    parent = ana.set_state(room, "m.room.name", {"name": "x"})
    relate(ana, room, parent, "m.reference")
    assert bundled(ana.event(room, parent)) == {}


@pytest.mark.parametrize("relation", [1, "x", [], {"rel_type": 1, "event_id": 2}, {"rel_type": "m.thread"}, {"event_id": "$x"}, {"rel_type": "m.replace", "event_id": "nonsense"}], ids=str)
def test_a_malformed_relation_is_no_relation(ana, room, relation):
    """A server may refuse it, or take it as it is."""
    content = {"msgtype": "m.text", "body": "x", "m.relates_to": relation}
    response = ana.send("PUT", "/rooms/{}/send/m.room.message/{}", room, next_txn(), body=content)
    assert response.status_code in (200, 400), response.text
    if response.status_code == 200:
        assert ana.event(room, response.json()["event_id"])["content"] == content
