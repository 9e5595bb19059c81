"""The image of the service, run as compose.yaml says, against the real Docker engine; and compose.yaml itself."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from code_executor import __version__
from tests.census import eventually
from tests.conftest import IMAGE, STARTED_WITHIN
from tests.release.conftest import ROOT, run

pytestmark = pytest.mark.timeout(900)

SERVER_IMAGE = os.environ.get("SERVER_IMAGE", "code-executor-server:latest")
SOCKET = "/var/run/docker.sock"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SANDBOX, SERVER = COMPOSE["services"]["sandbox"], COMPOSE["services"]["server"]


def docker(*arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def image(docker: None, page: None) -> str:
    """The image of the service, built of this checkout."""
    if not os.path.exists(SOCKET):
        pytest.skip(f"the Docker engine is not behind {SOCKET}")
    run("scripts/build-image", "--server", SERVER_IMAGE, timeout=800)
    return SERVER_IMAGE


def options() -> list[str]:
    """What compose.yaml says of the server's container, in the words of ``docker run``; its port is a free one."""
    words = [f"--user={SERVER['user']}", f"--entrypoint={SERVER['entrypoint'][0]}", "--publish=127.0.0.1::8000"]
    words += ["--read-only"] if SERVER["read_only"] else []
    for name, key in (("cap-drop", "cap_drop"), ("cap-add", "cap_add"), ("security-opt", "security_opt")):
        words += [f"--{name}={value}" for value in SERVER[key]]
    words += [f"--tmpfs={path}" for path in SERVER["tmpfs"]]
    return [*words, f"--volume={SOCKET}:{SOCKET}"]


def namespace_of(container: str) -> str:
    """Return the PID namespace of a container that runs."""
    pid = docker("inspect", "--format", "{{.State.Pid}}", container).stdout.strip()
    return str(os.stat(f"/proc/{pid}/ns/pid").st_ino)


def sandboxes_of(namespace: str) -> list[str]:
    """Sandboxes of the server in a container, which is the only one in its PID namespace."""
    form = '{{.Names}} {{.Label "code-executor.owner"}}'
    lines = docker("ps", "--all", "--filter", "label=code-executor=sandbox", "--format", form).stdout.splitlines()
    return [line for line in lines if line.split()[1].split("/")[2] == namespace]


class Container:
    """A running container of the service."""

    def __init__(self, image: str) -> None:
        settings = {"CODE_EXECUTOR_IMAGE": IMAGE, "CODE_EXECUTOR_POOL_SIZE": "2", "CODE_EXECUTOR_PRELOAD": ""}
        environment = [f"--env={name}={value}" for name, value in settings.items()]
        command = [*SERVER["entrypoint"][1:], *SERVER["command"]]
        self.id = docker("run", "--detach", *options(), *environment, image, *command).stdout.strip()
        self.url = "http://" + docker("port", self.id, "8000").stdout.split()[0]
        self._namespace = namespace_of(self.id)

    def wait(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.inspect("{{.State.Running}}") == "true", docker("logs", self.id).stderr
        pytest.fail(f"not ready within {STARTED_WITHIN} s: {docker('logs', self.id).stderr}")

    def inspect(self, template: str) -> str:
        return docker("inspect", "--format", template, self.id).stdout.strip()

    def sandboxes(self) -> list[str]:
        return sandboxes_of(self._namespace)

    def healthy(self, **environment: str) -> bool:
        """Ask as the image's own health check does."""
        kind, *command = json.loads(self.inspect("{{json .Config.Healthcheck.Test}}"))
        assert kind == "CMD"
        more = [f"--env={name}={value}" for name, value in environment.items()]
        return docker("exec", *more, self.id, *command, check=False).returncode == 0


@pytest.fixture(scope="module")
def server(image: str) -> Iterator[Container]:
    container = Container(image)
    try:
        container.wait()
        yield container
    finally:
        docker("rm", "--force", "--volumes", container.id)


# ---- the image


def test_the_image_runs_as_a_user_of_its_own_and_says_whether_it_is_well(image: str) -> None:
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image).stdout)
    assert config["User"] == "code-executor"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert re.match(r"20\d\d-\d\d-\d\d", config["Labels"]["code-executor.packages"])
    assert docker("run", "--rm", "--entrypoint", "id", image, "-un").stdout == "code-executor\n"


