"""The rules that all entities share, and those of texts, configs and small results."""

from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from invokeq.protocol.entities import (
    AgentModelConfig,
    AssistantPromptMessage,
    BaseModelConfig,
    DefaultParameterName,
    EmbeddingInputType,
    EmbeddingUsage,
    FetchFrom,
    I18nObject,
    ImagePromptMessageContent,
    LLMMode,
    LLMModelConfig,
    LLMPollingStatus,
    ModelConfigScope,
    ModelFeature,
    ModelPropertyKey,
    ModelType,
    ModerationModelConfig,
    ModerationResult,
    MultiModalContentType,
    MultiModalEmbeddingModelConfig,
    MultiModalRerankModelConfig,
    ParameterType,
    PriceConfig,
    PriceType,
    PromptMessageContentType,
    PromptMessageRole,
    RerankDocument,
    RerankModelConfig,
    Speech2TextModelConfig,
    TextEmbeddingModelConfig,
    ToolPromptMessage,
    TTSModelConfig,
    TTSResult,
    UserPromptMessage,
)

MODEL: dict[str, Any] = {"provider": "openai", "model": "m"}
FUNCTION: dict[str, Any] = {"name": "f", "arguments": "{}"}
CALL: dict[str, Any] = {"id": "c1", "type": "function", "function": FUNCTION}


def wire(entity: BaseModel) -> dict[str, Any]:
    return entity.model_dump(mode="json")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("0.0", "0.0"),
        ("0.0003", "0.0003"),
        (Decimal("1.50"), "1.50"),
        (2, "2"),
        (0.1, "0.1"),
        (2.5, "2.5"),
    ],
)
def test_an_amount_is_taken_as_text_or_number_and_written_as_text(given: Any, written: str):
    price = PriceConfig.model_validate({"input": given, "unit": "0.001", "currency": "USD"})
    assert wire(price) == {"input": written, "output": None, "unit": "0.001", "currency": "USD"}


@pytest.mark.parametrize("given", [None, "", "cheap", [], "NaN"])
def test_what_is_no_amount_is_refused(given: Any):
    with pytest.raises(ValidationError):
        PriceConfig.model_validate({"input": given, "unit": "0.001", "currency": "USD"})


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [("index", "5", 5), ("index", 5.0, 5), ("score", 1, 1.0), ("score", "0.5", 0.5)],
)
def test_numbers_are_converted(field: str, given: Any, kept: float):
    document = RerankDocument.model_validate({"index": 0, "text": "", "score": 0, field: given})
    value = getattr(document, field)
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("field", "given"), [("index", 5.5), ("index", None), ("text", 5), ("score", "high")]
)
def test_what_does_not_convert_is_refused(field: str, given: Any):
    with pytest.raises(ValidationError):
        RerankDocument.model_validate({"index": 0, "text": "", "score": 0, field: given})


def test_unknown_keys_are_dropped():
    assert wire(TTSResult.model_validate({"result": "00", "volume": 3})) == {
        "result": "00",
        "mime_type": None,
    }


VALUES: dict[type[Enum], str] = {
    ModelType: "llm text-embedding rerank speech2text moderation tts text2img",
    LLMMode: "completion chat",
    LLMPollingStatus: "running succeeded failed",
    EmbeddingInputType: "document query",
    MultiModalContentType: "text image",
    PromptMessageRole: "system user assistant tool developer",
    PromptMessageContentType: "text image audio video document",
    ImagePromptMessageContent.DETAIL: "low high",
    FetchFrom: "predefined-model customizable-model",
    ModelFeature: "tool-call multi-tool-call agent-thought vision stream-tool-call document video "
    "audio structured-output polling",
    ModelPropertyKey: "mode context_size max_chunks file_upload_limit supported_file_extensions "
    "max_characters_per_chunk default_voice voices word_limit audio_type max_workers",
    ParameterType: "float int string boolean text",
    DefaultParameterName: "temperature top_p top_k presence_penalty frequency_penalty max_tokens "
    "response_format json_schema",
    PriceType: "input output",
    ModelConfigScope: "llm text-embedding rerank tts speech2text moderation vision",
}


@pytest.mark.parametrize("enum", VALUES)
def test_members_are_named_after_their_values(enum: type[Enum]):
    values = VALUES[enum].split()
    assert {member.name: member.value for member in enum} == {
        value.upper().replace("-", "_"): value for value in values
    }


def test_value_of_finds_a_member_or_raises():
    assert LLMMode.value_of("chat") is LLMMode.CHAT
    assert PromptMessageRole.value_of("tool") is PromptMessageRole.TOOL
    assert DefaultParameterName.value_of("top_k") is DefaultParameterName.TOP_K
    for enum in (LLMMode, PromptMessageRole, DefaultParameterName):
        with pytest.raises(ValueError, match="nothing"):
            enum.value_of("nothing")


@pytest.mark.parametrize(
    ("given", "zh", "pt", "ja"),
    [
        ({}, "hi", "hi", "hi"),
        ({"zh_Hans": "", "pt_BR": None}, "hi", "hi", "hi"),
        ({"zh_Hans": "你好", "ja_JP": ""}, "你好", "hi", "hi"),
        ({"pt_br": "olá", "zh_hans": "你好"}, "你好", "olá", "hi"),
        ({"pt_BR": "olá", "ja_jp": "やあ"}, "hi", "olá", "やあ"),
    ],
)
@pytest.mark.parametrize("english", ["en_US", "en_us"])
def test_languages_that_are_missing_are_filled_with_english(
    given: dict[str, Any], zh: str, pt: str, ja: str, english: str
):
    text = I18nObject.model_validate({english: "hi", **given})
    assert list(wire(text).items()) == [
        ("zh_Hans", zh),
        ("pt_BR", pt),
        ("ja_JP", ja),
        ("en_US", "hi"),
    ]
    assert text.to_dict() == text.model_dump() == wire(text)
    assert (text.zh_Hans, text.pt_BR, text.ja_JP, text.en_US) == (zh, pt, ja, "hi")
    assert (text.zh_hans, text.pt_br, text.ja_jp, text.en_us) == (zh, pt, ja, "hi")


