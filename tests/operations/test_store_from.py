"""A line of text names a store, or it is refused with what was expected: never a file of an odd name instead."""

from pathlib import Path

import pytest

from tests.operations.bank import system_on
from upright.operations import store_from
from upright.persistence import Memory, Sqlite, StoreError

ODD = (
    "jobs.db",
    "jobs",
    "./jobs",
    "a:b/jobs",
    "C:\\jobs.db",
    "C:/jobs.db",
    "./mysql:jobs",
    "Aufträge 2.db",
    "データ.db",
    "-",
)


@pytest.mark.parametrize("text", ODD)
def test_a_path_is_a_file_with_that_name(text: str) -> None:
    assert repr(store_from(text)) == repr(Sqlite(text))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:jobs.db", "jobs.db"),
        ("sqlite:./jobs.db", "./jobs.db"),
        ("sqlite:/var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:///var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:////var/lib/jobs.db", "/var/lib/jobs.db"),
        ("sqlite:größe.db", "größe.db"),
    ],
)
def test_sqlite_takes_a_relative_or_an_absolute_path_also_as_a_url(text: str, path: str) -> None:
    assert repr(store_from(text)) == repr(Sqlite(path))


def test_memory_is_a_store_in_memory() -> None:
    assert isinstance(store_from("memory:"), Memory)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "sqlite:", "sqlite: ", "sqlite:/", "sqlite://", "sqlite:///", "sqlite://jobs.db", "sqlite::memory:",
        "memory:jobs", "mysql:jobs", "postgres://host/jobs", "postgresql+asyncpg://host/jobs", "sqlite3:jobs.db",
        "SQLITE:jobs.db", "file:jobs.db?mode=ro", "jobs/", "jobs\\", "sqlite:jobs/", "jo\0bs.db",
    ],
)  # fmt: skip
def test_what_is_no_store_is_refused_with_the_value_and_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"a store such as jobs\.db, sqlite:jobs\.db or memory:, got") as found:
        store_from(text)
    assert repr(text) in str(found.value)


@pytest.mark.parametrize("text", ["memory", ":memory:"])
def test_what_surely_means_a_store_in_memory_makes_no_file_but_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match=rf"got '{text}': memory:\?$"):
        store_from(text)


@pytest.mark.anyio
async def test_a_folder_in_place_of_a_file_is_an_error_of_the_store_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=str(tmp_path)):
        await system_on(store_from(str(tmp_path))).start()
