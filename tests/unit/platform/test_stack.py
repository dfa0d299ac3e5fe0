"""Starting and stopping in order, with services and a supervisor that are plain Python."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
import yaml

from gamestream_dagster.platform import catalogue, jars, layout, ports
from gamestream_dagster.platform import stack as stack_module
from gamestream_dagster.platform.errors import (
    MemoryShortError,
    PortTakenError,
    PurgeRefusedError,
    ServiceFailedError,
    StackBusyError,
    StackMismatchError,
    UnknownServiceError,
)
from gamestream_dagster.platform.service import Program, ProgressState, Service, ServiceState
from gamestream_dagster.port_block import PORTS_PER_STACK
from gamestream_dagster.settings import Settings, load_settings

BASE = 20000


class FakeSupervisor:
    """Remembers what it was told; a started service runs until it is stopped."""

    alive: set[str]
    history: list[str]

    def __init__(self, settings: Settings) -> None:
        self.daemon = False
        self.alive = set()
        self.crashing: set[str] = set()
        self.history = []

    def running(self):
        return self.daemon

    def start_daemon(self, services):
        self.daemon = True

    def describe(self, name, program):
        self.history.append(f"describe {name}")

    def start(self, name):
        self.history.append(f"start {name}")
        self.alive.add(name)

    def stop(self, name):
        self.history.append(f"stop {name}")
        self.alive.discard(name)

    def states(self):
        return {
            name: {
                "statename": "FATAL" if name in self.crashing else "RUNNING" if name in self.alive else "STOPPED",
                "pid": 0,
                "spawnerr": "",
            }
            for name in catalogue.services()
        }

    def shutdown(self):
        self.daemon = False

    def clear_leftovers(self):
        return []


@pytest.fixture
def health():
    """Words of each service's probe; a service not named here is healthy."""
    return {}


@pytest.fixture
def make_stack(tmp_path, monkeypatch, health):
    def service(name, needs=(), external=None):
        return Service(
            name=name,
            group=name,
            needs=needs,
            ports=(),
            memory_mib=1,
            prepare=lambda _: None,
            program=lambda _: Program(command=("true",)),
            probe=lambda _: health.get(name),
            link=lambda _: f"link of {name}",
            external=external,
            start_seconds=1,
        )

    known = {
        each.name: each
        for each in (
            service("kafka", external="kafka"),
            service("postgres", external="postgres"),
            service("engine"),
            service("worker", needs=("engine",)),
        )
    }
    monkeypatch.setattr(catalogue, "services", lambda: known)
    monkeypatch.setattr(stack_module, "Supervisor", FakeSupervisor)
    monkeypatch.setattr(jars, "ensure", lambda *_: None)
    for name in ("KAFKA_BOOTSTRAP", "POSTGRES_PORT", "PORT_BASE"):
        monkeypatch.delenv(f"GAMESTREAM_{name}", raising=False)

    def make(progress=None, **overrides):
        settings = load_settings(home=tmp_path / "home", port_base=BASE, **overrides)
        return stack_module.Stack(settings, progress or (lambda *_: None))

    make.known = known
    return make


def test_everything_starts_and_needs_come_first(make_stack):
    stack = make_stack()
    assert stack.up() == ["kafka", "postgres", "engine", "worker"]
    history = stack._supervisor.history
    assert history.index("start engine") < history.index("describe worker")


def test_a_service_waits_for_the_health_of_what_it_needs(make_stack, health):
    health["engine"] = "not yet"
    seen = []

    def progress(name, state, detail):
        seen.append((name, state))
        if (name, state) == ("engine", ProgressState.STARTING):
            assert ("worker", ProgressState.PREPARING) not in seen
            threading.Timer(0.3, health.clear).start()

    make_stack(progress).up(["worker"])
    assert seen.index(("engine", ProgressState.HEALTHY)) < seen.index(("worker", ProgressState.PREPARING))


def test_services_of_one_group_share_one_preparation(make_stack):
    known, calls = make_stack.known, []

    def prepare(_):
        calls.append(threading.get_ident())
        time.sleep(0.05)  # long enough for the others to come

    for name in ("kafka", "postgres", "engine"):
        known[name] = replace(known[name], group="shared", prepare=prepare)
    make_stack().up(["shared"])
    assert len(calls) == 1


