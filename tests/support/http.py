"""HTTP to a deployment: requests spread over its processes at random, and bytes sent exactly as they are given."""

import json
import random
import socket
from urllib.parse import quote, urlsplit

import requests


class Refused(Exception):
    """An answer with a status of 400 or more."""

    def __init__(self, response):
        self.response = response
        self.status = response.status_code
        try:
            self.body = response.json()
        except ValueError:
            self.body = {}
        if not isinstance(self.body, dict):
            self.body = {}
        self.errcode = self.body.get("errcode")
        super().__init__(f"{response.request.method} {response.url}: {self.status} {response.text[:500]}")


def fill(template, *values):
    """Puts values into the {} of a path, percent-encoded, so that identifiers can be given as they are."""
    return template.format(*(quote(str(value), safe="") for value in values))


class Transport:
    """Sends each request to a random process. `seed` is fixed at the start of each test, so that one test can be repeated alone."""

    def __init__(self, urls, process=None, session=None, choice=None):
        self.urls = urls
        self.process = process
        self.choice = choice or random.Random()
        self.session = session or self._session()

    @staticmethod
    def _session():
        session = requests.Session()
        session.trust_env = False
        adapter = requests.adapters.HTTPAdapter(pool_connections=16, pool_maxsize=64)
        session.mount("http://", adapter)
        return session

    def seed(self, value):
        self.choice.seed(value)

    def pinned(self, process):
        """The same, with all requests to one process."""
        return Transport(self.urls, process % len(self.urls), self.session, self.choice)

    def url(self):
        return self.urls[self.process if self.process is not None else self.choice.randrange(len(self.urls))]

    def send(self, method, path, *, body=None, data=None, query=None, headers=None, token=None, timeout=60, stream=False):
        """One request. `body` is sent as JSON, `data` as the bytes that it is. Never raises for a status."""
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if query:
            query = {key: query_value(value) for key, value in query.items() if value is not None}
        return self.session.request(
            method, self.url() + path, params=query, data=data, headers=headers, timeout=timeout, allow_redirects=False, stream=stream
        )

    def raw(self, request, timeout=20):
        """Sends these bytes on a fresh connection and returns (status, headers, body) of the answer, or None if the server hung up."""
        address = urlsplit(self.url())
        with socket.create_connection((address.hostname, address.port), timeout=timeout) as connection:
            try:
                connection.sendall(request)
            except (BrokenPipeError, ConnectionResetError):
                pass  # A server may refuse a request before it has read all of it: there is an answer to read all the same.
            return read_response(connection)


def query_value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return json.dumps(value)
    return value


def read_response(connection):
    """Reads one HTTP/1.1 response with a Content-Length or until the end of the stream."""
    received = b""
    while b"\r\n\r\n" not in received:
        received, more = read_more(connection, received)
        if not more:
            return None
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = requests.structures.CaseInsensitiveDict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if status == 100:
        return status, headers, body
    length = int(headers["Content-Length"]) if "Content-Length" in headers else None
    while length is None or len(body) < length:
        body, more = read_more(connection, body)
        if not more:
            break
    return status, headers, body


def read_more(connection, received):
    try:
        chunk = connection.recv(65536)
    except ConnectionResetError:
        chunk = b""
    return received + chunk, bool(chunk)
