"""What else goes into the store with the end of a delivery, for one that is a part of something larger."""

from typing import Protocol

from upright.supervision.retry import Retry

from .records import Failure, Outgoing, RecordWrite, Verdict


class NotYet(Exception):
    """A newer program than this has written what is needed here. In a rolling deploy one of the newer ones will take
    it: the delivery is put off, and no attempt is used.
    """


class UsedUp(Exception):
    """No attempt is left: its process died in the last one. Nothing was tried now."""


class Plan(Protocol):
    """A step of a run, say: what its delivery records besides its own end. `retry`: the policy that counts for it, in
    place of the mailbox's.
    """

    retry: Retry

    def records(self, outcome: str, failure: Failure | None) -> tuple[RecordWrite, ...]:
        """What is to be recorded with that outcome."""
        ...

    def outgoing(self, outcome: str) -> tuple[Outgoing, ...]:
        """What is to be stored with that outcome, besides what the handler told."""
        ...

    def settled(self, verdict: Verdict) -> None:
        """Whether it was written."""
        ...
