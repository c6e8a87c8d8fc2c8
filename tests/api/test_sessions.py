"""Whom a token stands for, and how it ends: whoami, logout, soft logout, refresh tokens, password change."""

import time

import pytest

from support.client import MALFORMED, PASSWORD, Client, refused, unique
from support.http import Refused
from support.registration import register_with_secret


def alive(client):
    """Whether the token still works; if not, it must be told so in the right way."""
    try:
        client.get("/account/whoami")
        return True
    except Refused as error:
        assert (error.status, error.errcode) == (401, "M_UNKNOWN_TOKEN"), error
        return False


def test_whoami_names_the_user_and_the_device(ana):
    assert ana.get("/account/whoami") == {"user_id": ana.user_id, "device_id": ana.device_id, "is_guest": False}


def test_logout_ends_the_token_and_the_device_on_every_process(ana):
    phone = ana.login()
    assert phone.post("/logout") == {}
    assert not alive(phone.on(0)) and not alive(phone.on(1))
    assert alive(ana)
    assert phone.device_id not in [device["device_id"] for device in ana.get("/devices")["devices"]]


def test_logout_works_with_an_empty_body(ana):
    response = ana.send("POST", "/logout")
    assert (response.status_code, response.json()) == (200, {})
    assert not alive(ana)


def test_logout_everywhere_ends_every_token(ana):
    phone, laptop = ana.login(), ana.login()
    assert phone.post("/logout/all") == {}
    assert not any(alive(client) for client in (ana, phone, laptop))
    again = Client(ana.transport).login(ana.user_id, PASSWORD)
    assert [device["device_id"] for device in again.get("/devices")["devices"]] == [again.device_id]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "nonsense"])
def test_a_header_without_a_bearer_token_is_no_token(nobody, header):
    with refused(401, ("M_MISSING_TOKEN", "M_UNKNOWN_TOKEN")):
        nobody.get("/account/whoami", headers={"Authorization": header})


# Refresh tokens


def login_with_refresh(user):
    body = {"type": "m.login.password", "user": user.user_id, "password": user.password, "refresh_token": True}
    return user.post("/login", body=body, token=None)


def refresh(user, refresh_token):
    return user.post("/refresh", body={"refresh_token": refresh_token}, token=None)


def test_a_refresh_token_gives_a_new_access_token_for_the_same_device(ana):
    login = login_with_refresh(ana)
    assert login["expires_in_ms"] > 0
    renewed = refresh(ana, login["refresh_token"])
    assert renewed["access_token"] != login["access_token"]
    assert renewed["refresh_token"] != login["refresh_token"]
    assert renewed["expires_in_ms"] > 0
    client = Client(ana.transport, token=renewed["access_token"])
    assert client.get("/account/whoami")["device_id"] == login["device_id"]


def test_registration_gives_a_refresh_token_when_asked(nobody):
    name = unique("ana")
    body = {"username": name, "password": PASSWORD, "refresh_token": True, "auth": {"type": "m.login.dummy"}}
    answer = nobody.post("/register", body=body)
    assert answer["refresh_token"] and answer["expires_in_ms"] > 0
    assert refresh(nobody, answer["refresh_token"])["access_token"]


def test_a_refresh_may_be_repeated_until_the_new_token_is_used(ana):
    """The answer may have been lost on its way."""
    login = login_with_refresh(ana)
    refresh(ana, login["refresh_token"])
    again = refresh(ana, login["refresh_token"])
    assert alive(Client(ana.transport, token=again["access_token"]))


def test_the_old_refresh_token_ends_when_the_new_access_token_is_used(ana):
    login = login_with_refresh(ana)
    renewed = refresh(ana, login["refresh_token"])
    assert alive(Client(ana.transport, token=renewed["access_token"]).on(0))
    with refused((401, 403), ("M_UNKNOWN_TOKEN", "M_FORBIDDEN")):
        Client(ana.transport).on(1).post("/refresh", body={"refresh_token": login["refresh_token"]})


def test_the_old_refresh_token_ends_when_the_new_one_is_used(ana):
    login = login_with_refresh(ana)
    renewed = refresh(ana, login["refresh_token"])
    refresh(ana, renewed["refresh_token"])
    with refused((401, 403), ("M_UNKNOWN_TOKEN", "M_FORBIDDEN")):
        refresh(ana, login["refresh_token"])


