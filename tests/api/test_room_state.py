"""State of a room: reading and setting it, power levels, aliases."""

import pytest

from support.client import MALFORMED, refused, unique


def test_state_is_set_and_read(ana, bob, room):
    ana.set_state(room, "m.room.name", {"name": "The pub"})
    assert bob.state(room, "m.room.name") == {"name": "The pub"}
    event = bob.all_state(room)["m.room.name", ""]
    assert event["content"] == {"name": "The pub"}
    assert (event["sender"], event["room_id"]) == (ana.user_id, room)
    assert isinstance(event["origin_server_ts"], int) and event["event_id"].startswith("$")


def test_an_empty_state_key_may_be_left_out_with_its_slash_or_without(ana, room):
    for path in ("/rooms/{}/state/org.example.x", "/rooms/{}/state/org.example.x/"):
        ana.put(path, room, body={"by": path})
        for read in ("/rooms/{}/state/org.example.x", "/rooms/{}/state/org.example.x/"):
            assert ana.get(read, room) == {"by": path}


@pytest.mark.parametrize("key", ["simple", "with space", "with/slash", "ünïcode", "100%", "a?b#c", "_@ana:hearth.test_DEVICE"])
def test_state_keys_are_kept_as_they_are(ana, room, key):
    ana.set_state(room, "org.example.keyed", {"key": key}, key)
    assert ana.state(room, "org.example.keyed", key) == {"key": key}
    assert ("org.example.keyed", key) in ana.all_state(room)


def test_the_whole_event_can_be_asked_for(ana, room):
    event_id = ana.set_state(room, "m.room.topic", {"topic": "beer"})
    event = ana.get("/rooms/{}/state/m.room.topic", room, query={"format": "event"})
    assert (event["event_id"], event["content"], event["sender"]) == (event_id, {"topic": "beer"}, ana.user_id)
    assert ana.get("/rooms/{}/state/m.room.topic", room, query={"format": "content"}) == {"topic": "beer"}


def test_a_replaced_state_event_carries_what_it_replaced(ana, room):
    first = ana.set_state(room, "m.room.name", {"name": "one"})
    second = ana.set_state(room, "m.room.name", {"name": "two"})
    (event,) = [event for event in ana.history(room) if event["event_id"] == second]
    unsigned = event["unsigned"]
    assert unsigned["prev_content"] == {"name": "one"}
    assert unsigned["replaces_state"] == first


def test_setting_the_same_content_again_changes_nothing(ana, room):
    first = ana.set_state(room, "m.room.name", {"name": "same"})
    second = ana.set_state(room, "m.room.name", {"name": "same"})
    assert first == second


def test_state_that_is_not_there_is_not_found(ana, room):
    with refused(404, "M_NOT_FOUND"):
        ana.state(room, "m.room.name")
    with refused(404, "M_NOT_FOUND"):
        ana.state(room, "m.room.member", "@nobody-of-that-name:hearth.test")


def test_strangers_neither_read_nor_set_state(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    for target in (room, "!unknown:hearth.test"):
        with refused(403, "M_FORBIDDEN"):
            bob.all_state(target)
        with refused(403, "M_FORBIDDEN"):
            bob.state(target, "m.room.create")
        with refused(403, "M_FORBIDDEN"):
            bob.set_state(target, "m.room.name", {"name": "mine"})


def test_everybody_reads_the_state_of_a_world_readable_room(ana, bob):
    states = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]
    room = ana.create_room(name="glass house", initial_state=states)
    assert bob.state(room, "m.room.name") == {"name": "glass house"}
    assert ("m.room.name", "") in bob.all_state(room)


def test_who_left_sees_the_state_of_that_moment(ana, bob, room):
    ana.set_state(room, "m.room.name", {"name": "then"})
    bob.leave(room)
    ana.set_state(room, "m.room.name", {"name": "now"})
    ana.set_state(room, "m.room.topic", {"topic": "new"})
    assert bob.state(room, "m.room.name") == {"name": "then"}
    assert bob.all_state(room)["m.room.name", ""]["content"] == {"name": "then"}
    with refused(404, "M_NOT_FOUND"):
        bob.state(room, "m.room.topic")


# Power


def test_ordinary_members_do_not_set_state(bob, room):
    for event_type, content in (
        ("m.room.name", {"name": "mine"}),
        ("m.room.power_levels", {**bob.state(room, "m.room.power_levels"), "users": {bob.user_id: 100}}),
        ("m.room.join_rules", {"join_rule": "public"}),
        ("org.example.x", {}),
    ):
        with refused(403, "M_FORBIDDEN"):
            bob.set_state(room, event_type, content)


