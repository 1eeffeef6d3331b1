"""Access tokens of an issuer, signed by another library than the one that checks them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from joserfc.jwk import RSAKey

from forebay.serving.access.errors import KeysUnavailable, Unauthenticated
from forebay.serving.access.principal import Principal
from forebay.serving.access.settings import Issuer as IssuerSettings
from forebay.serving.access.tokens import Tokens
from tests.serving.access.attempts import INVALID
from tests.support.issuer import AUDIENCE, Issuer


class World:
    """Tokens of one issuer, and a clock that stands still."""

    def __init__(self, issuer: Issuer, **settings: Any) -> None:
        self.now_s = 0.0
        named = {"issuer": issuer.url, "audience": AUDIENCE, "jwks": issuer.jwks} | settings
        self._started = time.time()
        self.tokens = Tokens({"sso": IssuerSettings(**named)}, lambda: self.now_s, self._now)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._started + self.now_s, UTC)

    def identify(self, *tokens: str) -> list[Principal | str]:
        """Who brings each, all at once; or why nobody does."""

        async def attempt(token: str) -> Principal | str:
            try:
                return await self.tokens.identify(token)
            except Unauthenticated as error:
                return str(error)

        async def all_at_once() -> list[Principal | str]:
            return await asyncio.gather(*map(attempt, tokens))

        return asyncio.run(all_at_once())


@pytest.fixture(scope="module")
def signing() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


def test_a_valid_token_names_its_subject_and_its_scopes(signing: Issuer) -> None:
    token = signing.token(scope="openid predict:fraud features")
    assert World(signing).identify(token) == [Principal("sso:ann", frozenset({"predict:fraud", "features"}))]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": None}, set()),
        ({"scope": None, "scp": ["predict", "models", 7]}, {"predict", "models"}),
        ({"scope": "predict:"}, set()),
        ({"scope": "everything *"}, set()),
    ],
)
def test_scopes_are_those_that_a_claim_lists_and_no_others(signing: Issuer, claims: Any, scopes: set[str]) -> None:
    (found,) = World(signing).identify(signing.token(**claims))
    assert isinstance(found, Principal)
    assert found.scopes == scopes


@pytest.mark.parametrize(("make", "reason"), INVALID.values(), ids=INVALID)
def test_a_token_is_refused_with_its_reason(signing: Issuer, make: Callable[[Issuer], str], reason: str) -> None:
    (told,) = World(signing).identify(make(signing))
    assert isinstance(told, str)
    assert reason in told
    assert "authorization: Bearer <token>" in told
    assert make(signing) not in told


def test_clocks_may_differ_by_the_leeway_and_no_more(signing: Issuer) -> None:
    world = World(signing, leeway_s=60)
    now = int(time.time())
    close, far = signing.token(exp=now - 30), signing.token(exp=now - 120)
    ann, refused = world.identify(close, far)
    assert isinstance(ann, Principal)
    assert "expired" in str(refused)


def test_a_remembered_token_is_checked_anew_once_it_has_expired(
    signing: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(signing, leeway_s=0)
    token = signing.token(exp=int(time.time()) + 100)
    assert isinstance(world.identify(token)[0], Principal)

    def expired(*_: Any, **__: Any) -> Any:
        raise jwt.ExpiredSignatureError

    monkeypatch.setattr(jwt, "decode", expired)
    world.now_s = 90
    assert isinstance(world.identify(token)[0], Principal)
    world.now_s = 101
    assert "it has expired" in str(world.identify(token)[0])


def test_a_new_key_is_fetched_when_a_token_names_it_and_the_old_one_is_refused(issuer: Issuer) -> None:
    world = World(issuer)
    old = issuer.token()
    assert isinstance(world.identify(old)[0], Principal)
    world.now_s = 31
    new = issuer.token(issuer.rotate())
    assert world.identify(new) == [Principal("sso:ann", frozenset({"predict"}))]
    assert "a key that its issuer does not publish" in str(world.identify(old)[0])
    assert issuer.fetches == 2


def test_a_key_that_is_withdrawn_ends_its_tokens_once_the_keys_are_old(issuer: Issuer) -> None:
    world = World(issuer, refresh_s=300)
    token = issuer.token()
    assert isinstance(world.identify(token)[0], Principal)
    issuer.rotate()
    world.now_s = 299
    assert isinstance(world.identify(token)[0], Principal)
    world.now_s = 301

    async def asked_twice() -> None:
        # The first one after that time starts the fetch and does not wait for it.
        await world.tokens.identify(token)
        for _ in range(1_000):
            await asyncio.sleep(0.01)
            try:
                await world.tokens.identify(token)
            except Unauthenticated:
                return
        raise AssertionError("the token is still accepted")

    asyncio.run(asked_twice())


def test_a_flood_of_unknown_keys_fetches_at_most_once_per_interval(issuer: Issuer) -> None:
    world = World(issuer)
    world.identify(issuer.token())
    flood = [issuer.token(header={"kid": f"made-up-{at}"}) for at in range(50)]
    for now_s, fetches in ((1, 1), (29, 1), (31, 2), (40, 2), (62, 3)):
        world.now_s = now_s
        told = world.identify(*flood)
        assert all("a key that its issuer does not publish" in str(each) for each in told)
        assert issuer.fetches == fetches
    assert isinstance(world.identify(issuer.token())[0], Principal)


def test_an_issuer_that_is_away_at_first_is_no_fault_of_the_client(issuer: Issuer) -> None:
    world = World(issuer)
    issuer.status = 503
    with pytest.raises(KeysUnavailable, match="try again"):
        world.identify(issuer.token())
    issuer.status = 200
    world.now_s = 31
    assert isinstance(world.identify(issuer.token())[0], Principal)


def test_an_issuer_that_goes_away_later_ends_nobodys_access(issuer: Issuer) -> None:
    world = World(issuer)
    token = issuer.token()
    world.identify(token)
    issuer.status = 500
    for now_s in (400, 1_000):
        world.now_s = now_s
        assert isinstance(world.identify(issuer.token(jti=str(now_s)))[0], Principal)


def test_a_redirect_is_not_followed(issuer: Issuer) -> None:
    issuer.status = 302
    with pytest.raises(KeysUnavailable):
        World(issuer).identify(issuer.token())
    assert issuer.fetches == 1


def test_keys_of_other_kinds_are_passed_over(issuer: Issuer) -> None:
    secret = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}
    for_encryption = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"}).as_dict(private=False)
    issuer.published += [secret, for_encryption, {"kty": "new", "kid": "unknown"}]
    assert isinstance(World(issuer).identify(issuer.token())[0], Principal)
    assert "does not publish" in str(World(issuer).identify(issuer.token(header={"kid": "enc"}))[0])


def test_keys_may_come_from_a_file(signing: Issuer, tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": signing.published}))
    world = World(signing, jwks=str(tmp_path / "jwks.json"))
    assert isinstance(world.identify(signing.token())[0], Principal)
