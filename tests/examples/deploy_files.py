"""The files of `examples/deploy/`, read strictly: a key that stands twice, or a line that says nothing, is refused."""

import argparse
import json
import re
import shlex
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec
import yaml

from tests.examples.deploy_shapes import Budget, Compose, ComposeService, Service, StatefulSet, TaskDefinition
from tests.house.rooms import ROOT

DEPLOY = ROOT / "examples" / "deploy"


class Run(NamedTuple):
    """What a command line `run …` says. `port`: of the health endpoints."""

    tree: str
    store: str
    host: str
    port: int
    admin: str
    drain: float


class Manifest(NamedTuple):
    """What every platform is told, in its own words. `writable`: paths that it lets the service write to."""

    words: list[str]
    grace: float
    before: float
    """Seconds of `grace` that pass before the service gets its signal."""
    writable: list[str]
    health: list[str]
    """The command of a probe that runs one; empty where probes ask over HTTP."""
    image: str
    user: str


class Strictly(argparse.ArgumentParser):
    """Raises where argparse would end the program."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def run_of(words: Sequence[str]) -> Run:
    """The command line of `upright`, by the options that are agreed for `run`."""
    parser = Strictly(allow_abbrev=False, add_help=False)
    parser.add_argument("command", choices=["run"])
    parser.add_argument("tree")
    for name in ("--store", "--health", "--admin"):
        parser.add_argument(name, required=True)
    parser.add_argument("--drain", type=float, required=True)
    said = parser.parse_args(list(words))
    host, _, port = said.health.rpartition(":")
    return Run(said.tree, said.store, host, int(port), said.admin, said.drain)


class StrictLoader(yaml.SafeLoader):
    """YAML in which no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len({*keys}):
            raise ValueError(f"expected no key twice, got {keys}{node.start_mark}")
        return super().construct_mapping(node, deep)


def yaml_documents(text: str) -> list[Any]:
    return list(yaml.load_all(text, StrictLoader))  # a SafeLoader


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"expected no key twice, got {[key for key, _ in pairs]}")
    return found


def kubernetes(text: str) -> tuple[Service, Budget, StatefulSet]:
    """The three objects of `kubernetes.yaml`."""
    objects = msgspec.convert(yaml_documents(text), list[Service | Budget | StatefulSet])
    match objects:
        case [Service() as service, Budget() as budget, StatefulSet() as pods]:
            return service, budget, pods
        case _:
            raise ValueError(f"expected a Service, a PodDisruptionBudget and a StatefulSet, got {objects}")


def ecs(text: str) -> TaskDefinition:
    return msgspec.convert(json.loads(text, object_pairs_hook=once), TaskDefinition)


def compose(text: str) -> Compose:
    (document,) = yaml_documents(text)
    return msgspec.convert(document, Compose)


def compose_service(text: str) -> ComposeService:
    return compose(text).services["jobs"]


def unit(text: str) -> dict[str, dict[str, list[str]]]:
    """The sections of a systemd unit, each key with all its values. Only `Environment` may stand twice."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if heading := re.fullmatch(r"\[(Unit|Service|Install)\]", line):
            if heading[1] in sections:
                raise ValueError(f"expected one section {line}")
            section = sections.setdefault(heading[1], {})
        elif setting := re.fullmatch(r"([A-Z][A-Za-z]+)=(.*)", line):
            values = section.setdefault(setting[1], [])
            if values and setting[1] != "Environment":
                raise ValueError(f"expected {setting[1]} once")
            values.append(setting[2].strip())
        else:
            raise ValueError(f"expected Key=value, got {line!r}")
    return sections


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its arguments in one line."""
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def last(of: str, text: str) -> str:
    """The last instruction of that name, which is the one that counts."""
    return [rest for word, rest in instructions(text) if word == of][-1]


def seconds(text: str) -> float:
    """A duration as Compose and systemd write it, of seconds and minutes."""
    found = re.fullmatch(r"(\d+)(s|m|min|)", text)
    if found is None:
        raise ValueError(f"expected a duration, got {text!r}")
    return float(found[1]) * (60.0 if found[2].startswith("m") else 1.0)


def of_kubernetes(text: str) -> Manifest:
    _, _, pods = kubernetes(text)
    pod = pods.spec.template.spec
    (container,) = pod.containers
    return Manifest(
        words=container.args,
        grace=pod.termination_grace_period_seconds,
        before=container.lifecycle.pre_stop.sleep.seconds,
        writable=[mount.mount_path for mount in container.volume_mounts],
        health=[],
        image=container.image,
        user=f"{pod.security_context.run_as_user}:{pod.security_context.run_as_group}",
    )


def of_ecs(text: str) -> Manifest:
    (container,) = ecs(text).container_definitions
    return Manifest(
        words=container.command,
        grace=container.stop_timeout,
        before=0.0,
        writable=[mount.container_path for mount in container.mount_points],
        health=container.health_check.command,
        image=container.image.rpartition("/")[2],
        user=container.user,
    )


def of_compose(text: str) -> Manifest:
    service = compose_service(text)
    return Manifest(
        words=service.command,
        grace=seconds(service.stop_grace_period),
        before=0.0,
        writable=[*(volume.split(":")[1] for volume in service.volumes), *(one.split(":")[0] for one in service.tmpfs)],
        health=service.healthcheck.test,
        image=service.image,
        user=service.user,
    )


def of_unit(text: str) -> Manifest:
    service = unit(text)["Service"]
    program, *words = shlex.split(service["ExecStart"][0])
    return Manifest(
        words=words,
        grace=seconds(service["TimeoutStopSec"][0]),
        before=0.0,
        writable=[f"/var/lib/{service['StateDirectory'][0]}", f"/run/{service['RuntimeDirectory'][0]}"],
        health=[],
        image=program,
        user=service["User"][0],
    )


MANIFESTS: dict[str, Callable[[str], Manifest]] = {
    "kubernetes.yaml": of_kubernetes,
    "ecs-task.json": of_ecs,
    "compose.yaml": of_compose,
    "jobs.service": of_unit,
}
CONTAINERS = [name for name in MANIFESTS if name != "jobs.service"]


def text_of(name: str) -> str:
    return Path(DEPLOY, name).read_text(encoding="utf-8")


def manifest(name: str) -> Manifest:
    return MANIFESTS[name](text_of(name))
