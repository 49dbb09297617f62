"""Ranks documents by the share of the query's words that they have."""

from collections.abc import Mapping
from typing import Any

from dify_plugin import RerankModel
from dify_plugin.entities.model.rerank import RerankDocument, RerankResult
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, check_call, check_key


class EchoRerankModel(RerankModel):
    """Scores are between 0 and 1."""

    def _invoke(
        self,
        model: str,
        credentials: dict[str, Any],
        query: str,
        docs: list[str],
        score_threshold: float | None = None,
        top_n: int | None = None,
        user: str | None = None,
    ) -> RerankResult:
        del user
        check_call(credentials, query)
        words = set(query.casefold().split())
        shares = [len(words & set(doc.casefold().split())) / len(words) for doc in docs]
        found = [
            RerankDocument(index=i, text=docs[i], score=share) for i, share in enumerate(shares)
        ]
        found = [doc for doc in found if score_threshold is None or doc.score >= score_threshold]
        found.sort(key=lambda doc: doc.score, reverse=True)
        return RerankResult(model=model, docs=found[:top_n])

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
