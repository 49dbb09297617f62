"""Documents of every entity: those that both sides must read alike, and those that both refuse."""

from typing import Any

MODEL = {"provider": "langgenius/openai/openai", "model": "gpt"}
LABEL = {"zh_Hans": "模型", "pt_BR": "modelo", "ja_JP": "モデル", "en_US": "model"}
PICTURE = {"type": "image", "format": "png", "mime_type": "image/png"}
FILE: dict[str, Any] = {
    "format": "bin",
    "mime_type": "application/octet-stream",
    "base64_data": "AAEC",
    "url": "https://files.example/1?a=b",
    "filename": "ü.bin",
    "opaque_body": {"cache": [1, 2.5, None, True, "x"]},
}
PARTS: list[dict[str, Any]] = [
    {"type": "text", "data": "look:\n\u0000 \U0001f600"},
    {"type": "text", "data": "", "opaque_body": "thought"},
    PICTURE,
    {**FILE, "type": "image", "detail": "high"},
    {**FILE, "type": "audio"},
    {**FILE, "type": "video"},
    {**FILE, "type": "document"},
]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
FRAGMENT = {"id": None, "type": None, "function": {"name": None, "arguments": None}}
TOOL = {"name": "f", "description": "does f", "parameters": {"type": "object", "x": [None]}}
ASSISTANT: dict[str, Any] = {
    "role": "assistant",
    "content": "hi",
    "name": "bot",
    "tool_calls": [CALL, FRAGMENT, {**CALL, "id": 7}],
    "opaque_body": {"signature": ["s", {"deep": {"er": 1}}]},
}
USAGE: dict[str, Any] = {
    "prompt_tokens": 12,
    "prompt_unit_price": "0.0025",
    "prompt_price_unit": "0.001",
    "prompt_price": "0.0000300",
    "completion_tokens": "7",
    "completion_unit_price": 0.1,
    "completion_price_unit": 1,
    "completion_price": "0.0000001",
    "total_tokens": 19.0,
    "total_price": "123456789012345678901234567890.123456789",
    "currency": "USD",
    "latency": 2,
}
DELTA: dict[str, Any] = {"index": 0, "message": {}}
FULL_DELTA = {"index": 41, "message": ASSISTANT, "usage": USAGE, "finish_reason": "stop"}
RESULT: dict[str, Any] = {"model": "gpt", "message": {}, "usage": USAGE}
FULL_RESULT = {**RESULT, "message": ASSISTANT, "system_fingerprint": "fp", "prompt_messages": 5}
OUTPUT = {"structured_output": {"answer": [1, {"b": None}], "ok": True}}
EMBEDDING_USAGE: dict[str, Any] = {
    "tokens": 5,
    "total_tokens": 5,
    "unit_price": "0.02",
    "price_unit": "0.000001",
    "total_price": 0,
    "currency": "RMB",
    "latency": 0.25,
}
EMBEDDINGS = {"model": "e", "embeddings": [[0.1, -2, 1e-30], []], "usage": EMBEDDING_USAGE}
RANKED = {"model": "r", "docs": [{"index": 1, "text": "b", "score": 1}]}
PRICE = {"unit_price": "1", "unit": "0.001", "total_amount": "0.0025", "currency": "USD"}
PRICING = {"input": 0.15, "output": "0.60", "unit": "0.000001", "currency": "USD"}
RULE = {"name": "seed", "type": "int"}
FULL_RULE: dict[str, Any] = {
    "name": "style",
    "use_template": None,
    "label": LABEL,
    "type": "string",
    "help": {"en_US": "how it sounds"},
    "required": True,
    "default": "plain",
    "min": 1,
    "max": 2.5,
    "precision": 3,
    "options": ["plain", "grand"],
}
FACTS: dict[str, Any] = {"model": "gpt", "model_type": "llm", "model_properties": {}}
FULL_FACTS: dict[str, Any] = {
    "model": "gpt",
    "label": LABEL,
    "model_type": "llm",
    "features": ["vision", "structured-output", "stream-tool-call"],
    "fetch_from": "customizable-model",
    "model_properties": {"mode": "chat", "context_size": 8192, "voices": [{"name": "a"}]},
    "deprecated": True,
}
FULL_ENTITY = {**FULL_FACTS, "parameter_rules": [RULE, FULL_RULE], "pricing": PRICING}
HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": PARTS},
    {"role": "developer", "content": "be brief"},
]
HISTORY_WITH_CALLS = [*HISTORY, ASSISTANT, {"role": "tool", "content": "ok", "tool_call_id": "c1"}]
TEMPLATES = (
    "temperature",
    "top_p",
    "top_k",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "response_format",
    "json_schema",
)

