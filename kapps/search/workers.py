"""Evaluates the cells of a method: in this process, or by many workers on many machines that share an Optuna storage.

Optuna is the extra `search`: pip install 'kapps[search]'. What a method asks for next depends on the finished trials
and its seed only, so that each worker makes the method again from the storage; the evaluations are asynchronous.
"""

import copy
import datetime
import json
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from kapps._values import is_integer, short
from kapps.search.methods.method import Method

GRACE = 60.0
"""Seconds after which a trial may be reclaimed, however short the finished ones were."""
MEDIANS = 3
"""A trial is reclaimed after this many medians of the finished trials' times."""
POLL = 0.2
"""Seconds between two reads of the trials of others."""
CELL, AGAIN = "cell", "evaluates_again"
"""Attributes of a trial: its cell, and the number of the trial whose cell it evaluates again."""


def run(
    method: Method,
    judge: Callable,
    evaluations: int,
    *,
    storage: str | os.PathLike | None = None,
    name: str = "search",
    grace: float = GRACE,
    report: Callable | None = None,
) -> Method:
    """Evaluates cells until `evaluations` have a score, and returns the method with all of them.

        kapps.search.workers.run(method, judge, 100)                             # in this process
        kapps.search.workers.run(method, judge, 100, storage="trials.journal")   # the same command in any number of
        workers

    With a storage, all workers evaluate trials of one study, and all return when it is complete. A worker that is
    killed loses nothing: after `grace` seconds and three medians of the finished trials' times, another one evaluates
    the cell of its trial again. A journal whose last line is incomplete, as after a power cut, is cut to whole lines.

    Args:
        method: method without a score; with a storage, equal in all workers.
        judge: function of a cell that returns its score.
        evaluations: number of scores of the whole search.
        storage: a file for Optuna's journal, also on NFS, or the URL of a database, such as
            "postgresql://user@host/trials"; None for this process only.
        name: of the study in the storage.
        grace: seconds.
        report: function of the method after each evaluation of this worker.

    Raises:
        ValueError: if Optuna is not installed, for a storage that cannot be read, and for a study of another method.
    """
    if not is_integer(evaluations):
        raise ValueError(f"evaluations={short(evaluations)} is not a positive integer")
    if storage is None:
        while len(method.history) < evaluations:
            cell = method.pending[0] if method.pending else method.ask()
            method.tell(cell, judge(cell))
            if report:
                report(method)
        return method
    study = Study(method, os.fspath(storage), name, grace)
    while not study.is_complete(evaluations):
        claimed = study.claim(evaluations)
        if claimed is None:
            time.sleep(POLL)  # others evaluate the last trials
            continue
        number, cell = claimed
        try:
            score = judge(cell)
        except BaseException:
            study.release(number, cell)
            raise
        if study.finish(number, score) and report:
            report(study.rebuilt())
    return study.rebuilt()


