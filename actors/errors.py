"""Every error of the actors' wing, one root, flat.

ActorError
├── Refuse              a handler's negative answer; the actor stays as it was
│   ├── WrongArguments  the handler cannot be called with what was sent (also a TypeError)
│   └── GuardRefused    a policy did not let a call through; nothing was called
├── AskFailed           an ask that got no answer; says whether the message was handled
│   ├── AskTimedOut     (also a TimeoutError)
│   ├── ActorFailed     the actor crashed with the message in hand; `__cause__` is the crash
│   ├── ActorGone       the actor ended, or never was
│   ├── ActorRestarting the asker chose not to wait through a restart
│   └── AskCycle        the ask would have waited for itself
├── MailboxFull         gives the message back
├── StashFull
├── StartFailed         `started()` raised, or took too long; `__cause__` is the error
├── Ignore              an actor declines to start, which is no failure
├── NameTaken
├── WrongClass          the actor at that path is of another class
├── UnknownHandler      what was sent is no handler of that actor
├── NotDurable          what only a durable mailbox can do, or what it cannot
├── NotInHand           a call that only makes sense inside a handler
├── Detached            a zombie tried to act
├── SystemNotRunning
└── SystemFailed        the tree gave up, and the system has ended
"""

from .message import Message


class ActorError(Exception):
    """The root of all errors here."""


class Refuse(ActorError):
    """Raise it in a handler to answer the asker with a refusal. The actor does not crash and keeps its state."""


class WrongArguments(Refuse, TypeError):
    """A handler cannot be called with the arguments that were sent; it has not run."""


class GuardRefused(Refuse):
    """A policy did not let a call through: nothing was called, and nothing is known against the message.

    Where it escapes from a handler, the asker gets it, and the actor goes on; a durable message is put off until the
    policy may have room, and no attempt is used. `guard`: the policy's name. `retry_after`: seconds until it is worth
    asking again, as far as that is known.
    """

    def __init__(self, text: str, guard: str, retry_after: float) -> None:
        super().__init__(text)
        self.guard = guard
        self.retry_after = retry_after


class AskFailed(ActorError):
    """An ask ended without an answer.

    `path`: whom was asked. `handled`: whether its handler had begun, so that the message may have had effects.
    """

    def __init__(self, text: str, path: str, handled: bool) -> None:
        super().__init__(text)
        self.path = path
        self.handled = handled


class AskTimedOut(AskFailed, TimeoutError):
    """No reply came before the deadline.

    `message`: the id of the message, where it is stored and will be handled all the same; else None.
    """

    message: int | None = None


class ActorFailed(AskFailed):
    """The actor crashed while it handled the message; `__cause__` is what it raised."""


class ActorGone(AskFailed):
    """The actor ended before it answered, or nobody lives at that path."""


class ActorRestarting(AskFailed):
    """The actor restarts, and the ask was told to fail fast rather than wait for its turn."""


class AskCycle(AskFailed):
    """The asked actor is itself waiting, directly or through others, for the asker.

    `chain`: the paths, from the actor that waits longest to the one asked.
    """

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__(f"this ask would wait for itself: {' asks '.join(chain)}", chain[-1], handled=False)
        self.chain = chain


class MailboxFull(ActorError):
    """There was no room. `message` is what was not delivered, `path` whom it was for."""

    def __init__(self, path: str, message: Message, why: str = "") -> None:
        super().__init__(f"the mailbox of {path} is full{why}; not delivered: {message.handler}")
        self.path = path
        self.message = message


class StashFull(ActorError):
    """The stash holds as many messages as it may; the one in hand was not added."""


class StartFailed(ActorError):
    """An actor did not come up; `path` says which, `__cause__` why."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path} did not start: {why}")
        self.path = path


class Ignore(ActorError):
    """Raise it in `started()` to decline to start. A supervisor keeps the spec and goes on without the child."""


class NameTaken(ActorError):
    """Another actor lives at that path."""

    def __init__(self, path: str) -> None:
        super().__init__(f"expected a free name, but an actor lives at {path}; stop it first or choose another name")
        self.path = path


class WrongClass(ActorError, TypeError):
    """The actor at that path is not of the class that the ref was made for."""


class UnknownHandler(ActorError, TypeError):
    """What was sent names no handler of the actor's class."""


class NotDurable(ActorError):
    """An actor with its mailbox in memory was sent what only a store could keep, or the other way round."""


class NotInHand(ActorError):
    """There is no message in hand to stash or forward."""


class Detached(ActorError):
    """Raised inside a zombie, an incarnation that swallowed its cancellation, at each of its sends."""


class SystemNotRunning(ActorError):
    """The actor system was not started yet, or has stopped."""


class SystemFailed(ActorError):
    """The system ended by itself, because its tree gave up.

    The text says which child, how often, and the last error.
    """
