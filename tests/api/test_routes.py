"""The server's endpoints beside the specification's list of them (endpoints.tsv, from its ENDPOINTS.tsv).

The last column says what has to be offered by now. An endpoint that the server has learnt since is to be marked "yes" there.
"""

import re

import pytest

from support.client import Client
from support.valid_requests import nameless, offered_endpoints, specified_endpoints

# Beside the specification: what Synapse has and operators rely on, older names of endpoints, and unstable ones that clients use.
BESIDE = [
    r"/health",
    r"/metrics",
    r"/_synapse/admin/v1/register",
    r"/_synapse/.*",
    r"/_matrix/client/unstable/.*",
    r"/_matrix/client/r0/.*",
    r"/_matrix/client/v3/rooms/{}/state/{}",  # the empty state key without its slash
    r"/_matrix/client/v3/pushrules(/global)?",  # without the last slash
    r"/_matrix/media/r0/.*",
]


@pytest.mark.hearth_only("reads Hearth's own route table")
def test_the_route_table_is_the_specification(server, record_testsuite_property, capsys):
    offered = {(method, nameless(path)) for method, path, *_ in server.routes()}
    specified = {(method, nameless(path)): (api, path, wanted) for api, method, path, wanted in specified_endpoints()}
    missing = [key for key in specified if key not in offered]
    with capsys.disabled():
        print(f"\n{len(specified) - len(missing)} of {len(specified)} endpoints of the specification are offered; missing:")
        for method, path in missing:
            print(f"  {specified[method, path][0]}: {method} {specified[method, path][1]}")
    assert not [f"{method} {path}" for method, path in missing if specified[method, path][2] == "yes"], "missing"
    early = [f"{method} {path}" for method, path in offered if specified.get((method, path), ("", "", "yes"))[2] != "yes"]
    assert not early, "offered, but marked as later in endpoints.tsv"
    unknown = [path for method, path in offered if (method, path) not in specified and method != "OPTIONS"]
    assert not [path for path in unknown if not any(re.fullmatch(known, path) for known in BESIDE)], "in no specification"


def every_endpoint(function):
    return pytest.mark.parametrize("method, path", offered_endpoints(), ids=lambda value: value.replace("/_matrix/client", ""))(function)


@every_endpoint
def test_a_valid_request_succeeds(world, method, path):
    request = world.request(method, path)
    response = request.send(world.ana, method, path)
    assert response.status_code == request.status, response.text


@every_endpoint
def test_only_what_is_for_everybody_works_without_a_token(world, method, path):
    request = world.request(method, path)
    if not request.token:
        return
    response = request.send(world.ana, method, path, token=None)
    if path.endswith(("/account/password", "/account/deactivate")):  # Who lost the password has no token.
        assert response.status_code in (200, 401), response.text
        return
    assert (response.status_code, response.json()["errcode"]) == (401, "M_MISSING_TOKEN")
    response = request.send(world.ana, method, path, token="made-up")
    assert (response.status_code, response.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    assert response.json().get("soft_logout", False) is False


@every_endpoint
def test_browsers_may_ask_before_every_request(nobody: Client, method, path):
    response = nobody.transport.send("OPTIONS", nameless(path).replace("{}", "x"))
    assert response.status_code in (200, 204)
    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.hearth_only("an endpoint that Synapse has may be missing here for now")
@pytest.mark.parametrize("method, path", [(method, path) for api, method, path, offered in specified_endpoints() if offered != "yes"], ids=str)
def test_what_is_not_offered_yet_is_not_recognised(ana, method, path):
    response = ana.transport.send(method, nameless(path).replace("{}", "x"), body={} if method in ("PUT", "POST") else None, token=ana.token)
    assert response.status_code in (404, 405), response.text
    assert response.json()["errcode"] == "M_UNRECOGNIZED"
