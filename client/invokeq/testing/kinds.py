"""The fakes of the built-in kinds, under the names in the table of kinds (`fake_ref`)."""

from typing import Any, Final

from invokeq.testing.llm import LLM, STRUCTURED
from invokeq.testing.script import FakeKind
from invokeq.testing.values import EMBEDDING, MODERATION, RERANK, SPEECH2TEXT, SUMMARY, TTS

llm: Final[FakeKind[Any, Any]] = LLM
llm_structured_output: Final[FakeKind[Any, Any]] = STRUCTURED
system_summary: Final[FakeKind[Any, Any]] = SUMMARY
text_embedding: Final[FakeKind[Any, Any]] = EMBEDDING
multimodal_embedding: Final[FakeKind[Any, Any]] = EMBEDDING
rerank: Final[FakeKind[Any, Any]] = RERANK
multimodal_rerank: Final[FakeKind[Any, Any]] = RERANK
tts: Final[FakeKind[Any, Any]] = TTS
speech2text: Final[FakeKind[Any, Any]] = SPEECH2TEXT
moderation: Final[FakeKind[Any, Any]] = MODERATION
