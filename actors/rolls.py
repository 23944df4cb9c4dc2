"""Who takes part in what, by name: the ground on which topics and groups stand.

Membership is the logical actor's: it outlives a restart, as the mailbox does, and ends when the actor has ended for
good. A roll that nobody is on any more is forgotten.
"""

from typing import Any, Protocol

from .errors import ActorGone, WrongClass
from .exits import Exit
from .handlers import Handler
from .mailbox import Mailbox
from .refs import Ref


class Member(Protocol):
    """What a roll needs of an actor."""

    @property
    def path(self) -> str: ...
    @property
    def self_ref(self) -> Ref[Any]: ...
    @property
    def mailbox(self) -> Mailbox: ...
    @property
    def watchers(self) -> "dict[Any, None]": ...


class Entry:
    """One member, and the handlers that it wants called. It is struck off when the actor has ended."""

    __slots__ = ("_roll", "handlers", "member")

    def __init__(self, roll: "Roll", member: Member) -> None:
        self._roll, self.member = roll, member
        self.handlers: dict[Handler, None] = {}

    def down(self, _: Exit) -> None:
        """The actor has ended for good; it forgets its watchers itself."""
        self._roll.forget(self.member)


class Roll:
    """All members of one topic or group."""

    __slots__ = ("_rolls", "entries", "key", "kind")

    def __init__(self, rolls: "Rolls", key: tuple[str, str], kind: object) -> None:
        self._rolls, self.key, self.kind = rolls, key, kind
        self.entries: dict[Member, Entry] = {}

    def add(self, member: Member) -> Entry:
        """Its entry, made if it has none yet."""
        entry = self.entries.get(member)
        if entry is None:
            entry = self.entries[member] = Entry(self, member)
            member.watchers[entry] = None
        return entry

    def remove(self, member: Member) -> None:
        """Strike a member off; one that is not on the roll is no error."""
        entry = self.entries.get(member)
        if entry is not None:
            member.watchers.pop(entry, None)
            self.forget(member)

    def forget(self, member: Member) -> None:
        """Drop the entry, and the roll with the last one."""
        self.entries.pop(member, None)
        if not self.entries:
            self._rolls.pop(self.key, None)


class Rolls(dict[tuple[str, str], Roll]):
    """All rolls of one system, by what they are for (`topic`, `group`) and by name."""

    def find(self, what: str, name: str, kind: object) -> Roll | None:
        """The roll, or None while nobody is on it. Raises `WrongClass` if it is one for another kind."""
        roll = self.get((what, name))
        if roll is not None and roll.kind != kind:
            raise WrongClass(f"expected a {what} of {_named(kind)}, but {name!r} is one of {_named(roll.kind)}")
        return roll

    def enter(self, what: str, name: str, kind: object, ref: Ref[Any]) -> Entry:
        """The entry of that actor, made if there is none. Raises `ActorGone` if nobody lives there."""
        roll = self.find(what, name, kind)
        member: Any = ref.recipient
        if member is None:
            raise ActorGone(f"nobody lives at {ref.path}", ref.path, handled=False)
        if roll is None:
            roll = self[what, name] = Roll(self, (what, name), kind)
        return roll.add(member)


def _named(kind: object) -> str:
    return getattr(kind, "__name__", repr(kind))
