"""What a restore from a vault does in one run."""

import threading
import time
from collections.abc import Callable

from ecogvault import costs
from ecogvault.config import Config
from ecogvault.errors import EcogvaultError
from ecogvault.keys import identities
from ecogvault.restore import asked
from ecogvault.retrieve.ranges import advance_file
from ecogvault.retrieve.whole import advance_all, is_restored, wanted_unit
from ecogvault.stores import open_vault
from ecogvault.vault.waiting import Waiting

Say = Callable[[str], None]
_POLL_SECONDS = 300.0


class NotAllRestored(EcogvaultError):
    """Something that was asked for could not be restored; the lines above say why."""


def restore_asked(config: Config, *, say: Say) -> None:
    """Restore what `unit`, `subject`, `kind`, `date`, `file` and `from` of the configuration ask for, as far as can be.

    Says a line for each unit that came back, and at the end what waits and from when to run again. `tier` is how fast
    Amazon is to be, `glacier_wait_hours` how long to wait for it. Raises NotAllRestored, ConfigError, age's errors; of
    one file what advance_file raises.
    """
    name = str(config["from"])
    destination = config.destinations[name]
    found = asked.wanted(config)
    keys = identities(config)
    store = open_vault(destination)
    file = next((one for one in found if one.path is not None), None)
    left = [] if file else [wanted_unit(config, name, one.unit) for one in found]
    fresh = [one.size for one in left if not one.state.exists() and not is_restored(one)]
    costs.require_affordable_retrieval(config, fresh, str(config["tier"] or "Standard"))
    end = time.monotonic() + 3600 * float(config["glacier_wait_hours"] or 0)
    failed: list[str] = []
    while True:
        if file is not None and file.path is not None:
            done = advance_file(config, destination, store, wanted_unit(config, name, file.unit), file.path, keys)
            waits = {file.path: done} if isinstance(done, Waiting) else {}
            if isinstance(done, str):
                say(f"{file.path} from {name}: {done}")
        else:
            waiting = advance_all(config, destination, store, left, keys, failed, say)
            left = [one for one in left if one.unit in waiting]
            waits = {str(unit): one for unit, one in waiting.items()}
        now = time.monotonic()
        if not waits or now >= end:
            break
        threading.Event().wait(min(end - now, _POLL_SECONDS, max(1.0, (end - now) / 10)))
    if waits:
        last = max(waits.values(), key=lambda one: one.until)
        say(f"{name}: {Waiting(', '.join(waits), last.until).line(_command(config))}")
    if failed:
        raise NotAllRestored(
            f"{len(failed)} of the units that were asked for could not be restored: {'; '.join(failed)}"
        )


def _command(config: Config) -> str:
    given = ("unit", "subject", "kind", "date", "file", "from", "tier")
    return f"snakemake --cores 1 restore --config {' '.join(f'{key}={config[key]}' for key in given if config[key])}"
