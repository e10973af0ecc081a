"""Statements that are compiled once and run by the driver's own cursor, for the requests that each client makes.

SQLAlchemy's execution takes twice as long, most of it for features that these statements do not need.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as text in one dialect, with conversions of values.

    `constants` are the values of parameters that are part of the statement. `names`: of all parameters, in the
    order of the text. `parameters` and `columns`: the position and the conversion of each value that is converted.
    """

    text: str
    constants: Mapping[str, Any]
    names: Sequence[str]
    parameters: Sequence[tuple[int, Convert]]
    make_row: Callable[[Sequence[Any]], Any] | None
    columns: Sequence[tuple[int, Convert]]

    def bind(self, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return the parameters for the driver."""
        given = {**self.constants, **values} if self.constants else values
        bound = [*map(given.__getitem__, self.names)]
        for number, convert in self.parameters:
            bound[number] = convert(bound[number])
        return tuple(bound)

    def row(self, found: Sequence[Any]) -> Any:
        """Return a row of the driver as a named tuple."""
        assert self.make_row is not None, "the statement returns no rows"
        if self.columns:
            found = [*found]
            for number, convert in self.columns:
                found[number] = convert(found[number])
        return self.make_row(found)


class Statement:
    """A statement of SQLAlchemy Core whose values are all bound by name, each time the same names.

    Lists of values (`IN`) are not supported.
    """

    def __init__(self, statement: sa.Select[*tuple[Any, ...]] | sa.sql.dml.UpdateBase) -> None:
        self._statement = statement
        self._compiled: dict[str, Compiled] = {}

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the first row, its columns by name, or None. Raises what `connection.execute` raises."""
        compiled = self.compiled(connection.dialect, values)
        rows, _ = execute(connection, compiled, values)
        return compiled.row(rows[0]) if rows else None

    def all(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """Return all rows, their columns by name. Raises what `connection.execute` raises."""
        compiled = self.compiled(connection.dialect, values)
        return [compiled.row(row) for row in execute(connection, compiled, values)[0]]

    def count(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Execute the statement, and return how many rows it matched. Raises what `connection.execute` raises."""
        return execute(connection, self.compiled(connection.dialect, values), values)[1]

    def compiled(self, dialect: Dialect, names: Mapping[str, Any]) -> Compiled:
        """Return the statement in a dialect. `names` has the names of all values."""
        if (known := self._compiled.get(dialect.name)) is None:
            known = self._compiled[dialect.name] = self._compile(dialect, names)
        return known

    def _compile(self, dialect: Dialect, names: Mapping[str, Any]) -> Compiled:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=[*names])
        in_order, binds = compiled.positiontup, compiled.binds
        parameters = [binds[name].type.dialect_impl(dialect).bind_processor(dialect) for name in in_order]
        constants = {name: binds[name].effective_value for name in in_order if name not in names}
        columns = [*self._statement.exported_columns]
        results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        column_names = [column.name for column in columns]
        row: Any = namedtuple("row", column_names)  # type: ignore[misc]
        make = partial(tuple.__new__, row) if columns else None  # as `row._make` does, without a call of Python
        return Compiled(str(compiled), constants, in_order, _needed(parameters), make, _needed(results))


def _needed(conversions: Iterable[Convert | None]) -> Sequence[tuple[int, Convert]]:
    return [(number, convert) for number, convert in enumerate(conversions) if convert is not None]


def execute(
    connection: Connection, compiled: Compiled, values: Mapping[str, Any]
) -> tuple[Sequence[Sequence[Any]], int]:
    """Execute a statement, and return its rows and how many it matched."""
    parameters = compiled.bind(values)
    cursor = None
    try:
        cursor = connection.connection.cursor()
        cursor.execute(compiled.text, parameters)
        rows = cursor.fetchall() if compiled.make_row else ()
        count = cursor.rowcount
        cursor.close()
    except BaseException as error:  # noqa: BLE001 - raised there, once it is known whether the connection is lost
        connection._handle_dbapi_exception(error, compiled.text, parameters, cursor, None)
    return rows, count
