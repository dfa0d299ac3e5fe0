"""A table of hostile and broken requests: each has its status and code, none is 500, and none stores anything."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from gamestream_dagster.http_server.keys import Scope, signature, signing_secret
from gamestream_dagster.http_server.routes import Problem
from tests.support.fakes.ingest import SERVER_SECRET, Api, event, verdicts

GOOD = b'{"event_id":"g","user_id":"u"}'
BATCH = b'{"events":[' + GOOD + b"]}"
JSON, TEXT = {"Content-Type": "application/json"}, {"Content-Type": "text/plain;charset=UTF-8"}
GZIP, ZSTD = {"Content-Encoding": "gzip"}, {"Content-Encoding": "zstd"}
MIB = 1 << 20


def zstd(content: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


def huge_window() -> bytes:
    """A frame that asks for a window of 128 MiB."""
    wanted = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=wanted).compressobj()
    return stream.compress(BATCH) + stream.flush()


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def padded(size: int) -> bytes:
    """A batch of one event, of exactly this size."""
    return b'{"events":[' + GOOD + b" " * (size - len(BATCH)) + b"]}"


# body, headers, status and code of each
BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    # JSON of the wrong shape
    "empty": (b"", {}, 400, "NOT_JSON"),
    "space": (b" \n\t", {}, 400, "NOT_JSON"),
    "a NUL": (b"\x00", {}, 400, "NOT_JSON"),
    "a word": (b"events", {}, 400, "NOT_JSON"),
    "null": (b"null", {}, 400, "NOT_AN_OBJECT"),
    "true": (b"true", {}, 400, "NOT_AN_OBJECT"),
    "a number": (b"1", {}, 400, "NOT_AN_OBJECT"),
    "a text": (b'"events"', {}, 400, "NOT_AN_OBJECT"),
    "an array": (b"[" + GOOD + b"]", {}, 400, "NOT_AN_OBJECT"),
    "an empty object": (b"{}", {}, 400, "NO_EVENTS"),
    "an event alone": (GOOD, {}, 400, "NO_EVENTS"),
    "event for events": (b'{"event":[]}', {}, 400, "NO_EVENTS"),
    "Events": (b'{"Events":[]}', {}, 400, "NO_EVENTS"),
    "events null": (b'{"events":null}', {}, 400, "NO_EVENTS"),
    "events an object": (b'{"events":{"0":' + GOOD + b"}}", {}, 400, "NO_EVENTS"),
    "events a text": (b'{"events":"[]"}', {}, 400, "NO_EVENTS"),
    "events a number": (b'{"events":1e999}', {}, 400, "NO_EVENTS"),
    "events an empty object": (b'{"events":{}}', {}, 400, "NO_EVENTS"),
    "a member more": (b'{"events":[],"dry_run":true}', {}, 400, "UNKNOWN_MEMBER"),
    "a member before": (b'{"key":"k","events":[' + GOOD + b"]}", {}, 400, "UNKNOWN_MEMBER"),
    "events twice": (b'{"events":[' + GOOD + b'],"events":[]}', {}, 400, "UNKNOWN_MEMBER"),
    "events twice, once escaped": (b'{"events":[' + GOOD + b'],"\\u0065vents":[]}', {}, 400, "UNKNOWN_MEMBER"),
    "events escaped": (b'{"\\u0065vents":[' + GOOD + b"]}", {}, 400, "NOT_JSON"),
    "proto": (b'{"__proto__":{"events":[]}}', {}, 400, "NO_EVENTS"),
    # no JSON at all
    "cut in an event": (BATCH[:-5], {}, 400, "NOT_JSON"),
    "cut after the array": (BATCH[:-1], {}, 400, "NOT_JSON"),
    "something after": (BATCH + b"x", {}, 400, "NOT_JSON"),
    "two documents": (BATCH + BATCH, {}, 400, "NOT_JSON"),
    "two lines": (BATCH + b"\n" + BATCH, {}, 400, "NOT_JSON"),
    "a comma at the end": (b'{"events":[' + GOOD + b",]}", {}, 400, "NOT_JSON"),
    "a comma at the beginning": (b'{"events":[,' + GOOD + b"]}", {}, 400, "NOT_JSON"),
    "no comma": (b'{"events":[' + GOOD + b" " + GOOD + b"]}", {}, 400, "NOT_JSON"),
    "single quotes": (b"{'events':[]}", {}, 400, "NOT_JSON"),
    "a comment": (b'{"events":[/* none */]}', {}, 400, "NOT_JSON"),
    "no quotes": (b"{events:[]}", {}, 400, "NOT_JSON"),
    "NaN": (b'{"events":[{"event_id":"a","user_id":"b","x":NaN}]}', {}, 400, "NOT_JSON"),
    "Infinity": (b'{"events":[Infinity]}', {}, 400, "NOT_JSON"),
    "-Infinity": (b'{"events":[{"x":-Infinity}]}', {}, 400, "NOT_JSON"),
    "nan outside": (b"NaN", {}, 400, "NOT_JSON"),
    "a leading zero": (b'{"events":[{"x":01}]}', {}, 400, "NOT_JSON"),
    "a plus": (b'{"events":[{"x":+1}]}', {}, 400, "NOT_JSON"),
    "a hex number": (b'{"events":[{"x":0x1f}]}', {}, 400, "NOT_JSON"),
    "a bad escape": (b'{"events":[{"x":"\\q"}]}', {}, 400, "NOT_JSON"),
    "half an escape": (b'{"events":[{"x":"\\u12"}]}', {}, 400, "NOT_JSON"),
    "a raw line break in a text": (b'{"events":[{"x":"a\nb"}]}', {}, 400, "NOT_JSON"),
    "a raw NUL in a text": (b'{"events":[{"x":"a\x00b"}]}', {}, 400, "NOT_JSON"),
    "no end of a text": (b'{"events":[{"x":"a]}', {}, 400, "NOT_JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + BATCH, {}, 400, "NOT_JSON"),
    "UTF-16": (BATCH.decode().encode("utf-16"), {}, 400, "NOT_JSON"),
    "UTF-16 without a mark": (BATCH.decode().encode("utf-16-le"), {}, 400, "NOT_JSON"),
    "UTF-32": (BATCH.decode().encode("utf-32"), {}, 400, "NOT_JSON"),
    "other bytes": (bytes(range(256)), {}, 400, "NOT_JSON"),
    "bytes outside a text": (b'{"events":[\xff]}', {}, 400, "NOT_JSON"),
    "a no-break space": (b'{"events":\xc2\xa0[]}', {}, 400, "NOT_JSON"),
    "XML": (b"<events/>", {}, 400, "NOT_JSON"),
    "a form": (b"events=1", {}, 400, "NOT_JSON"),
    "100,000 brackets": (deep(100_000), {}, 400, "TOO_DEEP"),
    "100,000 open brackets": (b"[" * 100_000, {}, 400, "TOO_DEEP"),
    "an event 100,000 deep": (b'{"events":[' + deep(100_000) + b"]}", {}, 400, "TOO_DEEP"),
    "objects 50,000 deep": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, {}, 400, "TOO_DEEP"),
    # sizes
    "a byte over a MiB": (padded(MIB + 1), {}, 413, "BODY_TOO_LARGE"),
    "501 events": (b'{"events":[' + b",".join([GOOD] * 501) + b"]}", {}, 413, "TOO_MANY_EVENTS"),
    "300,000 empty objects": (b'{"events":[' + b",".join([b"{}"] * 300_000) + b"]}", {}, 413, "TOO_MANY_EVENTS"),
    "a beacon over 64 KiB": (padded((64 << 10) + 1), TEXT, 413, "BODY_TOO_LARGE"),
    "a beacon that inflates over 64 KiB": (gzip.compress(padded(65 << 10)), {**TEXT, **GZIP}, 413, "BODY_TOO_LARGE"),
    # compressed bodies
    "a gzip bomb": (gzip.compress(bytes(64 * MIB)), GZIP, 413, "BODY_TOO_LARGE"),
    "a gzip bomb in members": (gzip.compress(bytes(MIB // 2)) * 3, GZIP, 413, "BODY_TOO_LARGE"),
    "a gzip bomb of a batch": (gzip.compress(padded(2 * MIB)), GZIP, 413, "BODY_TOO_LARGE"),
    "a zstd bomb": (zstd(bytes(64 * MIB)), ZSTD, 413, "BODY_TOO_LARGE"),
    "a zstd bomb in frames": (zstd(bytes(MIB // 2)) * 3, ZSTD, 413, "BODY_TOO_LARGE"),
    "a zstd bomb that hides its size": (
        zstd(bytes(64 * MIB), write_content_size=False), ZSTD, 413, "BODY_TOO_LARGE",
    ),
    "a truncated gzip": (gzip.compress(BATCH)[:-1], GZIP, 400, "DAMAGED_BODY"),
    "a gzip without its end": (gzip.compress(BATCH)[:-8], GZIP, 400, "DAMAGED_BODY"),
    "a gzip's head": (gzip.compress(BATCH)[:10], GZIP, 400, "DAMAGED_BODY"),
    "a gzip with a wrong checksum": (gzip.compress(BATCH)[:-8] + bytes(8), GZIP, 400, "DAMAGED_BODY"),
    "a gzip and more": (gzip.compress(BATCH) + b"more", GZIP, 400, "DAMAGED_BODY"),
    "a gzip and half of one": (gzip.compress(BATCH) + gzip.compress(BATCH)[:12], GZIP, 400, "DAMAGED_BODY"),
    "deflate as gzip": (zlib.compress(BATCH), GZIP, 400, "DAMAGED_BODY"),
    "plain as gzip": (BATCH, GZIP, 400, "DAMAGED_BODY"),
    "nothing as gzip": (b"", GZIP, 400, "DAMAGED_BODY"),
    "gzip as plain": (gzip.compress(BATCH), {}, 400, "NOT_JSON"),
    "gzip twice": (gzip.compress(gzip.compress(BATCH)), GZIP, 400, "NOT_JSON"),
    "a truncated zstd": (zstd(BATCH)[:-1], ZSTD, 400, "DAMAGED_BODY"),
    "a zstd's head": (zstd(BATCH)[:4], ZSTD, 400, "DAMAGED_BODY"),
    "a zstd and more": (zstd(BATCH) + b"more", ZSTD, 400, "DAMAGED_BODY"),
    "a zstd with a wrong checksum": (zstd(BATCH, write_checksum=True)[:-4] + bytes(4), ZSTD, 400, "DAMAGED_BODY"),
    "plain as zstd": (BATCH, ZSTD, 400, "DAMAGED_BODY"),
    "nothing as zstd": (b"", ZSTD, 400, "DAMAGED_BODY"),
    "a zstd of a huge window": (huge_window(), ZSTD, 400, "DAMAGED_BODY"),
    "50,000 empty members": (gzip.compress(b"") * 50_000 + gzip.compress(BATCH), GZIP, 400, "DAMAGED_BODY"),
    "100,000 empty frames": (zstd(b"") * 100_000 + zstd(BATCH), ZSTD, 400, "DAMAGED_BODY"),
    "zstd as gzip": (zstd(BATCH), GZIP, 400, "DAMAGED_BODY"),
    # kinds of bodies
    "no content type": (BATCH, {"Content-Type": ""}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "a form's type": (BATCH, {"Content-Type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "multipart": (BATCH, {"Content-Type": "multipart/form-data; boundary=x"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "lines of JSON": (BATCH, {"Content-Type": "application/x-ndjson"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "JSON of a suffix": (BATCH, {"Content-Type": "application/vnd.x+json"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "two types": (BATCH, {"Content-Type": "application/json, text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "any type": (BATCH, {"Content-Type": "*/*"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "text/html": (BATCH, {"Content-Type": "text/html"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "protobuf": (BATCH, {"Content-Type": "application/x-protobuf"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    "another charset": (BATCH, {"Content-Type": "application/json; charset=utf-16"}, 415, "UNSUPPORTED_CHARSET"),
    "latin 1": (BATCH, {"Content-Type": "application/json;charset=ISO-8859-1"}, 415, "UNSUPPORTED_CHARSET"),
    "brotli": (BATCH, {"Content-Encoding": "br"}, 415, "UNSUPPORTED_ENCODING"),
    "deflate": (zlib.compress(BATCH), {"Content-Encoding": "deflate"}, 415, "UNSUPPORTED_ENCODING"),
    "two codings": (BATCH, {"Content-Encoding": "gzip, gzip"}, 415, "UNSUPPORTED_ENCODING"),
    "an unknown coding": (BATCH, {"Content-Encoding": "x" * 1000}, 415, "UNSUPPORTED_ENCODING"),
    # lengths
    "a declared length over the limit": (b"{}", {"Content-Length": str(MIB + 1)}, 413, "BODY_TOO_LARGE"),
    "a length beyond 64 bits": (b"{}", {"Content-Length": "9" * 40}, 413, "BODY_TOO_LARGE"),
    "length and chunks": (BATCH, {"Content-Length": "5", "Transfer-Encoding": "chunked"}, 400, "REPEATED_HEADER"),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_and_stores_nothing(shared: Api, name: str) -> None:
    body, headers, status, code = BODIES[name]
    answer = shared.post(body, headers)
    assert answer.status_code == status, answer.text
    assert Problem.model_validate(answer.json()).code == code
    assert shared.kafka.produced == 0


# name: (event's bytes, verdict, code): the batch is JSON, so its other events are taken
EVENTS: dict[str, tuple[bytes, str, str | None]] = {
    "null": (b"null", "refused", "NOT_AN_OBJECT"),
    "a number": (b"1e400", "refused", "NOT_AN_OBJECT"),
    "an array": (b"[[]]", "refused", "NOT_AN_OBJECT"),
    "a text": (b'"]}"', "refused", "NOT_AN_OBJECT"),
    "an empty object": (b"{}", "refused", "MISSING_FIELD"),
    "an id that is a number": (b'{"event_id":1,"user_id":"u"}', "refused", "MISSING_FIELD"),
    "brackets in a text": (b'{"event_id":"]},{","user_id":"u"}', "accepted", None),
    "a quote in a text": (b'{"event_id":"\\"","user_id":"u"}', "accepted", None),
    "200 levels": (b'{"event_id":"a","user_id":"u","x":' + deep(200) + b"}", "accepted", None),
    "a number of 5,000 digits": (b'{"event_id":"b","x":' + b"9" * 5000 + b"}", "refused", "NOT_JSON"),
    "a number of 30 digits": (b'{"event_id":"c","user_id":"u","x":' + b"9" * 30 + b"}", "accepted", None),
    "SQL": (b'{"event_id":"\'; DROP TABLE ingest_keys; --","user_id":"u"}', "accepted", None),
    "HTML": (b'{"event_id":"<script>alert(1)</script>","user_id":"u"}', "accepted", None),
    "an escaped NUL": (b'{"event_id":"\\u0000","user_id":"u"}', "accepted", None),
    "no UTF-8": (b'{"event_id":"\xff","user_id":"u"}', "refused", None),
    "surrogates in UTF-8": (b'{"event_id":"\xed\xa0\x80","user_id":"u"}', "refused", None),
    "an overlong sequence": (b'{"event_id":"\xc0\xaf","user_id":"u"}', "refused", None),
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_hostile_event_harms_none_of_its_neighbours(api: Api, name: str) -> None:
    value, verdict, code = EVENTS[name]
    answer = api.post(b'{"events":[' + b",".join([GOOD, value, b'{"event_id":"h","user_id":"u"}']) + b"]}")
    assert verdicts(answer) == ["accepted", verdict, "accepted"]
    assert code is None or answer.json()["verdicts"][1]["code"] == code
    if verdict == "accepted":
        assert api.kafka.stored[1].value == value


def test_a_lone_surrogate_is_for_the_rule_to_judge(api: Api) -> None:
    value = b'{"reason":"BAD_TEXT","event_id":"\\ud800"}'
    answer = api.post(b'{"events":[' + GOOD + b"," + value + b"]}")
    assert [one["code"] for one in answer.json()["verdicts"]] == [None, "BAD_TEXT"]
    assert answer.json()["verdicts"][1]["event_id"] is None


ACCEPTED: dict[str, tuple[bytes, dict[str, str]]] = {
    "gzip": (gzip.compress(BATCH), GZIP),
    "x-gzip in capitals": (gzip.compress(BATCH), {"Content-Encoding": "X-GZIP"}),
    "gzip in two members": (gzip.compress(BATCH[:9]) + gzip.compress(BATCH[9:]), GZIP),
    "zstd": (zstd(BATCH), ZSTD),
    "zstd in two frames": (zstd(BATCH[:9]) + zstd(BATCH[9:]), ZSTD),
    "zstd without its size": (zstd(BATCH, write_content_size=False), ZSTD),
    "identity": (BATCH, {"Content-Encoding": "identity"}),
    "spaces everywhere": (b' \r\n\t{ "events" :\n[ ' + GOOD + b" ] } \n", {}),
    "a charset": (BATCH, {"Content-Type": 'Application/JSON; charset="UTF-8"'}),
    "text/plain": (BATCH, TEXT),
    "exactly a MiB": (padded(MIB), {}),
    "exactly a MiB by gzip": (gzip.compress(padded(MIB)), GZIP),
    "exactly a MiB by zstd": (zstd(padded(MIB)), ZSTD),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_right_is_taken(api: Api, name: str) -> None:
    body, headers = ACCEPTED[name]
    assert verdicts(api.post(body, headers)) == ["accepted"]


# name: (path, headers, status, code); a header of None is left out, KEY is a valid key
REQUESTS: dict[str, tuple[str, dict[str, str | None], int, str]] = {
    "no key": ("/v1/events", {"Authorization": None}, 401, "KEY_MISSING"),
    "an empty key": ("/v1/events", {"Authorization": ""}, 401, "KEY_MISSING"),
    "a key without a scheme": ("/v1/events", {"Authorization": "KEY"}, 401, "KEY_MISSING"),
    "basic": ("/v1/events", {"Authorization": "Basic Z2FtZTpwdw=="}, 401, "KEY_MISSING"),
    "another header": ("/v1/events", {"Authorization": None, "X-API-Key": "KEY"}, 401, "KEY_MISSING"),
    "no token": ("/v1/events", {"Authorization": "Bearer "}, 401, "KEY_MISSING"),
    "a wrong word": ("/v1/events", {"Authorization": "Bearer password"}, 401, "KEY_UNKNOWN"),
    "a longer key": ("/v1/events", {"Authorization": "Bearer KEYx"}, 401, "KEY_UNKNOWN"),
    "a key and more": ("/v1/events", {"Authorization": "Bearer KEY, Bearer KEY"}, 401, "KEY_UNKNOWN"),
    "a key of 60 KB": ("/v1/events", {"Authorization": "Bearer gsk_" + "a" * 60_000}, 401, "KEY_UNKNOWN"),
    "an injection": ("/v1/events", {"Authorization": "Bearer gsk_' OR 1=1 --_x"}, 401, "KEY_UNKNOWN"),
    "a key in the query of JSON": ("/v1/events?key=KEY", {"Authorization": None}, 401, "KEY_MISSING"),
    "a key in both": ("/v1/events?key=KEY", {}, 400, "BAD_PARAMETER"),
    "a slip in dry_run": ("/v1/events?dryrun=true", {}, 400, "BAD_PARAMETER"),
    "dry_run maybe": ("/v1/events?dry_run=maybe", {}, 400, "BAD_PARAMETER"),
    "dry_run empty": ("/v1/events?dry_run=", {}, 400, "BAD_PARAMETER"),
    "dry_run TRUE": ("/v1/events?dry_run=TRUE", {}, 400, "BAD_PARAMETER"),
    "dry_run twice": ("/v1/events?dry_run=true&dry_run=false", {}, 400, "BAD_PARAMETER"),
    "a NUL in the query": ("/v1/events?%00=1", {}, 400, "BAD_PARAMETER"),
    "bytes in the query": ("/v1/events?dry_run=%ff%fe", {}, 400, "BAD_PARAMETER"),
    "a slash more": ("/v1/events/", {}, 405, "METHOD_NOT_ALLOWED"),
    "dots": ("/v1/../v1/events/..%2f..%2fetc/passwd", {}, 405, "METHOD_NOT_ALLOWED"),
    "another version": ("/v2/events", {}, 404, "NO_SUCH_PATH"),
    "capitals": ("/V1/EVENTS", {}, 404, "NO_SUCH_PATH"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_hostile_request_is_refused(shared: Api, name: str) -> None:
    path, headers, status, code = REQUESTS[name]
    known = {field: value and value.replace("KEY", shared.key.token) for field, value in headers.items()}
    answer = shared.post(BATCH, known, path=path.replace("KEY", shared.key.token))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert shared.key.secret not in answer.text
    assert shared.kafka.produced == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "FOO"])
def test_another_method_is_405(shared: Api, method: str) -> None:
    answer = shared.request(method, "/v1/events")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding", "Authorization", "Content-Length"])
def test_a_repeated_header_is_refused(shared: Api, name: str) -> None:
    usual = {
        "Content-Type": "application/json", "Content-Encoding": "identity", "Content-Length": str(len(BATCH)),
        "Authorization": f"Bearer {shared.key.token}",
    }  # fmt: skip
    headers = [*usual.items(), (name, usual[name])]
    answer = shared.request("POST", "/v1/events", content=BATCH, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "REPEATED_HEADER")


def test_the_key_is_checked_before_the_body_is_read(api: Api) -> None:
    async def body() -> Any:
        pytest.fail("the body was read")
        yield b""

    answer = api.request("POST", "/v1/events", content=body(), headers={**JSON, "Authorization": "Bearer x"})
    assert answer.status_code == 401


def test_a_beacon_gives_its_key_in_the_query(api: Api) -> None:
    answer = api.post(BATCH, {**TEXT, "Authorization": None}, path=f"/v1/events?key={api.key.token}")
    assert verdicts(answer) == ["accepted"]


def test_a_key_without_the_scope_is_403(api: Api) -> None:
    reader = api.store.add(scopes=frozenset({Scope.READ}))
    answer = api.post(BATCH, token=reader.token)
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")


class TestSigned:
    """A key whose requests are signed."""

    @staticmethod
    def headers(api: Api, key_id: str, body: bytes, shift: int = 0) -> dict[str, str]:
        stamp = str(api.request("GET", "/v1/time").json()["epoch_ms"] // 1000 + shift)
        signed = signature(signing_secret(key_id, SERVER_SECRET), stamp, body)
        return {"X-Gamestream-Timestamp": stamp, "X-Gamestream-Signature": signed}

    @pytest.fixture
    def key(self, api: Api) -> Any:
        return api.store.add(signed=True)

    def test_a_signed_request_is_taken(self, api: Api, key: Any) -> None:
        assert verdicts(api.post(BATCH, self.headers(api, key.key_id, BATCH), token=key.token)) == ["accepted"]

    def test_the_signature_is_over_the_bytes_as_they_are_sent(self, api: Api, key: Any) -> None:
        body = gzip.compress(BATCH)
        assert verdicts(api.post(body, {**self.headers(api, key.key_id, body), **GZIP}, token=key.token)) == [
            "accepted"
        ]
        answer = api.post(body, {**self.headers(api, key.key_id, BATCH), **GZIP}, token=key.token)
        assert answer.json()["code"] == "SIGNATURE_WRONG"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"X-Gamestream-Signature": None}, "SIGNATURE_MISSING"),
            ({"X-Gamestream-Timestamp": None}, "SIGNATURE_MISSING"),
            ({"X-Gamestream-Signature": "v1=00"}, "SIGNATURE_WRONG"),
            ({"X-Gamestream-Signature": b"v1=\xe9"}, "SIGNATURE_WRONG"),
            ({"X-Gamestream-Timestamp": "1"}, "SIGNATURE_TIME"),
            ({"X-Gamestream-Timestamp": "-1"}, "SIGNATURE_TIME"),
            ({"X-Gamestream-Timestamp": "1e9"}, "SIGNATURE_TIME"),
            ({"X-Gamestream-Timestamp": "9" * 5000}, "SIGNATURE_TIME"),
        ],
    )
    def test_a_wrong_one_is_401(self, api: Api, key: Any, change: dict[str, Any], code: str) -> None:
        answer = api.post(BATCH, {**self.headers(api, key.key_id, BATCH), **change}, token=key.token)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert api.kafka.produced == 0

    def test_another_body_another_key_or_an_old_one_is_401(self, api: Api, key: Any) -> None:
        other = BATCH.replace(b'"g"', b'"h"')
        assert api.post(other, self.headers(api, key.key_id, BATCH), token=key.token).status_code == 401
        assert api.post(BATCH, self.headers(api, api.key.key_id, BATCH), token=key.token).status_code == 401
        assert api.post(BATCH, self.headers(api, key.key_id, BATCH, -301), token=key.token).status_code == 401
        assert api.post(BATCH, self.headers(api, key.key_id, BATCH, 303), token=key.token).status_code == 401


def test_answers_are_not_kept_by_caches_and_name_no_server(shared: Api) -> None:
    for answer in (shared.post(BATCH, token="x"), shared.request("GET", "/v1/time"), shared.request("GET", "/nothing")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "server" not in answer.headers


def test_html_in_a_request_is_not_html_in_the_answer(shared: Api) -> None:
    answer = shared.post(json.dumps({"events": [event(1, event_id="<b>", user_id=1)]}).encode())
    assert answer.headers["Content-Type"] == "application/json"


def test_the_table_is_long_enough() -> None:
    assert len(BODIES) + len(EVENTS) + len(REQUESTS) >= 140
