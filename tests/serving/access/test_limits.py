"""Limits of principals, judged by a bucket of tokens that is counted in fractions."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from forebay.serving.access.errors import Rate, TooManyRequests
from forebay.serving.access.limits import Limit, Limits, LimitSettings


class World:
    """Limits, and a clock that stands still."""

    def __init__(self, **limit: float) -> None:
        self.now_s = 0.0
        named = {"key:big": Limit(requests_per_s=1_000, burst=1_000)}
        self.limits = Limits(LimitSettings(Limit(**limit), named), lambda: self.now_s)

    def ask(self, principal: str = "key:ci") -> Rate | TooManyRequests | None:
        """Asks, and is answered at once."""
        try:
            rate = self.limits.enter(principal)
        except TooManyRequests as error:
            return error
        self.limits.leave(principal)
        return rate


@pytest.mark.parametrize(("requests_per_s", "burst"), [(2, 1), (10, 5), (0.5, 3), (3, 7), (1_000, 20)])
def test_requests_pass_exactly_while_a_bucket_of_tokens_has_one(requests_per_s: float, burst: int) -> None:
    choose = random.Random(7)
    world = World(requests_per_s=requests_per_s, burst=burst)
    tokens, before = Fraction(burst), Fraction(0)
    passed = 0
    for _ in range(2_000):
        # Binary fractions, so that the clock itself is exact.
        world.now_s += choose.choice([0, 0, 1, 5, 300]) / 1024 / requests_per_s * burst
        now = Fraction(world.now_s)
        tokens = min(Fraction(burst), tokens + (now - before) * Fraction(requests_per_s))
        before = now
        answer = world.ask()
        # At the very boundary either answer is right.
        if abs(tokens - round(tokens)) < Fraction(1, 10**6) and not isinstance(answer, Rate):
            assert tokens < 1 + Fraction(1, 10**6)
            continue
        assert isinstance(answer, Rate) == (tokens >= 1 - Fraction(1, 10**6))
        if isinstance(answer, Rate):
            tokens -= 1
            passed += 1
            assert abs(answer.left - tokens) <= 1
            assert answer.left <= tokens + Fraction(1, 10**6)
    assert passed > 50


def test_who_waits_as_long_as_told_comes_in_and_no_sooner() -> None:
    world = World(requests_per_s=0.25, burst=2)
    assert [isinstance(world.ask(), Rate) for _ in range(3)] == [True, True, False]
    refused = world.ask()
    assert isinstance(refused, TooManyRequests)
    assert (refused.wait_s, refused.rate) == (4, Rate(burst=2, window_s=8, left=0, reset_s=8))
    world.now_s = 3.9
    assert isinstance(world.ask(), TooManyRequests)
    world.now_s = 4
    assert isinstance(world.ask(), Rate)


def test_each_principal_has_a_limit_of_its_own() -> None:
    world = World(requests_per_s=1, burst=1)
    assert isinstance(world.ask("key:a"), Rate)
    assert isinstance(world.ask("key:a"), TooManyRequests)
    assert isinstance(world.ask("key:b"), Rate)
    assert all(isinstance(world.ask("key:big"), Rate) for _ in range(1_000))


def test_so_many_are_answered_at_once_and_the_next_when_one_is_done() -> None:
    limits = World(concurrent=2).limits
    limits.enter("key:a")
    limits.enter("key:a")
    with pytest.raises(TooManyRequests, match="key:a has 2 requests at the same time") as error:
        limits.enter("key:a")
    assert error.value.rate is None
    limits.enter("key:b")
    limits.leave("key:a")
    limits.enter("key:a")


def test_a_request_that_is_refused_for_its_rate_does_not_count_as_answered() -> None:
    world = World(requests_per_s=1, burst=1, concurrent=1)
    assert isinstance(world.ask(), Rate)
    assert "at once" in str(world.ask())
    world.now_s = 1
    assert isinstance(world.ask(), Rate)


def test_without_a_limit_everything_passes() -> None:
    world = World()
    assert [world.ask() for _ in range(100)] == [None] * 100
