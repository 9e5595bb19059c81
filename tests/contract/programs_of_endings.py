"""Programs that must end in a sandbox exactly as ``python main.py`` does."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _

ENDINGS = {
    # ---- ends
    "exit_without_a_code": _(
        """
        import sys
        print(1)
        sys.exit()
        """
    ),
    "exit_zero": Program("raise SystemExit(0)"),
    "exit_three": _(
        """
        import sys
        sys.exit(3)
        """
    ),
    "exit_minus_one": _(
        """
        import sys
        sys.exit(-1)
        """
    ),
    "exit_256": _(
        """
        import sys
        sys.exit(256)
        """
    ),
    "exit_true": _(
        """
        import sys
        sys.exit(True)
        """
    ),
    "exit_with_a_text": _(
        """
        import sys
        sys.exit('good bye')
        """
    ),
    "exit_with_an_object": _(
        """
        import sys
        sys.exit([1, 2])
        """
    ),
    "exit_with_a_tuple": Program("raise SystemExit(1, 2)"),
    "exit_float": _(
        """
        import sys
        sys.exit(1.5)
        """
    ),
    "exit_in_a_function": _(
        """
        def f():
            try:
                quit(4)
            finally:
                print('finally')
        f()
        """
    ),
    "exit_caught": _(
        """
        try:
            exit(3)
        except SystemExit as e:
            print('caught', e.code)
        """
    ),
    "exit_in_an_except": _(
        """
        try:
            1/0
        except ZeroDivisionError:
            raise SystemExit(7)
        """
    ),
    "os_exit": _(
        """
        import os
        print('a', flush=True)
        os._exit(5)
        """
    ),
    "atexit": _(
        """
        import atexit
        atexit.register(print, 'first in')
        atexit.register(print, 'last in')
        print('body')
        """
    ),
    "atexit_after_an_exception": _(
        """
        import atexit
        atexit.register(print, 'done')
        1/0
        """
    ),
    "atexit_and_exit": _(
        """
        import atexit, sys
        atexit.register(print, 'x')
        sys.exit(2)
        """
    ),
    "a_thread_is_joined": _(
        """
        import threading, time
        def f():
            time.sleep(0.05)
            print('thread')
        threading.Thread(target=f).start()
        print('main')
        """
    ),
    "threads_before_atexit": _(
        """
        import atexit, threading, time
        atexit.register(print, 'atexit')
        threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
        """
    ),
    "a_daemon_thread_is_not_joined": _(
        """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(20), print('no')), daemon=True).start()
        print('main')
        """
    ),
    "an_exception_in_a_thread": _(
        """
        import threading
        def f(): 1/0
        t = threading.Thread(target=f, name='T')
        t.start()
        t.join()
        print('ok')
        """
    ),
    "exit_in_a_thread": _(
        """
        import sys, threading
        t = threading.Thread(target=sys.exit, args=(3,))
        t.start(); t.join(); print('ok')
        """
    ),
    "a_hook_for_threads": _(
        """
        import threading
        threading.excepthook = lambda a: print('hook', a.exc_type.__name__)
        t = threading.Thread(target=lambda: 1/0)
        t.start(); t.join()
        """
    ),
    "thread_after_exception": _(
        """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
        1/0
        """
    ),
    "locals_of_a_call_that_printed": _(
        """
        import sys, weakref
        class A:
            def __del__(self): print('gone')
        def printed(): a = A(); print('line'); return weakref.ref(a)
        def complained(): a = A(); print('line', file=sys.stderr); return weakref.ref(a)
        def wrote(): a = A(); sys.stdout.write('line\\n'); return weakref.ref(a)
        def wrote_a_piece(): a = A(); print('piece', end=''); return weakref.ref(a)
        def wrote_a_piece_to_stderr(): a = A(); sys.stderr.write('piece'); return weakref.ref(a)
        for call in printed, complained, wrote, wrote_a_piece, wrote_a_piece_to_stderr:
            print(call()())
        """
    ),
    "finalizers": _(
        """
        class A:
            def __del__(self): print('gone')
        a = A()
        print('end')
        """
    ),
    "finalizers_in_a_cycle": _(
        """
        class A:
            def __del__(self): print('gone')
        a = A()
        a.me = a
        print('end')
        """
    ),
    "finalizers_with_globals": _(
        """
        class A:
            def __del__(self): print('gone', B)
        B = 1
        _a = A()
        print('end')
        """
    ),
    "weakref_finalize": _(
        """
        import weakref
        class A: pass
        a = A()
        weakref.finalize(a, print, 'finalized')
        print('end')
        """
    ),
    "a_generator_is_closed": _(
        """
        def g():
            try:
                yield 1
            finally:
                print('closed')
        x = g()
        next(x)
        print('end')
        """
    ),
    "a_context_manager_at_exit": _(
        """
        import contextlib
        s = contextlib.ExitStack()
        s.callback(print, 'cb')
        print('end')
        """
    ),
}
