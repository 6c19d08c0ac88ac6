"""Chunks of a sweep on a Dask cluster (extra ``dask``)."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from perfmodel._version import __version__
from perfmodel.catalog import need
from perfmodel.errors import Fault, InputError
from perfmodel.sweep.evaluate import evaluate
from perfmodel.sweep.packed import PackedTable, pack, unpack
from perfmodel.sweep.plan import SweepPlan
from perfmodel.table import Table

#: Chunks of a task at most: one of 8,192 points takes some 10 ms, as long as to hand it out.
_BATCH: Final = 8
#: Time to connect, and between two looks at what a late result is waiting for.
_CONNECT_S: Final = 10.0
_LOOK_S: Final = 5.0


class Dask:
    """Workers of a Dask cluster, each of which reads the plan once.

    Parameters
    ----------
    address : str
        Of the scheduler, ``host:port``.
    patience_s : float
        How long to wait for a worker while there is none.

    Raises
    ------
    InputError
        The extra is not installed, nobody answers at the address, or there are no workers.

    Notes
    -----
    Chunks go out in batches, a bounded number of them ahead, and come back in order, so memory
    stays flat. What a lost worker held is computed again by another one. Every worker compares
    the plan's fingerprint with what it makes of it: a worker with another version, or with other
    contents of a device or a model, is refused rather than believed. Dask moves Python objects by
    pickle: the cluster must be your own.
    """

    def __init__(self, address: str, *, patience_s: float = 60.0) -> None:
        self.address = address
        self._patience_s = patience_s
        self._client: Any = None
        self.workers = sum(self._threads().values())
        if not self.workers:
            self.close()
            raise InputError(
                _fault(
                    f"the scheduler at {address} has no workers",
                    f"some, such as: dask worker tcp://{address}",
                )
            )

    def _connected(self) -> Any:
        if self._client is None:
            client = need("distributed").Client
            try:
                self._client = client(
                    f"tcp://{self.address}", timeout=_CONNECT_S, set_as_default=False
                )
            except (OSError, TimeoutError) as error:
                raise InputError(
                    _fault(
                        f"no Dask scheduler answers at {self.address}",
                        "the address of one, such as that printed by: dask scheduler",
                    )
                ) from error
        return self._client

    def _threads(self) -> dict[str, int]:
        return dict(self._connected().nthreads())

    def close(self) -> None:
        """Leave the cluster."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def tables(self, plan: SweepPlan, chunks: Sequence[int]) -> Iterator[Table]:
        """Yield the tables of the chunks, in their order.

        Raises
        ------
        InputError
            A worker that is of another version or has other files, or that fails; a cluster that
            has gone. What is written so far stays, for ``--resume``.
        """
        client = self._connected()
        # A plan without what it has worked out: each worker works it out again, and compares.
        payload = pickle.dumps(replace(plan))
        held = client.submit(bytes, payload, key=f"perfmodel-plan-{plan.fingerprint}")
        size = max(1, min(_BATCH, len(chunks) // (4 * self.workers)))
        batches = (chunks[at : at + size] for at in range(0, len(chunks), size))
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                waiting.append(
                    client.submit(
                        _batch,
                        held,
                        plan.fingerprint,
                        __version__,
                        tuple(batch),
                        pure=False,
                        retries=2,
                    )
                )
                if len(waiting) > 2 * self.workers:
                    yield from self._taken(waiting.popleft())
            while waiting:
                yield from self._taken(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()
            self.close()

    def _taken(self, future: Any) -> Iterator[Table]:
        empty_since: float | None = None
        late = need("distributed").TimeoutError
        while True:
            try:
                found = future.result(timeout=_LOOK_S)
                break
            except (TimeoutError, late):
                empty_since = self._looked(empty_since)
            except InputError:
                raise
            except Exception as error:
                raise InputError(
                    _fault(
                        f"the cluster at {self.address} failed: {type(error).__name__}: {error}",
                        "workers with this version of perfmodel and its files; --resume goes on",
                    )
                ) from error
        for one in found:
            yield unpack(one)

    def _looked(self, empty_since: float | None) -> float | None:
        """Return since when there has been no worker; a fault when that is too long."""
        now = time.monotonic()
        if self._client.status != "running":
            raise InputError(
                _fault(
                    f"the scheduler at {self.address} has gone",
                    "one that answers; --resume goes on",
                )
            )
        if self._threads():
            return None
        since = now if empty_since is None else empty_since
        if now - since > self._patience_s:
            raise InputError(
                _fault(
                    f"the scheduler at {self.address} has lost all its workers",
                    "some; --resume goes on",
                )
            )
        return since


def _fault(message: str, expected: str) -> Fault:
    return Fault(message, file="--executor", expected=expected)


#: Plans of this process by fingerprint: the last one.
_PLANS: dict[str, SweepPlan] = {}


def _batch(
    payload: bytes, fingerprint: str, version: str, chunks: tuple[int, ...]
) -> list[PackedTable]:
    """On a worker: the tables of some chunks."""
    plan = _PLANS.get(fingerprint)
    if plan is None:
        if version != __version__:
            raise InputError(_fault(f"a worker has perfmodel {__version__}", version))
        plan = pickle.loads(payload)
        assert isinstance(plan, SweepPlan)
        if plan.fingerprint != fingerprint:
            raise InputError(
                _fault(
                    "a worker has other contents of a device, a runtime or a model",
                    "the same files on every machine",
                )
            )
        _PLANS.clear()
        _PLANS[fingerprint] = plan
    return [pack(evaluate(plan, plan.chunks[index])) for index in chunks]
