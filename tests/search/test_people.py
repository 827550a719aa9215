"""openclip-api search as people use it, through the real command."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image

from openclip_api.errors import InvalidSource

from ..support.server_process import OURS, ServerProcess
from .conftest import SAMPLES

pytestmark = pytest.mark.process

DATED = {"2020-05-01 08:00:00": "guitar.png", "2021-06-30 23:59:59": "cat.png", "2021-07-01 00:00:00": "pizza.png"}


def call(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Without any setting of the model: MODEL_NAME is not there."""
    clean = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    command = [sys.executable, "-m", "openclip_api", *map(os.fsencode, map(str, arguments))]
    options = {"cwd": cwd, "env": clean | {"HF_HUB_OFFLINE": "1"} | environment, "timeout": 300}
    return subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", **options)  # type: ignore[call-overload]


@pytest.fixture
def rows(home: Path, search, capsys, monkeypatch) -> Callable[..., list[dict]]:
    """What `search --json` prints in home, without the process."""
    monkeypatch.chdir(home)

    def rows(*arguments: object, store: str = "s.lance") -> list[dict]:
        capsys.readouterr()
        search("--json", *arguments, store=Path(store))
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return rows


@pytest.fixture
def ids(rows) -> Callable[..., list[str]]:
    return lambda *arguments, **options: [row["id"] for row in rows(*arguments, **options)]


def jpeg(source: Path, target: Path, **options: object) -> None:
    Image.open(source).convert("RGB").save(target, "JPEG", **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two roots: photos, with dates, copies and smaller versions in it, and other."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(SAMPLES, home / "other")
    photos = home / "photos"
    (photos / "2021" / "beach").mkdir(parents=True)
    (photos / "2021b").mkdir()
    for taken, name in DATED.items():
        exif = Image.Exif()
        exif.get_ifd(0x8769)[36867] = datetime.fromisoformat(taken).strftime("%Y:%m:%d %H:%M:%S")
        jpeg(SAMPLES / name, photos / "2021" / f"{Path(name).stem}.jpg", exif=exif, quality=95)
    shutil.copy(SAMPLES / "automobile.png", photos / "2021" / "beach" / "car.png")
    shutil.copy(SAMPLES / "automobile.png", photos / "2021b" / "car.png")
    jpeg(SAMPLES / "automobile.png", photos / "2021b" / "car.jpg", quality=90)
    done = call(
        "index", "photos", "other", "--store", "s.lance", "--model-name", "emoji", "--precision", "fp32", cwd=home
    )
    assert done.returncode == 0, done.stderr
    return home


def found(*arguments: object, cwd: Path) -> list[str]:
    done = call("search", "--store", "s.lance", "--json", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["id"] for line in done.stdout.splitlines()]


def test_the_store_s_own_model_is_the_default(home: Path):
    """Nothing names the model, and nothing can be downloaded."""
    assert found("a cat", "--k", 1, cwd=home)[0].endswith(("cat.jpg", "cat.png"))
    other = call("search", "--store", "s.lance", "a cat", cwd=home, MODEL_NAME="emoji", PRECISION="int8")
    assert other.returncode == 1
    assert "holds vectors of" in other.stderr


def test_the_store_s_own_model_goes_before_the_first_of_models(home: Path):
    done = call("search", "--store", "s.lance", "a cat", cwd=home, MODELS="ViT-L-14:openai,emoji")
    assert done.returncode == 0, done.stderr


def test_a_store_finds_its_model_s_folder_from_any_folder(home: Path, tiny: Path, tmp_path: Path):
    """As it was written: relative to where index ran."""
    shutil.copytree(tiny, tmp_path / "clip")
    index = ("index", home / "other", "--store", "s.lance", "--model-name", "clip/")
    assert call(*index, cwd=tmp_path).returncode == 0
    (tmp_path / "else").mkdir()
    for named in ([], ["--model-name", "../clip"], ["--model-name", f"file://{tmp_path}/clip"]):
        done = call("search", "--store", "../s.lance", "a cat", *named, cwd=tmp_path / "else")
        assert done.returncode == 0, done.stderr


def test_a_server_takes_the_store_s_model_too(home: Path):
    with ServerProcess(STORE=home / "s.lance", HF_HUB_OFFLINE=1) as server:
        found = server.http.post("/search", json={"text": "a cat"}).raise_for_status().json()["results"]
        assert found[0]["name"].startswith("cat")
        assert server.http.get("/info").json()["name"] == "emoji"


def test_several_words_need_no_quotes(home: Path):
    quoted = found("a red car", cwd=home)
    assert found("a", "red", "car", cwd=home) == quoted
    assert found("--k", 10, "a", "red", "car", cwd=home) == quoted
    assert found("a", "--k", 10, "red", "car", cwd=home) == quoted
    wrong = call("search", "--store", "s.lance", "a", "--kk", "3", "cat", cwd=home)
    assert wrong.returncode == 2
    assert "unrecognized arguments: --kk" in wrong.stderr


def test_an_empty_text_is_refused(home: Path):
    done = call("search", "--store", "s.lance", "", cwd=home)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert "TEXT is empty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to look for"),
        ([""], "TEXT is empty"),
        (["  "], "TEXT is empty"),
        (["a", "--plus", ""], "--plus is empty"),
        (["a", "--minus", " "], "--minus is empty"),
        (["--like", ""], "--like is empty"),
        (["--like", "nobody"], "no such id"),
        (["a", "--image", "other/cat.png"], "say what to look for"),
        (["a", "--under", ""], "--under is empty"),
        (["a", "--under", "/nowhere"], "the store has nothing from /nowhere"),
        (["a", "--under", "../nowhere"], "name a folder below a root"),
        (["a", "--minus", "a"], "cancel each other out"),
        (["a", "--plus", "none.png"], "No such file"),
        (["a", "--minus", "b*0"], "a weight is above 0"),
        (["a", "--k", "1000", "--offset", "1"], "at most 1000 together"),
        (["a", "--filter", "taken>=soon"], "taken is timestamp[us]: compare it with a date or time"),
        (["a", "--filter", "taken=2021-02-30"], "taken is timestamp[us]"),
        (["a", "--filter", "taken=2021-02-03T10:00Z"], "leave the zone out"),
        (["a", "--filter", "width=wide"], "width is int32: compare it with a number"),
    ],
)
def test_what_cannot_be_searched_is_told(home: Path, search, monkeypatch, arguments: list[str], message: str):
    monkeypatch.chdir(home)
    with pytest.raises(InvalidSource) as raised:
        search(*arguments, store=Path("s.lance"))
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_pages_follow_each_other(home: Path, ids, rows):
    everything = ids("a car", "--k", 100, "--copies")
    assert len(everything) == len(set(everything)) == 42
    pages = [ids("a car", "--k", 7, "--offset", offset, "--copies") for offset in range(0, 49, 7)]
    assert [id for page in pages for id in page] == everything
    scores = [row["score"] for row in rows("a car", "--k", 100, "--copies")]
    above = ids("a car", "--k", 100, "--copies", "--min-score", scores[5])
    assert above == everything[: scores.index(scores[5]) + sum(score == scores[5] for score in scores)]
    assert ids("a car", "--min-score", 0.999) == []


