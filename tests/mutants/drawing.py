"""The mutants: Cosmic Ray's operators where they make a slip of the pen, and calls left out.

A slip is ``<`` for ``<=``, ``+`` for ``-``, a number that is one off, a condition turned round, ``and`` for
``or``, a loop never entered, an exception not caught, a call forgotten. ``+`` for ``>>`` is none: whatever
runs the line notices it, which says nothing about the tests. Left alone is what decides nothing:
annotations, imports, ``__repr__``, protocols' stubs, what goes to the log, whether a dataclass is frozen,
bounds of thousands that would be one more, and what compiles to the same code.
"""

from __future__ import annotations

import ast
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import CodeType
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

AREAS = (
    "agent/core",
    "agent/venue",
    "agent/engine",
    "agent/algos",
    "agent/runtime.py",
    "agent/replay.py",
    "connectors",
    "storage",
)
ARITHMETIC = [
    "Add_Sub",
    "Sub_Add",
    "Mul_Div",
    "Div_Mul",
    "FloorDiv_Div",
    "FloorDiv_Mul",
    "Mod_FloorDiv",
    "Pow_Mul",
    "BitAnd_BitOr",
    "BitOr_BitAnd",
    "BitXor_BitOr",
    "RShift_LShift",
    "LShift_RShift",
]
COMPARISONS = [
    "Lt_LtE",
    "Lt_GtE",
    "LtE_Lt",
    "LtE_Gt",
    "Gt_GtE",
    "Gt_LtE",
    "GtE_Gt",
    "GtE_Lt",
    "Eq_NotEq",
    "NotEq_Eq",
    "Is_IsNot",
    "IsNot_Is",
]
SLIPS = (
    *(f"ReplaceBinaryOperator_{pair}" for pair in ARITHMETIC),
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARISONS),
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "ZeroIterationForLoop",
)
ONE_OFF_BELOW = 1000


class LeaveOutCall(Operator):
    """``sync(session)`` as a statement of its own, awaited or not, becomes ``pass``."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        if node.type == "simple_stmt" and node.children[0].type == "atom_expr":
            call = node.children[0]
            if call.children[-1].type == "trailer" and call.children[-1].children[0].value == "(":
                yield call.start_pos, call.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        call = node.children[0]
        first = call.get_first_leaf()
        node.children[0] = parso.python.tree.Keyword("pass", call.start_pos, first.prefix)
        return node

    @classmethod
    def examples(cls) -> Sequence[Any]:
        return ()


OPERATORS = {"LeaveOutCall": LeaveOutCall()} | {name: get_operator(f"core/{name}")() for name in SLIPS}


@dataclass(frozen=True)
class Mutant:
    """One change of one place."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int  # among those of the operator in the file
    nth: int = 0  # of those at this place: a number goes up or down

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}:{self.column}:{self.operator}{f'.{self.nth}' if self.nth else ''}"

    @property
    def area(self) -> str:
        return next(area for area in AREAS if self.path.startswith(area))

    @property
    def family(self) -> str:
        return self.operator.partition("_")[0]

    def code(self, source: str) -> str:
        return str(mutate_code(source, OPERATORS[self.operator], self.occurrence))

    def changes(self, source: str) -> bool:
        """Whether it is Python, and compiles to something else."""
        try:
            return _bare(compile(self.code(source), "", "exec")) != _bare(compile(source, "", "exec"))
        except (SyntaxError, AttributeError):  # the second: an exception caught by a dotted name
            return False


def _bare(code: CodeType) -> CodeType:
    """Without places in the source."""
    consts = tuple(_bare(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_linetable=b"", co_firstlineno=0, co_consts=consts)


def files(root: Path) -> list[str]:
    found = [
        path
        for area in AREAS
        for path in ([root / area] if area[-3:] == ".py" else (root / area).rglob("*.py"))
    ]
    return sorted(str(path.relative_to(root)) for path in found)


def draw(root: Path, count: int, seed: int) -> list[Mutant]:
    """One mutant on each of ``count`` lines, all lines as likely. A larger count begins with the same ones.

    A line's turn depends on its text alone, so an edit elsewhere draws no other mutants.
    """
    turns: list[tuple[str, str, list[Mutant]]] = []
    for path in files(root):
        source = (root / path).read_text()
        lines: dict[int, list[Mutant]] = defaultdict(list)
        for mutant in mutants_of(root, path):
            lines[mutant.line].append(mutant)
        seen: Counter[str] = Counter()
        for number, mutants in sorted(lines.items()):
            text = source.splitlines()[number - 1].strip()
            seen[text] += 1
            turn = sha256(f"{seed}/{path}/{text}/{seen[text]}".encode()).hexdigest()
            turns.append((turn, source, mutants))
    drawn: list[Mutant] = []
    for turn, source, mutants in sorted(turns, key=lambda each: each[0]):
        if len(drawn) == count:
            break
        drawn += _one_of(mutants, random.Random(turn), source)
    return drawn


def _one_of(mutants: list[Mutant], draws: random.Random, source: str) -> list[Mutant]:
    """Each kind of change is as likely, however many operators make it. Empty where none changes anything."""
    while mutants:
        family = draws.choice(sorted({mutant.family for mutant in mutants}))
        chosen = draws.choice([mutant for mutant in mutants if mutant.family == family])
        if chosen.changes(source):
            return [chosen]
        mutants = [mutant for mutant in mutants if mutant != chosen]
    return []


def named(root: Path, name: str) -> Mutant:
    path = name.partition(":")[0]
    for mutant in mutants_of(root, path):
        if mutant.name == name:
            return mutant
    raise SystemExit(f"{name} is no mutant of the code as it is now: names are those of the report")


@cache
def mutants_of(root: Path, path: str) -> list[Mutant]:
    source = (root / path).read_text()
    if not source.strip():
        return []
    spared = _spared(ast.parse(source))
    found, counts = [], dict.fromkeys(OPERATORS, 0)
    for node in ast_nodes(get_ast(source)):
        for name, operator in OPERATORS.items():
            for nth, (start, _) in enumerate(operator.mutation_positions(node)):
                mutant = Mutant(path, *start, name, counts[name], nth)
                counts[name] += 1
                if not _is_no_slip(node, name) and not any(low <= start < high for low, high in spared):
                    found.append(mutant)
    return found


def _is_no_slip(node: Any, operator: str) -> bool:
    """The ``*`` or ``/`` between parameters; a bound of thousands that is one more or less."""
    if node.type == "operator":
        return node.parent.type in ("param", "parameters")
    return operator == "NumberReplacer" and abs(ast.literal_eval(node.value)) >= ONE_OFF_BELOW


Place = tuple[int, int]


def _spared(tree: ast.Module) -> list[tuple[Place, Place]]:
    """Stretches of the source that decide nothing."""
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in _spared_nodes(tree)
    ]


def _is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """``...`` alone, after a docstring perhaps: a protocol's."""
    last = node.body[-1]
    return isinstance(last, ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is ...


def _spared_nodes(tree: ast.Module) -> Iterator[Any]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from [node.returns] if node.returns else []
            yield from [node] if node.name in ("__repr__", "__str__") or _is_stub(node) else []
        elif isinstance(node, ast.ClassDef):
            yield from node.decorator_list
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield node.test
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "_log.", "logger.")):
            yield node
