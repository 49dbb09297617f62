"""The fake session beyond LLM calls: what each kind's answers may be, and what becomes of them."""

import io
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from invokeq.errors import (
    InvalidConfigurationError,
    InvalidRequestError,
    ProviderUnavailableError,
    RequestTooLargeError,
    UnusableAnswerError,
)
from invokeq.protocol.entities import (
    AssistantPromptMessage,
    LLMModelConfig,
    LLMResultChunkDelta,
    LLMResultChunkWithStructuredOutput,
    LLMUsage,
    ModerationModelConfig,
    MultiModalContent,
    MultiModalContentType,
    MultiModalEmbeddingModelConfig,
    MultiModalEmbeddingResult,
    MultiModalRerankModelConfig,
    MultiModalRerankResult,
    RerankDocument,
    RerankModelConfig,
    RerankResult,
    Speech2TextModelConfig,
    TextEmbeddingModelConfig,
    TextEmbeddingResult,
    TTSModelConfig,
    UserPromptMessage,
)
from invokeq.protocol.requests import TextEmbeddingRequest
from invokeq.testing import FakeAsyncSession, FakeSession, UnscriptedCallError

WHERE: Any = {"provider": "openai", "model": "m"}
LLM = LLMModelConfig(**WHERE, mode="chat")
EMBEDDING = TextEmbeddingModelConfig(**WHERE)
RERANK = RerankModelConfig(**WHERE, score_threshold=0.2, top_n=2)
TTS = TTSModelConfig(**WHERE, voice="anna")
SPEECH2TEXT = Speech2TextModelConfig(**WHERE)
MODERATION = ModerationModelConfig(**WHERE)
HELLO = [UserPromptMessage(content="Name a city")]
SCHEMA = {"type": "object"}
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
LONG = "word " * 300
DOWN = ProviderUnavailableError(provider="openai", model="m", detail="HTTP 502")


def picture(content: str = "aGk=") -> MultiModalContent:
    return MultiModalContent(content=content, content_type=MultiModalContentType.IMAGE)


def answering(answer: object) -> Callable[[object], object]:
    return lambda _: answer


def text(content: str) -> MultiModalContent:
    return MultiModalContent(content=content, content_type=MultiModalContentType.TEXT)


def test_an_object_streams_as_text_and_comes_whole_at_the_end() -> None:
    session = FakeSession()
    session.model.llm_structured_output.answers({"city": "Oslo", "capital": True})
    chunks = list(session.model.llm_structured_output.invoke(LLM, HELLO, SCHEMA))
    told = "".join(chunk.delta.message.get_text_content() for chunk in chunks)
    assert told == '{"city": "Oslo", "capital": true}'
    assert [chunk.structured_output for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].structured_output == {"city": "Oslo", "capital": True}
    assert chunks[-1].delta.usage is None
    assert chunks[-2].delta.finish_reason == "stop"
    (call,) = session.model.llm_structured_output.calls
    assert call.structured_output_schema == SCHEMA


def test_an_object_is_in_the_result_too() -> None:
    session = FakeSession()
    session.model.llm_structured_output.answers({"a": 1}, '{"b": 2}', ['{"c"', ": 3}"])
    ask = session.model.llm_structured_output.invoke
    outputs = [ask(LLM, HELLO, SCHEMA, stream=False) for _ in range(3)]
    assert [o.structured_output for o in outputs] == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert outputs[2].message.content == '{"c": 3}'
    assert outputs[2].usage.completion_tokens == 2


def test_a_call_of_a_tool_needs_no_object() -> None:
    function = AssistantPromptMessage.ToolCall.ToolCallFunction(name="look", arguments="{}")
    call = AssistantPromptMessage.ToolCall(id="1", type="function", function=function)
    session = FakeSession()
    session.model.llm_structured_output.answers(
        AssistantPromptMessage(content="", tool_calls=[call])
    )
    result = session.model.llm_structured_output.invoke(LLM, HELLO, SCHEMA, stream=False)
    assert result.message.tool_calls == [call]
    assert result.structured_output is None


def test_chunks_with_their_object_are_taken_as_they_are() -> None:
    delta = LLMResultChunkDelta(index=3, message=AssistantPromptMessage(content="free text"))
    chunk = LLMResultChunkWithStructuredOutput(
        model="other", delta=delta, structured_output={"a": 1}
    )
    session = FakeSession()
    session.model.llm_structured_output.answers([chunk])
    assert list(session.model.llm_structured_output.invoke(LLM, HELLO, SCHEMA)) == [chunk]


