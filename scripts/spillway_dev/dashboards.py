"""The Grafana dashboards of the chart, as far as they can be read without Grafana: panels, variables, queries.

Grafana replaces `$name` in a query by what is chosen; here everything is chosen unless told otherwise.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

from .paths import CHART

FOLDER = CHART / "dashboards"
NAMES = ("fleet", "pools", "operator")
LABEL_VALUES = re.compile(r"label_values\((.*), (\w+)\)")
RATE_INTERVAL = "$__rate_interval"  # at least four scrapes, Grafana says


@dataclass(frozen=True)
class Query:
    """One query of a panel, with the variables still in it."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """What a panel asks and how it is to be shown."""

    dashboard: str
    title: str
    kind: str
    unit: str
    queries: tuple[Query, ...]
    raw: dict[str, Any]


def load(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def panels(name: str) -> list[Panel]:
    return [Panel(name, one["title"], one["type"], one["fieldConfig"]["defaults"]["unit"],
                  tuple(Query(target["expr"], target["legendFormat"]) for target in one["targets"]), one)
            for one in load(name)["panels"]]


def variables(name: str) -> list[dict[str, Any]]:
    return load(name)["templating"]["list"]


def substitute(expression: str, values: Mapping[str, str], rate_interval: str) -> str:
    """The query as Grafana would send it."""
    text = expression.replace(RATE_INTERVAL, rate_interval)
    for name, value in values.items():
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _: value, text)
    return text


def resolve(name: str, labels_of: Callable[[str], list[dict[str, str]]], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """A value for each variable of a dashboard: what is chosen, else All.

    `labels_of` answers the label sets of the series that a selector finds. All is the variable's own
    value for it, or, as in Grafana, every value that its query finds.
    """
    found: dict[str, str] = {}
    for one in variables(name):
        if one["type"] == "datasource":
            continue
        selector, label = variable_query(one)
        every = one.get("allValue")
        if every is None:
            values = {labels[label] for labels in labels_of(substitute(selector, found, "")) if label in labels}
            every = "|".join(sorted(re.escape(value).replace("\\", r"\\") for value in values))
        found[one["name"]] = (chosen or {}).get(one["name"], every)
    return found


def variable_query(variable: dict[str, Any]) -> tuple[str, str]:
    """The selector and the label that a variable takes its values from."""
    match = LABEL_VALUES.fullmatch(variable["query"]["query"])
    assert match is not None, f"variable {variable['name']} is not made by label_values(SELECTOR, LABEL)"
    return match[1], match[2]


def every_query() -> Iterator[tuple[Panel, Query]]:
    for name in NAMES:
        for panel in panels(name):
            for query in panel.queries:
                yield panel, query
