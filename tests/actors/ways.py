"""With the accelerator and without: what the tests of both ways share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.actors.lives import Doer
from upright.actors import Ref
from upright.actors.accelerator import METHODS, accelerate

built = pytest.mark.skipif(not METHODS, reason="the accelerator is not built here, or is turned off by UPRIGHT_PURE")


def in_use() -> bool:
    owner: Any = Ref
    return bool(METHODS) and owner.tell is METHODS[owner, "tell"]


async def words(doer: Doer) -> list[str]:
    return list(doer.diary.words)


class Thing:
    """Something that can be watched."""


class Taker(Doer):
    """Takes something and keeps nothing."""

    async def take(self, thing: Thing) -> None:
        assert isinstance(thing, Thing)


@pytest.fixture(params=["accelerated", "in Python"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each law holds both ways."""
    way: str = request.param
    accelerate(way == "accelerated")
    yield way
    accelerate()
