"""JSON bodies of requests in the OpenAPI document: their schemas are made from the classes that decode them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from litestar.openapi.spec import Components, OpenAPIMediaType, Reference, RequestBody, Schema
from msgspec import Meta

from entrypoints.http.openapi.components import Verbatim

JSON = "application/json"
PLACE = "#/components/schemas/{name}"


def documented(**schema: Any) -> Meta:
    """Return constraints for the document only: the handler checks them, and responds with its own code."""
    return Meta(extra_json_schema=schema)


def json_request(
    *forms: type[msgspec.Struct],
    example: Mapping[str, Any],
    media_types: Sequence[str] = (JSON,),
    required: bool = True,
) -> RequestBody:
    """Return the description of a body that has one of these forms."""
    references = [Reference(PLACE.format(name=form.__name__)) for form in forms]
    schema = references[0] if len(references) == 1 else Schema(one_of=references)
    content = {each: OpenAPIMediaType(schema, example=Verbatim(dict(example))) for each in media_types}
    return RequestBody(content, required=required)


def schemas(forms: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    """Return the JSON schemas of forms by their names. A form's `SCHEMA` has what the types of its members can't say.

    Raises ValueError if a member has a form that is not listed, because its `SCHEMA` would be missed.
    """
    _, found = msgspec.json.schema_components(forms, ref_template=PLACE)
    by_name = {form.__name__: form for form in forms}
    if unlisted := found.keys() - by_name.keys():
        raise ValueError(f"forms that are not listed: {sorted(unlisted)}")
    return {name: schema | getattr(by_name[name], "SCHEMA", {}) for name, schema in found.items()}


@dataclass
class ComponentsWithBodies(Components):
    """Components of the document, with schemas that are not the framework's."""

    bodies: dict[str, Any] = field(default_factory=dict)

    @property
    def _exclude_fields(self) -> set[str]:
        return {"bodies"}

    def to_schema(self) -> dict[str, Any]:
        """Return the components, with all schemas in the order of their names."""
        document = super().to_schema()
        return document | {"schemas": dict(sorted({**document["schemas"], **self.bodies}.items()))}
