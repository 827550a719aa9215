"""The indented commands of the README and of docs/, run as they are written, on the built-in model.

Fenced ones are run by test_protocol_pages.py and bulk/test_pages.py. A command that is in neither table below fails a
test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.protocol_pages import ROOT, WRITTEN_URL, asking
from ..support.server_process import OURS, ServerProcess
from ..support.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.process

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
PROGRAMS = (
    "curl|docker|kubectl|make|openclip-api|pip|printf|python3|ray|rsync|serve|taskset|cp|rm|systemctl|journalctl|/"
)
COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{PROGRAMS})\b")

# What a test cannot do here, and why; what it can is in the tests below.
ELSEWHERE = {
    "make demo": "installs; run by hand in a fresh clone",
    "make test": "this",
    "make serve": "a download",
    "MODEL_NAME=ViT-L-14 MODEL_PRETRAINED=datacomp_xl_s13b_b90k make serve": "a download",
    "WORKERS=2 docker compose up": "no container engine; test_deploy.py",
    "docker compose up": "no container engine; test_deploy.py",
    "docker compose build": "no container engine",
    "docker compose run --rm openclip-api openclip-api index /photos --store /cache/photos.lance":
        "no container engine",
    "MODEL_NAME=ViT-B-32 MODEL_PRETRAINED=/models/epoch_32.pt docker compose up": "no container engine; test_deploy.py",
    "docker run -p 127.0.0.1:7860:7860 -v openclip-cache:/cache -v /home/me/models:/models:ro -e MODEL_NAME=ViT-B-32 "
    "-e MODEL_PRETRAINED=/models/epoch_32.pt openclip-api": "a file of one's own; image/ runs such a command",
    "docker build -t openclip-api --build-arg EXTRAS=heic,search .": "make image",
    "docker run --rm -v openclip-cache:/cache -v ~/Pictures:/photos:ro openclip-api openclip-api index /photos "
    "--store /cache/photos.lance": "no container engine",
    "docker run -p 127.0.0.1:7860:7860 -v openclip-cache:/cache -v ~/Pictures:/photos:ro -e STORE=/cache/photos.lance "
    "-e ALLOWED_HOSTS=localhost openclip-api": "no container engine",
    "docker build -t openclip-api .": "make image",
    "docker run -p 127.0.0.1:7860:7860 -e MODEL_NAME=ViT-B-32 -v openclip-cache:/cache openclip-api":
        "a download; make image runs it",
    "kubectl apply -f deploy/kubernetes.yaml": "no cluster; make deployment validates it",
    "kubectl apply -f deploy/kubernetes-autoscaling.yaml": "no cluster; make deployment validates it",
    "python3 -m venv /opt/openclip-api": "root's folders; test_package.py installs into a venv",
    "/opt/openclip-api/bin/pip install --require-hashes -r requirements.lock": "root's folders; make image",
    "/opt/openclip-api/bin/pip install --no-deps .": "root's folders",
    "/opt/openclip-api/bin/pip install -c requirements-dev.lock '.[search,heic]'": "root's folders",
    "cp deploy/openclip-api.service /etc/systemd/system/": "root's folders; test_deploy.py verifies the unit",
    "systemctl enable --now openclip-api": "no systemd",
    "journalctl -u openclip-api -f": "no systemd",
    "CACHE_DIR=./models MODEL_NAME=ViT-B-32 MODEL_PRETRAINED=laion2b_s34b_b79k openclip-api serve":
        "a download; checkpoints/test_hub.py",
    "MODEL_NAME=ViT-B-32 MODEL_PRETRAINED=openai:/path/ViT-B-32.pt openclip-api serve":
        "a file of one's own; checkpoints/test_checkpoint.py",
    "MODEL_NAME=ViT-L-14 MODEL_PRETRAINED=laion2b_s32b_b82k:/path/epoch_32.pt openclip-api serve":
        "a file of one's own; checkpoints/test_checkpoint.py",
    "rsync -a ./models/ offline-host:/srv/models/": "another machine",
    "CACHE_DIR=/srv/models HF_HUB_OFFLINE=1 openclip-api serve": "another machine; checkpoints/test_hub.py",
    "pip install '.[bulk]'": "installs; the tests' own venv has it",
    "pip install '.[heic,jxl,raw]'": "installs; the tests' own venv has them",
    "pip install '.[search,heic]'": "installs; the tests' own venv has them",
    "python3 -m venv .venv && . .venv/bin/activate": "the tests run in such a venv",
    "openclip-api photos ~/Pictures": "goes on until Ctrl-C; search/test_index_process.py",
    "MODEL_NAME=xlm-roberta-base-ViT-B-32 openclip-api photos ~/Pictures --store languages.lance":
        "a download, and goes on until Ctrl-C",
    "pip install '.[quantize]'": "installs NNCF; parity/test_quantize.py has it",
    "pip install '.[torch]'": "installs torch; parity/test_torch_engine.py has it",
    "DEVICE=cuda openclip-api serve": "a GPU; parity/test_gpu.py",
    "openclip-api quantize --images photos/ --texts queries.txt": "needs NNCF; parity/test_quantize.py",
    "openclip-api embed photos/ --server http://10.0.0.5:7860 --server http://10.0.0.6:7860 --out vectors":
        "two other machines; bulk/test_servers.py has two servers",
    "pip install '.[ray]'": "installs; `make ray` has a venv with it",
    "RAY_USAGE_STATS_ENABLED=0 ray start --head": "a cluster of its own; ray/conftest.py starts one",
    "serve run openclip_api.server.ray_serve:app model_name=emoji threads=1 max_replicas=2":
        "needs Ray; ray/test_serve.py",
}  # fmt: skip


def written(path: Path) -> list[str]:
    """The commands in indented lines, continued ones as one, without the remark behind."""
    lines = path.read_text().replace("\\\n", "").splitlines()
    found = [line.strip() for line in lines if line.startswith("    ") and COMMAND.match(line.strip())]
    return [re.sub(r"\s{2,}#.*", "", re.sub(r"\s{2,}-", " -", command)) for command in found]


COMMANDS = [command for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))) for command in written(path)]
HERE = list(dict.fromkeys(command for command in COMMANDS if command not in ELSEWHERE))
SERVING = [command for command in HERE if " serve" in command]
ASKING = [command for command in HERE if WRITTEN_URL in command]
FILES = [command for command in HERE if command not in SERVING + ASKING]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's: a photo, a folder of photos, a store of them; a model in a folder, and a file of a training."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "samples", folder / "samples")
    shutil.copytree(ROOT / "samples", folder / "photos", ignore=shutil.ignore_patterns("unseen", "*.json", "*.py"))
    shutil.copy(ROOT / "tests" / "golden" / "images" / "rgb.jpg", folder / "photo.jpg")
    write_tiny_checkpoint(folder / "photos-clip")
    shutil.copy(ROOT / "tests" / "golden" / "models" / "training" / "epoch_3.pt", folder / "photos-clip.pt")
    (folder / ".curlrc").write_text("fail-with-body\n")  # an error status is a failure here
    run("openclip-api index photos/ --store photos.lance --progress quiet", folder)
    return folder


def run(command: str, folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    environment |= {"PATH": PATH, "CURL_HOME": str(folder), "MODEL_NAME": "emoji", "BROWSER": "true"}
    shell = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[:500] + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess(MODEL_NAME="emoji", STORE=folder / "photos.lance") as process:
        yield process


def test_each_is_run_or_said_to_be_run_elsewhere():
    assert set(ELSEWHERE) <= set(COMMANDS)
    assert len(SERVING) >= 4
    assert len(ASKING) >= 5
    assert len(FILES) >= 3


@pytest.mark.parametrize("command", SERVING)
def test_it_serves(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    free = re.sub(r"--port \d+", "--port 0", command)
    with ServerProcess("bash", "-c", free, PATH=PATH, MODEL_NAME="emoji") as process:
        assert process.stop() == 0


@pytest.mark.parametrize("command", ASKING)
def test_it_is_answered(folder: Path, server: ServerProcess, command: str):
    answer = run(asking(str(server.http.base_url), command), folder)
    assert answer.startswith("{")


@pytest.mark.parametrize("command", FILES)
def test_it_ends_well(folder: Path, command: str):
    run(command, folder)


def test_the_api_page_s_python(folder: Path, server: ServerProcess):
    after = (ROOT / "docs" / "api.md").read_text().partition("\n### Try again\n")[2]
    code = "\n".join(re.findall(r"^ {4}(.*)", after, re.MULTILINE))
    (folder / "again.py").write_text(asking(str(server.http.base_url), code))
    assert run("python3 again.py", folder) == "2\n"


def test_the_readme_s_python(folder: Path):
    after = (ROOT / "README.md").read_text().partition("From Python, without a server:\n")[2]
    block = re.split(r"^\S", after, maxsplit=1, flags=re.MULTILINE)[0]
    code = textwrap.dedent(block).replace('"ViT-B-32", "laion2b_s34b_b79k"', '"emoji"')  # that is a download
    (folder / "readme.py").write_text(f"{code}\nprint(embedder.embed_texts(['a cat', 'a dog']).shape)")
    assert run("python3 readme.py", folder) == "(2, 256)\n"
