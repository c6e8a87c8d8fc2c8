"""Who is in a room: join, invite, leave, kick, ban, unban, forget, and lists of members."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import MALFORMED, NOT_IN_THIS_STATE, invited, joined, left, refused, state_of, timeline, unique

VERSIONS = ["1", "6", "11", "12"]


def membership(viewer, room, user):
    return viewer.state(room, "m.room.member", user.user_id)["membership"]


# Join


def test_anybody_may_join_a_public_room(bob, public_room):
    assert bob.post("/rooms/{}/join", public_room) == {"room_id": public_room}
    assert bob.get("/joined_rooms") == {"joined_rooms": [public_room]}


def test_a_room_can_be_joined_by_its_alias(ana, bob, server):
    name = unique("pub")
    room = ana.create_room(preset="public_chat", room_alias_name=name)
    assert bob.join(f"#{name}:{server.server_name}") == room


def test_joining_twice_is_no_error_and_sends_nothing(ana, bob, public_room):
    bob.join(public_room)
    before = len(ana.history(public_room))
    assert bob.join(public_room) == public_room
    assert len(ana.history(public_room)) == before


def test_a_private_room_needs_an_invite(ana, bob):
    room = ana.create_room(preset="private_chat")
    with refused(403, "M_FORBIDDEN"):
        bob.join(room)
    ana.invite(room, bob)
    assert bob.join(room) == room


def test_the_reason_of_a_change_of_membership_is_kept(ana, bob, public_room):
    bob.join(public_room, reason="curious")
    assert ana.state(public_room, "m.room.member", bob.user_id)["reason"] == "curious"
    bob.leave(public_room, reason="bored")
    assert ana.state(public_room, "m.room.member", bob.user_id)["reason"] == "bored"
    ana.invite(public_room, bob, reason="come back")
    assert ana.state(public_room, "m.room.member", bob.user_id)["reason"] == "come back"
    ana.ban(public_room, bob, reason="enough")
    assert ana.state(public_room, "m.room.member", bob.user_id)["reason"] == "enough"


@pytest.mark.parametrize("room", ["!unknown:hearth.test", "!QRp4Dmfa1FxGt3zCsPPMoLt2_bUCuJtqQyvq8jJbtCk", "#unknown-alias-here:hearth.test"])
def test_unknown_rooms_cannot_be_joined(bob, room):
    with refused((403, 404), ("M_NOT_FOUND", "M_FORBIDDEN", "M_UNKNOWN")):
        bob.join(room)


@pytest.mark.parametrize("room", ["no-sigil", "@user:hearth.test", "$event"])
def test_what_is_no_room_cannot_be_joined(bob, room):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN")):
        bob.join(room)


def test_joining_uses_the_members_list_that_the_join_rules_allow(ana, bob, carol):
    """A restricted room takes members of the room that it names, and nobody else."""
    club = ana.create_room(preset="private_chat", invite=[bob.user_id])
    allow = [{"type": "m.room_membership", "room_id": club}]
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}
    restricted = ana.create_room(preset="private_chat", initial_state=[rules])
    bob.join(club)
    assert bob.join(restricted) == restricted
    assert ana.state(restricted, "m.room.member", bob.user_id)["join_authorised_via_users_server"] == ana.user_id
    with refused(403, "M_FORBIDDEN"):
        carol.join(restricted)
    bob.leave(club)
    bob.leave(restricted)
    with refused(403, "M_FORBIDDEN"):
        bob.join(restricted)


# Invite


def restricted_room(ana, lobby):
    allow = [{"type": "m.room_membership", "room_id": lobby}]
    rules = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}
    return ana.create_room(preset="private_chat", initial_state=[rules])


@pytest.mark.synapse_differs("joins by a state event need an invite there", sometimes=True)
def test_a_join_by_a_state_event_is_judged_like_any_other(ana, bob, carol, public_room):
    """Who vouches for a restricted join is the server's to say, not the client's."""
    bob.join(public_room)
    room = restricted_room(ana, public_room)
    forged = {"membership": "join", "join_authorised_via_users_server": ana.user_id}
    with refused(403, "M_FORBIDDEN"):
        carol.set_state(room, "m.room.member", forged, carol.user_id)
    assert carol.user_id not in ana.get("/rooms/{}/joined_members", room)["joined"]
    bob.set_state(room, "m.room.member", {"membership": "join", "displayname": "bob"}, bob.user_id)
    assert ana.state(room, "m.room.member", bob.user_id)["join_authorised_via_users_server"] == ana.user_id
    bob.set_state(room, "m.room.member", {**forged, "displayname": "other"}, bob.user_id)
    content = ana.state(room, "m.room.member", bob.user_id)
    assert content["displayname"] == "other" and "join_authorised_via_users_server" not in content


def test_many_equal_requests_at_once_change_a_membership_once(ana, bob, carol, public_room):
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: bob.join(public_room), range(8))) == {public_room}
        invites = [pool.submit(ana.send, "POST", "/rooms/{}/invite", public_room, body={"user_id": carol.user_id}) for _ in range(8)]
        assert {invite.result().status_code for invite in invites} == {200}
    for user in (bob, carol):
        events = [event for event in ana.history(public_room) if event.get("state_key") == user.user_id]
        assert len(events) == 1, events


def test_an_invite_comes_with_sync_and_the_stripped_state(ana, bob):
    room = ana.create_room(name="The pub", topic="not stripped?", preset="private_chat")
    since = bob.now()
    assert ana.invite(room, bob) == {}
    answer = bob.sync_until(lambda answer: invited(answer, room), since)
    events = invited(answer, room)["invite_state"]["events"]
    stripped = {(event["type"], event["state_key"]): event for event in events}
    assert stripped["m.room.name", ""]["content"] == {"name": "The pub"}
    assert stripped["m.room.create", ""]["sender"] == ana.user_id
    assert stripped["m.room.join_rules", ""]["content"]["join_rule"] == "invite"
    mine = stripped["m.room.member", bob.user_id]
    assert (mine["sender"], mine["content"]["membership"]) == (ana.user_id, "invite")
    for event in events:
        assert {"type", "state_key", "content", "sender"} <= set(event)
    assert room not in answer["rooms"].get("join", {})


def test_a_rejected_invite_is_gone(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    since = bob.now()
    bob.leave(room)
    answer = bob.sync_until(lambda answer: left(answer, room), since)
    assert not invited(answer, room)
    assert not invited(bob.sync(), room)
    assert membership(ana, room, bob) == "leave"


def test_a_withdrawn_invite_is_gone(ana, bob):
    room = ana.create_room(preset="private_chat", invite=[bob.user_id])
    since = bob.now()
    ana.kick(room, bob)
    answer = bob.sync_until(lambda answer: left(answer, room), since)
    assert not invited(answer, room)
    assert not invited(bob.sync(), room)
    with refused(403, "M_FORBIDDEN"):
        bob.join(room)


def test_an_invite_that_was_accepted_is_gone(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    since = bob.now()
    bob.join(room)
    answer = bob.sync_until(lambda answer: joined(answer, room), since)
    assert not invited(answer, room) and not invited(bob.sync(), room)


def test_members_and_banned_users_cannot_be_invited(ana, bob, public_room):
    bob.join(public_room)
    with refused(403, NOT_IN_THIS_STATE):
        ana.invite(public_room, bob)
    ana.ban(public_room, bob)
    with refused(403, NOT_IN_THIS_STATE):
        ana.invite(public_room, bob)


def test_only_members_with_the_power_invite(ana, bob, carol, public_room):
    with refused(403, "M_FORBIDDEN"):
        bob.invite(public_room, carol)
    bob.join(public_room)
    levels = ana.state(public_room, "m.room.power_levels")
    ana.set_state(public_room, "m.room.power_levels", {**levels, "invite": 50})
    with refused(403, "M_FORBIDDEN"):
        bob.invite(public_room, carol)
    ana.set_state(public_room, "m.room.power_levels", {**levels, "invite": 0})
    bob.invite(public_room, carol)


def test_inviting_twice_is_no_error(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    ana.invite(room, bob)
    assert membership(ana, room, bob) == "invite"


def test_the_profile_of_the_invited_user_is_in_the_invite(ana, bob):
    bob.put("/profile/{}/displayname", bob.user_id, body={"displayname": "Bob"})
    room = ana.create_room(invite=[bob.user_id])
    assert ana.state(room, "m.room.member", bob.user_id)["displayname"] == "Bob"


@pytest.mark.synapse_differs("has internal errors with some", sometimes=True)
@pytest.mark.parametrize("action", ["invite", "kick", "ban", "unban"])
@pytest.mark.parametrize("body", [{}, {"user_id": 1}, {"user_id": None}, {"user_id": "no-sigil"}, {"user_id": "@no-server"}], ids=str)
def test_these_need_a_user(ana, public_room, action, body):
    with refused(400, (*MALFORMED, "M_UNKNOWN")):
        ana.post("/rooms/{}/" + action, public_room, body=body)


# Leave


def test_leaving_ends_membership(ana, bob, room):
    assert bob.leave(room) == {}
    assert membership(ana, room, bob) == "leave"
    assert bob.get("/joined_rooms")["joined_rooms"] == []
    with refused(403, "M_FORBIDDEN"):
        bob.say(room)


def test_leaving_twice_is_no_error_and_sends_nothing(ana, bob, room):
    bob.leave(room)
    before = len(ana.history(room))
    response = bob.send("POST", "/rooms/{}/leave", room, body={})
    assert response.status_code in (200, 403), response.text
    assert len(ana.history(room)) == before


def test_nobody_leaves_a_room_that_was_never_entered(bob, public_room):
    with refused((403, 404), ("M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN")):
        bob.leave(public_room)
    with refused((403, 404), ("M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN")):
        bob.leave("!unknown:hearth.test")


def test_the_last_member_may_leave(ana):
    room = ana.create_room()
    ana.leave(room)
    assert ana.get("/joined_rooms")["joined_rooms"] == []
    with refused((403, 404), ("M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN")):
        ana.join(room)


# Kick, ban, unban


def test_a_kicked_user_is_out_and_may_come_back(ana, bob, public_room):
    bob.join(public_room)
    assert ana.kick(public_room, bob, reason="off topic") == {}
    event = ana.all_state(public_room)["m.room.member", bob.user_id]
    assert (event["sender"], event["content"]["membership"], event["content"]["reason"]) == (ana.user_id, "leave", "off topic")
    bob.join(public_room)


def test_a_banned_user_is_out_and_stays_out_until_the_ban_ends(ana, bob, public_room):
    bob.join(public_room)
    assert ana.ban(public_room, bob) == {}
    assert membership(ana, public_room, bob) == "ban"
    with refused(403, NOT_IN_THIS_STATE):
        bob.join(public_room)
    assert ana.unban(public_room, bob) == {}
    assert membership(ana, public_room, bob) == "leave"
    bob.join(public_room)


def test_somebody_who_was_never_there_can_be_banned(ana, bob, public_room):
    ana.ban(public_room, bob)
    with refused(403, NOT_IN_THIS_STATE):
        bob.join(public_room)


@pytest.mark.synapse_differs("takes it for somebody who was never there")
def test_who_is_not_banned_cannot_be_unbanned(ana, bob, public_room):
    with refused((400, 403), ("M_BAD_STATE", "M_FORBIDDEN", "M_UNKNOWN")):
        ana.unban(public_room, bob)
    bob.join(public_room)
    with refused((400, 403), ("M_BAD_STATE", "M_FORBIDDEN", "M_UNKNOWN")):
        ana.unban(public_room, bob)
    assert membership(ana, public_room, bob) == "join"


def test_who_is_not_there_cannot_be_kicked(ana, bob, public_room):
    with refused(403, "M_FORBIDDEN"):
        ana.kick(public_room, bob)


def test_a_kick_does_not_end_a_ban(ana, bob, public_room):
    ana.ban(public_room, bob)
    with refused(403, NOT_IN_THIS_STATE):
        ana.kick(public_room, bob)
    assert membership(ana, public_room, bob) == "ban"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("action", ["kick", "ban", "unban"])
def test_power_decides_who_may_kick_and_ban(ana, bob, carol, version, action):
    room = ana.create_room(preset="public_chat", room_version=version)
    bob.join(room)
    carol.join(room)
    if action == "unban":
        ana.ban(room, carol)
    with refused(403, "M_FORBIDDEN"):
        getattr(bob, action)(room, carol)
    levels = ana.state(room, "m.room.power_levels")
    ana.set_state(room, "m.room.power_levels", {**levels, "users": {**levels.get("users", {}), bob.user_id: 50}})
    getattr(bob, action)(room, carol)
    with refused(403, "M_FORBIDDEN"):  # Never against one's betters.
        bob.kick(room, ana)
    with refused(403, "M_FORBIDDEN"):
        bob.ban(room, ana)


def test_equals_cannot_kick_each_other(ana, bob, carol, public_room):
    bob.join(public_room)
    carol.join(public_room)
    levels = ana.state(public_room, "m.room.power_levels")
    ana.set_state(public_room, "m.room.power_levels", {**levels, "users": {bob.user_id: 50, carol.user_id: 50}})
    with refused(403, "M_FORBIDDEN"):
        bob.kick(public_room, carol)


@pytest.mark.parametrize("action", ["kick", "ban", "unban", "invite"])
def test_strangers_have_no_power_over_a_room(ana, bob, carol, public_room, action):
    bob.join(public_room)
    with refused(403, NOT_IN_THIS_STATE):
        getattr(carol, action)(public_room, bob)


def test_membership_can_be_changed_as_a_state_event(ana, bob, carol, public_room):
    ana.set_state(public_room, "m.room.member", {"membership": "invite"}, bob.user_id)
    assert invited(bob.sync(), public_room)
    bob.set_state(public_room, "m.room.member", {"membership": "join", "displayname": "Bobby"}, bob.user_id)
    assert ana.state(public_room, "m.room.member", bob.user_id)["displayname"] == "Bobby"
    ana.set_state(public_room, "m.room.member", {"membership": "ban"}, bob.user_id)
    assert membership(ana, public_room, bob) == "ban"
    with refused(403, "M_FORBIDDEN"):  # Nobody joins on behalf of somebody else.
        ana.set_state(public_room, "m.room.member", {"membership": "join"}, carol.user_id)
    for content in ({}, {"membership": "nonsense"}, {"membership": 1}):
        response = ana.send("PUT", "/rooms/{}/state/m.room.member/{}", public_room, carol.user_id, body=content)
        assert response.status_code in (400, 403), response.text


# Forget


def test_a_room_that_was_left_can_be_forgotten(ana, bob, room):
    bob.leave(room)
    assert bob.forget(room) == {}
    include_left = {"room": {"include_leave": True}}
    assert not left(bob.sync(filter=include_left), room)
    with refused(403, "M_FORBIDDEN"):
        bob.messages(room)
    with refused(403, "M_FORBIDDEN"):
        bob.get("/rooms/{}/state", room)


def test_a_room_one_is_in_cannot_be_forgotten(bob, room):
    with refused(400, "M_UNKNOWN"):
        bob.forget(room)


def test_a_forgotten_room_can_be_joined_again_with_all_of_its_history(ana, bob, room):
    said = ana.say(room, "before")
    bob.leave(room)
    bob.forget(room)
    ana.invite(room, bob)
    assert invited(bob.sync(), room)
    bob.join(room)
    assert said in [event["event_id"] for event in bob.history(room)]


# Lists of members


def test_joined_members_come_with_names_and_pictures(ana, bob, carol, room):
    bob.put("/profile/{}/displayname", bob.user_id, body={"displayname": "Bob"})
    bob.put("/profile/{}/avatar_url", bob.user_id, body={"avatar_url": "mxc://hearth.test/bob"})
    ana.invite(room, carol)
    members = ana.get("/rooms/{}/joined_members", room)["joined"]
    assert set(members) == {ana.user_id, bob.user_id}
    assert members[bob.user_id] == {"display_name": "Bob", "avatar_url": "mxc://hearth.test/bob"}


def members(user, room, **query):
    chunk = user.get("/rooms/{}/members", room, query=query)["chunk"]
    assert all(event["type"] == "m.room.member" for event in chunk)
    return {event["state_key"]: event["content"]["membership"] for event in chunk}


@pytest.fixture
def mixed_room(ana, new_user):
    """A public room with ana and one user of each membership: (room, {membership: user})."""
    room = ana.create_room(preset="public_chat")
    users = {name: new_user(name) for name in ("join", "invite", "leave", "ban")}
    for name in ("join", "leave", "ban"):
        users[name].join(room)
    ana.invite(room, users["invite"])
    users["leave"].leave(room)
    ana.ban(room, users["ban"])
    return room, users


@pytest.mark.parametrize("wanted", ["join", "invite", "leave", "ban"])
def test_members_can_be_filtered_by_membership(ana, mixed_room, wanted):
    room, users = mixed_room
    everybody = {ana.user_id: "join", **{user.user_id: name for name, user in users.items()}}
    assert members(ana, room) == everybody
    assert members(ana, room, membership=wanted) == {user: name for user, name in everybody.items() if name == wanted}
    assert members(ana, room, not_membership=wanted) == {user: name for user, name in everybody.items() if name != wanted}


@pytest.mark.synapse_differs("joins the two conditions with and, not or")
def test_two_membership_filters_are_an_or(ana, mixed_room):
    room, users = mixed_room
    found = members(ana, room, membership="ban", not_membership="join")
    assert found == {user.user_id: name for name, user in users.items() if name != "join"}


def test_members_at_an_earlier_time(ana, bob, carol, public_room):
    """Element asks for the members at the position of its sync: both kinds of token must do."""
    bob.join(public_room)
    since = ana.now()
    carol.join(public_room)
    bob.leave(public_room)
    ana.say(public_room)
    then = {ana.user_id: "join", bob.user_id: "join"}
    assert members(ana, public_room, at=since) == then
    prev_batch = joined(ana.sync(since, filter={"room": {"timeline": {"limit": 10}}}), public_room)["timeline"]["prev_batch"]
    assert members(ana, public_room, at=prev_batch) == then
    assert members(ana, public_room, at=since, not_membership="leave") == then
    assert members(ana, public_room) == {ana.user_id: "join", bob.user_id: "leave", carol.user_id: "join"}


def test_before_a_whole_timeline_there_is_only_the_creator(ana, bob, public_room):
    """Nothing precedes it, but a room begins with its creator's join."""
    whole = joined(ana.sync(filter={"room": {"timeline": {"limit": 50}}}), public_room)["timeline"]
    assert [event["type"] for event in whole["events"]][:2] == ["m.room.create", "m.room.member"]
    bob.join(public_room)
    assert members(ana, public_room, at=whole["prev_batch"]) == {ana.user_id: "join"}


