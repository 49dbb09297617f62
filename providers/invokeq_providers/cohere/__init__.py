"""Cohere's models: chat, embeddings and reranking, by version 2 of its API."""

from invokeq_providers.cohere.provider import CohereProvider

__all__ = ["CohereProvider"]