def test_copies_are_one_result_with_a_count(home: Path, ids, rows):
    first, second, *_ = rows("--image", "other/automobile.png")
    assert first["score"] == pytest.approx(1, abs=1e-5)
    assert first["copies"] == 3  # two equal ones, and one as JPEG
    assert second["copies"] == 0
    assert len(ids("--image", "other/automobile.png", "--min-score", 0.98, "--copies")) == 4
    table = call("search", "--store", "s.lance", "--image", "other/automobile.png", "--k", 2, cwd=home)
    assert [line.split()[:2] for line in table.stdout.splitlines()][:2] == [["score", "copies"], ["1.0000", "3"]]


def test_under_a_folder(home: Path, ids):
    inside = {"2021/guitar.jpg", "2021/cat.jpg", "2021/pizza.jpg", "2021/beach/car.png"}
    for spelled in ("photos/2021", "./photos/../photos/2021/", home / "photos" / "2021", "2021"):
        assert set(ids("a car", "--under", spelled, "--copies")) == inside, spelled
    assert ids("a car", "--under", "photos/2021/beach") == ["2021/beach/car.png"]
    assert len(ids("a car", "--under", "photos", "--copies")) == 6
    assert len(ids("a car", "--under", ".", "--copies", "--k", 100)) == 42
    assert ids("a car", "--under", "photos/2022") == []


