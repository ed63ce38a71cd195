"""State that survives a restart and is neither a parameter nor a buffer of fixed shape."""

from __future__ import annotations

from typing import Any

from torch import nn

from dmlbench.errors import ContractError, nearest


class State(nn.Module):
    """Named values inside `state_dict()`: tensors of any shape, numbers, text, dicts and lists of these.

    Fields are declared once, in the constructor; assigning is how they change, so that a typing slip is
    an error and not a new field.

    >>> state = State(banks={}, age=0)
    >>> state.age = state.age + 1
    >>> state.age
    1
    """

    def __init__(self, **values: Any) -> None:
        super().__init__()
        object.__setattr__(self, "_values", dict(values))

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        return values[name] if name in values else super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        values = self.__dict__.get("_values")
        if values is None or name == "training":
            super().__setattr__(name, value)
        elif name in values:
            values[name] = value
        else:
            raise ContractError(
                f"State has no field {name!r}",
                near=nearest(name, values),
                way_out=f"declare it in the constructor: State({name}=…)",
            )

    def get_extra_state(self) -> dict[str, Any]:
        return dict(self._values)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if state.keys() != self._values.keys():
            raise ContractError(
                f"the saved state has fields {sorted(state)}, the component {sorted(self._values)}"
            )
        self._values.update(state)
