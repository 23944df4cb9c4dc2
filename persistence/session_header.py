"""The first bytes of a session's file: whose it is, and when it last said that it goes on.

They stand apart from the record of what runs because others read them again and again while their owner lives.
"""

import os
import struct
import time
from dataclasses import dataclass
from typing import Final

from .errors import StoreCorrupt, StoreTooNew

MAGIC: Final = b"upright\x1a"
VERSION: Final = 1
HEADER: Final = struct.Struct("<8sII16sddd8x")  # magic, version, pid, boot, created, lease, beat
BEAT: Final = struct.Struct("<d")
BEAT_AT: Final = 48
BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Header:
    """Whose file it is.

    `pid`: the process. `boot`: the id of the boot that it lived in, "" where the system has none (macOS); the pid of
    another boot means nothing. `created`: seconds since 1970. `lease`: for how many seconds a beat holds; 0, and its
    lock alone tells whether it lives. `beat`: when it last said that it goes on, in seconds of `time.monotonic`, which
    all processes of one boot share, and which stands still while the machine sleeps.
    """

    pid: int
    boot: str
    created: float
    lease: float = 0.0
    beat: float = 0.0


def new_header(lease: float) -> bytes:
    """The header of a session of this process that begins now."""
    boot = bytes.fromhex(boot_id()) or bytes(16)
    return HEADER.pack(MAGIC, VERSION, os.getpid(), boot, time.time(), lease, time.monotonic())


def parse_header(path: str | os.PathLike[str], content: bytes) -> Header | None:
    """The header that this content begins with; None if it was lost in a power cut.

    Raises `StoreTooNew`, `StoreCorrupt`, which name the `path`.
    """
    if not any(content[: HEADER.size]):
        return None  # a power cut: the file's length was on disk, not what it held
    if len(content) < HEADER.size or not content.startswith(MAGIC):
        raise StoreCorrupt(
            f"expected {os.fspath(path)} to be a session file of upright, but it belongs to another program"
        )
    _, version, pid, boot, created, lease, beat = HEADER.unpack_from(content)
    if version > VERSION:
        raise StoreTooNew(
            f"expected {os.fspath(path)} to be of version {VERSION} or older, got {version}: use a newer upright"
        )
    return Header(pid, boot.hex() if any(boot) else "", created, lease, beat)


def boot_id() -> str:
    """The id of this boot, 32 digits; "" where the system has none."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip().replace("-", "")
    except OSError:
        return ""
