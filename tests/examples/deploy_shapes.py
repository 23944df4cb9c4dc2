"""The fields of Kubernetes, ECS and Compose that our manifests may use. A field that is not here is most likely a typo.

A platform tells of it when the file is applied, or drops it in silence, and a `livenesProbe` is no probe. The names are
those of the Kubernetes API reference, of the ECS `RegisterTaskDefinition` call and of the Compose specification.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]
Labels = dict[str, str]


class Strict(Struct, forbid_unknown_fields=True, rename="camel"):
    """Knows its fields and no others."""


class Metadata(Strict):
    name: str
    labels: Labels = {}


class LabelsOnly(Strict):
    labels: Labels


class Selector(Strict):
    match_labels: Labels


class ServicePort(Strict):
    name: str
    port: Positive
    target_port: str


class ServiceSpec(Strict):
    cluster_ip: Literal["None"] = field(name="clusterIP")
    selector: Labels
    ports: list[ServicePort]


class Service(Strict, tag_field="kind", tag="Service"):
    api_version: Literal["v1"]
    metadata: Metadata
    spec: ServiceSpec


class BudgetSpec(Strict):
    max_unavailable: Positive
    unhealthy_pod_eviction_policy: Literal["AlwaysAllow", "IfHealthyBudget"]
    selector: Selector


class Budget(Strict, tag_field="kind", tag="PodDisruptionBudget"):
    api_version: Literal["policy/v1"]
    metadata: Metadata
    spec: BudgetSpec


class HttpGet(Strict):
    path: str
    port: str


class Probe(Strict):
    http_get: HttpGet
    period_seconds: Positive
    timeout_seconds: Positive
    failure_threshold: Positive


class Sleep(Strict):
    seconds: Positive


class Hook(Strict):
    sleep: Sleep


class Lifecycle(Strict):
    pre_stop: Hook


class ContainerPort(Strict):
    name: str
    container_port: Positive


class Capabilities(Strict):
    drop: list[str]


class ContainerSecurity(Strict):
    allow_privilege_escalation: bool
    read_only_root_filesystem: bool
    capabilities: Capabilities


class Resources(Strict):
    requests: dict[Literal["cpu", "memory", "storage"], str]
    limits: dict[Literal["cpu", "memory"], str] = {}


class VolumeMount(Strict):
    name: str
    mount_path: str


class Container(Strict):
    name: str
    image: str
    args: list[str]
    ports: list[ContainerPort]
    startup_probe: Probe
    liveness_probe: Probe
    readiness_probe: Probe
    lifecycle: Lifecycle
    security_context: ContainerSecurity
    resources: Resources
    volume_mounts: list[VolumeMount]


class SeccompProfile(Strict):
    type: Literal["RuntimeDefault", "Localhost"]


class PodSecurity(Strict):
    run_as_non_root: bool
    run_as_user: Positive
    run_as_group: Positive
    fs_group: Positive
    fs_group_change_policy: Literal["OnRootMismatch", "Always"]
    seccomp_profile: SeccompProfile


class EmptyDir(Strict):
    size_limit: str
    medium: Literal["", "Memory"] = ""


class PodVolume(Strict):
    name: str
    empty_dir: EmptyDir


class PodSpec(Strict):
    termination_grace_period_seconds: Positive
    automount_service_account_token: bool
    enable_service_links: bool
    share_process_namespace: bool
    security_context: PodSecurity
    containers: list[Container]
    volumes: list[PodVolume]


class PodTemplate(Strict):
    metadata: LabelsOnly
    spec: PodSpec


class ClaimSpec(Strict):
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteOncePod"]]
    resources: Resources


class Claim(Strict):
    metadata: Metadata
    spec: ClaimSpec


class ClaimRetention(Strict):
    when_deleted: Literal["Retain", "Delete"]
    when_scaled: Literal["Retain", "Delete"]


class UpdateStrategy(Strict):
    type: Literal["RollingUpdate", "OnDelete"]


class StatefulSetSpec(Strict):
    service_name: str
    replicas: NotNegative
    selector: Selector
    update_strategy: UpdateStrategy
    persistent_volume_claim_retention_policy: ClaimRetention
    template: PodTemplate
    volume_claim_templates: list[Claim]


class StatefulSet(Strict, tag_field="kind", tag="StatefulSet"):
    api_version: Literal["apps/v1"]
    metadata: Metadata
    spec: StatefulSetSpec


class HostPath(Strict):
    source_path: str | None = None


class TaskVolume(Strict):
    name: str
    host: HostPath


class MountPoint(Strict):
    source_volume: str
    container_path: str
    read_only: bool


class TaskHealthCheck(Strict):
    command: list[str]
    interval: Annotated[int, Meta(ge=5, le=300)]
    timeout: Annotated[int, Meta(ge=2, le=60)]
    retries: Annotated[int, Meta(ge=1, le=10)]
    start_period: Annotated[int, Meta(ge=0, le=300)]


class PortMapping(Strict):
    container_port: Positive
    protocol: Literal["tcp"]


class LinuxParameters(Strict):
    init_process_enabled: bool
    capabilities: Capabilities


class LogConfiguration(Strict):
    log_driver: Literal["awslogs"]
    options: dict[
        Literal["awslogs-group", "awslogs-region", "awslogs-stream-prefix", "mode", "max-buffer-size"],
        str,
    ]


class ContainerDefinition(Strict):
    name: str
    image: str
    essential: bool
    command: list[str]
    user: str
    readonly_root_filesystem: bool
    privileged: bool
    docker_security_options: list[str]
    linux_parameters: LinuxParameters
    cpu: Positive
    memory: Positive
    memory_reservation: Positive
    stop_timeout: Annotated[int, Meta(ge=2, le=120)]
    health_check: TaskHealthCheck
    port_mappings: list[PortMapping]
    mount_points: list[MountPoint]
    log_configuration: LogConfiguration


class PlacementConstraint(Strict):
    type: Literal["memberOf", "distinctInstance"]
    expression: str


class TaskDefinition(Strict):
    family: str
    requires_compatibilities: list[Literal["EC2"]]
    network_mode: Literal["bridge", "awsvpc", "host"]
    execution_role_arn: str
    placement_constraints: list[PlacementConstraint]
    volumes: list[TaskVolume]
    container_definitions: list[ContainerDefinition]


class Plain(Struct, forbid_unknown_fields=True):
    """The same, with names as they are: Compose writes them with underscores."""


class Build(Plain):
    context: str
    dockerfile: str


class ComposeHealthCheck(Plain):
    test: list[str]
    interval: str
    timeout: str
    start_period: str
    retries: Positive


class Logging(Plain):
    driver: str
    options: dict[Literal["max-size", "max-file"], str]


class ComposeService(Plain):
    image: str
    build: Build
    command: list[str]
    init: bool
    restart: Literal["unless-stopped", "on-failure", "always"]
    stop_signal: str
    stop_grace_period: str
    user: str
    read_only: bool
    cap_drop: list[str]
    security_opt: list[str]
    ports: list[str]
    volumes: list[str]
    tmpfs: list[str]
    healthcheck: ComposeHealthCheck
    mem_limit: str
    logging: Logging


class Compose(Plain):
    name: str
    services: dict[str, ComposeService]
    volumes: dict[str, dict[str, str]]
