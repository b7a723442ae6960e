"""/docs: the OpenAPI document as one HTML page of our own, which loads nothing and runs nothing.

Whatever the document says is escaped; the only markup understood in its texts is `code`, lists of lines that start with
a dash, and blank lines between paragraphs.
"""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

Node = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --fg: #1d2330; --dim: #5b6475; --bg: #fbfbfa; --box: #f0f1f3; --line: #d9dce2;
  --link: #0b5cad; --get: #0b6e4f; --post: #7a4b00; --delete: #a1232b; }
@media (prefers-color-scheme: dark) { :root { --fg: #e4e7ee; --dim: #9aa4b6; --bg: #14171d; --box: #1e232c;
  --line: #343b48; --link: #7db7ff; --get: #58c79b; --post: #e0aa55; --delete: #f08087; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--fg); background: var(--bg); }
nav { padding: 1.5rem; border-bottom: 1px solid var(--line); }
nav ul { list-style: none; margin: .2rem 0 .8rem; padding: 0; }
nav a { display: block; padding: .1rem 0; overflow-wrap: anywhere; }
main { padding: 1.5rem; max-width: 60rem; }
@media (min-width: 70rem) {
  nav { position: fixed; inset: 0 auto 0 0; width: 20rem; overflow-y: auto; border-right: 1px solid var(--line);
    border-bottom: 0; font-size: .9rem; }
  main { margin-left: 20rem; padding: 1.5rem 3rem; } }
h1 { margin: 0 0 .5rem; line-height: 1.2; } h2 { margin: 3rem 0 1rem; border-bottom: 1px solid var(--line); }
h3 { margin: 2.2rem 0 .3rem; font: 600 1rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
h4 { margin: 1.2rem 0 .4rem; font-size: .95rem; }
a { color: var(--link); text-decoration: none; } a:hover, a:focus { text-decoration: underline; }
code { font: .88em ui-monospace, monospace; background: var(--box); padding: .1em .3em; border-radius: 3px;
  overflow-wrap: anywhere; }
td:first-child code { overflow-wrap: normal; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
.dim { color: var(--dim); }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; } td ul, dd ul { margin: 0; padding-left: 1.1rem; } td p { margin: 0; }
.wide { overflow-x: auto; }
"""

# A page that can neither run nor load nor send anything, and that no other page can frame.
PAGE_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
METHODS = ("get", "post", "put", "patch", "delete")


def docs_page(document: Node) -> bytes:
    info = document["info"]
    operations = [
        (path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item
    ]
    tags = list(dict.fromkeys(tag for _, _, operation in operations for tag in operation["tags"]))
    parts = [f"<h1>{escape(info['title'])} <span class=dim>{escape(info['version'])}</span></h1>"]
    parts.append(_text(info["description"]))
    parts.append('<p>As OpenAPI: <a href="openapi.json">openapi.json</a></p>')
    parts.append(_security(document["components"]["securitySchemes"]))
    for tag in tags:
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(*operation) for operation in operations if tag in operation[2]["tags"]]
    parts.append(_errors(document["x-errors"]))
    parts.append("<h2 id=objects>Objects</h2>")
    parts += [_object(name, schema) for name, schema in document["components"]["schemas"].items()]
    title = f"{escape(info['title'])} {escape(info['version'])}: HTTP interface"
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{_contents(tags, operations)}\n<main>\n{''.join(parts)}\n</main>\n</body>\n</html>\n"
    )
    return page.encode()


def _contents(tags: list[str], operations: list[tuple[str, str, Node]]) -> str:
    lists = []
    for tag in tags:
        items = "".join(
            f'<li><a href="#{escape(operation["operationId"])}">{escape(operation["summary"])}</a></li>'
            for _, _, operation in operations
            if tag in operation["tags"]
        )
        lists.append(f"<strong>{escape(tag)}</strong><ul>{items}</ul>")
    more = "".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in ("Sign-in", "Errors", "Objects"))
    return f'<nav aria-label="Contents">{"".join(lists)}<strong>Reference</strong><ul>{more}</ul></nav>'


def _security(schemes: Node) -> str:
    rows = []
    for scheme in schemes.values():
        header = scheme["name"] if scheme["type"] == "apiKey" else "Authorization: Bearer"
        rows.append((f"<code>{escape(header)}</code>", _text(scheme["description"])))
    return f"<h2 id=sign-in>Sign-in</h2>{_table(('Header', 'Value'), rows)}"


def _operation(path: str, method: str, operation: Node) -> str:
    parts = [
        f'<h3 id="{escape(operation["operationId"])}"><span class={method}>{method.upper()}</span> {escape(path)}</h3>'
        f"<p>{escape(operation['summary'])}. "
        f"<span class=dim>{'Signed in.' if operation['security'] else 'Open to anybody.'}</span></p>",
        _text(operation.get("description", "")),
    ]
    rows = [
        (f"<code>{escape(one['name'])}</code>", escape(one["in"]), _text(one["description"]), _type(one["schema"]))
        for one in operation.get("parameters", ())
    ]
    if rows:
        parts.append(_table(("Parameter", "In", "Meaning", "Type"), rows))
    if "requestBody" in operation:
        kinds = operation["requestBody"]["content"].items()
        body = ", ".join(f"<code>{escape(kind)}</code> {_type(content['schema'])}" for kind, content in kinds)
        parts.append(f"<h4>Body</h4><p>{body}</p>")
    parts.append("<h4>Answers</h4>")
    parts.append(_table(("Status", "Meaning", "Body"), [_answer(*answer) for answer in operation["responses"].items()]))
    return "".join(parts)


def _answer(status: str, answer: Node) -> tuple[str, str, str]:
    kinds = answer.get("content", {}).items()
    body = "<br>".join(
        f"{_type(content.get('x-event-schema', content['schema']))} <span class=dim>{escape(kind)}</span>"
        for kind, content in kinds
    )
    return status, _text(answer["description"]), body


def _errors(errors: list[Node]) -> str:
    again = {True: "yes", False: "no", None: "your rules"}
    rows = [
        (
            f'<code id="{escape(one["code"])}">{escape(one["code"])}</code>',
            str(one["status"]),
            again[one["should_retry"]],
            _text(one["meaning"]),
            _text(one["cure"]),
        )
        for one in errors
    ]
    return f"<h2 id=errors>Errors</h2>{_table(('Code', 'Status', 'Send again', 'Meaning', 'What to do'), rows)}"


def _object(name: str, schema: Node) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(field)}</code>{'' if field in required else ' <span class=dim>optional</span>'}",
            _type(of),
            _text(of.get("description", "")),
        )
        for field, of in schema.get("properties", {}).items()
    ]
    about = _text(schema.get("description", ""))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>{about}{_table(("Field", "Type", "Meaning"), rows)}'


def _type(schema: Node) -> str:
    """A schema in a few words, with links to the objects it names."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for key, word in (("anyOf", " or "), ("allOf", "")):
        if key in schema:
            return word.join(filter(None, (_type(one) for one in schema[key])))
    if "enum" in schema:
        return " ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    kind = schema.get("type", "")
    if kind == "array":
        return f"array of {_type(schema['items'])}" if "items" in schema else "array"
    words = " or ".join(kind) if isinstance(kind, list) else kind
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        words += f", {least} to {most}"
    return escape(words)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _text(text: str) -> str:
    """Paragraphs, lists and code."""
    blocks = []
    for block in filter(None, text.split("\n\n")):
        lines = block.strip().splitlines()
        if all(line.startswith("- ") for line in lines):
            blocks.append(f"<ul>{''.join(f'<li>{_inline(line[2:])}</li>' for line in lines)}</ul>")
        else:
            blocks.append(f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>")
    return "".join(blocks)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
