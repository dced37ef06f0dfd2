"""Options as strict pydantic models, also read off a signature; one sentence for what is wrong.

Annotations are values here, not strings: before 2.11 pydantic reads a string of ``Strict`` in the
module of each class that derives from it.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import Parameter
from numbers import Integral
from types import NoneType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import PydanticKnownError

from memrl.errors import choices, nearest


def _finite(value: Any) -> Any:
    """A value of an option whose type is not known here, if no number in it is infinite or NaN."""
    inner = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticKnownError("finite_number")
    if isinstance(value, Mapping | list | tuple):
        for each in inner:
            _finite(each)
    return value


class Strict(BaseModel):
    """Unknown keys and scalars of another type are errors; ``true`` is no number, nor is infinity.

    A field that may be infinite or NaN says so: ``Annotated[float, AllowInfNan()]``.

    Attributes:
        CHOOSER: the field whose value decides which others are read.
        READ_BY: the values of ``CHOOSER``, by the names of the fields that they read; a field that
            is always read is not in it.
    """

    CHOOSER: ClassVar[str] = "kind"
    READ_BY: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Annotated[Any, AfterValidator(_finite)]] = Field(init=False)

    def unread(self) -> set[str]:
        """The keys that change nothing beside the values of the others."""
        return {
            name for name, kinds in self.READ_BY.items() if getattr(self, self.CHOOSER) not in kinds
        }


def what_is_read(config: BaseModel) -> dict[str, Any]:
    """The keys of a config and of its groups that are read, as plain values."""
    plain: dict[str, Any] = config.model_dump(mode="json")
    unread = config.unread() if isinstance(config, Strict) else set()
    for name in type(config).model_fields:
        if isinstance(group := getattr(config, name), BaseModel):
            plain[name] = what_is_read(group)
    return {name: value for name, value in plain.items() if name not in unread}


def need_reader(
    config: BaseModel,
    kind: str,
    key: str,
    read_by: Mapping[str, tuple[str, ...]],
    *,
    chooser: str = "kind",
) -> None:
    """Raise ValueError where an option was set that the kind of a group does not read.

    Args:
        config: the options of the group.
        kind: the value of the option that decides which others are read.
        key: of the group.
        read_by: the values of that option, by the names of the options that they read.
        chooser: the name of that option.
    """
    for name, kinds in read_by.items():
        value = getattr(config, name)
        if value != type(config).model_fields[name].default and kind not in kinds:
            raise ValueError(
                f"{key}.{name}={value} is not read by {key}.{chooser}={kind} "
                f"(it is by {', '.join(kinds)})"
            )


def constructor_options(cls: type[Any]) -> type[BaseModel]:
    """The keyword-only arguments of a class's constructor as a strict pydantic model.

    Raises:
        ValueError: as ``options_of``.
    """
    constructor: Any = cls.__init__
    return options_of(constructor, Parameter.KEYWORD_ONLY)


def options_of(function: Callable[..., Any], kind: Any) -> type[BaseModel]:
    """The parameters of one ``kind`` (of ``inspect.Parameter``) as a strict pydantic model.

    One without an annotation is of its default's type, where that is a number or a string.

    Raises:
        ValueError: a parameter without a type.
    """
    hints = get_type_hints(function, include_extras=True)
    options: dict[str, Any] = {}
    for option, given in inspect.signature(function).parameters.items():
        if given.kind is not kind:
            continue
        default = given.default
        if option not in hints and type(default) not in (bool, int, float, str):
            raise ValueError(f"{option} has no type, as in {option}: int = 64")
        kept = ... if default is given.empty else default
        options[option] = hints.get(option, type(default)), kept
    return create_model("Options", __base__=Strict, **options)


def check_options(owner: str, model: type[BaseModel], options: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a model: those that are given, and the defaults of the others.

    ``owner`` is what has them, for the message: ``memory 'dnc'``.

    Raises:
        ValueError: an unknown option or a value out of range: what was given, what is allowed, and
            the nearest match.
    """
    given = {key: pythons_number(value) for key, value in options.items()}
    try:
        checked = model(**given)
    except ValidationError as error:
        raise ValueError(f"{owner}{_explain(model, error)}") from None
    # Not dict(checked): an option may be called "keys".
    return {option: getattr(checked, option) for option in model.model_fields}


def key_path(model: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """The key that an error of pydantic is about, without the names of a union's members."""
    return [str(part) for part, _ in _walk(model, loc)]


def model_at(model: type[BaseModel], loc: Iterable[int | str]) -> type[BaseModel]:
    """The innermost model that holds the key that an error of pydantic is about."""
    found = model
    for _, inside in _walk(model, loc):
        if _is_model(inside):
            found = inside
    return found


def _walk(model: type[BaseModel], loc: Iterable[int | str]) -> Iterator[tuple[int | str, Any]]:
    """The parts of a key, each with the annotation of what lies there."""
    inside: Any = model
    for part in loc:
        if _is_model(inside):
            fields = inside.model_fields
            inside = fields[part].annotation if part in fields else None
        elif isinstance(part, str):
            values = _values(inside)
            if values is None:
                continue
            inside = values
        yield part, inside


def _values(annotation: Any) -> Any:
    """The annotation of a dict's values, where a dict is annotated (or one and None), else None."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    others = [each for each in get_args(annotation) if each is not NoneType]
    optional = len(others) == 1 and get_origin(others[0]) is dict
    return get_args(others[0])[1] if optional else None


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def alternatives(errors: Iterable[Mapping[str, Any]]) -> str:
    """What would be right, out of the errors about one key: one for each member of a union."""
    said = [str(each["msg"]) for each in errors]
    first, *others = [f"{text[0].lower()}{text[1:]}".replace("input", "it", 1) for text in said]
    return " or ".join([first, *(text.removeprefix("it should be ") for text in others)])


def pythons_number(value: Any) -> Any:
    """A number of NumPy, as a sweep draws it, as Python's; anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def checked_seed(value: Any) -> int:
    """A seed for a generator of torch, from Python's or NumPy's whole number.

    Raises:
        ValueError: it is none.
    """
    return whole_number("seed", value, least=0, below=2**64)


def whole_number(name: str, value: Any, *, least: int, below: int | None = None) -> int:
    """An argument that counts, Python's or NumPy's.

    Raises:
        ValueError: it is no whole number, or outside of its range.
    """
    limits = f"at least {least}" + (f" and below {below:,}" if below is not None else "")
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} is {value!r}, allowed: a whole number, {limits}")
    number = int(value)
    if number < least or (below is not None and number >= below):
        raise ValueError(f"{name} is {number}, allowed: {limits}")
    return number


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":  # of a validator, which says it in a sentence
        return f": {first['ctx']['error']}"
    option = ".".join(key_path(model, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = ", ".join(model.model_fields) or "none"
        return f" has no option {option!r}{nearest(option, model.model_fields)} (options: {known})"
    if first["type"] == "missing":
        return f" needs a value for its option {option}"
    hint = nearest(str(first["input"]), choices(first))
    return f", option {option}={first['input']!r}: {first['msg'].lower()}{hint}"