def test_a_level_of_its_own_opens_one_type_of_event(ana, bob, room):
    levels = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**levels, "events": {**levels["events"], "org.example.open": 0}})
    bob.set_state(room, "org.example.open", {"by": "bob"})
    with refused(403, "M_FORBIDDEN"):
        bob.set_state(room, "org.example.closed", {"by": "bob"})


def test_events_default_closes_a_room_to_messages(ana, bob, room):
    levels = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**levels, "events_default": 50})
    with refused(403, "M_FORBIDDEN"):
        bob.say(room)
    ana.say(room)


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_nobody_gives_more_power_than_one_has(ana, bob, carol, version):
    room = ana.create_room(preset="public_chat", room_version=version)
    bob.join(room)
    levels = ana.state(room, "m.room.power_levels")
    users = {**levels.get("users", {}), bob.user_id: 50}
    ana.set_state(room, "m.room.power_levels", {**levels, "users": users, "events": {**levels["events"], "m.room.power_levels": 50}})
    levels = bob.state(room, "m.room.power_levels")
    with refused(403, "M_FORBIDDEN"):
        bob.set_state(room, "m.room.power_levels", {**levels, "users": {**users, carol.user_id: 51}})
    with refused(403, "M_FORBIDDEN"):
        bob.set_state(room, "m.room.power_levels", {**levels, "ban": 51})
    bob.set_state(room, "m.room.power_levels", {**levels, "users": {**users, carol.user_id: 49}})


def test_one_may_step_down_but_not_up_again(ana, bob):
    room = ana.create_room(room_version="11", power_level_content_override={"users": {ana.user_id: 100, bob.user_id: 100}}, preset="public_chat")
    bob.join(room)
    levels = bob.state(room, "m.room.power_levels")
    bob.set_state(room, "m.room.power_levels", {**levels, "users": {ana.user_id: 100, bob.user_id: 50}})
    with refused(403, "M_FORBIDDEN"):
        bob.set_state(room, "m.room.power_levels", {**levels, "users": {ana.user_id: 100, bob.user_id: 51}})


@pytest.mark.parametrize("content", [{"users_default": "50"}, {"events": {"x": "1"}}, {"users": []}, {"ban": 1.5}, {"kick": None}, {"users": {"nonsense": 1}}])
def test_power_levels_are_whole_numbers(ana, content):
    room = ana.create_room()
    levels = ana.state(room, "m.room.power_levels")
    with refused(400, (*MALFORMED, "M_FORBIDDEN", "M_UNKNOWN")):
        ana.set_state(room, "m.room.power_levels", {**levels, **content})
    assert ana.state(room, "m.room.power_levels") == levels


def test_a_state_key_that_is_a_user_is_for_that_user_alone(ana, bob, room):
    levels = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**levels, "events": {"org.example.mine": 0}})
    bob.set_state(room, "org.example.mine", {}, bob.user_id)
    with refused(403, "M_FORBIDDEN"):
        bob.set_state(room, "org.example.mine", {}, ana.user_id)


@pytest.mark.parametrize("version", ["11", "12"])
def test_a_room_has_one_create_event(ana, version):
    room = ana.create_room(room_version=version)
    with refused(400, ("M_FORBIDDEN", "M_BAD_JSON", "M_UNKNOWN", "M_INVALID_PARAM")):
        ana.set_state(room, "m.room.create", {"room_version": "12"})


def test_state_must_be_an_object(ana, room):
    for data in (b"[]", b'"x"', b"1"):
        with refused(400, ("M_BAD_JSON", "M_NOT_JSON")):
            ana.call("PUT", "/rooms/{}/state/org.example.x", room, data=data)
    with refused(400, "M_NOT_JSON"):
        ana.call("PUT", "/rooms/{}/state/org.example.x", room, data=b"{")