# By entity: a document with as little as possible first, then richer and odder ones.
GOOD: dict[str, list[dict[str, Any]]] = {
    "I18nObject": [{"en_US": "hi"}, LABEL, {"en_US": "", "zh_Hans": ""}, {**LABEL, "ja_JP": ""}],
    "BaseModelConfig": [{**MODEL, "model_type": "text2img"}],
    "LLMModelConfig": [
        {**MODEL, "mode": "chat"},
        {**MODEL, "mode": "weird", "model_type": "rerank", "voice": "ignored"},
        {**MODEL, "mode": "", "completion_params": {"temperature": 1.0, "stop": ["a"], "x": None}},
    ],
    "AgentModelConfig": [
        {**MODEL, "mode": "chat"},
        {**MODEL, "mode": "chat", "entity": FULL_ENTITY, "history_prompt_messages": HISTORY},
        {**MODEL, "mode": "chat", "history_prompt_messages": HISTORY_WITH_CALLS},
    ],
    "TTSModelConfig": [{**MODEL, "voice": "alloy"}],
    "Speech2TextModelConfig": [MODEL],
    "ModerationModelConfig": [MODEL],
    "RerankModelConfig": [{**MODEL, "score_threshold": 0, "top_n": "3"}],
    "MultiModalRerankModelConfig": [MODEL, {**MODEL, "score_threshold": 0.5, "top_n": 3}],
    "TextEmbeddingModelConfig": [MODEL, {**MODEL, "model_type": "text-embedding"}],
    "MultiModalEmbeddingModelConfig": [{**MODEL, "tenant_id": "t"}],
    "PromptMessageContent": [{}, {"opaque_body": [1]}],
    "TextPromptMessageContent": [{"data": "hi"}, *PARTS[:2]],
    "MultiModalPromptMessageContent": [{"format": "f", "mime_type": "m"}, FILE],
    "ImagePromptMessageContent": [{"format": "f", "mime_type": "m"}, *PARTS[2:4]],
    "AudioPromptMessageContent": [{"format": "f", "mime_type": "m"}, PARTS[4]],
    "VideoPromptMessageContent": [{"format": "f", "mime_type": "m"}, PARTS[5]],
    "DocumentPromptMessageContent": [{"format": "f", "mime_type": "m"}, PARTS[6]],
    "MultiModalContent": [
        {"content": "hi", "content_type": "text"},
        {"content": "AAEC", "content_type": "image"},
    ],
    "PromptMessage": [{"role": "user"}, {"role": "tool", "content": [], "name": ""}],
    "UserPromptMessage": [{}, {"content": PARTS, "name": "ann"}, {"role": "assistant"}],
    "SystemPromptMessage": [{}, {"content": "be brief"}],
    "DeveloperPromptMessage": [{}, {"content": "be brief"}],
    "AssistantPromptMessage": [{}, ASSISTANT, {"content": PARTS, "tool_calls": []}],
    "AssistantPromptMessage.ToolCall": [FRAGMENT, CALL, {**CALL, "id": 7}, {**CALL, "id": [1]}],
    "AssistantPromptMessage.ToolCall.ToolCallFunction": [
        {"name": None, "arguments": None},
        {"name": "f", "arguments": "{"},
    ],
    "ToolPromptMessage": [
        {"tool_call_id": ""},
        {"tool_call_id": "c1", "content": PARTS, "tool_calls": None, "name": "f"},
    ],
    "PromptMessageTool": [TOOL],
    "PromptMessageFunction": [{"function": TOOL}, {"type": "other", "function": TOOL}],
    "LLMUsage": [USAGE],
    "LLMResultChunkDelta": [DELTA, FULL_DELTA],
    "LLMResultChunk": [
        {"model": "gpt", "delta": DELTA},
        {"model": "gpt", "delta": FULL_DELTA, "system_fingerprint": "fp"},
        {"model": "gpt", "delta": DELTA, "prompt_messages": None},
        {"model": "gpt", "delta": DELTA, "prompt_messages": [{"role": "nobody"}]},
    ],
    "LLMStructuredOutput": [{}, {"structured_output": {}}, OUTPUT],
    "LLMResultChunkWithStructuredOutput": [
        {"model": "gpt", "delta": DELTA},
        {"model": "gpt", "delta": FULL_DELTA, **OUTPUT},
    ],
    "LLMResult": [RESULT, FULL_RESULT],
    "LLMResultWithStructuredOutput": [RESULT, {**FULL_RESULT, **OUTPUT}],
    "LLMPollingResult": [
        {"status": "failed", "error": "no"},
        {"status": "running", "plugin_state": {"job": [1, None]}, "next_check_after_seconds": 5},
        {"status": "succeeded", "result": FULL_RESULT, "max_attempts": "9"},
        {"status": "succeeded", "result": {**RESULT, **OUTPUT}, "expires_after_seconds": 60.0},
    ],
    "NumTokensResult": [{**PRICE, "tokens": 9}],
    "EmbeddingUsage": [EMBEDDING_USAGE],
    "TextEmbeddingResult": [{**EMBEDDINGS, "embeddings": []}, EMBEDDINGS],
    "MultiModalEmbeddingResult": [{**EMBEDDINGS, "embeddings": []}, EMBEDDINGS],
    "RerankDocument": [{"index": "5", "text": "", "score": 0}],
    "RerankResult": [{"model": "r", "docs": []}, RANKED],
    "MultiModalRerankResult": [{"model": "r", "docs": []}, RANKED],
    "TTSResult": [{"result": ""}, {"result": "fffb", "mime_type": "audio/mpeg"}],
    "Speech2TextResult": [{"result": "hi"}],
    "ModerationResult": [{"result": False}, {"result": "yes"}, {"result": 1}],
    "SummaryResult": [{"summary": "short"}],
    "PriceConfig": [{"input": 1, "unit": "1", "currency": "USD"}, PRICING],
    "PriceInfo": [PRICE],
    "ParameterRule": [
        RULE,
        FULL_RULE,
        {**RULE, "use_template": "no_such_template", "label": {}},
        {**RULE, "use_template": "temperature", "min": None, "help": None, "label": None},
        {**RULE, "default": {"any": ["thing"]}, "max": "3"},
        *({"name": "mine", "use_template": template} for template in TEMPLATES),
    ],
    "ProviderModel": [FACTS, FULL_FACTS, {**FACTS, "label": None, "features": []}],
    "AIModelEntity": [
        FACTS,
        FULL_ENTITY,
        {**FACTS, "parameter_rules": [{"name": "t", "use_template": "top_k", "max": 9}]},
    ],
}


