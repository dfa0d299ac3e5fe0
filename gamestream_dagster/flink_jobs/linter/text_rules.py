"""The rules that need no planner: each looks at the shapes of one session and yields findings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from gamestream_dagster.flink_jobs.linter.findings import Finding
from gamestream_dagster.flink_jobs.linter.grammar import odd_place
from gamestream_dagster.flink_jobs.linter.lexemes import Lexeme, SqlStatement
from gamestream_dagster.flink_jobs.linter.shapes import FLOATS, WINDOW_COLUMNS, Shapes, computes, is_view
from gamestream_dagster.flink_jobs.linter.startup import start_at_latest
from gamestream_dagster.flink_jobs.linter.statements import Kind
from gamestream_dagster.flink_jobs.linter.tables import (
    NAMES,
    Table,
    closing,
    created,
    last_name,
    odd_clause,
    options_of,
    query_place,
    setting,
)
from gamestream_dagster.flink_jobs.spec.sql_text import PLACEHOLDER, TokenKind

_NARROW = frozenset({"INT", "INTEGER", "SMALLINT", "TINYINT"})
_TTL = "table.exec.state.ttl"
_SECRET = re.compile(
    r"password|passwd|passphrase|secret|token|credential|(api|access|private)[._-]?key|jaas|user-info", re.IGNORECASE
)
_JARS = frozenset({"pipeline.jars", "pipeline.classpaths"})
_NO_SECRET = re.compile(r"credentials?[.-]source$", re.IGNORECASE)
_USER_INFO = re.compile(r"://[^/\s:@]+:[^/\s@]+@|[?&;]password=[^&;\s]", re.IGNORECASE)
_CLOCKS = frozenset({"CURRENT_TIMESTAMP", "LOCALTIMESTAMP", "CURRENT_TIME", "LOCALTIME", "CURRENT_DATE"})
_CLOCK_CALLS = frozenset({"PROCTIME", "NOW", "UNIX_TIMESTAMP", "CURRENT_ROW_TIMESTAMP"})
_WINDOWS = frozenset({"TUMBLE", "HOP", "CUMULATE", "SESSION"})
_COMPARISONS = frozenset({"<", ">", "="})


def narrow_sum(shapes: Shapes) -> Iterator[Finding]:
    """GS02: the type of a source's column is followed to the SUM, unless the session gives the name another value."""
    for query in shapes.queries:
        for place, word in enumerate(query.words[:-1]):
            if word != "SUM" or query.words[place + 1] != "(":
                continue
            inside = query.parts[place + 2 : closing(query.parts, place + 1)]
            narrow = _narrow(inside, shapes)
            if narrow:
                message = f"SUM({''.join(part.text for part in inside) if len(inside) < 4 else '...'}) adds {narrow}"
                yield Finding(query.file, query.parts[place].line, "GS02", message)


def _narrow(inside: tuple[Lexeme, ...], shapes: Shapes) -> str | None:
    words = [part.word for part in inside]
    if words[:2] in (["CAST", "("], ["TRY_CAST", "("]) and words[-1] == ")":
        return words[-2] if words[-2] in _NARROW else None
    if not inside or inside[-1].kind not in NAMES or any(part.text not in "." for part in inside[1:-1:2]):
        return None
    return _column_type(words[-1], shapes, _NARROW)


