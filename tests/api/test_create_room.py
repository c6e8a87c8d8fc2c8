"""Making rooms: presets, initial state, room versions 1 to 12, overrides, and what is refused."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import MALFORMED, refused, timeline, types, unique
from support.registration import register_with_secret

VERSIONS = [str(number) for number in range(1, 13)]
PRESETS = {
    "private_chat": ("invite", "shared", "can_join"),
    "trusted_private_chat": ("invite", "shared", "can_join"),
    "public_chat": ("public", "shared", "forbidden"),
}


def content(user, room, event_type, state_key=""):
    """The content of a state event, None if there is none."""
    response = user.send("GET", "/rooms/{}/state/{}/{}", room, event_type, state_key)
    return response.json() if response.status_code == 200 else None


def rules_of(user, room):
    """(join rule, history visibility, guest access) of a room, with the defaults of those that are not set."""
    return (
        content(user, room, "m.room.join_rules")["join_rule"],
        (content(user, room, "m.room.history_visibility") or {"history_visibility": "shared"})["history_visibility"],
        (content(user, room, "m.room.guest_access") or {"guest_access": "forbidden"})["guest_access"],
    )


def test_an_empty_request_makes_a_private_room_of_version_12(ana):
    room = ana.create_room()
    assert ana.get("/joined_rooms")["joined_rooms"] == [room]
    assert rules_of(ana, room) == PRESETS["private_chat"]
    assert ana.state(room, "m.room.create")["room_version"] == "12"
    assert ana.state(room, "m.room.member", ana.user_id)["membership"] == "join"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_the_rules(ana, preset):
    assert rules_of(ana, ana.create_room(preset=preset)) == PRESETS[preset]


@pytest.mark.parametrize("visibility, preset", [("public", "public_chat"), ("private", "private_chat")])
def test_without_a_preset_the_visibility_chooses_one(ana, visibility, preset):
    assert rules_of(ana, ana.create_room(visibility=visibility)) == PRESETS[preset]


def test_a_preset_goes_before_the_visibility(ana):
    assert rules_of(ana, ana.create_room(visibility="public", preset="private_chat")) == PRESETS["private_chat"]


def test_events_come_in_the_order_of_the_specification(ana, bob):
    name = unique("ordered")
    room = ana.create_room(
        preset="private_chat",
        room_alias_name=name,
        name="Name",
        topic="Topic",
        invite=[bob.user_id],
        initial_state=[{"type": "org.example.first", "content": {}}, {"type": "org.example.second", "state_key": "x", "content": {}}],
    )
    got = types(ana.history(room))
    assert got[:4] == ["m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias"]
    preset_end = 7
    assert set(got[4:preset_end]) == {"m.room.join_rules", "m.room.history_visibility", "m.room.guest_access"}
    assert got[preset_end:] == ["org.example.first", "org.example.second", "m.room.name", "m.room.topic", "m.room.member"]


def test_name_and_topic_are_set(ana):
    room = ana.create_room(name="The pub", topic="All about happy hour")
    assert ana.state(room, "m.room.name")["name"] == "The pub"
    topic = ana.state(room, "m.room.topic")
    assert topic["topic"] == "All about happy hour"
    (plain,) = topic["m.topic"]["m.text"]
    assert plain["body"] == "All about happy hour" and plain.get("mimetype", "text/plain") == "text/plain"


def test_name_and_topic_go_before_the_initial_state(ana):
    states = [
        {"type": "m.room.name", "content": {"name": "from initial_state"}},
        {"type": "m.room.topic", "content": {"topic": "from initial_state"}},
    ]
    room = ana.create_room(name="from name", topic="from topic", initial_state=states)
    assert ana.state(room, "m.room.name")["name"] == "from name"
    assert ana.state(room, "m.room.topic")["topic"] == "from topic"


def test_the_initial_state_goes_before_the_preset(ana):
    states = [
        {"type": "m.room.join_rules", "content": {"join_rule": "public"}},
        {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
        {"type": "m.room.guest_access", "content": {"guest_access": "forbidden"}},
        {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
    ]
    room = ana.create_room(preset="private_chat", initial_state=states)
    assert rules_of(ana, room) == ("public", "joined", "forbidden")
    assert ana.state(room, "m.room.encryption") == {"algorithm": "m.megolm.v1.aes-sha2"}


def test_creation_content_is_kept_but_for_what_the_server_decides(ana):
    creation = {"m.federate": False, "type": "m.space", "org.example.note": {"x": 1}, "creator": "@evil:example.org", "room_version": "1"}
    room = ana.create_room(creation_content=creation, room_version="10")
    created = ana.state(room, "m.room.create")
    assert (created["m.federate"], created["type"], created["org.example.note"]) == (False, "m.space", {"x": 1})
    assert (created["creator"], created["room_version"]) == (ana.user_id, "10")


def test_invited_users_are_invited(ana, bob, carol):
    room = ana.create_room(invite=[bob.user_id, carol.user_id])
    for user in (bob, carol):
        assert ana.state(room, "m.room.member", user.user_id)["membership"] == "invite"
        assert room in user.sync()["rooms"]["invite"]


def test_a_direct_room_says_so_in_its_invites(ana, bob):
    room = ana.create_room(preset="trusted_private_chat", invite=[bob.user_id], is_direct=True)
    assert ana.state(room, "m.room.member", bob.user_id)["is_direct"] is True
    events = bob.sync()["rooms"]["invite"][room]["invite_state"]["events"]
    assert next(event for event in events if event.get("state_key") == bob.user_id)["content"]["is_direct"] is True


# Room versions


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_works(ana, bob, version):
    room = ana.create_room(room_version=version, preset="public_chat", name="v" + version)
    assert ana.state(room, "m.room.create").get("room_version", "1") == version
    bob.join(room)
    event_id = bob.say(room, "in version " + version)
    assert ana.event(room, event_id)["content"]["body"] == "in version " + version
    ana.redact(room, event_id)
    assert ana.event(room, event_id)["content"] == {}
    bob.leave(room)
    assert [event["type"] for event in ana.history(room)][-3:] == ["m.room.message", "m.room.redaction", "m.room.member"]


@pytest.mark.parametrize("version", VERSIONS)
def test_identifiers_have_the_form_of_the_version(ana, server, version):
    room = ana.create_room(room_version=version)
    event_id = ana.say(room)
    if version in ("1", "2"):
        assert re.fullmatch(r"\$[^:]+:" + re.escape(server.server_name), event_id)
    elif version == "3":
        assert re.fullmatch(r"\$[A-Za-z0-9+/]{43}", event_id)
    else:
        assert re.fullmatch(r"\$[A-Za-z0-9_-]{43}", event_id)
    if version == "12":
        assert re.fullmatch(r"![A-Za-z0-9_-]{43}", room)
        created = ana.all_state(room)["m.room.create", ""]
        assert created["event_id"][1:] == room[1:]
    else:
        assert re.fullmatch(r"![^:]+:" + re.escape(server.server_name), room)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_creator_is_named_where_the_version_says(ana, version):
    room = ana.create_room(room_version=version)
    created = ana.all_state(room)["m.room.create", ""]
    assert created["sender"] == ana.user_id
    assert created["content"].get("creator") == (ana.user_id if int(version) <= 10 else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_creator_has_all_power(ana, version):
    room = ana.create_room(room_version=version)
    levels = ana.state(room, "m.room.power_levels")
    assert levels["users"] == ({} if version == "12" else {ana.user_id: 100})
    if version == "12":
        assert levels["events"]["m.room.tombstone"] > levels.get("state_default", 50)


@pytest.mark.parametrize("version", ["1", "10", "11"])
def test_trusted_guests_get_the_power_of_the_creator(ana, bob, version):
    room = ana.create_room(room_version=version, preset="trusted_private_chat", invite=[bob.user_id])
    assert ana.state(room, "m.room.power_levels")["users"] == {ana.user_id: 100, bob.user_id: 100}


def test_trusted_guests_are_creators_in_version_12(ana, bob, carol):
    creation = {"additional_creators": [carol.user_id]}
    room = ana.create_room(preset="trusted_private_chat", invite=[bob.user_id, carol.user_id], creation_content=creation)
    assert sorted(ana.state(room, "m.room.create")["additional_creators"]) == sorted([bob.user_id, carol.user_id])
    assert not ana.state(room, "m.room.power_levels").get("users")
    bob.join(room)
    bob.set_state(room, "m.room.power_levels", {**ana.state(room, "m.room.power_levels"), "events_default": 10})


def test_additional_creators_cannot_be_demoted(ana, bob):
    room = ana.create_room(creation_content={"additional_creators": [bob.user_id]}, invite=[bob.user_id])
    bob.join(room)
    levels = ana.state(room, "m.room.power_levels")
    with refused(400, ("M_FORBIDDEN", "M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN")):
        ana.set_state(room, "m.room.power_levels", {**levels, "users": {bob.user_id: 0}})
    with refused(403, "M_FORBIDDEN"):
        ana.kick(room, bob)
    bob.set_state(room, "m.room.name", {"name": "still a creator"})


@pytest.mark.synapse_differs("answers 400 with M_FORBIDDEN")
@pytest.mark.parametrize("creators", ["@a:b", [1], ["not a user"], {}, [None]])
def test_additional_creators_must_be_users(ana, creators):
    with refused(400, (*MALFORMED, "M_INVALID_ROOM_STATE")):
        ana.create_room(creation_content={"additional_creators": creators})


@pytest.mark.parametrize("version", ["0", "13", "ünknown", "", "org.example.unknown"])
def test_an_unknown_version_is_refused(ana, version):
    with refused(400, "M_UNSUPPORTED_ROOM_VERSION"):
        ana.create_room(room_version=version)
    assert ana.get("/joined_rooms")["joined_rooms"] == []


# Power levels


def test_power_levels_can_be_overridden(ana, bob):
    override = {"events_default": 20, "users": {bob.user_id: 30}, "events": {"m.room.name": 25}, "ban": 77}
    room = ana.create_room(power_level_content_override=override)
    levels = ana.state(room, "m.room.power_levels")
    assert (levels["events_default"], levels["ban"]) == (20, 77)
    assert levels["users"][bob.user_id] == 30
    assert levels["events"]["m.room.name"] == 25
    assert levels["kick"] == 50  # what is not overridden stays


def test_an_override_replaces_the_keys_that_it_has(ana):
    """"Applied on top": a key of the override replaces the generated one as a whole."""
    room = ana.create_room(room_version="11", power_level_content_override={"users": {ana.user_id: 60}, "events": {}})
    levels = ana.state(room, "m.room.power_levels")
    assert levels["users"] == {ana.user_id: 60}
    assert levels["events"] == {}


@pytest.mark.parametrize(
    "override",
    [{"users": 1}, {"users_default": "50"}, {"events": []}, {"users": {"not a user": 5}}, {"events": {"x": 2**53}}, {"ban": 1.5}],
)
def test_an_impossible_override_is_refused(ana, override):
    with refused(400, (*MALFORMED, "M_INVALID_ROOM_STATE", "M_FORBIDDEN", "M_UNKNOWN")):
        ana.create_room(power_level_content_override=override)


def test_the_creator_may_not_be_given_a_level_in_version_12(ana):
    with refused(400, (*MALFORMED, "M_INVALID_ROOM_STATE", "M_FORBIDDEN", "M_UNKNOWN")):
        ana.create_room(power_level_content_override={"users": {ana.user_id: 100}})


@pytest.mark.synapse_differs("answers 403")
def test_a_creator_without_the_power_for_what_is_asked_gets_no_room(ana):
    with refused(400, "M_INVALID_ROOM_STATE"):
        ana.create_room(room_version="11", name="never", power_level_content_override={"users": {ana.user_id: 0}})
    assert ana.get("/joined_rooms")["joined_rooms"] == []


# Aliases


def test_a_room_gets_its_alias_and_a_canonical_one(ana, nobody, server):
    name = unique("pub")
    room = ana.create_room(room_alias_name=name)
    alias = f"#{name}:{server.server_name}"
    assert nobody.get("/directory/room/{}", alias)["room_id"] == room
    assert ana.state(room, "m.room.canonical_alias")["alias"] == alias


def test_an_alias_in_use_is_refused_and_no_room_is_made(ana, bob):
    name = unique("pub")
    ana.create_room(room_alias_name=name)
    with refused(400, "M_ROOM_IN_USE"):
        bob.create_room(room_alias_name=name)
    assert bob.get("/joined_rooms")["joined_rooms"] == []


@pytest.mark.parametrize("name", ["with:colon", pytest.param("nul\0", marks=pytest.mark.synapse_differs("takes it")), "x" * 300])
def test_an_impossible_alias_is_refused(ana, name):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN", "M_BAD_JSON")):
        ana.create_room(room_alias_name=name)


# What is refused


@pytest.mark.synapse_differs("takes some of them, and has internal errors with others", sometimes=True)
@pytest.mark.parametrize(
    "body",
    [
        {"invite": "@bob:hearth.test"},
        {"invite": [1]},
        {"invite": ["not a user"]},
        {"name": 1},
        {"topic": ["x"]},
        {"preset": "nonsense"},
        {"preset": 1},
        {"visibility": "nonsense"},
        {"room_version": 1},
        {"room_alias_name": 1},
        {"creation_content": []},
        {"initial_state": {}},
        {"initial_state": [{}]},
        {"initial_state": [{"type": "x"}]},
        {"initial_state": [{"type": 1, "content": {}}]},
        {"initial_state": [{"type": "x", "state_key": 1, "content": {}}]},
        {"initial_state": [{"type": "x", "content": "x"}]},
        {"is_direct": "yes"},
        {"power_level_content_override": []},
    ],
    ids=str,
)
def test_a_malformed_request_is_refused_and_no_room_is_made(ana, body):
    response = ana.send("POST", "/createRoom", body=body)
    assert response.status_code == 400, response.text
    assert response.json()["errcode"] in (*MALFORMED, "M_UNKNOWN", "M_INVALID_ROOM_STATE")
    assert ana.get("/joined_rooms")["joined_rooms"] == []


def test_a_request_that_is_not_json_is_refused(ana):
    with refused(400, "M_NOT_JSON"):
        ana.call("POST", "/createRoom", data=b"{not json")
    for data in (b"[]", b'"text"', b"1", b"null"):
        with refused(400, ("M_BAD_JSON", "M_NOT_JSON")):
            ana.call("POST", "/createRoom", data=data)


def test_inviting_somebody_unknown_here_or_elsewhere_does_not_make_half_a_room(ana):
    """A user of a server that cannot be reached: either there is no room, or there is one without the invite."""
    before = ana.get("/joined_rooms")["joined_rooms"]
    response = ana.send("POST", "/createRoom", body={"invite": ["@nobody-of-that-name:hearth.test"]})
    rooms = ana.get("/joined_rooms")["joined_rooms"]
    if response.status_code == 200:
        assert rooms == [response.json()["room_id"]]
    else:
        assert rooms == before


@pytest.mark.synapse_differs("answers 500, or leaves half a room behind")
@pytest.mark.parametrize(
    "states",
    [
        [{"type": "m.room.create", "content": {}}],
        [{"type": "m.room.member", "state_key": "@somebody:else.test", "content": {"membership": "join"}}],
    ],
)
def test_the_initial_state_cannot_break_the_rules(ana, states):
    response = ana.send("POST", "/createRoom", body={"initial_state": states})
    assert response.status_code in (400, 403), response.text
    assert ana.get("/joined_rooms")["joined_rooms"] == []


def test_a_new_room_shows_in_a_waiting_sync(ana):
    phone = ana.login()
    since = phone.now()
    room = ana.create_room(name="New")
    answer = phone.sync_until(lambda answer: room in answer.get("rooms", {}).get("join", {}), since)
    names = [event["content"].get("name") for event in timeline(answer, room) + answer["rooms"]["join"][room]["state"]["events"]]
    assert "New" in names




def test_of_rooms_that_are_made_at_once_one_gets_the_alias(ana):
    with ThreadPoolExecutor(8) as pool:
        name = unique("contested")
        answers = list(pool.map(lambda _: ana.send("POST", "/createRoom", body={"room_alias_name": name}), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    assert {answer.json()["errcode"] for answer in answers if answer.status_code == 400} == {"M_ROOM_IN_USE"}


@pytest.mark.own_server
@pytest.mark.synapse_differs("counts otherwise", sometimes=True)
def test_invites_are_limited_however_they_are_made(make_deployment):
    server = make_deployment(processes=1, rc_invites={"per_issuer": {"per_second": 0.001, "burst_count": 2}})
    ana = register_with_secret(server, unique("ana"))
    people = [register_with_secret(server, unique("guest")) for _ in range(3)]
    room = ana.create_room(invite=[people[0].user_id])
    ana.set_state(room, "m.room.member", {"membership": "invite"}, people[1].user_id)
    with refused(429, "M_LIMIT_EXCEEDED"):
        ana.set_state(room, "m.room.member", {"membership": "invite"}, people[2].user_id)
    with refused(429, "M_LIMIT_EXCEEDED"):
        ana.create_room(invite=[people[2].user_id])
