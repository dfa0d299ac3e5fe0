"""What the lint cases promise: `-- finds: CODE ...` and `-- plans: CODE ...` at the ends of their lines."""

from __future__ import annotations

import re
from pathlib import Path

CASES = Path(__file__).parents[2] / "unit" / "flink_jobs" / "lint_cases"


def marked(folder: Path, *kinds: str) -> set[tuple[str, int, str]]:
    """File name, line and code of every mark of these kinds in the scripts of a folder, or in one script."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.sql"))
    return {
        (file.name, number, code)
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        for kind, codes in re.findall(r"-- (finds|plans): ((?:GS\d+ ?)+)", line)
        if kind in kinds
        for code in codes.split()
    }
