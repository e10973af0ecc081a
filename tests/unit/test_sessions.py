"""Sessions of browsers: how long they are valid, and which requests they count for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from application.access.sessions import LIFETIME, Session, Sessions
from application.access.sign import SKEW
from domain.access import EVERYTHING, Action
from domain.errors import NoMasterKey
from entrypoints.config.values import hashed
from entrypoints.http.protocol.fields.session_cookies import NAME, SECURE, cookie, no_cookie, session_in
from entrypoints.http.protocol.problems import HttpProblem
from tests.unit.test_keys import ID, MINUTE, OTHER_MASTER, SECOND, Replica

TOKENS = {hashed("token"): EVERYTHING}


def sessions(replica: Replica) -> Sessions:
    return Sessions(replica.authenticate, replica.metadata.keys, replica.clock.now)


async def begun(replica: Replica, token: str) -> Session:
    session = await sessions(replica).begin(token.encode())
    assert session is not None
    return session


class TestLife:
    async def test_it_has_the_rights_of_its_key_and_ends_after_some_hours(self) -> None:
        replica = Replica()
        issued = await replica.create(["films/"])
        session = await begun(replica, issued.token)
        assert session.grant == issued.key.grant()
        replica.clock.passed = LIFETIME - 2 * SECOND
        assert await sessions(replica).open(session.text) == session
        replica.clock.passed = LIFETIME
        assert await sessions(replica).open(session.text) is None
        assert sessions(replica).has_ended(session.text)

    async def test_it_ends_with_its_key(self) -> None:
        replica = Replica()
        issued = await replica.create(expires_at=replica.clock.now() + MINUTE)
        session = await begun(replica, issued.token)
        assert session.expires_at <= replica.clock.now() + MINUTE
        replica.clock.passed = MINUTE
        assert await sessions(replica).open(session.text) is None

    async def test_it_ends_when_its_key_is_revoked_on_each_replica(self) -> None:
        replica = Replica()
        other = replica.another()
        issued = await replica.create()
        session = await begun(replica, issued.token)
        assert await sessions(other).open(session.text)
        await replica.keys.revoke(EVERYTHING, issued.key.id)
        assert await sessions(replica).open(session.text) is None
        replica.clock.passed += 6 * SECOND
        assert await sessions(other).open(session.text) is None

    async def test_a_rotation_ends_it_with_the_secret_of_its_own_token(self) -> None:
        replica = Replica()
        issued = await replica.create()
        former = await begun(replica, issued.token)
        rotated = await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        in_overlap, newer = await begun(replica, issued.token), await begun(replica, rotated.token)
        for session in (former, in_overlap, newer):
            assert await sessions(replica).open(session.text)
        replica.clock.passed = MINUTE
        assert await sessions(replica).open(former.text) is None
        assert await sessions(replica).open(in_overlap.text) is None
        assert await sessions(replica).open(newer.text)

    async def test_it_signs_nothing_that_outlives_the_secret_of_its_token(self) -> None:
        replica = Replica()
        issued = await replica.create()
        await replica.keys.rotate(EVERYTHING, issued.key.id, MINUTE)
        session = await sessions(replica).open((await begun(replica, issued.token)).text)
        assert session is not None
        signer = await replica.signatures.signer(session.grant, Action.READ, ID, LIFETIME)
        assert signer.expires_at == (replica.clock.now() + MINUTE).replace(microsecond=0)

    async def test_it_ends_with_its_token_of_the_settings(self) -> None:
        replica = Replica(tokens=TOKENS)
        session = await begun(replica, "token")
        assert session.grant.actions == EVERYTHING.actions
        assert await sessions(Replica(tokens=TOKENS)).open(session.text)
        assert await sessions(Replica(tokens={hashed("other"): EVERYTHING})).open(session.text) is None
        assert await sessions(Replica(tokens=TOKENS, master=OTHER_MASTER)).open(session.text) is None

    async def test_without_a_master_key_there_is_none(self) -> None:
        with pytest.raises(NoMasterKey):
            await sessions(Replica(tokens=TOKENS, master=None)).begin(b"token")

    async def test_wrong_tokens_begin_none(self) -> None:
        replica = Replica(tokens=TOKENS)
        issued = await replica.create()
        for token in ("", "wrong", issued.token[:-1], issued.token + "a"):
            assert await sessions(replica).begin(token.encode()) is None

    async def test_a_changed_one_is_not_valid(self) -> None:
        replica = Replica(tokens=TOKENS)
        text = (await begun(replica, "token")).text
        key, end, signature = text.split(".")
        later, far = str(int(end) + 1), str(int((replica.clock.now() + LIFETIME + SKEW + MINUTE).timestamp()))
        other = (await replica.create()).key.id
        wrong = "0" if signature[0] != "0" else "1"
        for changed in (
            *("", ".", "..", text + " ", text + ".", text.upper()),
            *(f"{key}.{later}.{signature}", f"{other}.{end}.{signature}", f"{key}.{end}.{wrong}{signature[1:]}"),
            *(f"{key}.{far}.{signature}", f"{key}.{'9' * 11}.{signature}", f"{key}.0.{signature}"),
        ):
            assert await sessions(replica).open(changed) is None
        assert not sessions(replica).has_ended(f"{key}.{later}.{signature}")

    async def test_one_that_is_valid_for_too_long_is_refused(self) -> None:
        """Some clock is wrong."""
        replica = Replica(tokens=TOKENS)
        replica.clock.passed = 10 * MINUTE
        session = await begun(replica, "token")
        assert await sessions(replica).open(session.text)
        replica.clock.passed -= SKEW
        assert await sessions(replica).open(session.text)
        replica.clock.passed -= 2 * SECOND
        assert await sessions(replica).open(session.text) is None

    async def test_a_signed_url_is_no_session(self) -> None:
        """The secret is the same, and the texts that are signed begin differently."""
        replica = Replica(tokens=TOKENS)
        session = await begun(replica, "token")
        key, end, signature = session.text.split(".")
        expires_at = datetime.fromtimestamp(int(end), UTC)
        assert await replica.signatures.verify(key, b"drivebay-1\n", signature, expires_at) is None


def scope(method: str = "GET", scheme: str = "http", **headers: str) -> dict[str, Any]:
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"method": method, "scheme": scheme, "headers": [(b"host", b"files.example"), *encoded]}


class TestCookies:
    @pytest.mark.parametrize(
        ("value", "found"),
        [
            (f"{NAME}=a.b.c", "a.b.c"),
            (f"x=y; {NAME}=a; z", "a"),
            (f"{NAME}=", ""),
            ("", None),
            (f"x{NAME}=a", None),
            (f"{SECURE}=a", None),  # that of another scheme
            (f"{NAME}=a; {NAME}=b", None),  # one of them is not ours
        ],
    )
    def test_the_session_in_the_cookies(self, value: str, found: str | None) -> None:
        assert session_in(scope(cookie=value)) == found

    @pytest.mark.parametrize(
        "https", [scope(scheme="https", cookie=f"{SECURE}=a"), scope(x_forwarded_proto="https", cookie=f"{SECURE}=a")]
    )
    def test_over_https_also_behind_a_proxy(self, https: dict[str, Any]) -> None:
        assert session_in(https) == "a"
        now = datetime.now(UTC)
        assert cookie(https, "a", now + timedelta(seconds=90), now) == (
            "__Host-drivebay_session=a; Max-Age=90; Path=/; HttpOnly; SameSite=Strict; Secure"
        )
        assert no_cookie(https).startswith("__Host-drivebay_session=; Max-Age=0; ")

    def test_over_http_it_is_not_secure(self) -> None:
        now = datetime.now(UTC)
        assert cookie(scope(), "a", now, now) == "drivebay_session=a; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"

    @pytest.mark.parametrize(
        ("method", "headers", "counts"),
        [
            ("GET", {}, True),
            ("POST", {}, False),
            ("DELETE", {}, False),
            ("GET", {"x_http_method_override": "DELETE"}, False),
            ("POST", {"origin": "http://files.example"}, True),
            ("GET", {"origin": "http://files.example"}, True),
            ("POST", {"origin": "https://files.example"}, False),
            ("POST", {"origin": "http://files.example:81"}, False),
            ("POST", {"origin": "null"}, False),
            ("GET", {"origin": "http://evil.example"}, False),
            ("POST", {"sec_fetch_site": "same-origin"}, True),
            ("POST", {"sec_fetch_site": "same-origin", "origin": "null"}, True),
            ("POST", {"sec_fetch_site": "same-site", "origin": "http://files.example"}, False),
            ("GET", {"sec_fetch_site": "none"}, True),
            ("POST", {"sec_fetch_site": "none"}, False),
            ("GET", {"sec_fetch_site": "same-site"}, False),
            ("GET", {"sec_fetch_site": "cross-site"}, False),
            ("GET", {"sec_fetch_site": "same-origin", "sec_fetch_dest": "image"}, True),
            ("GET", {"sec_fetch_site": "same-origin", "sec_fetch_dest": "script"}, False),
            ("GET", {"sec_fetch_site": "same-origin", "sec_fetch_dest": "serviceworker"}, False),
        ],
    )
    def test_it_counts_only_for_pages_of_this_server(self, method: str, headers: dict[str, str], counts: bool) -> None:
        asked = scope(method, cookie=f"{NAME}=a", **headers)
        if counts:
            assert session_in(asked) == "a"
        else:
            with pytest.raises(HttpProblem) as refused:
                session_in(asked)
            assert (refused.value.code, refused.value.status) == ("cross_origin", 403)
