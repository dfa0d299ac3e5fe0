"""Players from CSV files: what is read, what is refused and where the error points."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from gamestream_dagster.experiments import player_file
from gamestream_dagster.experiments.errors import PlayersError
from gamestream_dagster.experiments.player_file import PlayerFile, plan_of_file
from gamestream_dagster.experiments.sample import Sample
from tests.support.experiment_worlds import COLUMNS, plan, players, write_players

HEADER = ",".join(COLUMNS)
GOOD = f"{HEADER}\n1,a,3,True,False\n2,a,5,True,True\n3,b,4,false,FALSE\n4,b,6,1,0\n"


def read(path: Path) -> Sample:
    source = PlayerFile(path)
    return source.sample(plan_of_file(source))


def written(tmp_path: Path, text: str | bytes, name: str = "players.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_counts_by_hand(tmp_path: Path):
    found = read(written(tmp_path, GOOD))
    a, b = found.arms
    assert (a.variant, a.players, b.variant, b.players, found.crossovers) == ("a", 2, "b", 2, 0)
    assert [a.metrics[name].total for name in ("retention_1", "retention_7", "sum_gamerounds")] == [2, 1, 8]
    assert [b.metrics[name].total for name in ("retention_1", "retention_7", "sum_gamerounds")] == [1, 0, 10]
    assert a.metrics["sum_gamerounds"].variance == pytest.approx(2)
    assert a.metrics["retention_7"].variance == pytest.approx(0.5)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace("2,a,5", '"2","a"," 5 "'),
        GOOD.rstrip("\n"),
        GOOD.replace("userid,version", " userid , version "),
    ],
    ids=["semicolons", "tabs", "windows", "mark", "quotes", "no last line end", "blanks"],
)
def test_files_as_spreadsheets_write_them(tmp_path: Path, text: str):
    assert read(written(tmp_path, text)) == read(written(tmp_path, GOOD, "other.csv"))


def test_gzip_other_columns_and_their_order(tmp_path: Path):
    lines = [line.split(",") for line in GOOD.splitlines()]
    turned = "\n".join(",".join([*reversed(line), "x y"]) for line in lines) + "\n"
    path = tmp_path / "players.csv.gz"
    path.write_bytes(gzip.compress(turned.encode()))
    assert read(path) == read(written(tmp_path, GOOD))


def test_names_of_files_are_no_patterns(tmp_path: Path):
    written(tmp_path, "nothing\n", "p1.csv")
    assert read(written(tmp_path, GOOD, "p[1]*?.csv")) == read(written(tmp_path, GOOD))


def test_a_quoted_version_with_a_comma_and_a_line_end(tmp_path: Path):
    found = read(written(tmp_path, GOOD.replace(",b,", ',"b, new\nline",')))
    assert [arm.variant for arm in found.arms] == ["a", "b, new\nline"]


def test_players_in_two_versions_are_left_out_and_counted(tmp_path: Path):
    found = read(written(tmp_path, GOOD + "1,b,3,True,True\n5,a,1,0,0\n"))
    assert found.crossovers == 1
    assert [arm.players for arm in found.arms] == [2, 2]
    assert found.arms[0].metrics["sum_gamerounds"].total == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("retention_7", "retention_8", 1), "lacks `retention_7`"),
        (GOOD.replace("userid,version", "user,version"), "lacks `userid`; its first line is 'user, version"),
        ("1,a,3,True,False\n", "lacks `userid`, `version`"),
        (GOOD.replace("retention_1,", "userid,", 1), "has the column `userid` twice"),
        (f"{HEADER},version\n1,a,3,1,0,a\n2,b,3,1,0,b\n", "has the column `version` twice"),
        (f"{HEADER}\n", "a header and no rows"),
        ("", "has no first line"),
        ("\n\n", "has no first line"),
        (GOOD.replace(",b,", ",a,"), "has one version, 'a'"),
        (GOOD + "5,a,,1,0\n", "`sum_gamerounds` of .* has 1 values .* the first is empty in row 6"),
        (GOOD + "5,a,NaN,1,0\n", "the first is 'NaN' in row 6"),
        (GOOD + "5,a,inf,1,0\n", "the first is 'inf' in row 6"),
        (GOOD + "5,a,1e300,1,0\n", "the first is '1e300' in row 6"),
        (GOOD + '5,a,"1,5",1,0\n', "the first is '1,5' in row 6"),
        (GOOD + "5,a,1,2,0\n6,a,1,1,0\n", "`retention_1` .* 1 values .* first is '2' in row 6; it must be 0 or 1"),
        (GOOD + "5,a,1,0.5,0\n", "'0.5' in row 6"),
        (GOOD + "5,a,1,yes,0\n", "'yes' in row 6"),
        (GOOD + "5,a,1,1,\n", "`retention_7` .* empty in row 6"),
        (GOOD + ",a,1,1,0\n", r"1 rows without .* the first is row 6 \(`userid` is empty\)"),
        (GOOD + "5, ,1,1,0\n", r"the first is row 6 \(`version` is empty\)"),
        (GOOD + "1,a,3,True,False\n", "1 players with several rows in one version, first in the rows 2 and 6"),
        (GOOD + "1,b,3,1,0\n1,b,3,1,0\n", "several rows in one version"),
        (GOOD + "5,a\n", "no regular CSV file"),
        (GOOD + "5,a,1,1,0,9,9\n", "no regular CSV file"),
        (GOOD + '5,a,1,1,"0\n', "no regular CSV file"),
        (GOOD.encode() + b"5,\xff\xfe,1,1,0\n", "no regular CSV file"),
        (GOOD.encode("utf-16"), "is not UTF-8"),
        (b"PK\x03\x04\0\0\0", "is no text"),
        (GOOD + "".join(f"{n},v{n},1,1,0\n" for n in range(5, 30)), "more than 20 values"),
    ],
)
def test_a_bad_file_is_one_sentence_with_the_place(tmp_path: Path, text: str | bytes, said: str):
    with pytest.raises(PlayersError, match=said) as found:
        read(written(tmp_path, text))
    assert str(found.value).count("\n") == 0
    assert str(found.value).endswith(".")


def test_a_damaged_gzip_a_missing_file_and_a_folder(tmp_path: Path):
    whole = gzip.compress(GOOD.encode() * 500)
    for name, content in (("a.csv.gz", b"no gzip"), ("b.csv.gz", whole[:60])):
        with pytest.raises(PlayersError):
            read(written(tmp_path, content, name))
    with pytest.raises(PlayersError, match="There is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(PlayersError, match="is a folder"):
        read(tmp_path)


def test_the_control_is_named_or_called_so(tmp_path: Path):
    def chosen(*versions: str, control: str | None = None) -> str:
        rows = players(dict.fromkeys(versions, (2, 1, 1)))
        return plan_of_file(PlayerFile(write_players(tmp_path / "c.csv", rows)), control).control

    assert chosen("gate_40", "gate_30") == "gate_30"
    assert chosen("Control", "A1") == "Control"
    assert chosen("x", "y", control="y") == "y"
    with pytest.raises(PlayersError, match="'z' is no version"):
        chosen("x", "y", control="z")


def test_a_plan_names_the_columns_and_the_versions(tmp_path: Path):
    path = written(tmp_path, "userid,version,Paid in EUR\n1,a,2.5\n2,a,3.5\n3,b,-1\n")
    spent = {"metrics": {"spent": {"kind": "mean", "role": "primary", "column": "Paid in EUR"}}}
    found = PlayerFile(path).sample(plan(**spent))
    assert [(arm.players, arm.metrics["spent"].total) for arm in found.arms] == [(2, 6.0), (1, -1.0)]
    with pytest.raises(PlayersError, match="has the version 'b', the plan has a, c"):
        PlayerFile(path).sample(plan(**spent, variants={"a": 1, "c": 1}))
    empty = PlayerFile(path).sample(plan(**spent, variants={"a": 1, "b": 1, "c": 1})).arms[2]
    assert (empty.variant, empty.players, empty.metrics["spent"].count) == ("c", 0, 0)


def test_a_file_larger_than_the_memory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(player_file, "MEMORY_LIMIT", "40MiB")
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for start in range(0, 300_000, 1_000):
            file.writelines(
                f"player-{n:040d},{'ab'[n % 2]},{n % 7},{n % 3 // 2},0\n" for n in range(start, start + 1_000)
            )
    found = read(path)
    assert [arm.players for arm in found.arms] == [150_000, 150_000]


def test_a_column_from_before_the_experiment_is_the_covariate(tmp_path: Path):
    path = written(tmp_path, "userid,version,spent,earlier\n1,a,2,1\n2,a,4,2\n3,b,5,4\n4,b,9,6\n")
    spent = {"metrics": {"spent": {"kind": "mean", "role": "primary", "covariate": "earlier"}}}
    before = [arm.metrics["spent"].before for arm in PlayerFile(path).sample(plan(**spent)).arms]
    assert [(one.total, one.variance, one.covariance) for one in before if one] == [(3, 0.5, 1), (10, 2, 4)]
    path.write_text(path.read_text().replace(",6\n", ",none\n"))
    with pytest.raises(PlayersError, match=r"`earlier` .* first is 'none' in row 5"):
        PlayerFile(path).sample(plan(**spent))
