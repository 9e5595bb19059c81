"""Runs in a sandbox and leaves a secret everywhere it can. It says which it left where only by where it leaves them.

The secrets of source, stdin and arguments are there already. The others come through stdin, masked, so that each of
them exists unmasked in one kind of place alone.
"""

import ctypes
import importlib
import os
import sys

SOURCE = "SECRET-OF-THE-SOURCE"
MASK = 0x5A
TIMES = 400
"""Copies of each: a leak is seldom of everything."""

lines = sys.stdin.read().split("\n")
kept_of_stdin = [line for line in lines if "=" not in line]
masked = dict(line.split("=") for line in lines if "=" in line)
plain = {place: bytes(byte ^ MASK for byte in bytes.fromhex(text)) for place, text in masked.items()}

kept_of_arguments = list(sys.argv) * TIMES
kept_of_source = [SOURCE + str(number) for number in range(TIMES)]

for number in range(TIMES):
    os.environ[f"LEFT{number}"] = plain["environment"].decode()

heap = [bytes(number % 64) + plain["heap"] for number in range(TIMES * 20)]
kept_of_heap = heap[::2]
del heap  # half of them freed, half of them not

numpy = importlib.import_module("numpy")
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
for number in range(TIMES):
    block = libc.malloc(64 + 128 * (number % 512))
    ctypes.memmove(block, plain["malloc"], len(plain["malloc"]))
    if number % 2:
        libc.free(ctypes.c_void_p(block))

kept_arrays = [numpy.frombuffer(plain["numpy"] * size, dtype="u1").copy() for size in (1, 4, 64, 1024, 65536)]
numpy.random.seed(list(plain["numpy"]))

for place in ("/work", "/tmp", "/dev/shm"):
    os.makedirs(f"{place}/{plain['files'].decode()}")
    for number in range(100):
        with open(f"{place}/{number}", "wb") as file:
            file.write(plain["files"] * 100)
descriptor = os.open("/tmp/deleted", os.O_RDWR | os.O_CREAT)
os.write(descriptor, plain["files"] * 1000)
os.unlink("/tmp/deleted")

reader, writer = os.pipe()
os.write(writer, plain["pipes"] * 100)

for stream in (sys.stdout, sys.stderr):
    for _ in range(TIMES):
        stream.write(plain["output"].decode() + "\n")
