"""How each command ends when nobody reads its output, when the disk is full, and on Ctrl-C: one line, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openclip_api.commands import COMMANDS
from openclip_api.ending import exit_code

from .support.index_process import finish, start
from .support.process_tree import cpu_seconds

pytestmark = pytest.mark.process
OPENCLIP = f"{sys.executable} -m openclip_api"


def shell(command: str) -> tuple[int, str, str]:
    """Exit code of the first program of a pipe, what is read, what is said."""
    ended = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "MODEL_NAME": "emoji"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ending")
    (folder / "photos").mkdir()
    for number in range(1500):
        (folder / "photos" / f"broken, with a name that is rather long {number:05d}.png").write_bytes(b"%d" % number)
    code, _, stderr = finish(start(folder / "photos", "--store", folder / "s.lance", "--progress", "quiet"))
    assert code == 3, stderr
    return folder / "s.lance"


@pytest.mark.parametrize(
    "command",
    [
        "index --failures --store {}",
        "index --failures --json --store {}",
        "index --roots --store {}",
        "index --delete nothing --store {}",
        "duplicates --store {}",
        "models",
        "info emoji --json",
    ],
)
def test_nobody_reads(store: Path, command: str):
    command = f"{OPENCLIP} {command.format(store)}"
    readers, writers = os.pipe()
    os.close(readers)
    ended = subprocess.run(command.split(), stdout=writers, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writers)
    assert (ended.returncode, ended.stderr) == (141, "")
    code, stdout, stderr = shell(f"{command} | head -n 1")
    assert (code in (0, 1, 141), len(stdout.splitlines()), stderr) == (True, 1, "")  # short ones may be written by then


@pytest.mark.parametrize("command", ["models", "index --failures --store {}"])
def test_output_that_cannot_be_written(store: Path, command: str):
    command = f"{OPENCLIP} {command.format(store)}"
    assert shell(f"{command} > /dev/full") == (1, "", "openclip-api: the output: No space left on device\n")
    assert shell(f"{command} >&-")[::2] == (0, "")
    assert shell(f"{command} > /dev/null 2>&-")[0] == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="measures on Linux only")
@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_is_one_line_at_any_moment(tmp_path: Path, command: str):
    arguments = {
        "info": ["emoji"],
        "convert": ["emoji", tmp_path / "converted"],
        "quantize": ["--images", tmp_path],
        "embed": [tmp_path, "--out", tmp_path / "out"],
        "index": [tmp_path, "--store", tmp_path / "s.lance"],
        "search": ["--store", tmp_path / "s.lance", "cat"],
        "duplicates": ["--store", tmp_path / "s.lance"],
        "photos": [tmp_path, "--no-browser", "--store", tmp_path / "s.lance"],
    }
    for worked in (0.4, 0.8):  # seconds, of which Python's own start is a small part
        process = start(*arguments.get(command, []), command=command)
        while process.poll() is None and cpu_seconds(process.pid) < worked:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        code, _, stderr = finish(process)
        assert "Traceback" not in stderr
        if code == 130:
            assert "openclip-api: interrupted; run the same command again " in stderr
        else:  # it was faster
            assert code in (0, 1)


LOST = {
    "by a destructor": "Destroyed()",
    "by what Rust formats": "PydanticCustomError('kind', '{name}', {'name': Formatted()}).message()",
    "by a module that goes on": "import goes_on",
    "by a module that fails": "import fails",
    "as another error": "SchemaValidator(literal_schema([Formatted()]))",
}
INTERRUPTS = """
from signal import SIGINT, raise_signal
from pydantic_core import PydanticCustomError, SchemaValidator
from pydantic_core.core_schema import literal_schema
class Destroyed:
    def __del__(self): raise_signal(SIGINT)
class Formatted:
    def __repr__(self): raise_signal(SIGINT)
    __str__ = __repr__
"""
TRIES = "from signal import SIGINT, raise_signal\ntry: raise_signal(SIGINT)\nexcept BaseException: "


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize(("goes_on", "what"), [(False, "start over"), (True, "continue")])
def test_an_interrupt_that_an_extension_would_swallow_ends_the_command(
    tmp_path: Path, lost: str, goes_on: bool, what: str
):
    (tmp_path / "goes_on.py").write_text(f"{TRIES}pass")
    (tmp_path / "fails.py").write_text(f"{TRIES}raise ImportError('initialization failed')")
    (tmp_path / "interrupts.py").write_text(
        f"{INTERRUPTS}\ndef run() -> int:\n    {LOST[lost]}\n    print('it went on')\n    return 0"
    )
    program = f"from openclip_api.ending import *; import interrupts; end(exit_code(interrupts.run, {goes_on}))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == ""
    assert ended.stderr == f"openclip-api: interrupted; run the same command again to {what}\n"
    assert ended.returncode == 130


def test_the_hooks_are_as_before_after_a_command():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert exit_code(lambda: 0, goes_on=False) == 0
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_a_module_that_is_not_there_is_a_fault():
    def run() -> int:
        raise ImportError("no such module")

    with pytest.raises(ImportError):
        exit_code(run, goes_on=False)
