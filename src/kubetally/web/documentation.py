"""`/docs` and `/openapi.json`: the API for people and for programs. The page loads nothing from elsewhere."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litestar import Litestar, Request, Router, get
from litestar.enums import MediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Redirect, Response

from kubetally.present.meanings import MEANINGS, OWN_MEANINGS
from kubetally.web.html import AnyRequest, page, text

API_VERSION: Final = "2"
METROCULUS: Final = "/metroculus/v2"
NATIVE: Final = "/api/v1"
SWAGGER: Final = f"{METROCULUS}/swagger"


def openapi_config() -> OpenAPIConfig:
    """The configuration of the OpenAPI document. Its version is that of the API; `/healthz` has the program's."""
    return OpenAPIConfig(
        title="Kubetally",
        version=API_VERSION,
        description="What Kubernetes clusters cost, the parts adding up to the whole to the last millionth.",
        components=Components(
            security_schemes={
                "Secret": SecurityScheme(
                    type="apiKey", name="Secret", security_scheme_in="header", description="The secret of the service."
                ),
                "Token": SecurityScheme(
                    type="http", scheme="bearer", description="A token; it opens what its role and its filter show."
                ),
            }
        ),
        openapi_router=Router("/docs", route_handlers=[], include_in_schema=False),
        render_plugins=[_Page()],
    )


def document(app: Litestar) -> bytes:
    """The OpenAPI document, as `openapi.json` in this folder has it."""
    return (json.dumps(describe(app.openapi_schema.to_schema()), indent=2, sort_keys=True) + "\n").encode()


def describe(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the meaning of each key that an answer of the native API has."""
    schemas = document["components"]["schemas"]
    paths = [verbs for path, verbs in document["paths"].items() if path.startswith(NATIVE)]
    described = {
        name: schemas[name] | {"properties": _described(name, schemas[name].get("properties", {}))}
        for name in _named_in(paths, schemas, set())
    }
    return document | {"components": document["components"] | {"schemas": schemas | described}}


def _described(schema: str, properties: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    meanings = MEANINGS | OWN_MEANINGS.get(schema, {})
    return {
        key: about | {"description": meanings[key]} if key in meanings else about for key, about in properties.items()
    }


def _named_in(part: Any, schemas: Mapping[str, Any], names: set[str]) -> set[str]:
    """The schemas that a part of a document refers to, themselves or by others. names: those known already."""
    if isinstance(part, Mapping):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if name and name not in names:
            names.add(name)
            _named_in(schemas[name], schemas, names)
    for each in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        _named_in(each, schemas, names)
    return names


@get("/openapi.json", include_in_schema=False)
async def openapi_json(request: AnyRequest) -> Response[bytes]:
    """The document, made for the first request because it takes tens of milliseconds."""
    state = request.app.state
    if "document" not in state:
        state["document"] = document(request.app)
    return Response(state["document"], media_type="application/vnd.oai.openapi+json")


@get([SWAGGER, f"{SWAGGER}/{{rest:path}}"], include_in_schema=False)
async def swagger(request: AnyRequest) -> Redirect:
    """Redirect from where metroculus documents its API to the documentation here."""
    is_page = request.scope["path"].removeprefix(SWAGGER).strip("/") in {"", "index.html", "spec.html"}
    return Redirect("/docs" if is_page else "/openapi.json", status_code=302)


class _Page(OpenAPIRenderPlugin):
    """The document as a page without scripts."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)
        self._page: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._page is None:
            self._page = documentation(describe(openapi_schema))
        return self._page


def documentation(schema: dict[str, Any]) -> bytes:
    """The page of an OpenAPI document."""
    operations = "".join(
        _operation(verb, path, operation)
        for path, verbs in sorted(
            schema["paths"].items(), key=lambda item: (not item[0].startswith("/metroculus"), item[0])
        )
        for verb, operation in verbs.items()
        if isinstance(operation, dict)
    )
    schemas = "".join(_named_type(name, part) for name, part in sorted(schema["components"]["schemas"].items()))
    body = (
        f"<h1>{text(schema['info']['title'])} API</h1><p>{text(schema['info']['description'])}</p>"
        '<p><a href="/">Clusters</a>, <a href="/openapi.json">OpenAPI document</a></p>'
        f"{operations}<h2>Schemas</h2>{schemas}"
    )
    return page("Kubetally API", body)


def _operation(verb: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{text(parameter['name'])}</code></td><td>{_type(parameter['schema'])}"
        f"{', required' if parameter.get('required') else ''}{_default(parameter['schema'])}</td>"
        f"<td>{text(parameter.get('description', ''))}</td></tr>"
        for parameter in operation.get("parameters", ())
    )
    responses = "".join(
        f"<tr><td>{text(status)}</td><td>{text(answer['description'])}</td><td>{_content(answer)}</td></tr>"
        for status, answer in sorted(operation["responses"].items())
    )
    header = _credentials([name for scheme in operation.get("security", ()) for name in scheme])
    return (
        f"<section><h2><code>{text(verb.upper())} {text(path)}</code></h2><p>{text(operation['summary'])}</p>"
        f"<p>{text(operation.get('description', ''))}</p>{header}"
        + (f"<h3>Parameters</h3>{_table(parameters)}" if parameters else "")
        + f"<h3>Responses</h3>{_table(responses)}</section>"
    )


def _default(schema: dict[str, Any]) -> str:
    return text(f", default {schema['default']}") if "default" in schema else ""


def _named_type(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{text(key)}</code></td><td>{_type(property_)}{'' if key in required else ', optional'}</td>"
        f"<td>{text(property_.get('description', ''))}</td></tr>"
        for key, property_ in schema.get("properties", {}).items()
    )
    return (
        f'<section id="{text(name)}"><h3>{text(name)}</h3><p>{text(schema.get("description", ""))}</p>'
        f"{_table(rows)}</section>"
    )


def _credentials(schemes: Sequence[str]) -> str:
    """Which credentials an operation takes."""
    if not schemes:
        return ""
    token = " or a token as <code>Authorization: Bearer</code>" if "Token" in schemes else ""
    return f"<p>Needs the header <code>Secret</code>{token}.</p>"


def _table(rows: str) -> str:
    return f'<div class="scroll" tabindex="0"><table class="words"><tbody>{rows}</tbody></table></div>'


def _content(answer: dict[str, Any]) -> str:
    return ", ".join(_type(content["schema"]) for content in (answer.get("content") or {}).values())


def _type(schema: dict[str, Any]) -> str:
    """The type of a schema, with a link if it has a name."""
    if "$ref" in schema:
        name = text(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(_type(part) for part in schema[several])
    if "enum" in schema:
        return text(" or ".join(map(str, schema["enum"])))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    word = str(schema.get("type", "any"))
    if "minimum" in schema and "maximum" in schema:
        word += f" from {schema['minimum']} to {schema['maximum']}"
    return text(word)
