"""Programs that show, step by step, how the interpreter ends: its exit status, its hooks, and what it lets go of."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _

CODES = {
    f"exit_with {code}": Program(f"import sys\nsys.exit({code})")
    for code in (
        *("10**30", "-10**30", "2**32", "2**31", "2**63", "-2**63", "-2**63 - 1", "257", "False", "b'bytes'", "''"),
        *("(1, 2)", "[]", "float('nan')", "object", "'é\\ud800'", "'a\\nb'", "type('I', (int,), {})(7)"),
        "type('S', (), {'__str__': lambda s: 1 / 0})()",
    )
}

STATUSES = {
    "keyboard_interrupt": Program("raise KeyboardInterrupt"),
    "keyboard_interrupt_in_a_function": Program("def f():\n    raise KeyboardInterrupt('now')\nf()"),
    "a_kind_of_keyboard_interrupt": Program("class K(KeyboardInterrupt): pass\nraise K"),
    "keyboard_interrupt_and_atexit": Program("import atexit\natexit.register(print, 'x')\nraise KeyboardInterrupt"),
    "keyboard_interrupt_and_a_hook": Program(
        "import sys\nsys.excepthook = lambda *a: print(a[0])\nraise KeyboardInterrupt"
    ),
    "keyboard_interrupt_and_a_hook_that_exits": Program(
        "import sys\nsys.excepthook = lambda *a: sys.exit(3)\nraise KeyboardInterrupt"
    ),
    "a_signal_to_oneself": Program("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('no')"),
    "a_signal_raised": Program("import signal\nsignal.raise_signal(signal.SIGINT)\nprint('no')"),
    "keyboard_interrupt_chained": Program("try:\n    1/0\nexcept ZeroDivisionError:\n    raise KeyboardInterrupt"),
    "generator_exit": Program("raise GeneratorExit('x')"),
    "a_kind_of_system_exit": Program("class E(SystemExit): pass\nraise E(4)"),
    "a_code_of_its_own": Program("e = SystemExit(4)\ne.code = 5\nraise e"),
    "a_code_that_is_gone": Program("e = SystemExit(4)\ndel e.code\nraise e"),
    "system_exit_in_a_group": Program("raise BaseExceptionGroup('x', [SystemExit(3)])"),
    "exit_with_a_closed_stderr": Program("import sys\nsys.stderr.close()\nsys.exit('bye')"),
    "exit_without_stderr": Program("import sys\nsys.stderr = None\nsys.exit('bye')"),
    "exit_with_stderr_deleted": Program("import sys\ndel sys.stderr\nsys.exit('bye')"),
    "exit_with_another_stderr": Program("import io, sys\nsys.stderr = io.StringIO()\nsys.exit('bye')"),
    "an_exit_that_cannot_be_written": _(
        """
        import sys
        class E:
            def write(self, text): print('write', repr(text)); raise OSError
        sys.stderr = E()
        sys.exit('bye')
        """
    ),
    "quit_closes_stdin": Program("import atexit, sys\natexit.register(lambda: print(sys.stdin.closed))\nquit()"),
}

_HOOKS = {
    "numbers": "lambda *a: sys.__excepthook__(1, 2, 3)",
    "nothing": "lambda *a: sys.__excepthook__(None, None, None)",
    "too_few": "lambda a: 1",
    "three": "3",
    "None": "None",
    "raises": "lambda *a: [][1]",
    "exits": "lambda *a: sys.exit(9)",
    "exits_with_a_text": "lambda *a: sys.exit('text')",
    "exits_with_much": "lambda *a: sys.exit(10**30)",
    "prints": "lambda *a: print(a[:2])",
    "type": "type",
}
HOOKS = {
    f"hook_that_is {name}": Program(f"import sys\nsys.excepthook = {hook}\ndef f():\n    1/0\nf()")
    for name, hook in _HOOKS.items()
}
HOOKS |= {
    "hook_of_the_interpreter_with_wrong_types": _(
        """
        import sys
        for arguments in ((1, 2, 3), (None, None, None), (ValueError, None, None), (ValueError, 'x', None),
                          (ValueError, ValueError('x'), 5)):
            try: print(sys.excepthook(*arguments))
            except BaseException as error: print(repr(error))
        try: sys.excepthook()
        except TypeError as error: print(error)
        """
    ),
    "hook_deleted": Program("import sys\ndel sys.excepthook\n1/0"),
    "both_hooks_deleted": Program("import sys\ndel sys.excepthook, sys.__excepthook__\n1/0"),
    "no_stderr_for_a_traceback": Program("import sys\nsys.stderr = None\n1/0"),
    "a_stderr_of_ones_own": _(
        """
        import sys
        class E:
            def write(self, text): sys.stdout.write(text)
            def flush(self): pass
        sys.stderr = E()
        1/0
        """
    ),
    "last_exception": _(
        """
        import atexit, sys
        def told():
            print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno, getattr(sys, 'last_exc', None) and 1)
        if sys.version_info >= (3, 12): atexit.register(told)
        atexit.register(lambda: print(hasattr(sys, 'last_value')))
        1/0
        """
    ),
    "nothing_is_handled_at_the_end": Program("import atexit, sys\natexit.register(lambda: print(sys.exc_info()))\n1/0"),
    "a_thread_hook_that_fails": _(
        """
        import threading
        def hook(a): raise OSError('hook')
        threading.excepthook = hook
        t = threading.Thread(target=lambda: 1/0, name='T'); t.start(); t.join()
        """
    ),
    "an_unraisable_hook": _(
        """
        import sys
        sys.unraisablehook = lambda a: print(a.exc_type, a.err_msg, type(a.object))
        class A:
            def __del__(self): 1/0
        a = A()
        del a
        b = A()
        """
    ),
    "no_traceback_limit": Program("import sys\nsys.tracebacklimit = 1\ndef f(): 1/0\nf()"),
    "exception_with_notes": Program("e = ValueError('x')\ne.add_note('a note')\nraise e"),
    "an_error_whose_text_fails": Program("class E(Exception):\n    def __str__(self): 1/0\nraise E"),
}

FINALIZATION = {
    "file_is_gone_at_exit": Program("import atexit\natexit.register(lambda: print('__file__' in globals()))"),
    "file_is_there_after_an_exit": Program(
        "import atexit, sys\natexit.register(lambda: print('__file__' in globals()))\nsys.exit(1)"
    ),
    "file_is_gone_after_an_error": Program(
        "import atexit\natexit.register(lambda: print('__file__' in globals()))\n1/0"
    ),
    "atexit_fails": _(
        """
        import atexit
        class C:
            def __repr__(self): return 'C()'
            def __call__(self):
                return 1/0
        atexit.register(print, 'after')
        atexit.register(C())
        """
    ),
    "atexit_exits": _(
        """
        import atexit, sys
        class C:
            def __repr__(self): return 'C()'
            def __call__(self): sys.exit(5)
        atexit.register(print, 'after')
        atexit.register(C())
        """
    ),
    "atexit_registers": Program("import atexit\natexit.register(lambda: atexit.register(print, 'second'))"),
    "atexit_ends_at_once": Program("import atexit, os\natexit.register(print, 'no')\natexit.register(os._exit, 6)"),
    "atexit_unregisters": Program("import atexit\natexit.register(print, 1)\natexit.unregister(print)"),
    "threads_then_atexit_then_finalizers": _(
        """
        import atexit, threading, time
        class A:
            def __del__(self): print('finalizer')
        a = A()
        atexit.register(print, 'atexit')
        threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
        print('main')
        """
    ),
    "threads_after_an_exit": _(
        """
        import sys, threading, time
        threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()
        sys.exit(4)
        """
    ),
    "a_thread_of_a_thread": _(
        """
        import threading, time
        def g(): time.sleep(0.02); print('second')
        def f(): time.sleep(0.02); threading.Thread(target=g).start(); print('first')
        threading.Thread(target=f).start()
        """
    ),
    "shutdown_of_threads_fails": _(
        """
        import threading
        def broken():
            1/0
        threading._shutdown = broken
        """
    ),
    "executors_at_exit": _(
        """
        import atexit, concurrent.futures, time
        pool = concurrent.futures.ThreadPoolExecutor(2)
        pool.submit(lambda: (time.sleep(0.05), print('done')))
        atexit.register(print, 'atexit')
        print('main')
        """
    ),
    "a_finalizer_fails": _(
        """
        class D:
            def __repr__(self): return 'D()'
            def __call__(self):
                1/0
        class A:
            __del__ = D()
        a = A()
        del a
        b = A()
        """
    ),
    "a_finalizer_prints_and_imports": _(
        """
        class A:
            def __del__(self):
                try:
                    import colorsys
                except ImportError as error:
                    print(error)
        a = A()
        """
    ),
    "a_finalizer_sees_sys": _(
        """
        import sys
        class A:
            def __del__(self, sys=sys):
                print(sys.path, sys.argv, sys.meta_path, sys.path_hooks, sys.stdout is sys.__stdout__)
        a = A()
        sys.stdout = sys.stderr
        """
    ),
    "a_finalizer_of_a_helper": Program(
        "open('helper.py', 'w').write('class A:\\n    def __del__(self): print(\"helper gone\")\\na = A()\\n')\n"
        "import helper\nprint('end')"
    ),
    "a_finalizer_that_something_else_holds": _(
        """
        import builtins, json
        class A:
            def __init__(self, name): self.name = name
            def __del__(self): print(self.name, B)
        B = 'b'
        a, _b = A('a'), A('_b')
        builtins.kept = [lambda: a]
        """
    ),
    "private_names_go_first": _(
        """
        import types, sys
        class A:
            def __init__(self, name): self.name = name
            def __del__(self): print(self.name)
        m = types.ModuleType('m')
        sys.modules['m'] = m
        m.z, m._a, m.__b__ = A('z'), A('_a'), A('__b__')
        m.f = types.FunctionType((lambda: 0).__code__, m.__dict__)
        """
    ),
    "finalizers_in_their_order": _(
        """
        class A:
            def __init__(self, name): self.name = name
            def __del__(self): print(self.name)
        a = A('a'); c = A('c'); b = A('b')
        """
    ),
    "generators_and_coroutines": _(
        """
        def g():
            try: yield
            finally: print('generator')
        async def c(): pass
        x = g(); next(x)
        y = c()
        """
    ),
    "async_generators": _(
        """
        import asyncio
        async def g():
            try: yield 1
            finally: print('closed')
        async def main():
            async for x in g(): break
        asyncio.run(main())
        """
    ),
    "a_file_that_is_not_closed": _(
        """
        import atexit
        f = open('x', 'w'); f.write('text')
        class A:
            def __del__(self, open=open): print(repr(open('x').read()))
        a = A()
        """
    ),
    "a_temporary_directory": _(
        """
        import os, tempfile
        t = tempfile.TemporaryDirectory(prefix='t', dir='.')
        print(len(os.listdir()))
        """
    ),
    "weak_references_at_the_end": _(
        """
        import weakref
        class A: pass
        a = A()
        r = weakref.ref(a, lambda _: print('called back'))
        weakref.finalize(a, print, 'finalized')
        """
    ),
    "an_instance_that_the_collector_does_not_know": _(
        """
        class A:
            __slots__ = ()
            def __del__(self): print('gone')
        a = A()
        """
    ),
    "a_callback_of_the_collector": _(
        """
        import gc
        gc.callbacks.append(lambda phase, info: print(phase))
        """
    ),
    "a_generator_at_the_end": _(
        """
        def f():
            try: yield 1
            finally: print('closed')
        g = f(); next(g)
        """
    ),
    "a_weak_reference_at_the_end": _(
        """
        import weakref
        def f(): pass
        r = weakref.ref(f, print)
        def g(): return f
        """
    ),
    "collected_although_switched_off": _(
        """
        import gc
        gc.disable()
        class A:
            def __del__(self): print('gone')
        a = A(); a.a = a
        del a
        """
    ),
    "stdout_replaced": Program("import io, sys\nprint('a')\nsys.stdout = io.StringIO()\nprint('b')"),
    "stdout_closed": Program("import sys\nprint('a')\nsys.stdout.close()"),
    "stdout_is_none": Program("import sys\nsys.stdout = None\nprint('a')"),
    "stdout_deleted": Program("import sys\nprint('a')\ndel sys.stdout"),
    "stdout_whose_flush_fails": _(
        """
        import sys
        class O:
            closed = False
            def __repr__(self): return 'O()'
            def write(self, text): pass
            def flush(self):
                raise OSError('full')
        sys.stdout = O()
        """
    ),
    "stderr_whose_flush_fails": _(
        """
        import sys
        class O:
            closed = False
            def write(self, text): pass
            def flush(self): raise OSError('full')
        sys.stderr = O()
        """
    ),
    "stdout_whose_flush_fails_after_an_exit": _(
        """
        import sys
        class O:
            closed = False
            def __repr__(self): return 'O()'
            def write(self, text): pass
            def flush(self): raise OSError('full')
        sys.stdout = O()
        sys.exit(3)
        """
    ),
    "stdout_that_cannot_flush": Program("import sys\nsys.stdout = 3"),
    "a_daemon_thread_and_an_exit": _(
        """
        import sys, threading, time
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        sys.exit(3)
        """
    ),
    "a_fork_ends_by_itself": _(
        """
        import atexit, os, sys
        atexit.register(print, 'atexit', flush=True)
        pid = os.fork()
        if pid == 0: sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        """
    ),
    "a_fork_fails": _(
        """
        import os
        pid = os.fork()
        if pid == 0: 1/0
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        """
    ),
}

EXITS = {**CODES, **STATUSES, **HOOKS, **FINALIZATION}
