"""Rules about who may import whom. Each takes a house and returns one line per offence."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tests.house.rooms import WINGS, House, Import, Room

# Floor: what it may import of ours beside itself. A test kit stands above the wing that it lies in, so that nothing
# of the runtime ever loads it.
FLOORS: dict[str, frozenset[str]] = {
    "actors": frozenset(),
    "actors.testing": frozenset({"actors"}),
    "supervision": frozenset({"actors"}),
    "persistence": frozenset({"actors", "supervision"}),
    "persistence.testing": frozenset({"actors", "actors.testing", "supervision", "persistence"}),
    "operations": frozenset({"actors", "actors.testing", "supervision", "persistence", "persistence.testing"}),
    "command": frozenset({"actors", "supervision", "persistence", "operations"}),
}
# Rooms of `supervision` without a loop: all that `persistence` may know of it.
PURE_SUPERVISION = frozenset({"backoff", "checks", "events", "parking", "retry", "shared_limit", "spec"})


def floor_of(module: str) -> str | None:
    """The floor that a module of ours stands on; None for a module that is not ours."""
    inner = module.removeprefix("upright.")
    floors = [name for name in FLOORS if inner == name or inner.startswith(f"{name}.")]
    return max(floors, key=len, default=None) if inner != module else None


def ours(house: House, room: Room) -> Iterator[tuple[Import, str]]:
    """A room's imports of wings, each with the module it loads."""
    for seen in room.imports():
        target = house.target(seen)
        if floor_of(target):
            yield seen, target


def circles(house: House) -> list[str]:
    """No import circle, not even one hidden in a function or under TYPE_CHECKING."""
    graph = {room.module: {target for _, target in ours(house, room)} for room in house.wings}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" → ".join(reversed(error.args[1]))]
    return []


def climbs(house: House, pure: frozenset[str] = PURE_SUPERVISION) -> list[str]:
    """A wing imports only the wings below it, and `persistence` only pure rooms of `supervision`."""
    found: list[str] = []
    for room in house.wings:
        floor = floor_of(room.module)
        for seen, target in ours(house, room):
            below = floor_of(target)
            if floor is None or below is None or below == floor:
                continue
            if below not in FLOORS[floor]:
                found.append(f"{room.path}:{seen.line}: {floor} may not import {below}")
            elif (floor, below) == ("persistence", "supervision") and target.rsplit(".", 1)[-1] not in pure:
                found.append(f"{room.path}:{seen.line}: {target} is not one of supervision's pure rooms")
    return found


def faces_imported(house: House) -> list[str]:
    """Rooms import from rooms: nobody in the house imports a face."""
    found: list[str] = []
    for room in house.wings:
        for seen, target in ours(house, room):
            known = house.by_module.get(target)
            if (known and known.is_face) or target.removeprefix("upright.") in FLOORS:
                found.append(f"{room.path}:{seen.line}: imports the face {target}; import the room")
    return found


def spellings(house: House) -> list[str]:
    """Inside a wing imports are relative, across wings absolute."""
    found: list[str] = []
    for room in house.wings:
        home = f"upright.{room.wing}"
        for seen in room.imports():
            inside = seen.module == home or seen.module.startswith(f"{home}.")
            if inside and not seen.level:
                found.append(f"{room.path}:{seen.line}: {seen.module} is in the same wing; import it relatively")
            elif seen.level and not inside:
                found.append(f"{room.path}:{seen.line}: a relative import leaves the wing; import absolutely")
    return found


def private_names(house: House) -> list[str]:
    """No name with a leading underscore is imported across wings."""
    return [
        f"{room.path}:{seen.line}: {seen.module}.{seen.name or ''} is private to another wing"
        for room in house.wings
        for seen, target in ours(house, room)
        if target.split(".")[1] != room.wing
        and any(part.startswith("_") for part in (*seen.module.split("."), seen.name or ""))
    ]


def bare_wings(house: House) -> list[str]:
    """The import names are `upright.actors` and so on: the bare folder names belong to other people."""
    return [
        f"{room.path}:{seen.line}: import {seen.module.split('.')[0]} as upright.{seen.module.split('.')[0]}"
        for room in house.rooms
        for seen in room.imports()
        if not seen.level and seen.module.split(".")[0] in WINGS
    ]
