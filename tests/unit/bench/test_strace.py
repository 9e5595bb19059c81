from bench.strace import parse

LINES = """\
12 1000.000000100 read(3, "\\1\\0", 20) = 20 <0.000010000>
12 1000.000200000 wait4(-1, 0x7ffd, WNOHANG, 0x7ffd) = 0 <0.000005000>
13 1000.000300000 read(3,  <unfinished ...>
12 1000.000400000 splice(4, NULL, 9, NULL, 77, SPLICE_F_NONBLOCK) = 77 <0.000020000>
13 1000.000450000 <... read resumed>"{\\"code\\": \\"print(1)\\"}", 65536) = 77 <0.000150000>
13 1000.000500000 ioctl(1, TCGETS, 0x7ffd) = -1 ENOTTY (Inappropriate ioctl for device) <0.000001000>
13 1000.000600000 umask(077)              = 022 <0.000001000>
12 1000.000650000 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=13} ---
13 1000.000700000 exit_group(0)           = ?
13 1000.000800000 +++ exited with 0 +++
12 1000.000900000 poll([{fd=3, events=POLLIN}], 1, -1 <unfinished ...>
""".splitlines()

CALLS = parse(LINES)


def test_calls_come_in_the_order_in_which_they_began() -> None:
    names = [(call.pid, call.name) for call in CALLS]
    assert names == [
        (12, "read"),
        (12, "wait4"),
        (13, "read"),
        (12, "splice"),
        (13, "ioctl"),
        (13, "umask"),
        (13, "exit_group"),
        (12, "poll"),
    ]


def test_a_call_that_was_interrupted_by_others_lines_is_one_call() -> None:
    call = CALLS[2]
    assert call.arguments == '3, "{\\"code\\": \\"print(1)\\"}", 65536'
    assert (call.result, call.start) == (77, 1000.0003)
    assert round(call.end - call.start, 9) == 0.00015


def test_results_are_read_in_every_notation_that_strace_has() -> None:
    results = {call.name: (call.result, call.error) for call in CALLS}
    assert results["ioctl"] == (-1, "ENOTTY")
    assert results["umask"] == (0o22, "")
    assert results["exit_group"] == (None, "")


def test_a_call_that_never_returned_is_there_without_a_result() -> None:
    assert (CALLS[-1].name, CALLS[-1].result) == ("poll", None)


def test_a_descriptor_is_known_where_the_first_argument_is_one() -> None:
    assert [call.descriptor for call in CALLS[:2]] == [3, None]


def test_the_log_of_one_process_alone_has_no_pids() -> None:
    (call,) = parse(['1000.000000100 write(1, "1", 1) = 1 <0.000010000>'])
    assert (call.pid, call.name, call.descriptor, call.result) == (0, "write", 1, 1)
