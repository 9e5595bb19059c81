"""test-local.sh against a server, and deploy.sh as far as it can be tried without an account."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Server, docker_answers

ROOT = Path(__file__).parents[2]

RECORDER = """#!/bin/bash
{ printf '%s' "${0##*/}"; printf ' [%s]' "$@"; echo; } >> "$RECORD"
case "${0##*/} $*" in
"ibmcloud target") exit "$LOGGED_OUT" ;;
"ibmcloud cr namespace-list") [ "$NEW" = 1 ] || echo "ranga" ;;
"ibmcloud ce secret get"*) [ "$HALFWAY" = 0 ] && exit "$NEW" || exit 1 ;;
"ibmcloud ce project get"* | "ibmcloud ce job get"*) exit "$NEW" ;;
"ibmcloud iam service-id "*) exit "$NEW" ;;
"ibmcloud iam service-policies "*) [ "$HALFWAY" = 1 ] || [ "$NEW" = 1 ] || echo "container-registry" ;;
"$FAILS"*) exit 1 ;;
"ibmcloud iam service-api-key-create"*) echo '{"apikey": "the key"}' > "${@: -1}" ;;
"ibmcloud ce secret create"*)
    stat -c '%A' "$(dirname "${@: -1}")" >> "$RECORD.key"
    cat "${@: -1}" >> "$RECORD.key" ;;
esac
"""


def test_local_tests_pass_against_a_server(server: Server) -> None:
    done = subprocess.run(
        [ROOT / "test-local.sh"],
        env=os.environ | {"BASE_URL": server.url},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] in ("5 passed, 0 failed", "6 passed, 0 failed")
    assert [line for line in lines if line.startswith("skip")] == [] or not docker_answers()


def test_without_a_server_the_local_tests_say_so() -> None:
    done = subprocess.run(
        [ROOT / "test-local.sh"],
        env=os.environ | {"BASE_URL": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "no server answers at http://127.0.0.1:9: start one with `make serve`\n"


# ---- deploy.sh


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what deploy.sh needs, with a docker and an ibmcloud that write down what they are asked."""
    copy = tmp_path / "checkout"
    (copy / "scripts").mkdir(parents=True)
    for name in (
        "deploy.sh",
        "Dockerfile",
        "requirements.txt",
        "requirements.lock",
        "scripts/build-image",
        "scripts/lock",
    ):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "src/sandbox_agent", copy / "src/sandbox_agent")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("docker", "ibmcloud"):
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    return copy


