"""Lines come out as they went in, however the chunks were cut, and none of them takes more memory than it may."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from upright.command.demo.lines import LONGEST, Line, Splitter, lines_of

TEXT = st.lists(st.sampled_from([b"\n", b"\r\n", b"a", b"bc", b"\0", b"  ", b"\xff"]), max_size=60).map(b"".join)


def lines(chunks: list[bytes], longest: int = LONGEST) -> list[Line]:
    return [line for some in lines_of(chunks, longest) for line in some]


@given(TEXT, st.lists(st.integers(0, 60), max_size=8))
def test_how_the_chunks_are_cut_makes_no_difference(text: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[since:until] for since, until in itertools.pairwise(places)]
    assert lines(chunks) == lines([text])


@given(TEXT)
def test_lines_are_those_between_the_line_ends_and_are_numbered_from_one(text: bytes) -> None:
    expected = [part.removesuffix(b"\r") for part in text.split(b"\n")]
    if not text or text.endswith(b"\n"):
        expected.pop()
    found = lines([text])
    assert [line.text for line in found] == expected
    assert [line.number for line in found] == list(range(1, len(expected) + 1))


@given(st.lists(st.integers(0, 12), max_size=10), st.sampled_from([b"\n", b"\r\n"]))
def test_a_line_that_is_too_long_is_told_and_the_rest_goes_on(sizes: list[int], end: bytes) -> None:
    found = lines([b"".join(b"x" * size + end for size in sizes)], longest=5)
    assert [line.is_whole for line in found] == [size <= 5 for size in sizes]
    assert [len(line.text) for line in found] == [size if size <= 5 else 0 for size in sizes]


def test_what_is_too_long_is_dropped_while_it_comes() -> None:
    splitter = Splitter(longest=10)
    for _ in range(1_000):
        assert list(splitter.feed(b"x" * 1_000)) == []
        assert sum(map(len, splitter._parts)) <= 11
    assert list(splitter.feed(b"\nshort\n")) == [Line(1, b"", is_whole=False), Line(2, b"short")]


def test_a_line_of_blanks_is_empty_and_one_that_is_too_long_is_not() -> None:
    assert Line(1, b" \t\r").is_empty
    assert not Line(1, b"", is_whole=False).is_empty
