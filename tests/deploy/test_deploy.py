"""What the documents say of deploying fits the server, as far as it can be tried here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openclip_api.settings import Settings

from ..server.middleware.test_auth import every_route
from ..support.repository import ROOT

GUIDE = (ROOT / "docs" / "deploying.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
(PORT,) = re.findall(r"^EXPOSE (\d+)", DOCKERFILE, re.MULTILINE)
SERVICE = (ROOT / "deploy" / "openclip-api.service").read_text()


@pytest.fixture
def pod() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
    claim, deployment, service, budget, policy = documents
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"] == labels
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    return spec


def test_kubernetes_probes_ask_routes_that_there_are(pod: dict[str, Any]):
    (container,) = pod["containers"]
    assert {str(port["containerPort"]) for port in container["ports"]} == {PORT}
    probes = {name: container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")}
    assert probes["readinessProbe"]["path"] == "/ready"
    assert probes["livenessProbe"]["path"] == "/health"
    routes = every_route()
    for probe in probes.values():
        assert ("GET", probe["path"]) in routes
        assert probe["port"] in {port["name"] for port in container["ports"]}


def test_kubernetes_sets_what_there_is_and_leaves_time_to_stop(pod: dict[str, Any]):
    (container,) = pod["containers"]
    assert {variable["name"].lower() for variable in container["env"]} <= set(Settings.model_fields)
    waiting = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > waiting + Settings().grace_seconds
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values["THREADS"] == container["resources"]["limits"]["cpu"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert f" HF_HOME={mounted['cache']} " in DOCKERFILE
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    assert f"USER {pod['securityContext']['runAsUser']}\n" in DOCKERFILE


def test_a_space_listens_where_the_image_does():
    space = ROOT / "deploy" / "space"
    front_matter = next(yaml.safe_load_all((space / "README.md").read_text()))
    assert front_matter["sdk"] == "docker"
    assert str(front_matter["app_port"]) == PORT == str(Settings().port)
    assert f"EXPOSE {PORT}\n" in (space / "Dockerfile").read_text()


def test_docker_s_command_fits_the_image_and_compose():
    runs = re.findall(r"^ {4}docker run (.*)", GUIDE.replace("\\\n", ""), re.MULTILINE)
    assert len(runs) == 4
    volumes = {re.findall(r"-v openclip-cache:(\S+)", run)[0] for run in runs}
    (volume,) = volumes
    assert f" HF_HOME={volume} " in DOCKERFILE
    assert all(f"{volume}/" in path for run in runs for path in re.findall(r"(?:--store |STORE=)(\S+)", run))
    (ports,) = {ports for run in runs for ports in re.findall(r"-p (\S+)", run)}
    assert ports == f"127.0.0.1:{PORT}:{PORT}"
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert compose["volumes"]["cache"]["name"] == "openclip-cache"
    service = compose["services"]["openclip-api"]
    assert service["ports"] == [ports]
    assert [mount.partition(":")[2] for mount in service["volumes"]] == [volume]
    (passed_on,) = re.findall(r"compose.yaml passes on (.*?)\.", GUIDE, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", passed_on)) == set(service["environment"])
    assert {name.lower() for name in service["environment"]} - set(Settings.model_fields) == {"hf_token"}


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_takes_the_unit(tmp_path: Path):
    program = "/opt/openclip-api/bin/openclip-api"
    assert f"ExecStart={program} serve" in SERVICE
    assert f"{Path(program).parent.parent}\n" in GUIDE  # the venv that the guide makes
    unit = tmp_path / "openclip-api.service"
    unit.write_text(SERVICE.replace(program, str(Path(sys.executable).parent / "openclip-api")))
    command = ["systemd-analyze", "verify", "--man=no", unit]
    verified = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert verified.returncode == 0, verified.stderr
    assert unit.name not in verified.stderr
    unit.write_text(SERVICE.replace("ProtectSystem=strict", "ProtectSystem=stricct"))
    assert unit.name in subprocess.run(command, capture_output=True, text=True, timeout=60).stderr  # it would say so


def test_systemd_sets_what_there_is_and_leaves_time_to_stop():
    names = re.findall(r"(\w+)=", " ".join(re.findall(r"^Environment=(.*)", SERVICE, re.MULTILINE)))
    assert {name.lower() for name in names} - set(Settings.model_fields) == {"hf_home"}
    assert int(re.findall(r"TimeoutStopSec=(\d+)", SERVICE)[0]) > Settings().grace_seconds


def test_nginx_s_limits_go_with_the_server_s():
    configuration = (ROOT / "deploy" / "nginx.conf").read_text()
    settings = Settings()
    assert int(re.findall(r"client_max_body_size (\d+)k", configuration)[0]) * 1024 == settings.max_body_mb * 1e6
    assert int(re.findall(r"proxy_read_timeout (\d+)s", configuration)[0]) > settings.request_timeout
    assert f"http://{settings.host}:{settings.port}/" in configuration
