"""Asks a large language model and prints its answer while it is made.

Workers must be running: `invokeq up --port 6379 --config examples/demo.toml` starts one, and a
server where the examples look for it unless INVOKEQ_REDIS_URL says otherwise.
"""

from invokeq import Session
from invokeq.entities import LLMModelConfig, SystemPromptMessage, UserPromptMessage

CONFIG = LLMModelConfig(
    provider="local",
    model="smollm2",
    mode="chat",
    completion_params={"max_tokens": 48, "temperature": 0.0},
)

with Session("examples") as session:
    messages = [
        SystemPromptMessage(content="Answer in one short sentence."),
        UserPromptMessage(content="What is the capital of France?"),
    ]
    usage = None
    for chunk in session.model.llm.invoke(CONFIG, messages):
        print(chunk.delta.message.get_text_content(), end="", flush=True)
        usage = chunk.delta.usage or usage
    print(f"\n{usage.total_tokens if usage else 'unknown'} tokens")
