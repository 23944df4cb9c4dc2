"""The laws of a pool as one address and one child: its refs, its names, how it is written, what it refuses."""

import functools
from typing import Any

import pytest

from tests.actors.deeds import raised_by
from tests.actors.lives import Diary, Doer, Systems, crash, no_trace, quiet, sleep
from tests.supervision.pools import BY_KEY, ROUTINGS, Hand, Other, admin, hand, hands, pooled, spec
from tests.supervision.trees import Book, awaited, end_of, fell, member, now, states, top
from upright.actors import (
    Actor,
    ActorSystem,
    Bounded,
    NameTaken,
    Refuse,
    Shutdown,
    StartFailed,
    SystemFailed,
    UnknownHandler,
    WrongClass,
)
from upright.actors.testing import kill, settle
from upright.supervision import (
    Backoff,
    ChildSpec,
    Counts,
    Pool,
    Supervisor,
    child,
    dynamic,
    partitioned,
    pool,
    supervisor,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    return virtual_time


class NeedsArgument(Actor):
    """Cannot be made without an argument."""

    def __init__(self, currency: str, *, most: int = 3) -> None:
        self.currency, self.most = currency, most

    async def told(self) -> tuple[str, int]:
        return self.currency, self.most


class Queue:
    """A mailbox spec that is not `Bounded`."""

    def open(self, owner: Any) -> Any:
        return Bounded(1).open(owner)


class Strange(Actor):
    mailbox = Queue()


async def test_the_pool_is_one_address_for_its_workers_messages_and_for_its_own(system: Systems) -> None:
    async with pooled(system, Diary(), size=3) as s:
        assert await hands(s).ask(Hand.touch, "k") == "k@0"
        assert await s.ref("/top/pool", Pool).ask(Pool.size) == 3
        assert await s.ref("/top/pool", Pool).ask(Pool.count_children) == Counts(3, 3, 0, 3)
        assert await s.ref("/top/pool", Doer).ask(Doer.note, "base") == "base"
        assert await s.ref("/top/pool", Actor).ask(Hand.touch, "k")  # type: ignore[arg-type]  # found by name all the same


async def test_a_ref_of_another_class_is_refused_with_both_that_live_there(system: Systems) -> None:
    async with pooled(system, Diary()) as s:
        for wrong in (Other, NeedsArgument):
            with pytest.raises(WrongClass, match=rf"expected a {wrong.__name__} at /top/pool, found a Hand and Pool"):
                s.ref("/top/pool", wrong)
        with pytest.raises(WrongClass):
            s.ref("/top/pool/0", Pool)


async def test_a_handler_that_neither_has_is_refused(system: Systems) -> None:
    async with pooled(system, Diary()) as s:
        ref: Any = hands(s)
        for wrong in (NeedsArgument.told, Hand.started, Pool.started, Hand.stopping, len, "touch"):
            with pytest.raises(UnknownHandler):
                await ref.tell(wrong)


async def test_the_ref_of_a_worker_reaches_it_alone(system: Systems) -> None:
    for routing in ROUTINGS:
        diary = Diary()
        async with pooled(system, diary, size=3, routing=routing) as s:
            assert [await hand(s, number).ask(Hand.touch, "k") for number in (2, 2, 0)] == ["k@2", "k@2", "k@0"]
            assert await admin(s).ask(Pool.workers) == [hand(s, number) for number in range(3)]
            await settle()
            assert len([word for word in diary.words if "@" in word]) == 3


async def test_the_path_that_a_worker_finds_by_name_is_the_pools_sibling(system: Systems) -> None:
    book = Book()

    async def ask_sibling(me: Hand) -> None:
        await me.ctx.ref("friend", Doer).ask(Doer.note, f"hello from {me.ctx.path}")
        await me.ctx.ref("pool", Hand).tell(Hand.touch, "to the pool")
        assert me.ctx.self_ref.path == me.ctx.path

    async with pooled(system, Diary(), before=[book.child("friend")]) as s:
        await hand(s, 1).ask(Hand.work, "k", ask_sibling)
        await settle()
    assert book.pages["friend"].words[-3] == "hello from /top/pool/1 1"


async def test_watchers_of_the_pool_hear_of_its_end_for_good_only(system: Systems) -> None:
    book = Book()

    async def watch(me: Doer) -> None:
        me.ctx.watch(me.ctx.ref("pool", Hand), Doer.down)

    async with pooled(system, Diary(), after=[book.child("watcher")], max_restarts=0) as s:
        await member(s, "watcher").ask(Doer.do, watch)
        await fell(s, hand(s, 0), "crash")
        await kill(s, admin(s))
        await settle()
        assert book.pages["watcher"].downs == []
        await top(s).ask(Supervisor.terminate_child, "pool")
        await settle()
        (down,) = book.pages["watcher"].downs
        assert (down.ref.path, type(down.reason)) == ("/top/pool", Shutdown)


async def test_a_pool_is_a_child_like_any_other(system: Systems) -> None:
    async with pooled(system, Diary()) as s:
        infos = await top(s).ask(Supervisor.which_children)
        assert [(info.id, info.kind, info.ref) for info in infos] == [("pool", "supervisor", hands(s))]
        assert [info.kind for info in await admin(s).ask(Pool.which_children)] == ["worker", "worker"]
        await top(s).ask(Supervisor.terminate_child, "pool")
        assert hands(s).recipient is None
        assert await states(s) == {"pool": "down"}
        await top(s).ask(Supervisor.restart_child, "pool")
        assert (await hands(s).ask(Hand.touch, "k")).startswith("k@")
        late = await top(s).ask(Supervisor.start_child, pool("late", functools.partial(NeedsArgument, "EUR"), size=2))
        assert await late.ask(NeedsArgument.told) == ("EUR", 3)
        with pytest.raises(Refuse):
            await top(s).ask(Supervisor.start_child, spec(Diary()))
    assert no_trace()


async def test_a_pool_may_be_the_whole_tree_and_ends_the_system_when_it_gives_up(system: Systems) -> None:
    s: ActorSystem = quiet(system, tree=pool("pool", functools.partial(Hand, Diary(), None), size=2, max_restarts=0))
    with pytest.raises(SystemFailed, match=r"0 failed after 0 restarts within 5 s.*Oops"):
        async with s:
            assert await s.ref("/pool", Hand).ask(Hand.touch, "k") == "k@0"
            await s.ref("/pool/0", Hand).tell(Hand.do, crash)
            await s.wait()


async def test_a_name_that_is_taken_refuses_the_pool(system: Systems) -> None:
    async with quiet(system, tree=supervisor("top")) as s:
        await s.spawn("pool", Doer)
        with pytest.raises(NameTaken):
            await s.spawn_from(pool("pool", Hand, size=1).blueprint())


async def test_workers_start_one_after_the_other_and_end_in_reverse(system: Systems) -> None:
    book = Book()
    page = book.child("hand").args[0]
    async with quiet(system, tree=supervisor("top", pool("pool", functools.partial(Noting, page, None), size=3))):
        pass
    assert book.acts("starts", "ends") == [f"hand {word}" for word in ("starts", "starts", "starts", *["ends"] * 3)]
    assert page.words == ["starts 0", "starts 1", "starts 2", "ends 2", "ends 1", "ends 0"]


class Noting(Hand):
    """Notes its beginning and end with its number."""

    async def started(self) -> None:
        self.diary.add(f"starts {self.number}")

    async def stopping(self, reason: Any) -> None:
        self.diary.add(f"ends {self.number}")


async def test_when_a_worker_does_not_start_the_pool_does_not_and_those_before_are_ended(system: Systems) -> None:
    diary = Diary()

    async def started(me: Hand) -> None:
        if me.number == "1":
            await crash(me)

    with pytest.raises(StartFailed, match=r"/top/pool/1 did not start"):
        await pooled(system, diary, plans={"started": started}, size=3).start()
    assert diary.lives == 2
    assert no_trace()


async def test_a_worker_may_be_a_class_a_partial_or_a_child_spec_with_options(system: Systems) -> None:
    made: list[ChildSpec[Any]] = [
        pool("class", Hand, size=1),
        pool("partial", functools.partial(NeedsArgument, "EUR", most=7), size=2),
        pool("spec", child("ignored", NeedsArgument, "USD").options(shutdown=30.0, restart="transient"), size=2),
    ]
    async with quiet(system, tree=supervisor("top", *made)) as s:
        assert await s.ref("/top/partial", NeedsArgument).ask(NeedsArgument.told) == ("EUR", 7)
        assert await s.ref("/top/spec", NeedsArgument).ask(NeedsArgument.told) == ("USD", 3)
        for info in await s.ref("/top/spec", Pool).ask(Pool.which_children):
            assert (info.spec.shutdown, info.spec.restart) == (30.0, "transient")
        assert [info.id for info in await s.ref("/top/spec", Pool).ask(Pool.which_children)] == ["1", "0"]


async def test_the_options_of_the_pools_spec_are_those_of_the_pool_as_a_child(system: Systems) -> None:
    made = pool("pool", Hand, size=2, max_restarts=0).options(restart="temporary", start_timeout=9.0)
    assert (made.restart, made.start_timeout, made.supervises, made.id) == ("temporary", 9.0, True, "pool")
    async with quiet(system, tree=supervisor("top", made)) as s:
        ended = awaited(end_of(hands(s)))
        await fell(s, hand(s, 0), "crash")
        assert isinstance(await ended, Shutdown)
        assert await states(s) == {}


async def test_each_worker_has_its_own_back_off(system: Systems) -> None:
    held = {"backoff": Backoff(3.0, 30.0, jitter="none")}
    async with pooled(system, Diary(), worker=held, routing=BY_KEY) as s:
        start = now()
        for number in (0, 1):
            await fell(s, hand(s, number), "crash")
        await hand(s, 0).ask(Hand.touch, "k")
        assert now() - start == 3.0


CALLS = [
    (Supervisor.start_child, (child("x", Hand),)),
    (Supervisor.terminate_child, ("0",)),
    (Supervisor.restart_child, ("0",)),
    (Supervisor.delete_child, ("0",)),
]


@pytest.mark.parametrize(("call", "args"), CALLS)
async def test_workers_are_not_administered_one_by_one(system: Systems, call: Any, args: Any) -> None:
    diary = Diary()
    async with pooled(system, diary, size=2) as s:
        error = await raised_by(admin(s).ask(call, *args))
        assert isinstance(error, UnknownHandler)
        assert f"Hand has no {call.__name__}; and Pool, which stands in for it, has none either" in str(error)
        assert await admin(s).ask(Pool.size) == 2
    assert diary.lives == 2


@pytest.mark.parametrize("size", [0, -3, True, "4", 2.0, None])
@pytest.mark.parametrize("word", [pool, partitioned])
def test_a_wrong_size_is_refused_where_it_is_written_with_the_value(word: Any, size: Any) -> None:
    name = {"size": size} if word is pool else {"partitions": size}
    with pytest.raises(ValueError, match=r"'x' to be .*1 or more") as raised:
        word("x", Hand, **name)
    assert repr(size) in str(raised.value)


@pytest.mark.parametrize(
    ("worker", "kind", "text"),
    [
        pytest.param(pool("inner", Hand, size=2), TypeError, "got another pool", id="a pool"),
        pytest.param(partitioned("inner", Hand, partitions=2), TypeError, "got another pool", id="partitions"),
        pytest.param(Strange, TypeError, r"expected Strange.mailbox to be Bounded\(…\)", id="another mailbox"),
        pytest.param(
            child("x", Hand).options(restart="transient", significant=True), ValueError, "significant", id="significant"
        ),
        pytest.param(dict, TypeError, "expected a subclass of Actor", id="no actor"),
        pytest.param(functools.partial(int, 1), TypeError, "expected a subclass of Actor", id="a partial of none"),
        pytest.param(Hand(), TypeError, r"functools.partial\(Class, …\)", id="an instance"),
        pytest.param(None, TypeError, "as the worker, got None", id="nothing"),
    ],
)
@pytest.mark.parametrize("word", [pool, partitioned])
def test_what_cannot_be_a_worker_is_refused_where_it_is_written(word: Any, worker: Any, kind: Any, text: str) -> None:
    name = {"size": 2} if word is pool else {"partitions": 2}
    with pytest.raises(kind, match=text):
        word("x", worker, **name)


@pytest.mark.parametrize(("given", "text"), [({"max_restarts": -1}, "max_restarts"), ({"within": 0.0}, "within")])
def test_a_wrong_intensity_is_refused_where_it_is_written(given: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"expected {text} to be"):
        pool("x", Hand, size=1, **given)


def test_a_pool_may_be_of_supervisors_and_its_spec_is_of_its_workers_class() -> None:
    made: ChildSpec[NeedsArgument] = pool("x", functools.partial(NeedsArgument, "EUR"), size=1)
    assert made.serves is NeedsArgument
    assert pool("x", dynamic("d"), size=2).supervises


async def test_administration_is_answered_however_full_the_workers_are(system: Systems) -> None:
    """The bound of the workers' mailboxes is theirs; a pool is asked as any supervisor is."""
    kind = type("Hand", (Hand,), {"mailbox": Bounded(1, "reject")})
    async with pooled(system, Diary(), kind, size=1, plans={"started": sleep(1.0)}) as s:
        resized = awaited(admin(s).ask(Pool.resize, 2))
        await settle()
        asked = [awaited(admin(s).ask(Pool.size)) for _ in range(5)]
        await resized
        assert [await task for task in asked] == [2] * 5


async def test_the_tree_shows_the_pool_its_workers_and_what_waits_in_them(system: Systems) -> None:
    async with pooled(system, Diary(), size=2) as s:
        await settle()
        (node,) = s.tree().children[1].children
        assert [one.path for one in node.children] == ["/top/pool/0", "/top/pool/1"]
        assert hands(s).try_tell(Hand.touch, "k")
        assert [message.args for message in s.peek(hands(s))] == [("k",)]
        assert s.tree().children[1].children[0].depth == 1
