# SPDX-License-Identifier: Apache-2.0

"""The OCF agent: what Pacemaker calls, and how it is answered.

Thin: parameters in, a pass in ``start`` and in each recurring ``monitor``,
exit codes out (OCF 1.1, resource agent API).  A pass that achieves nothing is
no failure of the resource: Pacemaker could not mend Mistral by restarting it.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import os
import pathlib
import re
import signal
import stat
import sys
import syslog
from types import FrameType

from mistral_hostrecovery import cluster
from mistral_hostrecovery import errors
from mistral_hostrecovery import metadata
from mistral_hostrecovery import parameters
from mistral_hostrecovery import reconciliation

SUCCESS = 0
ERR_GENERIC = 1
ERR_UNIMPLEMENTED = 3
ERR_INSTALLED = 5
ERR_CONFIGURED = 6
NOT_RUNNING = 7

#: The pass in start: while it lasts, Pacemaker begins no fencing.
_START_SECONDS = 10.0
#: Of finding out which hosts nobody can fence.
_WARN_SECONDS = 5.0
#: Of an operation without a timeout, in milliseconds.
_TIMEOUT = parameters.MONITOR_SECONDS * 1000

_NAME = "HostRecovery"


class Agent:
    """One call of the agent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        local = environ.get("OCF_RESKEY_CRM_meta_on_node")
        self._pacemaker = cluster.Cluster(
            local or os.uname().nodename, environ
        )

    def start(self) -> int:
        """The recurring monitor may begin late, so look at once."""
        settings = self._settings()
        self._running.parent.mkdir(parents=True, exist_ok=True)
        self._running.write_text("")
        self._pass(settings, min(_START_SECONDS, settings.deadline), False)
        late = contextlib.suppress(reconciliation.OutOfTime)
        with late, _alarm(_WARN_SECONDS):
            self._warn_unprotected(settings)
        return SUCCESS

    def stop(self) -> int:
        self._running.unlink(missing_ok=True)
        with contextlib.suppress(errors.Unavailable):
            self._pacemaker.tell(None)
        return SUCCESS

    def monitor(self) -> int:
        if not self._running.exists():
            return NOT_RUNNING
        # Zero or nothing is a probe: is it running, and no more.
        interval = self._environ.get("OCF_RESKEY_CRM_meta_interval", "0")
        if interval != "0" and not self._is_first(interval):
            settings = self._settings()
            deep = self._environ.get("OCF_CHECK_LEVEL", "0") != "0"
            self._pass(settings, settings.deadline, deep)
        return SUCCESS

    def _is_first(self, interval: str) -> bool:
        """Return whether it is the first monitor of this interval.

        Pacemaker waits for that one, with the fencing of hosts and with a
        stop, as it waits for the start, in which there was a pass just now.
        """
        seen = self._running.read_text().split()
        if interval in seen:
            return False
        self._running.write_text(" ".join([*seen, interval]))
        return True

    def validate_all(self) -> int:
        settings = self._settings()
        missing = settings.missing()
        if missing:
            return _refuse(ERR_INSTALLED, "; ".join(missing))
        if os.stat(settings.clouds_file).st_mode & stat.S_IROTH:
            self._log(
                f"everybody may read the credentials in {settings.clouds_file}"
                ": chmod 0600 it"
            )
        try:
            self._connect(settings)
        except errors.Refused as exc:
            return _refuse(ERR_INSTALLED, str(exc))
        self._warn_unprotected(settings)
        return SUCCESS

    def meta_data(self) -> int:
        sys.stdout.write(metadata.document())
        return SUCCESS

    @property
    def _running(self) -> pathlib.Path:
        """Exists while the resource runs here; gone with a reboot."""
        directory = self._environ.get("HA_RSCTMP", "/run/resource-agents")
        name = self._environ.get("OCF_RESOURCE_INSTANCE", "default")
        return pathlib.Path(directory, f"hostrecovery-{name}.running")

    def _settings(self) -> parameters.Parameters:
        return parameters.parse(self._environ)

    def _pass(
        self, settings: parameters.Parameters, seconds: float, deep: bool
    ) -> None:
        one = reconciliation.Pass(
            settings,
            self._pacemaker,
            lambda: self._connect(settings),
            self._log,
        )
        try:
            with _alarm(min(seconds, self._seconds())):
                one.run(deep)
        except (errors.Unavailable, reconciliation.OutOfTime) as exc:
            self._log(str(exc))
        except Exception as exc:
            # Pacemaker would restart the resource, which mends no bug.
            self._log(f"bug: {exc!r}: report it")

    def _seconds(self) -> float:
        """Return how long a pass may take for Pacemaker, which else kills it.

        What is left is for the last command, and for telling operators.
        """
        timeout = self._environ.get("OCF_RESKEY_CRM_meta_timeout", "")
        milliseconds = int(timeout) if timeout.isdecimal() else _TIMEOUT
        return max(1.0, milliseconds / 1000 - cluster.COMMAND_SECONDS)

    def _connect(
        self, settings: parameters.Parameters
    ) -> reconciliation.Mistral:
        try:
            # Not before it is needed: it takes most of a second.
            from mistral_hostrecovery import trigger
        except ImportError as exc:
            raise errors.Refused(
                f"Mistral cannot be asked ({exc}): install the package"
                " mistral_hostrecovery together with what it requires"
            ) from exc
        return trigger.connect(
            settings.cloud,
            settings.clouds_file,
            url=settings.mistral_url,
            cacert=settings.cacert,
            seconds=settings.request_timeout,
        )

    def _warn_unprotected(self, settings: parameters.Parameters) -> None:
        """Name the hosts that would never be recovered, or not always."""
        try:
            view = self._pacemaker.view()
        except errors.Unavailable:
            # Validating needs no cluster.
            return
        if not view.fences:
            self._log(
                "Pacemaker does not fence (stonith-enabled is false), so no"
                " host is ever recovered: configure fencing"
            )
            return
        for node in view.nodes.values():
            if re.fullmatch(settings.hosts, node.name):
                reason = self._why_unprotected(node, settings)
                if reason:
                    self._log(f"{node.name} will not be recovered: {reason}")
                elif node.connected and not node.fenced and not node.in_use:
                    self._log(
                        f"{node.name} may not be fenced, and so not recovered,"
                        " if it fails together with the controller that is"
                        " connected to it, for no resource runs on it: have"
                        " one run there, as docs/pacemaker.rst says"
                    )

    def _why_unprotected(
        self, node: cluster.Node, settings: parameters.Parameters
    ) -> str | None:
        if not node.remote:
            # By default the others are just controllers.
            if settings.hosts == parameters.default("hosts"):
                return None
            return (
                "a full member of the cluster shows no proof of its fencing:"
                " make it a remote node"
            )
        try:
            if not self._pacemaker.can_fence(node.name):
                return "no device can fence it: configure one"
        except errors.Unavailable as exc:
            return str(exc)
        return None

    def _log(self, text: str) -> None:
        """Into the system's log, and into Pacemaker's where it has its own."""
        text = reconciliation.clean(text)
        tag = self._environ.get("OCF_RESOURCE_INSTANCE", _NAME)
        syslog.openlog(f"{_NAME}({tag})", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(syslog.LOG_NOTICE, text)
        # Pacemaker logs what an agent prints here.
        print(f"{_NAME}: {text}", file=sys.stderr, flush=True)


def _refuse(code: int, reason: str) -> int:
    """Say why, as `crm_mon` shows it, and return the exit code."""
    print(f"ocf-exit-reason:{reason}", file=sys.stderr, flush=True)
    return code


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTime after some seconds, wherever the pass is then.

    That is no worse for it than being killed, which it bears everywhere.
    """

    def over(number: int, frame: FrameType | None) -> None:
        raise reconciliation.OutOfTime(
            f"the pass took {seconds:.0f} seconds: the next one goes on"
        )

    before = signal.signal(signal.SIGALRM, over)
    # Again and again: Python swallows what a finaliser raises.
    signal.setitimer(signal.ITIMER_REAL, seconds, cluster.TELL_SECONDS + 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(
    arguments: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Perform one action of the agent and return OCF's exit code.

    :param arguments: the name of the action; those of the command line.
    :param environ: the parameters; those of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    agent = Agent(os.environ if environ is None else environ)
    actions = {
        "start": agent.start,
        "stop": agent.stop,
        "monitor": agent.monitor,
        "validate-all": agent.validate_all,
        "meta-data": agent.meta_data,
    }
    action = actions.get(given[0]) if len(given) == 1 else None
    if action is None:
        print(f"usage: {_NAME} {{{'|'.join(actions)}}}", file=sys.stderr)
        return ERR_UNIMPLEMENTED
    try:
        return action()
    except parameters.Invalid as exc:
        return _refuse(ERR_CONFIGURED, str(exc))
    except OSError as exc:
        return _refuse(ERR_GENERIC, f"{exc}: see the file system")
