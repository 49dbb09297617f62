"""Embeds a text by how often each letter of the alphabet is in it, at length one."""

import math
import time
from collections.abc import Mapping
from typing import Any

from dify_plugin import TextEmbeddingModel
from dify_plugin.entities.model import EmbeddingInputType, PriceType
from dify_plugin.entities.model.text_embedding import EmbeddingUsage, TextEmbeddingResult
from dify_plugin.errors.model import InvokeError
from models.shared import ERROR_MAPPING, check_call, check_key

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class EchoTextEmbeddingModel(TextEmbeddingModel):
    """Near texts have near vectors, as far as letters go."""

    def _invoke(
        self,
        model: str,
        credentials: dict[str, Any],
        texts: list[str],
        user: str | None = None,
        input_type: EmbeddingInputType = EmbeddingInputType.DOCUMENT,
    ) -> TextEmbeddingResult:
        del user, input_type
        check_call(credentials, " ".join(texts))
        tokens = sum(self.get_num_tokens(model, credentials, texts))
        price = self.get_price(model, credentials, PriceType.INPUT, tokens)
        usage = EmbeddingUsage(
            tokens=tokens,
            total_tokens=tokens,
            unit_price=price.unit_price,
            price_unit=price.unit,
            total_price=price.total_amount,
            currency=price.currency,
            latency=time.perf_counter() - self.started_at,
        )
        rows = [self._row(text) for text in texts]
        return TextEmbeddingResult(model=model, embeddings=rows, usage=usage)

    def _row(self, text: str) -> list[float]:
        counts = [float(text.casefold().count(letter)) for letter in ALPHABET]
        length = math.hypot(*counts)
        return [count / length for count in counts] if length else [1.0, *counts[1:]]

    def get_num_tokens(
        self, model: str, credentials: dict[str, Any], texts: list[str]
    ) -> list[int]:
        del model, credentials
        return [len(text.split()) for text in texts]

    def validate_credentials(self, model: str, credentials: Mapping[str, Any]) -> None:
        del model
        check_key(credentials)

    @property
    def _invoke_error_mapping(self) -> dict[type[InvokeError], list[type[Exception]]]:
        return ERROR_MAPPING