def test_who_left_sees_the_members_of_that_moment(ana, bob, carol, public_room):
    bob.join(public_room)
    bob.leave(public_room)
    carol.join(public_room)
    assert members(bob, public_room) == {ana.user_id: "join", bob.user_id: "leave"}


def test_strangers_see_no_members(ana, bob):
    room = ana.create_room(invite=[bob.user_id])
    for path in ("/rooms/{}/members", "/rooms/{}/joined_members"):
        with refused(403, "M_FORBIDDEN"):
            bob.get(path, room)
        with refused(403, "M_FORBIDDEN"):
            bob.get(path, "!unknown:hearth.test")


@pytest.mark.synapse_differs("does not check")
def test_an_unknown_membership_to_filter_by_is_refused(ana, room):
    with refused(400, "M_INVALID_PARAM"):
        members(ana, room, membership="nonsense")


def test_a_wrong_token_for_members_is_refused(ana, room):
    with refused(400, ("M_INVALID_PARAM", "M_UNKNOWN")):
        members(ana, room, at="nonsense")


# What members see of it


def test_a_kick_reaches_the_kicked_user_once(ana, bob, room):
    since = bob.now()
    ana.kick(room, bob)
    answer = bob.sync_until(lambda answer: left(answer, room), since)
    event = timeline(answer, room, left)[-1]
    assert (event["type"], event["state_key"], event["content"]["membership"]) == ("m.room.member", bob.user_id, "leave")
    assert not left(bob.sync(answer["next_batch"]), room)


def test_joining_shows_the_whole_room(ana, bob, public_room):
    ana.set_state(public_room, "m.room.name", {"name": "The pub"})
    for number in range(30):
        ana.say(public_room, str(number))
    since = bob.now()
    bob.join(public_room)
    answer = bob.sync_until(lambda answer: joined(answer, public_room), since)
    assert state_of(answer, public_room)["m.room.name", ""]["content"] == {"name": "The pub"}
    assert joined(answer, public_room)["timeline"]["limited"] is True
    assert timeline(answer, public_room)[-1]["state_key"] == bob.user_id