@pytest.mark.parametrize("answer", ["", "Oslo", "[1]", '{"city": '])
def test_a_text_that_is_no_object_is_an_unusable_answer(answer: str) -> None:
    session = FakeSession()
    session.model.llm_structured_output.answers(answer, answer)
    with pytest.raises(UnusableAnswerError):
        session.model.llm_structured_output.invoke(LLM, HELLO, SCHEMA, stream=False)
    seen: list[str] = []
    with pytest.raises(UnusableAnswerError):
        seen.extend(
            chunk.delta.message.get_text_content()
            for chunk in session.model.llm_structured_output.invoke(LLM, HELLO, SCHEMA)
        )
    assert session.attach(session.request_ids[1]).status().state == "failed"


def test_vectors_come_as_they_were_scripted() -> None:
    session = FakeSession()
    vectors = [[0.1, 1e-300], [-0.0, 3.0]]
    session.model.text_embedding.answers(vectors)
    result = session.model.text_embedding.invoke(EMBEDDING, ["one", "two words"])
    assert isinstance(result, TextEmbeddingResult)
    assert result.embeddings == vectors
    assert (result.model, result.usage.tokens, result.usage.total_price) == ("m", 3, 0)
    (call,) = session.model.text_embedding.calls
    assert isinstance(call, TextEmbeddingRequest)
    assert (call.texts, call.input_type.value) == (["one", "two words"], "query")


def test_one_vector_may_serve_all_texts_and_a_result_is_taken_as_it_is() -> None:
    session = FakeSession()
    session.model.text_embedding.answers([1, 0.5])
    given = session.model.text_embedding.invoke(EMBEDDING, ["a", "b", "c"])
    assert given.embeddings == [[1.0, 0.5]] * 3
    usage = given.usage.model_copy(update={"tokens": 99})
    whole = TextEmbeddingResult(model="other", embeddings=[[7.0]], usage=usage)
    session.model.text_embedding.answers(whole)
    assert session.model.text_embedding.invoke(EMBEDDING, ["a"]) == whole


def test_documents_are_embedded_by_the_same_script() -> None:
    session = FakeSession()
    session.model.text_embedding.answers([[1.0], [2.0]])
    config = MultiModalEmbeddingModelConfig(**WHERE, tenant_id="t")
    result = session.model.text_embedding.invoke_multimodal(config, [text("a"), picture()])
    assert isinstance(result, MultiModalEmbeddingResult)
    assert result.embeddings == [[1.0], [2.0]]


def test_vectors_that_are_too_few_are_a_mistake_of_the_script() -> None:
    session = FakeSession()
    session.model.text_embedding.answers([[1.0]], [[1.0], [1.0, 2.0]])
    with pytest.raises(UnscriptedCallError, match=r"openai/m needs 2 vectors; .* has 1"):
        session.model.text_embedding.invoke(EMBEDDING, ["a", "b"])
    with pytest.raises(TypeError, match="vectors of one length"):
        session.model.text_embedding.invoke(EMBEDDING, ["a", "b"])


def test_scores_are_ranked_within_the_bounds_of_the_caller() -> None:
    session = FakeSession()
    session.model.rerank.answers([0.1, 0.9, 0.3, 0.5], [0.5, 0.5], [0.1, 0.0])
    result = session.model.rerank.invoke(RERANK, ["a", "b", "c", "d"], "query")
    assert [(doc.index, doc.text, doc.score) for doc in result.docs] == [
        (1, "b", 0.9),
        (3, "d", 0.5),
    ]
    equal = session.model.rerank.invoke(RERANK, ["x", "y"], "query")
    assert [doc.index for doc in equal.docs] == [0, 1]
    assert session.model.rerank.invoke(RERANK, ["x", "y"], "query").docs == []
    assert session.model.rerank.calls[0].query == "query"


def test_a_ranking_is_taken_as_it_is() -> None:
    session = FakeSession()
    ranked = RerankResult(model="other", docs=[RerankDocument(index=0, text="a", score=-3.0)])
    session.model.rerank.answers(ranked)
    assert session.model.rerank.invoke(RERANK, ["a"], "q") == ranked


def test_documents_are_ranked_by_the_same_script() -> None:
    session = FakeSession()
    session.model.rerank.answers([0.1, 0.2])
    config = MultiModalRerankModelConfig(**WHERE)
    result = session.model.rerank.invoke_multimodal(config, picture(), [picture(), text("b")])
    assert isinstance(result, MultiModalRerankResult)
    assert [(doc.index, doc.text) for doc in result.docs] == [(1, "b"), (0, "")]


def test_where_there_is_nothing_to_do_no_answer_is_used_up() -> None:
    session = FakeSession()
    assert session.model.rerank.invoke(RERANK, [], "query").docs == []
    assert session.model.text_embedding.invoke(EMBEDDING, []).embeddings == []
    assert len(session.calls) == 2