def _column_type(name: str, shapes: Shapes, wanted: frozenset[str], depth: int = 0) -> str | None:
    """The type of a name if it is one of `wanted`: from the aliases of the session, else from the sources' columns."""
    expressions = shapes.aliases.get(name, [])
    for expression in expressions if depth < 8 else []:
        words = [part.word for part in expression]
        if words[:1] in (["CAST"], ["TRY_CAST"]) and closing(expression, 1) == len(expression) - 1:
            found = words[-2] if words[-2] in wanted else None
        elif len(expression) in (1, 3) and expression[-1].kind in NAMES and words[-1] != name:
            found = _column_type(words[-1], shapes, wanted, depth + 1)
        else:  # one float makes the whole of an expression a float
            typed = itertools.pairwise(words)
            found = next((kind for cast, kind in typed if cast == "AS" and kind in wanted & FLOATS), None)
        if found:
            return found
    if any(len(expression) > 3 for expression in expressions):
        return None  # computed anew under the same name
    used = {word for query in shapes.queries for word in query.words}
    sources = [table for table in shapes.all_tables if table.name not in shapes.sinks]
    near = [table for table in sources if table.name in used] or sources
    return next((table.types[name] for table in near if table.types.get(name) in wanted), None)


def forgotten_state(shapes: Shapes) -> Iterator[Finding]:
    """GS03: a TTL, by setting or by hint, where an aggregate, an OVER or a ranking has no window that ends it."""
    views = {created(one): one for one in shapes.queries if is_view(one)}
    for moment in shapes.course.moments:
        below = _with_views(moment.statement, views) if computes(moment.statement) else []
        ttl = moment.settings.get(_TTL)
        if ttl is None or re.fullmatch(r"0+\s*\w*", ttl.value.strip()) or not any(_unbounded(one) for one in below):
            continue
        yield Finding(ttl.file, ttl.line, "GS03", f"{_TTL} = {ttl.value} while the state below it must last")
    if not any(_unbounded(query) for query in shapes.queries):
        return
    for query in shapes.queries:
        for part in query.parts:
            if part.kind is TokenKind.HINT and "STATE_TTL" in part.text.upper():
                yield Finding(query.file, part.line, "GS03", "a STATE_TTL hint on state that must last")


def _with_views(query: SqlStatement, views: dict[str, SqlStatement]) -> list[SqlStatement]:
    """A query and the views that it reads, at any depth."""
    found, names = [query], set(query.named)
    while more := [views[name] for name in names & views.keys() if views[name] not in found]:
        found += more
        names = set[str]().union(*(one.named for one in more))
    return found


def _unbounded(query: SqlStatement) -> bool:
    words = query.words
    grouped = any(
        words[place : place + 2] in (("GROUP", "BY"), ("PARTITION", "BY"))
        and not WINDOW_COLUMNS & set(words[place + 2 : place + 12])
        for place in range(len(words))
    )
    return grouped or (any(word == "ROW_NUMBER" for word in words) and not WINDOW_COLUMNS & set(words))


def no_total_order(shapes: Shapes) -> Iterator[Finding]:
    """GS04: no column of the order is one that the rows are grouped or partitioned by.

    The first row by processing time is the one that came first: no two rows tie.
    """
    clocks = {name for table in shapes.all_tables for name in table.processing_time}
    for ranking in shapes.rankings:
        if ranking.order and clocks.issuperset(ranking.order):
            continue
        free = [name for name in ranking.order if name not in ranking.partition]
        if any(_is_key(name, shapes) for name in free):
            continue
        message = f"ORDER BY {', '.join(ranking.order).lower()} does not tell rows that tie apart"
        yield Finding(ranking.statement.file, ranking.line, "GS04", message)


def _is_key(name: str, shapes: Shapes, depth: int = 0) -> bool:
    """A key by name, or another name for one, or a CAST of one. A name that is also an aggregate's is none."""
    expressions = shapes.aliases.get(name, [])
    if any(expression and expression[0].word in ("MAX", "MIN", "SUM", "COUNT", "AVG") for expression in expressions):
        return False
    if name in shapes.keys:
        return True
    for expression in expressions if depth < 8 else []:
        words = [part.word for part in expression]
        plain = words[-1] if len(words) in (1, 3) else words[2] if words[:2] == ["CAST", "("] else ""
        if plain and plain != name and _is_key(plain, shapes, depth + 1):
            return True
    return False


