"""docs/api.md: the CRDs as a page for readers, made from crds/*.yaml and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import yaml

Schema = dict[str, Any]
ORDER = ("NodeGroup", "TrainingPool", "InferencePool", "PoolQuota")

HEAD = """# API

Group `spillway.dev`, version `v1alpha1`. `kubectl get spillway -A` lists all kinds; `kubectl explain trainingpool.spec.placement` says the
same as this page.

This page is made from `crds/*.yaml` by `scripts/document-api`; change the CRDs, not the page.

How to read the tables: `[]` is an item of a list, `{}` a value of a map. *Required* stands where the default would. Under *allowed*, a
range is inclusive, *length* counts characters, *items* counts those of a list and *keys* those of a map. What a rule refuses is said with
the sentence that `kubectl apply` prints. Amounts are decimal numbers in quotes, times are whole seconds.
"""

CONDITIONS = """Every condition has `type`, `status` (`True`, `False`, `Unknown`), `observedGeneration`, `lastTransitionTime`, `reason`
(a word of [the closed list](reasons.md)) and `message` (a sentence with the numbers), as Kubernetes' own conditions do.
"""


def walk(schema: Schema, path: str = "", required: bool = False) -> Iterator[tuple[str, Schema, bool]]:
    """Every schema below `schema` with its path, and whether its parent requires it."""
    if path:
        yield path, schema, required
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}".lstrip("."), name in schema.get("required", []))
    if isinstance(schema.get("items"), dict):
        yield from walk(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from walk(schema["additionalProperties"], f"{path}{{}}")


def is_condition_field(path: str) -> bool:
    """The standard fields of a condition, which are said once for all kinds."""
    return path.startswith("status.conditions[]")


def fields(root: Schema, part: str) -> list[tuple[str, Schema, bool]]:
    """The documented fields of spec or status."""
    return [one for one in walk(root) if one[0].split(".")[0] == part and not is_condition_field(one[0])]


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def type_of(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = schema["type"]
    if schema.get("format") == "date-time":
        return "time"
    if kind == "array":
        return "list"
    return "map" if "additionalProperties" in schema else kind


def default_of(schema: Schema, required: bool) -> str:
    if required:
        return "*required*"
    if "default" not in schema:
        return ""
    value = schema["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def between(low: Any, high: Any, of: str) -> str:
    """A range in words; empty if neither end is given."""
    if low is None and high is None:
        return ""
    text = f"{low} to {high}" if None not in (low, high) else f"at most {high}" if low is None else f"at least {low}"
    return f"{text} {of}".rstrip()


def allowed(schema: Schema) -> str:
    parts = [", ".join(f"`{value}`" for value in schema.get("enum", [])),
             between(schema.get("minimum"), schema.get("maximum"), ""),
             between(schema.get("minItems"), schema.get("maxItems"), "items"),
             between(None, schema.get("maxProperties"), "keys"),
             "any field of Kubernetes" if schema.get("x-kubernetes-preserve-unknown-fields") else ""]
    if "enum" not in schema:
        low, high = schema.get("minLength"), schema.get("maxLength")
        parts.append("length " + between(low, high, "") if high is not None else "")
    if schema.get("x-kubernetes-list-type") == "map":
        parts.append("one item for each " + " and ".join(f"`{key}`" for key in schema["x-kubernetes-list-map-keys"]))
    if schema.get("x-kubernetes-list-type") == "set":
        parts.append("no item twice")
    return "; ".join(part for part in parts if part)


def spec_table(root: Schema) -> str:
    rows = [f"| `{path}` | {type_of(one)} | {default_of(one, required)} | {cell(allowed(one))} | {cell(one['description'])} |"
            for path, one, required in fields(root, "spec")]
    return "\n".join(["| field | type | default | allowed | meaning |", "|---|---|---|---|---|", *rows])


def status_table(root: Schema) -> str:
    rows = [f"| `{path}` | {type_of(one)} | {cell(one['description'])} |" for path, one, _ in fields(root, "status")]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def rules(root: Schema) -> list[tuple[str, str]]:
    """(field, sentence) of every rule; those of the object as a whole come first."""
    found = [("the object", rule["message"]) for rule in root.get("x-kubernetes-validations", [])]
    for path, schema, _ in walk(root):
        found += [(f"`{path}{rule.get('fieldPath', '')}`", rule["message"]) for rule in schema.get("x-kubernetes-validations", [])]
    return found


def rule_table(root: Schema) -> str:
    rows = [f"| {field} | {cell(message)} |" for field, message in rules(root)]
    return "\n".join(["| field | refused with |", "|---|---|", *rows])


def column_table(version: Schema) -> str:
    rows = []
    for one in version["additionalPrinterColumns"]:
        shown = "`-o wide`" if one.get("priority") else "always"
        meaning = cell(one.get("description", "Time since it was created"))
        rows.append(f"| {one['name']} | {shown} | {meaning} | `{cell(one['jsonPath'])}` |")
    return "\n".join(["| column | shown | meaning | from |", "|---|---|---|---|", *rows])


def condition_table(root: Schema) -> str:
    """The conditions of a kind: the description of status.conditions is `Name: what. Name: what.`"""
    text = " ".join(root["properties"]["status"]["properties"]["conditions"]["description"].split())
    rows: list[list[str]] = []
    for sentence in text.split(". "):
        name, colon, rest = sentence.partition(": ")
        if colon and name.isalpha():
            rows.append([name, rest])
        else:
            rows[-1][1] += f". {sentence}"
    return "\n".join(["| condition | True means |", "|---|---|", *(f"| `{name}` | {cell(rest.rstrip('.'))} |" for name, rest in rows)])


def frame(crd: Schema) -> str:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    scope = "cluster-scoped" if crd["spec"]["scope"] == "Cluster" else "namespaced"
    text = f"Plural `{names['plural']}`, short name `{names['shortNames'][0]}`, {scope}."
    scale = version["subresources"].get("scale")
    if scale:
        spec, status, selector = (scale[path][1:] for path in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"))
        text += (f" It has the scale subresource: `kubectl scale` and autoscalers read and write `{spec}`, and read `{status}` and"
                 f" `{selector}`.")
    return text


def kind_text(crd: Schema) -> str:
    version = crd["spec"]["versions"][0]
    root = version["schema"]["openAPIV3Schema"]
    name = crd["spec"]["names"]["kind"]
    parts = [f"## {name}", " ".join(root["description"].split()), frame(crd), f"### {name}: spec", spec_table(root)]
    if rules(root):
        parts += [f"### {name}: rules", rule_table(root)]
    parts += [f"### {name}: status", status_table(root), f"### {name}: conditions", condition_table(root),
              f"### {name}: columns of kubectl get", column_table(version)]
    return "\n\n".join(parts)


def page(crds: Path) -> str:
    """The whole page."""
    found = {crd["spec"]["names"]["kind"]: crd for crd in map(yaml.safe_load, map(Path.read_text, sorted(crds.glob("*.yaml"))))}
    if set(found) != set(ORDER):
        raise ValueError(f"the page has an order for {', '.join(ORDER)}, and crds/ has {', '.join(sorted(found))}")
    return "\n".join([HEAD, CONDITIONS, "\n\n".join(kind_text(found[name]) for name in ORDER)]) + "\n"