def test_segments_come_one_by_one_with_their_type() -> None:
    session = FakeSession()
    session.model.tts.answers([WAV, b"two"], b"whole")
    segments = session.model.tts.invoke(TTS, "Hello. World.")
    assert session.calls == []
    assert next(segments) == WAV
    assert list(segments) == [b"two"]
    with session.model.tts.submit(TTS, "Hello") as invocation:
        (segment,) = list(invocation)
    assert (segment, segment.mime_type) == (b"whole", None)
    first = next(iter(session.attach(session.request_ids[0])))
    assert first.mime_type == "audio/wav"
    assert session.attach(session.request_ids[0]).result() == WAV + b"two"
    assert [call.voice for call in session.model.tts.calls] == ["anna", "anna"]


def test_a_voice_may_break_off() -> None:
    def speak(_: object) -> Iterator[bytes]:
        yield b"one"
        raise DOWN

    session = FakeSession()
    session.model.tts.answers([b"one", DOWN], speak)
    for _ in range(2):
        segments = session.model.tts.invoke(TTS, "Hello. World.")
        assert next(segments) == b"one"
        with pytest.raises(ProviderUnavailableError, match="HTTP 502"):
            next(segments)


def test_leaving_speech_early_cancels() -> None:
    session = FakeSession()
    session.model.tts.answers([b"one", b"two"])
    segments = session.model.tts.invoke(TTS, "Hello. World.")
    next(segments)
    segments.close()
    assert session.attach(session.request_ids[0]).status().state == "cancelled"


def test_audio_is_written_down_and_kept() -> None:
    session = FakeSession()
    session.model.speech2text.answers("hello")
    assert session.model.speech2text.invoke(SPEECH2TEXT, io.BytesIO(WAV)) == "hello"
    assert session.model.speech2text.files == [WAV]
    assert session.model.speech2text.calls[0].mime_type == "audio/wav"


@pytest.mark.parametrize("answer", [True, False])
def test_a_judgement_is_a_bool(answer: bool) -> None:
    session = FakeSession()
    session.model.moderation.answers(answer)
    assert session.model.moderation.invoke(MODERATION, "text") is answer


def test_the_usage_is_there_at_the_end() -> None:
    session = FakeSession()
    session.model.summary.answers("two words")
    session.model.text_embedding.answers([1.0])
    session.model.rerank.answers([0.5])
    summary = session.model.summary.submit("one two three", "")
    assert summary.usage is None
    summary.result()
    assert isinstance(summary.usage, LLMUsage)
    assert (summary.usage.prompt_tokens, summary.usage.completion_tokens) == (3, 2)
    vectors = session.model.text_embedding.submit(EMBEDDING, ["one two"])
    assert vectors.result().usage == vectors.usage
    ranking = session.model.rerank.submit(RERANK, ["a"], "q")
    assert [doc.text for doc in ranking.result().docs] == ["a"]
    assert ranking.usage is None
    assert [doc.text for doc in session.attach(ranking.request_id).result().docs] == [""]


def test_a_ranking_of_documents_that_were_not_asked_for_is_a_mistake_of_the_script() -> None:
    session = FakeSession()
    docs = [{"index": 3, "text": "x", "score": 0.5}]
    session.model.rerank.answers(RerankResult.model_validate({"model": "m", "docs": docs}))
    with pytest.raises(UnscriptedCallError, match="does not have; it has 1"):
        session.model.rerank.invoke(RERANK, ["a"], "q")


def test_only_long_texts_are_summarised() -> None:
    session = FakeSession()
    session.model.summary.answers("short", "shorter")
    assert session.model.summary.invoke("x" * 1023, "") == "x" * 1023
    assert session.calls == []
    assert session.model.summary.invoke("x" * 1024, "Be brief.") == "short"
    assert session.model.summary.invoke("xx", "", 2) == "shorter"
    assert [call.instruction for call in session.model.summary.calls] == ["Be brief.", ""]
    with pytest.raises(UnscriptedCallError, match=r"to the summary model, .*summary\.answers"):
        session.model.summary.invoke(LONG, "")


def test_no_summary_model_is_known_before_anything_is_enqueued() -> None:
    session = FakeSession()
    session.model.summary.answers(
        InvalidConfigurationError(source="s", setting="system.summary_model", problem="none")
    )
    with pytest.raises(InvalidConfigurationError):
        session.model.summary.submit(LONG, "")
    assert session.request_ids == []