def float_order(shapes: Shapes) -> Iterator[Finding]:
    """GS06: a float in a ranking's order, or beside <, > or =."""
    for ranking in shapes.rankings:
        for name in ranking.order:
            if kind := name if name in FLOATS else _column_type(name, shapes, FLOATS):
                message = f"ranked by {name.lower()}, a {kind}"
                yield Finding(ranking.statement.file, ranking.line, "GS06", message)
    for query in shapes.queries:
        for place, part in enumerate(query.parts):
            if part.text not in _COMPARISONS and part.word != "BETWEEN":
                continue
            for name, kind in _beside(query.parts, place, shapes):
                yield Finding(query.file, part.line, "GS06", f"compares {name}, a {kind}")


def _beside(parts: tuple[Lexeme, ...], place: int, shapes: Shapes) -> Iterator[tuple[str, str]]:
    """The floats left and right of a comparison: columns by name, and casts."""
    left, right = parts[place - 1 : place], parts[place + 1 : place + 2]
    if left and left[0].kind in NAMES and (kind := _column_type(left[0].word, shapes, FLOATS)):
        yield left[0].text, kind
    if left and left[0].text == ")" and place > 2 and parts[place - 2].word in FLOATS:
        yield "a CAST", parts[place - 2].word
    if not right or right[0].kind not in NAMES:
        return
    if right[0].word in ("CAST", "TRY_CAST"):
        kind = parts[closing(parts, place + 2) - 1].word
        if kind in FLOATS:
            yield "a CAST", kind
        return
    name = last_name(parts[place + 1 :])
    if kind := _column_type(name, shapes, FLOATS):
        yield name.lower(), kind


def clock_in_result(shapes: Shapes) -> Iterator[Finding]:
    """GS07: the clock of the machine in a query. Lookup joins and the order of a deduplication may use it.

    A view may pass the column on under its own name, or make it anew: what is made of it is found where it is used.
    """
    columns = {name for table in shapes.all_tables for name in table.processing_time}
    for query in shapes.queries:
        words = query.words
        for place, part in enumerate(query.parts):
            if part.kind not in NAMES or words[place - 2 : place] in (("ORDER", "BY"), ("AS", "OF")):
                continue
            qualified = (
                place >= 4 and query.parts[place - 1].text == "." and words[place - 4 : place - 2] == ("AS", "OF")
            )
            if is_view(query) and (_passed_on(words, place) or _made_anew(words, place, columns)):
                continue
            called = part.word in _CLOCK_CALLS and words[place + 1 : place + 3] == ("(", ")")
            if called or part.text.upper() in _CLOCKS or (part.word in columns and not qualified):
                yield Finding(query.file, part.line, "GS07", f"{part.text} is the time of reading")


def _passed_on(words: tuple[str, ...], place: int) -> bool:
    """A column of a SELECT list as it stands: no call, no expression, no other name."""
    as_it_stands = words[place - 1] in ("SELECT", ",") and words[place + 1 : place + 2] in ((",",), ("FROM",))
    return as_it_stands and _clause_of(words, place) == "SELECT"


def _made_anew(words: tuple[str, ...], place: int, columns: set[str]) -> bool:
    """`PROCTIME() AS x`, or its name, where x is such a column of a table: an UNNEST takes a clock's meaning away."""
    return any(
        words[start : start + 4] == ("PROCTIME", "(", ")", "AS")
        and words[start + 4] in columns
        and words[start - 1] in ("SELECT", ",")
        and words[start + 5 : start + 6] in ((",",), ("FROM",))
        and _clause_of(words, start) == "SELECT"
        for start in (place, place - 4)
        if start > 0
    )


def _clause_of(words: tuple[str, ...], place: int) -> str:
    """The clause that a word stands in, or `(`; calls that were closed before it do not count."""
    closed = 0
    for word in reversed(words[:place]):
        if word == ")":
            closed += 1
        elif closed:
            closed -= word == "("
        elif word in ("SELECT", "FROM", "BY", "WHERE", "("):
            return word
    return ""


