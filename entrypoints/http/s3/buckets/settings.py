"""The tags and the rules for cross-origin requests of a bucket: GetBucketTagging, PutBucketCors, and so on."""

import re
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

from litestar.types import ASGIApp

from domain.buckets import BucketSettings, CorsRule
from entrypoints.http.protocol.fields.header_values import is_token
from entrypoints.http.s3.buckets.cors import ANY, METHODS
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects.properties import MAX_BUCKET_TAGS, tag_set
from entrypoints.http.s3.request import S3Request
from entrypoints.http.s3.responses import empty_response, xml_response
from entrypoints.http.s3.xml import Parsed, Tree

MAX_RULES = 100
MAX_CORS = 64 * 1024  # bytes of the document
MAX_RULE_ID = 255
_PATTERN = re.compile(r"[!-~]++")
_SECONDS = re.compile(r"[0-9]{1,9}+")


async def get_bucket_tagging(request: S3Request) -> ASGIApp:
    """Return the tags of a bucket."""
    tags = (await request.current_bucket()).settings.tags
    if not tags:
        raise S3Error("NoSuchTagSet")
    pairs = [("Tag", [("Key", name), ("Value", value)]) for name, value in sorted(tags.items())]
    return xml_response("Tagging", [("TagSet", pairs)])


async def put_bucket_tagging(request: S3Request) -> ASGIApp:
    """Replace the tags of a bucket."""
    request.use_cases.buckets.authorize_change(request.grant, request.bucket)
    tags = tag_set(await request.document("Tagging"), MAX_BUCKET_TAGS)
    await change_settings(request, tags=tags)
    return empty_response(HTTPStatus.NO_CONTENT)


async def delete_bucket_tagging(request: S3Request) -> ASGIApp:
    """Remove the tags of a bucket."""
    await change_settings(request, tags={})
    return empty_response(HTTPStatus.NO_CONTENT)


async def get_bucket_cors(request: S3Request) -> ASGIApp:
    """Return the rules for cross-origin requests."""
    rules = (await request.current_bucket()).settings.cors
    if not rules:
        raise S3Error("NoSuchCORSConfiguration")
    return xml_response("CORSConfiguration", [("CORSRule", [*_members(rule)]) for rule in rules])


async def put_bucket_cors(request: S3Request) -> ASGIApp:
    """Replace the rules for cross-origin requests."""
    request.use_cases.buckets.authorize_change(request.grant, request.bucket)
    document = await request.document("CORSConfiguration", MAX_CORS)
    if document is None:
        raise S3Error("MissingRequestBodyError")
    rules = tuple(map(cors_rule, document.all("CORSRule")))
    if not 1 <= len(rules) <= MAX_RULES:
        raise S3Error("MalformedXML")
    await change_settings(request, cors=rules)
    return empty_response()


async def delete_bucket_cors(request: S3Request) -> ASGIApp:
    """Remove the rules for cross-origin requests."""
    await change_settings(request, cors=())
    return empty_response(HTTPStatus.NO_CONTENT)


async def change_settings(request: S3Request, **new: object) -> None:
    """Replace some settings of a bucket. `new`: by the names in BucketSettings."""

    def change(settings: BucketSettings) -> BucketSettings:
        return replace(settings, **new)  # type: ignore[arg-type]

    await request.known_bucket()
    await request.use_cases.buckets.change(request.grant, request.bucket, change)


def _members(rule: CorsRule) -> Iterator[Tree]:
    yield "ID", rule.id or None
    for name, values in (
        ("AllowedHeader", rule.headers),
        ("AllowedMethod", rule.methods),
        ("AllowedOrigin", rule.origins),
        ("ExposeHeader", rule.exposed),
    ):
        yield from ((name, value) for value in values)
    yield "MaxAgeSeconds", rule.max_age


def cors_rule(element: Parsed) -> CorsRule:
    """Return the rule in an element. Raises MalformedXML, and InvalidRequest."""
    origins, methods = _texts(element, "AllowedOrigin"), _texts(element, "AllowedMethod")
    headers, exposed = _texts(element, "AllowedHeader"), _texts(element, "ExposeHeader")
    rule_id, max_age = element.value("ID") or "", element.value("MaxAgeSeconds")
    if not origins or not methods or len(rule_id) > MAX_RULE_ID or not rule_id.isprintable():
        raise S3Error("MalformedXML")
    if max_age is not None and not _SECONDS.fullmatch(max_age):
        raise S3Error("MalformedXML")
    for method in methods:
        if method not in METHODS:
            detail = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            raise S3Error("InvalidRequest", detail)
    for name, patterns in (("AllowedOrigin", origins), ("AllowedHeader", headers)):
        for pattern in patterns:
            if pattern.count(ANY) > 1:
                raise S3Error("InvalidRequest", f'{name} "{pattern}" can not have more than one wildcard.')
            if not _PATTERN.fullmatch(pattern):
                raise S3Error("InvalidRequest", f'{name} "{pattern}" has characters that it cannot have.')
    for header in exposed:
        if ANY in header or not is_token(header):
            raise S3Error("InvalidRequest", f'ExposeHeader "{header}" is not the name of a header.')
    return CorsRule(origins, methods, headers, exposed, None if max_age is None else int(max_age), rule_id)


def _texts(element: Parsed, name: str) -> tuple[str, ...]:
    return tuple(each.text for each in element.all(name))