def test_a_refresh_token_ends_with_its_device(ana):
    login = login_with_refresh(ana)
    Client(ana.transport, token=login["access_token"]).post("/logout")
    with refused((401, 403), ("M_UNKNOWN_TOKEN", "M_FORBIDDEN")):
        refresh(ana, login["refresh_token"])


def test_a_wrong_refresh_token_is_refused(nobody):
    with refused(401, "M_UNKNOWN_TOKEN"):
        refresh(nobody, "wrong")


@pytest.mark.parametrize("body", [{}, {"refresh_token": 1}, {"refresh_token": None}])
def test_a_refresh_needs_a_token(nobody, body):
    with refused(400, MALFORMED):
        nobody.post("/refresh", body=body)


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(ana):
    login = login_with_refresh(ana)
    with refused(401, "M_UNKNOWN_TOKEN"):
        refresh(ana, login["access_token"])
    assert not alive(Client(ana.transport, token=login["refresh_token"]))


@pytest.mark.own_server
def test_an_expired_access_token_is_a_soft_logout_and_can_be_refreshed(strict_server):
    """Access tokens of this server live for a second."""
    ana = register_with_secret(strict_server, unique("ana"))
    login = login_with_refresh(ana)
    assert 0 < login["expires_in_ms"] <= 1000
    expiring = Client(ana.transport, token=login["access_token"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        response = expiring.send("GET", "/account/whoami")
        if response.status_code != 200:
            break
        time.sleep(0.05)
    assert (response.status_code, response.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert response.json()["soft_logout"] is True
    renewed = refresh(ana, login["refresh_token"])
    assert Client(ana.transport, token=renewed["access_token"]).get("/account/whoami")["device_id"] == login["device_id"]


# Password


def test_changing_the_password_asks_for_the_old_one(ana):
    response = ana.send("POST", "/account/password", body={"new_password": "another password"})
    assert response.status_code == 401
    assert {"stages": ["m.login.password"]} in response.json()["flows"]
    wrong = {**ana.password_auth(session=response.json()["session"]), "password": "wrong password"}
    again = ana.send("POST", "/account/password", body={"new_password": "another password", "auth": wrong})
    assert (again.status_code, again.json()["errcode"]) == (401, "M_FORBIDDEN")
    assert again.json()["flows"] and again.json()["session"]
    assert Client(ana.transport).login(ana.user_id, PASSWORD)


def test_a_changed_password_counts_from_then_on(ana):
    assert ana.authorise("POST", "/account/password", body={"new_password": "another password"}) == {}
    with refused(403, "M_FORBIDDEN"):
        ana.login(password=PASSWORD)
    assert ana.login(password="another password").token


def test_changing_the_password_ends_the_other_sessions(ana):
    phone = ana.login()
    ana.authorise("POST", "/account/password", body={"new_password": "another password"})
    assert alive(ana)
    assert not alive(phone)


def test_other_sessions_can_be_kept(ana):
    phone = ana.login()
    ana.authorise("POST", "/account/password", body={"new_password": "another password", "logout_devices": False})
    assert alive(ana) and alive(phone)


def test_somebody_else_cannot_authorise_my_password_change(ana, bob):
    response = ana.send("POST", "/account/password", body={"new_password": "another password"})
    auth = bob.password_auth(session=response.json()["session"])
    answer = ana.send("POST", "/account/password", body={"new_password": "another password", "auth": auth})
    assert answer.status_code in (401, 403)
    assert ana.login().token


def test_a_session_of_one_request_does_not_authorise_another(ana):
    """A user-interactive session belongs to the operation that it was begun for."""
    other = ana.login()
    challenge = ana.send("DELETE", "/devices/{}", other.device_id, body={}).json()
    auth = ana.password_auth(session=challenge["session"])
    response = ana.send("POST", "/account/password", body={"new_password": "another password", "auth": auth})
    assert response.status_code in (401, 403), response.text
    assert ana.login().token


@pytest.mark.parametrize("body", [{"new_password": 1}, {"new_password": ["x"]}, {"new_password": "x" * 600}])
def test_an_impossible_password_is_refused(ana, body):
    with refused(400, (*MALFORMED, "M_UNKNOWN")):
        ana.post("/account/password", body={**body, "auth": ana.password_auth()})


@pytest.mark.own_server
def test_the_password_policy_holds_for_changes_too(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    with refused(400, "M_PASSWORD_TOO_SHORT"):
        ana.post("/account/password", body={"new_password": "short", "auth": ana.password_auth()})
