"""Turns texts into vectors, and finds the one that is closest to a question."""

from invokeq import Session
from invokeq.entities import EmbeddingInputType, TextEmbeddingModelConfig

CONFIG = TextEmbeddingModelConfig(provider="local", model="minilm")
TEXTS = ["The cat sleeps on the sofa.", "The stock market fell today.", "Rain is expected in Oslo."]

with Session("examples") as session:
    embed = session.model.text_embedding.invoke
    documents = embed(CONFIG, TEXTS, EmbeddingInputType.DOCUMENT)
    (query,) = embed(CONFIG, ["Where is my kitten?"]).embeddings
    closeness = [
        sum(x * y for x, y in zip(query, vector, strict=True)) for vector in documents.embeddings
    ]
    print(f"{len(TEXTS)} vectors of {len(query)} dimensions, {documents.usage.tokens} tokens")
    print(f"closest: {TEXTS[closeness.index(max(closeness))]}")
