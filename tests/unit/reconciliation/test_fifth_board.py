"""Nothing in the code knows a board by name: a fifth one is two files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from gamestream_dagster.catalogue.boards import load_boards
from gamestream_dagster.reconciliation.compare.examine import examine
from gamestream_dagster.reconciliation.model.proof import JobCut
from gamestream_dagster.reconciliation.model.values import Sink
from gamestream_dagster.reconciliation.observe.observation import Observation
from gamestream_dagster.reconciliation.recompute.boards import check_board
from tests.support.archive_maker import make_archive, open_folder
from tests.support.event_logs import AS_OF
from tests.support.reference_model import Event

BOARD = """
title: Top pairs
description: Players by team.
owner: team:game-analytics
rows: 3
order: [total desc, team_id asc, user_id asc]
columns:
  place: {type: bigint, role: rank}
  team_id: {type: string, role: key}
  user_id: {type: string, role: key}
  total: {type: bigint, role: sum, over: [team_id, user_id]}
"""
RECOMPUTE = """
SELECT row_number() OVER (ORDER BY total DESC, team_id, user_id) AS place, team_id, user_id, total
FROM (SELECT team_id, user_id, sum(score)::BIGINT AS total FROM events GROUP BY ALL)
ORDER BY place LIMIT $rows
"""


@pytest.fixture
def board(tmp_path):
    folder = tmp_path / "pairs_v1" / "outputs" / "top_pairs"
    folder.mkdir(parents=True)
    (folder / "output.yaml").write_text(BOARD, encoding="utf-8")
    (folder / "recompute.sql").write_text(RECOMPUTE, encoding="utf-8")
    return load_boards(tmp_path)["top_pairs"]


@pytest.mark.parametrize("low", [{0: 4}, {0: 3}, {0: 0}])
def test_it_is_reconciled(board, low):
    check_board(board)
    events = [
        Event(0, 0, "u", "a", "A", 5, AS_OF),
        Event(0, 1, "u", "b", "B", 9, AS_OF),
        Event(0, 2, "v", "a", "A", 9, AS_OF),
        Event(0, 3, "u", "a", "A", 2, AS_OF),
    ]
    rows = [("a", "v", 9), ("b", "u", 9), ("a", "u", 7)]
    right = [{"place": n, "team_id": t, "user_id": u, "total": s} for n, (t, u, s) in enumerate(rows, 1)]
    wrong = [*right[:2], {**right[2], "total": 6}]
    with tempfile.TemporaryDirectory() as folder:
        make_archive(Path(folder) / "user-score", events)
        with open_folder(Path(folder) / "user-score", Path(folder)) as archive:
            for streamed, count in ((right, 0), (wrong, 1)):
                seen = Observation(
                    {board.job: JobCut(board.job, "id", "print", 1, low)},
                    {0: 4},
                    {(board.name, Sink.KAFKA): streamed},
                )
                [result] = examine(archive, [board], [Sink.KAFKA], seen=seen, since={board.job: low})
                assert len(result.differences) == count, result.differences
