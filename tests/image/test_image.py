"""The image, built from the Dockerfile and run as people and their clusters run it (`make image`)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from ..conftest import Encode
from ..support.containers import IMAGE, Engine, base_image, find_engine
from ..support.free_port import free_port
from ..support.hub_faults import Hang
from ..support.hub_server import Hub
from ..support.repository import ROOT
from ..support.tiny_checkpoint import write_tiny_checkpoint

pytestmark = pytest.mark.image

MOST_ADDED = 300e6  # bytes above the base
READ_ONLY = ("--read-only", "--tmpfs=/tmp")
NO_RIGHTS = ("--cap-drop=ALL", "--security-opt=no-new-privileges")


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = find_engine()
    assert engine, "docker or podman is needed: apt-get install podman runc mmdebstrap"
    engine.build(IMAGE, BASE=base_image(engine))
    return engine


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("hub") / "tiny-clip")
    with Hub({"org/tiny": {file.name: file for file in folder.iterdir()}}) as hub:
        yield hub


def test_it_holds_the_server_and_little_else(engine: Engine):
    added = engine.size(IMAGE) - engine.size(base_image(engine))
    assert added < MOST_ADDED, f"{added / 1e6:.0f} MB above the base"
    listed = "cd /opt/openclip-api/lib/python3*/site-packages && ls . openvino/libs"
    installed = engine.run(IMAGE, "sh", "-c", listed).split()
    assert "openclip_api" in installed
    assert not {"pip", "setuptools", "torch", "libopenvino_intel_gpu_plugin.so"}.intersection(installed)


@pytest.mark.parametrize("user", ["1000", "12345:0", "0"])
def test_any_user_may_run_it_on_a_read_only_system(engine: Engine, user: str, photo: Encode):
    options = (f"--user={user}", *READ_ONLY, *NO_RIGHTS)
    with engine.serve(options=options, MODEL_NAME="emoji") as container:
        answer = container.http.post("/embeddings", files={"text": (None, "red sofa"), "image": photo()})
        assert [len(row) for row in answer.json()["embeddings"]] == [256, 256]
        assert container.http.get("/page/app.js").status_code == 200
        assert container.stop() == 0


def test_as_it_comes_it_is_no_superuser_and_knows_the_port(engine: Engine):
    configuration = json.loads(engine.ask("image", "inspect", IMAGE))[0]["Config"]
    assert configuration["User"] == "1000"
    assert list(configuration["ExposedPorts"]) == ["7860/tcp"]
    assert {"HOST=0.0.0.0", "PORT=7860"} <= set(configuration["Env"])
    assert "requirements.lock" not in engine.run(IMAGE, "ls", "-A", "/srv", "/")


def test_it_lives_within_its_limits(engine: Engine):
    options = ("--cpus=1", "--memory=700m", *READ_ONLY)
    with engine.serve(options=options, MODEL_NAME="emoji") as container:
        assert container.http.get("/info").json()["cores"] == 1
        for number in range(50):
            assert container.http.post("/embeddings", json={"text": f"number {number}"}).status_code == 200
        assert "memory limit" not in container.output
        assert container.stop() == 0


def test_a_limit_that_is_too_small_is_told_before_the_system_acts(engine: Engine):
    with engine.serve(options=("--memory=200m",), ready=False, MODEL_NAME="emoji") as container:
        with contextlib.suppress(AssertionError):  # it may have been ended
            container.wait_until_ready()
        assert container.output.count("the memory limit is 209 MB, and this model needs about") == 1


def test_downloads_go_into_the_volume_and_serve_without_a_hub(engine: Engine, hub: Hub, tmp_path: Path):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o1777)
    volume = f"--volume={cache}:/cache"
    options = ("--user=12345:0", volume, *READ_ONLY)
    with engine.serve(options=options, MODEL_NAME="org/tiny", HF_ENDPOINT=hub.url) as container:
        expected = container.http.post("/embeddings", json={"text": "cat"}).json()["embeddings"]
    assert list(cache.rglob("*.safetensors"))
    with engine.serve(options=(*options, "--env=HF_HUB_OFFLINE=1"), MODEL_NAME="org/tiny") as container:
        assert container.http.post("/embeddings", json={"text": "cat"}).json()["embeddings"] == expected


def test_a_volume_that_is_root_s_is_one_line(engine: Engine, hub: Hub, tmp_path: Path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    options = ("--user=12345:0", f"--volume={cache}:/cache")
    with engine.serve(options=options, ready=False, MODEL_NAME="org/tiny", HF_ENDPOINT=hub.url) as container:
        assert container.wait() == 1
    lines = [line for line in container.output.splitlines() if "/cache" in line]
    assert len(lines) == 1, container.output
    assert "CACHE_DIR" in lines[0]
    assert "Traceback" not in container.output


def test_a_model_can_be_part_of_it(engine: Engine, hub: Hub):
    image = f"{IMAGE}-with-model"
    engine.build(image, BASE=base_image(engine), MODEL="org/tiny", HF_ENDPOINT=hub.url)
    requests = len(hub.requests)
    with engine.serve(image, options=("--user=12345:0", *READ_ONLY), HF_HUB_OFFLINE=1) as container:
        assert len(container.http.post("/embeddings", json={"text": "cat"}).json()["embeddings"][0]) == 16
        assert container.stop() == 0
    assert len(hub.requests) == requests


def test_the_space_s_image_serves(engine: Engine, tmp_path: Path):
    """Its source comes from this checkout instead of from GitHub, packed as GitHub packs it."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    with tarfile.open(tmp_path / "main.tar.gz", "w:gz") as archive:
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file() and name.split("/")[0] not in {"tests", "benchmarks", "parity", "training"}:
                archive.add(ROOT / name, f"openclip-api-main/{name}")
    with serve_folder(tmp_path) as url:
        engine.build(f"{IMAGE}-space", ROOT / "deploy" / "space", BASE=base_image(engine), SOURCE=f"{url}/main.tar.gz")
    with engine.serve(f"{IMAGE}-space") as container:
        assert len(container.http.post("/embeddings", json={"text": "cat"}).json()["embeddings"][0]) == 256
        assert container.stop() == 0


