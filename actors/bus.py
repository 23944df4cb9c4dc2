"""One event bus per system. Nothing is built when nobody listens: emitters ask `wants` first."""

from collections.abc import Callable
from typing import Any

from .events import Event, MessageProcessed, SubscriberRemoved

Subscriber = Callable[[Any], None]


class EventBus:
    """Hands events to whoever subscribed to their class.

    A subscriber is a plain function; it is called at once, in the order of subscription, and must not block. One that
    raises is removed, and `SubscriberRemoved` tells the others.

    >>> from upright.actors.events import ActorSpawned
    >>> bus, seen = EventBus(), []
    >>> bus.subscribe(seen.append, ActorSpawned)
    >>> if bus.wants(ActorSpawned):
    ...     bus.emit(ActorSpawned("/bank", "Bank"))
    >>> [event.name for event in seen]
    ['actor.spawned']
    """

    __slots__ = ("_subscribers", "_wanted", "every_message", "heard")

    def __init__(self) -> None:
        self._subscribers: list[tuple[Subscriber, tuple[type[Event], ...]]] = []
        self._wanted: dict[type[Event], tuple[Subscriber, ...]] = {}
        self.heard = False
        """Whether anybody has subscribed to anything."""
        self.every_message = False
        """Whether somebody listens to `MessageProcessed`; a plain attribute, for the loop of the actors reads it."""

    def subscribe(self, subscriber: Subscriber, *kinds: type[Event]) -> None:
        """Call `subscriber` with each event of these classes; without classes, with every event."""
        self._subscribers.append((subscriber, kinds or (Event,)))
        self._forget_answers()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Undo every `subscribe` of this function; unknown ones are ignored."""
        self._subscribers = [entry for entry in self._subscribers if entry[0] != subscriber]
        self._forget_answers()

    def wants(self, kind: type[Event]) -> bool:
        """Whether anybody would get an event of this class."""
        listeners = self._wanted.get(kind)
        return bool(self._listeners(kind) if listeners is None else listeners)

    def emit(self, event: Event) -> None:
        """Hand the event to its subscribers. Never raises what they raise."""
        for subscriber in self._listeners(type(event)):
            if all(subscriber != one for one, _ in self._subscribers):
                continue  # removed by one before it, or by its own first subscription
            try:
                subscriber(event)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # also a CancelledError: it is the subscriber's, not the emitting actor's
                self.unsubscribe(subscriber)
                self.emit(SubscriberRemoved(event.path, getattr(subscriber, "__qualname__", repr(subscriber)), error))

    def _listeners(self, kind: type[Event]) -> tuple[Subscriber, ...]:
        listeners = self._wanted.get(kind)
        if listeners is None:
            listeners = self._wanted[kind] = tuple(who for who, kinds in self._subscribers if issubclass(kind, kinds))
        return listeners

    def _forget_answers(self) -> None:
        self._wanted = {}
        self.heard = bool(self._subscribers)
        self.every_message = self.wants(MessageProcessed)
