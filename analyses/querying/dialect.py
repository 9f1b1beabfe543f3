"""Polars' SQL as sqlglot reads it. Importing sqlglot takes a tenth of a second: only where there is a query to read.

sqlglot's parser is configured by its tokens alone: compiled builds of it (``sqlglot[c]``) cannot be subclassed.
"""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel
from sqlglot.parser import Parser
from sqlglot.tokens import Tokenizer, TokenType  # pyright: ignore[reportPrivateImportUsage]

_OTHER_STATEMENTS = {*Parser.STATEMENT_PARSERS} - {TokenType.DESC}


class PolarsTokenizer(Tokenizer):
    """Strings in single quotes, names in double quotes or backticks, no escapes but doubled quotes."""

    IDENTIFIERS: ClassVar = ['"', "`"]
    # No statement's rest is swallowed unread.
    COMMANDS: ClassVar = set()
    KEYWORDS: ClassVar = {
        # Here /*+ begins a comment like any other, DIV is a function, and columns may be called "grant" or "glob".
        **{
            word: kind
            for word, kind in Tokenizer.KEYWORDS.items()
            if kind not in _OTHER_STATEMENTS and word not in ("/*+", "DIV", "GLOB", "RETURNING")
        },
        "==": TokenType.EQ,
        "//": TokenType.DIV,
        "<=>": TokenType.NULLSAFE_EQ,
        **dict.fromkeys(("~", "!~", "~*", "!~*", "REGEXP"), TokenType.RLIKE),
        **dict.fromkeys(("~~", "!~~", "~~*", "!~~*", "^@"), TokenType.LIKE),
        # The generic parser has no XOR, and for what is read it does not matter which of the two it is.
        "XOR": TokenType.OR,
    }


class PolarsDialect(Dialect):
    """sqlglot's generic grammar with the tokens of Polars; nothing is ever written in it."""

    Tokenizer = PolarsTokenizer

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """Return a path as it is: to parse it would be to warn of it."""
        return path


def parsed(text: str) -> exp.Expr | None:
    """Return the tree of a query.

    Raises
    ------
    sqlglot.errors.ParseError
        When it cannot be parsed.
    """
    dialect = PolarsDialect()
    tokens = dialect.tokenize(text)
    for token in tokens:
        if token.token_type == TokenType.R_PAREN:
            # Functions are to stay what they are called: sqlglot counts the arguments of those that it knows.
            token.comments.append(exp.SQLGLOT_ANONYMOUS)
    return dialect.parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, text)[0]
