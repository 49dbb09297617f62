"""Call AI models over a Redis queue with Dify's plugin API: `from invokeq import Session`.

The public face, together with `invokeq.entities`, `invokeq.errors`, `invokeq.testing`,
`invokeq.dify`, `invokeq.backwards` and `invokeq.protocol`. All other modules are internal.
"""

from invokeq.async_invocation import AsyncInvocation
from invokeq.async_session import AsyncSession
from invokeq.invocation import Invocation
from invokeq.models.calls import AsyncCalls, Calls
from invokeq.models.llm import LLM, AsyncLLM
from invokeq.models.llm_structured_output import AsyncLLMStructuredOutput, LLMStructuredOutput
from invokeq.models.models import AsyncModels, Models
from invokeq.models.moderation import AsyncModeration, Moderation
from invokeq.models.rerank import AsyncRerank, Rerank
from invokeq.models.speech2text import AsyncSpeech2Text, Speech2Text
from invokeq.models.summary import AsyncSummary, Summary
from invokeq.models.text_embedding import AsyncTextEmbedding, TextEmbedding
from invokeq.models.tts import TTS, AsyncTTS
from invokeq.operations.call import Call
from invokeq.operations.control import InvocationStatus, State
from invokeq.operations.directory import LiveWorker
from invokeq.operations.history import VendorRetry
from invokeq.operations.options import CallExtras, CallOptions, call_options
from invokeq.protocol.directory import ProviderEntry, QueueBounds, WorkerEntry
from invokeq.protocol.errors import InvokeqError
from invokeq.protocol.requests import CallRequest, Priority
from invokeq.protocol.usage import BillingUnit, UnitUsage, Usage
from invokeq.results.decode import ResultDecoder, event_reader, only_item
from invokeq.results.ranking import RankedBatch, RankingEnd
from invokeq.results.speech import AudioSegment
from invokeq.results.vectors import EmbeddingEnd, VectorBatch
from invokeq.session import Session

__all__ = [
    "AsyncCalls",
    "AsyncInvocation",
    "AsyncLLM",
    "AsyncLLMStructuredOutput",
    "AsyncModels",
    "AsyncModeration",
    "AsyncRerank",
    "AsyncSession",
    "AsyncSpeech2Text",
    "AsyncSummary",
    "AsyncTTS",
    "AsyncTextEmbedding",
    "AudioSegment",
    "BillingUnit",
    "Call",
    "CallExtras",
    "CallOptions",
    "CallRequest",
    "Calls",
    "EmbeddingEnd",
    "Invocation",
    "InvocationStatus",
    "InvokeqError",
    "LLM",
    "LLMStructuredOutput",
    "LiveWorker",
    "Models",
    "Moderation",
    "Priority",
    "ProviderEntry",
    "QueueBounds",
    "RankedBatch",
    "RankingEnd",
    "Rerank",
    "ResultDecoder",
    "Session",
    "Speech2Text",
    "State",
    "Summary",
    "TTS",
    "TextEmbedding",
    "UnitUsage",
    "Usage",
    "VectorBatch",
    "VendorRetry",
    "WorkerEntry",
    "call_options",
    "event_reader",
    "only_item",
]
