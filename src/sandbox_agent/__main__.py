"""``python -I /opt/agent/sandbox_agent supervise CONFIG``, or ``oneshot``; run as a directory, it finds itself."""

import os
import sys


def _main() -> int:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.argv[1:2] == ["supervise"] and len(sys.argv) == 3:
        from sandbox_agent.supervisor import loop

        return loop.main(sys.argv[2])
    if sys.argv[1:] == ["oneshot"]:
        from sandbox_agent import oneshot

        return oneshot.main()
    print("usage: sandbox_agent supervise CONFIG | oneshot", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(_main())
