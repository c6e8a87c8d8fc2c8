"""Files: uploaded, downloaded, in parts, with the right headers, and no larger than allowed."""

import contextlib
import os
import re
import socket
import threading
import time
from urllib.parse import unquote, urlsplit

import pytest

from support.client import Client, refused, unique
from support.http import Refused
from support.registration import register_with_secret

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082")


def upload(user, data, content_type="application/octet-stream", filename=None):
    headers = {"Content-Type": content_type} if content_type else {}
    return user.call("POST", "/_matrix/media/v3/upload", data=data, headers=headers, query={"filename": filename})["content_uri"]


def place(uri):
    return re.fullmatch(r"mxc://([^/]+)/([A-Za-z0-9_-]+)", uri).groups()


def download(user, uri, *filename, **options):
    path = "/_matrix/client/v1/media/download/{}/{}" + "/{}" * len(filename)
    return user.send("GET", path, *place(uri), *filename, **options)


def test_what_is_uploaded_is_downloaded_by_everybody_with_an_account(ana, bob):
    data = os.urandom(100000)
    uri = upload(ana, data, "image/png", "picture.png")
    response = download(bob, uri)
    assert (response.status_code, response.content) == (200, data)
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Length"] == str(len(data))
    assert "picture.png" in response.headers["Content-Disposition"]


def test_uploads_on_one_process_are_downloads_on_the_other(ana):
    data = os.urandom(5000)
    uri = upload(ana.on(0), data)
    assert download(ana.on(1), uri).content == data


def test_an_upload_belongs_to_this_server(ana, server):
    assert place(upload(ana, b"x"))[0] == server.server_name


def test_the_same_content_twice_is_two_files_for_users(ana):
    data = os.urandom(1000)
    first, second = upload(ana, data, "image/png", "one.png"), upload(ana, data, "image/gif", "two.gif")
    assert first != second
    assert download(ana, first).headers["Content-Type"] == "image/png"
    assert download(ana, second).headers["Content-Type"] == "image/gif"
    assert download(ana, first).content == download(ana, second).content == data


def test_a_download_needs_an_account(ana, nobody):
    uri = upload(ana, b"secret")
    with refused(401, "M_MISSING_TOKEN"):
        nobody.call("GET", "/_matrix/client/v1/media/download/{}/{}", *place(uri))


def test_new_media_are_not_found_on_the_old_open_endpoint(ana, nobody):
    uri = upload(ana, b"secret")
    with refused(404, ("M_NOT_FOUND", "M_UNRECOGNIZED")):
        nobody.call("GET", "/_matrix/media/v3/download/{}/{}", *place(uri))


def test_an_upload_needs_an_account(nobody):
    with refused(401, "M_MISSING_TOKEN"):
        upload(nobody, b"x")


def test_an_empty_file_is_a_file(ana):
    response = download(ana, upload(ana, b""))
    assert (response.status_code, response.content, response.headers["Content-Length"]) == (200, b"", "0")


def test_without_a_type_it_is_a_stream_of_bytes(ana):
    response = download(ana, upload(ana, b"x", content_type=None))
    assert response.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("content_type, disposition", [("image/png", "inline"), ("text/plain", "inline"), ("text/html", "attachment"), ("image/svg+xml", "attachment"), ("application/pdf", "attachment"), ("nonsense", "attachment")])
def test_only_harmless_types_are_shown_in_the_browser(ana, content_type, disposition):
    given = download(ana, upload(ana, b"<script>", content_type, "name.ext")).headers["Content-Disposition"]
    assert given.split(";")[0] in {disposition, "attachment"}


@pytest.mark.parametrize("name", ["plain.txt", "with space.txt", "ünïcode.txt", 'quo"te.txt', "日本語.txt", "a;b.txt", "100%.txt"])
def test_file_names_survive(ana, name):
    response = download(ana, upload(ana, b"x", "text/plain", name))
    assert file_name(response.headers["Content-Disposition"]) == name


def file_name(disposition):
    if extended := re.search(r"filename\*=utf-8''([^;]+)", disposition, re.IGNORECASE):
        return unquote(extended.group(1))
    if quoted := re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition):
        return re.sub(r"\\(.)", r"\1", quoted.group(1))
    return re.search(r"filename=([^;]+)", disposition).group(1)


def test_a_name_in_the_path_goes_before_the_uploaded_one(ana):
    response = download(ana, upload(ana, b"x", "text/plain", "uploaded.txt"), "asked.txt")
    assert "asked.txt" in response.headers["Content-Disposition"]


def test_a_file_name_with_line_breaks_makes_no_header(ana):
    response = download(ana, upload(ana, b"x", "text/plain", "a\r\nX-Evil: 1\r\n.txt"))
    assert response.status_code == 200 and "X-Evil" not in response.headers


