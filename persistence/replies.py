"""The reply to a durable ask as bytes: an answer, a refusal, or the word that there will be none."""

from typing import Any

from upright.actors.errors import ActorFailed, Refuse
from upright.actors.message import said, told

from .codec import HandlerCodec
from .forms import Locate

ANSWER, REFUSAL, FAILURE, UNBEGUN = b"a", b"r", b"f", b"u"


def replied(result: bytes) -> bytes:
    """An answer."""
    return ANSWER + result


def refused(error: Refuse) -> bytes:
    """A refusal."""
    return REFUSAL + said(error).encode("utf-8", "backslashreplace")


def failed(why: str) -> bytes:
    """It will not be answered any more."""
    return FAILURE + why.encode("utf-8", "backslashreplace")


def cancelled(begun: bool) -> bytes:
    """It was taken back by hand; `begun`: after an attempt that may have had effects."""
    return (FAILURE if begun else UNBEGUN) + b"the message was cancelled"


def read_reply(codec: HandlerCodec, reply: bytes, path: str, locate: Locate | None) -> Any:
    """What the handler returned. Raises `Refuse`, or `ActorFailed`."""
    kind, body = reply[:1], reply[1:]
    if kind == ANSWER:
        return codec.decode_result(body, locate)
    if kind == REFUSAL:
        raise Refuse(body.decode())
    if kind == UNBEGUN:
        raise ActorFailed(f"{path} did not handle {codec.method}: {body.decode()}", path, handled=False)
    raise ActorFailed(f"{path} could not handle {codec.method}: {body.decode()}", path, handled=True)


def no_reply(reason: str, error: BaseException | None) -> bytes:
    """It went to quarantine for that reason."""
    return failed(f"quarantined ({reason})" + (f", last: {told(error)}" if error is not None else ""))
