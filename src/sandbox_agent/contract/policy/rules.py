"""The tables of the policy: which modules, names and attributes are refused, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SYSTEM = "it reaches the operating system, and programs here run on their own"
_PROCESSES = "it starts other programs, and there are none here"
_IMPORTS = "it loads modules by another way than the import statement"
_INTERNALS = "it reaches into Python's internals"
_FILES = "it opens files, and programs here work with input() and print()"
_CODE = "it runs text as code; write the code itself instead"
_NATIVE = "it calls machine code directly"


def _rules(*groups: tuple[str, str]) -> dict[str, str]:
    return {name: reason for reason, names in groups for name in names.split()}


MODULES = _rules(
    (_SYSTEM, "os posix nt posixpath ntpath genericpath pwd grp resource fcntl"),
    (_PROCESSES, "subprocess _posixsubprocess pty webbrowser pip ensurepip venv"),
    (
        _IMPORTS,
        "importlib _imp _frozen_importlib _frozen_importlib_external imp pkgutil runpy zipimport pydoc modulefinder",
    ),
    (_INTERNALS, "builtins __builtin__ code codeop pdb bdb _thread sandbox_agent __main__"),
    (_FILES, "_io _pyio pathlib shutil tempfile fileinput linecache"),
    (_CODE, "pickle _pickle marshal shelve dill _xxsubinterpreters _interpreters"),
    (_NATIVE, "ctypes _ctypes cffi mmap"),
)
"""Top-level modules whose import is refused, with everything below them."""

NAMES = _rules(
    (_CODE, "eval exec compile"),
    (_FILES, "open"),
    (_IMPORTS, "__import__ __loader__ __spec__"),
    (_INTERNALS, "__builtins__ breakpoint"),
)
"""Built-in names that may not be used, unless the program has given them a meaning of its own (``scopes``)."""

ATTRIBUTES = _rules(
    (_INTERNALS, "__subclasses__ __globals__ __builtins__ __bases__ __base__ __mro__ __code__ __closure__"),
    (_INTERNALS, "__loader__ __spec__ __reduce__ __reduce_ex__ __self__ __wrapped__ __import__"),
    (_INTERNALS, "func_globals f_globals f_locals f_builtins f_back f_code tb_frame gi_frame gi_code cr_frame"),
    (_INTERNALS, "cr_code ag_frame ag_code _getframe"),
    (_FILES, "_builtin_open bltn_open"),  # as modules that open files call it
    (_PROCESSES, "create_subprocess_exec create_subprocess_shell subprocess_exec subprocess_shell"),
)
"""Attributes that may not be read, on anything."""

MODULE_ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "sys": _rules(
        (_IMPORTS, "modules meta_path path_hooks path_importer_cache"),
        (
            _INTERNALS,
            "_getframe _current_frames _current_exceptions settrace setprofile breakpointhook __breakpointhook__",
        ),
    ),
    "io": _rules((_FILES, "open open_code FileIO")),
    "codecs": _rules((_FILES, "open StreamReaderWriter")),
    "tokenize": _rules((_FILES, "open")),
    "inspect": _rules((_INTERNALS, "currentframe stack trace getouterframes getinnerframes getclosurevars")),
    "gc": _rules((_INTERNALS, "get_objects get_referrers get_referents")),
    "types": _rules((_INTERNALS, "CodeType FunctionType")),
}
"""Attributes that may not be read on these modules."""

DOORS = frozenset(
    {"os", "posix", "subprocess", "pty", "importlib", "pkgutil", "runpy", "builtins", "ctypes"}
    | {"pathlib", "shutil", "tempfile"}
)
"""Refused modules that may not be reached through another module that imported them either (``random._os``)."""


@dataclass(frozen=True)
class Policy:
    """What is refused: a name to the reason. An empty policy refuses nothing.

    ``own``: those of ``names`` that are the program's own from its beginning (a session's, from an earlier cell).
    """

    modules: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    module_attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    own: Sequence[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.modules or self.names or self.attributes or self.module_attributes)

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Policy:
        """Build a policy from a table as a TOML file or the service's settings hold it.

        Keys, all optional: ``extends`` ("strict", the default, or "off"); ``allow`` (names of modules, built-ins or
        attributes that the extended policy refuses); ``deny.modules``, ``deny.names``, ``deny.attributes`` (each a list
        of names, or a table from name to the reason that the learner reads). Raises ``ValueError`` that names the key.
        """
        unknown = set(table) - {"extends", "allow", "deny"}
        if unknown:
            raise ValueError(f"policy: unknown key {min(unknown)!r} (known: extends, allow, deny)")
        extends, deny = table.get("extends", "strict"), table.get("deny", {})
        if extends not in ("strict", "off"):
            raise ValueError('policy: extends must be "strict" or "off"')
        base = STRICT if extends == "strict" else OFF
        if not isinstance(deny, Mapping):
            raise ValueError(  # noqa: TRY004  # one kind for whatever is wrong with a table
                "policy: deny must be a table with modules, names or attributes"
            )
        unknown = set(deny) - {"modules", "names", "attributes"}
        if unknown:
            raise ValueError(f"policy: unknown key 'deny.{min(unknown)}' (known: modules, names, attributes)")
        allow = _names("allow", table.get("allow", []))
        pointless = set(allow).difference(base.modules, base.names, base.attributes, *base.module_attributes.values())
        if pointless:
            raise ValueError(f"policy: allow names {min(pointless)!r}, which is not refused")

        def kept(refused: Mapping[str, str]) -> dict[str, str]:
            return {name: reason for name, reason in refused.items() if name not in allow}

        def merged(refused: Mapping[str, str], key: str) -> dict[str, str]:
            return kept(refused) | _names(f"deny.{key}", deny.get(key, []))

        return cls(
            merged(base.modules, "modules"),
            merged(base.names, "names"),
            merged(base.attributes, "attributes"),
            {module: kept(refused) for module, refused in base.module_attributes.items()},
        )


def _names(key: str, value: object) -> dict[str, str]:
    """Read a list of names, or a table from name to reason."""
    pairs = list(value.items()) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        pairs = [(name, "") for name in value]
    if pairs is None or not all(isinstance(name, str) and isinstance(reason, str) for name, reason in pairs):
        raise ValueError(f"policy: {key} must be a list of names, or a table of names and reasons")
    return {name: reason or "this course does not allow it" for name, reason in pairs}


OFF = Policy()
STRICT = Policy(MODULES, NAMES, ATTRIBUTES, MODULE_ATTRIBUTES)
