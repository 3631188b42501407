"""From the text of a filter to its tree. `grammar.lark` holds the grammar."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.visitors import v_args

from recmesh_kit.filters.errors import invalid, quoted
from recmesh_kit.filters.tree import And, Bare, Literal, Not, Or, Restriction, Syntax, Tree

MAX_LENGTH = 4096
"""Characters of a filter."""
MAX_DEPTH = 20
"""Parentheses within parentheses."""

_QUOTES = "\"'"
_KEYWORDS = ("AND", "OR", "NOT")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OPEN_END = re.compile(r"(?<!\\)(?:\\\\)*\*\Z")
_NESTING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[()]""", re.DOTALL)

_Options = Tree[Literal]
"""What stands behind a comparator: one value, or several in parentheses."""


def parse(text: str) -> Syntax | None:
    """Reads a filter.

    Returns:
        Its tree; None when it is blank, which selects everything.

    Raises:
        InvalidArgument: It breaks the grammar, is too long or is nested too deeply.
    """
    if len(text) > MAX_LENGTH:
        message = f"the filter has {len(text):,} characters, at most {MAX_LENGTH:,} are allowed"
        raise invalid(message, MAX_LENGTH + 1)
    _check_nesting(text)
    try:
        # What the builder's `start` answers.
        return cast("Syntax | None", _parser().parse(text))
    except UnexpectedInput as error:
        raise _explain(error, text) from None


@cache
def _parser() -> Lark:
    grammar = resources.files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", transformer=_Builder(), maybe_placeholders=False)


def _check_nesting(text: str) -> None:
    """Before anything is built, so that nothing that walks a tree runs out of stack."""
    depth = 0
    for found in _NESTING.finditer(text):
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if depth > MAX_DEPTH:
            message = f"parentheses are nested more than {MAX_DEPTH} deep"
            raise invalid(message, found.start() + 1)


def _explain(error: UnexpectedInput, text: str) -> Exception:
    """Says what was not expected, and what was instead."""
    if isinstance(error, UnexpectedCharacters):
        at = error.pos_in_stream
        assert at is not None
        what = "the quote is not closed" if text[at] in _QUOTES else f"{text[at]!r} is unexpected"
        return invalid(what, at + 1)
    assert isinstance(error, UnexpectedToken)
    expected = error.accepts or error.expected
    if "VALUE" in expected:
        wanted = "a value"
    elif "WORD" in expected and not {"AND", "MINUS"} <= expected:
        wanted = "a field or a value"
    elif "RPAR" in expected:
        wanted = "')'"
    else:
        wanted = "AND, OR or the end"
    if error.token.type == "$END":
        return invalid(f"the filter ends where {wanted} is expected", len(text) + 1)
    return invalid(f"{quoted(error.token)} stands where {wanted} is expected", _column(error.token))


@v_args(inline=True)
class _Builder(Transformer[Token, object]):
    """Makes the tree while the parser works: each method gets what a rule of the same name has found."""

    def start(self, tree: Syntax | None = None) -> Syntax | None:
        return tree

    def conjunction(self, *parts: Tree[object]) -> Tree[object]:
        return And(_flat(And, parts))

    sequence = conjunction

    def disjunction(self, *parts: Tree[object]) -> Tree[object]:
        return Or(_flat(Or, parts))

    def negation(self, part: Tree[object]) -> Tree[object]:
        return Not(part)

    def path(self, *tokens: Token) -> tuple[Token, ...]:
        if tokens[0] in _KEYWORDS:
            message = f"'{tokens[0]}' stands where a field or a value is expected"
            raise invalid(message, _column(tokens[0]))
        return tokens

    def literal(self, token: Token) -> Literal:
        if token in _KEYWORDS:
            message = f"a value is missing; if {token} is meant, write it in quotes"
            raise invalid(message, _column(token))
        return _literal(token)

    def bare(self, path: tuple[Token, ...]) -> Bare:
        if len(path) > 1 and any(token[0] in _QUOTES for token in path):
            raise invalid("a field without a comparison", _column(path[0]))
        # More than one part is a number such as 2.5, most likely.
        return Bare(_literal(Token.new_borrow_pos("WORD", ".".join(path), path[0])))

    def restriction(self, path: tuple[Token, ...], operator: Token, options: _Options) -> Syntax:
        if not isinstance(options, Literal) and operator not in ("=", ":"):
            raise invalid(f"several values go with = and : only, not {operator}", _column(operator))
        names = tuple(_name(token) for token in path)
        return _distribute(names, operator, options, _column(path[0]))

    def call(self, token: Token) -> Syntax:
        raise invalid(f"there is no function {quoted(token)}", _column(token))


def _flat(kind: type[And[object] | Or[object]], parts: tuple[object, ...]) -> tuple[object, ...]:
    """`a AND (b AND c)` is `a AND b AND c`."""
    return tuple(
        piece for part in parts for piece in (part.parts if isinstance(part, kind) else (part,))
    )


def _distribute(path: tuple[str, ...], operator: Token, options: _Options, column: int) -> Syntax:
    """`genres:("Drama" OR "Comedy")` is `genres:"Drama" OR genres:"Comedy"`."""
    match options:
        case And(parts):
            return And(tuple(_distribute(path, operator, part, column) for part in parts))
        case Or(parts):
            return Or(tuple(_distribute(path, operator, part, column) for part in parts))
        case Not(part):
            return Not(_distribute(path, operator, part, column))
        case _:
            return Restriction(path, str(operator), options, column, _column(operator))


def _literal(token: Token) -> Literal:
    quoted = token[0] in _QUOTES
    body = token[1:-1] if quoted else str(token)
    start = len(body) > 1 and body.startswith("*")
    end = _OPEN_END.search(body) is not None
    text = body[start : len(body) - end]
    return Literal(_ESCAPE.sub(r"\1", text), start, end, _column(token))


def _name(token: Token) -> str:
    """Of a field or a key, in which `*` means nothing special."""
    return _ESCAPE.sub(r"\1", token[1:-1]) if token[0] in _QUOTES else str(token)


def _column(token: Token) -> int:
    assert token.start_pos is not None
    return token.start_pos + 1
