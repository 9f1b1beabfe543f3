"""The fence around a query: it reads the run's tables, and nothing else that is on the machine.

Polars' SQL can open files by table functions (``read_csv('/etc/passwd')`` after FROM), and by nothing else. A query is
therefore parsed by sqlglot, and is refused unless

* it is one SELECT (WITH, FROM, VALUES), SHOW TABLES, or EXPLAIN of these,
* every table in it is one of the run or of its own WITH, and nothing but tables, subqueries, VALUES and UNNEST stands
  after FROM and JOIN,
* every function in it is in the list below, and every clause one that Polars knows.

What cannot be parsed is refused. Names of columns, strings and comments may hold whatever they like.

sqlglot and Polars are two parsers, and a text that they read differently would be a hole. So Polars is never given the
user's text, but one that is spelled anew from the tokens that were checked: no comments, one kind of quotes for strings
and one for names, spaces between operators, ASCII words, no ``$$``, ``E''`` or ``{}``. Whatever Polars takes these
tokens for, it can open a file only by a name directly before a parenthesis; and there no names stand but those below,
and those that are followed by nothing but names, such as ``t(a, b)``, which cannot name a file.

Why not DuckDB without external access: it is another dialect. Of 215 queries that Polars answers, it answered 150 alike
(the README's AVG of a float32 is a float64 there; REGEXP, XOR or ARRAY_GET it does not know), and a query that somebody
has written must go on to answer what it did. Why the tokens, and not SQL that sqlglot writes from the tree: it writes
the dialects that it knows, which Polars' is not; FLOAT becomes REAL, which is another type here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sqlglot import exp


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _words(
    """
    abs acos acosd approx_quantile array_agg array_contains array_dot_product array_get array_inner_product
    array_length array_lower array_mean array_reverse array_sum array_to_string array_unique array_upper asin asind
    atan atan2 atan2d atand avg bit_and bit_count bit_length bit_not bit_or bit_xor cbrt ceil ceiling char_length
    character_length coalesce columns concat concat_ws corr cos cosd cot cotd count covar covar_pop covar_samp
    cume_dist current_date current_time current_timestamp date date_part date_trunc datetime day dayofmonth
    dayofweek dayofyear degrees dense_rank div ends_with erf exp first first_value floor generate_series greatest
    group_concat grouping grouping_id hour if ifnull initcap lag last last_value lead least left length listagg ln
    localtime localtimestamp log log10 log1p log2 lower lpad ltrim max median min minute mod month normalize now
    nth_value ntile nullif octet_length percent_rank pi pow power quantile_cont quantile_disc quarter radians range
    rank regexp_like regexp_replace replace reverse right round row_number rpad rtrim second sign sin sind
    split_part sqrt starts_with stddev stddev_samp stdev stdev_samp strftime string_agg string_to_array strpos
    strptime struct substr substring sum tan tand time timestamp trim trunc truncate unnest upper var var_samp
    variance week xor year
    """
)
"""Polars' SQL functions (2.1), all of which compute from their arguments or tell the time."""

_GRAMMAR = _words(
    """
    all and any array as between bigint binary by case cast char character cube dec decimal distinct double else except
    exclude exists extract filter float from group having if ilike in intersect interval is join like limit name not
    numeric offset on or over position precision qualify regexp rename replace rlike rollup select sets some then
    try_cast union using values varbinary varchar when where with within xor
    """
)
"""Words of the grammar, and types, that may stand before a parenthesis."""

CALLED = FUNCTIONS | _GRAMMAR

_SYMBOLS = _words(
    "( ) [ ] , . ; : :: = == <> != < > <= >= <=> + - * / // % & | ^ || ^@ ~ ~* !~ !~* ~~ ~~* !~~ !~~* -> ->>"
)

_JOINED = frozenset(".,()")

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")

_CLAUSES = _words(
    """
    alias by_name distinct expression expressions from_ group having joins limit offset on order qualify side this where
    windows with_
    """
)
"""What sqlglot calls the parts of queries that Polars knows."""

_TABLE_PARTS = frozenset({"this", "alias", "joins"})

MOST_TERMS = 250
"""Terms of one chain at most: with a thousand, Polars ends the process without a word or computes for minutes."""

_CHAINS = ("ifs", "joins")

_STATEMENTS = ("select", "with", "from", "values")

_QUERIES_ONLY = "only queries are allowed: SELECT, WITH, FROM, VALUES, SHOW TABLES or EXPLAIN."

