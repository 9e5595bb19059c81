"""Programs that must do in a sandbox exactly what ``python main.py`` does."""

from __future__ import annotations

from textwrap import dedent
from typing import NamedTuple


class Program(NamedTuple):
    code: str
    stdin: str = ""
    args: tuple[str, ...] = ()


def _(code: str, stdin: str = "", args: tuple[str, ...] = ()) -> Program:
    """Make a program of an indented block."""
    return Program(dedent(code).removeprefix("\n"), stdin, args)


PROGRAMS = {
    # ---- the world around __main__
    "the_module": _(
        """
        print(__name__, __doc__, __package__, __spec__)
        print(sorted(vars()))
        """
    ),
    "a_docstring": Program('"""About this."""\nprint(__doc__)'),
    "argv": Program("import sys; print(sys.argv)", args=("one", "-x", "two words", "", "ünï", "--", "a\nb")),
    "main_is_imported": Program("import __main__, sys; x = 1; print(__main__.x, sys.modules['__main__'] is __main__)"),
    "no_frame_of_ours": _(
        """
        import sys
        f = sys._getframe()
        print(f.f_code.co_name, f.f_code.co_filename[-7:])
        """
    ),
    "future_annotations": _(
        """
        from __future__ import annotations
        def f(x: nowhere): pass
        print(f.__annotations__)
        """
    ),
    "annotations_of_the_module": _(
        """
        x: int = 1
        print(__annotations__)
        """
    ),
    "an_encoding_cookie": _(
        """
        # -*- coding: utf-8 -*-
        print('é')
        """
    ),
    "a_byte_order_mark": Program("\ufeffprint('after the mark')"),
    "carriage_returns": Program("print(1)\r\nif True:\r\n    print('''a\r\nb''')\r\n"),
    "nothing": Program(""),
    "a_comment": Program("# nothing"),
    "classes_can_be_pickled": _(
        """
        import pickle
        class A:
            def __init__(self): self.x = 3
        print(pickle.loads(pickle.dumps(A())).x, A)
        """
    ),
    "dataclasses_and_enums": _(
        """
        import dataclasses, enum
        @dataclasses.dataclass
        class P:
            x: int = 1
        class C(enum.Enum):
            RED = 1
        print(P(2), C.RED, list(C))
        """
    ),
    "source_of_a_function": _(
        """
        import inspect
        def f():
            return 1
        print(inspect.getsource(f))
        """
    ),
    "doctest": _(
        """
        import doctest
        def f():
            '''
            >>> f()
            2
            '''
            return 1
        print(doctest.testmod())
        """
    ),
    "unittest": _(
        """
        import unittest
        class T(unittest.TestCase):
            def test(self): self.assertEqual(1, 1)
        import io
        quiet = unittest.TextTestRunner(io.StringIO())  # it would say how long it took
        r = unittest.main(exit=False, testRunner=quiet).result
        print(r.testsRun, len(r.failures))
        """
    ),
    "typing_hints_resolve": _(
        """
        import typing
        class A: pass
        def f(a: 'A') -> 'list[A]': ...
        print(typing.get_type_hints(f))
        """
    ),
    # ---- output
    "text": Program("print('äöü €', '\\U0001F600', 'a\\tb', sep='|', end='.')"),
    "no_newline_at_the_end": Program("print('x', end='')"),
    "nul_bytes": _(
        r"""
        print('a\0b')
        import sys
        print('c\0d', file=sys.stderr)
        """
    ),
    "both_streams": _(
        """
        import sys
        print('out')
        print('err', file=sys.stderr)
        sys.stderr.write('more')
        """
    ),
    "bytes": _(
        r"""
        import sys
        sys.stdout.buffer.write(b'raw\n')
        sys.stdout.buffer.flush()
        print('text')
        """
    ),
    "writes_in_order": _(
        r"""
        import os, sys
        print('1')
        sys.stdout.flush()
        os.write(1, b'2\n')
        print('3')
        """
    ),
    "a_lone_surrogate": _(
        r"""
        print('before')
        print('\ud800')
        """
    ),
    "a_surrogate_on_stderr": _(
        r"""
        import sys
        print('\ud800', file=sys.stderr)
        """
    ),
    "an_escaped_byte_is_a_byte": Program("print('\\udcc3\\udca9')"),
    "print_to_a_file_object": _(
        """
        import io
        f = io.StringIO()
        print('x', file=f)
        print(repr(f.getvalue()))
        """
    ),
    "redirected_stdout": _(
        """
        import contextlib, io
        f = io.StringIO()
        with contextlib.redirect_stdout(f):
            print('hidden')
        print(f.getvalue().upper())
        """
    ),
    "stdout_replaced_for_good": _(
        """
        import io, sys
        sys.stdout = io.StringIO()
        print('lost')
        """
    ),
    "stdout_is_none": _(
        """
        import sys
        print('a')
        sys.stdout = None
        print('b')
        """
    ),
    "stdout_closed": _(
        """
        import sys
        print('a')
        sys.stdout.close()
        """
    ),
    "print_to_closed_stdout": _(
        """
        import sys
        sys.stdout.close()
        print('b')
        """
    ),
    "descriptor_closed": _(
        """
        import os
        print('a', flush=True)
        os.close(1)
        """
    ),
    "stderr_none_and_an_exception": _(
        """
        import sys
        sys.stderr = None
        1/0
        """
    ),
    "stderr_closed_and_a_message": _(
        """
        import sys
        sys.stderr.close()
        sys.exit('bye')
        """
    ),
    "a_writer_of_ones_own": _(
        r"""
        import sys
        out = open(1, 'w', closefd=False)
        out.write('kept\n')
        """
    ),
    "a_wrapper_around_stdout": _(
        """
        import io, sys
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'utf-8')
        print('ä')
        """
    ),
    "reconfigured_stdout": _(
        """
        import sys
        sys.stdout.reconfigure(encoding='ascii', errors='replace')
        print('ä')
        """
    ),
    "encodings": _(
        """
        import sys
        print(sys.stdin.encoding, sys.stdout.encoding, sys.stderr.encoding)
        print(sys.getdefaultencoding(), sys.getfilesystemencoding())
        print(sys.stdin.name, sys.stdout.name, sys.stderr.name, sys.stdout.errors, sys.stderr.errors)
        print(sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty(), sys.stdin.errors)
        """
    ),
    "many_lines": Program("for i in range(20000): print(i)"),
    "pretty_printing": _(
        """
        import pprint, textwrap
        pprint.pprint({i: 'x' * 30 for i in range(4)})
        print(textwrap.fill('a b ' * 40))
        """
    ),
    "logging_to_stderr": _(
        """
        import logging
        logging.warning('careful %d', 1)
        logging.basicConfig(level=20)
        logging.info('i')
        """
    ),
    "warnings": _(
        """
        import warnings
        warnings.warn('old')
        def f():
            warnings.warn('older', stacklevel=2)
        f()
        """
    ),
    "a_syntax_warning": Program("print(1 is 1)"),
    "an_invalid_escape": Program("print(len('\\d'))"),
    # ---- input
    "input_with_a_prompt": _(
        """
        name = input('Name? ')
        print('Hello', name)
        """,
        stdin="Ada\n",
    ),
    "input_twice": Program("print(input() + input())", stdin="a\nb"),
    "input_at_the_end": _(
        """
        input()
        try:
            input()
        except EOFError as e:
            print(e)
        """,
        stdin="only\n",
    ),
    "input_without_stdin": Program("input('? ')"),
    "lines_of_stdin": _(
        """
        import sys
        for line in sys.stdin: print(repr(line))
        """,
        stdin="a\n\nb\r\nc",
    ),
    "all_of_stdin": _(
        """
        import sys
        print(repr(sys.stdin.read()), repr(sys.stdin.read()))
        """,
        stdin="ä\x00\n",
    ),
    "stdin_bytes": _(
        """
        import sys
        print(sys.stdin.buffer.read())
        """,
        stdin="ä\r\n\x00€",
    ),
    "stdin_by_descriptor": _(
        """
        import os
        print(os.read(0, 99), os.read(0, 99))
        """,
        stdin="abc",
    ),
    "input_and_read": _(
        """
        import sys
        print(input())
        print(sys.stdin.read())
        """,
        stdin="first\nsecond\nthird",
    ),
    "stdin_closed": _(
        """
        import sys
        sys.stdin.close()
        input()
        """,
        stdin="x",
    ),
    "stdin_replaced": _(
        r"""
        import io, sys
        sys.stdin = io.StringIO('mine\n')
        print(input('> '))
        """,
        stdin="x",
    ),
    "fileinput": _(
        """
        import fileinput
        for line in fileinput.input(): print(line, end='')
        """,
        stdin="x\ny\n",
    ),
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
    # ---- exceptions
    "an_exception": _(
        """
        def f(x):
            return 1 / x


        print('before')
        f(0)
        """
    ),
    "chained": _(
        """
        try:
            {}['k']
        except KeyError as e:
            raise ValueError('bad') from e
        """
    ),
    "in_handling": _(
        """
        try:
            1/0
        except ZeroDivisionError:
            int('x')
        """
    ),
    "suppressed": _(
        """
        try:
            1/0
        except ZeroDivisionError:
            raise ValueError from None
        """
    ),
    "a_group": Program(
        "raise ExceptionGroup('many', [ValueError(1), ExceptionGroup('in', [TypeError('t'), KeyError('k')])])"
    ),
    "a_raised_group": _(
        """
        def f(n):
            raise ValueError(n)
        errors = []
        for n in range(2):
            try:
                f(n)
            except ValueError as e:
                errors.append(e)
        raise ExceptionGroup('all', errors)
        """
    ),
    "except_star": _(
        """
        try:
            raise ExceptionGroup('g', [ValueError(1), TypeError(2)])
        except* ValueError as g:
            print(g.exceptions)
        """
    ),
    "notes": _(
        """
        e = ValueError('v')
        e.add_note('look here')
        raise e
        """
    ),
    "a_long_line": Program("x = [" + "1, " * 50 + "1 / 0]"),
    "a_name_error_suggests": _(
        """
        number = 1
        print(numbr)
        """
    ),
    "an_attribute_error_suggests": Program("[].appendd(1)"),
    "an_import_error": Program("import nothing_of_this_name"),
    "an_import_error_of_a_name": Program("from math import nothing"),
    "an_assertion": Program("assert 1 == 2, 'one is not two'"),
    "in_a_comprehension": Program("print([1 / n for n in (1, 0)])"),
    "in_a_lambda": _(
        """
        f = lambda x: x.y
        f(
            1,
        )
        """
    ),
    "in_a_class_body": _(
        """
        class A:
            x = 1
            y = x / 0
        """
    ),
    "in_the_library": _(
        """
        import json
        json.loads('{')
        """
    ),
    "stop_iteration": Program("next(iter([]))"),
    "a_keyboard_interrupt_caught": _(
        """
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            print('caught')
        """
    ),
    "an_exception_of_ones_own": _(
        """
        class MyError(Exception):
            def __str__(self): return 'mine'
        raise MyError
        """
    ),
    "an_exception_whose_str_fails": _(
        """
        class E(Exception):
            def __str__(self): 1/0
        raise E
        """
    ),
    "not_an_exception": Program("raise 3"),
    "unicode_in_a_traceback": Program("raise ValueError('ünï €')  # é"),
    "surrogate_in_a_traceback": Program("raise ValueError('\\ud800')"),
    "odd_line_ends_in_strings": Program("x = '\u2028\x0c\x1d'\ny = 2\n1/0  # here"),
    "a_form_feed": Program("x = 1\n\x0c\ny = 2\n1/0  # here"),
    "exec_of_a_text": _(
        r"""
        exec('def f():\n    1/0')
        f()
        """
    ),
    "a_traceback_printed": _(
        """
        import traceback
        try:
            1/0
        except ZeroDivisionError:
            traceback.print_exc()
        print('on')
        """
    ),
    "a_traceback_formatted": _(
        """
        import sys, traceback
        try:
            1/0
        except ZeroDivisionError:
            print(traceback.format_exc().count('main.py'))
        """
    ),
    "logging_an_exception": _(
        """
        import logging
        try:
            1/0
        except ZeroDivisionError:
            logging.exception('oops')
        """
    ),
    "a_hook": _(
        """
        import sys
        sys.excepthook = lambda t, v, tb: print('hook', t.__name__, v, tb.tb_lineno)
        1/0
        """
    ),
    "a_hook_that_fails": _(
        """
        import sys
        def hook(*a): raise RuntimeError('in hook')
        sys.excepthook = hook
        1/0
        """
    ),
    "a_hook_that_exits": _(
        """
        import sys
        sys.excepthook = lambda *a: sys.exit(8)
        1/0
        """
    ),
    "a_hook_that_calls_the_first": _(
        """
        import sys
        def hook(*a):
            print('mine')
            sys.__excepthook__(*a)
        sys.excepthook = hook
        1/0
        """
    ),
    "an_unraisable_hook": _(
        """
        import sys
        sys.unraisablehook = lambda u: print('unraisable', u.exc_type.__name__)
        class A:
            def __del__(self): 1/0
        A()
        print('x')
        """
    ),
    # ---- time and randomness that can be told
    "seeded_random": _(
        """
        import random
        random.seed(1)
        print(random.random(), random.sample(range(9), 3))
        """
    ),
    "datetime": _(
        """
        import datetime
        print(datetime.datetime(2024, 2, 29) + datetime.timedelta(365), datetime.date.fromisoformat('2024-01-01'))
        """
    ),
    "time_zone": _(
        """
        import time, zoneinfo
        print(time.tzname)
        """
    ),
    "decimal_and_fractions": _(
        """
        import decimal, fractions
        print(decimal.Decimal(1) / 7, fractions.Fraction(1, 3) + 1)
        """
    ),
    "locale": _(
        """
        import locale
        print(locale.getpreferredencoding(False), f'{1234567.891:,.2f}', f'{3:n}')
        """
    ),
    "regular_expressions": _(
        r"""
        import re
        print(re.sub(r'(\w+) (\w+)', r'\2 \1', 'a b'), re.findall('é+', 'éé e'))
        """
    ),
    "recursion_limit": _(
        """
        import sys
        print(sys.getrecursionlimit())
        sys.setrecursionlimit(5000)
        def f(n): return n and f(n - 1)
        print(f(4000))
        """
    ),
    "big_numbers": Program("print(2 ** 1000, len(str(3 ** 5000)))"),
    "too_many_digits": Program("print(10 ** 5000)"),
    "flags": _(
        """
        import sys
        print(sys.flags.optimize, sys.flags.dev_mode, __debug__, sys.implementation.name)
        """
    ),
    "signal_handlers": _(
        """
        import signal
        for name in ('SIGINT', 'SIGTERM', 'SIGPIPE', 'SIGCHLD', 'SIGALRM', 'SIGHUP'):
            print(name, signal.getsignal(getattr(signal, name)))
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        """
    ),
    "a_signal_is_handled": _(
        """
        import os, signal
        signal.signal(signal.SIGTERM, lambda n, f: print('got', n))
        os.kill(os.getpid(), signal.SIGTERM)
        print('on')
        """
    ),
    "an_alarm": _(
        """
        import signal
        signal.signal(signal.SIGALRM, lambda n, f: print('alarm'))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.pause()
        """
    ),
    "a_working_directory": _(
        """
        import os
        print(open('x', 'w').write('abc'), os.path.getsize('x'), os.path.basename(os.path.abspath('x')))
        """
    ),
    "a_module_of_ones_own": _(
        """
        with open('helper.py', 'w') as f: f.write('def f(): return 42')
        import helper
        print(helper.f(), helper.__name__)
        """
    ),
    "an_error_in_a_module_of_ones_own": _(
        r"""
        with open('helper.py', 'w') as f: f.write('def f():\n    1/0  # there')
        import helper
        helper.f()
        """
    ),
}
