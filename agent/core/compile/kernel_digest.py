"""What a kernel's machine code is made of, as a digest: its code, its callees' and every constant in them.

Theory of operation. Numba compiles a function with the values that its global names have at that moment:
other kernels are linked in or inlined, numbers and arrays become constants. So the walk starts at a kernel
and follows the global names that its bytecode loads, and theirs, down to plain values. It reads live
objects, not files: an edit of a file after a process has imported it cannot mislead that process. What is
not followed cannot matter: names that are imported but not loaded, comments, docstrings, annotations and
line numbers. What other packages bring counts by its name; their versions go in as a whole.

Example: ``def scaled(x): return FACTOR * x`` gives the bytecode, "FACTOR", "int 2". With FACTOR 3 the
digest differs, and so does that of every kernel that calls ``scaled``.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import llvmlite
import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

OWN = frozenset({"agent", "connectors", "lem", "storage"})
"""Packages whose functions and classes are followed; those of others count by name."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_NOT_CODE = frozenset({"__dict__", "__weakref__", "__doc__", "__annotations__", "__firstlineno__"})


def kernel_digest(kernel: Any) -> str:
    """Digest of all that is compiled into ``kernel``, a compiled function, as its names stand now."""
    walk = _Walk()
    walk.add(_platform())
    walk.add(kernel)
    return walk.hexdigest()[:16]


@cache
def _platform() -> tuple[str, ...]:
    """Versions of what compiles, and the processor that it compiles for."""
    processor = cpu_target.target_context.codegen().magic_tuple()
    return (numba.__version__, llvmlite.__version__, np.__version__, *map(str, processor))


def layout_digest(argument_types: Iterable[Any]) -> str:
    """Digest of the named tuples among a call's argument types: code finds their fields by place."""
    walk = _Walk()
    for argument in argument_types:
        walk.add_layout(argument)
    return walk.hexdigest()[:8]


def kernels_below(kernels: Iterable[Any]) -> list[Any]:
    """The compiled functions that these call, and these."""
    walk = _Walk()
    walk.add(list(kernels))
    return walk.kernels


class _Reads(NamedTuple):
    """What a code object uses, its inner functions too."""

    names: tuple[str, ...]  # global
    attributes: tuple[str, ...]
    constants: tuple[Any, ...]  # docstrings are not: no instruction loads them


@cache
def _reads(code: CodeType) -> _Reads:
    names, attributes, constants = set(), set(), []
    for step in dis.get_instructions(code):
        if step.opcode in dis.hasconst:
            constants.append(step.argval)
        elif "GLOBAL" in step.opname:
            names.add(step.argval)
        elif step.opcode in dis.hasname:
            attributes.add(step.argval)
    for inner in (constant for constant in constants if isinstance(constant, CodeType)):
        below = _reads(inner)
        names.update(below.names)
        attributes.update(below.attributes)
    return _Reads(tuple(sorted(names)), tuple(sorted(attributes)), tuple(constants))


class _Walk:
    """Everything that can be reached goes into one hash, each object once."""

    def __init__(self) -> None:
        self.kernels: list[Any] = []
        self._hash = sha256()
        self._seen: dict[int, tuple[int, Any]] = {}  # objects are kept, so that no id is used twice

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _put(self, *facts: object) -> None:
        self._hash.update(repr(facts).encode() + b"\n")

    def add(self, value: Any) -> None:
        if type(value) in _PLAIN:
            self._put(type(value).__name__, value)
        elif id(value) in self._seen:
            self._put("seen", self._seen[id(value)][0])
        else:
            self._seen[id(value)] = len(self._seen), value
            self._add_new(value)

    def _add_new(self, value: Any) -> None:
        if isinstance(value, Dispatcher):
            self.kernels.append(value)
            self._put("kernel")
            self.add(value.targetoptions)
            self._function(value.py_func)
        elif isinstance(value, FunctionType) and _own(value):
            self._function(value)
        elif isinstance(value, CodeType):
            self._code(value)
        elif hasattr(value, "__wrapped__") and _own(value):  # an intrinsic, or what caches a function
            self._put(type(value).__qualname__)
            self.add(value.__wrapped__)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, np.ndarray | np.generic | np.dtype):
            self._array(value)
        elif isinstance(value, tuple | list | set | frozenset | Mapping):
            self._container(value)
        elif isinstance(value, numba.types.Type):
            self._put("type", str(value))
            self.add_layout(value)
        elif isinstance(value, ModuleType | np.ufunc) or _foreign(value):
            self._put("foreign", getattr(value, "__module__", None), value.__name__)
        else:
            self._object(value)

    def _function(self, function: Any) -> None:
        self._put("function", function.__module__, function.__qualname__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            self.add(cell.cell_contents)
        self._code(function.__code__)
        reads = _reads(function.__code__)
        for name in reads.names:
            self._put("name", name, name in function.__globals__)
            self._named(function.__globals__.get(name), reads.attributes)

    def _named(self, value: Any, attributes: tuple[str, ...]) -> None:
        """A global's value; of a module of ours, whatever may be taken from it."""
        if isinstance(value, ModuleType) and value.__name__.split(".")[0] in OWN:
            for name in attributes:
                if hasattr(value, name):
                    self._put("attribute", name)
                    self._named(getattr(value, name), attributes)
        else:
            self.add(value)

    def _code(self, code: CodeType) -> None:
        variables = code.co_varnames, code.co_cellvars, code.co_freevars
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        self._put("code", code.co_code, code.co_names, variables, counts)
        for constant in _reads(code).constants:
            self.add(constant)

    def _class(self, value: Any) -> None:
        self._put("class", value.__module__, value.__qualname__)
        if issubclass(value, tuple) and hasattr(value, "_fields"):
            self.add((value._fields, value._field_defaults))
        elif issubclass(value, Enum):
            self.add([(member.name, member.value) for member in value])
        elif _own(value):
            self.add(value.__bases__)
            self.add({name: held for name, held in vars(value).items() if name not in _NOT_CODE})

    def _array(self, value: Any) -> None:
        dtype = value if isinstance(value, np.dtype) else value.dtype
        self._put("array", dtype.descr, dtype.itemsize, dtype.isalignedstruct)
        if dtype is not value:
            self._put(value.shape, value.strides, value.tobytes())

    def _container(self, value: Any) -> None:
        self._put("container", type(value).__qualname__, len(value))
        if isinstance(value, Mapping):
            value = sorted(value.items(), key=repr)
        elif isinstance(value, set | frozenset):
            value = sorted(value, key=repr)
        for held in value:
            self.add(held)

    def add_layout(self, numba_type: Any) -> None:
        """The fields of a named tuple, and of those in it: all that a type's name does not say."""
        if hasattr(numba_type, "instance_class"):
            self.add(numba_type.instance_class)
        for held in getattr(numba_type, "types", ()):
            self.add_layout(held)

    def _object(self, value: Any) -> None:
        """Any other object: what it says of itself, if that is not its address; else its attributes."""
        self.add(type(value))
        if not _own(type(value)) and " at 0x" not in repr(value):
            self._put(repr(value))
            return
        self.add(getattr(value, "__dict__", None))
        for name in ("fget", "__func__", *getattr(type(value), "__slots__", ())):
            self.add(getattr(value, name, None))


def _own(value: Any) -> bool:
    return str(value.__module__).split(".")[0] in OWN


def _foreign(value: Any) -> bool:
    return hasattr(value, "__qualname__") and not _own(value)
