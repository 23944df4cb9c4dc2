"""The services as a client sees them: one HTTP call each, and what its answer means."""

from pathlib import Path

import aiohttp
import msgspec

from upright.supervision.retry import RetryAfter

from .machine import No
from .order import Order

NO = frozenset({402, 409, 422})
"""The statuses by which the business says no."""


class Failing(ConnectionError):
    """A service answered that something is wrong with it."""


class HttpServices:
    """Calls them at the ports that they wrote into the folder."""

    def __init__(self, session: aiohttp.ClientSession, folder: Path) -> None:
        self._session, self._folder = session, folder

    async def call(self, service: str, verb: str, key: str, order: Order) -> str:
        """The number of what was done. Raises `No`, `RetryAfter`, `Failing`, or what the connection does."""
        port = int((self._folder / f"{service}.port").read_text())
        body = {
            "order_id": order.id,
            "cents": order.cents,
            "card": order.card,
            "item": order.item,
            "country": order.country,
        }
        url, headers = f"http://127.0.0.1:{port}/{verb}", {"Idempotency-Key": key}
        async with self._session.post(url, data=msgspec.json.encode(body), headers=headers) as answer:
            said = await answer.read()
            if answer.status == 200:
                return str(msgspec.json.decode(said)["number"])
            error = str(msgspec.json.decode(said).get("error", ""))
            if answer.status in NO:
                raise No(error)
            if answer.status == 503:
                raise RetryAfter(float(answer.headers.get("Retry-After", "1"))) from Failing(f"{service}: {error}")
            raise Failing(f"{service} answered {answer.status}: {error}")