INSTALLED = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


def test_the_image_has_the_dependencies_of_the_lock_and_no_others(image: str, uv: str) -> None:
    there = json.loads(docker("run", "--rm", "-i", "--entrypoint", "python", image, "-", stdin=INSTALLED).stdout)
    exported = run(
        uv, "export", "--quiet", "--frozen", "--no-dev", "--extra", "postgres", "--no-emit-project", "--no-hashes"
    )
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", exported, re.MULTILINE))
    assert there.pop("code-executor") == __version__
    assert {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in there.items()}.items() <= locked.items()
    assert {"fastapi", "aiodocker", "uvicorn"} <= set(there)


def test_the_image_has_nothing_that_built_it(image: str) -> None:
    look = "for tool in npm node uv git gcc; do command -v $tool; done; ls /build 2>/dev/null; true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", look).stdout == ""


# ---- the service


def test_it_runs_programs_in_sandboxes_beside_its_own_container(server: Container) -> None:
    code = "import numpy\nprint(numpy.arange(3).sum())"
    answer = httpx.post(f"{server.url}/api/execute", json={"code": code}, timeout=60).json()
    assert (answer["status"], answer["output"]) == ("success", "3\n")
    assert server.sandboxes()


def test_it_serves_the_page(server: Container) -> None:
    assert "<run-code" in httpx.get(f"{server.url}/").text


def test_its_process_is_no_root_and_cannot_become_it(server: Container) -> None:
    status = dict(
        line.split(":\t", 1) for line in docker("exec", server.id, "cat", "/proc/1/status").stdout.splitlines()
    )
    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert status["Groups"].split() == [str(os.stat(SOCKET).st_gid)]
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_its_doctor_finds_every_layer_and_the_age_of_the_image(server: Container) -> None:
    done = docker("exec", server.id, "code-executor", "doctor", "--engine", "docker")
    assert f"image: {IMAGE}, built " in done.stdout
    assert "MISSING" not in done.stdout


def test_it_is_healthy_while_it_answers(server: Container) -> None:
    assert server.healthy()
    assert not server.healthy(CODE_EXECUTOR_PORT="9")


def test_when_it_is_stopped_it_leaves_no_sandbox(image: str) -> None:
    container = Container(image)
    try:
        container.wait()
        assert container.sandboxes()
        docker("stop", "--time", "90", container.id)
        assert container.inspect("{{.State.ExitCode}}") == "0"
        assert container.sandboxes() == []
    finally:
        docker("rm", "--force", container.id)


def test_when_it_is_killed_its_sandboxes_end_by_themselves(image: str) -> None:
    container = Container(image)
    try:
        container.wait()
        assert container.sandboxes()
        docker("kill", container.id)
        assert eventually(lambda: not container.sandboxes())
    finally:
        docker("rm", "--force", container.id)


def test_without_compose_the_group_of_the_socket_is_all_it_needs(image: str) -> None:
    socket = [
        f"--group-add={os.stat(SOCKET).st_gid}",
        f"--volume={SOCKET}:{SOCKET}",
        f"--env=CODE_EXECUTOR_IMAGE={IMAGE}",
    ]
    restricted = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    code = "print('Hello')"
    done = docker("run", "--rm", "-i", *socket, *restricted, image, "run", "--engine", "docker", "-", stdin=code)
    assert (done.stdout, done.stderr) == ("Hello\n", "")