def _without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def _each_key_missing(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [_without(document, key) for key in document]


BAD: dict[str, list[dict[str, Any]]] = {
    "I18nObject": [{}, {"zh_Hans": "你好"}, {"en_US": None}, {"en_US": 5}, {**LABEL, "pt_BR": 5}],
    "BaseModelConfig": [
        MODEL,
        {**MODEL, "model_type": "text_embedding"},
        {**MODEL, "model_type": None},
        {"provider": 5, "model": "m", "model_type": "llm"},
    ],
    "LLMModelConfig": [
        MODEL,
        {**MODEL, "mode": None},
        {**MODEL, "mode": "chat", "completion_params": None},
        {**MODEL, "mode": "chat", "completion_params": []},
        {"model": "m", "mode": "chat"},
        {"provider": "p", "mode": "chat"},
    ],
    "AgentModelConfig": [
        MODEL,
        {**MODEL, "mode": "chat", "entity": {}},
        {**MODEL, "mode": "chat", "history_prompt_messages": None},
        {**MODEL, "mode": "chat", "history_prompt_messages": {}},
        {**MODEL, "mode": "chat", "history_prompt_messages": [5]},
        {**MODEL, "mode": "chat", "history_prompt_messages": [{"content": "x"}]},
        {**MODEL, "mode": "chat", "history_prompt_messages": [{"role": "robot"}]},
        {**MODEL, "mode": "chat", "history_prompt_messages": [{"role": "tool"}]},
    ],
    "TTSModelConfig": [MODEL, {**MODEL, "voice": None}],
    "RerankModelConfig": [
        MODEL,
        {**MODEL, "top_n": 3},
        {**MODEL, "score_threshold": 0.5},
        {**MODEL, "score_threshold": None, "top_n": 3},
        {**MODEL, "score_threshold": 0.5, "top_n": 3.5},
    ],
    "MultiModalEmbeddingModelConfig": [MODEL],
    "TextPromptMessageContent": [{}, {"data": 5}, {"type": "image", "data": "x"}],
    "ImagePromptMessageContent": [
        {"format": "f"},
        {"mime_type": "m"},
        {**PICTURE, "detail": "auto"},
        {**PICTURE, "url": None},
        {**PICTURE, "type": "audio"},
    ],
    "MultiModalContent": [{"content": "x"}, {"content": "x", "content_type": "audio"}],
    "PromptMessage": [{}, {"role": None}, {"role": "robot"}, {"role": "user", "name": 5}],
    "UserPromptMessage": [
        {"content": 5},
        {"content": {"type": "text", "data": "x"}},
        {"content": ["x"]},
        {"content": [None]},
        {"content": [{}]},
        {"content": [{"data": "x"}]},
        {"content": [{"type": "image_url"}]},
        {"content": [{"type": "text"}]},
        {"content": [{"type": "text", "data": None}]},
        {"content": [{"type": "image", "format": "png"}]},
        {"content": [PICTURE, 5]},
    ],
    "AssistantPromptMessage": [
        {"tool_calls": None},
        {"tool_calls": {}},
        {"tool_calls": [None]},
        {"tool_calls": [{}]},
        *({"tool_calls": [call]} for call in _each_key_missing(CALL)),
        {"tool_calls": [{**CALL, "type": 5}]},
        {"tool_calls": [{**CALL, "function": None}]},
        {"tool_calls": [{**CALL, "function": {"name": "f"}}]},
        {"tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
    ],
    "ToolPromptMessage": [{"content": "x"}, {"tool_call_id": None}, {"tool_call_id": 5}],
    "PromptMessageTool": [*_each_key_missing(TOOL), {**TOOL, "parameters": []}],
    "PromptMessageFunction": [{}, {"function": {}}, {"type": None, "function": TOOL}],
    "LLMUsage": [
        *_each_key_missing(USAGE),
        {**USAGE, "prompt_tokens": 1.5},
        {**USAGE, "total_price": "free"},
        {**USAGE, "latency": None},
        {**USAGE, "currency": 5},
    ],
    "LLMResultChunkDelta": [
        {"index": 0},
        {"message": {}},
        {**DELTA, "message": None},
        {**DELTA, "message": {"tool_calls": None}},
        {**DELTA, "usage": {}},
        {**DELTA, "finish_reason": 5},
    ],
    "LLMResultChunk": [{"model": "gpt"}, {"delta": DELTA}, {"model": None, "delta": DELTA}],
    "LLMStructuredOutput": [{"structured_output": []}, {"structured_output": "x"}],
    "LLMResult": [*_each_key_missing(RESULT), {**RESULT, "usage": None}],
    "LLMPollingResult": [
        {},
        {"status": "done"},
        {"status": "running"},
        {"status": "running", "plugin_state": {}},
        {"status": "succeeded"},
        {"status": "failed", "error": ""},
        {"status": "failed", "error": "no", "max_attempts": 0},
    ],
    "NumTokensResult": [PRICE],
    "EmbeddingUsage": _each_key_missing(EMBEDDING_USAGE),
    "TextEmbeddingResult": [*_each_key_missing(EMBEDDINGS), {**EMBEDDINGS, "embeddings": [[None]]}],
    "MultiModalEmbeddingResult": _each_key_missing(EMBEDDINGS),
    "RerankDocument": [
        *_each_key_missing({"index": 0, "text": "", "score": 0}),
        {"index": 0.5, "text": "", "score": 0},
        {"index": 0, "text": 5, "score": 0},
    ],
    "RerankResult": [{"model": "r"}, {"docs": []}, {"model": "r", "docs": [{}]}],
    "MultiModalRerankResult": [{"model": "r"}, {"docs": []}],
    "TTSResult": [{}, {"result": None}, {"result": 5}],
    "Speech2TextResult": [{}, {"result": None}],
    "ModerationResult": [{}, {"result": None}, {"result": "maybe"}, {"result": 2}],
    "SummaryResult": [{}, {"summary": None}],
    "PriceConfig": [
        *_each_key_missing({"input": 1, "unit": 1, "currency": "USD"}),
        {**PRICING, "input": "NaN"},
        {**PRICING, "input": "cheap"},
    ],
    "PriceInfo": _each_key_missing(PRICE),
    "ParameterRule": [
        {"type": "int"},
        {"name": "seed"},
        {"name": "seed", "use_template": "no_such_template"},
        {"name": 5, "type": "int"},
        {**RULE, "type": "integer"},
        {**RULE, "label": "Seed"},
        {**RULE, "min": "low"},
        {**RULE, "precision": 1.5},
        {**RULE, "options": None},
        {**RULE, "options": [1]},
        {**RULE, "required": None},
    ],
    "ProviderModel": [
        *_each_key_missing(FACTS),
        {**FACTS, "model": 5},
        {**FACTS, "model_type": "chat"},
        {**FACTS, "model_properties": {"colour": "red"}},
        {**FACTS, "features": ["telepathy"]},
        {**FACTS, "fetch_from": "nowhere"},
    ],
    "AIModelEntity": [{**FACTS, "parameter_rules": None}, {**FACTS, "pricing": {}}],
}

# By entity: the attributes and methods that both sides must have, with documents to read them from.
LOOKS: dict[str, tuple[list[str], list[dict[str, Any]]]] = {
    "I18nObject": (["to_dict"], GOOD["I18nObject"]),
    "TextPromptMessageContent": (["data"], [{"data": "hi"}]),
    "ImagePromptMessageContent": (["data"], GOOD["ImagePromptMessageContent"]),
    "AudioPromptMessageContent": (["data"], GOOD["AudioPromptMessageContent"]),
    "UserPromptMessage": (
        ["is_empty", "get_text_content"],
        [{}, {"content": ""}, {"content": "x"}, {"content": []}, {"content": PARTS}],
    ),
    "AssistantPromptMessage": (
        ["is_empty", "get_text_content"],
        [{}, {"content": "x"}, {"tool_calls": [CALL]}, {"content": "x", "tool_calls": [CALL]}],
    ),
    "ToolPromptMessage": (
        ["is_empty", "get_text_content"],
        [
            {"tool_call_id": ""},
            {"tool_call_id": "c1"},
            {"tool_call_id": "", "content": "x"},
            {"tool_call_id": "c1", "content": "x"},
        ],
    ),
    "LLMUsage": (["empty_usage"], [USAGE]),
    "LLMResult": (["to_llm_result_chunk"], GOOD["LLMResult"]),
    "LLMResultWithStructuredOutput": (
        ["to_llm_result_chunk", "to_llm_result_chunk_with_structured_output"],
        GOOD["LLMResultWithStructuredOutput"],
    ),
}