def test_by_date(home: Path, ids):
    def taken(*conditions: str) -> set[str]:
        filters = [part for condition in conditions for part in ("--filter", condition)]
        return {Path(id).stem for id in ids("a", "--copies", *filters)}

    assert taken("taken>=2021-06") == {"cat", "pizza"}
    assert taken("taken=2021-06") == taken("taken=2021-06-30") == taken("taken=2021-06-30T23:59") == {"cat"}
    assert taken("taken<=2021-06") == {"guitar", "cat"}
    assert taken("taken>2021-06") == taken("taken>=2021-07-01 00:00:00") == {"pizza"}
    assert taken("taken<2021") == {"guitar"}
    assert taken("taken!=2021-06") == {"guitar", "pizza"}
    assert taken("taken!=2020", "taken!=2021-07") == {"cat"}  # the same column twice
    assert taken("taken<=9999", "taken>0001") == {"guitar", "cat", "pizza"}
    assert taken("taken>9999") == set()
    assert len(ids("a", "--filter", "modified>=2020", "--k", 100, "--copies")) == 42


def test_composed_queries(home: Path, ids, rows):
    car, cat = home / "other" / "automobile.png", home / "other" / "cat.png"
    plain = rows("a red car", "--copies", "--k", 100)
    minus = rows("a red car", "--minus", "a cat", "--copies", "--k", 100)
    cats = {row["id"]: row["score"] for row in rows("a cat", "--copies", "--k", 100)}
    wanted = {row["id"]: row["score"] - cats[row["id"]] for row in plain}
    for first, second in itertools.pairwise(minus):  # the order of the weighted sum of cosines
        assert wanted[first["id"]] >= wanted[second["id"]] - 1e-5
    assert ids("--plus", car, "--k", 1) == ids("--image", car, "--k", 1)
    half = ids("--image", car, "--plus", f"{cat}*0.01", "--k", 1)
    assert half == ids("--image", car, "--k", 1)
    assert ids("--like", "cat.png", "--minus", "a guitar*0.2", "--k", 1)[0].startswith(("cat", "2021/cat"))


def test_results_open_their_files(home: Path):
    folder = home / "odd"
    folder.mkdir()
    names = [b"new\nline.png", b"\xff\xfe.png", b'"><script>alert(1)</script>.png'.replace(b"/", b"")]
    for name in names:
        shutil.copy(SAMPLES / "cat.png", os.fsencode(folder) + b"/" + name)
    assert call("index", "odd", "--store", "odd.lance", "--model-name", "emoji", cwd=home).returncode == 0
    done = call("search", "--store", "odd.lance", "cat", "--open", "--copies", cwd=home, BROWSER="true")
    sheet = Path(done.stderr.strip()).read_text()
    assert sheet.count("data:image/jpeg;base64,") == 3
    assert "<script>" not in sheet
    for name in names:
        assert Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).as_uri() in sheet


def test_duplicates(home: Path):
    done = call("duplicates", "--store", "s.lance", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    groups = [json.loads(line)["items"] for line in done.stdout.splitlines()]
    cars = next(group for group in groups if any(item["id"] == "automobile.png" for item in group))
    assert len(cars) == 4
    assert sum(item["cosine"] is None for item in cars) in (1, 3)  # the JPEG is the first, or the three that are equal
    equal = call("duplicates", "--store", "s.lance", "--equal", cwd=home).stdout
    assert (equal.count("first "), equal.count("equal ")) == (1, 2)
    assert equal.splitlines()[-1].startswith("42 rows, 1 groups: 2 copies of")
    under = call("duplicates", "--store", "s.lance", "--under", "photos/2021", cwd=home).stdout
    assert under == "4 rows, no duplicates\n"
    assert call("duplicates", "--store", "none.lance", cwd=home).returncode == 1


def test_a_flood_of_copies_hides_nothing(tmp_path: Path, rows, ids, index):
    folder = tmp_path / "many"
    folder.mkdir()
    for name in ("cat.png", "guitar.png"):
        shutil.copy(SAMPLES / name, folder)
    for number in range(300):
        shutil.copy(SAMPLES / "automobile.png", folder / f"car{number:03}.png")
    store = tmp_path / "s.lance"
    index(folder, store=store)
    results = rows("a", "car", store=store)
    assert (results[0]["id"], results[0]["copies"]) == ("car000.png", 299)
    assert len(results) == 3
    pages = [ids("a", "car", "--copies", "--k", 100, "--offset", offset, store=store) for offset in (0, 100, 200, 300)]
    assert list(itertools.chain(*pages))[:300] == [f"car{number:03}.png" for number in range(300)]
