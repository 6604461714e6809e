"""Images in archives: the same bytes for the same images, and back again whatever DVC has left."""

import shutil
import tarfile
from pathlib import Path

import pytest
from dvc.repo import Repo

from datasetdm import tracking
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline import image_archives
from datasetdm.pipeline.image_archives import has_images, pack_images, restore_images

ROOT = Path(__file__).parents[2]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set in a project: images with odd names, nested ones, and an empty folder of rejected ones."""
    monkeypatch.setattr(image_archives, "SIZE", 2)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/synthetic/toys"
    for name in ("1.png", "2.png", "3.jpg", "Straße ½.png", "a/b.png"):
        write(folder / "images" / name, name)
    (folder / "rejected/images").mkdir(parents=True)
    write(folder / "annotations/seed_0.json", "{}")
    return folder


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_images_give_equal_archives(published: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(published, other, copy_function=shutil.copyfile)  # other times
    for folder in (published, other):
        pack_images(folder)
    assert contents(published / "archives") == contents(other / "archives")
    assert [path.name for path in sorted((other / "archives").iterdir())] == [
        "contents.json", "images-0000.tar", "images-0001.tar", "images-0002.tar",
    ]  # fmt: skip


def test_what_is_missing_or_of_another_version_is_unpacked_and_the_rest_is_left_alone(published: Path) -> None:
    pack_images(published)
    made = contents(published)
    times = (published / "images/1.png").stat()
    restore_images(published)
    assert has_images(published) and (published / "images/1.png").stat() == times

    write(published / "images/1.png", "another version")
    write(published / "images/left over.png", "of another version")
    shutil.rmtree(published / "rejected/images")
    assert not has_images(published)
    restore_images(published)
    assert contents(published) == made
    assert (published / "rejected/images").is_dir()


def test_dvc_tracks_the_archives_and_brings_all_images_back(published: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    pack_images(published)
    made = contents(published)
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        repo.add(str(published))
        (tracked,) = repo.index.outs
        assert tracked.hash_info.value == tracking.dvc_md5(published)
        assert tracked.meta.nfiles == 5  # three archives, their list, and the annotations
        shutil.rmtree(published)
        repo.checkout()
    assert not (published / "images").exists()
    restore_images(published)
    assert contents(published) == made


def test_a_damaged_archive_is_named_and_the_images_stay(published: Path) -> None:
    pack_images(published)
    write(published / "images/1.png", "changed")
    before = contents(published / "images")
    (published / "archives/images-0001.tar").write_bytes(b"no archive")
    with pytest.raises(DatasetDMError, match=r"images-0001\.tar is missing or damaged .*`dvc checkout`"):
        restore_images(published)
    (published / "archives/images-0001.tar").unlink()
    with pytest.raises(DatasetDMError, match=r"images-0001\.tar is missing or damaged"):
        restore_images(published)
    assert contents(published / "images") == before


def test_an_archive_of_somebody_else_writes_nothing_outside_and_its_images_are_not_taken(published: Path) -> None:
    pack_images(published)
    write(published / "images/1.png", "changed")
    for name, kind, message in (
        ("../escaped.png", tarfile.REGTYPE, "not a plain relative path"),
        ("1.png", tarfile.SYMTYPE, "do not hold the images"),
    ):
        with tarfile.open(published / "archives/images-0000.tar", "w") as tar:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/hostname"
            tar.addfile(member)
        with pytest.raises(DatasetDMError, match=message):
            restore_images(published)
    assert not list(published.rglob("escaped.png"))
    assert (published / "images/1.png").read_text() == "changed"


def test_a_set_without_archives_stays_as_it_is(published: Path) -> None:
    made = contents(published)
    assert has_images(published)
    restore_images(published)
    assert contents(published) == made
