"""What of a change of a schema breaks objects that are there, or programs that read them.

Values that stay as they are pass a rule that was tightened (the API server looks at what changes alone), so that
such a change is told too: whoever writes the object anew, as GitOps does, is refused.
"""

from __future__ import annotations

from typing import Any, Iterator

Schema = dict[str, Any]
MOST = ("maximum", "maxLength", "maxItems", "maxProperties")
LEAST = ("minimum", "minLength", "minItems", "minProperties")
EXACT = ("type", "format", "pattern", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string")


def breaking(before: Schema, after: Schema, path: str = "") -> Iterator[str]:
    where = path or "the root"
    for key in EXACT:
        if before.get(key) != after.get(key):
            yield f"{where}: {key} was {before.get(key, 'not given')}, and is {after.get(key, 'not given')}"
    yield from narrowed(before, after, where)
    for name in sorted(set(after.get("required", [])) - set(before.get("required", []))):
        yield f"{where}: {name} is required by now"
    known = {rule["rule"] for rule in before.get("x-kubernetes-validations", [])}
    for rule in after.get("x-kubernetes-validations", []):
        if rule["rule"] not in known:
            yield f"{where}: has another rule: {rule['message']}"
    yield from children(before, after, path)


def narrowed(before: Schema, after: Schema, where: str) -> Iterator[str]:
    for keys, tighter in ((MOST, lambda old, new: new < old), (LEAST, lambda old, new: new > old)):
        for key in keys:
            if key in after and (key not in before or tighter(before[key], after[key])):
                yield f"{where}: {key} was {before.get(key, 'not given')}, and is {after[key]}"
    if "enum" in after:
        gone = [value for value in before.get("enum", ["every value"]) if value not in after["enum"]]
        yield from (f"{where}: {value} is no longer allowed" for value in gone)
    if before.get("default") != after.get("default"):
        yield f"{where}: the default was {before.get('default', 'not given')}, and is {after.get('default', 'not given')}"


def children(before: Schema, after: Schema, path: str) -> Iterator[str]:
    fields = after.get("properties", {})
    for name, child in before.get("properties", {}).items():
        inner = f"{path}.{name}".lstrip(".")
        if name in fields:
            yield from breaking(child, fields[name], inner)
        elif not after.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{inner}: is gone"
    for key, mark in (("items", "[0]"), ("additionalProperties", ".*")):
        if isinstance(before.get(key), dict):
            yield from breaking(before[key], after.get(key) or {}, path + mark)
