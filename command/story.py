"""`upright story`: the life of one message."""

import time

import click

from .options import aimed
from .page import Page
from .target import Target
from .words import when


@click.command()
@click.argument("id", type=int)
@aimed
def story(target: Target, page: Page, id: int) -> None:
    """Tell the life of the message ID, from when it was stored."""
    answer = target.call("story", {"id": id})
    if page.as_json:
        page.document(answer)
        return
    now = time.time()
    rows = [
        [when(one["at"], now), one["name"], one.get("attempt") or "", one.get("owner", ""), one.get("note", "")]
        for one in answer["story"]
    ]
    page.table(["at", "what", "attempt", "by", "note"], rows)