def test_a_download_is_kept_from_doing_harm(ana):
    headers = download(ana, upload(ana, b"<script>", "text/html")).headers
    policy = headers["Content-Security-Policy"]
    assert "sandbox" in policy and "default-src 'none'" in policy and "script-src 'none'" in policy
    assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert headers["Access-Control-Allow-Origin"] == "*"


# Parts


RANGES = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-99", 0, 100),
    ("bytes=900-", 900, 1000),
    ("bytes=-100", 900, 1000),
    ("bytes=-5000", 0, 1000),
    ("bytes=500-5000", 500, 1000),
]


@pytest.mark.hearth_only("Synapse sends the whole file")
@pytest.mark.parametrize("header, start, end", RANGES)
def test_a_part_of_a_file_can_be_asked_for(ana, header, start, end):
    data = os.urandom(1000)
    response = download(ana, upload(ana, data, "video/mp4"), headers={"Range": header})
    assert response.status_code == 206
    assert response.content == data[start:end]
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"
    assert response.headers["Content-Length"] == str(end - start)
    assert response.headers["Content-Type"] == "video/mp4"


@pytest.mark.hearth_only("Synapse sends the whole file")
def test_downloads_say_that_they_can_be_had_in_parts(ana):
    assert download(ana, upload(ana, b"x")).headers["Accept-Ranges"] == "bytes"


@pytest.mark.hearth_only("Synapse sends the whole file")
@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_part_beyond_the_end_cannot_be_had(ana, header):
    response = download(ana, upload(ana, os.urandom(1000)), headers={"Range": header})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */1000"


@pytest.mark.parametrize("header", ["bytes=", "bytes=x-y", "lines=0-1", "bytes=5-1", "nonsense", "bytes=99999999999999999999999-"])
def test_a_range_that_is_none_is_ignored_or_refused(ana, header):
    data = os.urandom(1000)
    response = download(ana, upload(ana, data), headers={"Range": header})
    assert response.status_code in (200, 416)
    if response.status_code == 200:
        assert response.content == data


def test_a_file_is_not_sent_again_to_who_has_it(ana):
    """Media never change: where the server gives an ETag, If-None-Match answers 304 with it."""
    uri = upload(ana, b"immutable")
    response = download(ana, uri)
    if etag := response.headers.get("ETag"):
        again = download(ana, uri, headers={"If-None-Match": etag})
        assert again.status_code in (200, 304)


def test_asking_for_the_headers_alone_brings_no_body(ana):
    uri = upload(ana, b"12345")
    response = ana.send("HEAD", "/_matrix/client/v1/media/download/{}/{}", *place(uri))
    assert response.content == b"" and response.status_code in (200, 405)


# Errors


@pytest.mark.parametrize("media_id", ["unknown", "..%2f..%2fetc", "x" * 300, "ünïcode", "a b", "%00"])
def test_unknown_and_impossible_media_are_not_found(ana, media_id):
    with refused((400, 404), ("M_NOT_FOUND", "M_INVALID_PARAM", "M_UNKNOWN", "M_UNRECOGNIZED")):
        ana.call("GET", "/_matrix/client/v1/media/download/hearth.test/{}", media_id)


def test_a_path_cannot_climb_out_of_the_store(ana, server):
    for path in ("/_matrix/client/v1/media/download/hearth.test/../../../../etc/passwd", "/_matrix/client/v1/media/download/../../etc/passwd"):
        status, _, body = server.transport.raw(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana.token}\r\nConnection: close\r\n\r\n".encode()
        )
        assert status in (400, 404) and b"root:" not in body


def test_the_upload_limit_is_told(ana):
    assert ana.get("/_matrix/client/v1/media/config")["m.upload.size"] == 10 * 1024 * 1024


def test_the_upload_limit_is_told_to_users_alone(nobody):
    with refused(401, "M_MISSING_TOKEN"):
        nobody.get("/_matrix/client/v1/media/config")


@pytest.mark.own_server
def test_an_upload_over_the_limit_is_refused(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    assert ana.get("/_matrix/client/v1/media/config")["m.upload.size"] == 65536
    data = os.urandom(65536)
    assert download(ana, upload(ana, data)).content == data
    with refused(413, "M_TOO_LARGE"):
        upload(ana, data + b"x")


@pytest.mark.own_server
@pytest.mark.synapse_differs("needs a Content-Length")
def test_an_upload_without_a_length_is_cut_off_at_the_limit(strict_server):
    ana = register_with_secret(strict_server, unique("ana"))
    with refused(413, "M_TOO_LARGE"):
        upload(ana, (os.urandom(1024) for _ in range(100)))
    data = os.urandom(30000)
    assert download(ana, upload(ana, (data[start : start + 1000] for start in range(0, len(data), 1000)))).content == data


@pytest.mark.hearth_only("Synapse reads the body first")
def test_a_too_large_upload_is_refused_before_it_is_sent(ana, server):
    """The answer to the headers alone, instead of 100 Continue."""
    request = (
        f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana.token}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {11 * 1024 * 1024}\r\nExpect: 100-continue\r\n\r\n"
    )
    status, _, body = server.transport.raw(request.encode())
    assert status == 413 and b"M_TOO_LARGE" in body


