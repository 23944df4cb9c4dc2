"""`upright send`: tells or asks an actor something, as any sender would."""

import json
from collections.abc import Sequence
from typing import Any, cast

import click

from .options import aimed, without_nones
from .page import Page
from .target import Target
from .words import clean


@click.command()
@click.argument("path")
@click.argument("handler")
@click.argument("arguments", nargs=-1, metavar="[ARGUMENT=VALUE]...")
@click.option("--json-arguments", metavar="JSON", help="Arguments as one JSON object.")
@click.option("--ask", "asks", is_flag=True, help="Wait for the reply, and print it.")
@click.option("--within", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="How long to wait for it.")
@click.option("--once", metavar="KEY", help="Accepted once for that key, by durable actors.")
@aimed
def send(
    target: Target, page: Page, path: str, handler: str, arguments: tuple[str, ...], json_arguments: str | None,
    asks: bool, within: float | None, once: str | None,
) -> None:  # fmt: skip
    """Tell the actor at PATH something; with --ask, wait for its reply.

    On a store alone, PATH is an address. A VALUE that is JSON is taken as such, anything else as a string:

    \b
        upright send /shop/mailer send to=ada@example.org text="Thank you"
        upright send /shop/till charge order=o-1 cents=990 --once o-1 --ask
    """
    if once == "":
        raise click.UsageError("expected --once to get a key, got an empty string")
    if within is not None and not within <= 1e9:
        raise click.UsageError(f"expected --within to be a number of seconds, 1e9 at most, got {within}")
    if within is not None and not asks:
        raise click.UsageError("expected --within together with --ask: a tell waits for nothing")
    given = without_nones(to=path, handler=handler, arguments=read(arguments, json_arguments), once=once, within=within)
    answer = target.call("send", given | ({"ask": True} if asks else {}))
    if page.as_json:
        page.document(answer)
    elif "reply" in answer:
        page.line(json.dumps(answer["reply"], ensure_ascii=False))
    elif answer.get("duplicate"):
        page.line(f"message {answer['id']} was there already, with this key: nothing was changed")
    elif "id" in answer:
        page.line(f"stored as message {answer['id']}")
    else:
        page.line("sent")


def read(words: Sequence[str], document: str | None) -> dict[str, Any]:
    """The arguments by name. Raises `click.UsageError`."""
    arguments = dict[str, Any]()
    if document is not None:
        try:
            found: object = json.loads(document)
        except ValueError as error:
            raise click.UsageError(f"expected --json-arguments to be JSON: {error}") from error
        if not isinstance(found, dict):
            raise click.UsageError('expected --json-arguments to be an object, such as {"to": "ada"}')
        arguments.update(cast("dict[str, Any]", found))
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise click.UsageError(f"expected ARGUMENT=VALUE, got {clean(word)}")
        if name in arguments:
            raise click.UsageError(f"expected each argument once, got {name} twice")
        arguments[name] = value_of(value)
    return arguments


def value_of(text: str) -> Any:
    """What a word says as JSON; the word itself where it is none.

    >>> value_of("3"), value_of("true"), value_of('["a"]'), value_of("ada"), value_of("NaN")
    (3, True, ['a'], 'ada', 'NaN')
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(text: str) -> None:
    raise ValueError(text)
