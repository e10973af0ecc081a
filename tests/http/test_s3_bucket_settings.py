"""Settings of buckets: tags, locations, rules for cross-origin requests, and access control lists."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.http.s3_client import code_of, key_pair, refused, s3_client
from tests.http.server import Server

NUMBERS = itertools.count()
DENIED = (403, "AccessDenied")
PAGE = "https://app.example.com"
EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"
WITH_KEY = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
OPENING = ("public-read", "public-read-write", "authenticated-read")


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with access control lists, for tests that take buckets of their own."""
    with Server(tmp_path_factory.mktemp("server"), S3_API_ACLS="true") as server:
        yield server


@pytest.fixture(scope="module")
def s3(open_server: Server) -> Any:
    return s3_client(open_server)


@pytest.fixture(scope="module")
def stranger(open_server: Server) -> Any:
    """A client with a valid key that has no right to any of the buckets here."""
    return s3_client(open_server, key_pair(open_server, prefixes=["elsewhere/"]))


@pytest.fixture
def anybody(open_server: Server) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with open_server.anybody() as client:
        yield client


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of a new bucket."""
    return new_bucket(s3)


def new_bucket(s3: Any, **more: Any) -> str:
    name = f"settings-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name, **more)
    return name


def failure(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    return refused(raised.value)


def tagging(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in tags.items()]}


def tags_of(s3: Any, bucket: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]}


def set_cors(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [*rules]})


def allowing(response: httpx.Response) -> dict[str, str]:
    """Return the headers of a response that are for pages of other origins."""
    start = "access-control-"
    return {name.removeprefix(start): value for name, value in response.headers.items() if name.startswith(start)}


def grants(shown: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the grants of an access control list: the group or the key, and what it may do."""
    return {(each["Grantee"].get("URI") or each["Grantee"]["ID"], each["Permission"]) for each in shown["Grants"]}


