"""The laws of the event bus: who gets what, and what becomes of a subscriber that raises."""

import asyncio
import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upright.actors.bus import EventBus
from upright.actors.events import ActorSpawned, ActorStarted, Event, MessageProcessed, SubscriberRemoved

SPAWNED = ActorSpawned("/a", "A")
STARTED = ActorStarted("/a", "A", 1)


def note(numbers: list[int], number: int, _: Event) -> None:
    numbers.append(number)


class Deaf:
    """A subscriber that raises on everything, and counts."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error if error is not None else ValueError("I cannot hear")
        self.heard: list[Event] = []

    def listen(self, event: Event) -> None:
        self.heard.append(event)
        raise self.error


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def heard() -> list[Event]:
    return []


def test_a_subscriber_gets_the_classes_that_it_named_and_no_other(bus: EventBus, heard: list[Event]) -> None:
    bus.subscribe(heard.append, ActorSpawned, MessageProcessed)
    bus.emit(SPAWNED)
    bus.emit(STARTED)
    assert heard == [SPAWNED]


def test_without_classes_a_subscriber_gets_everything(bus: EventBus, heard: list[Event]) -> None:
    bus.subscribe(heard.append)
    bus.emit(SPAWNED)
    bus.emit(STARTED)
    assert heard == [SPAWNED, STARTED]


def test_subscribers_are_called_at_once_in_the_order_of_subscription(bus: EventBus) -> None:
    order: list[int] = []
    for number in range(5):
        bus.subscribe(functools.partial(note, order, number))
    bus.emit(SPAWNED)
    assert order == [0, 1, 2, 3, 4]


def test_nobody_wants_what_nobody_subscribed_to(bus: EventBus, heard: list[Event]) -> None:
    assert not bus.wants(ActorSpawned)
    bus.subscribe(heard.append, ActorSpawned)
    assert bus.wants(ActorSpawned)
    assert not bus.wants(ActorStarted)
    bus.unsubscribe(heard.append)
    assert not bus.wants(ActorSpawned)


def test_whether_each_message_is_wanted_can_be_read_without_a_call(bus: EventBus, heard: list[Event]) -> None:
    answers = [bus.every_message]
    for kinds in ([ActorSpawned], []):
        bus.subscribe(heard.append, *kinds)
        answers.append(bus.every_message)
    bus.unsubscribe(heard.append)
    assert [*answers, bus.every_message] == [False, False, True, False]


def test_unsubscribing_undoes_every_subscription_of_a_function(bus: EventBus, heard: list[Event]) -> None:
    bus.subscribe(heard.append, ActorSpawned)
    bus.subscribe(heard.append, ActorStarted)
    bus.unsubscribe(heard.append)
    bus.emit(SPAWNED)
    bus.emit(STARTED)
    assert heard == []


def test_unsubscribing_a_stranger_is_ignored(bus: EventBus) -> None:
    bus.unsubscribe(print)


class TestRaising:
    def test_a_subscriber_that_raises_is_removed_and_the_others_are_told(
        self, bus: EventBus, heard: list[Event]
    ) -> None:
        deaf = Deaf()
        bus.subscribe(deaf.listen)
        bus.subscribe(heard.append)
        bus.emit(SPAWNED)
        bus.emit(STARTED)
        assert deaf.heard == [SPAWNED]
        removed, *events = sorted(heard, key=lambda event: not isinstance(event, SubscriberRemoved))
        assert events == [SPAWNED, STARTED]
        assert isinstance(removed, SubscriberRemoved)
        assert (removed.path, removed.subscriber, removed.error) == ("/a", "Deaf.listen", deaf.error)

    def test_the_emitter_never_hears_what_a_subscriber_raises(self, bus: EventBus) -> None:
        for error in (ValueError("x"), asyncio.CancelledError(), AssertionError("x")):
            bus.subscribe(Deaf(error).listen)
        bus.emit(SPAWNED)
        assert not bus.wants(ActorSpawned)

    def test_one_who_cannot_even_hear_of_a_removal_is_removed_too(self, bus: EventBus, heard: list[Event]) -> None:
        bus.subscribe(Deaf().listen)
        bus.subscribe(Deaf().listen, SubscriberRemoved)
        bus.subscribe(heard.append, SubscriberRemoved)
        bus.emit(SPAWNED)
        assert len(heard) == 2

    def test_one_who_subscribed_twice_is_called_no_more_and_removed_once(
        self, bus: EventBus, heard: list[Event]
    ) -> None:
        deaf = Deaf()
        bus.subscribe(deaf.listen, ActorSpawned)
        bus.subscribe(deaf.listen, Event)
        bus.subscribe(heard.append, SubscriberRemoved)
        bus.emit(SPAWNED)
        assert deaf.heard == [SPAWNED]
        assert len(heard) == 1

    def test_a_subscriber_without_a_name_is_told_by_its_repr(self, bus: EventBus, heard: list[Event]) -> None:
        class Nameless:
            def __call__(self, event: Event) -> None:
                raise ValueError

            def __repr__(self) -> str:
                return "<nameless>"

        bus.subscribe(Nameless(), ActorSpawned)
        bus.subscribe(heard.append, SubscriberRemoved)
        bus.emit(SPAWNED)
        (removed,) = heard
        assert isinstance(removed, SubscriberRemoved)
        assert removed.subscriber == "<nameless>"

    def test_a_program_that_is_being_ended_is_not_held_up(self, bus: EventBus) -> None:
        bus.subscribe(Deaf(KeyboardInterrupt()).listen)
        with pytest.raises(KeyboardInterrupt):
            bus.emit(SPAWNED)


def test_subscribing_while_an_event_is_told_counts_from_the_next_one(bus: EventBus, heard: list[Event]) -> None:
    def once(_: Event) -> None:
        bus.unsubscribe(once)
        bus.subscribe(heard.append)

    bus.subscribe(once)
    bus.emit(SPAWNED)
    bus.emit(STARTED)
    assert heard == [STARTED]


def test_two_buses_never_share_a_subscriber(bus: EventBus, heard: list[Event]) -> None:
    bus.subscribe(heard.append)
    EventBus().emit(SPAWNED)
    assert heard == []


KINDS: list[type[Event]] = [Event, ActorSpawned, ActorStarted, MessageProcessed]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("subscribe"), st.integers(0, 3), st.lists(st.sampled_from(KINDS), unique=True)),
            st.tuples(st.just("unsubscribe"), st.integers(0, 3), st.just([])),
            st.tuples(st.just("emit"), st.integers(0, 1), st.just([])),
        ),
        max_size=30,
    )
)
def test_the_remembered_answers_never_differ_from_the_subscriptions(story: list[tuple[str, int, Any]]) -> None:
    bus = EventBus()
    heard: list[list[Event]] = [[] for _ in range(4)]
    listeners = [one.append for one in heard]
    model: list[tuple[int, tuple[type[Event], ...]]] = []
    for verb, number, kinds in story:
        if verb == "subscribe":
            bus.subscribe(listeners[number], *kinds)
            model.append((number, tuple(kinds) or (Event,)))
        elif verb == "unsubscribe":
            bus.unsubscribe(listeners[number])
            model = [entry for entry in model if entry[0] != number]
        else:
            event = (SPAWNED, STARTED)[number]
            before = [len(one) for one in heard]
            wanted = [sum(who == one and isinstance(event, kinds) for who, kinds in model) for one in range(4)]
            assert bus.wants(type(event)) == any(wanted)
            bus.emit(event)
            got = [len(one) - earlier for one, earlier in zip(heard, before, strict=True)]
            assert [bool(one) for one in got] == [bool(one) for one in wanted]