def window_without_watermark(shapes: Shapes) -> Iterator[Finding]:
    """GS08: a window whose rows come from tables none of which has a watermark."""
    bodies = {created(one): one for one in shapes.queries if is_view(one)}
    for query in shapes.queries:
        for place, line in _windows(query):
            tables = _tables_below(query, shapes, bodies, frozenset())
            if tables and not any(table.watermark or table.processing_time for table in tables):
                names = ", ".join(sorted({table.name.lower() for table in tables}))
                message = f"{query.parts[place].text} over {names}, where no watermark is declared"
                yield Finding(query.file, line, "GS08", message)


def _windows(query: SqlStatement) -> Iterator[tuple[int, int]]:
    for place, word in enumerate(query.words[:-2]):
        table_function = word in _WINDOWS and query.words[place + 1] == "("
        if table_function or (word == "RANGE" and query.words[place + 1 : place + 3] == ("BETWEEN", "INTERVAL")):
            yield place, query.parts[place].line


def _tables_below(
    query: SqlStatement, shapes: Shapes, views: dict[str, SqlStatement], seen: frozenset[str]
) -> list[Table]:
    names = set(query.words) - seen
    below = [table for table in shapes.all_tables if table.name in names - shapes.sinks]
    for name in names & views.keys():
        if views[name] is not query:
            below += _tables_below(views[name], shapes, views, seen | {name})
    return below


def secrets(shapes: Shapes) -> Iterator[Finding]:
    """GS09: an option whose name promises a secret and whose value is written out; its value is never shown."""
    for statement in shapes.session.statements:
        options = list(filter(None, [setting(statement)])) if statement.kind is Kind.SET else []
        options += options_of(statement.parts, statement.file).items() if statement.kind is not Kind.SET else []
        options += [pair for part in statement.parts for pair in options_of(part.hinted, statement.file).items()]
        for option, (value, _, line) in options:
            named = _SECRET.search(option) and not _NO_SECRET.search(option)
            if PLACEHOLDER.search(value) or not value:
                continue
            if named or _USER_INFO.search(value):
                yield Finding(statement.file, line, "GS09", f"the option '{option}' holds a secret")


def add_jar(shapes: Shapes) -> Iterator[Finding]:
    """GS10: ADD JAR, also as an option and behind a function."""
    for statement in shapes.session.statements:
        jar = ""
        if statement.kind is Kind.JAR or (statement.kind is Kind.FUNCTION and "JAR" in statement.words):
            jar = next((part.value for part in reversed(statement.parts) if part.kind is TokenKind.STRING), "")
        elif statement.kind is Kind.SET and (pair := setting(statement)) and pair[0] in _JARS:
            jar = pair[1].value
        if jar:
            yield Finding(statement.file, statement.line, "GS10", f"adds {jar.rsplit('/', 1)[-1]} to the session")


def drop_table(shapes: Shapes) -> Iterator[Finding]:
    """GS11: a table that goes, alone, with its database, or to be replaced."""
    for statement in shapes.session.statements:
        words = statement.words
        if statement.kind is Kind.DROP and {"TABLE", "DATABASE"} & set(words[1:3]):
            name = next(part.word for part in reversed(statement.parts) if part.word not in ("CASCADE", "RESTRICT"))
            yield Finding(statement.file, statement.line, "GS11", f"drops {name.lower()} at each deployment")
        elif statement.kind is Kind.TABLE and (words[0] == "REPLACE" or words[1:3] == ("OR", "REPLACE")):
            name = created(statement).lower()
            yield Finding(statement.file, statement.line, "GS11", f"replaces {name} at each deployment")


