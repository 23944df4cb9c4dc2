"""The errors of this wing:

ActorError
├── StoreError
│   ├── StoreUnavailable    nothing was written; try again
│   ├── OutcomeUnknown      it may have been written, or not
│   ├── StoreTooNew         the file was written by a newer version
│   └── StoreCorrupt        the file is no store, or a damaged one
├── NoStore                 a durable actor in a system without a store
├── AddressTaken            two mailboxes of one system have the same address
├── NotStaged               what cannot be done inside a delivery
├── NoEntity                no entity was named, or there are none at that address
├── RunFailed               a run of a state machine waits in quarantine
└── RunNotFound             there is no such run, or it does not stand so
Undecodable (ValueError)    a payload that does not fit its handler any more
"""

from upright.actors.errors import ActorError


class StoreError(ActorError):
    """Something is wrong with the store."""


class StoreUnavailable(StoreError):
    """The store did not take it: locked for too long, full, read-only, gone. Nothing was written."""


class OutcomeUnknown(StoreError):
    """It was written, but whether it is on disk cannot be told: the sync failed, or whoever did it died."""


class StoreTooNew(StoreError):
    """The store was written by a newer version than this one."""


class StoreCorrupt(StoreError):
    """What is there is not a store, or a damaged one."""


class NoStore(ActorError):
    """An actor with a durable mailbox needs a system with a store: `ActorSystem(tree, store=Sqlite("jobs.db"))`."""


class AddressTaken(ActorError):
    """Two actors of one system have durable mailboxes with the same address; let a pool share it among workers."""


class NoEntity(ActorError):
    """A message for one of many names none, or one is named where there is only one: `accounts.entity("a-17")`."""


class NotStaged(ActorError):
    """It cannot be done inside a delivery, which commits all that it does at its end."""


class RunFailed(ActorError):
    """A run of a state machine has failed in that `state`, and waits for somebody who mends it: see `Run.redrive`.

    `letter`: the message of the step that failed, in quarantine.
    """

    def __init__(self, run: str, state: str, error: str, letter: int) -> None:
        super().__init__(f"run {run} has failed in state {state}: {error}")
        self.run, self.state, self.error, self.letter = run, state, error, letter


class RunNotFound(ActorError):
    """There is no such run, or it does not stand as it would have to."""
