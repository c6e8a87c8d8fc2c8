"""What a client asks before it knows anybody: versions, well-known, capabilities; and what holds for every request (CORS, 404, 405)."""

import pytest

from support.client import Client, refused

VERSIONS = [f"r0.{minor}.{patch}" for minor, patch in ((0, 1), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (6, 1))] + [
    f"v1.{minor}" for minor in range(1, 20)
]


@pytest.mark.synapse_differs("does not list every version")
def test_versions_lists_every_version_from_r0_0_1_to_v1_19(nobody):
    assert set(VERSIONS) <= set(nobody.get("/_matrix/client/versions")["versions"])


def test_versions_answers_with_a_token_and_without(nobody, ana):
    for client in (nobody, ana):
        answer = client.get("/_matrix/client/versions")
        assert "v1.11" in answer["versions"]
        assert all(isinstance(value, bool) for value in answer.get("unstable_features", {}).values())


def test_well_known_names_the_public_base_url(nobody):
    response = nobody.send("GET", "/.well-known/matrix/client")
    assert response.status_code == 200
    assert response.headers["Content-Type"].split(";")[0] == "application/json"
    assert response.json()["m.homeserver"]["base_url"].rstrip("/") == "https://hearth.test"


def test_capabilities_name_room_versions_1_to_12_and_password_change(ana):
    capabilities = ana.get("/capabilities")["capabilities"]
    versions = capabilities["m.room_versions"]
    assert versions["default"] == "12"
    assert {str(number): versions["available"].get(str(number)) for number in range(1, 13)} == {
        str(number): "stable" for number in range(1, 13)
    }
    assert capabilities["m.change_password"]["enabled"] is True
    assert capabilities.get("m.set_displayname", {"enabled": True})["enabled"] is True
    assert capabilities.get("m.profile_fields", {"enabled": True})["enabled"] is True


def test_capabilities_need_a_token(nobody):
    with refused(401, "M_MISSING_TOKEN"):
        nobody.get("/capabilities")


def test_health_answers_ok(nobody):
    response = nobody.send("GET", "/health")
    assert (response.status_code, response.text) == (200, "OK")


CORS_PATHS = [
    ("GET", "/_matrix/client/versions"),
    ("GET", "/.well-known/matrix/client"),
    ("GET", "/_matrix/client/v3/sync"),  # 401
    ("GET", "/_matrix/client/v3/no/such/endpoint"),  # 404
    ("PATCH", "/_matrix/client/v3/sync"),  # 405
    ("GET", "/_matrix/client/v1/media/download/hearth.test/absent"),
]


@pytest.mark.parametrize("method, path", CORS_PATHS)
def test_every_answer_lets_browsers_in(nobody, method, path):
    headers = nobody.send(method, path, headers={"Origin": "https://element.test"}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert {"GET", "POST", "PUT", "DELETE", "OPTIONS"} <= set(headers["Access-Control-Allow-Methods"].replace(" ", "").split(","))
    allowed = headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert {"x-requested-with", "content-type", "authorization"} <= set(allowed)


@pytest.mark.parametrize("path", [path for _, path in CORS_PATHS] + ["/_matrix/client/v3/createRoom", "/_matrix/media/v3/upload"])
def test_a_preflight_request_needs_no_token_and_does_nothing(nobody, path):
    response = nobody.send("OPTIONS", path, headers={"Origin": "https://element.test", "Access-Control-Request-Method": "POST"})
    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/_matrix/client/v3/nonsense", "/_matrix/client/v99/sync", "/_matrix/nonsense", "/_matrix/client/v3/sync/more"])
def test_an_unknown_path_is_not_recognised(nobody, ana, path):
    for client in (nobody, ana):
        with refused(404, "M_UNRECOGNIZED"):
            client.get(path)


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/_matrix/client/versions"),
        ("DELETE", "/_matrix/client/v3/sync"),
        ("GET", "/_matrix/client/v3/createRoom"),
        ("PUT", "/_matrix/client/v3/login"),
        ("POST", "/_matrix/client/v3/rooms/!x:hearth.test/state/m.example.event/"),
    ],
)
def test_the_wrong_method_is_405(nobody, ana, method, path):
    for client in (nobody, ana):
        with refused(405, "M_UNRECOGNIZED"):
            client.call(method, path)


@pytest.mark.parametrize("path", ["/_matrix/client/v3/joined_rooms", "/_matrix/client/v3/account/whoami"])
def test_a_request_without_a_token_or_with_a_wrong_one_is_401(nobody, server, path):
    with refused(401, "M_MISSING_TOKEN"):
        nobody.get(path)
    with refused(401, "M_UNKNOWN_TOKEN") as caught:
        Client(server.transport, token="no-such-token").get(path)
    assert not caught.value.body.get("soft_logout", False)


def test_a_head_request_is_answered_like_get_without_a_body(nobody):
    response = nobody.send("HEAD", "/_matrix/client/versions")
    assert response.status_code in (200, 405)
    assert response.content == b""


def test_errors_are_json_and_say_so(nobody):
    response = nobody.send("GET", "/_matrix/client/v3/account/whoami")
    assert response.headers["Content-Type"].split(";")[0] == "application/json"
    assert set(response.json()) >= {"errcode", "error"}


def test_what_older_versions_call_r0_is_there_too(ana, room):
    """/versions lists them, and scripts of that time still ask so."""
    assert ana.get("/_matrix/client/r0/account/whoami")["user_id"] == ana.user_id
    assert room in ana.get("/_matrix/client/r0/joined_rooms")["joined_rooms"]
    assert ana.put("/_matrix/client/r0/rooms/{}/send/m.room.message/r0", room, body={"msgtype": "m.text", "body": "x"})["event_id"]
    assert ana.get("/_matrix/media/r0/config") == ana.get("/_matrix/media/v3/config")
    assert ana.send("GET", "/_matrix/client/r0/nonsense").json()["errcode"] == "M_UNRECOGNIZED"
    assert ana.send("GET", "/_matrix/client/r0").status_code == 404