def test_a_second_up_starts_nothing_and_a_third_what_is_missing(make_stack):
    stack = make_stack()
    stack.up(["kafka"])
    assert stack.up(["kafka"]) == []
    assert stack.up(["kafka", "postgres"]) == ["postgres"]
    assert stack._supervisor.history.count("start kafka") == 1


def test_a_failure_stops_all_that_this_call_started(make_stack, health):
    stack = make_stack()
    health["postgres"] = "refuses"
    with pytest.raises(ServiceFailedError, match=r"postgres did not start: not healthy after 1 s \(refuses\)"):
        stack.up(["kafka", "postgres"])
    assert stack._supervisor.alive == set()
    assert not stack._supervisor.running()


def test_a_failure_leaves_alone_what_ran_before(make_stack, health):
    stack = make_stack()
    stack.up(["kafka"])
    health["postgres"] = "refuses"
    with pytest.raises(ServiceFailedError):
        stack.up(["kafka", "postgres"])
    assert stack._supervisor.alive == {"kafka"}


def test_what_needs_a_failed_service_is_never_started(make_stack, health):
    stack = make_stack()
    health["engine"] = "broken"
    with pytest.raises(ServiceFailedError, match="engine did not start"):
        stack.up(["worker"])
    assert "start worker" not in stack._supervisor.history


def test_a_process_that_ends_fails_at_once_with_its_last_words(make_stack, health):
    stack = make_stack()
    slow = {name: replace(service, start_seconds=60) for name, service in make_stack.known.items()}
    make_stack.known.update(slow)
    health["engine"] = "no answer"
    stack._supervisor.crashing.add("engine")
    layout.make_home(stack._settings)
    layout.log_file(stack._settings, "engine").write_text("INFO begin\nERROR no disk\nINFO end\n")
    with pytest.raises(ServiceFailedError, match=r"its process ended; the last it said: 'ERROR no disk'"):
        stack.up(["engine"])


def test_an_interrupt_leaves_nothing_running(make_stack, health):
    health["engine"] = "not yet"

    def progress(name, state, detail):
        if (name, state) == ("engine", ProgressState.STARTING):
            raise KeyboardInterrupt

    stack = make_stack(progress)
    with pytest.raises(KeyboardInterrupt):
        stack.up(["engine"])
    assert stack._supervisor.alive == set()


def test_an_unknown_name_starts_nothing(make_stack):
    stack = make_stack()
    with pytest.raises(UnknownServiceError):
        stack.up(["kafka", "nothing"])
    assert not stack._settings.home.exists()


def test_a_taken_port_or_too_little_memory_starts_nothing(make_stack, monkeypatch):
    stack = make_stack()

    def taken(*_):
        raise PortTakenError("taken")

    monkeypatch.setattr(ports, "require_free", taken)
    with pytest.raises(PortTakenError):
        stack.up(["kafka"])
    monkeypatch.undo()


def test_too_little_memory_starts_nothing(make_stack, monkeypatch):
    stack = make_stack()
    monkeypatch.setattr(stack_module.memory, "available_mib", lambda: 1)
    with pytest.raises(MemoryShortError):
        stack.up(["kafka", "postgres"])
    assert stack._supervisor.history == []
    assert not stack._supervisor.running()


def test_an_external_service_is_asked_but_not_started(make_stack):
    stack = make_stack(kafka_bootstrap="elsewhere:9092")
    assert stack.up(["kafka", "engine"]) == ["engine"]
    states = {row.name: row.state for row in stack.status()}
    assert states["kafka"] == ServiceState.EXTERNAL
    assert states["engine"] == ServiceState.HEALTHY
    assert states["worker"] == ServiceState.STOPPED


def test_an_external_service_that_does_not_answer_is_said(make_stack, health):
    health["kafka"] = "no answer"
    stack = make_stack(kafka_bootstrap="elsewhere:9092")
    with pytest.raises(ServiceFailedError, match="kafka was given by its address and is not well: no answer"):
        stack.up(["kafka"])
    assert next(row for row in stack.status() if row.name == "kafka").state == ServiceState.UNREACHABLE


