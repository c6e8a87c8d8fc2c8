"""Logging in by password."""

import pytest

from support.client import MALFORMED, PASSWORD, Client, refused, unique


def test_password_login_is_offered(nobody):
    assert {"type": "m.login.password"} in [{"type": flow["type"]} for flow in nobody.get("/login")["flows"]]


def identifiers(user):
    return {
        "localpart": {"identifier": {"type": "m.id.user", "user": user.localpart}},
        "whole user ID": {"identifier": {"type": "m.id.user", "user": user.user_id}},
        "old field, localpart": {"user": user.localpart},
        "old field, whole user ID": {"user": user.user_id},
        "capital letters": {"identifier": {"type": "m.id.user", "user": user.localpart.upper()}},
    }


@pytest.mark.parametrize("kind", ["localpart", "whole user ID", "old field, localpart", "old field, whole user ID", "capital letters"])
def test_a_user_can_be_named_in_several_ways(nobody, ana, kind):
    answer = nobody.post("/login", body={"type": "m.login.password", "password": PASSWORD, **identifiers(ana)[kind]})
    assert answer["user_id"] == ana.user_id
    assert answer["access_token"] != ana.token
    assert answer["device_id"] and answer["device_id"] != ana.device_id


@pytest.mark.parametrize(
    "identifier",
    [
        {"type": "m.id.thirdparty", "medium": "email", "address": "ana@example.org"},
        {"type": "m.id.phone", "country": "GB", "phone": "07400000000"},
    ],
)
def test_an_unknown_address_or_phone_number_cannot_log_in(nobody, identifier):
    if identifier["type"] == "m.id.phone":
        identifier = {**identifier, "number": identifier["phone"]}  # Synapse knows the field by an older name.
    with refused(403, "M_FORBIDDEN"):
        nobody.post("/login", body={"type": "m.login.password", "password": PASSWORD, "identifier": identifier})


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(nobody, ana):
    with refused(403, "M_FORBIDDEN") as wrong:
        nobody.login(ana.user_id, "wrong password")
    with refused(403, "M_FORBIDDEN") as unknown:
        nobody.login("@nobody-of-that-name:" + ana.server_name, "wrong password")
    assert wrong.value.body == unknown.value.body


def test_users_of_other_servers_cannot_log_in_here(nobody, ana):
    with refused(403, "M_FORBIDDEN"):
        nobody.login(f"@{ana.localpart}:elsewhere.test", PASSWORD)


LOOSE = pytest.mark.synapse_differs("answers M_UNKNOWN")


@pytest.mark.parametrize(
    "body, errcode",
    [
        pytest.param({}, MALFORMED, marks=LOOSE),
        ({"type": 1}, MALFORMED),
        ({"type": "org.example.nonsense"}, ("M_UNKNOWN", "M_INVALID_PARAM")),
        ({"type": "m.login.password"}, MALFORMED),
        ({"type": "m.login.password", "password": "x"}, MALFORMED),
        ({"type": "m.login.password", "password": "x", "identifier": {}}, MALFORMED),
        pytest.param({"type": "m.login.password", "password": "x", "identifier": {"type": "m.id.user"}}, MALFORMED, marks=LOOSE),
        ({"type": "m.login.password", "password": "x", "identifier": {"type": "m.id.nonsense"}}, ("M_UNKNOWN", "M_INVALID_PARAM")),
    ],
)
def test_an_incomplete_login_says_what_is_wrong(nobody, body, errcode):
    with refused(400, errcode):
        nobody.post("/login", body=body)


def test_a_device_can_be_named_and_chosen(ana):
    laptop = ana.login(device_id="LAPTOP", initial_device_display_name="Ana's laptop")
    assert laptop.device_id == "LAPTOP"
    assert ana.get("/devices/{}", "LAPTOP")["display_name"] == "Ana's laptop"


@pytest.mark.synapse_differs("keeps the old token")
def test_logging_in_to_a_known_device_ends_its_old_token_and_keeps_its_name(ana):
    first = ana.login(device_id="LAPTOP", initial_device_display_name="first name")
    second = ana.login(device_id="LAPTOP", initial_device_display_name="second name")
    assert first.token != second.token
    with refused(401, "M_UNKNOWN_TOKEN"):
        first.get("/account/whoami")
    assert second.get("/devices/{}", "LAPTOP")["display_name"] == "first name"
    assert len([device for device in ana.get("/devices")["devices"] if device["device_id"] == "LAPTOP"]) == 1


def test_two_devices_are_two_sessions(ana):
    phone = ana.login()
    assert ana.get("/account/whoami")["device_id"] == ana.device_id
    assert phone.get("/account/whoami")["device_id"] == phone.device_id


def test_a_login_without_refresh_tokens_never_expires(ana):
    body = {"type": "m.login.password", "user": ana.user_id, "password": PASSWORD}
    answer = ana.post("/login", body=body)
    assert "refresh_token" not in answer and "expires_in_ms" not in answer


@pytest.mark.own_server
def test_many_wrong_passwords_are_slowed_down(strict_server):
    from support.registration import register_with_secret

    ana = register_with_secret(strict_server, unique("ana"))
    nobody = Client(strict_server.transport)
    answers = [
        nobody.send("POST", "/login", body={"type": "m.login.password", "user": ana.localpart, "password": f"wrong {attempt}"})
        for attempt in range(12)
    ]
    assert [answer.status_code for answer in answers[:3]] == [403] * 3
    limited = next(answer for answer in answers if answer.status_code == 429)
    assert limited.json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert limited.json()["retry_after_ms"] > 0
    assert int(limited.headers["Retry-After"]) >= 1
