"""The machine's agent: restores the checkpoint, starts the worker, syncs, renews the lease and ends the machine.

It computes nothing. The work runs in the engine (flow-run process), a grandchild of this process. If the engine
crashes, the agent can still save the existing files and report how the attempt ended.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from spotwave.node.agent.api_settings import api_settings
from spotwave.node.agent.attempt_files import AttemptFiles
from spotwave.node.agent.detached_engine import DetachedStarter
from spotwave.node.agent.engine import Engine, Starter, Worker
from spotwave.node.agent.engine_exit import unreported_exit
from spotwave.node.agent.lease import Fenced, LeaseClient, LeaseKeeper, Renews
from spotwave.node.agent.mailbox_lease import CALL_S, RemoteLease
from spotwave.node.agent.notice import notice_watcher
from spotwave.node.agent.sync import Syncer
from spotwave.node.contract import (
    CHECKPOINT_DIR,
    HEARTBEAT_FILE,
    OUTCOME_FILE,
    OUTPUT_DIR,
    PROGRESS_FILE,
    SAVE_S,
    SECRET_RCLONE,
    STOP_FILE,
    Brief,
    Cause,
    Ending,
    Lease,
    Outcome,
    Phase,
    Progress,
)
from spotwave.node.runtime.shortage import OomCounter, lacking
from spotwave.node.storage import checkpoint
from spotwave.node.storage.redact import Scrub
from spotwave.node.storage.remote import Remote, RemoteError, RemoteNoRoom

log = logging.getLogger("agent")

TICK_S = 0.5
CRASH_PATIENCE_S = 20.0  # longest wait for the engine to end after SIGTERM, if the notice leaves that much time


class Agent:
    """Runs one attempt on one machine. `run` returns when the machine may end. scrub: removes secrets from a text."""

    def __init__(self, work: Path, secrets: Path, rclone: str, brief: Brief, scrub: Scrub) -> None:
        self._work = work
        self._scrub = scrub
        self._brief = brief
        self._remote = Remote(rclone, secrets / SECRET_RCLONE, brief.remote)
        self._sync = Syncer(self._remote, work, brief)
        self._engine = Engine(work)
        self._notice = notice_watcher(brief.notice_s)
        self._phase = Phase.BOOTING
        self._outcome: Outcome | None = None
        self._stop: Outcome | None = None
        self._end_by = brief.deadline
        self._fenced = False
        self._hinted = False
        self._oom = OomCounter()
        self._wake = threading.Event()
        mailbox = Remote(rclone, secrets / SECRET_RCLONE, brief.remote, call_s=CALL_S)
        self._files = AttemptFiles(mailbox, work, brief.folder)
        lease, self._worker = self._detached(mailbox) if brief.detached else self._attached(secrets)
        period_s = max(brief.lease_s, brief.beat_s) if brief.detached else brief.lease_s
        fallback = None if brief.detached else self._files.heartbeat  # a detached machine's lease is there already
        self._lease = LeaseKeeper(lease, period_s, self._current_lease, self._on_fenced, fallback)

    def _attached(self, secrets: Path) -> tuple[Renews, Starter]:
        """Return lease and worker that use the controller's Prefect API."""
        api = api_settings(secrets)
        return LeaseClient(api, self._brief.lease_id), Worker(self._brief, api, self._work)

    def _detached(self, mailbox: Remote) -> tuple[Renews, Starter]:
        """Return lease and starter that use the remote instead of a Prefect API. mailbox: with a short timeout."""
        lease = RemoteLease(mailbox, self._work, self._brief.folder)
        return lease, DetachedStarter(self._brief, mailbox, self._work)

    def stop(self, ending: Ending, reason: str, cause: Cause | None = None) -> None:
        """Ask the attempt to end early. Only the first call has an effect on the outcome."""
        if self._stop is None:
            log.info("stopping: %s", reason)
            self._stop = Outcome(ending, reason, cause=cause, notice_at=time.time())
        self._wake.set()

    def run(self) -> None:
        """Run the attempt from restore to the last copy."""
        (self._work / OUTPUT_DIR).mkdir(parents=True, exist_ok=True)
        self._lease.start()
        try:
            self._worker.prepare()
            self._restore()
            if self._stop is None:
                self._worker.start()
                self._sync.start()
                self._watch()
            self._save()
        finally:
            self._engine.kill()
            self._worker.stop()
            self._lease.stop()

    def _restore(self) -> None:
        """Fetch the newest checkpoint. Work must not begin before it is known whether one exists."""
        try:
            manifest = checkpoint.restore(self._remote, self._work / CHECKPOINT_DIR, log=log.warning)
        except checkpoint.CheckpointCorrupt as error:
            self.stop(Ending.FAILED, f"all checkpoints on the remote are damaged (none was removed): {error}")
            return
        except RemoteNoRoom as error:
            self.stop(Ending.LOST, f"the checkpoint does not fit on the disk: {error}", Cause.DISK)
            return
        except RemoteError as error:
            self.stop(Ending.LOST, f"the remote cannot be read: {error}", lacking(error))
            return
        except OSError as error:
            self.stop(Ending.LOST, f"the checkpoint cannot be written: {error}", lacking(error) or Cause.PROGRAM)
            return
        if manifest is None:
            log.info("no checkpoint on the remote: starting from the beginning")
            return
        log.info("restored checkpoint %s (%s)", manifest.generation, manifest.step)
        self._sync.restored(manifest.generation, manifest.step)

    def _watch(self) -> None:
        """Wait until the engine has ended or must end."""
        booted = time.monotonic()
        last = Progress()
        while self._stop is None:
            if self._engine.started:
                self._enter(Phase.WORKING)
                if not self._engine.alive:
                    return
                if self._lease.silent_s > self._brief.done_s and (self._work / OUTCOME_FILE).exists():
                    log.warning(
                        "the work is done and the Prefect API does not answer: not waiting for the run's retries"
                    )
                    return
            elif not self._worker.stays_up():
                self._stop = self._worker.engines_end() or Outcome(
                    Ending.LOST, f"the worker ended before the run: {self._worker.last_lines()}{self._lease_problem()}"
                )
            elif time.monotonic() - booted > self._brief.boot_s:
                self.stop(Ending.FORGOTTEN, f"no run started within {self._brief.boot_s:.0f} s{self._lease_problem()}")
            elif self._lease.silent_s > self._brief.silence_s:
                silent_s = self._lease.silent_s
                self.stop(Ending.FORGOTTEN, f"no lease renewal for {silent_s:.0f} s{self._lease_problem()}")
            if notice := self._notice.poll():
                self._end_by = min(self._end_by, notice.time)
                if notice.host_down:
                    self.stop(Ending.HOST_DOWN, f"the host shuts down in {notice.left_s:.0f} s")
                else:
                    self.stop(Ending.INTERRUPTED, f"the cloud reclaims the machine in {notice.left_s:.0f} s")
            elif time.time() >= self._brief.deadline - max(SAVE_S, 2 * self._sync.push_s):
                self.stop(Ending.DEADLINE, "the time limit is nearly reached")
            if not self._hinted and (hint := self._notice.hint()):
                self._hinted = True
                log.warning("%s; copying the current files to the remote", hint)
                self._sync.soon()
            if (progress := self._progress()) != last:
                last = progress
                self._lease.progressed()
            self._wake.wait(TICK_S)

    def _lease_problem(self) -> str:
        """Return why the last lease renewal failed, in parentheses to append to a sentence; '' if it succeeded."""
        return f" ({self._lease.problem})" if self._lease.problem else ""

    def _enter(self, phase: Phase) -> None:
        if phase is not self._phase:
            self._phase = phase
            self._lease.changed()

    def _save(self) -> None:
        """Copy everything, then report how the attempt ended. The outcome is the last file written."""
        if self._fenced:
            return
        self._enter(Phase.SAVING)
        if self._stop is not None:
            self._end_engine()
        outcome = self._verdict()
        outcome = replace(outcome, reason=self._scrub(outcome.reason))  # it may quote output of a program or worker
        unsaved = self._sync.finish(self._end_by)
        if unsaved is not None and outcome.ending is Ending.COMPLETED:
            outcome = Outcome(Ending.LOST, f"the results could not be copied to the remote: {unsaved}")
        reason = "; ".join([outcome.reason, *self._sync.remarks])
        outcome = replace(
            outcome,
            reason=reason,
            generation=self._sync.generation,
            sent_bytes=self._sync.sent_bytes,
            step=outcome.step or self._progress().step,
            notice_at=self._stop.notice_at if self._stop is not None else None,
            saved_at=self._sync.saved_at,
        )
        try:
            self._remote.write(f"{self._brief.folder}/{OUTCOME_FILE}", outcome.to_json().encode())
        except RemoteError as error:
            log.warning("outcome not written to the remote: %s", error)
        self._outcome, self._phase = outcome, Phase.ENDED
        log.info("%s: %s", outcome.ending, outcome.reason)
        self._report_end()

    def _end_engine(self) -> None:
        """Ask the flow for a last checkpoint and wait. Of the remaining time, reserve enough for the last copy."""
        assert self._stop is not None
        self._stop.write(self._work / STOP_FILE)
        if not self._engine.alive:
            return
        reserve = 1.0 + 1.5 * self._sync.push_s
        patience = min(CRASH_PATIENCE_S, max(1.0, self._end_by - time.time() - reserve))
        self._engine.terminate()
        if not self._engine.wait(patience):
            log.warning("the run did not end within %.0f s after SIGTERM and was killed", patience)
            self._engine.kill()

    def _verdict(self) -> Outcome:
        """Return the node run's outcome, else the reason of the stop, else that of an unreported exit."""
        try:
            reported = Outcome.read(self._work / OUTCOME_FILE)
        except (FileNotFoundError, ValueError):  # a program may have written anything to this file
            reported = None
        if reported is not None and reported.ending in (Ending.COMPLETED, Ending.FAILED):
            return reported
        if self._stop is not None:
            return self._stop
        return reported or unreported_exit(self._oom, self._work)

    def _report_end(self) -> None:
        """Renew the lease with the outcome, with a few retries: the controller then need not wait for a timeout."""
        for _ in range(3):
            try:
                if self._lease.renew():
                    return
            except Fenced:
                return
            if time.time() + TICK_S >= self._end_by:
                return
            time.sleep(TICK_S)

    def _progress(self) -> Progress:
        try:
            return Progress.read(self._work / PROGRESS_FILE)
        except (FileNotFoundError, ValueError):
            return Progress()

    def _current_lease(self, beat: int) -> Lease:
        lease = Lease(
            beat,
            self._phase,
            self._progress(),
            self._sync.generation,
            self._outcome,
            sent_bytes=self._sync.sent_bytes,
        )
        try:
            lease.write(self._work / HEARTBEAT_FILE)
        except OSError as error:  # only a copy for the remote: on a full disk the lease itself must still be renewed
            log.warning("%s not written: %s", HEARTBEAT_FILE, error)
        return lease

    def _on_fenced(self) -> None:
        """Stop after the lease was deleted. If the fence file on the remote allows time to save, save first."""
        if save_s := self._files.may_save_for():
            self._end_by = min(self._end_by, time.time() + save_s)
            self.stop(Ending.SUSPENDED, "the job was suspended")
            return
        self._fenced = True
        self.stop(Ending.LOST, "the controller gave up this attempt")
