"""No byte that the relay passes on is ever in its memory."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import sandbox_agent
from tests.unit.agent.piped import MemoryOf, Pipes, read_all

# ---- never in memory

RELAY = """
import os, select, sys
sys.path.insert(0, sys.argv[1])
from sandbox_agent.contract.protocol import EventType
from sandbox_agent.supervisor.relay import Budget, Inbound, Outbound, Source
length, source, sink, host, stdout = map(int, sys.argv[2:])
inbound, outbound = Inbound(source), Outbound(host)
inbound.forward(length, sink, last=True)
outbound.begin(1, [Source(stdout, EventType.STDOUT, Budget(1 << 20))])
while inbound.busy or outbound.sources:
    select.select([source, stdout] if inbound.busy else [stdout], [], [])
    inbound.pump()
    outbound.pump()
print("done", flush=True)
sys.stdin.read()
"""


def test_no_byte_that_is_passed_on_enters_the_relays_memory(root: None, pipe: Pipes, memory_of: MemoryOf) -> None:
    source, sink, host, stdout = pipe(), pipe(), pipe(), pipe()
    ends = [source.read, sink.write, host.write, stdout.read]
    inward, outward = (secrets.token_hex(2000).encode() for _ in range(2))
    src = str(Path(sandbox_agent.__file__).parents[1])
    command = [sys.executable, "-I", "-c", RELAY, src, str(len(inward)), *map(str, ends)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=ends) as relay:
        os.close(stdout.read)
        os.write(source.write, inward)
        os.write(stdout.write, outward)
        os.close(stdout.write)
        assert relay.stdout is not None
        assert relay.stdout.readline() == b"done\n"
        assert read_all(sink.read) == inward
        assert outward in read_all(host.read)
        pieces = [secret[at : at + 16] for secret in (inward, outward) for at in range(0, len(secret) - 16, 16)]
        for region in memory_of(relay.pid):
            assert not any(piece in region for piece in pieces)
        relay.communicate()
    assert relay.returncode == 0