@pytest.mark.parametrize(
    ("mount", "says"),
    [
        ([], "No such file or directory: mount the socket of a Docker engine there"),
        ([f"--volume=/etc/hostname:{SOCKET}"], "is no socket: there is no Docker engine on this host"),
    ],
)
def test_without_the_socket_it_says_what_to_do(image: str, mount: list[str], says: str) -> None:
    run_as = [f"--user={SERVER['user']}", f"--entrypoint={SERVER['entrypoint'][0]}"]
    done = docker("run", "--rm", *run_as, *mount, image, *SERVER["entrypoint"][1:], "doctor", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"step-down: {SOCKET}")
    assert says in done.stderr


# ---- compose.yaml


def test_compose_gives_the_service_the_socket_and_nothing_else_of_the_host() -> None:
    assert SERVER["volumes"] == [f"${{DOCKER_SOCKET:-{SOCKET}}}:{SOCKET}", "data:/var/lib/code-executor"]
    assert "volumes" not in SANDBOX
    for service in (SANDBOX, SERVER):
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert not {"privileged", "pid", "ipc", "devices", "hostname", "userns_mode"} & set(service)
    assert SANDBOX["network_mode"] == "none"
    assert "network_mode" not in SERVER
    assert set(SERVER["cap_add"]) == {"SETUID", "SETGID"}


def test_compose_publishes_on_loopback_unless_it_is_told_otherwise() -> None:
    assert SERVER["ports"] == ["${LISTEN:-127.0.0.1:8000}:8000"]


def test_compose_builds_both_images_and_starts_the_server_on_the_sandboxs() -> None:
    assert (SANDBOX["image"], SANDBOX["build"].get("dockerfile", "Dockerfile")) == (
        "code-executor:latest",
        "Dockerfile",
    )
    assert (SERVER["image"], SERVER["build"]["dockerfile"]) == ("code-executor-server:latest", "Dockerfile.server")
    assert SERVER["depends_on"] == {"sandbox": {"condition": "service_completed_successfully"}}
    for build, file in ((SANDBOX["build"], "Dockerfile"), (SERVER["build"], "Dockerfile.server")):
        declared = set(re.findall(r"^ARG (\w+)", (ROOT / file).read_text(), re.MULTILINE))
        assert set(build["args"]) <= declared


@cache
def has_compose() -> bool:
    return docker("compose", "version", check=False).returncode == 0


def test_compose_starts_the_service_and_leaves_nothing(image: str, tmp_path: Path) -> None:
    if not has_compose():
        pytest.skip("Docker Compose 2 is not installed")
    override = {
        "sandbox": {"image": IMAGE},
        "server": {"image": image, "environment": {"CODE_EXECUTOR_IMAGE": IMAGE, "CODE_EXECUTOR_POOL_SIZE": "1"}},
    }
    (tmp_path / "override.yaml").write_text(yaml.safe_dump({"services": override}))
    project = f"code-executor-test-{secrets.token_hex(4)}"
    files = ("-f", str(ROOT / "compose.yaml"), "-f", str(tmp_path / "override.yaml"))

    def compose(*arguments: str) -> str:
        return run("docker", "compose", "-p", project, *files, *arguments, LISTEN="127.0.0.1:")

    try:
        compose("up", "--detach", "--no-build")
        url = "http://" + compose("port", "server", "8000").strip()

        def answers() -> bool:
            try:
                body = {"code": "print(1)"}
                return bool(httpx.post(f"{url}/api/execute", json=body, timeout=60).json()["output"] == "1\n")
            except httpx.TransportError:
                return False

        assert eventually(answers, STARTED_WITHIN)
        (server,) = compose("ps", "--quiet", "server").split()
        namespace = namespace_of(server)
    finally:
        compose("down", "--timeout", "90")
    mine = ("--quiet", "--filter", f"label=com.docker.compose.project={project}")
    left = [docker(*what, *mine).stdout for what in (("ps", "--all"), ("network", "ls"), ("volume", "ls"))]
    assert (left, sandboxes_of(namespace)) == (["", "", ""], [])
