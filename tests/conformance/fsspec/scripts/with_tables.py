# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
"""Tables and arrays at `drivebay://`, written and read by the libraries that people use for them."""

import os
import sys

import fsspec
import numpy as np
import pandas
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import upath
import xarray

PREFIX = os.environ["PREFIX"]
TABLE = pandas.DataFrame({"number": range(100_000), "name": [f"ü {each}" for each in range(100_000)]})


def with_pandas() -> None:
    for kind, write, read in (
        ("parquet", TABLE.to_parquet, pandas.read_parquet),
        ("csv", lambda url: TABLE.to_csv(url, index=False), pandas.read_csv),
        (
            "json",
            lambda url: TABLE.to_json(url, orient="records", lines=True),
            lambda url: pandas.read_json(url, lines=True),
        ),
    ):
        url = f"drivebay://{PREFIX}a table.{kind}"
        write(url)
        pandas.testing.assert_frame_equal(read(url), TABLE)
    few = pandas.read_parquet(f"drivebay://{PREFIX}a table.parquet", columns=["number"], filters=[("number", "<", 10)])
    assert [*few["number"]] == [*range(10)]


def with_pyarrow() -> None:
    files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fsspec.filesystem("drivebay")))
    table = pyarrow.Table.from_pandas(TABLE.assign(part=TABLE["number"] % 4))
    for _ in range(2):  # the second time, the files of the first are replaced
        pyarrow.dataset.write_dataset(
            table,
            f"{PREFIX}dataset",
            format="parquet",
            partitioning=["part"],
            filesystem=files,
            existing_data_behavior="delete_matching",
        )
    read = pyarrow.dataset.dataset(f"{PREFIX}dataset", partitioning=["part"], filesystem=files)
    assert len(read.files) == 4
    assert read.count_rows() == len(TABLE)
    found = read.to_table(filter=pyarrow.dataset.field("part") == 3).column("number").to_pylist()
    assert sorted(found) == [*range(3, len(TABLE), 4)]
    [info] = files.get_file_info([f"{PREFIX}dataset/0/part-0.parquet"])
    assert info.size > 0


def with_xarray() -> None:
    array = xarray.Dataset(
        {"heat": (("time", "place"), np.arange(40_000.0).reshape(400, 100))},
        coords={"time": np.arange(400), "place": [f"p{each}" for each in range(100)]},
    )
    url = f"drivebay://{PREFIX}heat.zarr"
    array.isel(time=slice(0, 200)).to_zarr(url, mode="w")
    array.isel(time=slice(200, None)).to_zarr(url, append_dim="time")
    read = xarray.open_zarr(url)
    xarray.testing.assert_equal(read.load(), array)
    assert float(read["heat"].sel(time=399, place="p99")) == 39_999.0


def with_paths() -> None:
    folder = upath.UPath(f"drivebay://{PREFIX}folder")
    (folder / "a.txt").write_text("ü")
    assert (folder / "a.txt").read_text() == "ü"
    assert [each.name for each in folder.iterdir()] == ["a.txt"]
    (folder / "a.txt").rename(folder / "b.txt")
    assert [each.name for each in folder.glob("*.txt")] == ["b.txt"]
    (folder / "b.txt").unlink()
    assert not folder.exists()


if __name__ == "__main__":
    fsspec.register_implementation("drivebay", "entrypoints.client.filesystem.DrivebayFileSystem")
    globals()[sys.argv[1]]()