class TestTags:
    def test_come_with_a_new_bucket(self, s3: Any) -> None:
        made = new_bucket(s3, CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "1"}]})
        assert tags_of(s3, made) == {"a": "1"}
        wrong = {"Tags": [{"Key": "aws:a", "Value": "1"}]}
        assert failure(new_bucket, s3=s3, CreateBucketConfiguration=wrong) == (400, "InvalidTag")

    def test_are_kept_as_one_set(self, s3: Any, bucket: str) -> None:
        assert failure(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
        tags = {"a": "1", "Ä b": "ü é", "empty": ""}
        assert s3.put_bucket_tagging(Bucket=bucket, Tagging=tagging(tags))["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert tags_of(s3, bucket) == tags
        s3.put_bucket_tagging(Bucket=bucket, Tagging=tagging({"b": "2"}))
        assert tags_of(s3, bucket) == {"b": "2"}
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert failure(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204

    def test_are_fifty_at_most(self, s3: Any, bucket: str) -> None:
        many = {f"{number}": "é" * 256 for number in range(50)}
        s3.put_bucket_tagging(Bucket=bucket, Tagging=tagging(many))
        assert failure(s3.put_bucket_tagging, Bucket=bucket, Tagging=tagging(many | {"x": ""})) == (400, "InvalidTag")
        assert failure(s3.put_bucket_tagging, Bucket=bucket, Tagging=tagging({"a": "?"})) == (400, "InvalidTag")
        assert tags_of(s3, bucket) == many

    def test_no_bucket_has_none(self, s3: Any) -> None:
        missing = (404, "NoSuchBucket")
        assert failure(s3.get_bucket_tagging, Bucket="no-such-bucket") == missing
        assert failure(s3.put_bucket_tagging, Bucket="no-such-bucket", Tagging=tagging({"a": ""})) == missing
        assert failure(s3.get_bucket_cors, Bucket="no-such-bucket") == missing
        assert failure(s3.delete_bucket_cors, Bucket="no-such-bucket") == missing


def test_a_bucket_has_the_location_that_its_creator_asked_for(s3: Any) -> None:
    elsewhere = new_bucket(s3, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.get_bucket_location(Bucket=elsewhere)["LocationConstraint"] == "eu-west-1"
    assert s3.head_bucket(Bucket=elsewhere)["BucketRegion"] == "eu-west-1"
    plain = new_bucket(s3)
    assert s3.get_bucket_location(Bucket=plain)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=plain)["BucketRegion"] == "us-east-1"
    regions = {each["Name"]: each["BucketRegion"] for each in s3.list_buckets()["Buckets"]}
    assert (regions[elsewhere], regions[plain]) == ("eu-west-1", "us-east-1")
    odd = {"LocationConstraint": "a b"}
    assert failure(new_bucket, s3=s3, CreateBucketConfiguration=odd) == (400, "InvalidLocationConstraint")


def test_settings_are_those_of_one_bucket_and_go_with_it(s3: Any, bucket: str) -> None:
    other = new_bucket(s3)
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tagging({"a": "1"}))
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert failure(s3.get_bucket_tagging, Bucket=other) == (404, "NoSuchTagSet")
    assert len(grants(s3.get_bucket_acl(Bucket=other))) == 1
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert failure(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    assert len(grants(s3.get_bucket_acl(Bucket=bucket))) == 1


def test_concurrent_changes_of_different_settings_are_all_kept(open_server: Server, bucket: str, s3: Any) -> None:
    def change(number: int) -> None:
        client = s3_client(open_server, pair)
        for each in range(10):
            if number == 0:
                client.put_bucket_tagging(Bucket=bucket, Tagging=tagging({"round": str(each)}))
            elif number == 1:
                set_cors(client, bucket, {"AllowedMethods": ["GET"], "AllowedOrigins": [f"https://{each}"]})
            else:
                client.put_bucket_acl(Bucket=bucket, ACL=("private", "public-read")[each % 2])

    pair = key_pair(open_server)
    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(change, range(3))] == [None] * 3
    assert tags_of(s3, bucket) == {"round": "9"}
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0]["AllowedOrigins"] == ["https://9"]
    assert (EVERYBODY, "READ") in grants(s3.get_bucket_acl(Bucket=bucket))


def test_settings_need_the_right_to_store_all_of_the_bucket(open_server: Server, s3: Any, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    pairs = [
        key_pair(open_server, "read", "list", "delete", prefixes=[f"{bucket}/"]),
        key_pair(open_server, "read", "list", "delete", "write", prefixes=[f"{bucket}/a"]),
        key_pair(open_server, prefixes=["elsewhere/"]),
    ]
    for client in (s3_client(open_server, pair) for pair in pairs):
        assert failure(client.put_bucket_tagging, Bucket=bucket, Tagging=tagging({"a": ""})) == DENIED
        assert failure(client.delete_bucket_tagging, Bucket=bucket) == DENIED
        assert failure(client.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [rule]}) == DENIED
        assert failure(client.put_bucket_acl, Bucket=bucket, ACL="public-read") == DENIED
    writer = s3_client(open_server, key_pair(open_server, "write", prefixes=[f"{bucket}/"]))
    writer.put_bucket_tagging(Bucket=bucket, Tagging=tagging({"a": ""}))
    set_cors(writer, bucket, rule)
    assert tags_of(s3, bucket) == {"a": ""}


def test_a_bucket_of_the_settings_file_keeps_its_settings(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API_BUCKETS="films=media/films/", S3_API_ACLS="true") as server:
        s3 = s3_client(server)
        assert failure(s3.get_bucket_tagging, Bucket="films") == (404, "NoSuchTagSet")
        assert failure(s3.put_bucket_tagging, Bucket="films", Tagging=tagging({"a": ""})) == DENIED
        assert failure(s3.put_bucket_acl, Bucket="films", ACL="public-read") == DENIED
        s3.put_bucket_acl(Bucket="films", ACL="private")
        # Its objects have lists of their own.
        s3.put_object(Bucket="films", Key="a", Body=b"film", ACL="public-read")
        assert httpx.get(f"{server.url}/films/a").content == b"film"
        assert code_of(httpx.get(f"{server.url}/films")) == DENIED


class TestCors:
    def test_rules_are_kept(self, s3: Any, bucket: str) -> None:
        rules: list[dict[str, Any]] = [
            {
                "ID": "pages",
                "AllowedOrigins": [PAGE, "https://*.example.org"],
                "AllowedMethods": ["GET", "PUT"],
                "AllowedHeaders": ["*"],
                "ExposeHeaders": ["ETag", "x-amz-meta-a"],
                "MaxAgeSeconds": 0,
            },
            {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
        ]
        assert failure(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
        set_cors(s3, bucket, *rules)
        assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
        bad = {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["PATCH"]}]}
        assert failure(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=bad) == (400, "InvalidRequest")
        many = {"CORSRules": [rules[1]] * 101}
        assert failure(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=many) == (400, "MalformedXML")
        large = {"CORSRules": [rules[1] | {"AllowedOrigins": ["x" * 66_000]}]}
        too_large = (400, "MaxMessageLengthExceeded")
        assert failure(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=large) == too_large
        assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
        s3.delete_bucket_cors(Bucket=bucket)
        assert failure(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")

    def preflight(self, client: httpx.Client, path: str, method: str = "PUT", **headers: str) -> httpx.Response:
        asked = {"Origin": PAGE, "Access-Control-Request-Method": method, **headers}
        return client.request("OPTIONS", path, headers=asked)

    def test_a_preflight_needs_no_credential(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        rule = {
            "AllowedOrigins": [PAGE],
            "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["content-*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 60,
        }
        set_cors(s3, bucket, rule)
        headers = {"Access-Control-Request-Headers": "Content-Type, content-md5"}
        allowed = self.preflight(anybody, f"/{bucket}/a/b", **headers)
        assert (allowed.status_code, allowed.content) == (200, b"")
        assert allowing(allowed) == {
            "allow-origin": PAGE,
            "allow-methods": "GET, PUT",
            "allow-headers": "content-type, content-md5",
            "expose-headers": "ETag",
            "max-age": "60",
        }
        assert "Origin" in allowed.headers["vary"]
        url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a"})
        assert self.preflight(anybody, url).status_code == 200

    @pytest.mark.parametrize(
        ("method", "headers", "refusal"),
        [
            ("PUT", {"Origin": "https://other.example.com"}, (403, "AccessForbidden")),
            ("DELETE", {}, (403, "AccessForbidden")),
            ("PUT", {"Access-Control-Request-Headers": "content-type"}, (403, "AccessForbidden")),
            ("PUT", {"Access-Control-Request-Headers": "content-type, (,"}, (403, "AccessForbidden")),
            ("PATCH", {}, (400, "BadRequest")),
        ],
    )
    def test_other_preflights(
        self,
        s3: Any,
        bucket: str,
        anybody: httpx.Client,
        method: str,
        headers: dict[str, str],
        refusal: tuple[int, str],
    ) -> None:
        set_cors(s3, bucket, {"AllowedOrigins": [PAGE], "AllowedMethods": ["PUT"]})
        response = self.preflight(anybody, f"/{bucket}/a", method, **headers)
        assert code_of(response) == refusal
        assert allowing(response) == {}

    def test_responses_say_which_pages_may_read_them(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"bytes")
        url = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
        assert allowing(anybody.get(url, headers={"Origin": PAGE})) == {}
        assert "vary" not in anybody.get(url).headers
        set_cors(
            s3,
            bucket,
            {"AllowedOrigins": [PAGE], "AllowedMethods": ["GET"], "ExposeHeaders": ["ETag"]},
            {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
        )
        fetched = anybody.get(url, headers={"Origin": PAGE})
        assert fetched.content == b"bytes"
        assert allowing(fetched) == {"allow-origin": PAGE, "allow-methods": "GET", "expose-headers": "ETag"}
        # Whether the request names an origin or not, a cache has to know that it decides.
        assert "Origin" in anybody.get(url).headers["vary"]
        assert allowing(anybody.get(url)) == {}
        assert allowing(anybody.get(url, headers={"Origin": "https://other"})) == {}
        head = s3.generate_presigned_url("head_object", {"Bucket": bucket, "Key": "a"})
        assert allowing(anybody.head(head, headers={"Origin": "null"}))["allow-origin"] == "*"

    def test_errors_too(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        set_cors(s3, bucket, {"AllowedOrigins": [PAGE], "AllowedMethods": ["GET"]})
        missing = anybody.get(
            s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "no"}), headers={"Origin": PAGE}
        )
        assert (code_of(missing), allowing(missing)["allow-origin"]) == ((404, "NoSuchKey"), PAGE)
        denied = anybody.get(f"/{bucket}/a", headers={"Origin": PAGE})
        assert (code_of(denied), allowing(denied)["allow-origin"]) == (DENIED, PAGE)
        unsigned = anybody.get(f"/{bucket}/a", headers={"Origin": PAGE, "Authorization": "AWS4-HMAC-SHA256 x"})
        assert (unsigned.status_code, allowing(unsigned)["allow-origin"]) == (400, PAGE)

    def test_other_interfaces_take_what_is_no_preflight_of_a_bucket_with_rules(
        self, s3: Any, bucket: str, anybody: httpx.Client
    ) -> None:
        for path in (f"/{bucket}/a", "/no-such-bucket/a", "/v1/blobs/a", "/health/live", "/", "/s/a", "/no such/a"):
            response = self.preflight(anybody, path)
            assert "<Error>" not in response.text, path
            assert allowing(response) == {}
        set_cors(s3, bucket, {"AllowedOrigins": ["*"], "AllowedMethods": ["PUT"]})
        assert self.preflight(anybody, f"/{bucket}/a").status_code == 200
        assert "<Error>" not in anybody.request("OPTIONS", f"/{bucket}/a").text

    def test_a_server_for_s3_only_says_what_is_missing(self, tmp_path: Path) -> None:
        with Server(tmp_path) as server:
            s3_client(server).create_bucket(Bucket="films")
        with Server(tmp_path, S3_API="only") as server, server.anybody() as anybody:
            assert code_of(anybody.request("OPTIONS", "/films/a")) == (400, "BadRequest")
            assert code_of(anybody.request("OPTIONS", "/films/a", headers={"Origin": PAGE})) == (400, "BadRequest")
            assert code_of(self.preflight(anybody, "/films/a")) == (403, "AccessForbidden")
            assert code_of(self.preflight(anybody, "/no-such/a")) == (403, "AccessForbidden")
            assert code_of(self.preflight(anybody, "/")) == (403, "AccessForbidden")

    def test_a_virtual_host_has_the_rules_and_the_list_of_its_bucket(self, tmp_path: Path) -> None:
        with (
            Server(tmp_path, S3_API_DOMAIN="s3.localhost", S3_API_ACLS="true") as server,
            server.anybody() as anybody,
        ):
            s3 = s3_client(server)
            s3.create_bucket(Bucket="films")
            s3.put_object(Bucket="films", Key="v1/a", Body=b"film", ACL="public-read")
            set_cors(s3, "films", {"AllowedOrigins": [PAGE], "AllowedMethods": ["GET"]})
            for path, host in (("/v1/a", "films.s3.localhost"), ("/films/v1/a", "s3.localhost"), ("/films/v1/a", "x")):
                assert self.preflight(anybody, path, "GET", Host=host).status_code == 200
                fetched = anybody.get(path, headers={"Host": host, "Origin": PAGE})
                assert (fetched.content, allowing(fetched)["allow-origin"]) == (b"film", PAGE)
            assert anybody.get("/v1/a", headers={"Host": "x"}).status_code == 404

    def test_the_origins_of_the_server_come_first(self, tmp_path: Path) -> None:
        with Server(tmp_path, CORS_ORIGINS=PAGE) as server, server.anybody() as anybody:
            s3 = s3_client(server)
            s3.create_bucket(Bucket="films")
            s3.put_object(Bucket="films", Key="a", Body=b"film")
            set_cors(s3, "films", {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"], "ExposeHeaders": ["x-a"]})
            url = s3.generate_presigned_url("get_object", {"Bucket": "films", "Key": "a"})
            fetched = anybody.get(url, headers={"Origin": PAGE})
            assert fetched.headers.get_list("access-control-allow-origin") == [PAGE]
            assert "ETag" in fetched.headers["access-control-expose-headers"]
            assert self.preflight(anybody, "/films/a", "PUT").status_code == 204
            other = anybody.get(url, headers={"Origin": "https://other"})
            assert other.headers.get_list("access-control-allow-origin") == ["*"]
            asked = {"Origin": "https://other"}
            assert self.preflight(anybody, "/films/a", "GET", **asked).status_code == 200
            assert self.preflight(anybody, "/films/a", "PUT", **asked).status_code == 403


class TestLists:
    """Access control lists."""

    def test_are_shown_as_grants(self, s3: Any, bucket: str) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"bytes")
        [(owner, _)] = grants(s3.get_bucket_acl(Bucket=bucket))
        full, read, write = (owner, "FULL_CONTROL"), (EVERYBODY, "READ"), (EVERYBODY, "WRITE")
        expected = {
            "private": {full},
            "public-read": {full, read},
            "public-read-write": {full, read, write},
            "authenticated-read": {full, (WITH_KEY, "READ")},
        }
        for acl, shown in expected.items():
            s3.put_bucket_acl(Bucket=bucket, ACL=acl)
            assert grants(s3.get_bucket_acl(Bucket=bucket)) == shown
            s3.put_object_acl(Bucket=bucket, Key="a", ACL=acl)
            assert grants(s3.get_object_acl(Bucket=bucket, Key="a")) == shown
            # A document that was returned can be sent.
            for call, key in ((s3.put_bucket_acl, {}), (s3.put_object_acl, {"Key": "a"})):
                found = (s3.get_object_acl if key else s3.get_bucket_acl)(Bucket=bucket, **key)
                policy = {name: found[name] for name in ("Owner", "Grants")}
                call(Bucket=bucket, ACL="private", **key)
                call(Bucket=bucket, AccessControlPolicy=policy, **key)
            assert grants(s3.get_bucket_acl(Bucket=bucket)) == shown
            assert grants(s3.get_object_acl(Bucket=bucket, Key="a")) == shown
        for acl in ("bucket-owner-read", "bucket-owner-full-control"):
            s3.put_object_acl(Bucket=bucket, Key="a", ACL=acl)
            assert grants(s3.get_object_acl(Bucket=bucket, Key="a")) == {full}
        assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"bytes"

    def test_others_are_refused(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"bytes")
        for call, arguments in ((s3.put_bucket_acl, {}), (s3.put_object_acl, {"Key": "a"})):
            assert failure(call, Bucket=bucket, ACL="no-such", **arguments) == (400, "InvalidArgument")
            assert failure(call, Bucket=bucket, GrantRead=f"uri={EVERYBODY}", **arguments) == (501, "NotImplemented")
            for name in ("put_bucket_acl", "put_object_acl") if not arguments else ():
                url = s3.generate_presigned_url(name, {"Bucket": bucket, **({"Key": "a"} if "object" in name else {})})
                assert code_of(anybody.put(url)) == (400, "MissingSecurityHeader")
                assert code_of(anybody.put(url, content=b"<a/>")) == (400, "MalformedACLError")
        assert failure(s3.put_object, Bucket=bucket, Key="a", ACL="no-such") == (400, "InvalidArgument")
        assert failure(new_bucket, s3=s3, ACL="no-such") == (400, "InvalidArgument")
        assert failure(new_bucket, s3=s3, GrantFullControl="id=x") == (501, "NotImplemented")
        assert code_of(anybody.get(f"/{bucket}/a")) == DENIED

    def test_the_list_of_an_object_lets_others_read_it(
        self, s3: Any, bucket: str, anybody: httpx.Client, stranger: Any
    ) -> None:
        for acl in ("private", *OPENING):
            s3.put_object(Bucket=bucket, Key=acl, Body=acl.encode(), ACL=acl)
            s3.put_object(Bucket=bucket, Key=f"{acl}-not", Body=b"secret")  # whose key begins with that of an open one
        for acl in ("private", *OPENING):
            is_open, is_open_with_key = acl.startswith("public"), acl != "private"
            for method in ("GET", "HEAD"):
                assert (anybody.request(method, f"/{bucket}/{acl}").status_code == 200) == is_open
                assert anybody.request(method, f"/{bucket}/{acl}-not").status_code == 403
            for read in (stranger.get_object, stranger.head_object):
                if is_open_with_key:
                    assert read(Bucket=bucket, Key=acl)["ContentLength"] == len(acl)
                else:
                    assert failure(read, Bucket=bucket, Key=acl)[0] == 403
                assert failure(read, Bucket=bucket, Key=f"{acl}-not")[0] == 403
        shown = anybody.get(f"/{bucket}/public-read", headers={"Range": "bytes=0-5"})
        assert (shown.status_code, shown.content) == (206, b"public")
        attributes = stranger.get_object_attributes(Bucket=bucket, Key="public-read", ObjectAttributes=["ObjectSize"])
        assert attributes["ObjectSize"] == len("public-read")
        # Nothing else: neither the lists nor the tags of an object are read, and nothing is changed.
        for query in ("acl", "tagging", "uploadId=x"):
            assert code_of(anybody.get(f"/{bucket}/public-read-write?{query}")) == DENIED
        assert code_of(anybody.get(f"/{bucket}/public-read?response-content-type=text/html")) == (400, "InvalidRequest")
        assert code_of(anybody.put(f"/{bucket}/public-read-write", content=b"x")) == DENIED
        assert code_of(anybody.delete(f"/{bucket}/public-read-write")) == DENIED
        assert failure(stranger.put_object, Bucket=bucket, Key="public-read-write", Body=b"x") == DENIED
        assert failure(stranger.get_object_acl, Bucket=bucket, Key="public-read-write") == DENIED
        assert failure(stranger.put_object_acl, Bucket=bucket, Key="public-read-write", ACL="private") == DENIED
        source = {"Bucket": bucket, "Key": "public-read"}
        assert failure(stranger.copy_object, Bucket=bucket, Key="copy", CopySource=source) == DENIED

    def test_conditions_and_parts_show_nothing_of_a_private_object(
        self, s3: Any, bucket: str, anybody: httpx.Client, stranger: Any
    ) -> None:
        etag = s3.put_object(Bucket=bucket, Key="a", Body=b"secret")["ETag"]
        for headers in ({"If-None-Match": etag}, {"If-Match": '"other"'}, {"Range": "bytes=99-"}):
            assert code_of(anybody.get(f"/{bucket}/a", headers=headers)) == DENIED
            assert anybody.head(f"/{bucket}/a", headers=headers).status_code == 403
        for number in ("1", "2"):
            assert code_of(anybody.get(f"/{bucket}/a?partNumber={number}")) == DENIED
            assert failure(stranger.get_object, Bucket=bucket, Key="a", PartNumber=int(number)) == DENIED
        attributes = {"Bucket": bucket, "Key": "a", "ObjectAttributes": ["ETag"]}
        assert failure(stranger.get_object_attributes, **attributes) == DENIED

    def test_whether_there_is_an_object_is_known_to_those_who_may_list(
        self, s3: Any, bucket: str, anybody: httpx.Client, stranger: Any
    ) -> None:
        for acl, everybody, with_key in (
            ("private", DENIED, DENIED),
            ("authenticated-read", DENIED, (404, "NoSuchKey")),
            ("public-read", (404, "NoSuchKey"), (404, "NoSuchKey")),
        ):
            s3.put_bucket_acl(Bucket=bucket, ACL=acl)
            assert code_of(anybody.get(f"/{bucket}/no")) == everybody
            assert anybody.head(f"/{bucket}/no").status_code == everybody[0]
            assert failure(stranger.get_object, Bucket=bucket, Key="no") == with_key

    def test_the_list_of_a_bucket_lets_others_list_it(
        self, s3: Any, bucket: str, anybody: httpx.Client, stranger: Any
    ) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"secret")
        listing = (f"/{bucket}", f"/{bucket}?list-type=2", f"/{bucket}?versions", f"/{bucket}/")
        for acl in ("private", *OPENING):
            s3.put_bucket_acl(Bucket=bucket, ACL=acl)
            is_open, is_open_with_key = acl.startswith("public"), acl != "private"
            for path in listing:
                listed = anybody.get(path)
                assert (listed.status_code == 200 and "<Key>a</Key>" in listed.text) == is_open
                assert is_open or code_of(listed) == DENIED
            assert anybody.head(f"/{bucket}").status_code == (200 if is_open else 403)
            if is_open_with_key:
                assert [each["Key"] for each in stranger.list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]
                stranger.head_bucket(Bucket=bucket)
            else:
                assert failure(stranger.list_objects_v2, Bucket=bucket) == DENIED
            # The list of a bucket says nothing of the bytes of its objects.
            assert code_of(anybody.get(f"/{bucket}/a")) == DENIED
            assert failure(stranger.get_object, Bucket=bucket, Key="a") == DENIED
            for query in ("acl", "tagging", "cors", "uploads", "location"):
                assert code_of(anybody.get(f"/{bucket}?{query}")) == DENIED
                assert code_of(anybody.put(f"/{bucket}?{query}", headers={"x-amz-acl": "public-read"})) in (
                    DENIED,
                    (501, "NotImplemented"),
                )
            assert code_of(anybody.delete(f"/{bucket}")) == DENIED
            assert failure(stranger.delete_bucket, Bucket=bucket) == DENIED
            assert failure(stranger.put_bucket_acl, Bucket=bucket, ACL="private") == DENIED
        assert anybody.get("/").headers["content-type"].startswith("text/html")  # the page, which shows none

    def test_others_store_and_delete_in_a_public_read_write_bucket_only(
        self, s3: Any, bucket: str, anybody: httpx.Client, stranger: Any
    ) -> None:
        for acl in ("private", "public-read", "authenticated-read"):
            s3.put_bucket_acl(Bucket=bucket, ACL=acl)
            s3.put_object(Bucket=bucket, Key="a", Body=b"bytes", ACL="public-read-write")
            assert code_of(anybody.put(f"/{bucket}/a", content=b"x")) == DENIED
            assert code_of(anybody.delete(f"/{bucket}/a")) == DENIED
            assert failure(stranger.put_object, Bucket=bucket, Key="b", Body=b"x") == DENIED
            assert failure(stranger.delete_object, Bucket=bucket, Key="a") == DENIED
            assert failure(stranger.create_multipart_upload, Bucket=bucket, Key="b") == DENIED
            assert failure(stranger.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "a"}]}) == DENIED
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
        assert anybody.put(f"/{bucket}/by/nobody", content=b"x").status_code == 200
        stranger.put_object(Bucket=bucket, Key="by/stranger", Body=b"y", ACL="public-read")
        assert anybody.get(f"/{bucket}/by/stranger").content == b"y"
        assert code_of(anybody.get(f"/{bucket}/by/nobody")) == DENIED
        assert s3.get_object(Bucket=bucket, Key="by/nobody")["Body"].read() == b"x"
        upload = stranger.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
        part = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
        etag = stranger.upload_part(**part, PartNumber=1, Body=b"z")["ETag"]
        assert code_of(anybody.put(f"/{bucket}/parts?uploadId={upload}&partNumber=1", content=b"x")) == DENIED
        stranger.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
        assert anybody.delete(f"/{bucket}/by/nobody").status_code == 204
        assert "Deleted" in stranger.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "parts"}]})
        assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["a", "by/stranger"]
        # Storing is not a right to read or to change what others have stored.
        assert failure(stranger.get_object_tagging, Bucket=bucket, Key="a") == DENIED
        assert failure(stranger.put_object_tagging, Bucket=bucket, Key="a", Tagging=tagging({"a": ""})) == DENIED

    def test_is_that_of_a_version(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        put = {"Bucket": bucket, "Key": "a"}
        s3.put_object(**put, Body=b"open", ACL="public-read")
        assert anybody.get(f"/{bucket}/a").content == b"open"
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a"})
        assert code_of(anybody.get(f"/{bucket}/copy")) == DENIED
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a"}, ACL="public-read")
        assert anybody.get(f"/{bucket}/copy").content == b"open"
        s3.put_object_tagging(**put, Tagging=tagging({"a": "1"}))
        assert anybody.get(f"/{bucket}/a").content == b"open"
        s3.put_object(**put, Body=b"secret")
        assert code_of(anybody.get(f"/{bucket}/a")) == DENIED
        upload = s3.create_multipart_upload(**put, ACL="public-read")["UploadId"]
        etag = s3.upload_part(**put, UploadId=upload, PartNumber=1, Body=b"parts")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        s3.complete_multipart_upload(**put, UploadId=upload, MultipartUpload=parts)
        assert anybody.get(f"/{bucket}/a").content == b"parts"
        assert anybody.get(f"/{bucket}/a?partNumber=1").content == b"parts"

    def test_no_version_is_read_by_the_list_of_another_one(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        def replace() -> None:
            while not ended.is_set():
                s3.put_object(Bucket=bucket, Key="a", Body=b"open", ACL="public-read")
                s3.put_object(Bucket=bucket, Key="a", Body=b"secret")

        ended = threading.Event()
        s3.put_object(Bucket=bucket, Key="a", Body=b"open", ACL="public-read")
        with ThreadPoolExecutor(1) as pool:
            replacing = pool.submit(replace)
            try:
                read = [anybody.get(f"/{bucket}/a") for _ in range(300)]
                looks = [anybody.head(f"/{bucket}/a?partNumber=1") for _ in range(100)]
            finally:
                ended.set()
            replacing.result()
        assert {each.content for each in read if each.status_code == 200} == {b"open"}
        assert {each.status_code for each in [*read, *looks]} == {200, 206, 403}
        assert {each.headers["content-length"] for each in looks if each.status_code == 206} == {"4"}

    def test_ends_when_it_is_replaced(self, s3: Any, bucket: str, anybody: httpx.Client) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"bytes", ACL="public-read")
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
        assert anybody.get(f"/{bucket}").status_code == anybody.get(f"/{bucket}/a").status_code == 200
        s3.put_bucket_acl(Bucket=bucket, ACL="private")
        s3.put_object_acl(Bucket=bucket, Key="a", ACL="private")
        assert code_of(anybody.get(f"/{bucket}")) == code_of(anybody.get(f"/{bucket}/a")) == DENIED
        assert code_of(anybody.put(f"/{bucket}/a", content=b"x")) == DENIED

    def test_no_key_opens_what_it_may_not_do_itself(self, open_server: Server, s3: Any, anybody: httpx.Client) -> None:
        bucket = new_bucket(s3, ACL="public-read")
        s3.put_object(Bucket=bucket, Key="a", Body=b"secret")
        for actions, allowed in (
            (["write"], {"private"}),
            (["write", "read"], {"private"}),
            (["write", "list"], {"private", "public-read", "authenticated-read"}),
            (["write", "list", "delete"], {"private", *OPENING}),
        ):
            client = s3_client(open_server, key_pair(open_server, *actions, prefixes=[f"{bucket}"]))
            for acl in ("private", *OPENING):
                s3.put_bucket_acl(Bucket=bucket, ACL="private")
                if acl in allowed:
                    client.put_bucket_acl(Bucket=bucket, ACL=acl)
                else:
                    assert failure(client.put_bucket_acl, Bucket=bucket, ACL=acl) == DENIED
                    assert failure(client.create_bucket, Bucket=f"{bucket}-{next(NUMBERS)}", ACL=acl) == DENIED
        writer = s3_client(open_server, key_pair(open_server, "write", prefixes=[f"{bucket}/"]))
        assert failure(writer.put_object_acl, Bucket=bucket, Key="a", ACL="public-read") == DENIED
        reader = s3_client(open_server, key_pair(open_server, "read", prefixes=[f"{bucket}/"]))
        assert failure(reader.put_object_acl, Bucket=bucket, Key="a", ACL="public-read") == DENIED
        assert code_of(anybody.get(f"/{bucket}/a")) == DENIED
        writer.put_object(Bucket=bucket, Key="own", Body=b"own", ACL="public-read")
        assert anybody.get(f"/{bucket}/own").content == b"own"

    def test_a_bucket_is_not_created_again_with_another_list(self, s3: Any) -> None:
        bucket = new_bucket(s3, ACL="public-read")
        s3.create_bucket(Bucket=bucket, ACL="public-read")
        assert failure(s3.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
        assert (EVERYBODY, "READ") in grants(s3.get_bucket_acl(Bucket=bucket))

    def test_no_credential_is_worse_than_none(self, s3: Any, open_server: Server, anybody: httpx.Client) -> None:
        bucket = new_bucket(s3, ACL="public-read-write")
        s3.put_object(Bucket=bucket, Key="a", Body=b"open", ACL="public-read")
        key_id, secret = key_pair(open_server, "read", prefixes=["elsewhere/"])
        assert failure(s3_client(open_server, (key_id, secret[::-1])).get_object, Bucket=bucket, Key="a")[0] == 403
        assert anybody.get(f"/{bucket}/a", headers={"Authorization": "Bearer x"}).status_code == 404
        assert code_of(anybody.get("/no-such-bucket/a")) == (404, "NoSuchBucket")
        assert code_of(anybody.put("/no-such-bucket/a", content=b"")) == (404, "NoSuchBucket")

    def test_the_other_interfaces_stay_where_they_are(self, open_server: Server, anybody: httpx.Client) -> None:
        assert anybody.get("/v1/blobs").status_code == 401
        assert anybody.put("/v1/blobs/a", content=b"").status_code == 401
        for path in ("/health/live", "/docs", "/metrics"):
            assert anybody.get(path).status_code == 200, path
        assert anybody.post("/no-such-bucket").headers["content-type"].startswith("application/problem+json")
        with open_server.client() as client:
            client.put("/v1/blobs/by-rest%2Fa", content=b"bytes")
            assert client.get("/v1/blobs/by-rest%2Fa?alt=media").content == b"bytes"

    def test_a_blob_that_another_interface_replaces_is_private(
        self, open_server: Server, s3: Any, bucket: str, anybody: httpx.Client
    ) -> None:
        s3.put_object(Bucket=bucket, Key="a", Body=b"open", ACL="public-read")
        with open_server.client() as client:
            client.put(f"/v1/blobs/{bucket}%2Fa", content=b"secret")
            assert code_of(anybody.get(f"/{bucket}/a")) == DENIED


def test_without_the_setting_no_list_opens_anything(tmp_path: Path) -> None:
    with Server(tmp_path, S3_API_ACLS="true") as server:
        pair = key_pair(server)
        s3 = s3_client(server, pair)
        s3.create_bucket(Bucket="films", ACL="public-read-write")
        s3.put_object(Bucket="films", Key="a", Body=b"film", ACL="public-read")
        assert httpx.get(f"{server.url}/films/a").content == b"film"
    for serving in ("on", "only"):
        with Server(tmp_path, S3_API=serving) as server, server.anybody() as anybody:
            s3 = s3_client(server, pair)
            for method, path in (("GET", "/films"), ("GET", "/films/a"), ("PUT", "/films/b"), ("DELETE", "/films/a")):
                response = anybody.request(method, path)
                assert response.status_code == (404 if serving == "on" else 403)
            assert len(grants(s3.get_bucket_acl(Bucket="films"))) == 1
            assert len(grants(s3.get_object_acl(Bucket="films", Key="a"))) == 1
            unsupported = (400, "AccessControlListNotSupported")
            for acl in OPENING:
                assert failure(s3.put_bucket_acl, Bucket="films", ACL=acl) == unsupported
                assert failure(s3.put_object_acl, Bucket="films", Key="a", ACL=acl) == unsupported
                assert failure(s3.put_object, Bucket="films", Key="a", ACL=acl) == unsupported
                assert failure(s3.create_bucket, Bucket="other", ACL=acl) == unsupported
                assert failure(s3.create_multipart_upload, Bucket="films", Key="a", ACL=acl) == unsupported
                source = {"Bucket": "films", "Key": "a"}
                assert failure(s3.copy_object, Bucket="films", Key="b", CopySource=source, ACL=acl) == unsupported
            for acl in ("private", "bucket-owner-full-control"):
                s3.put_object(Bucket="films", Key="own", Body=b"", ACL=acl)
                s3.put_object_acl(Bucket="films", Key="own", ACL=acl)
