"""The laws of sending from plain values: what a handler takes as it is, and what no plain value can become."""

from typing import Any

import pytest

from upright.actors import Actor, ActorSystem
from upright.operations.errors import Wrong
from upright.operations.questions import Send
from upright.operations.sending import send

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Thing:
    """A class of the user's, of which nobody knows how it is made."""


class Clerk(Actor):
    async def put(self, what: object) -> Any:
        return what

    async def take(self, thing: Thing) -> None: ...


async def asked(handler: str, **arguments: Any) -> Any:
    async with ActorSystem(log=None) as system:
        await system.spawn("clerk", Clerk)
        return await send(system, Send("/clerk", handler, arguments, ask=True))


@pytest.mark.parametrize("value", [3, "x", [1, None], {"a": {"b": 1.5}}])
async def test_a_parameter_that_takes_any_object_gets_the_plain_value(value: Any) -> None:
    assert await asked("put", what=value) == {"reply": value}


async def test_what_cannot_be_made_of_a_plain_value_is_named_with_what_came_and_a_way_out() -> None:
    with pytest.raises(Wrong) as caught:
        await asked("take", thing={"a": 1})
    assert str(caught.value) == (
        "expected Clerk.take to get thing: Thing; that cannot be made of JSON, got dict: send it from a program"
    )
