"""What a backfill that was killed left behind: staged rows, and files that the manifest does not name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from gamestream_dagster.archive.leftovers import new_aside
from gamestream_dagster.archive.manifest import Manifest

_STAGING: Final = "_staging"


def staging_folder(folder: Path, run: str) -> Path:
    """Where a run stages its rows. It exists as long as the run is not complete.

    Args:
        folder: of the history.
        run: its id.
    """
    return folder.parent / _STAGING / folder.name / run


def remove_leftovers(folder: Path, manifest: Manifest) -> None:
    """Remove what killed runs left. Call only under the lock.

    A file that the manifest does not name is of a killed run if the run's staging folder is still there. Otherwise an
    older manifest was restored, and the file may be the only copy of its events: it is set aside.
    """
    staged = staging_folder(folder, "")
    killed = {path.name for path in staged.iterdir()} if staged.is_dir() else set[str]()
    named = {file.path for chapter in manifest.chapters for file in chapter.files}
    aside = None
    for path in sorted(folder.rglob("*.parquet")):
        place = str(path.relative_to(folder))
        if place in named:
            continue
        if path.stem.rpartition("-")[2] in killed:
            path.unlink()
            continue
        aside = aside or new_aside(folder)
        (aside / place).parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside / place)
    shutil.rmtree(staged, ignore_errors=True)
