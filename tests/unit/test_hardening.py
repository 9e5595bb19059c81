"""The hardening as data: what the engines are handed, to the letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from code_executor.core.limits import Limits
from code_executor.sandbox import hardening
from code_executor.sandbox.hardening import (
    ENVIRONMENT,
    SUPERVISOR_CAPABILITIES,
    WRITABLE,
    Uids,
    agent_config,
    for_gvisor,
    process_limit,
    tmpfs_options,
)

LIMITS = Limits(disk=64 << 20, files=2048)


def options(text: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in text.split(","))


def test_gvisor_has_room_for_the_threads_that_it_makes_of_a_program() -> None:
    """45 of its own and 4 for each process were counted in a calm one; with fewer it does not even start."""
    limits = Limits(processes=10)
    assert process_limit(limits) == process_limit(limits, "runc") == limits.tasks + 2
    assert 45 + (limits.tasks + 2) * 4 < process_limit(limits, "runsc") == process_limit(limits, "runsc-kvm") < 300


def test_the_writable_file_systems_share_the_disk_and_the_files_and_no_more() -> None:
    assert [fs.path for fs in WRITABLE] == ["/work", "/tmp", "/dev/shm"]
    sizes = [options(tmpfs_options(fs, LIMITS, 52000)) for fs in WRITABLE]
    assert [int(size["size"]) for size in sizes] == [32 << 20, 16 << 20, 16 << 20]
    assert [int(size["nr_inodes"]) for size in sizes] == [1024, 512, 512]


@pytest.mark.parametrize("files", [1, 16, 64])
def test_a_file_system_has_inodes_enough_to_be_one(files: int) -> None:
    assert all(int(options(tmpfs_options(fs, Limits(files=files), None))["nr_inodes"]) >= 16 for fs in WRITABLE)


def test_a_file_system_is_the_runs_alone() -> None:
    mine = options(tmpfs_options(WRITABLE[0], LIMITS, 52001))
    assert (mine["mode"], mine["uid"], mine["gid"]) == ("0700", "52001", "52001")
    assert {"uid", "gid"}.isdisjoint(options(tmpfs_options(WRITABLE[0], LIMITS, None)))


def test_a_supervisor_may_become_another_user_and_kill_and_nothing_else() -> None:
    assert SUPERVISOR_CAPABILITIES == ("SETUID", "SETGID", "KILL")


def test_the_environment_has_one_thread_for_each_library_and_nothing_of_the_servers() -> None:
    threads = {name: value for name, value in ENVIRONMENT.items() if name.endswith("_NUM_THREADS")}
    assert set(threads) == {
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    }
    assert set(threads.values()) == {"1"}
    rest = {name: value for name, value in ENVIRONMENT.items() if name not in threads}
    assert rest == {
        "PATH": "/opt/sandbox/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": "/work",
        "USER": "coderunner",
        "LOGNAME": "coderunner",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",
    }


def test_the_agent_is_told_the_limits_and_keeps_a_process_a_little_below_the_memory() -> None:
    config = agent_config(Limits(memory=512 << 20, processes=10), 52000, ("numpy",), {})
    assert (config.limits.memory, config.data_bytes) == (512 << 20, 448 << 20)
    assert agent_config(Limits(memory=64 << 20), None, (), {}).data_bytes == 48 << 20
    assert config.writable == ("/work", "/tmp", "/dev/shm")
    assert config.uid_processes > process_limit(config.limits)  # the control group has the say
    assert (config.require_landlock, config.name_violations, config.layers_off) == (True, True, ())


def test_under_gvisor_nothing_is_given_up_but_what_its_kernel_lacks() -> None:
    config = agent_config(Limits(), 52000, (), {})
    changed = {name for name, value in vars(for_gvisor(config)).items() if value != vars(config)[name]}
    assert changed == {"require_landlock", "name_violations", "watched"}


def test_no_two_sandboxes_have_one_uid_until_one_is_gone() -> None:
    uids = Uids()
    taken = [uids.take() for _ in range(7000)]
    assert len(set(taken)) == 7000
    assert min(taken) >= 52000
    assert max(taken) < 59000
    uids.give_back(taken[0])
    assert uids.take() == taken[0]


def test_ten_workers_of_any_kind_have_their_helpers_and_forty_processes_are_too_many() -> None:
    first, manager, pool = 1, 3, 3  # a manager: its process, the thread that accepts, the one that answers the program
    feeders = answered = workers = 10
    assert Limits(processes=workers).tasks == first + workers + feeders + answered + pool + manager
    assert 33 <= Limits().tasks <= 40  # min(32, processors + 4) workers are a pool's default; the corpus has the 40


def test_where_a_control_group_counts_the_uid_never_says_no_before_it() -> None:
    for processes in (1, 10, 1000):
        limits = Limits(processes=processes)
        assert agent_config(limits, 1, (), {}).uid_processes > process_limit(limits)


def test_the_image_starts_the_agent_as_the_engines_do() -> None:
    entrypoint = next(line for line in Path("Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT "))
    assert json.loads(entrypoint.removeprefix("ENTRYPOINT ")) == [hardening.INTERPRETER, *hardening.START]
