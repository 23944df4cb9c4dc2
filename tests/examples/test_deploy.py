"""The manifests of `examples/deploy/` say what the service needs, agree with each other, and hold no typo."""

import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import msgspec
import pytest

from tests.examples.deploy_files import (
    CONTAINERS,
    DEPLOY,
    MANIFESTS,
    compose,
    compose_service,
    ecs,
    instructions,
    kubernetes,
    last,
    manifest,
    run_of,
    seconds,
    text_of,
    unit,
)
from tests.house.rooms import ROOT, WINGS
from upright.command import probe
from upright.command.run import run

ENDPOINTS = {"startup": "/startupz", "live": "/livez", "ready": "/readyz"}
every_manifest = pytest.mark.parametrize("name", MANIFESTS)
every_container = pytest.mark.parametrize("name", CONTAINERS)


@every_manifest
def test_a_platform_waits_longer_than_the_drain_takes(name: str) -> None:
    said = manifest(name)
    drain = run_of(said.words).drain
    assert drain > 0
    assert said.before + drain < said.grace
    assert said.grace - said.before - drain >= 5  # what a slow stop of the children and of the store may take


@every_manifest
def test_the_store_and_the_admin_socket_are_where_the_service_may_write_and_nowhere_else_together(name: str) -> None:
    said = manifest(name)
    line = run_of(said.words)
    folders = [str(PurePosixPath(path).parent) for path in (line.store, line.admin)]
    assert set(folders) <= set(said.writable)
    assert folders[0] != folders[1]


@every_manifest
def test_the_tree_that_is_run_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, _, attribute = run_of(manifest(name).words).tree.partition(":")
    assert (DEPLOY / f"{module}.py").is_file()
    monkeypatch.setattr(sys, "path", [str(DEPLOY), *sys.path])
    assert repr(getattr(importlib.import_module(module), attribute))


@every_manifest
def test_the_command_line_is_one_that_run_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DEPLOY)
    words = manifest(name).words
    with run.make_context("run", words[1:]) as context:
        assert float(context.params["drain"]) == run_of(words).drain


@every_container
def test_a_container_runs_the_image_the_user_and_the_command_of_the_dockerfile(name: str) -> None:
    said, dockerfile = manifest(name), text_of("Dockerfile")
    assert said.words == json.loads(last("CMD", dockerfile))
    assert said.image == compose_service(text_of("compose.yaml")).image
    assert f"--tag {said.image} " in dockerfile
    assert said.user == last("USER", dockerfile)
    assert int(said.user.partition(":")[0]) > 1000


@every_container
def test_a_probe_that_runs_a_command_asks_whether_it_lives_and_where_it_answers(name: str) -> None:
    said = manifest(name)
    if not said.health:
        return
    shape, program, command, *words = said.health
    assert (shape, program, command) == ("CMD", "upright", "health")
    options = probe.parse(words)
    assert options["--probe"] == "live"  # these platforms kill what is not healthy
    assert options["--health"] == f"127.0.0.1:{run_of(said.words).port}"
    assert [*said.health[1:]] == json.loads(last("HEALTHCHECK", text_of("Dockerfile")).partition("CMD ")[2])


def test_the_image_is_not_root_s_stops_by_sigterm_and_hands_signals_to_the_service() -> None:
    text = text_of("Dockerfile")
    assert last("STOPSIGNAL", text) == "SIGTERM"
    assert json.loads(last("ENTRYPOINT", text)) == ["upright"]  # the exec form, without a shell between
    line = run_of(json.loads(last("CMD", text)))
    assert last("EXPOSE", text) == str(line.port)
    assert f"UPRIGHT_ADMIN={line.admin}" in last("ENV", text)
    volumes = json.loads(last("VOLUME", text))
    assert {str(PurePosixPath(path).parent) for path in (line.store, line.admin)} <= set(volumes)
    order = [word for word, _ in instructions(text)]
    assert order.index("VOLUME") > max(index for index, word in enumerate(order) if word == "RUN")


def test_all_that_the_image_copies_exists_and_is_let_in() -> None:
    ignored = text_of("Dockerfile.dockerignore").splitlines()
    assert "*" in ignored
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / path).exists() for path in let_in)
    copied = {
        rest.split()[0] for word, rest in instructions(text_of("Dockerfile")) if word == "COPY" and "--" not in rest
    }
    assert copied == {".", "examples/deploy/app.py"}
    assert {*WINGS, "pyproject.toml", "README.md", "LICENSE", "examples/deploy/app.py"} == let_in
    service = compose_service(text_of("compose.yaml"))
    assert (DEPLOY / service.build.context).resolve() == ROOT
    assert (ROOT / service.build.dockerfile) == DEPLOY / "Dockerfile"


def test_kubernetes_asks_each_probe_of_its_own_endpoint_at_the_port_that_is_served() -> None:
    service, _, pods = kubernetes(text_of("kubernetes.yaml"))
    (container,) = pods.spec.template.spec.containers
    (port,) = container.ports
    line = run_of(container.args)
    assert port.container_port == line.port
    assert line.host in ("", "0.0.0.0")  # the kubelet asks from outside the container
    probes = {"startup": container.startup_probe, "live": container.liveness_probe, "ready": container.readiness_probe}
    assert {name: probe.http_get.path for name, probe in probes.items()} == ENDPOINTS
    assert {probe.http_get.port for probe in probes.values()} == {port.name}
    assert all(probe.timeout_seconds <= probe.period_seconds for probe in probes.values())
    assert [one.target_port for one in service.spec.ports] == [port.name]
    assert probes["startup"].period_seconds * probes["startup"].failure_threshold >= 60
    assert probes["live"].period_seconds * probes["live"].failure_threshold >= 30


