import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import openclip_api

from .support.tiny_checkpoint import write_tiny_checkpoint


def test_all_names_what_is_exported():
    public = {name for name in vars(openclip_api) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(openclip_api, name)).__name__ == "module"}
    assert public - modules <= set(openclip_api.__all__)
    for name in openclip_api.__all__:
        assert getattr(openclip_api, name).__module__.startswith("openclip_api.")
    with pytest.raises(AttributeError):
        openclip_api.no_such_name  # noqa: B018


@pytest.mark.process
def test_importing_it_writes_nothing_and_tells_nobody(tmp_path: Path):
    program = "import openclip_api, sys; assert sys.modules['openvino_telemetry'] is None"
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="tells it on Linux only")
def test_loading_gives_the_mapped_file_s_memory_back(tmp_path: Path):
    tiny = write_tiny_checkpoint(tmp_path)  # a file that no other test has mapped
    embedder = openclip_api.load(f"local-dir:{tiny}")
    weights = tiny / "open_clip_model.safetensors"
    lines = Path("/proc/self/smaps").read_text().splitlines()
    mappings = [i for i, line in enumerate(lines) if str(weights) in line]
    resident = [int(line.split()[1]) for i in mappings for line in lines[i : i + 6] if line.startswith("Rss:")]
    embedder.close()
    assert mappings
    assert sum(resident) < weights.stat().st_size / 1024 / 5


def test_no_class_is_both_a_named_tuple_and_generic():
    """Python 3.10, which is supported, cannot import one."""
    for path in Path(openclip_api.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).partition("[")[0] for base in node.bases}
                assert not {"NamedTuple", "Generic"} <= bases, f"{path}: {node.name}"