_REMEDY = "A query reads the run's tables only; use Polars in Python to join other data."

_NO_FUNCTION = f"it is none of the functions that queries may call. {_REMEDY}"


class QueryError(ValueError):
    """A query is refused or wrong; the message says why."""


def fenced(sql: str, tables: Collection[str]) -> str:
    """Return the query spelled anew, as Polars may run it.

    Parameters
    ----------
    sql
        A query in Polars' SQL.
    tables
        Names of the tables it may read.

    Raises
    ------
    QueryError
        When it is no query, reads anything else, or cannot be parsed.
    """
    pieces = _pieces(sql)
    words = [piece.lower for piece in pieces]
    query = pieces[1 + (words[1:2] == ["analyze"]) if words[:1] == ["explain"] else 0 :]
    if [piece.lower for piece in query] != ["show", "tables"]:
        _check_calls(query)
        try:
            _check_tree(query, tables)
        except RecursionError as error:
            raise QueryError("the query is nested too deep.") from error
    return _spelled(pieces)


class _Piece(NamedTuple):
    """A token as it is spelled anew: a word, a quoted name, a text, a number or a symbol."""

    text: str
    kind: str
    follows: bool
    """Whether nothing was between it and the token before."""

    @property
    def lower(self) -> str:
        return self.text.lower()

    @property
    def is_name(self) -> bool:
        return self.kind in ("word", "name")


def _pieces(sql: str) -> list[_Piece]:
    """Return the tokens of a query, without comments and the semicolon at its end."""
    from sqlglot.errors import TokenError

    from analyses.querying.dialect import PolarsDialect

    try:
        tokens = PolarsDialect().tokenize(sql)
    except TokenError as error:
        raise QueryError("the query cannot be read: a quote or comment in it has no end.") from error
    ends = [-2, *(token.end for token in tokens)]
    pieces: list[_Piece] = []
    for token, end in zip(tokens, ends, strict=False):
        raw = sql[token.start : token.end + 1]
        pieces += _spell(token.token_type.name, token.text, raw, follows=end + 1 == token.start)
    while pieces and pieces[-1].text == ";":
        pieces.pop()
    _check_gaps(pieces)
    return pieces


def _spell(kind: str, text: str, raw: str, *, follows: bool) -> list[_Piece]:
    """Return a token as pieces; one such as ORDER BY is two."""
    if kind == "STRING":
        return [_Piece("'" + text.replace("'", "''") + "'", "text", follows)]
    if kind == "IDENTIFIER":
        return [_Piece('"' + text.replace('"', '""') + '"', "name", follows)]
    if kind == "NUMBER" and _NUMBER.fullmatch(raw):
        return [_Piece(raw, "number", follows)]
    if raw in _SYMBOLS:
        return [_Piece(raw, "symbol", follows)]
    words = raw.split()
    if words and all(_WORD.fullmatch(word) for word in words):
        return [_Piece(word, "word", follows and word is words[0]) for word in words]
    if raw.isidentifier():
        return [_Piece(f'"{raw}"', "name", follows)]
    raise QueryError(
        f"{raw!r} is refused: queries are made of names, numbers, 'texts' and operators. Put odd names of columns in "
        'double quotes ("a b").'
    )


def _check_gaps(pieces: Sequence[_Piece]) -> None:
    """Refuse ``E'x'``, ``0x10`` and the like, which Polars takes for one token and sqlglot for two."""
    for before, after in pairwise(pieces):
        is_prefix = before.kind == "word" and after.kind in ("text", "name")
        is_suffix = before.kind == "number" and after.kind != "symbol"
        if after.follows and (is_prefix or is_suffix):
            raise QueryError(
                f"{before.text + after.text!r} is refused: strings with prefixes and numbers with letters are not "
                "known here. If it is meant to be two words, put a space between them."
            )
        if ";" in (before.text, after.text):
            raise QueryError("one query at a time: more follows after the semicolon.")


def _spelled(pieces: Sequence[_Piece]) -> str:
    """Return the text that is parsed and run: its tokens apart, but for dots, commas and parentheses as they were."""
    spelled: list[str] = []
    for before, piece in pairwise([_Piece("", "", False), *pieces]):
        is_joined = piece.follows and not _JOINED.isdisjoint((before.text, piece.text))
        spelled += [piece.text] if is_joined or not spelled else [" ", piece.text]
    return "".join(spelled)


