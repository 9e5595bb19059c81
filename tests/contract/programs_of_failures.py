"""Programs that must fail in a sandbox as ``python main.py`` does, and two things that they can tell."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _

FAILURES = {
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
