"""The field types shared by several tables of invokeq.toml, and the base class of a table."""

from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from invokeq.protocol.entities import ModelType
from invokeq.protocol.errors import InvalidRequestError
from invokeq.protocol.names import canonical_provider
from invokeq.protocol.redis.keys import check_name
from invokeq_worker.config.messages import suggest


class Table(BaseModel):
    """A table of invokeq.toml: frozen, without unknown settings; errors do not show the input."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True
    )


def _no_bool(value: Any) -> Any:
    # pydantic accepts true as 1
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _key_name(name: str) -> str:
    try:
        return check_name("name", name)
    except InvalidRequestError as error:
        raise ValueError(error.problem) from None


def _model_name(name: str) -> str:
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        raise ValueError("must be provider/model, such as openai/gpt-4o-mini")
    return name


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_no_bool)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_no_bool)]
Depth = Annotated[int, Field(ge=0), BeforeValidator(_no_bool)]
Name = Annotated[str, AfterValidator(_key_name)]
ModelName = Annotated[str, AfterValidator(_model_name)]


class Queue(NamedTuple):
    """The parts of a queue's name: `<model type>` or `<model type>.<provider>`."""

    model_type: ModelType
    provider: str | None

    @property
    def name(self) -> str:
        """The name of the queue, with the canonical name of the provider."""
        return ".".join(filter(None, (self.model_type.value, self.provider)))

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a queue name; raise ValueError, with the known model types, for a wrong one."""
        kind, _, provider = name.partition(".")
        known = [member.value for member in ModelType]
        if kind not in known:
            raise ValueError(f"no model type is called {kind!r}; {suggest(kind, known)}")
        if name != kind and not provider:
            raise ValueError(f"names no provider after the dot; write {kind} or {kind}.<provider>")
        return cls(ModelType(kind), canonical_provider(_key_name(provider)) if provider else None)


def _queue_name(name: str) -> str:
    return Queue.parse(name).name


QueueName = Annotated[str, AfterValidator(_queue_name)]
