"""The packaged rules, what they find in a labelled log, and the SQL that is made of them."""

from __future__ import annotations

import orjson
import pytest

from gamestream_dagster.catalogue.boards import FLINK_SQL_DIR
from gamestream_dagster.security.evaluation import Evaluator, Tries
from gamestream_dagster.security.flink_rules import RULES_FILE, ssh_rules_sql
from gamestream_dagster.security.sigma import load_rules
from gamestream_dagster.security.simulation import VICTIM, LogOptions, labelled_lines

SENT = 1_790_000_000
OPTIONS = LogOptions(seed=4, start_ms=SENT * 1000, lines=3_000)


def evaluator() -> Evaluator:
    return Evaluator(load_rules())


def feed(judge: Evaluator, *messages: tuple[int, str], host: str = "gate", program: str = "sshd[7]") -> list[str]:
    """Names of the rules that messages set off; each comes so many seconds after the begin."""
    found: list[str] = []
    for after, message in messages:
        fields = {"ts": SENT + after, "host": host, "ident": program.partition("[")[0], "pid": 7, "message": message}
        found += [one.rule for one in judge.feed(orjson.dumps({"log": fields}), 0)]
    return found


def failed(source: str = "198.51.100.7", user: str = "root") -> str:
    return f"Failed password for {user} from {source} port 22 ssh2"


def test_the_sql_is_made_of_the_packaged_rules() -> None:
    written = (FLINK_SQL_DIR / "_sources" / RULES_FILE).read_text(encoding="utf-8")
    assert written == ssh_rules_sql(load_rules()), "run `gamestream logs rules --write`"


def test_every_attack_is_found_and_no_innocent_accused() -> None:
    judge = evaluator()
    for line in labelled_lines(OPTIONS):
        before = dict(vars(tries)) if (tries := _tries(judge, line.source)) else {"failed": 0, "succeeded": 0}
        found = judge.feed(orjson.dumps({"timestamp": SENT + 200_000, "log": line.text}), 0)
        assert tuple(sorted({one.rule for one in found})) == line.rules, line
        assert {one.source for one in found} <= {line.source}
        if line.source:
            after = _tries(judge, line.source)
            assert after is not None
            added = (after.failed - before["failed"], after.succeeded - before["succeeded"])
            assert added == (line.failed, line.succeeded), line
    assert judge.found.unread == 0
    assert VICTIM not in {source for _, source in judge.found.tries}


def _tries(judge: Evaluator, source: str | None) -> Tries | None:
    days = [one for (_, name), one in judge.found.tries.items() if name == source]
    return days[0] if days else None


@pytest.mark.parametrize(
    ("seconds", "rules"), [((0, 30, 60, 90, 120), ["ssh_brute_force"]), ((0, 30, 60, 90, 121), [])]
)
def test_five_tries_count_within_120_seconds(seconds: tuple[int, ...], rules: list[str]) -> None:
    assert feed(evaluator(), *((at, failed()) for at in seconds)) == rules


def test_a_repeated_message_counts_so_many_times() -> None:
    judge = evaluator()
    assert feed(judge, (0, f"message repeated 4 times: [ {failed()}]")) == []
    assert feed(judge, (1, failed())) == ["ssh_brute_force"]
    assert [one.failed for one in judge.found.tries.values()] == [5]


def test_sshd_and_pam_report_one_try_in_either_order() -> None:
    first, more = "pam_unix(sshd:auth): authentication failure", "PAM 2 more authentication failures"
    about = "; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.7  user=root"
    pam, more = first + about, more + about
    for lines in ((pam, failed(), failed(), failed(), more), (failed(), pam, more, failed(), failed())):
        judge = evaluator()
        assert feed(judge, *enumerate(lines)) == []
        assert [one.failed for one in judge.found.tries.values()] == [3]


@pytest.mark.parametrize("program", ["sshd[7]", "sshd-session[7]", "sshd-auth[7]"])
def test_each_of_the_servers_programs_is_read(program: str) -> None:
    assert feed(evaluator(), (0, "Invalid user x from 198.51.100.7 port 9"), program=program) == ["ssh_invalid_user"]


def test_another_program_accuses_nobody() -> None:
    assert feed(evaluator(), *((at, failed()) for at in range(9)), program="game-api[7]") == []


@pytest.mark.parametrize("user", ["root from 10.0.0.1", "root from 10.0.0.1 port 22", "a from 10.0.0.1 port 22 ssh2"])
def test_a_user_name_frames_nobody(user: str) -> None:
    judge = evaluator()
    feed(judge, (0, f"Invalid user {user} from 198.51.100.7 port 9"), *((at, failed(user=user)) for at in range(5)))
    assert {source for _, source in judge.found.tries} == {"198.51.100.7"}


def test_three_logins_alarm_nobody_and_one_after_three_failures_does() -> None:
    login = "Accepted password for ann from 198.51.100.7 port 22 ssh2"
    judge = evaluator()
    assert feed(judge, (0, login), (1, login), (2, login), (3, failed()), (4, failed()), (5, login)) == []
    assert feed(judge, (6, failed()), (7, login)) == ["ssh_success_after_failures"]
    assert feed(judge, (700, login)) == []


def test_an_address_has_one_spelling() -> None:
    judge = evaluator()
    spelled = ("::ffff:198.51.100.7", "198.51.100.7", "2001:DB8::1")
    feed(judge, *((at, failed(source)) for at, source in enumerate(spelled)))
    assert {source for _, source in judge.found.tries} == {"198.51.100.7", "2001:db8::1"}
