"""Atomic writing, safe names, and images in all the ways they come."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import (
    appearing,
    link,
    read_json,
    read_long_json,
    replacing,
    write_bytes,
    write_image,
    write_json,
)
from datasetdm.utils.images import image_size, read_image
from datasetdm.utils.paths import safe_join


def test_json_is_written_deterministically_and_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "x.json"
    content = {"b": [1, 2.5, None], "a": "grün"}
    write_json(file, content)
    first = file.read_bytes()
    write_json(file, content)
    assert file.read_bytes() == first
    assert read_json(file, remedy="-") == content


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"1")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, 1)
    with pytest.raises(ZeroDivisionError), replacing(file) as temporary:
        temporary.write_text(f"half {1 / 0}")
    with pytest.raises(TypeError), replacing(file) as temporary:
        temporary.write_bytes(temporary.write_text("half"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, float("nan"))
    assert json.loads(file.read_text()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for content in ("old", "new"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["data", "data/new"]


def test_image_is_written_and_read_back(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_image(tmp_path / "x.png", image)
    assert np.array_equal(read_image(tmp_path / "x.png"), image)
    with pytest.raises(ValueError, match="PNG"):
        write_image(tmp_path / "x.jpg", image)


@pytest.mark.parametrize("name", ["a.png", "a/b.png", "a..b.png", "...png", "grün ü.png", "./a.png"])
def test_plain_names_are_joined(tmp_path: Path, name: str) -> None:
    assert safe_join(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "../../x",
        "a/../../x",
        "a/..",
        "/etc/passwd",
        "C:/x",
        "c:x",
        "\\x",
        "..\\x",
        "a\\b",
        "a\0b",
        "a\nb",
    ],
)
def test_names_that_climb_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetDMError, match="file name"):
        safe_join(tmp_path, name)


@given(st.text(alphabet=st.sampled_from("./\\:ac~ \0"), max_size=12))
@settings(deadline=None, max_examples=200)
def test_what_is_joined_lies_inside(name: str) -> None:
    root = Path("/some/root")
    try:
        path = safe_join(root, name)
    except DatasetDMError:
        return
    assert Path(os.path.normpath(path)).is_relative_to(root) and Path(os.path.normpath(path)) != root


def test_links_may_not_leave_the_folder_but_the_folder_may_be_one(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "secret").write_text("x")
    (real / "out").symlink_to(tmp_path / "secret")
    (real / "in").symlink_to(real / "other")
    (tmp_path / "linked").symlink_to(real)
    with pytest.raises(DatasetDMError, match="link that leads out"):
        safe_join(real, "out")
    assert safe_join(tmp_path / "linked", "in").name == "in"


RED = np.zeros((4, 6, 3), dtype=np.uint8) + np.array([200, 30, 20], dtype=np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "L", "LA", "1"])
def test_all_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    picture = Image.fromarray(RED).convert(mode)
    picture.save(file)
    image = read_image(file)
    assert image.dtype == np.uint8 and image.shape == (4, 6, 3) and image.flags.writeable
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        assert np.abs(image.astype(int) - RED).max() < 60
    elif mode in ("L", "LA"):
        assert (image == np.asarray(picture.convert("L"))[..., None]).all()


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    grey = np.array([[0, 256, 65535], [32768, 255, 511]], dtype=np.uint16)
    write_image(tmp_path / "x.png", grey)
    assert np.array_equal(read_image(tmp_path / "x.png")[..., 0], [[0, 1, 255], [128, 0, 1]])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = np.zeros((16, 32, 3), dtype=np.uint8)
    image[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    Image.fromarray(image).save(tmp_path / "x.jpg", exif=exif, quality=95)
    upright = read_image(tmp_path / "x.jpg")
    assert upright.shape == (32, 16, 3)
    assert upright[:12].min() > 200 and upright[20:].max() < 50


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_damaged_images_are_told(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(noise).save(file)
    whole = file.read_bytes()
    for length in (0, 1, 10, len(whole) // 2):
        file.write_bytes(whole[:length])
        with pytest.raises(DatasetDMError, match=rf"x\.{suffix} cannot be read"):
            read_image(file)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM"]))
@settings(deadline=None, max_examples=100)
def test_arbitrary_bytes_are_no_image(tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "noise.bin"
    file.write_bytes(magic + data)
    try:
        image = read_image(file)
    except DatasetDMError:
        return
    assert image.ndim == 3 and image.dtype == np.uint8


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": [1, 2', b"\xff\xfe\x00", b"[" * 100_000, b"nul", b"9" * 10_000])
def test_broken_json_is_told_with_the_remedy(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(data)
    with pytest.raises(DatasetDMError, match=r"x\.json .* Do this\."):
        read_json(file, remedy="Do this.")
    with pytest.raises(DatasetDMError, match="is missing"):
        read_json(tmp_path / "none.json", remedy="-")


def test_of_two_that_make_a_folder_the_first_that_is_finished_stays(tmp_path: Path) -> None:
    with appearing(tmp_path / "unit") as slow:
        slow.mkdir()
        (slow / "slow").touch()
        with appearing(tmp_path / "unit") as quick:
            quick.mkdir()
            (quick / "quick").touch()
    assert [file.name for file in tmp_path.rglob("*")] == ["unit", "quick"]


class Item(msgspec.Struct):
    """An item of a long list."""

    id: int
    text: msgspec.Raw = msgspec.Raw()


def long_json(file: Path, text: str) -> tuple[Any, list[Any]]:
    file.write_text(text)
    content, items = read_long_json(file, "items", Item, remedy="Fetch it again.")
    return content, list(items)


def test_a_long_list_is_read_apart_from_the_rest(tmp_path: Path) -> None:
    content, (item,) = long_json(tmp_path / "x", '{"a": 1, "items": [{"id": 3, "text": [1,  2], "more": 0}]}')
    assert content == {"a": 1, "items": []} and (item.id, bytes(item.text)) == (3, b"[1,  2]")


def test_an_item_that_does_not_fit_comes_as_json_has_it(tmp_path: Path) -> None:
    content, items = long_json(tmp_path / "x", '{"items": [{"id": 3}, {"id": "4"}, 5], "a": {}}')
    assert content == {"items": [], "a": {}} and items[0].id == 3 and items[1:] == [{"id": "4"}, 5]


@pytest.mark.parametrize("text", ['{"a": 1}', '{"items": 3}', "[1]", '{"items": [], "a": NaN}'])
def test_json_of_another_structure_comes_as_a_whole(tmp_path: Path, text: str) -> None:
    content, items = long_json(tmp_path / "x", text)
    assert items == [] and str(content) == str(json.loads(text))


@pytest.mark.parametrize("text", ['{"items": [{"id": 1]}', '{"items": [{"id": 1}', '{"items": [{"id": "\\x"}]}'])
def test_a_long_list_that_is_no_json_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetDMError, match=r"x is not valid JSON.*Fetch it again"):
        long_json(tmp_path / "x", text)


def test_a_file_is_linked_once_and_its_folder_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    target = tmp_path / "new" / "folder" / "x"
    link(tmp_path / "a", target)
    link(tmp_path / "b", target)
    assert target.read_text() == "a" and target.stat().st_ino == (tmp_path / "a").stat().st_ino


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_the_size_of_our_own_files_is_what_pillow_says(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "x.png"
    Image.new(mode, (7, 5)).save(file)
    whole = file.read_bytes()
    assert image_size(file) == (5, 7) and whole[37:41] == b"IDAT"
    text = PngInfo()
    text.add_text("a", "b")
    Image.new(mode, (9, 4)).save(file, pnginfo=text)
    assert image_size(file) == (4, 9)
    for broken in (whole[:30], whole[:20] + b"\xff" + whole[21:], whole[:25] + b"\x09" + whole[26:]):
        file.write_bytes(broken)
        with pytest.raises(DatasetDMError, match="cannot be read as an image"):
            image_size(file)