class Study:
    """A study of Optuna whose trials are the cells of a method.

    Args:
        method, name, grace: as for `run`.
        storage: file of a journal, or the URL of a database.
    """

    def __init__(self, method: Method, storage: str, name: str, grace: float):
        try:
            import optuna
        except ImportError:
            raise ValueError(
                "a storage of several workers needs Optuna: pip install 'kapps[search]'"
            ) from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.optuna, self.method, self.grace = optuna, method, grace
        self.states = optuna.trial.TrialState
        self.journal = None if "://" in storage else storage
        if self.journal:
            folder = os.path.dirname(self.journal)
            if folder:
                os.makedirs(folder, exist_ok=True)
            cut_incomplete_line(self.journal)
            backend = optuna.storages.journal.JournalFileBackend(self.journal)
            self.storage = optuna.storages.JournalStorage(backend)
        else:
            self.storage = optuna.storages.RDBStorage(storage)
        self.study = optuna.create_study(
            study_name=name, storage=self.storage, direction="maximize", load_if_exists=True
        )
        identity = json.dumps(method.settings(), sort_keys=True)
        stored = self.study.user_attrs.get("method")
        if stored is None:
            self.study.set_user_attr("method", identity)
        elif stored != identity:
            raise ValueError(
                f"{storage}: study {name!r} is of {short(stored, 160)}, not {short(identity, 160)}: pass another name"
            )

    def trials(self, *states) -> list:
        """Returns the trials with these states, all without any."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def is_complete(self, evaluations: int) -> bool:
        """Returns whether as many trials have a score."""
        return len(self.trials(self.states.COMPLETE)) >= evaluations

    def rebuilt(self) -> Method:
        """Returns the method with the scores of all finished trials, and the cells of the others as pending."""
        method = copy.deepcopy(self.method)
        trials = self.trials()
        finished = [x for x in trials if x.state == self.states.COMPLETE]
        for trial in sorted(finished, key=lambda x: (x.datetime_complete, x.number)):
            method.tell(trial.user_attrs[CELL], trial.value)
        running = [x for x in trials if x.state == self.states.RUNNING and CELL in x.user_attrs]
        method.pending = [trial.user_attrs[CELL] for trial in running]
        return method

    def claim(self, evaluations: int) -> tuple[int, str] | None:
        """Returns the number of a new trial and its cell; `None` if others evaluate all that are left."""
        if self.journal:
            cut_incomplete_line(self.journal)
        self.reclaim()
        counted = self.states.COMPLETE, self.states.RUNNING
        if len(self.trials(*counted)) >= evaluations:
            return None
        trial = self.study.ask()
        before = [x for x in self.trials(*counted) if x.number < trial.number]
        again = trial.user_attrs.get(AGAIN)
        twins = [x for x in self.trials() if again is not None and x.user_attrs.get(AGAIN) == again]
        twins = [x for x in twins if x.number < trial.number and x.state != self.states.FAIL]
        if len(before) >= evaluations or twins:  # another worker was faster
            self.study.tell(trial, state=self.states.FAIL)
            return None
        cell = trial.user_attrs.get(CELL)
        if cell is None:
            method = self.rebuilt()
            method.random = np.random.default_rng([method.seed, trial.number])
            cell = method.ask()
            trial.set_user_attr(CELL, cell)
        return trial.number, cell

    def finish(self, number: int, score: float) -> bool:
        """Stores the score of a trial, and returns whether it counts: not if another worker has reclaimed it."""
        try:
            self.study.tell(number, float(score))
        except (ValueError, self.optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def release(self, number: int, cell: str) -> bool:
        """Lets the cell of a trial be evaluated again, and ends the trial without a score.

        Returns whether this call ended it. Several workers may release a trial: `claim` keeps one of the new ones.
        """
        if cell is not None:  # first, so that no other cell takes the place
            self.study.enqueue_trial({}, user_attrs={CELL: cell, AGAIN: number})
        try:
            self.study.tell(number, state=self.states.FAIL)
        except (ValueError, self.optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def reclaim(self) -> None:
        """Releases the trials of killed workers, by their age: a journal has no heartbeats."""
        finished = self.trials(self.states.COMPLETE)
        seconds = [trial.duration.total_seconds() for trial in finished]
        limit = max(self.grace, MEDIANS * statistics.median(seconds) if seconds else 0.0)
        for trial in self.trials(self.states.RUNNING):
            age = datetime.datetime.now() - trial.datetime_start  # noqa: DTZ005  # Optuna's times have no zone
            # Without a finished trial its time is unknown.
            if age.total_seconds() > limit and (seconds or age.total_seconds() > 10 * self.grace):
                self.release(trial.number, trial.user_attrs.get(CELL))


def cut_incomplete_line(path: str) -> bool:
    """Cuts what follows the last whole line of a journal, and returns whether there was anything.

    A process that is killed while it writes, or a power cut, leaves a part of a line. Optuna 5 reads such a file, and
    its next write fails.
    """
    from optuna.storages.journal import JournalFileSymlinkLock

    if not os.path.exists(path) or _is_whole(path):
        return False
    lock = JournalFileSymlinkLock(path)
    lock.acquire()
    try:
        if _is_whole(path):
            return False
        with open(path, "rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            os.fsync(file.fileno())
        return True
    finally:
        lock.release()


def _is_whole(path):
    with open(path, "rb") as file:
        if not file.seek(0, os.SEEK_END):
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
