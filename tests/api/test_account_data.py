"""Account data, room tags and stored filters."""

import json

import pytest

from support.client import MALFORMED, account_data_of, joined, refused


def test_account_data_is_kept_and_shown_on_every_device(ana):
    phone = ana.login()
    since = phone.now()
    assert ana.account_data("org.example.setting", {"colour": "blue"}) == {}
    assert phone.get("/user/{}/account_data/{}", ana.user_id, "org.example.setting") == {"colour": "blue"}
    answer = phone.sync_until(lambda answer: account_data_of(answer, "org.example.setting"), since)
    assert account_data_of(answer, "org.example.setting") == {"colour": "blue"}
    assert account_data_of(phone.sync(), "org.example.setting") == {"colour": "blue"}
    assert account_data_of(phone.sync(answer["next_batch"]), "org.example.setting") is None


def test_account_data_of_a_room_is_apart(ana, room):
    since = ana.now()
    ana.put("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, "org.example.setting", body={"in": "room"})
    assert ana.get("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, "org.example.setting") == {"in": "room"}
    with refused(404, "M_NOT_FOUND"):
        ana.get("/user/{}/account_data/{}", ana.user_id, "org.example.setting")
    answer = ana.sync_until(lambda answer: joined(answer, room), since)
    assert account_data_of(joined(answer, room), "org.example.setting") == {"in": "room"}
    assert account_data_of(answer, "org.example.setting") is None
    assert account_data_of(joined(ana.sync(), room), "org.example.setting") == {"in": "room"}


def test_account_data_is_replaced_as_a_whole(ana):
    ana.account_data("org.example.setting", {"a": 1})
    ana.account_data("org.example.setting", {"b": 2})
    assert ana.get("/user/{}/account_data/{}", ana.user_id, "org.example.setting") == {"b": 2}


def test_unset_account_data_is_not_found(ana, room):
    with refused(404, "M_NOT_FOUND"):
        ana.get("/user/{}/account_data/{}", ana.user_id, "org.example.unset")
    with refused(404, "M_NOT_FOUND"):
        ana.get("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, "org.example.unset")


def test_account_data_is_private(ana, bob, room):
    ana.account_data("org.example.setting", {"a": 1})
    for path in (("/user/{}/account_data/{}", ana.user_id, "x"), ("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, "x")):
        with refused(403, "M_FORBIDDEN"):
            bob.get(*path)
        with refused(403, "M_FORBIDDEN"):
            bob.put(*path)
    assert account_data_of(bob.sync(), "org.example.setting") is None


@pytest.mark.parametrize("event_type", ["m.fully_read", "m.push_rules"])
def test_what_the_server_manages_cannot_be_set(ana, room, event_type):
    for path in (
        ("/user/{}/account_data/{}", ana.user_id, event_type),
        ("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, event_type),
    ):
        response = ana.send("PUT", *path, body={})
        assert (response.status_code, response.json()["errcode"]) == (405, "M_BAD_JSON"), response.text


def test_push_rules_can_be_read_as_account_data(ana):
    assert account_data_of(ana.sync(), "m.push_rules")["global"]["override"]


@pytest.mark.parametrize("content", [[], "text", 1, None, True])
def test_account_data_is_an_object(ana, room, content):
    for path in (("/user/{}/account_data/{}", ana.user_id, "x"), ("/user/{}/rooms/{}/account_data/{}", ana.user_id, room, "x")):
        with refused(400, ("M_BAD_JSON", "M_NOT_JSON")):
            ana.call("PUT", *path, data=json.dumps(content).encode())


def test_an_ill_formed_room_is_refused(ana):
    with refused(400, "M_INVALID_PARAM"):
        ana.put("/user/{}/rooms/{}/account_data/{}", ana.user_id, "not-a-room", "org.example.x", body={})


# Tags


def test_tags_are_set_listed_and_taken_away(ana, room):
    path = ("/user/{}/rooms/{}/tags", ana.user_id, room)
    assert ana.get(*path) == {"tags": {}}
    assert ana.put(path[0] + "/{}", *path[1:], "m.favourite", body={"order": 0.25}) == {}
    ana.put(path[0] + "/{}", *path[1:], "u.work")
    assert ana.get(*path) == {"tags": {"m.favourite": {"order": 0.25}, "u.work": {}}}
    assert ana.call("DELETE", path[0] + "/{}", *path[1:], "m.favourite") == {}
    assert ana.get(*path) == {"tags": {"u.work": {}}}


def test_tags_come_with_sync(ana, room):
    phone = ana.login()
    since = phone.now()
    ana.put("/user/{}/rooms/{}/tags/{}", ana.user_id, room, "m.lowpriority", body={"order": 1})
    answer = phone.sync_until(lambda answer: joined(answer, room), since)
    assert account_data_of(joined(answer, room), "m.tag") == {"tags": {"m.lowpriority": {"order": 1}}}
    ana.call("DELETE", "/user/{}/rooms/{}/tags/{}", ana.user_id, room, "m.lowpriority")
    answer = phone.sync_until(lambda answer: joined(answer, room), answer["next_batch"])
    assert account_data_of(joined(answer, room), "m.tag") == {"tags": {}}


def test_tags_are_private(ana, bob, room):
    ana.put("/user/{}/rooms/{}/tags/{}", ana.user_id, room, "u.secret")
    with refused(403, "M_FORBIDDEN"):
        bob.get("/user/{}/rooms/{}/tags", ana.user_id, room)
    with refused(403, "M_FORBIDDEN"):
        bob.put("/user/{}/rooms/{}/tags/{}", ana.user_id, room, "u.x")
    with refused(403, "M_FORBIDDEN"):
        bob.call("DELETE", "/user/{}/rooms/{}/tags/{}", ana.user_id, room, "u.secret")
    assert bob.get("/user/{}/rooms/{}/tags", bob.user_id, room) == {"tags": {}}


# Filters


def test_a_filter_is_stored_and_given_back(ana):
    definition = {"room": {"timeline": {"limit": 7, "types": ["m.room.message"]}, "state": {"lazy_load_members": True}}, "event_format": "client"}
    filter_id = ana.post("/user/{}/filter", ana.user_id, body=definition)["filter_id"]
    assert isinstance(filter_id, str) and not filter_id.startswith("{")
    assert ana.get("/user/{}/filter/{}", ana.user_id, filter_id) == definition
    assert ana.login().get("/user/{}/filter/{}", ana.user_id, filter_id) == definition


def test_a_stored_filter_works_on_every_process(ana, room):
    ana.say(room)
    filter_id = ana.on(0).post("/user/{}/filter", ana.user_id, body={"room": {"timeline": {"limit": 1}}})["filter_id"]
    for process in (0, 1):
        assert len(joined(ana.on(process).sync(filter=filter_id), room)["timeline"]["events"]) == 1


def test_an_unknown_filter_is_not_found(ana):
    with refused(404, "M_NOT_FOUND"):
        ana.get("/user/{}/filter/{}", ana.user_id, "999999")
    with refused((400, 404), ("M_NOT_FOUND", "M_INVALID_PARAM", "M_UNKNOWN")):
        ana.sync(filter="999999")


def test_filters_are_private(ana, bob):
    filter_id = ana.post("/user/{}/filter", ana.user_id, body={"room": {}})["filter_id"]
    with refused(403, "M_FORBIDDEN"):
        bob.get("/user/{}/filter/{}", ana.user_id, filter_id)
    with refused(403, "M_FORBIDDEN"):
        bob.post("/user/{}/filter", ana.user_id, body={})


INVALID_FILTERS = [
    {"room": 1},
    {"room": {"timeline": []}},
    {"room": {"timeline": {"limit": "ten"}}},
    {"room": {"timeline": {"limit": -1}}},
    {"room": {"timeline": {"types": "m.room.message"}}},
    {"room": {"timeline": {"types": [1]}}},
    {"room": {"rooms": ["not a room"]}},
    {"room": {"timeline": {"senders": ["not a user"]}}},
    {"presence": "none"},
    {"event_format": "nonsense"},
    {"event_fields": "type"},
]


@pytest.mark.synapse_differs("answers M_UNKNOWN, or 500")
@pytest.mark.parametrize("definition", INVALID_FILTERS)
def test_an_invalid_filter_is_refused(ana, definition):
    with refused(400, MALFORMED):
        ana.post("/user/{}/filter", ana.user_id, body=definition)
    with refused(400, (*MALFORMED, "M_UNKNOWN")):
        ana.sync(filter=definition)


@pytest.mark.parametrize("text", ["{", "{]", "{\"room\":", "{}garbage"])
def test_an_inline_filter_that_is_not_json_is_refused(ana, text):
    with refused(400, ("M_NOT_JSON", "M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN")):
        ana.sync(filter=text)
