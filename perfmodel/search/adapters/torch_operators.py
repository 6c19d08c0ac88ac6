"""Recorder of the operators that torch dispatches while a module runs, as an ATen program.

The records have the form that `perfmodel.workload.importers.torch_export` reads from an exported
program, so that both share one table of operators.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from perfmodel.catalog import need
from perfmodel.workload.importers.torch_export.live_program import metadata_of, named_arguments
from perfmodel.workload.importers.torch_export.program_records import (
    AtenCall,
    AtenProgram,
    TensorReference,
)


class DispatchRecorder:
    """Records dispatched operators under the names of their submodules.

    Parameters
    ----------
    torch
        The imported torch package.
    module
        Module to record.

    Attributes
    ----------
    program
        Calls so far; tensors that no call produces are inputs.
    """

    def __init__(self, torch: Any, module: Any) -> None:
        self.module, self.program = module, AtenProgram()
        self._tensor_type: Any = torch.Tensor
        self._scope: list[str] = []
        self._names: dict[int, str] = {}
        #: Keeps named tensors alive, since the id of a freed tensor may be reused.
        self._alive: list[Any] = []
        for name, value in module.named_parameters():
            self.program.parameters[self._named(value, name)] = name
        for name, value in module.named_buffers():
            self.program.buffers[self._named(value, name)] = name

    @contextmanager
    def running(self) -> Generator[None]:
        """Record all operators dispatched inside the context."""
        mode_base: Any = need("torch.utils._python_dispatch").TorchDispatchMode
        recorder = self

        class Mode(mode_base):
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                del types
                result = func(*args, **(kwargs or {}))
                recorder.record(func, args, kwargs or {}, result)
                return result

        hooks: list[Any] = []
        for name, each in self.module.named_modules():
            hooks.append(each.register_forward_pre_hook(self._enter(name)))
            hooks.append(each.register_forward_hook(self._leave))
        try:
            with Mode():
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(*hook_arguments: Any) -> None:
            del hook_arguments
            self._scope.append(name)

        return enter

    def _leave(self, *hook_arguments: Any) -> None:
        del hook_arguments
        self._scope.pop()

    def record(self, func: Any, args: Any, kwargs: Mapping[str, Any], result: Any) -> None:
        """Add a call, named after the calling submodule."""
        name = (self._scope[-1] if self._scope else "") or str(func.overloadpacket.__name__)
        arguments = named_arguments(func, args, kwargs, self._argument)
        results = cast("list[Any]", result if isinstance(result, tuple | list) else [result])
        outputs = [
            self._named(value, name) if isinstance(value, self._tensor_type) else ""
            for value in results
        ]
        self.program.calls.append(AtenCall(str(func), arguments, outputs, name))

    def finish(self, outputs: Any) -> AtenProgram:
        """Return the program, with the recorded tensors among the module's outputs as outputs."""
        leaves: list[Any] = need("torch.utils._pytree").tree_leaves(outputs)
        self.program.outputs = [self._names[id(leaf)] for leaf in leaves if id(leaf) in self._names]
        return self.program

    def _named(self, tensor: Any, name: str) -> str:
        """Assign a unique name to a tensor; an in-place write assigns a new one."""
        metas = self.program.metadata
        name = f"{name}.{len(metas)}" if name in metas else name
        metas[name], self._names[id(tensor)] = metadata_of(tensor), name
        self._alive.append(tensor)
        return name

    def _argument(self, value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [self._argument(item) for item in cast("list[Any]", value)]
        if not isinstance(value, self._tensor_type):
            return value if value is None or isinstance(value, int | float | str) else str(value)
        if id(value) not in self._names:
            self.program.inputs.append(self._named(value, "input"))
        return TensorReference(self._names[id(value)])
