"""The start of the agent: ``python -c START supervise CONFIG``, or ``oneshot``.

``START`` is a line that puts the agent's directory into ``sys.path`` and calls `main`: `hardening.START` of the host,
and the Dockerfile. So it needs no option of Python that a program would see in ``sys.flags``. And where Python asks
which directory a script was started from (to tell that a file hides a module of the library), it takes that of now.
"""

import sys


def main() -> int:
    """Do what the command line says; return an exit status."""
    # from Python 3.13 on, -c has linecache quote its line for all code that is called <string>
    at_start = [name for name in sys.modules if name.partition(".")[0] not in {"sandbox_agent", "linecache"}]
    if (linecache := sys.modules.get("linecache")) is not None:
        vars(linecache).get("_interactive_cache", linecache.cache).clear()
    from sandbox_agent.child import imports

    imports.watch(at_start)
    if sys.argv[1:2] == ["supervise"] and len(sys.argv) == 3:
        from sandbox_agent.supervisor import loop

        return loop.main(sys.argv[2])
    if sys.argv[1:] == ["oneshot"]:
        from sandbox_agent import oneshot

        return oneshot.main()
    print("usage: sandbox_agent supervise CONFIG | oneshot", file=sys.stderr)
    return 2
