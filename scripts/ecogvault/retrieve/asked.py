"""What a restore from where nothing can be read at once does in one run: the tasks that were asked for, by place."""

from ecogvault import costs
from ecogvault.config import Config, Destination
from ecogvault.keys import identities
from ecogvault.restore import asked
from ecogvault.retrieve.ranges import VaultFile
from ecogvault.retrieve.tasks import Say, Task, follow
from ecogvault.retrieve.thawed import ThawedUnit
from ecogvault.retrieve.whole import VaultUnit, is_restored, wanted_unit
from ecogvault.stores import open_vault


def restore_asked(config: Config, *, say: Say, again: str | None = None) -> None:
    """Restore what `unit`, `subject`, `kind`, `date`, `file` and `from` of the configuration ask for, as far as can be.

    Says a line for each unit that came back, and at the end what waits and from when to run again. `tier` is how fast
    it is to be, `days` how long temporary copies stay; `again` is the command of this run. Raises NotAllRestored,
    ConfigError, TooDear, age's errors.
    """
    name = str(config["from"])
    destination = config.destinations[name]
    found, lacking = asked.wanted(config)
    if destination.type == "glacier":
        tasks = _from_vault(config, destination, found, say)
    else:
        tasks = [ThawedUnit.of(config, one, say) for one in found]
    follow(config, name, tasks, say=say, again=again, lacking=lacking)


def _from_vault(config: Config, destination: Destination, found: list[asked.Wanted], say: Say) -> list[Task]:
    keys = identities(config)
    store = open_vault(destination)
    units = [(wanted_unit(config, destination.name, one.unit), one.path) for one in found]
    fresh = [one.size for one, path in units if path is None and not one.state.exists() and not is_restored(one)]
    costs.require_affordable_retrieval(config, fresh, str(config["tier"] or "Standard"))
    return [
        VaultUnit(config, destination, store, one, keys)
        if path is None
        else VaultFile(config, destination, store, one, path, keys, say)
        for one, path in units
    ]