def parallel_board(shapes: Shapes) -> Iterator[Finding]:
    """GS14: several writers of a table whose key is a rank."""
    ranked = {"RNK", "RANK", "POSITION"} | shapes.rank_names
    for table in shapes.versions:
        option = table.options.get("sink.parallelism")
        if option and option.value.strip() != "1" and len(table.key) == 1 and table.key[0] in ranked:
            message = f"{table.name.lower()} is keyed by {table.key[0].lower()} and written by {option.value} tasks"
            yield Finding(option.file, option.line, "GS14", message)


def not_understood(shapes: Shapes) -> Iterator[Finding]:
    """GS17: a statement of no kind that the rules judge, or one whose effect cannot be followed."""
    for statement, why in shapes.course.unknown:
        yield Finding(statement.file, statement.line, "GS17", f"`{statement.shown}`: {why}")
    for statement in shapes.session.statements:
        group = _group_of_options(statement) if shapes.job is None else None
        if group:  # in a job folder the values of placeholders are known
            message = f"`{statement.shown}`: {group.text} stands for options that cannot be told"
            yield Finding(statement.file, group.line, "GS17", message)
        if statement.kind is Kind.FUNCTION:
            message = f"`{statement.shown}`: functions are not loaded, what calls this one is judged by its text alone"
            yield Finding(statement.file, statement.line, "GS17", message)


def _group_of_options(statement: SqlStatement) -> Lexeme | None:
    """A placeholder in the place of whole options, as in `WITH (${options})`."""
    for before, part in itertools.pairwise(statement.parts):
        if part.kind is TokenKind.PLACEHOLDER and before.text in ("(", ",") and statement.kind is Kind.TABLE:
            return part
    return None


def odd_statements(shapes: Shapes) -> Iterator[tuple[SqlStatement, Finding]]:
    """GS17 for what cannot be SQL, as far as the text tells; where the planner was asked, it knows better."""
    for statement in shapes.session.statements:
        if computes(statement):
            found = odd_place(statement.parts[query_place(statement) or 0 :])
            if found:
                part, why = found
                message = f"`{statement.shown}`: near `{part.text}`, which {why}"
                yield statement, Finding(statement.file, part.line, "GS17", message)
        if statement.kind is Kind.TABLE and (clause := odd_clause(statement)):
            message = f"`{statement.shown}`: `{clause.text}` begins no clause of a table"
            yield statement, Finding(statement.file, clause.line, "GS17", message)


def no_ledger(shapes: Shapes) -> Iterator[Finding]:
    """GS18: a job whose outputs are recomputed, and that counts its events in no ledger."""
    job = shapes.job
    if job is None:
        return
    proven = [{output.source} if output.source else set(job.reads) for output in job.outputs if output.proven]
    lacking = sorted({topic for topics in proven if not topics.intersection(job.ledgers) for topic in topics})
    if not lacking:
        return
    last = shapes.session.statements[-1]
    message = (
        f"`sources` define no views `checked_...` and `counted_...` over {', '.join(lacking)}, so no event can be "
        "accounted for"
    )
    yield Finding(last.file, last.line, "GS18", f"{job.name}/job.yaml: {message}")


def name_as_key(shapes: Shapes) -> Iterator[Finding]:
    """GS15: PARTITION BY a name alone."""
    for ranking in shapes.rankings:
        if len(ranking.partition) == 1 and ranking.partition[0].endswith("_NAME"):
            message = f"PARTITION BY {ranking.partition[0].lower()} merges what has one name"
            yield Finding(ranking.statement.file, ranking.line, "GS15", message)


TEXT_RULES: dict[str, Callable[[Shapes], Iterator[Finding]]] = {
    "GS01": start_at_latest,
    "GS02": narrow_sum,
    "GS03": forgotten_state,
    "GS04": no_total_order,
    "GS06": float_order,
    "GS07": clock_in_result,
    "GS08": window_without_watermark,
    "GS09": secrets,
    "GS10": add_jar,
    "GS11": drop_table,
    "GS14": parallel_board,
    "GS15": name_as_key,
    "GS17": not_understood,
    "GS18": no_ledger,
}
