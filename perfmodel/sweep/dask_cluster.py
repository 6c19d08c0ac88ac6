"""Executor on a Dask cluster (extra ``dask``).

The task is sent to every worker once, and chunks in batches. A worker with another version of
perfmodel, or with other contents of the files that the sweep reads, refuses to compute.
"""

from __future__ import annotations

import hashlib
import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from perfmodel._version import __version__
from perfmodel.catalog import need
from perfmodel.errors import Fault, InputError
from perfmodel.sweep.chunk import ChunkResult, ChunkTask

#: Largest number of chunks per task: one of 8,192 points takes about as long as its dispatch.
_BATCH: Final = 8
#: Timeouts for connecting, and between checks on a late result.
_CONNECT_S: Final = 10.0
_LOOK_S: Final = 5.0


class Dask:
    """Workers of a Dask cluster; each receives the plan once.

    Parameters
    ----------
    address : str
        Address of the scheduler, ``host:port``.
    patience_s : float
        Time to wait while there are no workers.

    Raises
    ------
    InputError
        The extra is not installed, the address does not respond, or there are no workers.

    Notes
    -----
    Chunks are submitted in batches, a bounded number ahead, and returned in order, so that memory
    stays constant. Chunks of a lost worker are recomputed by another one. Every worker compares the
    plan's fingerprint with that of its own inputs: one with another version, or with other contents
    of a device or a model, is rejected. Dask transfers Python objects by pickle: use only a trusted
    cluster.
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
        """Return the client, connected on first use."""
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
        """Return address -> number of threads of each worker."""
        return dict(self._connected().nthreads())

    def close(self) -> None:
        """Disconnect from the cluster."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def map(self, task: ChunkTask, chunks: Sequence[int]) -> Iterator[ChunkResult]:
        """Yield ``task(chunk)`` for the chunks, in order.

        Raises
        ------
        InputError
            A worker with another version or other files, or one that fails; a lost cluster. Rows
            written so far remain, for ``--resume``.
        """
        client = self._connected()
        # The plan without cached properties: each worker recomputes and compares them.
        payload = pickle.dumps(replace(task, plan=replace(task.plan)))
        name = hashlib.sha256(payload).hexdigest()
        shared_task = client.submit(bytes, payload, key=f"perfmodel-sweep-{name}")
        size = max(1, min(_BATCH, len(chunks) // (4 * self.workers)))
        batches = (chunks[at : at + size] for at in range(0, len(chunks), size))
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                waiting.append(
                    client.submit(
                        _batch,
                        shared_task,
                        name,
                        task.plan.fingerprint,
                        __version__,
                        tuple(batch),
                        pure=False,
                        retries=2,
                    )
                )
                if len(waiting) > 2 * self.workers:
                    yield from self._results(waiting.popleft())
            while waiting:
                yield from self._results(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()
            self.close()

    def _results(self, future: Any) -> Iterator[ChunkResult]:
        """Yield the results of a submitted batch, waiting while the cluster has workers."""
        empty_since: float | None = None
        late = need("distributed").TimeoutError
        while True:
            try:
                results = future.result(timeout=_LOOK_S)
                break
            except (TimeoutError, late):
                empty_since = self._check_workers(empty_since)
            except InputError:
                raise
            except Exception as error:
                raise InputError(
                    _fault(
                        f"the cluster at {self.address} failed: {type(error).__name__}: {error}",
                        "workers with this version of perfmodel and its files; --resume goes on",
                    )
                ) from error
        yield from results

    def _check_workers(self, empty_since: float | None) -> float | None:
        """Return the time since which there are no workers; raise if that is too long ago."""
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
    """Return a fault of the option that names the cluster."""
    return Fault(message, file="--executor", expected=expected)


#: Most recent task of this process, by the digest of its payload.
_TASKS: dict[str, ChunkTask] = {}


def _batch(
    payload: bytes, name: str, fingerprint: str, version: str, chunks: tuple[int, ...]
) -> list[ChunkResult]:
    """Return the results of some chunks; runs on a worker."""
    task = _TASKS.get(name)
    if task is None:
        if version != __version__:
            raise InputError(_fault(f"a worker has perfmodel {__version__}", version))
        task = pickle.loads(payload)
        assert isinstance(task, ChunkTask)
        if task.plan.fingerprint != fingerprint:
            raise InputError(
                _fault(
                    "a worker has other contents of a device, a runtime or a model",
                    "the same files on every machine",
                )
            )
        _TASKS.clear()
        _TASKS[name] = task
    return list(map(task, chunks))
