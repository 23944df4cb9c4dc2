"""The laws of a page: plain columns without a terminal, whatever the cells hold and whatever the encoding is."""

import io
import json
from typing import Any

from upright.command.page import Page
from upright.command.tree import drawn, twigs_of


def test_columns_stand_below_each_other_and_numbers_at_the_right() -> None:
    out = io.StringIO()
    Page(out=out).table(["id", "name", "state"], [[7, "ada", "running"], [1234, "日本", "x\ny"], [1, "", ""]])
    assert out.getvalue() == "  id  name  state\n   7  ada   running\n1234  日本  x\\ny\n   1\n"


def test_a_document_is_one_line_of_ascii() -> None:
    out = io.StringIO()
    Page(as_json=True, out=out).document({"name": "日本\x1b\u202e\ud800", "at": 1.5})
    line = out.getvalue()
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line) == {"name": "日本\x1b\u202e\ud800", "at": 1.5}


def test_what_an_encoding_does_not_know_is_written_as_an_escape() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    page = Page(out=out)
    page.line("日本", "ok")
    page.flush()
    assert raw.getvalue() == b"\\u65e5\\u672c ok\n"


def test_a_tree_is_drawn_with_what_the_encoding_knows() -> None:
    leaf: dict[str, Any] = {"path": "/a/b", "state": "running", "children": []}
    tree: dict[str, Any] = {
        "path": "/",
        "state": "running",
        "children": [{**leaf, "path": "/a", "children": [leaf]}, leaf],
    }
    for encoding, shapes in (("ascii", ("|-- a", "|   `-- b", "`-- b")), ("utf-8", ("├── a", "│   └── b", "└── b"))):
        page = Page(out=io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        lines = drawn(tree, twigs_of(page)).plain.splitlines()
        assert [line.partition(" running")[0] for line in lines] == ["/", *shapes]