def _check_calls(pieces: Sequence[_Piece]) -> None:
    """Refuse any name before a parenthesis that is neither a function, nor grammar, nor that of a list of columns."""
    for at, (name, after) in enumerate(pairwise(pieces)):
        is_known = name.kind == "word" and name.lower in CALLED
        if name.is_name and after.text == "(" and not is_known and not _is_column_list(pieces[at + 2 :]):
            raise QueryError(f"{name.text + '()'!r} is refused: {_NO_FUNCTION}")


def _is_column_list(pieces: Sequence[_Piece]) -> bool:
    """Whether there are nothing but names up to the next parenthesis: ``AS t(a, b)``."""
    for at, piece in enumerate(pieces):
        if piece.text == ")":
            return at % 2 == 1
        if not (piece.is_name if at % 2 == 0 else piece.text == ","):
            return False
    return False


def _check_tree(pieces: Sequence[_Piece], tables: Collection[str]) -> None:
    """Refuse what is no query, reads anything but these tables, or has parts that are not known here."""
    from sqlglot import exp

    tree = _parse(pieces)
    _check_depth(tree)
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    for node in tree.walk():
        if isinstance(node, exp.Anonymous) and node.name.lower() not in FUNCTIONS:
            raise QueryError(f"'{node.name}()' is refused: {_NO_FUNCTION}")
        if isinstance(node, (exp.From, exp.Join)) and not isinstance(
            node.this, (exp.Table, exp.Subquery, exp.Values, exp.Unnest)
        ):
            raise QueryError(f"{_shown(node.this)} is refused: only tables and subqueries can be read. {_REMEDY}")
        if isinstance(node, exp.Table):
            _check_table(node, tables, own)
        if isinstance(node, exp.Query):
            _check_parts(node, _CLAUSES)


def _check_depth(tree: exp.Expr) -> None:
    """Refuse what is nested, or chained, so long that Polars, which follows chains by recursion, runs out of stack."""
    from sqlglot import exp

    waiting = [(tree, 0)]
    while waiting:
        node, above = waiting.pop()
        chained = [value for name in _CHAINS if isinstance(value := node.args.get(name), list)]
        depth = above + 1 + sum(map(len, chained))
        if isinstance(node, exp.With):
            depth += len(node.expressions)
        if depth > MOST_TERMS:
            raise QueryError(
                f"more than {MOST_TERMS} terms are chained or nested in one another (operators, WHEN, JOIN, UNION, "
                "WITH). Put values into IN (...), or ask in several queries."
            )
        waiting += [(child, depth) for child in node.iter_expressions()]


def _parse(pieces: Sequence[_Piece]) -> exp.Expr:
    from sqlglot import exp
    from sqlglot.errors import ParseError

    from analyses.querying.dialect import parsed

    if next((piece.lower for piece in pieces if piece.text != "("), "") not in _STATEMENTS:
        raise QueryError(_QUERIES_ONLY)
    try:
        tree = parsed(_spelled(pieces))
    except ParseError as error:
        first = error.errors[0]
        near = " ".join(f"{first['start_context']}{first['highlight']}{first['end_context']}".split())
        raise QueryError(
            f"the query cannot be parsed: {first['description'].rstrip('.')}, near {near!r}. Names that are words of "
            'SQL need double quotes ("select").'
        ) from error
    if not isinstance(tree, (exp.Query, exp.Values)):
        raise QueryError(_QUERIES_ONLY)
    return tree


def _check_table(table: exp.Table, tables: Collection[str], own: Collection[str]) -> None:
    from sqlglot import exp

    if not isinstance(table.this, exp.Identifier) or table.args.get("db"):
        raise QueryError(f"{_shown(table)} is refused: it is no table of the run. {_REMEDY}")
    if table.name not in tables and table.name not in own:
        raise QueryError(f"there is no table {table.name!r}. Tables: {', '.join(sorted(tables))}.")
    _check_parts(table, _TABLE_PARTS)


def _check_parts(node: exp.Expr, allowed: Collection[str]) -> None:
    for part, value in node.args.items():
        if value and part not in allowed:
            raise QueryError(f"a clause ({part.strip('_')}) is refused: it is none that queries here can have.")


def _shown(node: exp.Expr) -> str:
    from sqlglot.errors import ErrorLevel

    return repr(node.sql(comments=False, unsupported_level=ErrorLevel.IGNORE))
