"""Every system under the same load on one machine, one after the other, again and again.

python run.py [--short] [--only LOAD] [--no-report]: writes .cache/measured.json, RESULTS.md and results.svg.
The servers run side by side and idle while one is measured: the machine drifts for all alike, and each round
gives one ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import report
from captions import mixed_captions
from front_end import core_milliseconds
from loads import LOADS, write_bodies
from measuring import CACHE, measure, warm_up
from photographs import photographs
from random_checkpoint import write_random_checkpoint
from systems import SYSTEMS, Running, infinity, ours_on, start

HERE = Path(__file__).parent
PRECISIONS = ("bf16", "fp32", "int8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="one round of short runs: to see that all works")
    parser.add_argument("--only", default="", help="only loads whose name contains this")
    parser.add_argument("--systems", default="", help="only systems whose name contains one of these, comma-separated")
    parser.add_argument("--device", help="measure ours and Infinity on this GPU too: cuda or mps")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 3)")
    parser.add_argument("--no-report", action="store_true", help="print, and leave RESULTS.md alone")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    rounds, seconds = (1, 1) if options.short else (3, 2)
    rounds = options.rounds or rounds
    write_models()
    folder = CACHE / "ViT-B-32"
    write_bodies(CACHE / "bodies")
    loads = [load for load in LOADS if options.only in load.name]
    measured: dict = {"started": time.strftime("%Y-%m-%d %H:%M"), "http": [], "bare": [], "servers": {}}
    systems = [*SYSTEMS, *([ours_on(options.device), infinity(f"Infinity on {options.device}", "auto", options.device)]
                           if options.device else [])]  # fmt: skip
    wanted = [system for system in systems if any(part in system.name for part in options.systems.split(","))]
    with servers(wanted) as running:
        for server in running:
            measured["servers"][server.system.name] = {"seconds_to_ready": server.seconds_to_ready}
            warm_up(server, loads)
        for round_ in range(rounds):
            for load in loads:
                for clients in load.clients:
                    for server in running:
                        # a batch of 32 takes slow servers seconds, and what is cut off at the end does not count
                        length = seconds if clients < 32 else 2 * seconds
                        result = measure(server, load, clients, length, round_)
                        measured["http"].append(result)
                        print(json.dumps(result), flush=True)
            for precision in PRECISIONS:
                measured["bare"].append({"round": round_, "precision": precision, **bare(folder, precision)})
                print(json.dumps(measured["bare"][-1]), flush=True)
        for server in running:
            measured["servers"][server.system.name]["rss_mb"] = server.memory_mb("VmRSS")
            measured["servers"][server.system.name]["peak_mb"] = server.memory_mb("VmHWM")
        if not (options.short or options.device):
            measured["growth"] = growth(running[0])
    measured["front_end"] = dict(core_milliseconds(str(folder)))
    print(json.dumps(measured["servers"], indent=1))
    measured["ended"] = time.strftime("%Y-%m-%d %H:%M")
    if not options.no_report:
        (CACHE / "measured.json").write_text(json.dumps(measured, indent=1))
        report.write(measured, HERE)


@contextmanager
def servers(systems: list) -> Iterator[list[Running]]:
    running: list[Running] = []
    try:
        for system in systems:
            running.append(start(system, CACHE))
            print(f"{system.name}: ready after {running[-1].seconds_to_ready:.1f} s", flush=True)
        yield running
    finally:
        for server in running:
            server.stop()


def write_models() -> None:
    """The checkpoint as OpenCLIP and as Hugging Face save it, as ONNX, and its calibrated int8 form."""
    folder, photos, texts = CACHE / "ViT-B-32", CACHE / "photographs", CACHE / "captions.txt"
    if not folder.exists():
        write_random_checkpoint(folder)
    if not (CACHE / "hf-clip").exists():
        command = [HERE / ".venv-infinity/bin/python", HERE / "infinity_model.py", CACHE / "hf-clip"]
        subprocess.run(command, check=True)
    if not (CACHE / "onnx" / "tokenizer.json").exists():
        subprocess.run(
            [HERE / ".venv-original/bin/python", HERE / "onnx_export.py", folder, CACHE / "onnx"], check=True
        )
    if not (CACHE / "int8").exists():
        photos.mkdir(exist_ok=True)
        for number, file in enumerate(photographs(150, 451, 300)):
            (photos / f"{number}.jpg").write_bytes(file)
        texts.write_text("\n".join(mixed_captions(150, seed=1)))
        arguments = ["--model-name", f"local-dir:{folder}", "--cache-dir", CACHE / "int8"]
        command = [HERE / ".venv-quantize/bin/openclip-api", "quantize", *arguments, "--images", photos]
        subprocess.run([*command, "--texts", texts], check=True)


def bare(folder: Path, precision: str) -> dict[str, float]:
    command = [sys.executable, str(HERE / "bare.py"), str(folder), precision, "1", str(CACHE / "int8")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        print(f"bare {precision}: {done.stderr.strip().splitlines()[-1]}")
        return {}
    return json.loads(done.stdout.splitlines()[-1])


def growth(server: Running) -> dict[str, float]:
    """Resident memory before and after 100,000 texts."""
    load = next(load for load in LOADS if load.name == "short texts")
    before, requests, started = server.memory_mb("VmRSS"), 0, time.monotonic()
    while requests < 100_000 and time.monotonic() < started + 300:
        requests += measure(server, load, 32, 20, requests)["requests"]
    return {"requests": requests, "mb_before": before, "mb_after": server.memory_mb("VmRSS")}


if __name__ == "__main__":
    main()
