"""Starts the server that the tests talk to, once for the whole run, and gives each test fresh users.

pytest --hearth BUILD/hearth                    Hearth, two processes on one database, each request to a random one
pytest --hearth BUILD/hearth --processes 1      one process
pytest --server synapse                         the same tests against Synapse (needs requirements-synapse.txt)
"""

import os
import random
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.client import Client, unique
from support.deployment import Hearth, Synapse


def pytest_addoption(parser):
    group = parser.getgroup("hearth")
    group.addoption("--hearth", default=os.environ.get("HEARTH"), metavar="PATH", help="the program under test [env HEARTH]")
    group.addoption("--processes", type=int, default=2, help="how many processes share the load (2)")
    group.addoption("--server", choices=("hearth", "synapse"), default="hearth", help="what to run the tests against")
    group.addoption("--postgresql", default=os.environ.get("HEARTH_POSTGRESQL"), metavar="CONNECTION", help="libpq connection string of an empty database, for the server that all tests share; the embedded PostgreSQL otherwise")
    group.addoption("--seed", type=int, default=None, help="repeats the random choices of another run")
    group.addoption("--rounds", type=int, default=None, help="how many random histories each property test plays")
    group.addoption("--keep", action="store_true", help="keep the folders of the servers")


def pytest_configure(config):
    config.seed = config.getoption("--seed")
    if config.seed is None:
        config.seed = random.SystemRandom().randrange(1 << 32)


def pytest_report_header(config):
    return f"seed: {config.seed} (repeat with --seed {config.seed})"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"repeat with: pytest '{item.nodeid}' --seed {item.config.seed}"))
    return report


def pytest_collection_modifyitems(config, items):
    if config.getoption("--server") != "synapse":
        return
    for item in items:
        if marker := item.get_closest_marker("hearth_only"):
            item.add_marker(pytest.mark.skip(reason=f"Hearth only: {marker.args[0]}"))
        if marker := item.get_closest_marker("synapse_differs"):
            strict = not marker.kwargs.get("sometimes", False)
            item.add_marker(pytest.mark.xfail(reason=f"Synapse differs: {marker.args[0]}", strict=strict))


class Deployments:
    """Starts servers, and ends them: what was wrong with them is to be asserted by who ends them."""

    def __init__(self, config):
        self.config = config
        self.running = []

    def start(self, processes=None, postgresql=None, **options):
        """A running server with these options besides the usual ones."""
        if self.config.getoption("--server") == "synapse":
            deployment = Synapse(**options)
        else:
            program = self.config.getoption("--hearth")
            if not program:
                pytest.exit("say which program to test: --hearth PATH, or --server synapse", returncode=4)
            deployment = Hearth(program, processes or self.config.getoption("--processes"), None, postgresql, **options)
        self.running.append(deployment)
        return deployment.start()

    def stop(self, deployment):
        self.running.remove(deployment)
        problems = deployment.stop()
        if self.config.getoption("--keep") or problems:
            print(f"kept: {deployment.folder}")
        else:
            deployment.remove()
        return problems

    def stop_all(self):
        with ThreadPoolExecutor() as pool:
            return [problem for problems in pool.map(self.stop, list(self.running)) for problem in problems]


@pytest.fixture(scope="session")
def deployments(request):
    deployments = Deployments(request.config)
    yield deployments
    problems = deployments.stop_all()
    assert not problems, "after the run:\n" + "\n".join(problems)


@pytest.fixture(scope="session")
def make_deployment(deployments):
    """make_deployment(**options) -> a running server with these options besides the usual ones. All end with the run."""
    return deployments.start


@pytest.fixture(scope="session")
def server(request, make_deployment):
    """The server that all tests share."""
    return make_deployment(postgresql=request.config.getoption("--postgresql"))


@pytest.fixture(scope="session")
def strict_server(make_deployment):
    """A second server for what a generous one does not show: rate limits, a registration token, short-lived access tokens, small uploads."""
    return make_deployment(
        enable_registration_without_verification=None,
        registration_requires_token=True,
        refreshable_access_token_lifetime="1s",
        max_upload_size="64K",
        rc_message={"per_second": 0.5, "burst_count": 20},
        rc_login={
            "address": {"per_second": 1000000, "burst_count": 1000000},
            "account": {"per_second": 1000000, "burst_count": 1000000},
            "failed_attempts": {"per_second": 0.2, "burst_count": 3},
        },
        enable_set_displayname=False,
        password_config={"policy": {"enabled": True, "minimum_length": 10}},
    )


@pytest.fixture(autouse=True)
def seeded(request):
    """Fixes which process each request of this test goes to, and fails the test that brought an error into the server's log."""
    if "server" not in request.fixturenames and "strict_server" not in request.fixturenames:
        yield
        return
    servers = [request.getfixturevalue(name) for name in ("server", "strict_server") if name in request.fixturenames]
    for deployment in servers:
        deployment.transport.seed(request.config.seed ^ zlib.crc32(request.node.nodeid.encode()))
        deployment.new_problems()
    yield
    problems = [problem for deployment in servers for problem in deployment.revive() + deployment.new_problems()]
    assert not problems, "the server had trouble:\n" + "\n".join(problems)


@pytest.fixture
def rng(request):
    """The test's own random numbers, repeatable with --seed."""
    return random.Random(f"{request.config.seed} {request.node.nodeid}")


@pytest.fixture
def nobody(server):
    """A client without an account."""
    return Client(server.transport)


@pytest.fixture
def new_user(server):
    """new_user("ana") -> a fresh account whose name begins so."""

    def make(name="user", **body):
        return Client(server.transport).register(unique(name), **body)

    return make


@pytest.fixture
def ana(new_user):
    return new_user("ana")


@pytest.fixture
def bob(new_user):
    return new_user("bob")


@pytest.fixture
def carol(new_user):
    return new_user("carol")


@pytest.fixture
def room(ana, bob):
    """A private room that ana made and bob has joined."""
    room = ana.create_room(preset="private_chat", invite=[bob.user_id])
    bob.join(room)
    return room


@pytest.fixture
def public_room(ana):
    """A room of ana's that anybody may join."""
    return ana.create_room(preset="public_chat")
