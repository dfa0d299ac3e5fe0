"""Topics: what counts as drift, and what a plan says."""

from __future__ import annotations

import pytest

from gamestream_dagster.catalogue.topics import Topic, load_declared, load_topics
from gamestream_dagster.clients.kafka_admin import TopicDescription
from gamestream_dagster.provisioning.model import ResourceState, make_plan
from gamestream_dagster.provisioning.topics import TopicProvider, same_setting, topic_status
from gamestream_dagster.settings import TopicProfile
from tests.support.fakes.provisioned import FakeKafkaAdmin

SPEC = Topic(
    name="user-score",
    partitions=4,
    config={"cleanup.policy": "delete", "retention.ms": "604800000"},
    key="user_id",
    description="Scores.",
    owner="team:games",
)


def found(partitions: int = 4, leaderless: tuple[int, ...] = (), **config: str) -> TopicDescription:
    settings = {"cleanup.policy": "delete", "retention.ms": "604800000", "segment.ms": "1"}
    settings |= {name.replace("_", "."): value for name, value in config.items()}
    return TopicDescription("user-score", partitions, 1, settings, leaderless)


def test_missing_topic_would_be_created_with_its_settings():
    status = topic_status(SPEC, None)
    assert status.state is ResourceState.MISSING
    assert status.change == "create, 4 partitions, cleanup.policy=delete, retention.ms=604800000"


def test_settings_that_the_catalogue_does_not_name_are_no_drift():
    status = topic_status(SPEC, found(segment_ms="99"))
    assert (status.state, status.details, status.change) == (ResourceState.PRESENT, (), "")


def test_drift_names_each_fact_and_offers_no_change():
    status = topic_status(SPEC, found(partitions=3, retention_ms="1000"))
    assert status.state is ResourceState.DRIFTED
    assert status.details == ("has 3 partitions, should have 4", "retention.ms is 1000, should be 604800000")
    assert status.change == ""


def test_the_timestamp_type_of_an_existing_topic_is_a_planned_change():
    spec = SPEC.model_copy(update={"config": {**SPEC.config, "message.timestamp.type": "LogAppendTime"}})
    drifted = found(message_timestamp_type="CreateTime", retention_ms="1000")
    status = topic_status(spec, drifted)
    assert status.state is ResourceState.DRIFTED
    assert status.change == "set message.timestamp.type=LogAppendTime for new records"
    admin = FakeKafkaAdmin([drifted])
    provider = TopicProvider({spec.name: spec}, admin)
    assert [step.name for step in make_plan(provider.observe([spec.name])).steps] == [spec.name]
    provider.create(spec.name)
    [after] = provider.observe([spec.name])
    assert (after.details, after.change) == (("retention.ms is 1000, should be 604800000",), ""), "only that is changed"
    assert admin.created == []


def test_topics_of_a_foreign_broker_are_never_changed_and_the_command_is_told():
    spec = SPEC.model_copy(update={"config": {"message.timestamp.type": "LogAppendTime"}})
    status = topic_status(spec, found(message_timestamp_type="CreateTime"), foreign=True)
    assert (status.state, status.change) == (ResourceState.DRIFTED, "")
    assert "--alter --topic user-score --add-config message.timestamp.type=LogAppendTime" in status.details[-1]
    right = topic_status(spec, found(message_timestamp_type="LogAppendTime"), foreign=True)
    assert (right.state, right.details) == (ResourceState.PRESENT, ())


def test_every_topic_of_the_catalogue_is_stamped_by_the_broker_but_copies_that_keep_the_time_of_the_original():
    copies = {name for name, entry in load_declared().items() if entry.copy_of is not None}
    for topic in load_topics(TopicProfile.LAPTOP).values():
        stamped = "CreateTime" if topic.name in copies else "LogAppendTime"
        assert topic.config["message.timestamp.type"] == stamped, topic.name


def test_more_partitions_than_described_are_drift_too():
    assert topic_status(SPEC, found(partitions=64)).state is ResourceState.DRIFTED


def test_partition_without_leader_is_told_but_is_no_drift():
    status = topic_status(SPEC, found(leaderless=(1, 2)))
    assert status.state is ResourceState.PRESENT
    assert status.details == ("no leader for partition 1, 2 at the moment",)


@pytest.mark.parametrize(
    ("actual", "wanted", "same"),
    [
        ("0.1", "0.10", True),
        ("compact,delete", "delete,compact", True),
        ("compact", "delete", False),
        ("604800000", "604800001", False),
        (None, "delete", False),
        ("-1", "-1.0", True),
    ],
)
def test_settings_are_compared_by_meaning(actual: str | None, wanted: str, same: bool):
    assert same_setting(actual, wanted) is same
