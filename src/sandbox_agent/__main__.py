"""``python /opt/agent/sandbox_agent/__main__.py supervise CONFIG``, or ``oneshot``; it finds the rest of itself.

It is started without options of Python and as a file, so that programs find ``sys.flags`` and ``sys.modules`` as
``python main.py`` has them.
"""

import os
import sys

_AT_START = frozenset(sys.modules)


def _main() -> int:
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from sandbox_agent.child import imports

    imports.watch(_AT_START)
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
