"""A ledger does for a key once what it is asked, and writes down every call."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from upright.command.demo.ledger import Ledger


def test_the_same_key_gets_the_same_answer_and_no_second_effect(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "payments.db")) as ledger:
        first, was_known = ledger.book("key-1", "charge", "o-1", 990)
        again, is_known = ledger.book("key-1", "charge", "o-1", 990)
        other, _ = ledger.book("key-2", "charge", "o-2", 990)
        ledger.note("charge", "o-3", "no: card declined")
        assert (first == again, first == other, was_known, is_known) == (True, False, False, True)
        assert (ledger.effects, ledger.calls) == (2, 4)
    with closing(sqlite3.connect(tmp_path / "payments.db")) as database:
        rows = database.execute("SELECT key, order_id FROM effect ORDER BY id").fetchall()
        calls = database.execute("SELECT outcome FROM call ORDER BY id").fetchall()
    assert rows == [("key-1", "o-1"), ("key-2", "o-2")]
    assert calls == [("done",), ("replay",), ("done",), ("no: card declined",)]


def test_a_key_that_was_used_for_something_else_is_refused(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "payments.db")) as ledger:
        ledger.book("key-1", "charge", "o-1", 990)
        with pytest.raises(ValueError, match="expected another key: this one was used for charge"):
            ledger.book("key-1", "refund", "o-1", 990)
        assert ledger.effects == 1


def test_it_goes_on_with_what_is_in_the_file(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "mail.db")) as ledger:
        number, _ = ledger.book("key-1", "notify", "o-1", 0)
    with closing(Ledger(tmp_path / "mail.db")) as ledger:
        assert ledger.book("key-1", "notify", "o-1", 0) == (number, True)
        assert (ledger.effects, ledger.calls) == (1, 2)