def deploy(checkout: Path, *arguments: str, path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    tools = checkout.parent / "tools"
    defaults = {
        "RECORD": str(checkout.parent / "record"),
        "LOGGED_OUT": "0",
        "NEW": "1",
        "HALFWAY": "0",
        "FAILS": "nothing",
        "TAG": "v1",
    }
    return subprocess.run(
        [checkout / "deploy.sh", *arguments],
        env={"PATH": path or f"{tools}:{os.environ['PATH']}", "HOME": str(checkout)} | defaults | environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def recorded(checkout: Path) -> list[str]:
    """What was asked of the tools, but for building the image and for looking what is there."""
    lines = re.sub(r"/\S+/key\.json", "KEY", (checkout.parent / "record").read_text()).splitlines()
    looks = ("ibmcloud [target]", "ibmcloud [cr] [namespace-list]", "docker [image]", "docker [build]", "docker [info]")
    return [
        line
        for line in lines
        if line not in looks
        and not line.startswith(
            (*looks[2:], "docker [pull]", "ibmcloud [iam] [service-id] ", "ibmcloud [iam] [service-policies] ")
        )
        and "[get]" not in line
    ]


IMAGE = "[us.icr.io/ranga/code-executor:v1]"
BEGIN = [
    "ibmcloud [target] [-r] [us-south] [-g] [Default]",
    "ibmcloud [cr] [region-set] [us-south]",
    "ibmcloud [cr] [login]",
]
PUSH = [f"docker [tag] [code-executor:latest] {IMAGE}", f"docker [push] {IMAGE}"]
JOB = (
    f"[--name] [code-executor] [--image] {IMAGE} [--registry-secret] [code-executor-us-icr-io]"
    " [--cpu] [0.5] [--memory] [1G] [--maxexecutiontime] [60] [--retrylimit] [0]"
)
READER = "code-executor-ranga-reader"
SECRET = [
    f"ibmcloud [iam] [service-id-create] [{READER}] [--description] [Lets Code Engine pull images of ranga]",
    (
        f"ibmcloud [iam] [service-policy-create] [{READER}] [--roles] [Reader] [--service-name] [container-registry]"
        " [--resource-type] [namespace] [--resource] [ranga]"
    ),
    f"ibmcloud [iam] [service-api-key-create] [code-executor-us-icr-io] [{READER}] [--file] [KEY]",
    (
        "ibmcloud [ce] [secret] [create] [--name] [code-executor-us-icr-io] [--format] [registry]"
        " [--server] [us.icr.io] [--username] [iamapikey] [--password-from-json-file] [KEY]"
    ),
]


def test_a_first_deployment_makes_everything(checkout: Path) -> None:
    done = deploy(checkout)
    assert done.returncode == 0, done.stderr
    assert recorded(checkout) == [
        *BEGIN,
        "ibmcloud [cr] [namespace-add] [ranga]",
        *PUSH,
        "ibmcloud [ce] [project] [create] [--name] [code-executor]",
        "ibmcloud [ce] [project] [select] [--name] [code-executor]",
        *SECRET,
        f"ibmcloud [ce] [job] [create] {JOB}",
    ]
    assert "docker [build] " in (checkout.parent / "record").read_text()
    assert "Deployed us.icr.io/ranga/code-executor:v1 as job code-executor." in done.stdout


def test_a_second_deployment_updates_what_is_there(checkout: Path) -> None:
    assert deploy(checkout, NEW="0").returncode == 0
    assert recorded(checkout) == [
        *BEGIN,
        *PUSH,
        "ibmcloud [ce] [project] [select] [--name] [code-executor]",
        f"ibmcloud [ce] [job] [update] {JOB}",
    ]


def test_the_key_of_the_registry_is_seen_by_nobody_and_left_nowhere(checkout: Path) -> None:
    done = deploy(checkout, TMPDIR=str(checkout))
    assert (checkout.parent / "record.key").read_text() == 'drwx------\n{"apikey": "the key"}\n'
    assert "the key" not in done.stdout + done.stderr + (checkout.parent / "record").read_text()
    assert list(checkout.rglob("key.json")) == []


@pytest.mark.parametrize("step", ["ibmcloud ce secret create", "ibmcloud ce job create"])
def test_the_key_is_left_nowhere_when_a_step_fails(checkout: Path, step: str) -> None:
    assert deploy(checkout, TMPDIR=str(checkout), FAILS=step).returncode != 0
    assert list(checkout.rglob("key.json")) == []


def test_a_deployment_that_failed_halfway_makes_what_is_missing_of_the_secret(checkout: Path) -> None:
    assert deploy(checkout, NEW="0", HALFWAY="1").returncode == 0
    assert [line for line in recorded(checkout) if "[iam]" in line or "[secret]" in line] == SECRET[1:]


def test_a_secret_of_ones_own_is_used_and_none_is_made(checkout: Path) -> None:
    assert deploy(checkout, NEW="0", REGISTRY_SECRET="mine").returncode == 0
    assert "ibmcloud [ce] [secret] [get] [--name] [mine]" in (checkout.parent / "record").read_text()
    assert not [line for line in recorded(checkout) if "[secret] [create]" in line or "[iam]" in line]
    assert "[--registry-secret] [mine]" in recorded(checkout)[-1]


def test_a_dry_run_prints_the_commands_of_a_first_deployment_and_runs_none(checkout: Path) -> None:
    done = deploy(
        checkout, "--dry-run", REGION="eu-de", RESOURCE_GROUP="My Group", NAMESPACE="mine", REGISTRY="de.icr.io"
    )
    assert done.returncode == 0
    assert not (checkout.parent / "record").exists()
    commands = [line.removeprefix("+ ") for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert commands[0] == "scripts/build-image code-executor:latest"
    assert "docker push de.icr.io/mine/code-executor:v1" in commands
    (made,) = (command for command in commands if command.startswith("ibmcloud ce secret create"))
    assert made.startswith(
        "ibmcloud ce secret create --name code-executor-de-icr-io --format registry --server de.icr.io "
        "--username iamapikey --password-from-json-file /"
    )
    assert commands[-1].startswith(
        "ibmcloud ce job create --name code-executor --image de.icr.io/mine/code-executor:v1 "
        "--registry-secret code-executor-de-icr-io "
    )


def test_a_dry_run_needs_no_tools(checkout: Path) -> None:
    assert deploy(checkout, "--dry-run", path="/usr/bin:/bin").returncode == 0


def test_names_with_spaces_are_one_argument(checkout: Path) -> None:
    assert deploy(checkout, RESOURCE_GROUP="My Group").returncode == 0
    assert recorded(checkout)[0] == "ibmcloud [target] [-r] [us-south] [-g] [My Group]"


def test_a_step_that_fails_is_the_last(checkout: Path) -> None:
    done = deploy(checkout, FAILS="docker push")
    assert done.returncode != 0
    assert recorded(checkout)[-1] == f"docker [push] {IMAGE}"
    assert "Deployed" not in done.stdout


def test_without_a_login_nothing_is_done(checkout: Path) -> None:
    done = deploy(checkout, LOGGED_OUT="1")
    assert (done.returncode, done.stderr) == (1, "deploy.sh: run `ibmcloud login` first\n")
    assert recorded(checkout) == []


def test_a_missing_tool_is_named(checkout: Path) -> None:
    (checkout.parent / "tools/ibmcloud").unlink()
    done = deploy(checkout)
    assert (done.returncode, done.stderr) == (1, "deploy.sh: ibmcloud is not installed\n")


def test_an_unknown_option_shows_the_usage(checkout: Path) -> None:
    done = deploy(checkout, "--help")
    assert done.returncode == 2
    assert done.stdout.startswith("Deploy the sandbox image to IBM Cloud Code Engine")
    assert not (checkout.parent / "record").exists()
