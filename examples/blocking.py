"""A small grader: run a submission against each test's input, from a program without an event loop."""

from code_executor import BlockingExecutor, Reason

SUBMISSION = """
n = int(input())
print(n * n)
"""

TESTS = {"2": "4", "12": "144", "-3": "9"}

with BlockingExecutor() as executor:
    for given, expected in TESTS.items():
        result = executor.run(SUBMISSION, stdin=given, timeout=2)
        if result.reason is not Reason.COMPLETED:
            print(f"{given}: {result.reason}: {result.error}")
        elif result.output.strip() == expected:
            print(f"{given}: correct")
        else:
            print(f"{given}: expected {expected}, got {result.output.strip()}")
