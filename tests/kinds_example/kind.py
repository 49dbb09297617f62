"""The request of a translation, and the record that all sides read."""

from typing import ClassVar, Final, Literal

from pydantic import Field

from invokeq.protocol.entities import ModelType
from invokeq.protocol.kinds import CallKind
from invokeq.protocol.requests import ModelRequest


class TranslationRequest(ModelRequest):
    """`session.model.of("translation").invoke(...)` on the wire."""

    model_type: ClassVar[ModelType] = ModelType.LLM

    kind: Literal["translation"] = "translation"
    text: str = Field(min_length=1)
    target: str = Field(pattern=r"^[a-z]{2}$")


TRANSLATION: Final = CallKind(
    request=TranslationRequest,
    permission="translation",
    attribute="translation",
    path="invoke/translation",
    calls_ref="tests.kinds_example.calls:Translation",
    async_calls_ref="tests.kinds_example.calls:AsyncTranslation",
    decoder_ref="tests.kinds_example.calls:translation_decoder",
    serve_ref="tests.kinds_example.serve:serve_translation",
    reverse_ref="tests.kinds_example.reverse:translation",
    fake_ref="tests.kinds_example.fake:TRANSLATION",
)
