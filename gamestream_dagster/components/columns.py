"""The columns of a Postgres table as Dagster metadata."""

import dagster as dg
import sqlalchemy as sa


def column_schema(table: sa.Table) -> dg.TableSchema:
    """Names, types, keys and the meaning of each column."""
    single_key = len(table.primary_key.columns) == 1
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.type).lower(),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=single_key and column.primary_key
                ),
            )
            for column in table.columns
        ]
    )
