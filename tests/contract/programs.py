"""Programs that must do in a sandbox exactly what ``python main.py`` does: their world, output and input."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _
from tests.contract.programs_of_calls import CALLS
from tests.contract.programs_of_endings import ENDINGS
from tests.contract.programs_of_exits import EXITS
from tests.contract.programs_of_failures import FAILURES
from tests.contract.programs_of_worlds import WORLDS

WORLD = {
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
    "the_standard_streams": _(
        """
        import sys
        for s in (sys.stdin, sys.stdout, sys.stderr):
            print(s.mode, type(s).__name__, type(s.buffer).__name__, type(s.buffer.raw).__name__, s.buffer.raw.mode)
        print(sys.stdout is sys.__stdout__, sys.stdout.newlines, sys.stdout.closed, sys.stdout.writable())
        sys.stdout.flush()
        sys.stdout.buffer.raw.write(b'raw')
        """
    ),
    "stdin_by_name": Program("print(open('/dev/stdin').read(), open('/dev/fd/0').read())", stdin="ab\n"),
    "very_many_lines": Program("for i in range(20_000): print(i, 'of very many')"),
    "very_many_pieces": Program("print(*range(50_000))"),
    "very_many_rows": _(
        """
        import csv, sys
        csv.writer(sys.stdout).writerows((i, 'a b') for i in range(20_000))
        """
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
}

PROGRAMS = WORLD | WORLDS | ENDINGS | EXITS | FAILURES | CALLS