def test_encryption_once_on_stays_visible(ana, room):
    ana.set_state(room, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert ana.state(room, "m.room.encryption")["algorithm"] == "m.megolm.v1.aes-sha2"


# Aliases


@pytest.fixture
def alias(server):
    return f"#{unique('alias')}:{server.server_name}"


def test_an_alias_is_made_found_listed_and_taken_away(ana, bob, nobody, public_room, alias):
    assert ana.put("/directory/room/{}", alias, body={"room_id": public_room}) == {}
    found = nobody.get("/directory/room/{}", alias)
    assert found["room_id"] == public_room and ana.server_name in found["servers"]
    assert ana.get("/rooms/{}/aliases", public_room) == {"aliases": [alias]}
    assert bob.join(alias) == public_room
    assert ana.call("DELETE", "/directory/room/{}", alias) == {}
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/directory/room/{}", alias)
    assert ana.get("/rooms/{}/aliases", public_room) == {"aliases": []}


def test_an_alias_that_is_taken_away_is_the_canonical_one_no_more(ana, bob, room, alias):
    for name in (alias, "#other-" + alias[1:]):
        bob.put("/directory/room/{}", name, body={"room_id": room})
    other = "#other-" + alias[1:]
    ana.set_state(room, "m.room.canonical_alias", {"alias": alias, "alt_aliases": [other, alias], "kept": 1})
    bob.delete("/directory/room/{}", other)  # the room's state is not bob's to set
    assert ana.state(room, "m.room.canonical_alias") == {"alias": alias, "alt_aliases": [other, alias], "kept": 1}
    ana.delete("/directory/room/{}", alias)
    assert ana.state(room, "m.room.canonical_alias") == {"alt_aliases": [other], "kept": 1}


def test_an_alias_in_use_is_a_conflict(ana, bob, public_room, alias):
    ana.put("/directory/room/{}", alias, body={"room_id": public_room})
    with refused(409, "M_UNKNOWN"):
        bob.put("/directory/room/{}", alias, body={"room_id": bob.create_room()})


def test_an_alias_of_another_server_is_not_ours_to_make(ana, public_room):
    with refused((400, 403), ("M_INVALID_PARAM", "M_FORBIDDEN", "M_UNKNOWN")):
        ana.put("/directory/room/{}", "#x:elsewhere.test", body={"room_id": public_room})


@pytest.mark.parametrize("bad", ["no-sigil", "#no-server", "!room:hearth.test", pytest.param("#nul\0:hearth.test", marks=pytest.mark.synapse_differs("takes it"))])
def test_an_ill_formed_alias_is_refused(ana, nobody, public_room, bad):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN")):
        ana.put("/directory/room/{}", bad, body={"room_id": public_room})


@pytest.mark.parametrize("body", [{}, {"room_id": 1}, {"room_id": "nonsense"}], ids=str)
def test_an_alias_needs_a_room(ana, alias, body):
    with refused((400, 404), (*MALFORMED, "M_UNKNOWN", "M_NOT_FOUND")):
        ana.put("/directory/room/{}", alias, body=body)


def test_an_unknown_alias_is_not_found(ana, nobody, alias):
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/directory/room/{}", alias)
    with refused(404, "M_NOT_FOUND"):
        ana.call("DELETE", "/directory/room/{}", alias)


def test_an_alias_is_taken_away_by_its_maker_or_by_who_has_the_power(ana, bob, carol, room, alias):
    bob.put("/directory/room/{}", alias, body={"room_id": room})
    with refused(403, "M_FORBIDDEN"):
        carol.call("DELETE", "/directory/room/{}", alias)
    assert ana.call("DELETE", "/directory/room/{}", alias) == {}
    bob.put("/directory/room/{}", alias, body={"room_id": room})
    assert bob.call("DELETE", "/directory/room/{}", alias) == {}


def test_only_members_list_the_aliases_of_a_room(ana, bob):
    room = ana.create_room()
    with refused(403, "M_FORBIDDEN"):
        bob.get("/rooms/{}/aliases", room)


def test_a_canonical_alias_must_point_to_the_room(ana, public_room, alias):
    with refused(400, "M_BAD_ALIAS"):
        ana.set_state(public_room, "m.room.canonical_alias", {"alias": alias})
    ana.put("/directory/room/{}", alias, body={"room_id": ana.create_room()})
    with refused(400, "M_BAD_ALIAS"):
        ana.set_state(public_room, "m.room.canonical_alias", {"alt_aliases": [alias]})


@pytest.mark.parametrize("content", [{"alias": "nonsense"}, {"alt_aliases": ["nonsense"]}, {"alias": "@user:hearth.test"}], ids=str)
def test_a_canonical_alias_must_be_an_alias(ana, public_room, content):
    with refused(400, "M_INVALID_PARAM"):
        ana.set_state(public_room, "m.room.canonical_alias", content)


def test_canonical_aliases_that_were_there_before_are_not_checked_again(ana, bob, room, alias):
    """Bob's alias goes, and he has not the power to take it out of the canonical ones: the event may still be edited."""
    bob.put("/directory/room/{}", alias, body={"room_id": room})
    ana.set_state(room, "m.room.canonical_alias", {"alt_aliases": [alias]})
    bob.call("DELETE", "/directory/room/{}", alias)
    ana.set_state(room, "m.room.canonical_alias", {"alt_aliases": [alias], "org.example.note": 1})
    assert ana.state(room, "m.room.canonical_alias")["alt_aliases"] == [alias]