CALLS: dict[str, Callable[[Any], Any]] = {
    "llm_structured_output": lambda model: model.llm_structured_output.invoke(
        LLM, HELLO, SCHEMA, stream=False
    ),
    "moderation": lambda model: model.moderation.invoke(MODERATION, "text"),
    "rerank": lambda model: model.rerank.invoke(RERANK, ["a"], "q"),
    "speech2text": lambda model: model.speech2text.invoke(SPEECH2TEXT, io.BytesIO(WAV)),
    "summary": lambda model: model.summary.invoke(LONG, ""),
    "text_embedding": lambda model: model.text_embedding.invoke(EMBEDDING, ["a"]),
    "tts": lambda model: list(model.tts.invoke(TTS, "Hello")),
}
ANSWERS: dict[str, Any] = {
    "llm_structured_output": {"a": 1},
    "moderation": True,
    "rerank": [0.5],
    "speech2text": "said",
    "summary": "short",
    "text_embedding": [[1.0]],
    "tts": [b"audio"],
}


@pytest.mark.parametrize("kind", CALLS)
def test_an_error_is_raised(kind: str) -> None:
    session = FakeSession()
    getattr(session.model, kind).answers(DOWN)
    with pytest.raises(ProviderUnavailableError, match="HTTP 502") as caught:
        CALLS[kind](session.model)
    assert caught.value.request_id == session.request_ids[0]


@pytest.mark.parametrize("kind", CALLS)
def test_a_function_answers_what_has_no_answer_of_its_own(kind: str) -> None:
    session = FakeSession()
    fake = getattr(session.model, kind)
    fake.answers(answering(ANSWERS[kind]))
    assert CALLS[kind](session.model) is not None
    fake.answers(answering(object()))
    with pytest.raises(TypeError, match=f"an answer of {kind} is .*; not object"):
        CALLS[kind](session.model)
    assert [call.kind for call in session.calls] == [call.kind for call in fake.calls]


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("bad", [7, None, ProviderUnavailableError, object()])
def test_what_is_no_answer_is_refused(kind: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=f"an answer of {kind} is "):
        getattr(FakeSession().model, kind).answers(bad)


@pytest.mark.parametrize("kind", CALLS)
def test_without_an_answer_the_error_names_where_to_put_one(kind: str) -> None:
    with pytest.raises(UnscriptedCallError, match=rf"session\.model\.{kind}\.answers\("):
        CALLS[kind](FakeSession().model)


MALFORMED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda m: m.llm_structured_output.invoke(LLM, HELLO, {}), "structured_output_schema"),
    (lambda m: m.moderation.invoke(MODERATION, " "), "text"),
    (lambda m: m.rerank.invoke({**WHERE, "top_n": 0}, ["a"], "q"), "model_config.top_n"),
    (lambda m: m.rerank.invoke(RERANK, "one text", "q"), "docs"),
    (lambda m: m.speech2text.invoke(SPEECH2TEXT, io.BytesIO(b"no audio")), "file"),
    (lambda m: m.speech2text.invoke(SPEECH2TEXT, io.BytesIO()), "file"),
    (lambda m: m.summary.submit("", ""), "text"),
    (lambda m: m.text_embedding.invoke(EMBEDDING, ["a", 1]), r"texts\[1\]"),
    (lambda m: m.text_embedding.invoke(EMBEDDING, ["a"], "maybe"), "input_type"),
    (lambda m: m.tts.invoke(TTS, ""), "content_text"),
]


@pytest.mark.parametrize(("call", "field"), MALFORMED)
def test_arguments_are_checked_by_the_real_code(call: Callable[[Any], Any], field: str) -> None:
    session = FakeSession()
    with pytest.raises(InvalidRequestError, match=field):
        call(session.model)
    assert session.calls == []


def test_a_file_over_the_limit_is_never_sent() -> None:
    session = FakeSession()
    over = io.BytesIO(WAV + bytes(26 * 1024 * 1024))
    with pytest.raises(RequestTooLargeError):
        session.model.speech2text.invoke(SPEECH2TEXT, over)
    assert (session.calls, session.model.speech2text.files) == ([], [])


ASYNC_CALLS: dict[str, Callable[[FakeAsyncSession], Coroutine[Any, Any, Any]]] = {
    kind: (lambda session, kind=kind: CALLS[kind](session.model)) for kind in CALLS if kind != "tts"
}


@pytest.mark.parametrize("kind", ASYNC_CALLS)
async def test_the_asynchronous_kinds_answer_the_same(kind: str) -> None:
    session, other = FakeAsyncSession(), FakeSession()
    for scripted in (session, other):
        getattr(scripted.model, kind).answers(ANSWERS[kind], DOWN)
    assert await ASYNC_CALLS[kind](session) == CALLS[kind](other.model)
    with pytest.raises(ProviderUnavailableError):
        await ASYNC_CALLS[kind](session)
    assert len(getattr(session.model, kind).calls) == 2


async def test_the_asynchronous_voice_speaks_the_same() -> None:
    session = FakeAsyncSession()
    session.model.tts.answers([WAV, b"two"])
    assert [part async for part in session.model.tts.invoke(TTS, "Hello")] == [WAV, b"two"]
    assert await session.attach(session.request_ids[0]).result() == WAV + b"two"
