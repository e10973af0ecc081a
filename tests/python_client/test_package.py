"""The package `drivebay`, as it is installed."""

import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import drivebay

from entrypoints import client

ROOT = Path(__file__).parents[2]


def test_it_is_the_client() -> None:
    assert drivebay.__all__ == client.__all__
    assert Path(drivebay.__file__).read_text() == (ROOT / "entrypoints" / "client" / "alias.py").read_text()
    assert repr(drivebay.NotFound) == "<class 'drivebay.NotFound'>"


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in methods if not name.startswith("_")}

    assert signatures(drivebay.Client) == signatures(drivebay.AsyncClient)


def test_a_wheel_has_it(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, timeout=60, check=True)
    [wheel] = tmp_path.glob("drivebay-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"drivebay/__init__.py", "drivebay/py.typed", "entrypoints/client/client.py"} <= set(names)
    with zipfile.ZipFile(wheel) as opened:
        entries = opened.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "[fsspec.specs]\ndrivebay = entrypoints.client.filesystem:DrivebayFileSystem" in entries


def test_it_needs_httpx_and_no_other_library() -> None:
    # httpx has a command line, which uses click and rich if they are there.
    script = "import sys, httpx; before = set(sys.modules); import drivebay; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    ours = {name.partition(".")[0] for name in loaded.stdout.split()} - sys.stdlib_module_names
    assert ours == {"drivebay", "entrypoints"}
