"""Builds the template data of the reference pages from the OpenAPI and AsyncAPI documents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "patch", "put", "delete")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One field in a table of fields."""

    name: str
    kind: str
    required: bool
    text: str


def api_page(document: Document) -> dict[str, Any]:
    """Return the template data of the HTTP API page."""
    operations: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                shown = _operation(document, method, path, item[method])
                operations[item[method]["tags"][0]].append(shown)
    return {"info": document["info"], "operations": operations}


def events_page(document: Document) -> dict[str, Any]:
    """Return the template data of the live socket page."""
    sections: dict[str, list[dict[str, Any]]] = {"Connecting": [], "Server to client": [], "Client to server": []}
    for name, operation in document["operations"].items():
        messages = [_resolve(document, message) for message in operation["messages"]]
        replies = [_resolve(document, message) for message in operation.get("reply", {}).get("messages", ())]
        section = "Server to client" if operation["action"] == "send" else "Client to server"
        if name == "connect":
            section = "Connecting"
        sections[section].append(
            {
                "id": name,
                "name": messages[0]["name"],
                "text": messages[0].get("summary", ""),
                "fields": list(rows(document, messages[0]["payload"])),
                "replies": [
                    {"name": reply["title"], "fields": list(rows(document, reply["payload"]))} for reply in replies
                ],
            }
        )
    return {"info": document["info"], "sections": sections}


def rows(document: Document, schema: Document, prefix: str = "") -> Iterator[Row]:
    """Yield the fields of an object schema; nested fields follow their parent."""
    schema = _merged(document, schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = _inner(document, field)
        text = field.get("description") or inner.get("description", "")
        yield Row(prefix + name, kind_of(document, field), name in required, text)
        if inner.get("properties"):
            array = "[]" if _resolve(document, field).get("type") == "array" else ""
            yield from rows(document, inner, f"{prefix}{name}{array}.")


def kind_of(document: Document, schema: Document) -> str:
    """Return a short name of the schema's type."""
    resolved = _resolve(document, schema)
    if "anyOf" in resolved:
        return " or ".join(kind_of(document, part) for part in resolved["anyOf"])
    if "const" in resolved:
        return repr(resolved["const"]).lower() if isinstance(resolved["const"], bool) else str(resolved["const"])
    if "enum" in resolved:
        return " · ".join(str(value) for value in resolved["enum"])
    if resolved.get("type") == "array":
        return f"list of {kind_of(document, resolved.get('items', {}))}"
    if resolved.get("format") == "date-time":
        return "time"
    return str(resolved.get("type", "any"))


def _operation(document: Document, method: str, path: str, operation: Document) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    answers = []
    errors = []
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json", {})
        if status >= "400":
            errors.append({"status": status, "codes": list(content.get("examples", {}))})
        else:
            answers += [
                {"status": status, "text": response["description"], "fields": fields}
                for fields in _data(document, content)
            ]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "public": not operation["security"],
        "parameters": [parameter["name"] for parameter in operation.get("parameters", ())],
        "body": list(rows(document, body)) if body else [],
        "body_required": operation.get("requestBody", {}).get("required", False),
        "answers": answers,
        "errors": errors,
    }


def _data(document: Document, content: Document) -> list[list[Row]]:
    """Return the fields of each possible response."""
    schema = content.get("schema", {})
    data = schema.get("properties", {}).get("data") or schema
    return [list(rows(document, each)) for each in data.get("anyOf", [data])]


def _inner(document: Document, field: Document) -> Document:
    """Return the object schema inside a field: the field itself, an alternative, or the items of a list."""
    resolved = _merged(document, field)
    if resolved.get("type") == "array":
        return _inner(document, resolved.get("items", {}))
    for part in resolved.get("anyOf", ()):
        candidate = _merged(document, part)
        if candidate.get("properties"):
            return candidate
    return resolved


def _merged(document: Document, schema: Document) -> dict[str, Any]:
    resolved = dict(_resolve(document, schema))
    for part in resolved.pop("allOf", ()):
        other = _merged(document, part)
        resolved["properties"] = {**resolved.get("properties", {}), **other.get("properties", {})}
        resolved["required"] = [*resolved.get("required", ()), *other.get("required", ())]
    return resolved


def _resolve(document: Document, value: Document) -> Document:
    while "$ref" in value:
        target: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        value = target
    return value
