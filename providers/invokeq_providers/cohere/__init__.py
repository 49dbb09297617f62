"""Cohere's models: chat, embeddings and reranking, through version 2 of the API."""

from invokeq_providers.cohere.provider import CohereProvider

__all__ = ["CohereProvider"]
