"""A fake vendor for tests and measurements: answers follow a plan, at the pace of the plan.

Real vendors and local models live elsewhere.
"""

from invokeq_providers.scripted.journal import Journal
from invokeq_providers.scripted.plan import (
    EmbeddingPlan,
    ModerationPlan,
    Plan,
    RerankPlan,
    ScriptedOptions,
    SpeechPlan,
    TranscriptionPlan,
)
from invokeq_providers.scripted.provider import ScriptedProvider, Step
from invokeq_providers.scripted.vectors import scripted_vector

__all__ = [
    "EmbeddingPlan",
    "Journal",
    "ModerationPlan",
    "Plan",
    "RerankPlan",
    "ScriptedOptions",
    "ScriptedProvider",
    "SpeechPlan",
    "Step",
    "TranscriptionPlan",
    "scripted_vector",
]
