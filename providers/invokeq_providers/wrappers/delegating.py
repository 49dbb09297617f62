"""A provider that forwards to another provider."""

from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from invokeq.protocol.entities import AIModelEntity, ModelType
from invokeq.protocol.errors import MissingExtraError
from invokeq_providers.base import Provider
from invokeq_providers.call_methods import CallStyle, ModelCall, call_styles

CallT = TypeVar("CallT", bound=ModelCall)
T = TypeVar("T")


class DelegatingProvider(Provider):
    """Forwarder of all methods to the wrapped provider, unchanged; a base class for wrappers.

    Every call method passes through `forward_unary` or `forward_streaming`, even an extra method of
    a third party's provider. A subclass overrides one method, such as `text_embedding`, or a hook
    for all methods of one style.
    """

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider.name, provider.options)
        self.wrapped = provider
        self._take_over()

    def forward_unary(
        self, method: Callable[[CallT], Coroutine[Any, Any, T]], call: CallT
    ) -> Coroutine[Any, Any, T]:
        """Forward a call with one value as the answer."""
        return method(call)

    def forward_streaming(
        self, method: Callable[[CallT], AsyncGenerator[T, None]], call: CallT
    ) -> AsyncGenerator[T, None]:
        """Forward a call with a stream as the answer."""
        return method(call)

    def models(self) -> Sequence[AIModelEntity]:
        return self.wrapped.models()

    def facts(self, model_type: ModelType, model: str) -> AIModelEntity:
        return self.wrapped.facts(model_type, model)

    async def start(self, model_types: Collection[ModelType] | None = None) -> None:
        await self.wrapped.start(model_types)
        self._take_over()

    async def close(self) -> None:
        await self.wrapped.close()

    async def count_tokens(self, model: str, texts: Sequence[str]) -> Sequence[int] | None:
        return await self.wrapped.count_tokens(model, texts)

    @property
    def unwrapped(self) -> Provider:
        return self.wrapped.unwrapped

    def __getattr__(self, name: str) -> object:
        """Return an attribute of the wrapped provider beyond the attributes of `Provider`."""
        # `copy` asks for private names, and so for `wrapped`, before `__init__` has run.
        if name.startswith("_") or name == "wrapped":
            raise AttributeError(name)
        found = getattr(self.wrapped, name)
        match call_styles(type(self.unwrapped)).get(name):
            case CallStyle.UNARY:
                return partial(self.forward_unary, found)
            case CallStyle.STREAMING:
                return partial(self.forward_streaming, found)
            case None:
                return found

    def _take_over(self) -> None:
        """Copy the served model types; some providers know the types only once started."""
        self.any_model: bool = self.wrapped.any_model
        self.model_types: frozenset[ModelType] = self.wrapped.model_types
        self.missing: Mapping[ModelType, MissingExtraError] = self.wrapped.missing


def _forwarding(name: str, style: CallStyle) -> Callable[[DelegatingProvider, Any], Any]:
    """Return the method that forwards calls of a method of `Provider`."""

    def unary(self: DelegatingProvider, call: Any) -> Any:
        return self.forward_unary(getattr(self.wrapped, name), call)

    def streaming(self: DelegatingProvider, call: Any) -> Any:
        return self.forward_streaming(getattr(self.wrapped, name), call)

    return unary if style is CallStyle.UNARY else streaming


# Methods that `Provider` has are found before `__getattr__` is asked.
for _name, _style in call_styles(Provider).items():
    setattr(DelegatingProvider, _name, _forwarding(_name, _style))