def test_a_running_service_that_does_not_answer_is_said(make_stack, health, monkeypatch):
    monkeypatch.setattr(stack_module, "RUNNING_SECONDS", 0.1)
    stack = make_stack()
    stack.up(["kafka"])
    health["kafka"] = "hangs"
    with pytest.raises(ServiceFailedError, match="kafka runs but is not well: hangs"):
        stack.up(["kafka"])
    assert stack._supervisor.alive == {"kafka"}


def test_what_cannot_be_started_yet_is_skipped_with_its_reason(make_stack):
    known = make_stack.known
    known["engine"] = replace(known["engine"], missing=lambda _: "its page is not there")
    told = []
    stack = make_stack(lambda *event: told.append(event))
    assert stack.up(["kafka", "engine"]) == ["kafka"]
    assert ("engine", ProgressState.SKIPPED, "its page is not there") in told


def test_the_stack_file_holds_settings_only(make_stack):
    stack = make_stack()
    stack.up(["kafka"])
    content = yaml.safe_load((stack._settings.home / "run" / "stack.yaml").read_text())
    assert content == {"port_base": BASE}
    assert load_settings(home=stack._settings.home).origin("port_base") == "stack"


def test_a_new_home_needs_its_whole_block_and_one_that_has_run_keeps_its_ports(make_stack, monkeypatch):
    """A stack of an earlier version took 16 ports; another server may stand on what is its 17th now."""
    last = BASE + PORTS_PER_STACK - 1
    monkeypatch.setattr(ports, "is_free", lambda port: port != last)
    monkeypatch.setattr(ports, "free_base", lambda: BASE + 200)
    stack = make_stack()
    with pytest.raises(
        PortTakenError, match=f"takes the ports {BASE} to {last}, and {last} is taken by .*{BASE + 200}"
    ):
        stack.up(["kafka"])
    layout.write_private(layout.stack_file(stack._settings), yaml.safe_dump({"port_base": BASE}))
    assert stack.up(["kafka"]) == ["kafka"]


def test_another_port_base_is_refused_while_the_stack_runs(make_stack):
    stack = make_stack()
    stack.up(["kafka"])
    other = stack_module.Stack(load_settings(home=stack._settings.home, port_base=BASE + 100))
    other._supervisor = stack._supervisor
    with pytest.raises(StackMismatchError, match=f"runs with port base {BASE}, not {BASE + 100}"):
        other.up(["postgres"])


def test_two_commands_at_once_do_not_mix(make_stack, monkeypatch):
    monkeypatch.setattr(stack_module, "LOCK_SECONDS", 0.1)
    one, two = make_stack(), make_stack()
    layout.make_home(one._settings)
    with one._lock(), pytest.raises(StackBusyError, match="at work"):
        two.up(["kafka"])


def test_down_stops_all_and_purge_deletes(make_stack):
    stack = make_stack()
    stack.up(["kafka", "engine"])
    assert stack.down() == ["kafka", "engine"]
    assert stack._settings.home.exists()
    assert stack.down(purge=True) == []
    assert not stack._settings.home.exists()
    assert stack.down() == []


def test_purge_refuses_a_folder_that_is_no_stack(make_stack):
    stack = make_stack()
    stack._settings.home.mkdir()
    (stack._settings.home / "thesis.txt").touch()
    with pytest.raises(PurgeRefusedError, match="holds no stack"):
        stack.down(purge=True)
    assert (stack._settings.home / "thesis.txt").exists()


def test_purge_refuses_a_home_that_holds_the_working_folder(make_stack, monkeypatch):
    stack = make_stack()
    stack.up(["kafka"])
    inside = stack._settings.home / "work"
    inside.mkdir()
    monkeypatch.chdir(inside)
    with pytest.raises(PurgeRefusedError, match="holds the working folder"):
        stack.down(purge=True)
    assert stack._supervisor.alive == {"kafka"}


def test_the_last_lines_are_read_from_the_end(tmp_path):
    settings = Settings(home=tmp_path)
    layout.make_home(settings)
    layout.log_file(settings, "kafka").write_text("".join(f"line {number}\n" for number in range(5000)))
    assert stack_module.last_lines(settings, "kafka", 2) == ["line 4998", "line 4999"]
    assert stack_module.last_lines(settings, "registry", 2) == []
