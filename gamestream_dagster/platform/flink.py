"""Flink from the `apache-flink` wheel: JobManager, one TaskManager, SQL gateway.

The wheel is a whole distribution and stays unchanged. The processes run directly under `java`: the distribution's
start scripts first run two more JVMs to compute memory sizes, which would cost seconds at each start and each restart
of a killed TaskManager. So all sizes are set here.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

from gamestream_dagster.enrichment.tables import publish_all
from gamestream_dagster.platform import class_archives, flink_formats, flink_reporter, health, jars, layout
from gamestream_dagster.platform.errors import PlatformError
from gamestream_dagster.platform.java import java
from gamestream_dagster.platform.service import Program, Service
from gamestream_dagster.settings import TASK_SLOTS, Settings

JOBMANAGER_HEAP_MIB = 448
GATEWAY_HEAP_MIB = 448
# For a JVM with short bursts of work: one collector thread, and no compiler that pays off after minutes.
SHORT_WORK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
METRICS_ARTIFACT = "flink-metrics-prometheus"
LOG_CONFIG = Path(__file__).with_name("conf") / "log4j2.properties"


@dataclass(frozen=True)
class TaskManagerMemory:
    """Every part of the TaskManager's memory, MiB. Flink needs all of them when its own script does not sum them up."""

    task_heap: int
    framework_heap: int = 128
    managed: int = 128  # window aggregates and sorts; the state itself lives on the heap
    network: int = 128
    framework_off_heap: int = 128
    task_off_heap: int = 64
    metaspace: int = 256
    overhead: int = 192

    @property
    def process(self) -> int:
        """The total."""
        return (
            self.framework_heap + self.task_heap + self.managed + self.network + self.framework_off_heap
            + self.task_off_heap + self.metaspace + self.overhead
        )  # fmt: skip

    def jvm_options(self) -> tuple[str, ...]:
        """JVM limits that agree with Flink's settings."""
        heap = self.framework_heap + self.task_heap
        direct = self.framework_off_heap + self.task_off_heap + self.network
        return (
            f"-Xmx{heap}m",
            f"-Xms{heap // 4}m",
            f"-XX:MaxDirectMemorySize={direct}m",
            f"-XX:MaxMetaspaceSize={self.metaspace}m",
        )

    def configuration(self) -> dict[str, str]:
        """The same as Flink options."""
        sizes = {
            "framework.heap.size": self.framework_heap,
            "task.heap.size": self.task_heap,
            "managed.size": self.managed,
            "network.min": self.network,
            "network.max": self.network,
            "framework.off-heap.size": self.framework_off_heap,
            "task.off-heap.size": self.task_off_heap,
            "jvm-metaspace.size": self.metaspace,
            "jvm-overhead.min": self.overhead,
            "jvm-overhead.max": self.overhead,
        }
        return {f"taskmanager.memory.{name}": f"{mib}m" for name, mib in sizes.items()}


def taskmanager_memory(settings: Settings) -> TaskManagerMemory:
    """Sizes for the heap in the settings."""
    return TaskManagerMemory(task_heap=settings.taskmanager_heap_mib)


def configuration(settings: Settings) -> dict[str, Any]:
    """Flink's `config.yaml`, flat keys."""
    return {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": settings.port("flink_rpc"),
        "jobmanager.bind-host": "127.0.0.1",
        "blob.server.port": settings.port("flink_blob"),
        "rest.address": "127.0.0.1",
        "rest.bind-address": "127.0.0.1",
        "rest.port": settings.port("flink"),
        "rest.bind-port": settings.port("flink"),
        # No code may be uploaded through the REST API; jobs come through the SQL gateway.
        "web.submit.enable": False,
        "web.cancel.enable": True,
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.rpc.port": settings.port("taskmanager_rpc"),
        "taskmanager.data.port": settings.port("taskmanager_data"),
        "taskmanager.data.bind-port": settings.port("taskmanager_data"),
        "taskmanager.numberOfTaskSlots": TASK_SLOTS,
        "taskmanager.cpu.cores": 2.0,
        "taskmanager.resource-id": "taskmanager",
        **taskmanager_memory(settings).configuration(),
        # The default is 512 for each exchange of a batch job: beside the streaming jobs the third would find none left.
        "taskmanager.network.sort-shuffle.min-buffers": 64,
        "parallelism.default": 2,
        "pipeline.object-reuse": True,
        **_recovery(settings),
        "slot.request.timeout": 60000,
        "sql-gateway.endpoint.type": "rest",
        "sql-gateway.endpoint.rest.address": "127.0.0.1",
        "sql-gateway.endpoint.rest.bind-address": "127.0.0.1",
        "sql-gateway.endpoint.rest.port": settings.port("gateway"),
        "sql-gateway.endpoint.rest.bind-port": settings.port("gateway"),
        "sql-gateway.session.idle-timeout": "10 min",
        "io.tmp.dirs": str(layout.service_dir(settings, "flink") / "tmp"),
        **flink_reporter.configuration(),
        **settings.flink_options,
    }


