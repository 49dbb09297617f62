"""Ranks texts by how well they fit a query."""

from invokeq import Session
from invokeq.entities import RerankModelConfig

CONFIG = RerankModelConfig(provider="local", model="minilm-rerank", score_threshold=0.0, top_n=2)
DOCS = ["Bananas are yellow.", "Paris is the capital of France.", "France has many rivers."]

with Session("examples") as session:
    # The documents come before the query, as in Dify's SDK.
    result = session.model.rerank.invoke(CONFIG, DOCS, "What is the capital of France?")
    for doc in result.docs:
        print(f"{doc.score:.3f}  {doc.text}")
