"""Settings that are hashed and written: fields of later versions leave no trace while they are unset."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class LeftOutUnset:
    """Mark of a field, inside ``Annotated``, that is left out of the output while it has its default."""


class Recorded(BaseModel):
    """A model whose JSON, and so every hash of it, stays what it was when fields are added.

    Fields marked as ``Annotated[KIND, LeftOutUnset()]`` are written only if they differ from their default.
    """

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if not self._left_out(name)}

    def _left_out(self, name: str) -> bool:
        field = type(self).model_fields[name]
        marked = any(isinstance(mark, LeftOutUnset) for mark in field.metadata)
        return marked and bool(getattr(self, name) == field.get_default(call_default_factory=True))
