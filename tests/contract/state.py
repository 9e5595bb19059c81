"""Prints what is to be seen of an interpreter that has imported the libraries, a piece to a line. A program, no test.

What is random, measured or counted by the kernel is left out. So are the names of modules and of loggers, of which
there are more where more is imported, and the directory that matplotlib makes for itself.
"""
# ruff: noqa: T201
# mypy: ignore-errors

import asyncio
import atexit
import codecs
import copyreg
import decimal
import doctest
import gc
import json
import locale
import logging
import mimetypes
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings

import matplotlib.pyplot as plt
import matplotlib.units
import numpy as np
import pandas as pd
import pandas.plotting
import scipy.integrate
import scipy.interpolate
import scipy.linalg
import scipy.optimize
import scipy.signal
import scipy.special
import scipy.stats
import sympy

OURS = (6, 9)  # where a run tells of its pictures and of its ending


def loggers() -> list[logging.Logger]:
    return [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


PIECES = {
    "rcParams": lambda: dict(plt.rcParams),
    "rcParams default": lambda: dict(plt.rcParamsDefault),
    "backend": lambda: (plt.get_backend(), plt.rcParams._get("backend"), plt.isinteractive()),
    "figures": lambda: (plt.get_fignums(), plt._pylab_helpers.Gcf.figs),
    "styles": lambda: plt.style.available,
    "colours": lambda: sorted(plt.colormaps()),
    "units": lambda: sorted(map(str, matplotlib.units.registry)),
    "fonts": lambda: matplotlib.font_manager.findfont("DejaVu Sans").rpartition("/")[2],
    "pandas converters": lambda: (pandas.plotting.plot_params, pd.options.plotting.matplotlib.register_converters),
    "pandas options": lambda: pd._config.config._global_config,
    "numpy errors": np.geterr,
    "numpy printing": np.get_printoptions,
    "numpy errors are told": np.geterrcall,
    "numpy buffer": np.getbufsize,
    "numpy types": lambda: sorted({each.__name__ for each in np.sctypeDict.values()}),
    "scipy errors": scipy.special.geterr,
    "sympy printing": lambda: (sys.displayhook is sys.__displayhook__, str(sympy.Integral(sympy.Symbol("x")))),
    "decimal": decimal.getcontext,
    "doctest": lambda: doctest.master,
    "warnings": lambda: sorted((each[0], each[2].__name__, each[4]) for each in warnings.filters),
    "warnings are shown by": lambda: warnings.showwarning.__module__,
    "at exit": atexit._ncallbacks,
    "signals": lambda: {each.name: str(signal.getsignal(each)) for each in signal.Signals},
    "blocked signals": lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "collector": lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug(), len(gc.garbage), len(gc.callbacks)),
    "logging": lambda: (logging.root.handlers, logging.root.level, logging.root.disabled, logging._levelToName),
    "loggers that were set": lambda: [each for each in loggers() if each.level or each.handlers or each.disabled],
    "last resort": lambda: (logging.lastResort.level, logging.raiseExceptions),
    "recursion": sys.getrecursionlimit,
    "hooks": lambda: [sys.excepthook is sys.__excepthook__, sys.unraisablehook is sys.__unraisablehook__],
    "more hooks": lambda: [threading.excepthook.__name__, sys.breakpointhook is sys.__breakpointhook__, sys.gettrace()],
    "threads": lambda: [each.name for each in threading.enumerate()],
    "main thread": lambda: (threading.main_thread().name, threading.stack_size(), threading.active_count()),
    "processes": lambda: (multiprocessing.get_start_method(allow_none=True), multiprocessing.active_children()),
    "this process": lambda: multiprocessing.current_process().name,
    "asyncio": asyncio._get_running_loop,
    "locale": lambda: (locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(do_setlocale=False)),
    "encodings": lambda: (sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.stdout.encoding),
    "streams": lambda: [(each.name, each.mode, each.errors, each.line_buffering) for each in (sys.stdin, sys.stderr)],
    "codecs": lambda: codecs.lookup_error("strict").__name__,
    "json": lambda: json.dumps({"a": [1.5, None, "ä"]}),
    "reducers": lambda: sorted(each.__name__ for each in copyreg.dispatch_table),
    "media types": lambda: mimetypes.inited,
    "sockets": socket.getdefaulttimeout,
    "temporary files": lambda: (tempfile.tempdir, tempfile.gettempdir()),
    "time zone": lambda: (time.tzname, time.timezone),
    "import": lambda: [type(each).__name__ for each in (*sys.meta_path, *sys.path_hooks)],
    "path": lambda: (sys.path[0] == os.getcwd(), len(sys.path), sys.argv, sys.warnoptions),
    "flags": lambda: (sys.flags.optimize, sys.flags.utf8_mode, sys.flags.int_max_str_digits, sys._xoptions),
    "switches": lambda: (sys.getswitchinterval(), sys.get_asyncgen_hooks(), sys.getprofile()),
    "descriptors": lambda: [fd for fd in range(1000) if is_open(fd) and fd not in OURS],
}

for name, piece in PIECES.items():
    print(name, "=", " ".join(str(piece()).split()))