@contextlib.contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_stops_under_load_and_loses_nothing(engine: Engine):
    seen: Counter[object] = Counter()
    with engine.serve(MODEL_NAME="emoji", TEXT_CACHE_MB=0) as container:
        started = threading.Barrier(5)

        def load() -> None:
            with httpx.Client(base_url=container.http.base_url, timeout=30) as client:
                client.get("/health")
                started.wait()
                for number in range(10_000):
                    try:
                        answer = client.post("/embeddings", json={"text": f"a cat, number {number}"})
                    except httpx.ConnectError:
                        return  # the server is gone; an answer cut off is another error, and fails the test
                    seen[answer.status_code] += 1
                    if answer.status_code == 503:  # sent after the signal: it says to go elsewhere
                        return

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        started.wait()
        while seen[200] < 20:
            pass
        assert container.stop() == 0
        for thread in threads:
            thread.join()
    assert seen.keys() <= {200, 503}, seen


def test_decoders_that_die_leave_no_zombies(engine: Engine, photo: Encode):
    processes = ("sh", "-c", "cat /proc/[0-9]*/stat | sed 's/.*) \\(. [0-9]*\\) .*/\\1/'")  # state and parent
    with engine.serve(MODEL_NAME="emoji", HOST="0.0.0.0") as container:
        image = {"image": photo(format="PNG")}
        assert container.http.post("/embeddings", files=image).status_code == 200
        kill = "for stat in /proc/[0-9]*/stat; do set -- $(sed 's/(.*)/x/' $stat); [ $4 = 1 ] && kill -9 $1; done; true"
        assert container.execute("sh", "-c", kill).returncode == 0
        for _ in range(2):
            assert container.http.post("/embeddings", files=image).status_code == 200
        assert not [line for line in container.execute(*processes).stdout.splitlines() if line.startswith("Z")]
        assert container.stop() == 0


@pytest.mark.parametrize("case", ["with a key", "while it loads"])
def test_the_health_check_fits_every_setting(engine: Engine, case: str, hub: Hub):
    settings = {"API_KEY": "secret", "MODEL_NAME": "emoji"}
    if case == "while it loads":
        hub.fault = Hang(after=0)
        settings = {"MODEL_NAME": "org/tiny", "HF_ENDPOINT": hub.url}
    configuration = json.loads(engine.ask("image", "inspect", IMAGE))[0]
    check = configuration.get("Healthcheck") or configuration["Config"]["Healthcheck"]  # podman's place, docker's
    command = check["Test"][1:]
    with engine.serve(options=("--user=12345:0",), ready=False, PORT=free_port(), **settings) as container:
        container.wait_until_listening()
        checked = container.execute(*command)
        assert checked.returncode == 0, checked.stderr + container.output
        assert container.execute("env", f"PORT={free_port()}", *command).returncode != 0  # it would say so
    hub.fault = None
