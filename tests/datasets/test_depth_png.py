import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.depth_png import KITTI_UNITS, MILLIMETRES, Sensor, depth_codec, read_depth
from datasetdm.datasets.standard.maps import load_maps, save_maps
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import write_image

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=8)
UNITS = arrays.arrays(np.uint16, SHAPES)


@st.composite
def depth_maps(draw: st.DrawFn, max_depth: float) -> DepthMap:
    shape = draw(SHAPES)
    metres = st.floats(np.float32(1e-3), np.float32(max_depth), width=32)
    known = draw(arrays.arrays(np.bool_, shape))
    return DepthMap(depth=np.where(known, draw(arrays.arrays(np.float32, shape, elements=metres)), 0), valid_mask=known)


def png(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, format="png")
    return stream.getvalue()


@given(
    st.sampled_from([(10.0, MILLIMETRES), (65.5, MILLIMETRES), (80.0, KITTI_UNITS), (255.0, KITTI_UNITS)]), st.data()
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_comes_back_within_half_a_unit(limit: tuple[float, float], data: st.DataObject) -> None:
    max_depth, units = limit
    target = data.draw(depth_maps(max_depth))
    codec = depth_codec(max_depth)
    read = codec.decode(codec.encode(target))
    np.testing.assert_array_equal(read.valid_mask, target.valid_mask)
    bound = np.where(target.depth * units < 1, 1, 0.5) / units + 1e-5
    assert (np.abs(read.depth - target.depth) <= bound).all()
    assert read.depth.dtype == np.float32 and (read.depth[~read.valid_mask] == 0).all()


@given(UNITS, st.sampled_from([10.0, 80.0]))
@settings(max_examples=40, deadline=None)
def test_every_file_is_written_as_it_was_read(values: np.ndarray, max_depth: float) -> None:
    codec = depth_codec(max_depth)
    np.testing.assert_array_equal(codec.encode(codec.decode(values)), values)


def test_what_the_file_cannot_hold_is_unknown() -> None:
    target = DepthMap(depth=np.array([[65.5, 65.6, 300.0]], np.float32), valid_mask=np.ones((1, 3), bool))
    assert depth_codec(10).encode(target).tolist() == [[65_500, 0, 0]]
    assert depth_codec(80).encode(target).tolist() == [[16_768, 16_794, 0]]
    with pytest.raises(DatasetDMError, match="max_depth"):
        depth_codec(300)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_no_impossible_depth_is_written(wrong: float) -> None:
    depth = np.array([[1.0, wrong]], np.float32)
    with pytest.raises(ValueError, match="known depth"):
        depth_codec(10).encode(DepthMap(depth=depth, valid_mask=np.ones((1, 2), bool)))
    hidden = DepthMap(depth=depth, valid_mask=np.array([[True, False]]))
    assert depth_codec(10).encode(hidden).tolist() == [[1000, 0]]


@given(depth_maps(80.0))
@settings(max_examples=15, deadline=None)
def test_a_saved_set_reads_back(tmp_path_factory: pytest.TempPathFactory, target: DepthMap) -> None:
    root = tmp_path_factory.mktemp("set")
    codec, categories = depth_codec(80), (Category(id=1, name="street"),)
    image = np.zeros((*target.depth.shape, 3), np.uint8)
    save_maps(root, "test", [Sample(name="a.png", image=image, caption="", target=target)], categories, codec)
    (read,) = load_maps(root, "test", codec)
    np.testing.assert_array_equal(read.target.valid_mask, target.valid_mask)
    np.testing.assert_allclose(read.target.depth, target.depth, atol=1 / KITTI_UNITS)


# --- native files


@given(UNITS, st.sampled_from([(MILLIMETRES, 10.0), (KITTI_UNITS, 120.0)]))
@settings(max_examples=60, deadline=None)
def test_a_native_map_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, sensor: tuple[float, float]
) -> None:
    units, farthest = sensor
    path = tmp_path_factory.mktemp("native") / "depth.png"
    path.write_bytes(png(values))
    within = (values > 0) & (values <= farthest * units)
    if within.sum() == 0 or within.sum() < (values > farthest * units).sum():
        with pytest.raises(DatasetDMError, match=r"depth\.png"):
            read_depth(path, Sensor(units_per_metre=units, farthest=farthest, common=1))
        return
    read = read_depth(path, Sensor(units_per_metre=units, farthest=farthest, common=1))
    np.testing.assert_array_equal(read.valid_mask, within)
    np.testing.assert_allclose(read.depth[within], values[within] / units, rtol=1e-6)
    assert (read.depth[~within] == 0).all()


@pytest.mark.parametrize(
    "values",
    [
        np.full((4, 4), 90, np.uint8),
        np.full((4, 4, 3), 90, np.uint8),
        np.full((4, 4, 4), 90, np.uint8),
        np.ones((4, 4), dtype=bool),
    ],
    ids=["8-bit", "colour", "alpha", "1-bit"],
)
def test_other_kinds_of_picture_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    (tmp_path / "depth.png").write_bytes(png(values))
    with pytest.raises(DatasetDMError, match=r"depth\.png is not a 16-bit map"):
        read_depth(tmp_path / "depth.png", Sensor(units_per_metre=MILLIMETRES, farthest=10, common=1))


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=40, deadline=None)
def test_damaged_files_never_give_another_depth(
    tmp_path_factory: pytest.TempPathFactory, seed: int, cut_off: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 10_000, (16, 16), dtype=np.uint16)
    data = bytearray(png(values))
    position = int(rng.integers(len(data)))
    if cut_off:
        del data[position:]
    else:
        data[position] ^= int(rng.integers(1, 256))
    path = tmp_path_factory.mktemp("damaged") / "depth.png"
    path.write_bytes(data)
    try:
        read = read_depth(path, Sensor(units_per_metre=MILLIMETRES, farthest=10, common=1))
    except DatasetDMError:
        return
    np.testing.assert_array_equal(np.rint(read.depth * 1000), values)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"nothing\.png is missing"):
        read_depth(tmp_path / "nothing.png", Sensor(units_per_metre=MILLIMETRES, farthest=10, common=1))


def test_the_sky_is_unknown(tmp_path: Path) -> None:
    write_image(tmp_path / "depth.png", np.array([[100, 65_534, 65_535, 65_535, 65_535]], np.uint16))
    read = read_depth(
        tmp_path / "depth.png", Sensor(units_per_metre=100, farthest=655.35, unknown=(0, 65_535), common=1)
    )
    assert read.valid_mask.tolist() == [[True, True, False, False, False]]
    np.testing.assert_allclose(read.depth[0, :2], [1, 655.34], rtol=1e-6)
