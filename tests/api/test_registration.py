"""Making an account: user-interactive registration, availability of names, registration tokens, the shared secret."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import PASSWORD, Client, refused, unique
from support.http import Refused
from support.registration import REGISTER, register_with_secret, registration_token, shared_secret_mac

LOCALPART = re.compile(r"^[a-z0-9._=/+-]+$")


def ask(client, **body):
    """A registration request that is expected to ask for authentication; returns what it asks for."""
    response = client.send("POST", "/register", body=body)
    assert response.status_code == 401, response.text
    return response.json()


def test_registration_asks_for_authentication_and_then_makes_the_account(nobody, server):
    name = unique("ana")
    challenge = ask(nobody, username=name, password=PASSWORD)
    assert {"stages": ["m.login.dummy"]} in challenge["flows"]
    assert isinstance(challenge["session"], str) and challenge["session"]
    assert "completed" not in challenge or challenge["completed"] == []
    auth = {"type": "m.login.dummy", "session": challenge["session"]}
    answer = nobody.post("/register", body={"username": name, "password": PASSWORD, "auth": auth})
    assert answer["user_id"] == f"@{name}:{server.server_name}"
    client = nobody.with_session(answer)
    assert client.get("/account/whoami") == {"user_id": answer["user_id"], "device_id": answer["device_id"], "is_guest": False}


def test_an_empty_first_request_gets_the_flows(nobody):
    assert ask(nobody)["flows"]


def test_a_session_begun_on_one_process_is_finished_on_another(nobody):
    name = unique("ana")
    challenge = ask(nobody.on(0), username=name, password=PASSWORD)
    auth = {"type": "m.login.dummy", "session": challenge["session"]}
    assert nobody.on(1).post("/register", body={"username": name, "password": PASSWORD, "auth": auth})["access_token"]


def test_parameters_of_the_first_request_need_not_be_repeated_wrongly(nobody):
    """The name that the account gets is the one of the request that carries the authentication."""
    first, second = unique("first"), unique("second")
    challenge = ask(nobody, username=first, password=PASSWORD)
    auth = {"type": "m.login.dummy", "session": challenge["session"]}
    response = nobody.send("POST", "/register", body={"username": second, "password": PASSWORD, "auth": auth})
    if response.status_code == 200:  # Synapse refuses a request that changed under way; either way the first name stays free.
        assert response.json()["user_id"].startswith(f"@{second}:")
    assert nobody.get("/register/available", query={"username": first})["available"] is True


def test_an_unknown_session_is_refused(nobody):
    auth = {"type": "m.login.dummy", "session": "no-such-session"}
    response = nobody.send("POST", "/register", body={"username": unique(), "password": PASSWORD, "auth": auth})
    assert response.status_code in (400, 401, 403)
    assert response.json()["errcode"]


def test_an_unknown_stage_leaves_the_registration_incomplete(nobody):
    challenge = ask(nobody, username=unique(), password=PASSWORD)
    auth = {"type": "org.example.nonsense", "session": challenge["session"]}
    response = nobody.send("POST", "/register", body={"username": unique(), "password": PASSWORD, "auth": auth})
    assert response.status_code in (400, 401)
    assert "access_token" not in response.json()


def test_no_name_given_gets_a_generated_one(nobody):
    answer = nobody.post("/register", body={"password": PASSWORD, "auth": {"type": "m.login.dummy"}})
    assert LOCALPART.match(answer["user_id"][1:].split(":")[0])


def test_the_device_and_its_name_can_be_chosen(nobody):
    client = nobody.register(unique("ana"), device_id="CHOSEN", initial_device_display_name="Ana's phone")
    assert client.device_id == "CHOSEN"
    assert client.get("/devices/{}", "CHOSEN")["display_name"] == "Ana's phone"


def test_inhibit_login_makes_the_account_and_no_session(nobody):
    name = unique("ana")
    body = {"username": name, "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
    answer = nobody.post("/register", body=body)
    assert "access_token" not in answer and "device_id" not in answer
    assert nobody.login(answer["user_id"], PASSWORD).token


def test_capital_letters_in_a_name_become_small(nobody):
    name = unique("ana")
    assert nobody.register(name.upper()).localpart == name


INVALID = ["white space", "an@at", "colon:name", "", "x" * 256, "semi;colon", "new\nline", "nul\0", "ünïcode", "日本"]


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_name_cannot_be_registered(nobody, name):
    with refused(400, "M_INVALID_USERNAME"):
        nobody.register(name)


@pytest.mark.parametrize("name", INVALID[:-2] + [pytest.param(name, marks=pytest.mark.synapse_differs("M_UNKNOWN")) for name in INVALID[-2:]])
def test_an_invalid_name_is_not_available(nobody, name):
    with refused(400, ("M_INVALID_USERNAME", "M_INVALID_PARAM") if "\0" in name else "M_INVALID_USERNAME"):  # A query may refuse NUL at once.
        nobody.get("/register/available", query={"username": name})


@pytest.mark.parametrize("character", list("._=-/+") + ["0"])
def test_every_character_of_the_grammar_is_allowed_in_a_name(nobody, character):
    name = unique("ana") + character + "x"
    assert nobody.register(name).localpart == name


def test_a_name_in_use_is_refused(nobody, ana):
    with refused(400, "M_USER_IN_USE"):
        nobody.register(ana.localpart)
    with refused(400, "M_USER_IN_USE"):
        nobody.get("/register/available", query={"username": ana.localpart})
    with refused(400, "M_USER_IN_USE"):  # Told at once, not after the user has gone through all stages.
        nobody.call("POST", "/register", body={"username": ana.localpart, "password": PASSWORD})


def test_a_free_name_is_available(nobody):
    assert nobody.get("/register/available", query={"username": unique("free")}) == {"available": True}


def test_availability_needs_a_name(nobody):
    with refused(400, "M_MISSING_PARAM"):
        nobody.get("/register/available")


@pytest.mark.synapse_differs("answers 403 with M_UNKNOWN")
def test_guests_are_turned_away(nobody):
    with refused(403, "M_FORBIDDEN"):
        nobody.post("/register", body={}, query={"kind": "guest"})


@pytest.mark.synapse_differs("answers M_UNKNOWN")
def test_other_kinds_of_account_do_not_exist(nobody):
    with refused(400, "M_INVALID_PARAM"):
        nobody.post("/register", body={}, query={"kind": "nonsense"})


def test_two_registrations_of_one_name_at_once_make_one_account(nobody):
    """Sent to both processes at the same time, over and over: exactly one wins each time."""

    def attempt(process, name):
        try:
            return nobody.on(process).register(name)
        except Refused as error:
            assert error.errcode == "M_USER_IN_USE"
            return None

    with ThreadPoolExecutor(4) as pool:
        for name in (unique("race") for _ in range(5)):
            won = [client for client in pool.map(lambda process: attempt(process, name), range(4)) if client]
            assert len(won) == 1
            assert won[0].get("/account/whoami")["user_id"] == won[0].user_id


# Registration tokens


@pytest.mark.own_server
def test_a_registration_token_opens_a_closed_server(strict_server):
    nobody = Client(strict_server.transport)
    name = unique("ana")
    token = registration_token(strict_server)
    challenge = ask(nobody, username=name, password=PASSWORD)
    (flow,) = challenge["flows"]
    assert flow["stages"][0] == "m.login.registration_token"
    body = {"username": name, "password": PASSWORD}
    auth = {"type": "m.login.registration_token", "session": challenge["session"]}

    wrong = nobody.send("POST", "/register", body={**body, "auth": {**auth, "token": "wrong"}})
    assert wrong.status_code == 401
    assert wrong.json()["errcode"] in ("M_UNAUTHORIZED", "M_FORBIDDEN")
    assert wrong.json()["session"] == challenge["session"] and wrong.json()["flows"] == challenge["flows"]

    dummy = {"type": "m.login.dummy", "session": challenge["session"]}
    assert nobody.send("POST", "/register", body={**body, "auth": dummy}).status_code in (400, 401)  # No way round the token.

    response = nobody.send("POST", "/register", body={**body, "auth": {**auth, "token": token}})
    if response.status_code == 401:  # Synapse adds a dummy stage.
        assert response.json()["completed"] and flow["stages"][1:] == ["m.login.dummy"]
        response = nobody.send("POST", "/register", body={**body, "auth": dummy})
    assert response.json()["access_token"]


@pytest.mark.own_server
def test_validity_of_a_registration_token_can_be_asked(strict_server):
    nobody = Client(strict_server.transport)
    validity = "/_matrix/client/v1/register/m.login.registration_token/validity"
    assert nobody.get(validity, query={"token": registration_token(strict_server)}) == {"valid": True}
    assert nobody.get(validity, query={"token": "wrong"}) == {"valid": False}
    with refused(400, "M_MISSING_PARAM"):
        nobody.get(validity)


@pytest.mark.own_server
def test_a_short_password_is_refused_where_the_policy_says_so(strict_server):
    nobody = Client(strict_server.transport)
    with refused(400, "M_PASSWORD_TOO_SHORT"):
        nobody.call("POST", "/register", body={"username": unique("ana"), "password": "short"})


# The shared secret


def test_the_shared_secret_makes_an_account(server):
    name = unique("script")
    client = register_with_secret(server, name)
    assert client.user_id == f"@{name}:{server.server_name}"
    assert client.get("/account/whoami")["user_id"] == client.user_id
    assert client.login().token


def test_the_shared_secret_gives_a_display_name(server):
    client = register_with_secret(server, unique("script"), displayname="A script")
    assert client.get("/profile/{}/displayname", client.user_id) == {"displayname": "A script"}


def test_the_shared_secret_makes_no_session_when_asked_not_to(nobody, server):
    name = unique("script")
    nonce = nobody.get(REGISTER)["nonce"]
    mac = shared_secret_mac(server.shared_secret, nonce, name, PASSWORD)
    body = {"nonce": nonce, "username": name, "password": PASSWORD, "mac": mac, "inhibit_login": True}
    answer = nobody.post(REGISTER, body=body)
    assert answer["user_id"] == f"@{name}:{server.server_name}"
    assert "access_token" not in answer


def test_a_nonce_works_once_and_on_any_process(nobody, server):
    nonce = nobody.on(0).get(REGISTER)["nonce"]
    first, second = unique("script"), unique("script")
    body = {"nonce": nonce, "username": first, "password": PASSWORD}
    nobody.on(1).post(REGISTER, body={**body, "mac": shared_secret_mac(server.shared_secret, nonce, first, PASSWORD)})
    with refused(400, "M_UNKNOWN"):
        mac = shared_secret_mac(server.shared_secret, nonce, second, PASSWORD)
        nobody.on(0).post(REGISTER, body={**body, "username": second, "mac": mac})


@pytest.mark.parametrize(
    "wrong, status",
    [
        ({"mac": "0" * 40}, 403),
        ({"admin": True}, 403),  # The MAC covers it.
        ({"username": "somebodyelse"}, 403),
        ({"nonce": "unknown"}, 400),
        ({"username": "x" * 513}, 400),
        ({"password": "x" * 513}, 400),
        ({"username": "nul\0"}, 400),
        ({"password": "nul\0"}, 400),
    ],
)
def test_a_wrong_request_with_the_shared_secret_is_refused(nobody, server, wrong, status):
    name = unique("script")
    nonce = nobody.get(REGISTER)["nonce"]
    body = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": False}
    body = {**body, "mac": shared_secret_mac(server.shared_secret, nonce, name, PASSWORD), **wrong}
    response = nobody.send("POST", REGISTER, body=body)
    assert response.status_code == status, response.text
    assert response.json()["errcode"]
    assert nobody.get("/register/available", query={"username": name})["available"] is True


@pytest.mark.parametrize("missing", ["nonce", "username", "password", "mac"])
def test_the_shared_secret_needs_every_field(nobody, server, missing):
    name = unique("script")
    nonce = nobody.get(REGISTER)["nonce"]
    body = {"nonce": nonce, "username": name, "password": PASSWORD}
    body["mac"] = shared_secret_mac(server.shared_secret, nonce, name, PASSWORD)
    del body[missing]
    response = nobody.send("POST", REGISTER, body=body)
    assert response.status_code == 400, response.text


def test_the_shared_secret_respects_names_in_use(server, ana):
    with refused(400, "M_USER_IN_USE"):
        register_with_secret(server, ana.localpart)


@pytest.mark.parametrize("device_id", ["x" * 10000, "line\nbreak", "\u0007"])
def test_a_device_id_that_is_none_makes_no_account(ana, device_id):
    nobody, name = ana.without_token(), unique("undone")
    with refused(400, "M_INVALID_PARAM"):
        nobody.register(name, device_id=device_id)
    assert nobody.register(name).user_id
    with refused(400, "M_INVALID_PARAM"):
        ana.login(device_id=device_id)
