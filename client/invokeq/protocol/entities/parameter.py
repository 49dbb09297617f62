"""The rules of one model parameter, and the templates of rules."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Self, cast

from pydantic import BaseModel, model_validator

from invokeq.protocol.entities.i18n import I18nObject


class ParameterType(Enum):
    """The type of a model parameter; `text` is a string of several lines."""

    FLOAT = "float"
    INT = "int"
    STRING = "string"
    BOOLEAN = "boolean"
    TEXT = "text"


class DefaultParameterName(Enum):
    """The parameters with a template."""

    TEMPERATURE = "temperature"
    TOP_P = "top_p"
    TOP_K = "top_k"
    PRESENCE_PENALTY = "presence_penalty"
    FREQUENCY_PENALTY = "frequency_penalty"
    MAX_TOKENS = "max_tokens"
    RESPONSE_FORMAT = "response_format"
    JSON_SCHEMA = "json_schema"

    @classmethod
    def value_of(cls, value: Any) -> Self:
        """Return the name of a wire value; raise ValueError for an unknown value."""
        return cls(value)


class ParameterRule(BaseModel):
    """The values that one parameter of a model accepts.

    The fields of the template `use_template` stand in for missing fields; an unknown template is
    ignored. The name stands in for a missing label.
    """

    name: str
    use_template: str | None = None
    label: I18nObject
    type: ParameterType
    help: I18nObject | None = None
    required: bool = False
    default: Any | None = None
    min: float | None = None
    max: float | None = None
    precision: int | None = None
    options: list[str] = []

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        given = cast(dict[str, Any], data)
        rule = {**_template(given.get("use_template")), **given}
        if not rule.get("label") and "name" in rule:
            rule["label"] = {"en_US": rule["name"]}
        return rule


def _template(name: Any) -> Mapping[str, Any]:
    try:
        return TEMPLATES[DefaultParameterName(name)]
    except ValueError:
        return {}


TEMPLATES: Mapping[DefaultParameterName, Mapping[str, Any]] = {
    DefaultParameterName.TEMPERATURE: {
        "label": {"en_US": "Temperature", "zh_Hans": "温度"},
        "help": {
            "en_US": "How varied the answer is. At 0 the model keeps to the likeliest words.",
            "zh_Hans": "数值越高回答越多样",
        },
        "type": "float",
        "default": 0.0,
        "min": 0.0,
        "max": 1.0,
        "precision": 2,
    },
    DefaultParameterName.TOP_P: {
        "label": {"en_US": "Top P", "zh_Hans": "Top P"},
        "help": {
            "en_US": "Samples only from the likeliest tokens that together reach this probability.",
            "zh_Hans": "只从累计概率达到该比例的候选词中采样",
        },
        "type": "float",
        "default": 1.0,
        "min": 0.0,
        "max": 1.0,
        "precision": 2,
    },
    DefaultParameterName.TOP_K: {
        "label": {"en_US": "Top K", "zh_Hans": "Top K"},
        "help": {
            "en_US": "Samples only from this many of the likeliest tokens.",
            "zh_Hans": "只从概率最高的若干候选词中采样",
        },
        "type": "int",
        "default": 50,
        "min": 1,
        "max": 100,
        "precision": 0,
    },
    DefaultParameterName.PRESENCE_PENALTY: {
        "label": {"en_US": "Presence Penalty", "zh_Hans": "存在惩罚"},
        "help": {
            "en_US": "Makes every token that has occurred less likely.",
            "zh_Hans": "降低已出现的词再次出现的概率",
        },
        "type": "float",
        "default": 0.0,
        "min": 0.0,
        "max": 1.0,
        "precision": 2,
    },
    DefaultParameterName.FREQUENCY_PENALTY: {
        "label": {"en_US": "Frequency Penalty", "zh_Hans": "频率惩罚"},
        "help": {
            "en_US": "Makes a token less likely the more often it has occurred.",
            "zh_Hans": "词出现得越多再次出现的概率越低",
        },
        "type": "float",
        "default": 0.0,
        "min": 0.0,
        "max": 1.0,
        "precision": 2,
    },
    DefaultParameterName.MAX_TOKENS: {
        "label": {"en_US": "Max Tokens", "zh_Hans": "最大标记"},
        "help": {
            "en_US": "How many tokens the answer may have at most. A longer answer is cut off.",
            "zh_Hans": "回答最多包含的标记数",
        },
        "type": "int",
        "default": 64,
        "min": 1,
        "max": 2048,
        "precision": 0,
    },
    DefaultParameterName.RESPONSE_FORMAT: {
        "label": {"en_US": "Response Format", "zh_Hans": "回复格式"},
        "help": {"en_US": "The format of the answer.", "zh_Hans": "回答的格式"},
        "type": "string",
        "options": ["JSON", "XML"],
    },
    DefaultParameterName.JSON_SCHEMA: {
        "label": {"en_US": "JSON Schema"},
        "help": {
            "en_US": "The JSON schema that the answer obeys.",
            "zh_Hans": "回答必须符合的 JSON Schema",
        },
        "type": "text",
    },
}
"""The fields of each template, in the form of a `ParameterRule`."""