def test_an_upload_that_breaks_off_leaves_nothing(ana, server):
    request = (
        f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana.token}\r\n"
        "Content-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    )
    address = urlsplit(server.transport.url())
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(request.encode() + b"x" * 1000)
    assert ana.get("/account/whoami")  # The server goes on.


def test_slow_uploads_of_one_user_leave_room_for_those_of_others(ana, bob, server):
    request = (
        f"POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ana.token}\r\n"
        "Content-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    )
    address = urlsplit(server.transport.pinned(0).url())
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            connection.sendall(request.encode() + b"x" * 1000)
        uri = bob.on(0).call("POST", "/_matrix/media/v3/upload", data=b"of bob", timeout=20)["content_uri"]
        assert download(bob, uri).content == b"of bob"
        with refused(429, "M_LIMIT_EXCEEDED"):
            upload(ana.on(0), b"one more")
    deadline = time.monotonic() + 30
    while (response := ana.on(0).send("POST", "/_matrix/media/v3/upload", data=b"later")).status_code == 429:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert response.status_code == 200


def test_a_large_file_arrives_whole(ana):
    data = os.urandom(9 * 1024 * 1024)
    assert download(ana, upload(ana, data)).content == data


def test_several_downloads_share_a_connection(ana):
    uris = [(upload(ana, data), data) for data in (os.urandom(size) for size in (0, 1, 1000, 70000))]
    for _ in range(2):
        for uri, data in uris:
            assert download(ana, uri).content == data


def test_a_picture_as_an_avatar(ana, bob, room):
    uri = upload(ana, PNG, "image/png")
    ana.put("/profile/{}/avatar_url", ana.user_id, body={"avatar_url": uri})
    assert download(bob, bob.get("/profile/{}/avatar_url", ana.user_id)["avatar_url"]).content == PNG


def test_remote_media_of_an_unreachable_server_are_an_error_of_the_standard_form(ana):
    try:
        ana.call("GET", "/_matrix/client/v1/media/download/{}/{}", "localhost:1", "abc", query={"timeout_ms": 100})
    except Refused as error:
        assert error.status in (404, 502, 504) and error.errcode in ("M_NOT_FOUND", "M_NOT_YET_UPLOADED", "M_UNKNOWN", "M_UNRECOGNIZED")


def test_a_client_without_an_account_cannot_use_a_made_up_token(server):
    with refused(401, "M_UNKNOWN_TOKEN"):
        upload(Client(server.transport, token="made-up"), b"x")


# Ids that are reserved before there is anything to upload


def reserve(user):
    return user.post("/_matrix/media/v1/create", body={})


def fill(user, uri, data, content_type="text/plain", **options):
    return user.call("PUT", "/_matrix/media/v3/upload/{}/{}", *place(uri), data=data, headers={"Content-Type": content_type}, **options)


@pytest.mark.synapse_differs("serves it under another name or type")
def test_a_reserved_id_is_filled_later(ana, bob):
    reserved = reserve(ana)
    assert reserved["unused_expires_at"] > time.time() * 1000
    assert fill(ana, reserved["content_uri"], b"later", query={"filename": "late.txt"}) == {}
    response = download(bob, reserved["content_uri"])
    assert response.content == b"later" and response.headers["Content-Type"] == "text/plain"
    assert "late.txt" in response.headers["Content-Disposition"]


def test_a_reserved_id_is_filled_once(ana):
    uri = reserve(ana)["content_uri"]
    fill(ana, uri, b"first")
    with refused(409, "M_CANNOT_OVERWRITE_MEDIA"):
        fill(ana, uri, b"second")
    with refused(409, "M_CANNOT_OVERWRITE_MEDIA"):
        fill(ana, upload(ana, b"at once"), b"second")
    assert download(ana, uri).content == b"first"


def test_of_many_uploads_to_one_id_one_stands(ana):
    uri = reserve(ana)["content_uri"]
    answers = []
    threads = [
        threading.Thread(
            target=lambda text=f"{number}".encode() * 50000: answers.append(
                (ana.on(len(text) % 2).send("PUT", "/_matrix/media/v3/upload/{}/{}", *place(uri), data=text).status_code, text)
            )
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    assert download(ana, uri).content in [text for status, text in answers if status == 200]


def test_a_reserved_id_belongs_to_its_user(ana, bob):
    uri = reserve(ana)["content_uri"]
    with refused(403, "M_FORBIDDEN"):
        fill(bob, uri, b"mine")
    with refused(404, "M_NOT_FOUND"):
        fill(ana, "mxc://hearth.test/neverCreated", b"x")
    with refused(404, "M_NOT_FOUND"):
        fill(ana, "mxc://elsewhere.example/abc", b"x")


def test_what_is_not_there_yet_is_said_so(ana, bob):
    uri = reserve(ana)["content_uri"]
    for timeout in (0, 100):
        with refused(504, "M_NOT_YET_UPLOADED"):
            bob.call("GET", "/_matrix/client/v1/media/download/{}/{}", *place(uri), query={"timeout_ms": timeout})


@pytest.mark.parametrize("process", [0, 1])
def test_a_download_waits_for_its_upload(ana, bob, process):
    uri = reserve(ana)["content_uri"]
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(download(bob.on(0), uri, query={"timeout_ms": 20000})))
    waiting.start()
    time.sleep(0.3)
    started = time.monotonic()
    fill(ana.on(process), uri, b"worth waiting for")
    waiting.join()
    assert answers[0].content == b"worth waiting for" and time.monotonic() - started < 5


def test_only_so_many_ids_can_be_reserved(ana):
    reserved = [reserve(ana) for _ in range(5)]
    with refused(429, "M_LIMIT_EXCEEDED"):
        reserve(ana)
    fill(ana, reserved[0]["content_uri"], b"x")
    assert reserve(ana)


@pytest.mark.own_server
def test_a_reservation_ends(make_deployment):
    server = make_deployment(processes=1, unused_expiration_time="1s")
    ana = register_with_secret(server, unique("ana"))
    uri = reserve(ana)["content_uri"]
    time.sleep(1.1)
    with refused(404, "M_NOT_FOUND"):
        fill(ana, uri, b"too late")
    with refused(404, "M_NOT_FOUND"):
        ana.call("GET", "/_matrix/client/v1/media/download/{}/{}", *place(uri))


# The open endpoints of earlier clients


def test_the_upload_limit_is_told_under_its_older_path(ana):
    assert ana.get("/_matrix/media/v3/config") == ana.get("/_matrix/client/v1/media/config")


@pytest.mark.own_server
def test_media_are_open_where_the_server_says_so(make_deployment):
    server = make_deployment(processes=1, enable_authenticated_media=False)
    ana, nobody = register_with_secret(server, unique("ana")), Client(server.transport)
    uri = upload(ana, b"open", "text/plain", "open.txt")
    for name in ([], ["other.txt"]):
        response = nobody.send("GET", "/_matrix/media/v3/download/{}/{}" + "/{}" * len(name), *place(uri), *name)
        assert response.content == b"open" and (name or ["open.txt"])[0] in response.headers["Content-Disposition"]
    assert download(ana, uri).content == b"open"


# The folder


@pytest.mark.hearth_only("looks into Hearth's folder")
@pytest.mark.own_server
def test_equal_content_is_kept_once_and_nothing_else(make_deployment):
    server = make_deployment(processes=2)
    ana = register_with_secret(server, unique("ana"))
    data = os.urandom(5000)
    uris = [upload(ana, data) for _ in range(4)]
    test_an_upload_that_breaks_off_leaves_nothing(ana, server)
    folder = server.data / "media"
    wait_until(lambda: not list((folder / "incoming").iterdir()))
    assert [path.read_bytes() for path in folder.glob("contents/*/*")] == [data]
    (folder / "incoming" / ("x" * 24)).write_bytes(b"left by a process that was killed")
    server.processes[0].kill()
    server.start_process(0)
    assert not list((folder / "incoming").iterdir())
    assert all(download(ana, uri).content == data for uri in uris)


@pytest.mark.hearth_only("looks into Hearth's folder")
@pytest.mark.own_server
def test_a_file_that_has_gone_is_told(make_deployment):
    server = make_deployment(processes=1)
    ana = register_with_secret(server, unique("ana"))
    for data in (b"stays", b"goes", b"shrinks"):
        upload(ana, data)
    assert not server.check_database()
    files = {path.read_bytes(): path for path in (server.data / "media").glob("contents/*/*")}
    files[b"goes"].unlink()
    files[b"shrinks"].write_bytes(b"")
    (said,) = server.check_database()
    assert said.count("media: content") == 2
    files[b"goes"].write_bytes(b"goes")
    files[b"shrinks"].write_bytes(b"shrinks")
    assert not server.check_database()


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
