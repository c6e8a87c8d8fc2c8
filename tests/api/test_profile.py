"""Display name, avatar and other profile fields."""

import pytest

from support.client import Client, refused, timeline, unique
from support.registration import register_with_secret


def profile(client, user):
    """A user's whole profile; a server may say that an empty one does not exist."""
    response = client.send("GET", "/profile/{}", user.user_id)
    if response.status_code == 404:
        assert response.json()["errcode"] == "M_NOT_FOUND"
        return {}
    return response.json()


def test_a_new_user_has_a_display_name_or_none_and_a_profile(nobody, ana):
    assert profile(nobody, ana).get("displayname") in (None, ana.localpart)


@pytest.mark.parametrize("field, value", [("displayname", "Ana ✓"), ("avatar_url", "mxc://hearth.test/picture")])
def test_fields_can_be_set_read_and_taken_away(ana, nobody, field, value):
    assert ana.put("/profile/{}/{}", ana.user_id, field, body={field: value}) == {}
    assert nobody.get("/profile/{}/{}", ana.user_id, field) == {field: value}
    assert profile(nobody, ana)[field] == value
    assert ana.call("DELETE", "/profile/{}/{}", ana.user_id, field) == {}
    assert field not in profile(nobody, ana)


@pytest.mark.parametrize("value", ["Europe/Berlin", 7, {"deep": ["value"]}, True])
def test_any_other_field_may_be_of_any_type(ana, nobody, value):
    ana.put("/profile/{}/{}", ana.user_id, "org.example.field", body={"org.example.field": value})
    assert nobody.get("/profile/{}/{}", ana.user_id, "org.example.field") == {"org.example.field": value}
    assert profile(nobody, ana)["org.example.field"] == value


def test_the_body_must_hold_the_field(ana):
    with refused(400, "M_MISSING_PARAM"):
        ana.put("/profile/{}/{}", ana.user_id, "org.example.field", body={"other": 1})


@pytest.mark.parametrize("field, value", [("displayname", 1), ("displayname", ["x"]), ("avatar_url", 1), ("avatar_url", {})])
def test_name_and_avatar_are_strings(ana, field, value):
    with refused(400, ("M_BAD_JSON", "M_INVALID_PARAM")):
        ana.put("/profile/{}/{}", ana.user_id, field, body={field: value})


def test_the_name_of_a_field_has_a_limit(ana):
    with refused(400, "M_KEY_TOO_LARGE"):
        ana.put("/profile/{}/{}", ana.user_id, "x" * 256, body={"x" * 256: 1})


def test_a_profile_has_a_limit_of_64_kib(ana):
    with refused(400, "M_PROFILE_TOO_LARGE"):
        ana.put("/profile/{}/{}", ana.user_id, "org.example.big", body={"org.example.big": "x" * 65536})
    with refused(400, "M_PROFILE_TOO_LARGE"):
        for part in range(5):
            field = f"org.example.part{part}"
            ana.put("/profile/{}/{}", ana.user_id, field, body={field: "x" * 16000})


@pytest.mark.synapse_differs("answers 400")
def test_nobody_else_changes_my_profile(ana, bob):
    with refused(403, "M_FORBIDDEN"):
        bob.put("/profile/{}/{}", ana.user_id, "displayname", body={"displayname": "mine now"})
    with refused(403, "M_FORBIDDEN"):
        bob.call("DELETE", "/profile/{}/{}", ana.user_id, "displayname")


@pytest.mark.synapse_differs("answers 404 with M_UNKNOWN")
def test_unknown_users_are_not_found(nobody):
    user = "@nobody-of-that-name:hearth.test"
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/profile/{}", user)
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/profile/{}/displayname", user)


def test_unset_fields_are_not_found(nobody, ana):
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/profile/{}/{}", ana.user_id, "org.example.unset")


@pytest.mark.synapse_differs("answers 200 and {} for a name that was taken away")
def test_a_display_name_that_was_taken_away_is_not_found(nobody, ana):
    ana.put("/profile/{}/displayname", ana.user_id, body={"displayname": "Ana"})
    ana.call("DELETE", "/profile/{}/displayname", ana.user_id)
    with refused(404, "M_NOT_FOUND"):
        nobody.get("/profile/{}/displayname", ana.user_id)


@pytest.mark.parametrize("field, value", [("displayname", "Queen Ana"), ("avatar_url", "mxc://hearth.test/crown")])
def test_a_changed_profile_shows_in_all_rooms(ana, bob, room, field, value):
    since = bob.now()
    ana.put("/profile/{}/{}", ana.user_id, field, body={field: value})
    answer = bob.sync_until(lambda answer: timeline(answer, room), since)
    (event,) = timeline(answer, room)
    assert (event["type"], event["state_key"], event["content"]["membership"]) == ("m.room.member", ana.user_id, "join")
    assert event["content"][field] == value
    assert event["unsigned"]["prev_content"]["membership"] == "join"


def test_a_joining_user_brings_the_profile(ana, bob, public_room):
    bob.put("/profile/{}/displayname", bob.user_id, body={"displayname": "Bob the builder"})
    bob.put("/profile/{}/avatar_url", bob.user_id, body={"avatar_url": "mxc://hearth.test/bob"})
    bob.join(public_room)
    member = ana.state(public_room, "m.room.member", bob.user_id)
    assert (member["displayname"], member["avatar_url"]) == ("Bob the builder", "mxc://hearth.test/bob")


@pytest.mark.own_server
def test_names_cannot_be_changed_where_the_server_forbids_it(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    assert ana.get("/capabilities")["capabilities"]["m.set_displayname"]["enabled"] is False
    with refused((400, 403), "M_FORBIDDEN"):
        ana.put("/profile/{}/displayname", ana.user_id, body={"displayname": "other"})
