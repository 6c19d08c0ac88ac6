"""A sweep's chunks as jobs of a SLURM cluster, through the `Executor` interface.

``Jobs("slurm")`` hands chunks to ``sbatch`` as one job array; ``Jobs("local")`` runs the same jobs
as processes of this machine. Needs ``pip install submitit``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import perfmodel as pm
from perfmodel.sweep.chunk import ChunkResult, ChunkTask


def some_chunks(task: ChunkTask, chunks: Sequence[int]) -> list[ChunkResult]:
    """Run on a node: the rows of some chunks, and their summaries."""
    return [task(index) for index in chunks]


class Jobs:
    """An executor whose workers are jobs.

    Parameters
    ----------
    cluster : str
        ``slurm``, or ``local`` for processes here.
    folder : path
        Where submitit keeps what the jobs read and write; on a file system that all nodes see.
    jobs : int
        Into how many jobs the chunks are divided.
    **parameters
        As ``sbatch`` knows them, with submitit's names: ``slurm_partition="cpu"``, ``timeout_min``.
    """

    def __init__(
        self, cluster: str, folder: str | Path = "jobs", jobs: int = 8, **parameters: object
    ) -> None:
        import submitit

        self.workers = jobs
        self._submit = submitit.AutoExecutor(folder=folder, cluster=cluster)
        self._submit.update_parameters(**parameters)

    def map(self, task: ChunkTask, chunks: Sequence[int]) -> Iterator[ChunkResult]:
        """Yield ``task(chunk)`` of the chunks, in their order."""
        size = -(-len(chunks) // self.workers)
        batches = [chunks[at : at + size] for at in range(0, len(chunks), max(size, 1))]
        with self._submit.batch():  # one job array
            submitted = [self._submit.submit(some_chunks, task, batch) for batch in batches]
        for job in submitted:
            yield from job.result()


if __name__ == "__main__":
    table = pm.sweep(
        "llama_3_8b",
        ["a100", "rtx_4090"],
        {
            "batch": "1..64",
            "context": "1024,2048,4096",
            "memories.main.bandwidth": "logspace(1e11, 2e12, 100)",
        },
        output="points.csv",
        executor=Jobs(sys.argv[1] if len(sys.argv) > 1 else "local", jobs=4, timeout_min=60),
    )
    print(len(table), "points")
