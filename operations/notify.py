"""Telling whoever started the process how it does: the protocol of systemd's `sd_notify`, which others speak as well.

One datagram to the socket that `NOTIFY_SOCKET` names: `READY=1` when the service is up, `STOPPING=1` when it begins to
drain, `WATCHDOG=1` as a sign of life. Without that variable nothing is sent. See `man sd_notify`, which promises that
the protocol does not change.
"""

import os
import socket
from collections.abc import Mapping

from upright.actors.message import told


class Notifier:
    """Sends to the socket that the environment names; `trouble`: why the last datagram could not be sent, "" if it was.

    >>> Notifier({}).tell("READY=1")
    False
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._address = given.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog(given) if self._address else 0.0
        """Seconds within which a sign of life is expected; 0 if none is."""
        self.trouble = ""

    def tell(self, *lines: str) -> bool:
        """Send these; whether they were sent. It never waits, and a manager that is gone is no error."""
        if not self._address:
            return False
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            self.trouble = told(error)
            return False
        self.trouble = ""
        return True


def _watchdog(environment: Mapping[str, str]) -> float:
    """See `man sd_watchdog_enabled`: the variable may be for another process, which has passed its own on."""
    try:
        wanted = int(environment.get("WATCHDOG_PID", "") or os.getpid())
        micros = int(environment.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return 0.0
    return max(micros, 0) / 1e6 if wanted == os.getpid() else 0.0
