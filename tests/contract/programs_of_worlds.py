"""Programs that look around: what they find must be what ``python main.py`` finds. The ends are in their own tables."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _

_HELPER = "open('helper.py', 'w').write({!r})\n"

FILES = {
    "file_is_absolute": _(
        """
        import os
        os.mkdir('s'); os.chdir('s')
        print(__file__, os.path.abspath(__file__))
        """
    ),
    "reads_itself": Program("# ä\nprint(open(__file__, encoding='utf-8').read())"),
    "is_imported_by_a_helper": Program(
        _HELPER.format("def get():\n    import main\n    return main.X, main.__name__, main is __import__('main')\n")
        + "import helper\nX = 5\nif __name__ == '__main__': print(helper.get())"
    ),
    "is_imported_by_itself": Program("import main\nprint(__name__, main.__file__, main is __import__('main'))"),
    "main_module": _(
        """
        import sys
        main = sys.modules['__main__']
        print({k: type(v).__name__ for k, v in vars(main).items() if k != '__annotations__'})
        print(__loader__.name, __loader__.path, __loader__.is_package('__main__'), __spec__, __package__, __doc__)
        """
    ),
    "loader_gives_the_source": Program("print(__loader__.get_source('__main__'))"),
    "inspect_getsource": _(
        """
        import inspect, sys
        def f(): return 1  # comment
        class A:
            x = 1
        print(inspect.getsource(f), inspect.getsource(A), inspect.getsourcefile(f), inspect.getmodule(f).__name__)
        """
    ),
    "pdb": Program("x = 1\nbreakpoint()\nprint(x)\n", stdin="l\nw\np x\nn\nc\n"),
    "pdb_post_mortem": _(
        """
        import pdb, sys
        def f(): 1/0
        try: f()
        except ZeroDivisionError: pdb.post_mortem()
        """,
        stdin="w\nl\nq\n",
    ),
    "runs_its_path": Program("import runpy\nif __name__ == '__main__': print(runpy.run_path(__file__)['__name__'])"),
    "changes_itself": _(
        """
        open(__file__, 'w').write('# gone' + chr(10) * 5)
        raise ValueError
        """
    ),
    "removes_itself": _(
        """
        import os
        os.unlink(__file__)
        1/0
        """
    ),
    "lists_its_directory": Program("import os\nprint(sorted(os.listdir()))"),
    "bytecode_of_a_helper": Program(_HELPER.format("x = 1") + "import helper, os\nprint(sorted(os.listdir()))"),
    "traceback_through_a_helper": Program(
        _HELPER.format("def f():\n    g()\n\ndef g():\n    1/0\n") + "import helper\nhelper.f()"
    ),
    "syntax_error_in_a_helper": Program(_HELPER.format("x = 1\nreturn x\n") + "import helper"),
    "warning_of_a_helper": Program(
        _HELPER.format("import warnings\ndef f(): warnings.warn('x', stacklevel=2)\n") + "import helper\nhelper.f()"
    ),
    "tracemalloc_and_resource_warning": _(
        """
        import warnings
        warnings.simplefilter('always')
        def f(): open(__file__)
        f()
        """
    ),
    "multiprocessing_child_fails": _(
        """
        import multiprocessing
        def f(): 1/0
        p = multiprocessing.Process(target=f, name='P'); p.start(); p.join()
        print(p.exitcode)
        """
    ),
    "a_thread_fails": _(
        """
        import threading
        def f(): 1/0
        t = threading.Thread(target=f, name='T'); t.start(); t.join()
        """
    ),
    "carriage_returns": Program("x = 1\r\ny = 2\r\nprint(x)\r\n1/0\r\n"),
    "form_feed_and_separators": Program("s = 'a\u2028b\x0cc'\nprint(len(s))\n1/0  # \x85"),
    "byte_order_mark": Program("\ufeffprint(open(__file__, 'rb').read(3))\n1/0"),
    "last_line_without_an_end": Program("def f():\n    1/0\nf()"),
}

STACKS = {
    "print_stack": Program("import traceback\ndef f(): traceback.print_stack()\nf()"),
    "format_stack": Program("import traceback\nprint(len(traceback.format_stack()), traceback.extract_stack())"),
    "inspect_stack": Program("import inspect\ndef f(): return [x.function for x in inspect.stack()]\nprint(f())"),
    "f_back": Program("import sys\nprint(sys._getframe().f_back, sys._getframe().f_code.co_filename)"),
    "getframe_too_deep": Program("import sys\nsys._getframe(1)"),
    "faulthandler": _(
        """
        import faulthandler, sys
        def f(): faulthandler.dump_traceback(open('t', 'w'), all_threads=False)
        f()
        print(open('t').read().split(chr(10), 1)[1])
        """
    ),
    "current_frames": Program("import sys\nprint([f.f_code.co_name for f in sys._current_frames().values()])"),
    "warn_stacklevel_1": Program("import warnings\nwarnings.warn('old')"),
    "warn_stacklevel_2": Program("import warnings\nwarnings.warn('old', stacklevel=2)"),
    "warn_stacklevel_9": Program("import warnings\ndef f(): warnings.warn('old', stacklevel=9)\nf()"),
    "warn_in_a_function": Program("import warnings\ndef f(): warnings.warn('old', DeprecationWarning, 2)\nf()"),
    "logging_stack_info": _(
        """
        import logging
        logging.basicConfig(format='%(filename)s %(lineno)d %(funcName)s %(message)s')
        def f(): logging.error('x', stack_info=True)
        f()
        """
    ),
    "depth": _(
        """
        import sys
        def f(n):
            try: return f(n + 1)
            except RecursionError: return n
        print(f(0), sys.getrecursionlimit())
        """
    ),
    "depth_with_another_limit": _(
        """
        import sys
        def f(n):
            try: return f(n + 1)
            except RecursionError: return n
        sys.setrecursionlimit(200); print(f(0))
        sys.setrecursionlimit(3000); print(f(0))
        """
    ),
    "depth_in_a_thread": _(
        """
        import threading
        def f(n):
            try: return f(n + 1)
            except RecursionError: return n
        t = threading.Thread(target=lambda: print(f(0))); t.start(); t.join()
        """
    ),
    "depth_through_c": _(
        """
        def f(n):
            try: return max([n], key=lambda _: f(n + 1)) and n
            except RecursionError: return n
        class A:
            def __repr__(self): return repr(self)
        try: repr(A())
        except RecursionError as error: print(error)
        """
    ),
    "exactly_to_the_limit": Program("def f(n): return 0 if n == 0 else 1 + f(n - 1)\nprint(f(996))"),
    "too_small_a_limit": Program("import sys\ntry: sys.setrecursionlimit(1)\nexcept Exception as e: print(repr(e))"),
    "recursion_error": Program("def f(): f()\nf()"),
    "recursion_error_of_two": Program("def f(): g()\ndef g(): f()\nf()"),
    "depth_in_atexit": _(
        """
        import atexit, traceback
        def f(n):
            try: return f(n + 1)
            except RecursionError: return n
        atexit.register(lambda: print(f(0)))
        atexit.register(traceback.print_stack)
        """
    ),
    "hook_sees_the_program_alone": _(
        """
        import sys, traceback
        def hook(kind, error, trace):
            traceback.print_stack()
            print([f.name for f in traceback.extract_tb(trace)])
        sys.excepthook = hook
        1/0
        """
    ),
    "trace_function": _(
        """
        import sys
        seen = []
        def trace(frame, event, _):
            seen.append((frame.f_code.co_name, event))
            return trace
        def f(): return 1
        sys.settrace(trace); f(); sys.settrace(None)
        print(seen)
        """
    ),
    "profile_to_the_end": _(
        """
        import sys
        def profile(frame, event, arg):
            if event == 'return' and frame.f_code.co_name == '<module>': print('end of', frame.f_code.co_filename)
        sys.setprofile(profile)
        x = 1
        """
    ),
    "deep_exec": Program("exec('exec(\"import traceback; traceback.print_stack()\")')"),
    "deep_sum": Program("print(eval('+'.join(['1'] * 900)))"),
}

INTERPRETER = {
    "flags": Program("import sys\nprint(sys.flags, sys.dont_write_bytecode, sys.warnoptions, sys._xoptions)"),
    "arguments": Program("import sys\nprint(sys.argv, sys.orig_argv[1:])", args=("-x", "ä b", "--", "")),
    "path": Program("import os, sys\nprint(sys.path[0] == os.getcwd(), len(sys.path))"),
    "modules_at_the_start": Program("import sys\nprint(sorted(sys.modules))"),
    "names_at_the_start": Program("print(sorted(dir()))"),
    "attributes_of_sys": Program("import sys\nprint(sorted(vars(sys)))"),
    "hooks_are_the_interpreters": _(
        """
        import sys, threading
        print(sys.excepthook, sys.__excepthook__ is sys.excepthook, sys.unraisablehook, sys.displayhook)
        print(threading.excepthook is threading.__excepthook__, len(sys.path_hooks), len(sys.meta_path))
        """
    ),
    "names_of_streams": Program(
        "import sys\nprint([(s.name, s.fileno(), s.encoding, s.errors, s.newlines, s.closed)"
        " for s in (sys.stdin, sys.stdout, sys.stderr)])"
    ),
    "a_submodule_that_nobody_imported": Program("import importlib\nprint(importlib.util)"),
    "another_submodule": Program("import xml\nprint(xml.etree)"),
    "urllib_parse": Program("import urllib\nprint(urllib.parse)"),
    "imports_again": _(
        """
        import sys, json, re, struct, random, collections, datetime, decimal, enum, typing
        before = json
        del sys.modules['json']
        import json
        print(json is before, json.loads('[1]'), re.sub('a', 'b', 'a'), struct.pack('>H', 1), json.decoder.JSONDecoder)
        """
    ),
    "reload": Program("import importlib, json\nprint(importlib.reload(json) is json, json.__spec__.name)"),
    "specs": _(
        """
        import importlib.util, sys, types, json, struct, signal
        for module in (json, struct, signal, types):
            s = module.__spec__
            print(s.name, s.origin, type(s.loader).__name__, s.loader is module.__loader__, s.parent)
        print(importlib.util.find_spec('ast').loader.name, importlib.util.find_spec('nothing'))
        """
    ),
    "what_an_import_brings": _(
        """
        import sys
        before = set(sys.modules)
        import json
        print(sorted(set(sys.modules) - before))
        """
    ),
    "a_missing_module": Program("import nothing_like_this"),
    "a_missing_name": Program("from json import nothing"),
    "a_missing_submodule": Program("import json.nothing"),
    "gc_state": Program("import gc\nprint(gc.isenabled(), gc.get_threshold(), gc.garbage)"),
    "intern_and_limits": Program(
        "import sys\nprint(sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(),"
        " sys.getfilesystemencoding(), sys.getdefaultencoding(), sys.is_finalizing())"
    ),
    "signals": Program(
        "import signal\nprint({s.name: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE,"
        " signal.SIGXFSZ)}, signal.pthread_sigmask(0, []))"
    ),
}

_MODULES = (
    *("struct", "signal", "resource", "operator", "enum", "copy", "json", "socket", "re", "random", "types", "token"),
    *("select", "math", "threading", "traceback", "base64", "errno", "ctypes", "ast", "warnings", "functools"),
    *("contextlib", "dataclasses", "collections", "weakref", "keyword", "heapq", "string", "queue", "platform"),
)
OWN_MODULES = {
    f"own_{name}": Program(
        f"open('{name}.py', 'w').write('class Own: pass' + chr(10))\nfrom {name} import Own\nprint(Own.__module__)"
    )
    for name in _MODULES
}
OWN_MODULES["own_package"] = Program(
    "import os\nos.mkdir('json')\nopen('json/__init__.py', 'w').write('x = 1')\nimport json\nprint(json.x)"
)
OWN_MODULES["own_module_shadows_what_another_needs"] = Program(
    "open('enum.py', 'w').write('x = 1')\nimport enum\nprint(enum.x)\nimport re"
)

WORLDS = {**FILES, **STACKS, **INTERPRETER, **OWN_MODULES}