def test_kubernetes_never_runs_two_pods_on_one_store() -> None:
    _, budget, pods = kubernetes(text_of("kubernetes.yaml"))
    pod = pods.spec.template.spec
    (container,) = pod.containers
    (claim,) = pods.spec.volume_claim_templates
    (mode,) = claim.spec.access_modes
    assert mode in ("ReadWriteOnce", "ReadWriteOncePod")
    (home,) = [mount.name for mount in container.volume_mounts if mount.mount_path == "/data"]
    assert claim.metadata.name == home
    assert {mount.name for mount in container.volume_mounts} == {home, *(volume.name for volume in pod.volumes)}
    assert pods.spec.persistent_volume_claim_retention_policy.when_deleted == "Retain"
    # A budget that lets nobody go would hold up the drain of the node for ever.
    assert budget.spec.max_unavailable >= 1


def test_kubernetes_selects_the_pods_that_it_makes() -> None:
    service, budget, pods = kubernetes(text_of("kubernetes.yaml"))
    labels = pods.spec.template.metadata.labels
    assert pods.spec.selector.match_labels == budget.spec.selector.match_labels == service.spec.selector == labels
    assert pods.spec.service_name == service.metadata.name


def test_no_container_is_root_or_writes_to_its_image() -> None:
    _, _, pods = kubernetes(text_of("kubernetes.yaml"))
    pod = pods.spec.template.spec
    (container,) = pod.containers
    assert pod.security_context.run_as_non_root
    assert pod.security_context.fs_group == pod.security_context.run_as_group
    assert container.security_context.read_only_root_filesystem
    assert not container.security_context.allow_privilege_escalation
    assert container.security_context.capabilities.drop == ["ALL"]
    (task,) = ecs(text_of("ecs-task.json")).container_definitions
    assert task.readonly_root_filesystem
    assert not task.privileged
    assert task.linux_parameters.capabilities.drop == ["ALL"]
    service = compose_service(text_of("compose.yaml"))
    assert service.read_only
    assert service.cap_drop == ["ALL"]
    assert all("/tmp" in manifest(name).writable for name in CONTAINERS)  # SQLite's own files for large queries


def test_ecs_keeps_the_store_on_a_disk_of_the_machine_and_the_task_on_that_machine() -> None:
    task = ecs(text_of("ecs-task.json"))
    (container,) = task.container_definitions
    assert container.essential
    volumes = {volume.name: volume.host.source_path for volume in task.volumes}
    mounts = {mount.container_path: mount.source_volume for mount in container.mount_points}
    assert set(mounts.values()) == set(volumes)
    assert volumes[mounts["/data"]] is not None  # without a path of the host, the data ends with the task
    assert task.placement_constraints
    assert [mapping.container_port for mapping in container.port_mappings] == [run_of(container.command).port]
    assert container.linux_parameters.init_process_enabled


def test_compose_makes_the_volume_that_it_mounts_and_lets_the_user_have_the_folder_of_the_socket() -> None:
    file = compose(text_of("compose.yaml"))
    service = file.services["jobs"]
    assert {volume.split(":")[0] for volume in service.volumes} == set(file.volumes)
    uid, gid = service.user.split(":")
    folder = str(PurePosixPath(run_of(service.command).admin).parent)
    (options,) = [one.split(":")[1] for one in service.tmpfs if one.startswith(folder)]
    assert options.split(",") == [f"uid={uid}", f"gid={gid}", "mode=0700"]
    assert service.init
    assert {port.split(":")[-1] for port in service.ports} == {str(run_of(service.command).port)}
    assert seconds(service.healthcheck.timeout) <= seconds(service.healthcheck.interval)


@pytest.mark.parametrize(
    ("name", "read", "there", "typo"),
    [
        ("kubernetes.yaml", kubernetes, "livenessProbe:", "livenesProbe:"),
        ("kubernetes.yaml", kubernetes, "preStop:", "prestop:"),
        ("kubernetes.yaml", kubernetes, "maxUnavailable: 1", "maxUnavailabe: 1"),
        ("kubernetes.yaml", kubernetes, "periodSeconds: 10", 'periodSeconds: "10"'),
        ("kubernetes.yaml", kubernetes, "replicas: 1", "replicas: 1\n  replicas: 2"),
        ("kubernetes.yaml", kubernetes, '- "25"', "- 25"),  # an argument is a text; Kubernetes refuses a number
        ("ecs-task.json", ecs, '"stopTimeout"', '"stopTimeOut"'),
        ("ecs-task.json", ecs, '"stopTimeout": 35', '"stopTimeout": 121'),
        ("ecs-task.json", ecs, '"essential": true,', '"essential": true, "essential": true,'),
        ("compose.yaml", compose, "stop_grace_period:", "stop_grace_time:"),
        ("jobs.service", unit, "KillMode=mixed", "KillMode mixed"),
        ("jobs.service", unit, "KillMode=mixed", "KillMode=mixed\nKillMode=process"),
    ],
)
def test_a_typo_is_found(name: str, read: Callable[[str], Any], there: str, typo: str) -> None:
    text = text_of(name)
    read(text)
    assert there in text
    with pytest.raises((msgspec.ValidationError, ValueError)):
        read(text.replace(there, typo))


def test_the_readme_names_every_file_and_no_other() -> None:
    named = set(re.findall(r"^\| \[`([^`]+)`\]", text_of("README.md"), re.MULTILINE))
    assert named == {path.name for path in DEPLOY.iterdir() if path.is_file() and path.name != "README.md"}
