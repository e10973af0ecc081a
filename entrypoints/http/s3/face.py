"""The S3 interface: which requests it takes, who sends them, and how they are refused."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from application.access.authenticate import Authenticate
from application.access.failures import FailedAuthentications
from application.access.rates import RequestRates
from application.clock import utc_now
from domain.access import NOBODY, SIGNATURE, Action, Grant
from domain.buckets import Bucket
from domain.errors import BlobError, NotFound
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.middleware.base.exchange import Exchange, Header, Responder
from entrypoints.http.middleware.routes.failures import count_failure, mark_failure
from entrypoints.http.middleware.routes.load_shedding import RequestSlots
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.streaming import ShortResponse
from entrypoints.http.s3.addressing import Addressing, Serving
from entrypoints.http.s3.auth import post_policy, signatures_v2
from entrypoints.http.s3.auth.credentials import Parameters
from entrypoints.http.s3.auth.post_policy import PostPolicy
from entrypoints.http.s3.auth.signatures import SignedRequest, parse, query_parameters, signature_mismatch
from entrypoints.http.s3.auth.signatures_v2 import SignatureV2
from entrypoints.http.s3.auth.signing_keys import SigningKeys, is_valid
from entrypoints.http.s3.buckets import acls, cors
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.failures import as_s3_error, error_document
from entrypoints.http.s3.objects import post
from entrypoints.http.s3.objects.object_form import Replaced
from entrypoints.http.s3.objects.post import PostRequest
from entrypoints.http.s3.objects.properties import described_in_query
from entrypoints.http.s3.operations import operation_of
from entrypoints.http.s3.request import S3Request, UseCases, path_text, query_values
from entrypoints.http.s3.responses import XML_TYPE

Signed = SignedRequest | SignatureV2 | PostPolicy

ATTEMPTS = 5
OPEN = ("GetObject", "HeadObject")  # the operations on public buckets that need no credential
NO_POLICY = PostPolicy("", "", "", datetime.max.replace(tzinfo=UTC), "", b"")


@dataclass(frozen=True, slots=True)
class S3Face:
    """Responds to the requests that `addressing` takes, and leaves all others to `other`."""

    other: Responder
    addressing: Addressing
    use_cases: UseCases
    authenticate: Authenticate
    rates: RequestRates
    failures: FailedAuthentications
    slots: RequestSlots
    version_2: bool = False
    """Whether signatures of version 2 are taken."""
    _keys: SigningKeys = field(default_factory=SigningKeys)

    async def __call__(self, exchange: Exchange) -> None:
        if not (self.addressing.takes(exchange.scope) or await self._is_preflight(exchange)):
            await self.other(exchange)
            return
        exchange.completions = [_add_ids, *exchange.completions]
        exchange.scope["path_template"] = "s3"
        try:
            if not self.slots.free:
                raise S3Error("SlowDown", headers={"retry-after": "5", "connection": "close"})
            self.slots.free -= 1
            try:
                await self._respond(exchange)
            finally:
                self.slots.free += 1
        except Exception as error:
            if exchange.status:  # it is too late for another response
                raise
            await _refuse(exchange, as_s3_error(error))

    async def _is_preflight(self, exchange: Exchange) -> bool:
        """Return whether this is a preflight for a bucket that has rules for them."""
        if not self.addressing.may_be_preflight(exchange.scope):
            return False
        try:
            bucket = await self._bucket(path_text(self.addressing.bucket_and_key(exchange.scope)[0]))
        except (BlobError, S3Error):
            return False
        return bucket is not None and bool(bucket.settings.cors)

    async def _bucket(self, name: str) -> Bucket | None:
        return await self.use_cases.buckets.look_up(name) if name else None

    async def _respond(self, exchange: Exchange) -> None:
        scope = exchange.scope
        bucket, key = map(path_text, self.addressing.bucket_and_key(scope))
        parameters = query_parameters(scope["query_string"])
        query = query_values(parameters)
        in_host = self.addressing.resource(scope) != scope["raw_path"]
        request = S3Request(exchange, self.use_cases, bucket, key, query, fields(scope), NOBODY, in_host=in_host)
        from_page = await self._bucket(bucket) if cors.ORIGIN in request.headers else None
        completion = cors.CorsHeaders(self.use_cases.buckets, bucket, from_page, request.headers)
        exchange.completions = [completion, *exchange.completions]
        if request.method == "OPTIONS":
            scope["path_template"] = "s3:Preflight"
            await cors.preflight(request, from_page)(scope, exchange.receive, exchange.send)
            return
        operation = operation_of(request)
        scope["path_template"] = f"s3:{operation.name}"
        signature = self._old_signature_of(request) or _signature_of(request, parameters)
        if operation.name == post.NAME:
            request = await self._admitted_form(request, signature)
        else:
            request = await self._admitted(request, signature, operation.name)
        for attempt in range(ATTEMPTS):
            try:
                response = await operation.handle(request)
                await response(scope, exchange.receive, exchange.send)
                return
            except Replaced:
                if attempt == ATTEMPTS - 1:
                    raise S3Error("OperationAborted") from None
            except NotFound:
                rights = request.acl_rights
                if exchange.status or rights is None or rights.lists:
                    raise
                raise S3Error("AccessDenied") from None  # whether there is such an object is not theirs to know

    async def _admitted(
        self, request: S3Request, signature: SignedRequest | SignatureV2 | None, operation: str
    ) -> S3Request:
        """Return the request with the grant of its sender."""
        if signature is None:
            return await self._anonymous(request, operation)
        if isinstance(signature, SignatureV2):
            request = replace(request, grant=await self._grant(request, signature, [], signature.mismatch))
            if signature.is_presigned:
                request = replace(request, grant=replace(request.grant, via=SIGNATURE))
        else:
            keys = list[bytes]()
            grant = await self._grant(request, signature, keys, partial(signature_mismatch, signature))
            if signature.is_presigned:
                grant = replace(grant, via=SIGNATURE)
            request = request.admitted(grant, signature, keys[-1])
            if signature.is_presigned and (described := described_in_query(request.query)):
                request = replace(request, headers={**described, **request.headers})
        return await acls.with_rights(request, operation, has_key=True) if self.use_cases.acls else request

    async def _admitted_form(self, request: S3Request, signature: SignedRequest | SignatureV2 | None) -> PostRequest:
        """Return a form, read up to its file, with the grant of the key that has signed its policy."""
        form = await post.begin(request)
        if signature is not None:
            raise S3Error("AccessDenied", "The credential of a form comes in its fields, not in a header or the query.")
        policy = post_policy.check(form.fields, utc_now(), bucket=request.bucket, version_2=self.version_2)
        request = replace(request, key=form.fields["key"])
        if policy is None:
            request = await self._anonymous(request, post.NAME)
            return replace(post.of_policy(request, form, NO_POLICY, request.grant), acl_rights=request.acl_rights)
        grant = replace(await self._grant(request, policy.version_2 or policy, [], policy.mismatch), via=SIGNATURE)
        if self.use_cases.acls:
            grant = (await acls.with_rights(replace(request, grant=grant), post.NAME, has_key=True)).grant
        return post.of_policy(request, form, policy, grant)

    async def _grant(
        self, request: S3Request, signed: Signed, keys: list[bytes], mismatch: Callable[[], S3Error]
    ) -> Grant:
        """Return the grant of the key that has signed, and add the signing key to `keys`."""
        exchange = request.exchange
        grant = await self.authenticate.signed(signed.key_id, partial(self._has_signed, signed, keys))
        if grant is None:
            await count_failure(exchange.scope, self.failures, signed.key_id)
            if await self.authenticate.is_known(signed.key_id):
                raise mismatch()
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=signed.key_id)
        self.rates.admit(grant)
        exchange.auth = grant
        return grant

    def _has_signed(self, signed: Signed, keys: list[bytes], secret: bytes) -> bool:
        """Return whether this secret has signed, and add the signing key to `keys` then, if there is one."""
        if isinstance(signed, SignatureV2):
            return signed.is_valid(secret)
        key = self._keys.get(secret, signed.date, signed.region)
        if is_valid(signed, key):
            keys.append(key)
            return True
        return False

    def _old_signature_of(self, request: S3Request) -> SignatureV2 | None:
        if not self.version_2:
            return None
        scope = request.exchange.scope
        resource = self.addressing.resource(scope)
        return signatures_v2.parse(scope["method"], resource, scope["query_string"], [*scope["headers"]], utc_now())

    async def _anonymous(self, request: S3Request, operation: str) -> S3Request:
        """Return the request with the grant of everybody: to read objects of public buckets, and what lists allow."""
        if request.bucket in self.addressing.public and operation in OPEN:
            grant = Grant(frozenset([Action.READ]), (self.use_cases.buckets.prefix(request.bucket),))
            return replace(request, grant=grant)
        if self.use_cases.acls:
            if operation == "ListBuckets":
                return request  # which shows none
            request = await acls.with_rights(request, operation, has_key=False)
            if request.acl_rights is not None:
                return request
        mark_failure(request.exchange.scope)
        raise S3Error("AccessDenied")


def create(settings: Settings, container: Container, slots: RequestSlots, other: Responder) -> Responder:
    """Create the S3 interface in front of the `other` routes; only those if it is off."""
    serving = Serving(settings.s3_api)
    if serving is Serving.OFF:
        return other
    use_cases = UseCases(
        buckets=container.buckets(),
        store=container.store_blob(),
        fetch=container.fetch_blob(),
        listing=container.list_blobs(),
        delete=container.delete_blob(),
        delete_all=container.delete_blobs(),
        commit=container.commit_operations(),
        uploads=container.multipart_uploads(),
        copy_part=container.copy_part(),
        pace=Pace(settings.client_timeout, settings.client_min_rate),
        acls=settings.s3_api_acls,
    )
    face = S3Face(
        other,
        Addressing(serving, settings.s3_api_domain, frozenset(settings.s3_api_public), settings.s3_api_acls),
        use_cases,
        container.authenticate(),
        container.request_rates(),
        container.failed_authentications(),
        slots,
        settings.s3_api_signature_v2,
    )
    others = face.addressing.others

    def route(exchange: Exchange) -> Awaitable[None]:  # quick for the most frequent requests
        return (other if exchange.scope["raw_path"].startswith(others) else face)(exchange)

    return route


def _signature_of(request: S3Request, parameters: Parameters) -> SignedRequest | None:
    scope = request.exchange.scope
    return parse(scope["method"], scope["raw_path"], parameters, [*scope["headers"]], utc_now())


def _add_ids(exchange: Exchange, headers: list[Header]) -> None:
    request_id = exchange.request_id.encode()
    headers += [(b"x-amz-request-id", request_id), (b"x-amz-id-2", request_id)]


async def _refuse(exchange: Exchange, error: S3Error) -> None:
    has_body = exchange.scope["method"] != "HEAD"
    body = error_document(error, exchange.path, exchange.request_id) if has_body else b""
    headers: Sequence[tuple[bytes, bytes]] = [
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
        *([XML_TYPE, (b"content-length", b"%d" % len(body))] if has_body else []),
    ]
    await ShortResponse(headers, error.status, body)(exchange.scope, exchange.receive, exchange.send)