@pytest.mark.parametrize("given", [{}, {"zh_Hans": "你好"}, {"en_US": None}, {"en_US": 5}, "hi"])
def test_english_is_required(given: Any):
    with pytest.raises(ValidationError):
        I18nObject.model_validate(given)


@pytest.mark.parametrize(
    ("config", "given", "model_type", "rest"),
    [
        (LLMModelConfig, {"mode": "chat"}, "llm", {"mode": "chat", "completion_params": {}}),
        (LLMModelConfig, {"mode": "weird"}, "llm", {"mode": "weird", "completion_params": {}}),
        (
            AgentModelConfig,
            {"mode": "chat"},
            "llm",
            {
                "mode": "chat",
                "completion_params": {},
                "entity": None,
                "history_prompt_messages": [],
            },
        ),
        (TTSModelConfig, {"voice": "alloy"}, "tts", {"voice": "alloy"}),
        (Speech2TextModelConfig, {}, "speech2text", {}),
        (ModerationModelConfig, {}, "moderation", {}),
        (
            RerankModelConfig,
            {"score_threshold": 0, "top_n": "3"},
            "rerank",
            {"score_threshold": 0.0, "top_n": 3},
        ),
        (MultiModalRerankModelConfig, {}, "rerank", {"score_threshold": None, "top_n": None}),
        (TextEmbeddingModelConfig, {}, "text-embedding", {}),
        (MultiModalEmbeddingModelConfig, {"tenant_id": "t"}, "text-embedding", {"tenant_id": "t"}),
        (BaseModelConfig, {"model_type": "tts"}, "tts", {}),
        (
            LLMModelConfig,
            {"mode": "chat", "model_type": "rerank"},
            "rerank",
            {"mode": "chat", "completion_params": {}},
        ),
    ],
)
def test_a_config_knows_its_model_type(
    config: type[BaseModelConfig], given: dict[str, Any], model_type: str, rest: dict[str, Any]
):
    assert wire(config.model_validate({**MODEL, **given})) == {
        **MODEL,
        "model_type": model_type,
        **rest,
    }


@pytest.mark.parametrize(
    ("config", "given", "field"),
    [
        (BaseModelConfig, MODEL, "model_type"),
        (BaseModelConfig, {**MODEL, "model_type": "text_embedding"}, "model_type"),
        (LLMModelConfig, MODEL, "mode"),
        (LLMModelConfig, {"provider": "openai", "mode": "chat"}, "model"),
        (LLMModelConfig, {"model": "m", "mode": "chat"}, "provider"),
        (LLMModelConfig, {**MODEL, "mode": "chat", "completion_params": None}, "completion_params"),
        (LLMModelConfig, {**MODEL, "mode": None}, "mode"),
        (TTSModelConfig, MODEL, "voice"),
        (RerankModelConfig, {**MODEL, "top_n": 3}, "score_threshold"),
        (RerankModelConfig, {**MODEL, "score_threshold": 0.5}, "top_n"),
        (RerankModelConfig, {**MODEL, "score_threshold": 0.5, "top_n": None}, "top_n"),
        (MultiModalEmbeddingModelConfig, MODEL, "tenant_id"),
        (
            AgentModelConfig,
            {**MODEL, "mode": "chat", "history_prompt_messages": None},
            "history_prompt_messages",
        ),
        (
            AgentModelConfig,
            {**MODEL, "mode": "chat", "history_prompt_messages": [5]},
            "history_prompt_messages",
        ),
    ],
)
def test_a_config_refuses(config: type[BaseModelConfig], given: dict[str, Any], field: str):
    with pytest.raises(ValidationError) as refusal:
        config.model_validate(given)
    assert {error["loc"][0] for error in refusal.value.errors()} == {field}


def test_a_history_keeps_the_class_and_the_fields_of_each_role():
    history = [
        {"role": "user", "content": "hi", "name": None},
        {
            "role": "assistant",
            "content": None,
            "name": None,
            "tool_calls": [CALL],
            "opaque_body": None,
        },
        {"role": "tool", "content": "ok", "name": None, "tool_call_id": "c1"},
    ]
    config = AgentModelConfig.model_validate(
        {**MODEL, "mode": "chat", "history_prompt_messages": history}
    )
    assert [type(message) for message in config.history_prompt_messages] == [
        UserPromptMessage,
        AssistantPromptMessage,
        ToolPromptMessage,
    ]
    assert wire(config)["history_prompt_messages"] == history


def test_speech_tells_its_type_where_the_provider_does():
    assert TTSResult(result="ff", mime_type="audio/wav").mime_type == "audio/wav"
    assert TTSResult(result="ff").mime_type is None


@pytest.mark.parametrize("given", [None, "maybe", 2])
def test_moderation_answers_yes_or_no(given: Any):
    with pytest.raises(ValidationError):
        ModerationResult.model_validate({"result": given})


@pytest.mark.parametrize("field", EmbeddingUsage.model_fields)
def test_an_embedding_usage_needs_all_of_its_fields(field: str):
    given: dict[str, Any] = dict.fromkeys(EmbeddingUsage.model_fields, 1)
    given["currency"] = "USD"
    EmbeddingUsage.model_validate(given)
    del given[field]
    with pytest.raises(ValidationError):
        EmbeddingUsage.model_validate(given)
