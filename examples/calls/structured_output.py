"""Asks a large language model for JSON that obeys a schema."""

from invokeq import Session
from invokeq.entities import LLMModelConfig, UserPromptMessage

CONFIG = LLMModelConfig(
    provider="local",
    model="smollm2",
    mode="chat",
    completion_params={"max_tokens": 64, "temperature": 0.0},
)
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "likes_tea": {"type": "boolean"}},
    "required": ["name", "likes_tea"],
    "additionalProperties": False,
}

with Session("examples") as session:
    question = UserPromptMessage(
        content="Anna drinks tea every day. Who is she, and does she like tea?"
    )
    result = session.model.llm_structured_output.invoke(CONFIG, [question], SCHEMA, stream=False)
    person = result.structured_output or {}
    print(f"{person['name']} {'likes' if person['likes_tea'] else 'does not like'} tea")
