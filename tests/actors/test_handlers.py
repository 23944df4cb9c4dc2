"""The laws of the look-up: a message names a method, the actor that gets it decides what runs."""

import functools
from typing import Any

import pytest

from tests.actors.deeds import Deeds
from upright.actors import Actor, UnknownHandler, concurrent
from upright.actors.handlers import HandlerTable, JoinedTable, describe


class Loud(Deeds):
    async def reply(self, value: Any = None) -> Any:
        return f"{value}!"

    async def beside(self, deed: Any) -> Any:
        """One at a time again: the override is not marked."""

    def plain(self) -> None: ...

    @staticmethod
    async def static() -> None: ...

    @property
    def shown(self) -> int:
        return 1


NAMELESS: Any = lambda: None  # noqa: E731  # that it has no name is the point


async def elsewhere(_: Any) -> None: ...


def test_a_subclass_override_runs_for_a_message_that_names_the_base_class() -> None:
    assert Loud.__handlers__[Deeds.reply].function is Loud.reply


def test_an_inherited_handler_is_found() -> None:
    assert Loud.__handlers__[Deeds.note].function is Deeds.note


def test_an_interface_need_not_be_a_base_class() -> None:
    """The look-up is by name, so a class of equal method names will do."""

    class Interface(Actor):
        async def reply(self, value: Any = None) -> Any: ...

    assert Loud.__handlers__[Interface.reply].function is Loud.reply


def test_an_override_decides_itself_whether_it_may_overlap() -> None:
    assert Deeds.__handlers__[Deeds.beside].limit == 2
    assert Loud.__handlers__[Deeds.beside].limit == 0


def test_the_answer_is_remembered() -> None:
    table = HandlerTable(Deeds)
    assert table[Deeds.note] is table[Deeds.note]


def test_a_refused_function_is_not_remembered() -> None:
    table = HandlerTable(Deeds)
    with pytest.raises(UnknownHandler):
        table[elsewhere]
    assert not table.known


@pytest.mark.parametrize("hook", [Actor.started, Actor.stopping, Actor.undelivered])
def test_a_hook_is_no_message(hook: Any) -> None:
    with pytest.raises(UnknownHandler, match="only the runtime calls"):
        Loud.__handlers__[hook]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(elsewhere, id="a function of another module"),
        pytest.param(Loud.plain, id="a method that is not async"),
        pytest.param(Loud.__init__, id="the constructor"),
        pytest.param(Loud().reply, id="a bound method"),
        pytest.param(functools.partial(Deeds.reply, value=1), id="a partial"),
        pytest.param(NAMELESS, id="a lambda"),
        pytest.param(Loud.static, id="a static method"),
        pytest.param("reply", id="a name"),
        pytest.param(None, id="nothing"),
        pytest.param(Loud, id="a class"),
    ],
)
def test_what_is_no_handler_is_refused_with_the_class_that_was_asked(wrong: Any) -> None:
    with pytest.raises(UnknownHandler, match=r"expected .*Loud"):
        Loud.__handlers__[wrong]


def test_a_handler_of_another_actor_is_refused_by_its_full_name() -> None:
    with pytest.raises(UnknownHandler, match=r"Loud\.plain|Deeds has no plain"):
        Deeds.__handlers__[Loud.plain]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_concurrency_below_one_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match=f"expected limit to be 1 or more, got {limit}"):
        concurrent(limit)


def test_a_description_shows_no_contents() -> None:
    assert describe("secret") == "str"
    assert describe(["secret"]) == "list"
    assert describe(Deeds.note) == "function 'Deeds.note'"


class Host(Actor):
    """Stands in for another actor, and has handlers of its own, one of them by a name that the other has too."""

    async def note(self, word: Any) -> None: ...

    async def size(self) -> int:
        return 1

    @concurrent(5)
    async def look(self) -> None: ...


class LateHost(Host):
    """Overrides one."""

    async def size(self) -> int:
        return 2


def joined(owner: type = Host, serves: type = Loud) -> JoinedTable:
    return JoinedTable(owner, serves)


def test_what_the_host_itself_defines_is_its_own_and_all_else_is_handed_on() -> None:
    table = joined()
    assert [(table[one].function, table[one].routed) for one in (Host.note, Host.size, Host.look)] == [
        (Host.note, False),
        (Host.size, False),
        (Host.look, False),
    ]
    assert (table[Deeds.sleep].function, table[Deeds.sleep].routed) == (Deeds.sleep, True)
    assert table[Host.look].limit == 5


def test_a_name_that_both_have_is_told_apart_by_whose_method_was_named() -> None:
    table = joined()
    assert (table[Deeds.note].function, table[Deeds.note].routed) == (Deeds.note, True)
    assert (table[Host.note].function, table[Host.note].routed) == (Host.note, False)


def test_both_sides_look_up_by_name_so_that_overrides_run() -> None:
    table = joined(LateHost)
    assert (table[Host.size].function, table[Host.size].routed) == (LateHost.size, False)
    assert (table[Deeds.reply].function, table[Deeds.reply].routed) == (Loud.reply, True)


def test_what_is_handed_on_keeps_how_many_may_overlap() -> None:
    assert joined(serves=Deeds)[Deeds.beside].limit == 2
    assert joined(serves=Loud)[Deeds.beside].limit == 0


def test_a_joined_answer_is_remembered_and_leaves_the_served_class_its_own() -> None:
    table = joined(serves=Deeds)
    assert table[Deeds.note] is table[Deeds.note]
    assert not Deeds.__handlers__[Deeds.note].routed


@pytest.mark.parametrize("hook", [Actor.started, Actor.stopping, Actor.undelivered])
def test_a_hook_is_no_message_of_either_side(hook: Any) -> None:
    with pytest.raises(UnknownHandler, match="only the runtime calls"):
        joined()[hook]


def test_a_hook_of_the_served_class_is_no_message() -> None:
    class Opening(Deeds):
        async def started(self) -> None: ...

    with pytest.raises(UnknownHandler, match="only the runtime calls"):
        joined(serves=Opening)[Opening.started]


@pytest.mark.parametrize("wrong", [elsewhere, Loud.plain, Loud().reply, NAMELESS, "note", None, Loud, Host, 1])
def test_what_neither_has_is_refused_with_the_class_that_is_served(wrong: Any) -> None:
    table = joined()
    with pytest.raises(UnknownHandler, match=r"expected .*Loud"):
        table[wrong]
    assert not table.known
