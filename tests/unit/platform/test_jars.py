"""Archives: the lock, the check by SHA-256, links; no network."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from gamestream_dagster.platform import jars
from gamestream_dagster.platform.errors import JarError
from gamestream_dagster.platform.jars import Jar, JarUse

CONTENT = b"a jar"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def jar(artifact="thing", content=CONTENT, packaging="jar"):
    return Jar("org.example", artifact, "1.0", "", packaging, hashlib.sha256(content).hexdigest(), JarUse.KAFKA)


def put(one: Jar, content=CONTENT) -> Path:
    one.path.parent.mkdir(parents=True, exist_ok=True)
    one.path.write_bytes(content)
    return one.path


def test_the_lock_is_complete_and_names_no_host():
    locked = jars.locked()
    assert {each.use for each in locked} == set(JarUse)
    assert all(len(each.sha256) == 64 for each in locked)
    assert len({each.coordinate for each in locked}) == len(locked)
    assert "://" not in jars.LOCK.read_text(encoding="utf-8")


def test_a_line_of_another_form_is_refused():
    with pytest.raises(JarError, match="line 2"):
        jars.parse_lock("# comment\nabc kafka\n")


def test_classifier_and_type_are_read():
    (found,) = jars.parse_lock("00  registry  g:a:1:all:tar.gz")
    assert (found.classifier, found.packaging, found.filename) == ("all", "tar.gz", "a-1-all.tar.gz")


def test_a_right_file_is_taken_from_the_cache_and_read_once(monkeypatch):
    one = jar()
    put(one)
    jars.ensure([one])
    monkeypatch.setattr(jars, "sha256_of", lambda _: pytest.fail("was checked before"))
    jars.ensure([one])


def test_a_tampered_file_is_refused_by_name():
    one = jar()
    path = put(one)
    jars.ensure([one])
    path.write_bytes(b"evil!")
    with pytest.raises(JarError, match=r"thing-1\.0\.jar is not the org\.example:thing:1\.0") as caught:
        jars.ensure([one])
    assert "delete that file" in str(caught.value)


def test_a_missing_file_is_fetched_checked_and_kept(monkeypatch, tmp_path):
    one = jar()
    fetched = []

    def fake(wanted):
        fetched.append(wanted.coordinate)
        put(wanted)

    monkeypatch.setattr(jars, "_fetch", fake)
    told = []
    jars.ensure([one], lambda done, total: told.append((done, total)))
    assert fetched == ["org.example:thing:1.0"]
    assert told == [(1, 1)]


def test_links_are_exactly_what_is_wanted(tmp_path):
    first, second = jar("first"), jar("second")
    other = tmp_path / "distribution.jar"
    for each in (first, second):
        put(each)
    other.write_bytes(b"")
    folder = tmp_path / "lib"
    jars.link([first, second], folder)
    jars.link([second], folder, [other])
    assert sorted(path.name for path in folder.iterdir()) == ["distribution.jar", "second-1.0.jar"]
    assert (folder / "second-1.0.jar").read_bytes() == CONTENT


def test_a_copy_in_place_of_a_link_is_replaced(tmp_path):
    one = jar()
    put(one)
    folder = tmp_path / "lib"
    folder.mkdir()
    (folder / one.filename).write_bytes(b"planted")
    jars.link([one], folder)
    assert (folder / one.filename).is_symlink()


def test_an_archive_is_unpacked_once(tmp_path):
    source = tmp_path / "quarkus-run.jar"
    source.write_bytes(b"x")
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(source, "quarkus-run.jar")
    one = jar("app", packed.read_bytes(), "tar.gz")
    put(one, packed.read_bytes())
    folder = jars.unpacked(one)
    assert (folder / "quarkus-run.jar").read_bytes() == b"x"
    one.path.unlink()
    assert jars.unpacked(one) == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def link(name: str, target: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, target
    return made


@pytest.mark.parametrize(
    "member",
    [tarfile.TarInfo("../../escaped"), tarfile.TarInfo("/tmp/escaped"), link("escaped", "/etc"), link("escaped", "x")],
)
def test_what_leads_out_of_the_archive_is_refused(tmp_path, member):
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.addfile(member)
    one = jar("bad", packed.read_bytes(), "tar.gz")
    put(one, packed.read_bytes())
    with pytest.raises(JarError, match="cannot be unpacked"):
        jars.unpacked(one)
    assert not list(tmp_path.rglob("escaped"))