def _recovery(settings: Settings) -> dict[str, Any]:
    """State, checkpoints, and the reaction to a lost TaskManager."""
    return {
        "state.backend.type": "hashmap",
        "execution.checkpointing.incremental": False,
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": settings.checkpoints_dir.as_uri(),
        "execution.checkpointing.savepoint-dir": settings.savepoints_dir.as_uri(),
        "execution.checkpointing.interval": f"{settings.checkpoint_interval_seconds} s",
        "execution.checkpointing.min-pause": "500 ms",
        "execution.checkpointing.timeout": "2 min",
        "execution.checkpointing.num-retained": 5,
        "execution.checkpointing.tolerable-failed-checkpoints": 5,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # The first heartbeat that a killed process cannot answer ends its connection: about 1 s, whatever the timeout.
        # The timeout finds processes that hang. At 5 s a TaskManager on a busy machine was given up while it restored
        # the jobs, and again after each restart: no job ever ran.
        "heartbeat.interval": "1 s",
        "heartbeat.timeout": "30 s",
        "heartbeat.rpc-failure-threshold": 1,
        # To submit a task or report a split took longer than the default 10 s there, and failed the job as well.
        "pekko.ask.timeout": "30 s",
        # A TaskManager without a JobManager retries after one second instead of ten: a killed one is back in five.
        "cluster.registration.error-delay": "1 s",
        "cluster.registration.max-timeout": "5 s",
        # The supervisor restarts a TaskManager in seconds: retry soon, then more and more slowly, never give up.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "500 ms",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        "restart-strategy.exponential-delay.backoff-multiplier": 1.5,
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": 2147483647,
    }


def prepare(settings: Settings) -> None:
    """Link the distribution's jars and ours, write the configuration, create the state folders."""
    folder = layout.service_dir(settings, "flink")
    for path in (folder / "conf", folder / "tmp", settings.checkpoints_dir, settings.savepoints_dir):
        path.mkdir(parents=True, exist_ok=True)
    distribution, lib = _distribution(), distribution_jars()
    ours = jars.for_use(jars.JarUse.FLINK_LIB)
    jars.ensure(ours)  # the reporter is compiled against one of them
    reporter = flink_reporter.reporter_jar([*lib, *(jar.path for jar in ours if jar.artifact == METRICS_ARTIFACT)])
    jars.link(ours, folder / "lib", [*lib, flink_formats.format_jar(lib), reporter])
    jars.link(jars.for_use(jars.JarUse.FLINK_OPT), folder / "opt", sorted((distribution / "opt").glob("*.jar")))
    jars.link(jars.for_use(jars.JarUse.FLINK_BATCH), settings.batch_jars_dir)
    publish_all(settings.enrichment_dir)
    text = yaml.safe_dump(configuration(settings), sort_keys=False)
    layout.write_private(folder / "conf" / "config.yaml", text)


def jobmanager(settings: Settings) -> Program:
    """The JobManager's command."""
    options = (f"-Xmx{JOBMANAGER_HEAP_MIB}m", "-Xms128m", "-XX:MaxMetaspaceSize=256m", *SHORT_WORK)
    main_class = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    return _program(settings, main_class, options, metrics="flink_metrics")


def taskmanager(settings: Settings) -> Program:
    """The TaskManager's command."""
    # all cores for the jobs between two short pauses: G1's concurrent marking costs a sixth of the events on two cores
    options = (*taskmanager_memory(settings).jvm_options(), "-XX:+UseParallelGC")
    main_class = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    return _program(settings, main_class, options, metrics="taskmanager_metrics")


def gateway(settings: Settings) -> Program:
    """The SQL gateway's command."""
    options = (f"-Xmx{GATEWAY_HEAP_MIB}m", "-Xms128m", "-XX:MaxMetaspaceSize=384m", *SHORT_WORK)
    opt = sorted((layout.service_dir(settings, "flink") / "opt").glob("*.jar"))
    chosen = [path for path in opt if path.name.startswith(("flink-sql-gateway", "flink-python"))]
    return _program(settings, "org.apache.flink.table.gateway.SqlGateway", options, chosen)


