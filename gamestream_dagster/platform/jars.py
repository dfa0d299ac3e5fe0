"""The servers' Java archives: fetched by pinned coordinate into a shared cache, checked against `jars.lock`, linked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from gamestream_dagster.platform.errors import JarError
from gamestream_dagster.platform.layout import cache_dir

LOCK = Path(__file__).with_name("jars.lock")
PARALLEL_FETCHES = 8


class JarUse(StrEnum):
    """The server that an archive is for."""

    KAFKA = "kafka"  # class path of the broker
    REGISTRY = "registry"  # the registry's distribution, a tar.gz
    FLINK_LIB = "flink-lib"  # on every Flink process's class path
    FLINK_OPT = "flink-opt"  # only on the SQL gateway's class path
    FLINK_BATCH = "flink-batch"  # loaded only by sessions of the batch recompute
    COMPILER = "compiler"  # compiles our own Flink format; on no server's class path


@dataclass(frozen=True)
class Jar:
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    classifier: str
    packaging: str
    sha256: str
    use: JarUse

    @property
    def coordinate(self) -> str:
        """group:artifact:version, plus classifier:type unless they are the default."""
        plain = f"{self.group}:{self.artifact}:{self.version}"
        return plain if self.packaging == "jar" else f"{plain}:{self.classifier}:{self.packaging}"

    @property
    def filename(self) -> str:
        """Name of the file, as in a Maven repository."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.{self.packaging}"

    @property
    def path(self) -> Path:
        """Its path in the cache."""
        return cache_dir() / "jars" / self.group / self.artifact / self.version / self.filename


@cache
def locked() -> tuple[Jar, ...]:
    """All archives of the lock."""
    return parse_lock(LOCK.read_text(encoding="utf-8"))


def parse_lock(text: str) -> tuple[Jar, ...]:
    """Read lines of `sha256  use  group:artifact:version[:classifier:type]`; `#` begins a comment.

    Raises:
        JarError: a line is malformed.
    """
    jars = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        try:
            sha256, use, coordinate = words
            group, artifact, version, classifier, packaging = [*coordinate.split(":"), "", "jar"][:5]
            jars.append(Jar(group, artifact, version, classifier, packaging, sha256, JarUse(use)))
        except ValueError as error:
            raise JarError(f"jars.lock line {number} cannot be read ({line!r}); restore the file.") from error
    return tuple(jars)


def for_use(*uses: JarUse) -> tuple[Jar, ...]:
    """The archives needed by servers of these kinds."""
    return tuple(jar for jar in locked() if jar.use in uses)


def ensure(jars: Iterable[Jar], on_file: Callable[[int, int], None] | None = None) -> None:
    """Fetch missing archives into the cache and check each by its SHA-256.

    A file that was checked before and has kept its size and time is not read again, so a warm start costs a few stats.

    Args:
        jars: what is wanted.
        on_file: receives (files done, files in all) after each file.

    Raises:
        JarError: one cannot be fetched, or differs from the lock.
    """
    wanted = list(jars)
    seen = _CheckedFiles(cache_dir() / "checked.json")
    done = 0
    with ThreadPoolExecutor(PARALLEL_FETCHES) as pool:
        for _ in pool.map(lambda jar: _ensure_one(jar, seen), wanted):
            done += 1
            if on_file:
                on_file(done, len(wanted))
    seen.save()


def link(jars: Iterable[Jar], folder: Path, keep: Iterable[Path] = ()) -> None:
    """Make `folder` contain exactly links to these archives and to the files of `keep`."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {jar.filename: jar.path for jar in jars} | {path.name: path for path in keep}
    for present in folder.iterdir():
        if present.name not in wanted or not present.is_symlink() or present.readlink() != wanted[present.name]:
            present.unlink()
    for name, target in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)


def unpacked(jar: Jar) -> Path:
    """Folder with the content of a cached tar.gz; unpacked once, atomically, and shared by all stacks."""
    folder = cache_dir() / "unpacked" / f"{jar.artifact}-{jar.version}-{jar.sha256[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        with tarfile.open(jar.path) as archive:
            archive.extractall(partial, members=_within(archive, partial))  # noqa: S202 - _within checks each
        partial.chmod(0o755)
        partial.rename(folder)
    except (OSError, tarfile.TarError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.is_dir():  # another stack was faster
            raise JarError(
                f"{jar.path} cannot be unpacked ({error}); make room on the disk, or delete that file, and run again."
            ) from error
    return folder


def _within(archive: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """The members as files and folders below `folder`, owned by us; tarfile's own filters came with Python 3.11.4.

    Raises:
        tarfile.TarError: one is a link or a device, or would land elsewhere.
    """
    for member in archive:
        target = (folder / member.name).resolve()
        if not (member.isfile() or member.isdir()) or not target.is_relative_to(folder.resolve()):
            raise tarfile.TarError(f"{member.name} is no plain file of the archive")
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex; read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _CheckedFiles:
    """The files that passed the check, by size and modification time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._new: dict[str, list[int | str]] = {}
        try:
            self._known: dict[str, list[int | str]] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):  # then everything is read and checked again
            self._known = {}

    def holds(self, jar: Jar) -> bool:
        return self._known.get(jar.coordinate) == _identity(jar)

    def add(self, jar: Jar) -> None:
        with self._lock:
            self._new[jar.coordinate] = _identity(jar)

    def save(self) -> None:
        if not self._new:
            return
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        partial.write_text(json.dumps({**self._known, **self._new}), encoding="utf-8")
        partial.replace(self._path)


def _identity(jar: Jar) -> list[int | str]:
    stat = jar.path.stat()
    return [jar.sha256, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _ensure_one(jar: Jar, seen: _CheckedFiles) -> None:
    if not jar.path.exists():
        _fetch(jar)
    elif seen.holds(jar):
        return
    found = sha256_of(jar.path)
    if found != jar.sha256:
        raise JarError(
            f"{jar.path} is not the {jar.coordinate} that jars.lock names (SHA-256 {found[:12]}..., wanted "
            f"{jar.sha256[:12]}...), so it is not used; delete that file and run again to fetch it afresh."
        )
    seen.add(jar)


def _fetch(jar: Jar) -> None:
    from jgo.maven import MavenContext

    jar.path.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own: jgo writes in place, and an interrupted download must never look complete.
    with tempfile.TemporaryDirectory(dir=cache_dir(), prefix="fetch-") as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            fetched = artifact.artifact(classifier=jar.classifier, packaging=jar.packaging).resolve()
        except Exception as error:  # jgo raises its HTTP client's errors and its own, of no common type
            raise JarError(
                f"{jar.coordinate} could not be fetched ({type(error).__name__}); check the network and run again, "
                f"or put the file at {jar.path} yourself."
            ) from error
        if sha256_of(fetched) != jar.sha256:
            raise JarError(
                f"The {jar.coordinate} that was fetched is not the one that jars.lock names, so it was thrown away; "
                "check which Maven repository your machine uses."
            )
        fetched.replace(jar.path)