def probe_jobmanager(settings: Settings) -> str | None:
    """Ask for the cluster's overview."""
    return health.http_ok(f"{settings.flink_rest}/overview")


def probe_taskmanager(settings: Settings) -> str | None:
    """Ask the JobManager whether it has slots."""

    def reason(response: httpx.Response) -> str | None:
        return None if response.json().get("slots-total") else "the JobManager has no TaskManager yet"

    return health.http_ok(f"{settings.flink_rest}/overview", reason)


def probe_gateway(settings: Settings) -> str | None:
    """Ask for the gateway's product name."""
    return health.http_ok(f"{settings.flink_gateway}/info")


def _program(
    settings: Settings,
    main_class: str,
    options: tuple[str, ...],
    more: list[Path] | None = None,
    metrics: str = "",
) -> Program:
    """The command of a process; `metrics` is the key of its port for Prometheus, empty for the SQL gateway."""
    folder = layout.service_dir(settings, "flink")
    conf = folder / "conf"
    # As in the distribution's scripts: its main jar last, the rest by name.
    lib = sorted((folder / "lib").glob("*.jar"), key=lambda path: (path.name.startswith("flink-dist"), path.name))
    class_path = [path.resolve() for path in [*lib, *(more or [])]]
    environment = {
        "FLINK_HOME": str(_distribution()),
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LIB_DIR": str(folder / "lib"),
        "FLINK_OPT_DIR": str(folder / "opt"),
        "FLINK_PLUGINS_DIR": str(folder / "plugins"),
        "FLINK_LOG_DIR": str(layout.logs_dir(settings)),
        "GAMESTREAM_ENRICHMENT_DIR": str(settings.enrichment_dir),
    }
    command = (
        str(java()),
        *options,
        *class_archives.options(),
        *_distribution_options(),
        f"-Dlog4j.configurationFile={LOG_CONFIG}",
        f"-Dlog.file={layout.logs_dir(settings) / (main_class.rsplit('.', 1)[-1] + '.log')}",
        "-Djava.awt.headless=true",
        "-cp",
        ":".join(str(path) for path in class_path),
        main_class,
        *(("--configDir", str(conf), "-D", f"{flink_reporter.PORT}={settings.port(metrics)}") if metrics else ()),
    )
    return Program(command=command, environment=environment)


def distribution_jars() -> list[Path]:
    """The jars of the Flink distribution's class path."""
    return sorted((_distribution() / "lib").glob("*.jar"))


@cache
def _distribution() -> Path:
    # The package's own import loads pandas and py4j: only its folder is needed.
    found = importlib.util.find_spec("pyflink")
    if found is None or not found.submodule_search_locations:
        raise PlatformError("The Flink distribution is missing: install the project's requirements (apache-flink).")
    return Path(found.submodule_search_locations[0])


@cache
def _distribution_options() -> tuple[str, ...]:
    """The `--add-opens` list that Flink needs on Java 17 and newer, from the distribution's own configuration."""
    content = yaml.safe_load((_distribution() / "conf" / "config.yaml").read_text(encoding="utf-8"))
    return tuple(content["env"]["java"]["opts"]["all"].split())


def _service(name: str, **fields: Any) -> Service:
    return Service(name=name, group="flink", prepare=prepare, external="flink", **fields)


SERVICES = (
    _service(
        "flink-jobmanager",
        needs=(),
        ports=("flink", "flink_rpc", "flink_blob", "flink_metrics"),
        memory_mib=600,
        program=jobmanager,
        probe=probe_jobmanager,
        link=lambda settings: settings.flink_rest,
    ),
    _service(
        "flink-taskmanager",
        needs=("flink-jobmanager",),
        ports=("taskmanager_rpc", "taskmanager_data", "taskmanager_metrics"),
        memory_mib=1800,
        program=taskmanager,
        probe=probe_taskmanager,
        link=lambda settings: f"{settings.flink_rest}/#/task-manager",
    ),
    _service(
        "flink-gateway",
        needs=("flink-jobmanager",),
        ports=("gateway",),
        memory_mib=550,
        program=gateway,
        probe=probe_gateway,
        link=lambda settings: settings.flink_gateway,
    ),
)
